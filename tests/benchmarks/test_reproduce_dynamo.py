"""DynaMO run again: variances by hand, allocations against brute force, cells of each kind."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from micro_arithmetic import MICRO

from fogline.agents.policies.language import CausalLMPolicy
from fogline.benchmarks.reproduce.cells import Cell, CellResult
from fogline.benchmarks.reproduce.dynamo import _notes, _of_rates, by_allocation
from fogline.benchmarks.reproduce.dynamo.plan import (
    AFTERWARDS,
    ALLOCATIONS,
    BEST,
    CLAIMS,
    CONTROLS,
    DYNAMO,
    EFFICIENCY,
    EVEN,
    FREE,
    FULL,
    HALF,
    HALF_KNOWN,
    LATER,
    METHODS,
    MODULATION,
    NORMALISED,
    ONE,
    OVER_DGPO,
    QUICK,
    REDUCTION,
    RULE,
    SAME_RATE,
    START,
    UNIFORM,
    Plan,
    at,
)
from fogline.benchmarks.reproduce.dynamo.variance import (
    Mix,
    _gradient_variance,
    allocated,
    compared,
    measure_variance,
    measured_mix,
)
from fogline.benchmarks.reproduce.math_reasoning.training import DAMPED, FACTOR, SPREAD, train_method
from fogline.benchmarks.reproduce.math_reasoning.warm_start import warm_policy
from fogline.benchmarks.reproduce.results import arms_of
from fogline.trainers.recipes import make_recipe
from fogline.trainers.whole import scored_parts

PLAN = Plan(**{**MICRO, "low": 2, "high": 6, "measured_problems": 5, "measured_samples": 24})


def _mix(variance: list[float], rate: list[float], seen: int = 16) -> Mix:
    p, v = np.array(rate), np.array(variance)
    return Mix(p, v, np.where(p * (1 - p) > 0, v / np.maximum(p * (1 - p), 1e-12), 0.0), np.round(p * seen), seen)


def test_quick_and_full_differ_in_budget_only() -> None:
    assert type(QUICK) is type(FULL)
    assert len(FULL.seeds) >= 5
    assert FULL.low < FULL.group_size < FULL.high
    named = {at(allocation, stage) for allocation in ALLOCATIONS for stage in (START, LATER)} | set(METHODS)
    assert {claim.arm for claim in CLAIMS} | {claim.baseline for claim in CLAIMS} <= named


def test_uniform_is_grpo_with_the_release_s_band() -> None:
    recipe = make_recipe("dynamo", **METHODS[UNIFORM].options)
    assert recipe.allocate is None
    assert recipe.modulate is None
    assert (recipe.clip.low, recipe.clip.high, recipe.clip.dual) == (0.2, 0.28, 10.0)
    assert make_recipe("dynamo", **METHODS[MODULATION].options).allocate is None
    assert make_recipe("dynamo", **METHODS[OVER_DGPO].options).options["loss"] == "dgpo"


def test_the_optimum_in_the_box_is_the_best_of_all_allocations() -> None:
    mix = _mix([9.0, 4.0, 1.0, 0.25], [0.5, 0.3, 0.1, 0.02])
    found = compared(mix, 4, 2, 7)
    options = (n for n in itertools.product(range(2, 8), repeat=4) if sum(n) == 16)
    least = min(sum(v / n for v, n in zip(mix.variance, given, strict=True)) for given in options)
    even = float(np.sum(mix.variance)) / 4
    assert found[BEST][REDUCTION] == pytest.approx(1 - least / even)
    assert found[EVEN] == {REDUCTION: 0.0, EFFICIENCY: pytest.approx(least / even), NORMALISED: 0.0}
    neyman = np.sum(np.sqrt(mix.variance)) ** 2 / 16
    assert found[FREE][REDUCTION] == pytest.approx(1 - neyman / even)
    assert all(found[name][EFFICIENCY] <= 1 for name in (EVEN, HALF, HALF_KNOWN, ONE, RULE))


def test_where_gradients_are_equally_long_the_proxy_costs_nothing() -> None:
    rate = [0.5, 0.25, 0.125, 0.0625]
    mix = _mix([3 * p * (1 - p) for p in rate], rate)
    found = compared(mix, 16, 8, 24)
    assert found[HALF_KNOWN][EFFICIENCY] == pytest.approx(1)
    assert found[HALF][EFFICIENCY] == pytest.approx(1, abs=1e-3)
    # GRPO's division takes p(1-p) out: every problem is as telling as every other, and an even share is the best.
    assert found[HALF][NORMALISED] < 0


def test_every_allocation_spends_the_budget_in_its_box() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        rate = rng.random(12)
        given = allocated(_mix(list(rng.random(12)), list(rate)), 16, 8, 24)
        for name, answers in given.items():
            assert answers.sum() == pytest.approx(16 * 12)
            if name != FREE:
                assert answers.min() >= 8
                assert answers.max() <= 24


def test_a_problem_that_does_not_vary_costs_nothing() -> None:
    found = compared(_mix([1.0, 0.0], [0.5, 0.0]), 4, 2, 6)
    assert found[BEST][REDUCTION] == pytest.approx(1 - 4 / 6)
    assert found[FREE][REDUCTION] == pytest.approx(0.5)


def test_the_variance_of_gradients_is_that_of_all_of_them_one_by_one(warm_folder: Path) -> None:
    from fogline.agents.collector import collect_all
    from fogline.agents.rollout import Assignment
    from fogline.trainers.batch import batch_of

    policy = warm_policy(PLAN, warm_folder, 0)
    assert isinstance(policy, CausalLMPolicy)
    dataset = PLAN.dataset("train", 3)
    task = next(iter(dataset.tasks))
    episodes = collect_all(PLAN.environments(dataset), policy, [Assignment(task, seed) for seed in range(12)])
    batch = batch_of(episodes, policy)
    rate = 0.4
    gradients = []
    for row in range(len(batch)):
        one = batch.select(torch.tensor([row])).trimmed()
        logp = policy.score(*scored_parts(one)).logp
        parts = torch.autograd.grad((logp * one.policy_mask).sum(), list(policy.module.parameters()))
        gradients.append((float(one.reward) - rate) * torch.cat([part.flatten() for part in parts]).double())
    expected = torch.stack(gradients).var(0, correction=1).sum()
    assert _gradient_variance(policy, batch, range(12), rate) == pytest.approx(float(expected), rel=1e-4)
    assert _gradient_variance(policy, batch, range(12), 1.0) == 0


def test_a_mix_is_measured_and_the_same_for_the_same_seed(warm_folder: Path) -> None:
    policy = warm_policy(PLAN, warm_folder, 0)
    mix = measured_mix(PLAN, policy, 0)
    assert len(mix.rate) == len(mix.variance) == PLAN.measured_problems
    spread = mix.rate * (1 - mix.rate)
    assert ((mix.variance > 0) == (spread > 0)).all()
    np.testing.assert_allclose((mix.normalised * spread)[spread > 0], mix.variance[spread > 0])
    again = measured_mix(PLAN, policy, 0)
    np.testing.assert_allclose(mix.variance, again.variance, rtol=1e-6)
    assert (mix.rate == again.rate).all()


@pytest.mark.parametrize("stage", [START, LATER])
def test_a_variance_cell_compares_every_allocation(stage: str, warm_folder: Path) -> None:
    found = measure_variance(PLAN, {UNIFORM: 1e-3}, warm_folder, Cell(stage, 0))
    assert set(found["allocations"]) == set(ALLOCATIONS)
    assert len(found["rates"]) == PLAN.measured_problems
    assert found["allocations"][EVEN][REDUCTION] == 0


def test_a_cell_of_dynamo_logs_what_its_levels_did(warm_folder: Path) -> None:
    plan = PLAN.model_copy(update={"problems": 2, "updates": 3})
    metrics = train_method(plan, METHODS, {DYNAMO: 1e-3}, warm_folder, Cell(DYNAMO, 0))["metrics"]
    assert 1 <= metrics[FACTOR] <= 1.2 or 0.6 <= metrics[FACTOR] < 1
    assert 0.6 <= metrics[DAMPED] <= 1
    assert metrics[SPREAD] >= 0


def test_results_of_a_stage_become_arms_and_a_note() -> None:
    mix = _mix([9.0, 4.0, 1.0, 0.25], [0.5, 0.25, 0.125, 1.0])
    value = {"metrics": {}, "rates": mix.rate.tolist(), "allocations": compared(mix, 4, 2, 7)}
    cells = [CellResult(stage, 3, "done", value) for stage in (START, LATER)]
    arms = arms_of(by_allocation(cells))
    assert [arm.name for arm in arms] == [at(name, stage) for stage in (START, LATER) for name in ALLOCATIONS]
    first = _notes(cells, arms)[0]
    assert "25% of problems were always or never solved" in first
    assert "mean 0.47" in first
    failed = [CellResult(START, 3, "failed", error="gone")]
    assert by_allocation(failed) == []


def test_unequal_rates_are_told_and_have_a_control() -> None:
    assert _of_rates({DYNAMO: 1e-4, UNIFORM: 1e-4}) == ()
    (note,) = _of_rates({DYNAMO: 3e-5, UNIFORM: 1e-4})
    assert SAME_RATE in note
    (control,) = CONTROLS.values()
    assert control.options == METHODS[UNIFORM].options
    assert control.tuned_as == DYNAMO
    assert {claim.baseline for claim in AFTERWARDS} == {SAME_RATE}
