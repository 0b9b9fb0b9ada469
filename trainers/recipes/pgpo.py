"""PGPO (V-tableR1, 2026, arXiv 2604.20755): the process gates the reward, lengths decide which prompts are kept.

On top of DAPO's clipped surrogate. Any environment that reports ``correct``, ``well_formed`` and ``process`` will do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from fogline.core.errors import ConfigurationError
from fogline.trainers.batch import Batch
from fogline.trainers.gates import gated_session
from fogline.trainers.options import RecipeOptions
from fogline.trainers.process import process_gated_reward
from fogline.trainers.recipe import Gate, Recipe, Select, Statistics
from fogline.trainers.recipes.entry import Assembly, Entry, credited
from fogline.trainers.recipes.group_relative import GROUP
from fogline.trainers.selection import length_aware_sampling
from fogline.trainers.terms import clipped, policy_term

CORRECT, WELL_FORMED, PROCESS = "correct", "well_formed", "process"
"""Terms of the outcome that are read."""


def _assemble(options: RecipeOptions) -> Assembly:
    return credited(options, policy_term(options, clipped))


def _process_gated(recipe: Recipe, options: RecipeOptions) -> Recipe:
    """The method with its own gate before the common one, and its own selection."""
    gate = _gate(options, recipe.gate)
    return replace(recipe, gate=gate, select=recipe.select if options.filter_on == "none" else _select(options, gate))


def _gate(options: RecipeOptions, common: Gate | None) -> Gate:
    def gate(batch: Batch) -> Tensor:
        reward = process_gated_reward(
            _term(batch, PROCESS),
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
        found = {name: _term(batch, name)[batch.valid] for name in (PROCESS, CORRECT, WELL_FORMED)}
        return {name: float(values.mean()) for name, values in found.items() if len(values)}

    return statistics


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
            "gate": "process_gated_reward",
            "select": "length_aware_sampling",
            "advantage": "group_normalise",
            "terms": "clipped_loss, clip-higher",
        },
        _assemble,
        OWN,
        statistics=_statistics,
        extend=_process_gated,
    ),
)
