"""One world: every simulator is fitted on its log, and scored against its truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit

from fogline.benchmarks.reproduce.cells import Cell
from fogline.benchmarks.reproduce.pghs.plan import (
    ANCHORED,
    BATES_GRANGER,
    BEST,
    DEFAULT,
    EVERYDAY,
    FITTING,
    FITTING_PLAIN,
    POOL,
    REASONING,
    REASONING_PLAIN,
    SCENARIOS,
    SETTINGS,
    SINGLE,
    Plan,
)
from fogline.simulators.merchants.branches import Branches, Groups, Prepared
from fogline.simulators.merchants.config import PGHSConfig
from fogline.simulators.merchants.fitting import FittingBranch, FittingConfig
from fogline.simulators.merchants.fusion import pool
from fogline.simulators.merchants.logs import TEST, Log, check_log, merchants_out, ordered, time_split
from fogline.simulators.merchants.metrics import error_correlation, sampling_error, uplift_error
from fogline.simulators.merchants.mining import MiningConfig
from fogline.simulators.merchants.pghs import PGHS
from fogline.simulators.merchants.reasoning import Reasoner, RuleReasoner
from fogline.simulators.merchants.strategies import LOGGED, Strategy
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


def run_world(plan: Plan, cell: Cell) -> dict[str, Any]:
    """Fit and score everything in one world.

    Args:
        plan: Budgets.
        cell: Its arm is a setting, its seed the world's.

    Returns:
        Metrics by simulator: ``{"simulators": {name: {metric: value}}}``.
    """
    setting = SETTINGS[cell.arm]
    case = _case(plan, setting, cell.seed)
    reasoner = _reasoner(plan, setting, case.world, cell.seed)
    main = _fit(plan, case, reasoner, cell.seed, replicates=plan.replicates if cell.arm == DEFAULT else 0)
    answers = _main_answers(main, case)
    if cell.arm == DEFAULT:
        answers |= _ablations(plan, case, reasoner, cell.seed)
    answers[BEST] = _best(answers, case)
    metrics: dict[str, dict[str, float | None]] = {name: {**_scores(rates, case)} for name, rates in answers.items()}
    metrics[ANCHORED] |= _of_fit(main, case, answers)
    return {"simulators": metrics}


def _case(plan: Plan, setting: Mapping[str, Any], seed: int) -> Case:
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


def _reasoner(plan: Plan, setting: Mapping[str, Any], world: World, seed: int) -> RuleReasoner:
    """One that knows people roughly, and is too sure of itself."""
    noise = setting.get("noise", plan.noise)
    priorities = world.truth.noised_priorities(noise, np.random.default_rng([seed, 99]))
    found = RuleReasoner(priorities, gain=plan.gain, intercept=plan.intercept)
    return found.flipped() if setting.get("flipped") else found


def _fit(plan: Plan, case: Case, reasoner: Reasoner, seed: int, **options: Any) -> PGHS:
    return PGHS.fit(case.log, PGHSConfig(**{"seed": seed, "replicates": 0, **options}), reasoner=reasoner)


def _main_answers(model: PGHS, case: Case) -> Answers:
    """The four single branches, and the fusions."""
    rows = model.branches.prepare(case.scored)
    logged = model.branches.answer(rows, replicated=False)
    plain = _fitting_of(model, case, policies=False, monotone=False)
    found: Answers = {name: {} for name in (*SINGLE, POOL, BATES_GRANGER, ANCHORED)}
    for name, strategy in SCENARIOS.items():
        answered = model.branches.answer(rows, strategy, replicated=False)
        found[REASONING_PLAIN][name] = _unguided(model, rows, strategy)
        found[REASONING][name] = answered.reasoning
        found[FITTING_PLAIN][name] = _asked(plain, rows, strategy)
        found[FITTING][name] = answered.fitting
        found[POOL][name] = pool(answered.fitting, answered.reasoning, model.levels.pool_alpha)
        optimal = model.levels.optimal_alpha
        alpha = model.levels.pool_alpha if optimal is None else optimal
        found[BATES_GRANGER][name] = pool(answered.fitting, answered.reasoning, alpha)
        found[ANCHORED][name] = _anchored(model, rows, answered, logged)
    return found


def _anchored(model: PGHS, rows: Prepared, answered: Branches, logged: Branches) -> Floats:
    return model.levels.fuse(model.config, answered, logged, rows.groups.ids, answered.reasoning)


def _unguided(model: PGHS, rows: Prepared, strategy: Strategy) -> Floats:
    """The reasoner alone: no policies, no anchors."""
    scores = model.branches.reasoner.score(rows.table, model.policy_library, strategy)
    return rows.groups.mean(expit(scores.mean(axis=1)))


def _fitting_of(model: PGHS, case: Case, **options: Any) -> FittingBranch:
    """Another fitting branch on the same log and policies."""
    table = model.log.table
    membership = model.policy_library.membership(table)
    return FittingBranch.fit(
        table,
        membership,
        model.branches.anchors.mixed_rate(membership),
        windows=time_split(table),
        config=FittingConfig(**options),
        seed=model.config.seed,
        library=model.policy_library,
    )


def _asked(branch: FittingBranch, rows: Prepared, strategy: Strategy) -> Floats:
    return rows.groups.mean(branch.predict(strategy.apply(rows.table), rows.membership, rows.anchor_rate))


def _ablations(plan: Plan, case: Case, reasoner: RuleReasoner, seed: int) -> Answers:
    """What anchors, policies, merchant effects, monotone signs and the number of policies contribute."""
    found: Answers = {}
    variants: dict[str, tuple[str, str, dict[str, Any]]] = {
        "one policy": ("R one policy", "anchored, one policy", {"policies": "pooled"}),
        "shuffled": ("R shuffled policies", "anchored, shuffled policies", {"policies": "shuffled"}),
        "no effects": ("R no merchant effects", "anchored, no merchant effects", {"merchant_effects": False}),
    }
    for count in plan.policies:
        fixed = {"mining": MiningConfig(k=count, verify=False)}
        variants[str(count)] = (f"R {count} policies", f"anchored, {count} policies", fixed)
    for key, (alone, fused, options) in variants.items():
        model = _fit(plan, case, reasoner, seed, **options)
        found |= _variant(model, case, alone, fused)
        if key == "shuffled":
            found["F shuffled policies"] = _fitted(model, case, model.branches.fitting)
    everyday = _fit(plan, case, RuleReasoner(), seed)
    found |= _variant(everyday, case, "R everyday", EVERYDAY)
    # The fitting branch knows no reasoner, so the model of the everyday one serves for its variants.
    others: dict[str, dict[str, Any]] = {
        "F without policies": {"policies": False},
        "F without signs": {"monotone": False},
        "F logistic": {"estimator": "logistic"},
        "F base rate": {"estimator": "base-rate"},
    }
    for name, options in others.items():
        found[name] = _fitted(everyday, case, _fitting_of(everyday, case, **options))
    return found


def _variant(model: PGHS, case: Case, alone: str, fused: str) -> Answers:
    rows = model.branches.prepare(case.scored)
    logged = model.branches.answer(rows, replicated=False)
    answered = {name: model.branches.answer(rows, strategy, replicated=False) for name, strategy in SCENARIOS.items()}
    return {
        alone: {name: item.reasoning for name, item in answered.items()},
        fused: {name: _anchored(model, rows, item, logged) for name, item in answered.items()},
    }


def _fitted(model: PGHS, case: Case, branch: FittingBranch) -> dict[str, Floats]:
    rows = model.branches.prepare(case.scored)
    return {name: _asked(branch, rows, strategy) for name, strategy in SCENARIOS.items()}


def _best(answers: Answers, case: Case) -> dict[str, Floats]:
    """In each scenario the single branch that the truth shows to be best."""
    found = {}
    for scenario, true in case.truth.items():
        errors = {name: np.abs(answers[name][scenario] - true)[case.counted].mean() for name in SINGLE}
        found[scenario] = answers[min(errors, key=lambda name: errors[name])][scenario]
    return found


def _scores(rates: Mapping[str, Floats], case: Case) -> dict[str, float]:
    counted, found = case.counted, {}
    for scenario, true in case.truth.items():
        gap = np.abs(rates[scenario] - true)[counted]
        found[f"level error, {scenario}"] = float(gap.mean())
        if scenario != "logged":
            change = (rates[scenario] - rates["logged"])[counted]
            real = (true - case.truth["logged"])[counted]
            found[f"uplift error, {scenario}"] = float(np.abs(change - real).mean())
            found[f"uplift, {scenario}"] = float(change.mean())
    gap = np.abs(rates["logged"] - case.observed)[counted]
    found["accuracy, logged"] = 1 - found["level error, logged"]
    found["realised error, logged"] = float(gap.mean())
    found["relative error, logged"] = float((gap / np.maximum(case.observed[counted], 0.01)).mean())
    return found


def _of_fit(model: PGHS, case: Case, answers: Answers) -> dict[str, float | None]:
    """What belongs to the fit as a whole; it is told with the anchored fusion."""
    counted, true = case.counted, case.truth["logged"][case.counted]
    correlation = error_correlation(answers[FITTING]["logged"][counted], answers[REASONING]["logged"][counted], true)
    found: dict[str, float | None] = {
        "floor, logged": float(sampling_error(case.truth["logged"], case.count)[counted].mean()),
        "branch-error correlation": correlation,
        "flagged": float(model.report.silent or model.report.doubtful),
        "pool alpha": model.levels.pool_alpha,
        "policies": float(len(model.policy_library)),
    }
    for scenario, rates in case.truth.items():
        errors = [float(np.abs(answers[name][scenario] - rates)[counted].mean()) for name in (*SINGLE, ANCHORED)]
        found[f"better than every branch, {scenario}"] = float(errors[-1] < min(errors[:-1]))
        if scenario != "logged":
            found[f"true uplift, {scenario}"] = float((rates - case.truth["logged"])[counted].mean())
    if model.branches.replicates:
        found |= _coverage(model, case)
    return found


def _coverage(model: PGHS, case: Case) -> dict[str, float | None]:
    """Share of merchants whose interval holds the truth; it aims at 90 %."""
    asked = [strategy for strategy in SCENARIOS.values() if strategy != LOGGED]
    log = Log(case.scored, case.log.report)
    table = model.what_if(asked, log=log).table
    found = {}
    for strategy in asked:
        rows = table[table["strategy"] == strategy.name]
        true, base = case.truth[strategy.name], case.truth["logged"]
        scored = uplift_error(
            rows["level"].to_numpy(),
            rows["uplift"].to_numpy(),
            true,
            true - base,
            uplift_bounds=(rows["uplift_low"].to_numpy(), rows["uplift_high"].to_numpy()),
            level_bounds=(rows["level_low"].to_numpy(), rows["level_high"].to_numpy()),
        )
        found[f"uplift coverage, {strategy.name}"] = scored.coverage
        found[f"level coverage, {strategy.name}"] = scored.level_coverage
    return found
