"""The comparison of simulators: every arm of the plan is there, and the controls are what they are called."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fogline.benchmarks.reproduce.cells import Cell
from fogline.benchmarks.reproduce.pghs import simulators
from fogline.benchmarks.reproduce.pghs.case import Answers, Case, make_case, make_reasoner
from fogline.benchmarks.reproduce.pghs.plan import (
    ANCHORED,
    BELIEVED,
    CLAIMS,
    DEFAULT,
    FEW_SHOT,
    FULL,
    PERSONA,
    QUICK,
    REASONING,
    REASONING_PLAIN,
    SCENARIOS,
    SCORE_AS_FEATURE,
    SETTINGS,
    T_LEARNER,
)
from fogline.benchmarks.reproduce.pghs.worlds import run_world
from fogline.simulators.merchants.logs import ordered
from fogline.simulators.merchants.pghs import PGHS

PLAN = QUICK.model_copy(update={"merchants": 25, "trajectories": 3_000, "policies": (3,), "replicates": 4})


@pytest.fixture(scope="module")
def case() -> Case:
    return make_case(PLAN, SETTINGS[DEFAULT], 1)


@pytest.fixture(scope="module")
def model(case: Case) -> PGHS:
    return simulators.fit(case, make_reasoner(PLAN, SETTINGS[DEFAULT], case.world, 1), 1)


@pytest.fixture(scope="module")
def answers(case: Case, model: PGHS) -> Answers:
    reasoner: Any = model.branches.reasoner
    return simulators.main_answers(model, case) | simulators.ablations(PLAN, case, reasoner, 1)


def test_a_world_measures_every_arm_that_the_plan_compares() -> None:
    found = run_world(PLAN, Cell(DEFAULT, 1))["simulators"]
    wanted = {claim.arm for claim in CLAIMS} | {claim.baseline for claim in CLAIMS}
    assert wanted <= set(found)
    assert {"R 3 policies", "F base rate", "F logistic", "F without signs", BELIEVED, T_LEARNER} <= set(found)
    assert all(set(metrics) >= {f"level error, {name}" for name in SCENARIOS} for metrics in found.values())


def test_every_simulator_answers_every_scenario_with_rates(answers: Answers) -> None:
    for name, rates in answers.items():
        assert set(rates) == set(SCENARIOS), name
        assert all(((value > 0) & (value < 1)).all() for value in rates.values()), name


def test_the_few_shot_reasoner_has_the_logs_mean_and_the_plain_ones_order(
    case: Case, model: PGHS, answers: Answers
) -> None:
    rows = simulators._learned_on(model)
    scores = model.branches.reasoner.score(rows, model.policy_library, SCENARIOS["logged"]).mean(axis=1)
    shift = simulators._shift_to(ordered(rows).mean(), scores)
    assert (1 / (1 + np.exp(-scores - shift))).mean() == pytest.approx(ordered(rows).mean(), abs=1e-9)
    few, plain = answers[FEW_SHOT], answers[REASONING_PLAIN]
    assert np.corrcoef(few["logged"], plain["logged"])[0, 1] > 0.95
    assert np.abs(few["logged"] - plain["logged"]).max() > 0.01


def test_believed_in_full_the_reasoner_promises_more(answers: Answers) -> None:
    def change(name: str) -> float:
        return float((answers[name]["discount .30"] - answers[name]["logged"]).mean())

    assert change(BELIEVED) > change(REASONING) > 0
    assert change(PERSONA) > change(REASONING)


def test_two_learners_know_no_badge_and_trees_with_the_reasoners_word_do(answers: Answers) -> None:
    two, told = answers[T_LEARNER], answers[SCORE_AS_FEATURE]
    np.testing.assert_allclose(two["badge"], two["logged"])
    assert np.abs(told["badge"] - told["logged"]).max() > 0


def test_quick_and_full_differ_in_budget_only() -> None:
    assert type(QUICK) is type(FULL)
    assert len(FULL.seeds) >= 20
    assert ANCHORED in {claim.arm for claim in CLAIMS}
