"""One world: every simulator is fitted on its log, and scored against its truth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fogline.benchmarks.reproduce.cells import Cell
from fogline.benchmarks.reproduce.pghs.case import Answers, Case, make_case, make_reasoner
from fogline.benchmarks.reproduce.pghs.plan import (
    ANCHORED,
    BEST,
    DEFAULT,
    EVERYDAY,
    FITTING,
    REASONING,
    SCENARIOS,
    SETTINGS,
    SINGLE,
    Plan,
)
from fogline.benchmarks.reproduce.pghs.simulators import ablations, fit, main_answers
from fogline.simulators.merchants.logs import Log
from fogline.simulators.merchants.metrics import error_correlation, sampling_error, uplift_error
from fogline.simulators.merchants.pghs import PGHS
from fogline.simulators.merchants.reasoning import RuleReasoner
from fogline.simulators.merchants.strategies import LOGGED

Floats = NDArray[np.float64]


def run_world(plan: Plan, cell: Cell) -> dict[str, Any]:
    """Fit and score everything in one world.

    Args:
        plan: Budgets.
        cell: Its arm is a setting, its seed the world's.

    Returns:
        Metrics by simulator: ``{"simulators": {name: {metric: value}}}``.
    """
    setting = SETTINGS[cell.arm]
    case = make_case(plan, setting, cell.seed)
    reasoner = make_reasoner(plan, setting, case.world, cell.seed)
    main = fit(case, reasoner, cell.seed, replicates=plan.replicates if cell.arm == DEFAULT else 0)
    answers = main_answers(main, case)
    if cell.arm == DEFAULT:
        answers |= ablations(plan, case, reasoner, cell.seed)
    answers[BEST] = _best(answers, case)
    metrics: dict[str, dict[str, float | None]] = {name: {**_scores(rates, case)} for name, rates in answers.items()}
    metrics[ANCHORED] |= _of_fit(main, case, answers)
    if cell.arm == DEFAULT:
        # What users get by default: everyday weights, and intervals that say how far those may be off.
        everyday = fit(case, RuleReasoner(), cell.seed, replicates=plan.replicates)
        metrics[EVERYDAY] |= _coverage(everyday, case)
    return {"simulators": metrics}


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
