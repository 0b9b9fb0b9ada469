"""PGPO (V-tableR1, 2026, arXiv 2604.20755): the process gates the reward, lengths decide which prompts are kept.

On top of DAPO's clipped surrogate. The process score is a critic's; without one, the environment's own. Any
environment that reports ``correct`` and ``well_formed``, and ``process`` where there is no critic, will do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from fogline.core.errors import ConfigurationError
from fogline.trainers.batch import Batch
from fogline.trainers.credit import credit
from fogline.trainers.gates import gated_session
from fogline.trainers.options import RecipeOptions
from fogline.trainers.process import process_gated_reward, process_score, step_credit
from fogline.trainers.recipe import Advantage, Gate, Recipe, Select, Statistics
from fogline.trainers.recipes.entry import Assembly, Entry
from fogline.trainers.recipes.group_relative import GROUP
from fogline.trainers.selection import length_aware_sampling
from fogline.trainers.terms import clipped, policy_term

CORRECT, WELL_FORMED, PROCESS = "correct", "well_formed", "process"
"""Terms of the outcome that are read."""


def _assemble(options: RecipeOptions) -> Assembly:
    return _credit(options), (policy_term(options, clipped),)


def _credit(options: RecipeOptions) -> Advantage:
    """That of the whole reply and, where it is asked for, that of each token's step."""
    of_reply = credit(options)
    if not options.step_credit:
        return of_reply

    def advantage(batch: Batch) -> Mapping[str, Tensor]:
        found = of_reply(batch)
        if batch.critic is None:
            raise ConfigurationError("step_credit needs a critic: pass critic= to the trainer, or set step_credit=0.")
        rows = batch.critic
        steps = step_credit(rows.score, rows.mask, rows.token_step, batch.group, batch.valid)
        return {**found, "policy": found["policy"] + options.step_credit * steps}

    return advantage


def _process_gated(recipe: Recipe, options: RecipeOptions) -> Recipe:
    """The method with its own gate before the common one, and its own selection."""
    gate = _gate(options, recipe.gate)
    return replace(
        recipe,
        gate=gate,
        select=recipe.select if options.filter_on == "none" else _select(options, gate),
        judged=True,
        needs=recipe.needs | ({"critic"} if options.step_credit else set()),
    )


def _gate(options: RecipeOptions, common: Gate | None) -> Gate:
    def gate(batch: Batch) -> Tensor:
        reward = process_gated_reward(
            _process(batch, options),
            _term(batch, CORRECT),
            _term(batch, WELL_FORMED),
            options.process_gate,
            options.process_threshold,
            options.answer_weight,
            options.format_weight,
        )
        return reward if common is None else common(replace(batch, session=gated_session(batch, reward)))

    return gate


def _select(options: RecipeOptions, gate: Gate) -> Select:
    def select(batch: Batch) -> Tensor:
        metric = _term(batch, CORRECT) if options.filter_on == "accuracy" else gate(batch)
        length = batch.policy_mask.sum(1)
        return length_aware_sampling(
            metric, length, batch.group, batch.valid, options.length_low, options.length_high, options.length_top
        )

    return select


def _statistics(options: RecipeOptions) -> Statistics:
    def statistics(batch: Batch) -> Mapping[str, float]:
        found = {name: _term(batch, name) for name in (CORRECT, WELL_FORMED)} | {PROCESS: _process(batch, options)}
        return {name: float(values[batch.valid].mean()) for name, values in found.items() if batch.valid.any()}

    return statistics


def _process(batch: Batch, options: RecipeOptions) -> Tensor:
    """The process score of each row, ``[N]``: of the critic where there is one, else of the environment."""
    rows = batch.critic
    if rows is None:
        return _term(batch, PROCESS)
    of_steps = process_score(rows.score, rows.mask, rows.anchored, options.step_aggregation, options.shortcut_cap)
    return torch.where(rows.process.isnan(), of_steps, rows.process)


def _term(batch: Batch, name: str) -> Tensor:
    if name not in batch.session:
        raise ConfigurationError(
            f"recipe 'pgpo' reads the outcome's term {name!r}, and the environment reports {sorted(batch.session)}: "
            "use an environment that checks its steps, such as VisualTable-v0."
        )
    return batch.session[name]


OWN: Mapping[str, Any] = {
    **GROUP,
    "clip_high": 0.28,
    "dual_clip": None,
    "aggregation": "token-mean",
    "process_gate": "soft",
    "process_threshold": 0.5,
    "answer_weight": 0.9,
    "format_weight": 0.1,
    "step_aggregation": "mean",
    "shortcut_cap": 0.5,
    "step_credit": 0.0,
    "filter_on": "accuracy",
    "length_low": 0.3,
    "length_high": 0.65,
    "length_top": 0.95,
}

PROCESS_GATED = (
    Entry(
        "pgpo",
        "arXiv 2604.20755",
        {
            "gate": "process_gated_reward of process_score",
            "select": "length_aware_sampling",
            "advantage": "group_normalise [+ step_credit]",
            "terms": "clipped_loss, clip-higher",
        },
        _assemble,
        OWN,
        statistics=_statistics,
        extend=_process_gated,
    ),
)
