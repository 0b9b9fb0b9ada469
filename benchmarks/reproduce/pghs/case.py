"""A world with its log, split into what is fitted on and what is scored; and who reasons about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fogline.benchmarks.reproduce.pghs.plan import SCENARIOS, Plan
from fogline.simulators.merchants.branches import Groups
from fogline.simulators.merchants.logs import TEST, Log, check_log, merchants_out, ordered, time_split
from fogline.simulators.merchants.reasoning import RuleReasoner
from fogline.simulators.merchants.world import World, WorldConfig, make_world

Floats = NDArray[np.float64]
Answers = dict[str, dict[str, Floats]]
"""Rates by simulator and scenario; float64 [M]."""

LEAST_ROWS = 5


@dataclass(frozen=True)
class Case:
    """A world with its log, split into what is fitted on and what is scored.

    Attributes:
        world: The market.
        log: What is fitted on.
        scored: Rows of the test window.
        truth: True rates by scenario, of merchants with rows in the window; float64 [M].
        observed: Rates that were seen in the window; float64 [M].
        counted: Merchants with at least five rows there, and in the cold setting new ones; bool [M].
        count: Rows of the window; int64 [M].
    """

    world: World
    log: Log
    scored: pd.DataFrame
    truth: Mapping[str, Floats]
    observed: Floats
    counted: NDArray[np.bool_]
    count: NDArray[np.int64]


def make_case(plan: Plan, setting: Mapping[str, Any], seed: int) -> Case:
    """Draw a setting's world, and split its log."""
    options = {"n_merchants": plan.merchants, "n_trajectories": plan.trajectories, **setting.get("world", {})}
    world = make_world(WorldConfig(**options), seed)
    log = check_log(world.table())
    scored = time_split(log.table) == TEST
    if cold := setting.get("cold"):
        new = merchants_out(log.table, cold, seed)
        fitted = Log(log.table[~new].reset_index(drop=True), log.report)
        scored &= new
    else:
        fitted = log
    table = log.table[scored].reset_index(drop=True)
    groups = Groups.of(table)
    places = np.array([int(name[1:]) for name in groups.ids])
    truth = {name: world.truth.merchant_rates(strategy, scored)[places] for name, strategy in SCENARIOS.items()}
    seen = groups.mean(ordered(table).astype(np.float64))
    return Case(world, fitted, table, truth, seen, groups.count >= LEAST_ROWS, groups.count)


def make_reasoner(plan: Plan, setting: Mapping[str, Any], world: World, seed: int) -> RuleReasoner:
    """One that knows people roughly, and is too sure of itself."""
    noise = setting.get("noise", plan.noise)
    priorities = world.truth.noised_priorities(noise, np.random.default_rng([seed, 99]))
    found = RuleReasoner(priorities, gain=plan.gain, intercept=plan.intercept)
    return found.flipped() if setting.get("flipped") else found
