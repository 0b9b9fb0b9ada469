"""DGPO run again: the plan is of one piece, cells say what the page needs, and the methods differ in the loss alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from micro_arithmetic import MICRO

from fogline.benchmarks.reproduce import ReproduceConfig, dgpo
from fogline.benchmarks.reproduce.cells import Cell, CellResult
from fogline.benchmarks.reproduce.dgpo.plan import (
    ASPO,
    CISPO,
    CLAIMS,
    DAPO,
    DGPO,
    FULL,
    GPPO,
    GRPO,
    HEADLINE,
    LOG_LARGEST,
    LOG_WEIGHT,
    METHODS,
    NOT_LOWER,
    POWERS,
    QUICK,
    SWEPT,
    Plan,
)
from fogline.benchmarks.reproduce.experiment import ACCURACY
from fogline.benchmarks.reproduce.math_reasoning.plan import ENTROPY, GREEDY, PASS, MathPlan
from fogline.benchmarks.reproduce.math_reasoning.training import (
    FACTOR,
    LARGEST,
    LEFT,
    RIGHT,
    WEIGHT,
    of_training,
    train_method,
)
from fogline.benchmarks.reproduce.math_reasoning.warm_start import accuracy, measured, warm_policy
from fogline.benchmarks.reproduce.results import Arm
from fogline.trainers.recipes import make_recipe


def test_quick_and_full_differ_in_budget_only() -> None:
    assert type(QUICK) is type(FULL)
    assert len(FULL.seeds) >= 5
    assert not set(FULL.seeds) & set(FULL.tuning_seeds)
    assert {claim.arm for claim in CLAIMS} | {claim.baseline for claim in CLAIMS} <= set(METHODS)


def test_no_lower_than_grpo_has_a_margin_and_every_power_is_swept() -> None:
    (claim,) = (claim for claim in CLAIMS if claim.paper.direction == "not lower")
    assert (claim.metric, claim.arm, claim.baseline, claim.margin) == (ACCURACY, DGPO, GRPO, NOT_LOWER)
    settings = [make_recipe(method.recipe, **method.options).options for method in METHODS.values()]
    powers = {(found["left_power"], found["right_root"]) for found in settings if "left_power" in found}
    assert powers == {(n, m) for n in POWERS for m in POWERS}
    assert all(FULL.seeds_of(name) == FULL.swept_seeds for name in SWEPT)
    assert all(FULL.seeds_of(name) == FULL.seeds for name in HEADLINE)


def test_the_methods_share_credit_aggregation_and_band() -> None:
    for name, method in METHODS.items():
        options = make_recipe(method.recipe, **method.options).options
        assert (options["advantage"], options["scale"], options["aggregation"]) == ("group", "group", "token-mean")
        assert options["clip_low"] == 0.2
        assert (options["clip_high"], options["dynamic_sampling"]) == ((0.28, True) if name == DAPO else (0.2, False))


def test_staleness_is_stated_as_it_is() -> None:
    stated = FULL.stated()["epochs and staleness"]
    assert FULL.epochs * FULL.minibatches == 16
    assert "16 optimiser steps" in stated
    assert "0 to 15 steps ahead" in stated


def test_the_warm_start_measures_three_accuracies(warm_folder: Path) -> None:
    plan = MathPlan(**MICRO)
    found = measured(warm_policy(plan, warm_folder, 0), plan, "test")
    assert set(found) == {ACCURACY, PASS, GREEDY}
    assert 0 <= found[ACCURACY] <= found[PASS] <= 1
    assert 0 <= accuracy(warm_policy(plan, warm_folder, 0), plan) <= found[PASS]


@pytest.mark.parametrize("name", [GRPO, CISPO, GPPO, ASPO, DGPO])
def test_a_cell_logs_the_boundary(name: str, warm_folder: Path) -> None:
    plan = Plan(**{**MICRO, "swept_seeds": (0,), "epochs": 4})
    found = train_method(plan, METHODS, {name: 3e-3}, warm_folder, Cell(name, 0))
    metrics, curves = found["metrics"], found["curves"]
    assert {ACCURACY, PASS, GREEDY, ENTROPY, LEFT, RIGHT, WEIGHT, LARGEST} <= set(metrics)
    assert FACTOR not in metrics
    assert [x for x, _ in curves[ACCURACY]] == [0, 1, 2]
    assert len(curves[ENTROPY]) == plan.updates
    assert metrics[LEFT] > 0
    # What the closed form says: DGPO stays below 1, GPPO and CISPO above, GRPO and ASPO let nothing through.
    weight = metrics[LARGEST]
    assert {GRPO: weight == 0, ASPO: weight == 0, DGPO: 0 < weight <= 1}.get(name, weight > 1)


def test_a_tuning_cell_takes_its_rate_from_its_name_and_measures_on_validation(warm_folder: Path) -> None:
    plan = Plan(**MICRO)
    still = train_method(plan, METHODS, {}, warm_folder, Cell(f"{GRPO}@{1e-12:g}", 0))
    expected = measured(warm_policy(plan, warm_folder, 0), plan, "validation")
    assert {name: still["metrics"][name] for name in expected} == expected
    assert still["curves"][ACCURACY] == []


def test_a_log_that_never_left_the_band_has_no_weight() -> None:
    row = {"entropy_mean": 1.0, "train/reward": 0.5, "clip_left_negative": 0.0, "episodes": 4.0, "wall_s": 1.0}
    found = of_training([row])
    assert found[WEIGHT] is None
    assert found[LARGEST] is None
    assert found[ENTROPY] == 1.0


def test_the_note_names_the_largest_weight_of_all_seeds() -> None:
    arms = [
        Arm(name=DGPO, seeds=(0, 1), metrics={LARGEST: (0.5, 0.75)}),
        Arm(name=GPPO, seeds=(0, 1), metrics={LARGEST: (4.0, None)}),
    ]
    assert "GPPO 4, DGPO(1,2) 0.75" in dgpo._notes(arms)[0]


def test_logarithms_are_of_weights_that_are_there() -> None:
    def cell(weight: float | None, largest: float | None) -> CellResult:
        curves = {WEIGHT: [[1, 10.0], [2, 0.0]]}
        return CellResult(GPPO, 0, "done", {"metrics": {WEIGHT: weight, LARGEST: largest}, "curves": curves})

    one, clipped, nothing = dgpo.with_logarithms([cell(100.0, 1000.0), cell(0.0, 0.0), cell(None, None)])
    assert (one.value["metrics"][LOG_WEIGHT], one.value["metrics"][LOG_LARGEST]) == (2.0, 3.0)
    assert one.value["curves"][LOG_WEIGHT] == [[1, 1.0]]
    for other in (clipped, nothing):
        assert (other.value["metrics"][LOG_WEIGHT], other.value["metrics"][LOG_LARGEST]) == (None, None)
    failed = CellResult(GPPO, 0, "failed")
    assert dgpo.with_logarithms([failed]) == [failed]


def test_the_sweep_is_told_against_grpo_on_shared_seeds() -> None:
    arms = [
        Arm(name=GRPO, seeds=(0, 1, 2), metrics={ACCURACY: (0.5, 0.6, 0.9)}),
        Arm(name="DGPO(2,2)", seeds=(0, 1), metrics={ACCURACY: (0.6, 0.6), LARGEST: (1.0, 1.0)}),
    ]
    assert "DGPO(2,2) +0.050" in dgpo._notes(arms)[1]


@pytest.mark.slow
def test_the_quick_form_runs_whole_and_resumes(tmp_path: Path) -> None:
    config = ReproduceConfig(name="dgpo", quick=True, runs=str(tmp_path))
    first = dgpo.reproduce(config, lambda *_: None)
    assert not first.failures
    assert {arm.name for arm in first.arms} >= set(METHODS)
    again = dgpo.reproduce(config, lambda *_: None)
    assert again == first
