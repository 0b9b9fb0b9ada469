"""Level I of Silo-Bench: answers against brute force, summaries that merge, what generators draw."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from fractions import Fraction
from heapq import nlargest
from math import sqrt
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from silo_instances import SIZES, TALK, answers, flat, instance, instances, same, wired

from fogline.envs.silo_bench.tasks.i_01_global_maximum import GlobalMaximum
from fogline.envs.silo_bench.tasks.i_02_word_frequency import WordFrequency
from fogline.envs.silo_bench.tasks.i_03_distributed_vote import DistributedVote
from fogline.envs.silo_bench.tasks.i_04_any_match import AnyMatch
from fogline.envs.silo_bench.tasks.i_05_range_count import RangeCount
from fogline.envs.silo_bench.tasks.i_06_checksum import Checksum
from fogline.envs.silo_bench.tasks.i_07_average_value import AverageValue
from fogline.envs.silo_bench.tasks.i_08_set_union_size import SetUnionSize
from fogline.envs.silo_bench.tasks.i_09_top_k_selection import TopKSelection
from fogline.envs.silo_bench.tasks.i_10_standard_deviation import StandardDeviation
from fogline.envs.silo_bench.tasks.task import Problem, SiloTask

TASKS: dict[str, SiloTask] = {
    task.task_id: task
    for task in (
        GlobalMaximum(),
        WordFrequency(),
        DistributedVote(),
        AnyMatch(),
        RangeCount(),
        Checksum(),
        AverageValue(),
        SetUnionSize(),
        TopKSelection(),
        StandardDeviation(),
    )
}
ITEMS = dict(zip(TASKS, (20, 30, 25, 15, 30, 20, 25, 30, 30, 30), strict=True))
every_task = pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)


def parity_by_bit(numbers: list[int]) -> int:
    return sum(2**bit for bit in range(8) if sum(f"{number:08b}"[7 - bit] == "1" for number in numbers) % 2)


def exact_mean(numbers: list[float]) -> Fraction:
    return sum(map(Fraction, numbers), Fraction()) / len(numbers)


def exact_deviation(numbers: list[float]) -> float:
    return round(sqrt(exact_mean([float(n) ** 2 for n in numbers]) - exact_mean(numbers) ** 2), 2)


def plurality(votes: list[str]) -> str:
    counts = Counter(votes)
    return min(counts, key=lambda name: (-counts[name], name))


BRUTE_FORCE: dict[str, Callable[[list[Any]], Any]] = {
    "I-01": lambda numbers: sorted(numbers)[-1],
    "I-02": lambda words: Counter(words)["apple"],
    "I-03": plurality,
    "I-04": lambda lines: re.search("ERROR", "\n".join(lines)) is not None,
    "I-05": lambda numbers: len([number for number in numbers if number in range(100, 501)]),
    "I-06": parity_by_bit,
    "I-07": lambda numbers: round(float(exact_mean(numbers)), 2),
    "I-08": lambda numbers: len(Counter(numbers)),
    "I-09": lambda numbers: nlargest(10, numbers),
    "I-10": exact_deviation,
}


@every_task
def test_every_agent_owes_what_brute_force_finds_in_the_whole_data(task: SiloTask) -> None:
    for problem in instances(task):
        expected = BRUTE_FORCE[task.task_id](flat(problem))
        assert all(same(answer, expected, task.tolerance) for answer in task.solve(problem))
        assert len(task.solve(problem)) == len(problem.shards)


@every_task
@given(size=st.sampled_from(SIZES), seed=st.integers(0, 2**32), order=st.randoms(use_true_random=False))
@settings(max_examples=12)
def test_summaries_merged_in_any_association_give_the_answer(
    task: SiloTask, size: int, seed: int, order: Random
) -> None:
    problem = instance(task, size, seed)
    expected = list(task.solve(problem))
    before = deepcopy(problem)
    assert same(answers(task, problem), expected, task.tolerance)
    assert same(answers(task, problem, order), expected, task.tolerance)
    assert same(answers(task, problem, order, as_json=True), expected, task.tolerance)
    assert problem == before


@every_task
@pytest.mark.parametrize("size", SIZES)
def test_shards_have_the_published_size_and_survive_json(task: SiloTask, size: int) -> None:
    problem = instance(task, size)
    assert [len(shard) for shard in problem.shards] == [ITEMS[task.task_id]] * size
    assert wired(problem.shards) == list(problem.shards)
    assert task.items_per_agent == ITEMS[task.task_id]


@every_task
def test_a_seed_decides_the_instance(task: SiloTask) -> None:
    assert instance(task, 5, 7) == instance(task, 5, 7)
    assert instance(task, 5, 7) != instance(task, 5, 8)


@every_task
def test_one_agent_with_all_data_owes_the_same_answer(task: SiloTask) -> None:
    for problem in instances(task):
        alone = task.united(problem)
        assert alone.shards == (flat(problem),)
        assert task.solve(alone) == task.solve(problem)[:1]
        assert same(answers(task, alone), list(task.solve(alone)), task.tolerance)


@every_task
def test_wording_names_the_positions_held_and_nobody_to_talk_to(task: SiloTask) -> None:
    problem, items = instance(task, 5), ITEMS[task.task_id]
    for agent in range(5):
        words = task.wording(problem, agent)
        assert f"positions 0 to {5 * items - 1}" in words.task
        assert f"positions {items * agent} to {items * agent + items - 1} " in words.task
        assert not [word for word in TALK if re.search(rf"\b{word}s?\b", " ".join(words).lower())]
        assert "JSON" in words.answer
        assert ("rounded to 2 decimals" in words.answer) == (task.tolerance > 0)
    assert "whole" in task.wording(task.united(problem), 0).task


@every_task
def test_only_all_shards_together_decide(task: SiloTask) -> None:
    problem = Problem(tuple([0] for _ in range(4))) if task.task_id != "I-04" else Problem((["INFO"],) * 4)
    assert [mask for mask in range(16) if task.sufficient(problem, 1, mask)] == [15]
    assert (task.level, task.segmented, task.scope, task.topology) == ("I", False, "all", "star")


@pytest.mark.parametrize(("task_id", "low", "high"), [("I-01", -1000, 1000), ("I-05", 0, 1000), ("I-06", 0, 255)])
def test_integers_fill_their_range_and_stay_in_it(task_id: str, low: int, high: int) -> None:
    numbers = np.concatenate([flat(instance(TASKS[task_id], 100, seed)) for seed in range(20)])
    assert (numbers.min(), numbers.max()) == (low, high)
    assert abs(numbers.mean() - (low + high) / 2) < 0.02 * (high - low)


def test_top_k_draws_from_1_to_1000() -> None:
    numbers = flat(instance(TASKS["I-09"], 500, 1))
    assert (min(numbers), max(numbers)) == (1, 1000)


@pytest.mark.parametrize("task_id", ["I-07", "I-10"])
def test_floats_fill_0_to_100(task_id: str) -> None:
    numbers = np.array(flat(instance(TASKS[task_id], 100)))
    assert 0 <= numbers.min() < 1 < 99 < numbers.max() < 100
    assert abs(numbers.std() - 100 / sqrt(12)) < 1


def test_every_tenth_word_is_apple_and_one_in_seven_of_the_others() -> None:
    words = flat(instance(TASKS["I-02"], 100))
    assert set(words[::10]) == {"apple"}
    others = [word for position, word in enumerate(words) if position % 10]
    assert sorted(set(others)) == ["apple", "banana", "cherry", "date", "elderberry", "fig", "grape"]
    assert all(abs(count / len(others) - 1 / 7) < 0.03 for count in Counter(others).values())


def test_the_drawn_winner_holds_every_even_vote_and_each_candidate_wins_some_votes() -> None:
    winners = Counter()
    for seed in range(100):
        problem = instance(TASKS["I-03"], 3, seed)
        (winner,) = set(flat(problem)[::2])
        assert TASKS["I-03"].solve(problem) == (winner,) * 3
        winners[winner] += 1
    assert sorted(winners) == ["Candidate_A", "Candidate_B", "Candidate_C", "Candidate_D"]
    assert min(winners.values()) > 10


def test_a_tied_vote_goes_to_the_first_in_the_alphabet() -> None:
    task = TASKS["I-03"]
    problem = Problem((["Candidate_C", "Candidate_B"], ["Candidate_B", "Candidate_C"]))
    assert task.solve(problem) == ("Candidate_B",) * 2
    assert answers(task, problem) == ["Candidate_B"] * 2


def test_half_of_the_logs_have_one_error_and_it_may_lie_with_anybody() -> None:
    task, holders = TASKS["I-04"], Counter()
    for seed in range(300):
        problem = instance(task, 5, seed)
        found = [agent for agent, shard in enumerate(problem.shards) for line in shard if "ERROR" in line]
        assert len(found) == task.solve(problem)[0]
        holders.update(found or [None])
    assert 120 < holders.pop(None) < 180
    assert sorted(holders) == [0, 1, 2, 3, 4]
    assert min(holders.values()) > 10


def test_the_line_of_an_error_is_the_only_one_that_says_so() -> None:
    lines = {line for seed in range(20) for line in flat(instance(TASKS["I-04"], 10, seed))}
    assert len(lines) == 6
    assert [line for line in sorted(lines) if "ERROR" in line] == ["ERROR: Critical failure detected"]


def test_any_shard_with_an_error_suffices() -> None:
    problem = Problem((["INFO"], ["INFO", "ERROR: x"], ["INFO"], ["ERROR: y"]))
    for agent in range(4):
        enough = [mask for mask in range(16) if TASKS["I-04"].sufficient(problem, agent, mask)]
        assert enough == [mask for mask in range(16) if mask & 0b1010]


@pytest.mark.parametrize("size", SIZES)
def test_values_of_the_union_are_half_as_many_as_items(size: int) -> None:
    drawn = [flat(instance(TASKS["I-08"], size, seed)) for seed in range(30)]
    assert all(0 <= number < 15 * size for numbers in drawn for number in numbers)
    assert max(map(max, drawn)) == 15 * size - 1
    distinct = np.mean([len(set(numbers)) for numbers in drawn])
    # Each of m values is missed by 2m draws with probability about exp(-2).
    assert abs(distinct / (15 * size) - (1 - np.exp(-2))) < 0.04


@every_task
def test_published_data_is_no_different(task: SiloTask) -> None:
    assert instance(task, 4, 1, "repo") == instance(task, 4, 1, "fixed")


def test_summaries_stay_as_small_as_their_answers_allow() -> None:
    sizes = {"I-03": 4, "I-07": 2, "I-09": 10, "I-10": 3}
    for task_id, task in TASKS.items():
        problem = instance(task, 3)
        one, other = (task.local(problem.shards[agent], agent, {}) for agent in (0, 1))
        both = task.merge(one, other)
        if task_id == "I-08":
            assert len(both) == len({*problem.shards[0], *problem.shards[1]})
        elif task_id in sizes:
            assert len(both) == len(one) == sizes[task_id]
        else:
            assert isinstance(both, int)
