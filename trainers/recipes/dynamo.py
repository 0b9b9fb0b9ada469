"""DynaMO (2026, arXiv 2602.19208): episodes by what they would teach, advantages by what they do to the entropy.

Both levels are parts that any method can be given, :func:`with_dynamo`; the recipe ``dynamo`` is the paper's choice,
group-relative credit under PPO's clip, with any other token loss by ``loss``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fogline.agents.policies.forward import Forward
from fogline.core.errors import ConfigurationError
from fogline.trainers import allocation, modulation
from fogline.trainers.batch import Batch
from fogline.trainers.groups import Groups
from fogline.trainers.options import RecipeOptions
from fogline.trainers.recipe import Allocate, Clip, Modulate, Recipe, Statistics
from fogline.trainers.recipes.entry import Assembly, Entry, credited
from fogline.trainers.recipes.group_relative import GROUP, LOSS_SETTINGS, TOKEN_LOSSES
from fogline.trainers.terms import policy_term

OWN: Mapping[str, Any] = {
    "allocator": "exact",
    "proxy_power": 1.0,
    "rollouts_low": None,
    "rollouts_high": None,
    "exploration": 4,
    "prompt_weighting": "token",
    "compensation": 0.2,
    "stabilisation": 0.6,
    "stabilisation_slope": 50.0,
    "stabilisation_threshold": 0.99,
    "entropy_baseline": "vocabulary",
    "modulation_scope": "mini-batch",
}
"""What DynaMO adds to a method, with its defaults."""


def with_dynamo(recipe: Recipe, options: RecipeOptions) -> Recipe:
    """A method with DynaMO's allocation, modulation and row weights, whatever its credit and its losses.

    Args:
        recipe: The method.
        options: Those that :data:`OWN` names are read.

    Raises:
        ConfigurationError: A task could be given fewer episodes than the method's credit compares.
    """
    if options.rollouts_low is not None and options.rollouts_low < recipe.needs_groups:
        raise ConfigurationError(
            f"rollouts_low={options.rollouts_low} is too small for recipe {recipe.name!r}, whose baseline compares "
            f"{recipe.needs_groups} or more episodes of a task: raise rollouts_low."
        )
    terms = recipe.terms
    if options.prompt_weighting == "prompt":
        without = (None, "return")
        terms = tuple(term if term.advantage in without else replace(term, row_weight=prompt_weight) for term in terms)
    modulate = after(recipe.modulate, entropy_modulation(options))
    sampled = options.entropy_baseline == "sequence"
    return replace(
        recipe,
        options={**recipe.options, **{name: getattr(options, name) for name in OWN}},
        terms=terms,
        allocate=None if options.allocator == "uniform" else allocation_by(options, recipe.needs_groups),
        modulate=modulate,
        statistics=_with_group_sizes(recipe.statistics),
        observe=None if modulate is None or sampled else modulation.vocabulary_moments,
        needs=recipe.needs | ({"entropy"} if modulate is not None and sampled else set()),
    )


def after(own: Modulate | None, added: Modulate | None) -> Modulate | None:
    """A method's own modulation, then what is added."""
    if own is None or added is None:
        return own if added is None else added

    def modulate(advantage: Tensor, forward: Forward, batch: Batch, clip: Clip) -> Tensor:
        return added(own(advantage, forward, batch, clip), forward, batch, clip)

    return modulate


def allocation_by(options: RecipeOptions, least: int) -> Allocate:
    """Episodes for each task, from how often each was played and solved; no task has fewer than ``least``."""

    def allocate(statistics: Mapping[str, Any], tasks: Sequence[str], budget: int) -> Sequence[int]:
        known = set(statistics["tasks"])
        strange = [task for task in tasks if task not in known]
        if strange:
            raise ConfigurationError(
                f"prompt statistics of another set of tasks: they say nothing of {strange[:4]}, expected statistics "
                "that were gathered on these tasks. Start anew with resume=False, or in another folder with out=."
            )
        trials = np.array([statistics["trials"].get(task, 0) for task in tasks])
        correct = np.array([statistics["correct"].get(task, 0) for task in tasks])
        mean = budget / len(tasks)
        low = options.rollouts_low or max(least, int(mean / 2))
        high = options.rollouts_high or int(np.ceil(1.5 * mean))
        reserved = allocation.reserve(trials, budget, low, high, options.exploration).tolist()
        if options.allocator == "released":
            priority = allocation.released_priority(correct, trials, options.exploration) ** options.proxy_power
            return [int(n) for n in allocation.allocate_released(priority, budget, reserved, high)]
        spread = _filled(allocation.bernoulli_variance(correct, trials))
        return [int(n) for n in allocation.allocate_exact(spread ** (2 * options.proxy_power), budget, reserved, high)]

    return allocate


def _filled(spread: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Tasks of which nothing is known are taken for as telling as the others are on average."""
    unknown = np.isnan(spread)
    return np.where(unknown, 1.0 if unknown.all() else np.mean(spread[~unknown]), spread)


def prompt_weight(batch: Batch) -> Tensor:
    """One over the episodes of a row's task, ``[N]``, times a constant that makes the mean over valid rows 1.

    A sum over rows divided by their number is then the mean over tasks of each task's own mean.
    """
    groups = Groups.of(batch.group, batch.valid)
    size = groups.count(batch.reward).clamp(min=1)
    played = len(torch.unique(batch.group[batch.valid]))
    return torch.where(batch.valid, batch.valid.sum() / (max(played, 1) * size), torch.zeros_like(size))


def entropy_modulation(options: RecipeOptions) -> Modulate | None:
    """Compensation times stabilisation; None where both are switched off."""
    damps = options.stabilisation < 1
    if options.compensation == 0 and not damps:
        return None

    def modulate(advantage: Tensor, forward: Forward, batch: Batch, clip: Clip) -> Tensor:
        mask = batch.policy_mask & batch.valid[:, None]
        logp = forward.logp.detach()
        entropy, expectation = _entropy_and_expectation(forward, logp, mask)
        factor = modulation.entropy_compensation(entropy, advantage, mask, options.compensation)
        if damps:
            step = modulation.clipped_step(logp - batch.old_logp, advantage, clip.low, clip.high)
            change = modulation.entropy_change(step, logp, entropy, expectation)
            factor = factor * modulation.entropy_stabilisation(
                change,
                step,
                mask,
                options.stabilisation,
                options.stabilisation_slope,
                options.stabilisation_threshold,
            )
        return advantage * factor

    return modulate


def _entropy_and_expectation(forward: Forward, logp: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """H and E[π Λ], over the vocabulary where it was observed, else over the row's sampled tokens."""
    if forward.observed is not None:
        entropy, expectation = forward.observed.to(logp.dtype).unbind(-1)
        return entropy, expectation
    assert forward.entropy is not None, "the learner gives a method what it needs"
    entropy = forward.entropy.detach().to(logp.dtype)
    return entropy, modulation.sequence_expectation(logp, entropy, mask)


def _with_group_sizes(own: Statistics | None) -> Statistics:
    """How rows were shared out among groups (an episode has one for each seat), beside what the method logs."""

    def statistics(batch: Batch) -> Mapping[str, float]:
        sizes = torch.unique(batch.group, return_counts=True)[1].double()
        shared = {
            "group_rows_min": float(sizes.min()),
            "group_rows_max": float(sizes.max()),
            "group_rows_std": float(sizes.std(correction=0)),
        }
        return {**({} if own is None else own(batch)), **shared}

    return statistics


def _assemble(options: RecipeOptions) -> Assembly:
    return credited(options, policy_term(options, TOKEN_LOSSES[options.loss](options)))


DYNAMO: tuple[Entry, ...] = (
    Entry(
        "dynamo",
        "arXiv 2602.19208",
        {
            "allocate": "allocate_exact",
            "advantage": "group_normalise",
            "modulate": "entropy_compensation · entropy_stabilisation",
            "terms": "clipped_loss, or another token loss by the option loss",
        },
        _assemble,
        {
            **GROUP,
            "clip_high": 0.28,
            "dual_clip": 10.0,
            "aggregation": "token-mean",
            "loss": "clipped",
            **LOSS_SETTINGS,
            **OWN,
        },
        extend=with_dynamo,
    ),
)
