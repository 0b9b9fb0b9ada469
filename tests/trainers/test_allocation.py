"""Episodes per task: the printed examples, the optimum by brute force, and a gradient that the shares do not bend."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import killed
import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st
from identity import Identity
from tabular import BigramPolicy, episode

from fogline.agents.policies.vector import policy_for
from fogline.core.errors import ConfigurationError, DataError
from fogline.trainers.allocation import (
    allocate_exact,
    allocate_released,
    bernoulli_variance,
    released_priority,
    reserve,
)
from fogline.trainers.batch import batch_of
from fogline.trainers.config import RolloutConfig
from fogline.trainers.learner import Learner, LearnerConfig
from fogline.trainers.recipes import make_recipe
from fogline.trainers.rollouts import Rollouts

torch.set_num_threads(1)


def variance(priority: Sequence[float], given_out: Any) -> float:
    return math.fsum(v / n for v, n in zip(priority, given_out, strict=True))


# The printed examples


def water_level(priority: Sequence[float], budget: int, low: int, high: int) -> list[float]:
    """The optimum over real numbers: n_i = clip(λ σ_i) at the level λ that spends the budget, by bisection."""
    sigma = np.sqrt(priority)
    least, most = 0.0, 1e6
    for _ in range(200):
        level = (least + most) / 2
        if np.clip(level * sigma, low, high).sum() < budget:
            least = level
        else:
            most = level
    return [float(n) for n in np.clip(most * sigma, low, high)]


@pytest.mark.parametrize(
    ("priority", "budget", "low", "high", "released", "level", "exact"),
    [
        ([0.25, 0.16, 0.09, 0.01], 64, 8, 24, [24, 18, 14, 8], [23.333, 18.667, 14, 8], [23, 19, 14, 8]),
        ([0.25, 0.25, 0.01, 0.01], 64, 8, 24, [23, 23, 9, 9], [24, 24, 8, 8], [24, 24, 8, 8]),
        ([0.25, 0.16, 0.09, 0.01], 40, 1, 64, [19, 12, 7, 2], [15.385, 12.308, 9.231, 3.077], [16, 12, 9, 3]),
        ([0.25, 0.01, 0.01, 0.01], 64, 4, 24, [24, 14, 14, 12], [24, 13.333, 13.333, 13.333], [24, 14, 13, 13]),
    ],
)
def test_the_printed_examples(
    priority: list[float],
    budget: int,
    low: int,
    high: int,
    released: list[int],
    level: list[float],
    exact: list[int],
) -> None:
    assert allocate_released(priority, budget, low, high).tolist() == released
    assert allocate_exact(priority, budget, low, high).tolist() == exact
    assert water_level(priority, budget, low, high) == pytest.approx(level, abs=6e-4)


def test_the_printed_variances() -> None:
    priority = [0.25, 0.16, 0.09, 0.01]
    assert variance(priority, [10] * 4) == pytest.approx(0.051, abs=1e-6)
    assert variance(priority, allocate_released(priority, 40, 1, 64)) == pytest.approx(0.044348, abs=1e-6)
    assert variance(priority, allocate_exact(priority, 40, 1, 64)) == pytest.approx(0.042292, abs=1e-6)


def test_a_floor_comes_before_exploration() -> None:
    """The release gives [1,0,5,1,0,1] here."""
    reserved = reserve([20, 19, 0, 4, 37, 23], 8, 1, 5, 8)
    assert reserved.tolist() == [1, 1, 3, 1, 1, 1]
    assert allocate_released([0.2] * 6, 8, reserved.tolist(), 5).tolist() == [1, 1, 3, 1, 1, 1]


# The optimum


@st.composite
def boxes(draw: st.DrawFn, tasks: int = 4, most: int = 6) -> tuple[list[float], int, list[int], list[int]]:
    number = draw(st.integers(1, tasks))
    priority = draw(st.lists(st.one_of(st.just(0.0), st.floats(1e-3, 1)), min_size=number, max_size=number))
    low = draw(st.lists(st.integers(1, 3), min_size=number, max_size=number))
    high = [least + draw(st.integers(0, most - 3)) for least in low]
    return priority, draw(st.integers(sum(low), sum(high))), low, high


@given(boxes())
def test_no_other_split_in_the_box_is_better(box: tuple[list[float], int, list[int], list[int]]) -> None:
    priority, budget, low, high = box
    found = allocate_exact(priority, budget, low, high)
    ranges = [range(least, most + 1) for least, most in zip(low, high, strict=True)]
    best = min(variance(priority, split) for split in itertools.product(*ranges) if sum(split) == budget)
    assert variance(priority, found) == pytest.approx(best, rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("rule", [allocate_exact, allocate_released])
@given(box=boxes(tasks=12, most=20))
def test_the_budget_is_spent_in_the_box_and_the_same_way_every_time(
    rule: Any, box: tuple[list[float], int, list[int], list[int]]
) -> None:
    priority, budget, low, high = box
    found = rule(priority, budget, low, high)
    assert found.sum() == budget and found.dtype == np.int64
    assert (found >= low).all() and (found <= high).all()
    assert (found == rule(priority, budget, low, high)).all()


several = st.lists(st.floats(0, 1), min_size=2, max_size=10)
same_box = st.tuples(several, st.integers(1, 4), st.integers(0, 8), st.data())


@pytest.mark.parametrize("rule", [allocate_exact, allocate_released])
@given(drawn=same_box)
def test_who_varies_more_is_given_no_less(rule: Any, drawn: tuple[list[float], int, int, st.DataObject]) -> None:
    priority, low, room, data = drawn
    budget = data.draw(st.integers(low * len(priority), (low + room) * len(priority)))
    found = rule(priority, budget, low, low + room)
    order = np.argsort(priority, kind="stable")
    for less, more in itertools.pairwise(order):
        if priority[less] < priority[more] * (1 - 1e-9) and (priority[more] > 1e-8 or rule is allocate_exact):
            assert found[less] <= found[more] + (priority[more] == 0)


@given(drawn=same_box, power=st.integers(-20, 20))
def test_the_scale_of_the_priorities_does_not_matter(
    drawn: tuple[list[float], int, int, st.DataObject], power: int
) -> None:
    priority, low, room, data = drawn
    priority = [value if value > 1e-3 else 0.0 for value in priority]
    budget = data.draw(st.integers(low * len(priority), (low + room) * len(priority)))
    scaled = [value * 2.0**power for value in priority]
    one, other = (allocate_exact(each, budget, low, low + room) for each in (priority, scaled))
    assert (one == other).all()


@given(st.permutations(range(6)), st.integers(12, 48))
def test_the_order_of_the_tasks_does_not_matter(order: list[int], budget: int) -> None:
    priority = np.array([0.25, 0.2113, 0.1617, 0.1009, 0.0511, 0.0137])
    for rule in (allocate_exact, allocate_released):
        assert (rule(priority[order], budget, 2, 8) == rule(priority, budget, 2, 8)[order]).all()


@given(st.lists(st.floats(0, 1), min_size=2, max_size=8), st.integers(2, 12), st.integers(0, 3))
def test_the_optimum_is_never_worse_than_an_even_split(priority: list[float], mean: int, slack: int) -> None:
    found = allocate_exact(priority, mean * len(priority), max(1, mean - slack), mean + slack)
    assert variance(priority, found) <= variance(priority, [mean] * len(priority)) * (1 + 1e-12)


@given(st.lists(st.floats(0.01, 1), min_size=2, max_size=6), st.integers(200, 400))
def test_without_a_box_shares_are_those_of_neyman(priority: list[float], budget: int) -> None:
    sigma = np.sqrt(priority)
    found = allocate_exact(priority, budget, 1, budget)
    assert np.abs(found - budget * sigma / sigma.sum()).max() <= len(priority) / 2
    assert variance(priority, found) >= sigma.sum() ** 2 / budget * (1 - 1e-12)


def test_equal_tasks_have_equal_shares_and_the_first_take_what_is_left() -> None:
    for rule in (allocate_exact, allocate_released):
        assert rule([0.2] * 4, 32, 2, 16).tolist() == [8] * 4
        assert rule([0.0] * 4, 32, 2, 16).tolist() == [8] * 4
        assert rule([0.0] * 4, 34, 2, 16).tolist() == [9, 9, 8, 8]


# What is known of a task


@pytest.mark.parametrize("trials", [2, 3, 7, 16])
@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.93, 1.0])
def test_the_estimate_of_the_variance_is_unbiased(trials: int, p: float) -> None:
    counts = np.arange(trials + 1)
    likely = np.array([math.comb(trials, k) * p**k * (1 - p) ** (trials - k) for k in counts])
    estimate = bernoulli_variance(counts, np.full(trials + 1, trials))
    assert likely @ estimate == pytest.approx(p * (1 - p), abs=1e-12)
    assert estimate[0] == estimate[-1] == 0
    assert estimate.argmax() in (trials // 2, (trials + 1) // 2)


def test_fewer_than_two_trials_say_nothing() -> None:
    assert np.isnan(bernoulli_variance([0, 0, 1], [0, 1, 1])).all()


def test_the_released_priority_by_hand() -> None:
    found = released_priority([1, 2, 17, 8, 0, 16], [3, 4, 20, 16, 16, 20])
    assert found == pytest.approx(
        [0, 4 / 12 + 1e-6 / 2, 0.01, 64 / 240 + 1e-6 / 2, 0.01, 64 / 380 + 1e-6 / 5], abs=1e-12
    )


@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=8), st.integers(1, 6), st.integers(0, 8), st.integers(0, 12),
    st.data(),
)  # fmt: skip
def test_what_is_reserved_is_the_floor_and_what_lacks_to_exploration(
    trials: list[int], low: int, room: int, exploration: int, data: st.DataObject
) -> None:
    high = low + room
    budget = data.draw(st.integers(low * len(trials), high * len(trials)))
    found = reserve(trials, budget, low, high, exploration)
    wanted = [min(high, max(low, exploration - seen)) for seen in trials]
    assert (found >= low).all() and (found <= high).all() and found.sum() <= budget
    if sum(wanted) <= budget:
        assert found.tolist() == wanted
    else:
        assert found.sum() == budget and (found <= wanted).all()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: allocate_exact([0.1] * 4, 31, 8, 24), ConfigurationError, "below the floor of 32.*lower rollouts_low"),
        (lambda: allocate_released([0.1] * 4, 31, 8, 24), ConfigurationError, "below the floor of 32"),
        (lambda: reserve([0] * 4, 31, 8, 24, 4), ConfigurationError, "below the floor of 32"),
        (lambda: allocate_exact([0.1] * 4, 97, 8, 24), ConfigurationError, "above the ceiling of 96.*rollouts_high"),
        (lambda: allocate_exact([0.1], 4, 0, 24), ConfigurationError, "1 <= low <= high"),
        (lambda: allocate_exact([0.1], 4, 5, 4), ConfigurationError, "1 <= low <= high"),
        (lambda: allocate_exact([], 4, 1, 4), ConfigurationError, "priority has shape"),
        (lambda: allocate_exact([0.1, math.nan], 4, 1, 4), DataError, "priority nan of task 1"),
        (lambda: allocate_released([-0.1, 0.1], 4, 1, 4), DataError, "priority -0.1 of task 0"),
        (lambda: bernoulli_variance([1.5], [4]), DataError, r"correct=1.5 of trials=4.*correct_above"),
        (lambda: bernoulli_variance([5], [4]), DataError, "correct=5 of trials=4"),
        (lambda: released_priority([0.3], [4]), DataError, "correct=0.3"),
        (lambda: bernoulli_variance([1, 2], [4]), ConfigurationError, "one count for each task"),
    ],
)
def test_what_cannot_be_is_refused_with_the_fix(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


# As a part of a recipe


def known(counts: dict[str, tuple[int, int]]) -> dict[str, Any]:
    return {
        "tasks": tuple(counts),
        "trials": {name: trials for name, (_, trials) in counts.items() if trials},
        "correct": {name: correct for name, (correct, trials) in counts.items() if trials},
    }


WIDE: dict[str, Any] = {"rollouts_low": 2, "rollouts_high": 590, "exploration": 0}


@pytest.mark.parametrize("power", [0.5, 1.0])
def test_shares_follow_the_chosen_power_of_the_proxy(power: float) -> None:
    statistics = known({"half": (100, 200), "tenth": (20, 200), "rare": (2, 200)})
    spread = bernoulli_variance([100, 20, 2], [200] * 3) ** power
    allocate = make_recipe("dynamo", proxy_power=power, **WIDE).allocate
    assert allocate is not None
    found = allocate(statistics, ("half", "tenth", "rare"), 600)
    assert found == pytest.approx(600 * spread / spread.sum(), abs=1.5)


def test_the_box_follows_the_group_size_as_in_the_release() -> None:
    statistics = known({"half": (50, 100), "never": (0, 100), "always": (100, 100), "also": (50, 100)})
    for size, low, high in ((16, 8, 24), (8, 4, 12), (2, 2, 3)):
        allocate = make_recipe("dynamo").allocate
        assert allocate is not None
        found = allocate(statistics, tuple(statistics["tasks"]), 4 * size)
        assert min(found) == (low if size > 2 else 2) and max(found) <= high
        assert found[0] == found[3] == (high if size > 2 else 2)


def test_a_task_that_nobody_knows_counts_as_the_others_do() -> None:
    statistics = known({"half": (50, 100), "tenth": (10, 100), "new": (0, 0)})
    allocate = make_recipe("dynamo", proxy_power=0.5, rollouts_low=2, rollouts_high=90, exploration=0).allocate
    assert allocate is not None
    half, tenth, new = allocate(statistics, ("half", "tenth", "new"), 120)
    assert tenth < new < half
    fresh = known(dict.fromkeys("abc", (0, 0)))
    assert list(allocate(fresh, ("a", "b", "c"), 24)) == [8, 8, 8]


def test_the_released_rule_explores_first_and_then_fills_up() -> None:
    statistics = known({"half": (50, 100), "mastered": (99, 100), "new": (0, 1)})
    allocate = make_recipe("dynamo", allocator="released", rollouts_low=2, rollouts_high=20, exploration=6).allocate
    assert allocate is not None
    spread = bernoulli_variance([50], [100])[0] + 0.5e-6
    reserved = [2, 2, 5]
    expected = allocate_released([spread, 0.01, 0.0], 30, reserved, 20)
    assert list(allocate(statistics, ("half", "mastered", "new"), 30)) == expected.tolist()


def test_statistics_of_another_set_of_tasks_are_refused() -> None:
    allocate = make_recipe("dynamo").allocate
    assert allocate is not None
    with pytest.raises(ConfigurationError, match=r"another set of tasks.*\['strange'\].*resume=False"):
        allocate(known({"a": (1, 2)}), ("a", "strange"), 8)


def test_correctness_that_is_not_binary_is_refused() -> None:
    allocate = make_recipe("dynamo").allocate
    assert allocate is not None
    with pytest.raises(DataError, match=r"correct=2\.5 of trials=4"):
        allocate({"tasks": ("a",), "trials": {"a": 4}, "correct": {"a": 2.5}}, ("a",), 8)


@pytest.mark.parametrize(
    ("options", "size", "message"),
    [
        ({"rollouts_low": 4}, 3, "budget=3 is below the floor of 4"),
        ({"rollouts_high": 4}, 5, "budget=5 is above the ceiling of 4"),
        ({"rollouts_low": 5, "rollouts_high": 4}, 5, "1 <= low <= high"),
    ],
)
def test_a_box_that_the_group_size_misses_is_refused_before_anything_is_played(
    options: dict[str, Any], size: int, message: str, tmp_path: Path
) -> None:
    rollout = RolloutConfig(tasks_per_update=2, group_size=size)
    with pytest.raises(ConfigurationError, match=message):
        killed.trainer(str(tmp_path), 1, recipe="dynamo", options=options, rollout=rollout)


def test_a_group_of_one_has_nothing_to_compare() -> None:
    with pytest.raises(ConfigurationError, match=r"rollouts_low=1 is too small for recipe 'dynamo'.*2 or more"):
        make_recipe("dynamo", rollouts_low=1)


# Played


class Easy(Identity):
    """Tasks named ``sure`` always pay, ``never`` never, others by a coin of the seed."""

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        observation, _, over, cut, info = super().step(action)
        coin = float(self.np_random.random() < 0.5)
        return observation, {"sure": 1.0, "never": 0.0}.get(self.task_id, coin), over, cut, info


def test_what_was_learned_of_tasks_decides_how_often_they_are_played() -> None:
    def world() -> Easy:
        return Easy(spaces.Discrete(3), length=1)

    tasks = ("sure", "never", "coin")
    source = Rollouts(
        world, policy_for(world(), hidden=(4,)), tasks, RolloutConfig(tasks_per_update=3, group_size=8), seed=0
    )
    recipe = make_recipe("dynamo")
    first = source.play(recipe).batch
    assert torch.unique(first.group, return_counts=True)[1].tolist() == [8, 8, 8], "nothing is known yet"
    assert source.statistics.tasks == tasks
    second = source.play(recipe).batch
    played = {second.task_ids[task]: int((second.task == task).sum()) for task in range(3)}
    assert played == {"coin": 12, "sure": 6, "never": 6}
    assert all(len(torch.unique(second.group[second.task == task])) == 1 for task in range(3))
    assert sum(source.statistics.trials.values()) == 48


def test_a_resumed_run_shares_out_as_the_uninterrupted_one(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"recipe": "dynamo", "rollout": RolloutConfig(tasks_per_update=3, group_size=6)}

    def stop(row: Any) -> None:
        if row["update"] == 3:
            raise KeyboardInterrupt

    whole = killed.trainer(str(tmp_path / "whole"), 5, **settings)
    rows = whole.train()
    with pytest.raises(KeyboardInterrupt):
        killed.trainer(str(tmp_path / "cut"), 5, stop, **settings).train()
    resumed = killed.trainer(str(tmp_path / "cut"), 5, **settings)
    again = resumed.train()
    assert resumed.rollouts.statistics == whole.rollouts.statistics
    for name in ("group_rows_min", "group_rows_max", "group_rows_std", "reward_mean", "loss"):
        assert [row[name] for row in again] == [row[name] for row in rows[-len(again) :]]


@pytest.mark.parametrize("tasks", [("a", "b"), ("a", "b", "other"), ("b", "a", "short")])
def test_a_checkpoint_of_other_tasks_is_refused(tasks: tuple[str, ...], tmp_path: Path) -> None:
    settings: dict[str, Any] = {"recipe": "dynamo", "rollout": RolloutConfig(tasks_per_update=2, group_size=4)}
    killed.trainer(str(tmp_path), 2, **settings).train()
    with pytest.raises(ConfigurationError, match=r"prompt statistics are of 3 tasks.*resume=False"):
        killed.trainer(str(tmp_path), 4, **settings, env_kwargs={"tasks": tasks}).train()


# The gradient

PAYS = {"a": (1.0, 0.0), "b": (0.2, 0.7)}
"""Reward of each of two tokens, by task."""


def expected_gradient(sizes: tuple[int, int], **options: Any) -> torch.Tensor:
    """The mean of a step's gradient over every outcome of every episode, weighed by its probability."""
    policy = BigramPolicy(vocabulary=2, length=1, seed=4)
    logp = dict(policy.module.named_parameters())["table"].detach().log_softmax(-1)
    settings = {"aggregation": "seq-mean-token-mean", "compensation": 0.0, "stabilisation": 1.0, **options}
    total = torch.zeros(3, 2, dtype=torch.float64)
    for outcome in itertools.product((0, 1), repeat=sum(sizes)):
        rows, likely = [], 0.0
        for place, token in enumerate(outcome):
            task = "a" if place < sizes[0] else "b"
            state = 0 if task == "a" else 1
            likely += float(logp[state, token])
            rows.append(episode(task, place, [([state], [token], PAYS[task][token])], policy=policy))
        one = BigramPolicy(vocabulary=2, length=1, seed=4)
        config = LearnerConfig(max_gradient_norm=None)
        Learner(one, make_recipe("dynamo", **settings), config).update(batch_of(rows, one, dtype=torch.float64))
        gradient = dict(one.module.named_parameters())["table"].grad
        assert gradient is not None
        total += math.exp(likely) * gradient
    return total


def true_gradient() -> torch.Tensor:
    """Of minus the mean over both tasks of what is expected of one token."""
    table = torch.nn.Parameter(dict(BigramPolicy(vocabulary=2, seed=4).module.named_parameters())["table"].detach())
    probability = table.softmax(-1)
    pays = torch.tensor([*PAYS.values(), (0.0, 0.0)], dtype=torch.float64)
    return torch.autograd.grad(-(probability * pays).sum() / 2, table)[0]


@pytest.mark.parametrize("sizes", [(2, 2), (2, 4), (5, 2), (3, 3)])
def test_the_expected_gradient_does_not_depend_on_the_allocation(sizes: tuple[int, int]) -> None:
    found = expected_gradient(sizes, advantage="leave-one-out", prompt_weighting="prompt")
    torch.testing.assert_close(found, true_gradient(), rtol=0, atol=1e-12)


def test_without_row_weights_it_does() -> None:
    one, other = (
        expected_gradient(sizes, advantage="leave-one-out", prompt_weighting="token") for sizes in ((2, 4), (4, 2))
    )
    assert (one - other).abs().max() > 1e-2
    even = expected_gradient((3, 3), advantage="leave-one-out", prompt_weighting="token")
    torch.testing.assert_close(even, true_gradient(), rtol=0, atol=1e-12)


def test_a_mean_that_includes_the_row_itself_shrinks_small_groups() -> None:
    """(n - 1)/n of it: a bias of the credit that no row weight takes away, and that leave-one-out does not have."""
    found = expected_gradient((2, 4), scale="none", prompt_weighting="prompt")
    shrunk = true_gradient() * torch.tensor([[1 / 2], [3 / 4], [0.0]], dtype=torch.float64)
    torch.testing.assert_close(found, shrunk, rtol=0, atol=1e-12)


@pytest.mark.parametrize("config", [{"micro_batch": 1}, {"micro_batch": 2}])
def test_a_row_weighs_by_its_whole_group_however_a_step_is_split(config: dict[str, Any]) -> None:
    policy = BigramPolicy(seed=2)
    rows = [
        episode(task, seed, [([seed % 5], [seed % 3, 1], float(seed % 2))], policy=policy)
        for seed, task in enumerate("aaaabbaaab")
    ]
    batch = batch_of(rows, policy, dtype=torch.float64)
    gradients = []
    for settings in ({}, config):
        own = BigramPolicy(seed=2)
        recipe = make_recipe("dynamo", prompt_weighting="prompt", aggregation="seq-mean-token-mean")
        Learner(own, recipe, LearnerConfig(max_gradient_norm=None, **settings)).update(batch)
        gradients.append(dict(own.module.named_parameters())["table"].grad)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=0, atol=1e-12)
