"""Level II of Silo-Bench: answers against brute force, summaries that merge, what generators draw."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from fractions import Fraction
from itertools import pairwise
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from silo_instances import SEGMENTED, SIZES, TALK, answers, flat, instance, instances, same, wired

from fogline.envs.silo_bench.tasks.ii_11_prefix_sum import PrefixSum
from fogline.envs.silo_bench.tasks.ii_12_moving_average import MovingAverage
from fogline.envs.silo_bench.tasks.ii_13_longest_palindrome import LongestPalindrome
from fogline.envs.silo_bench.tasks.ii_14_life_game import LifeGame
from fogline.envs.silo_bench.tasks.ii_15_pattern_search import PatternSearch
from fogline.envs.silo_bench.tasks.ii_16_trapping_rain import TrappingRain
from fogline.envs.silo_bench.tasks.ii_17_diff_array import DiffArray
from fogline.envs.silo_bench.tasks.ii_18_list_ranking import ListRanking
from fogline.envs.silo_bench.tasks.ii_19_merge_neighbors import MergeNeighbors
from fogline.envs.silo_bench.tasks.ii_20_pipeline_hash import PipelineHash
from fogline.envs.silo_bench.tasks.task import Problem, SiloTask

TASKS: dict[str, SiloTask] = {
    task.task_id: task
    for task in (
        PrefixSum(),
        MovingAverage(),
        LongestPalindrome(),
        LifeGame(),
        PatternSearch(),
        TrappingRain(),
        DiffArray(),
        ListRanking(),
        MergeNeighbors(),
        PipelineHash(),
    )
}
ITEMS = dict(zip(TASKS, (15, 15, 15, 10, 20, 10, 15, 8, 15, 5), strict=True))
TOPOLOGIES = {"II-11": "chain", "II-15": "chain", "II-17": "chain", "II-18": "all-to-all", "II-20": "chain"}
every_task = pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)


def averages(numbers: list[int]) -> list[float]:
    return [float(round(Fraction(sum(numbers[i - 1 : i + 2]), 3), 2)) for i in range(1, len(numbers) - 1)]


def longest_mirror(letters: list[str]) -> int:
    size = len(letters)
    starts = ((length, range(size - length + 1)) for length in range(size, 0, -1))
    return next(n for n, firsts in starts if any(letters[i : i + n] == letters[i : i + n][::-1] for i in firsts))


def live_after_five(cells: list[int]) -> list[int]:
    live = {i for i, cell in enumerate(cells) if cell}
    for _ in range(5):
        counts = Counter(place for i in live for place in (i - 1, i, i + 1))
        live = {place for place, count in counts.items() if count == 1 and 0 <= place < len(cells)}
    return [int(i in live) for i in range(len(cells))]


def water_by_layer(heights: list[int]) -> int:
    water = 0
    for layer in range(1, max(heights) + 1):
        walls = [i for i, height in enumerate(heights) if height >= layer]
        water += walls[-1] - walls[0] + 1 - len(walls)
    return water


def ranks_from_the_tail(nodes: list[dict[str, int]]) -> dict[str, int]:
    previous = {node["next"]: node["id"] for node in nodes}
    rank, node = {}, -1
    for place in range(len(nodes) - 1, -1, -1):
        node = previous[node]
        rank[str(node)] = place
    return rank


def hash_chain(texts: list[str]) -> list[int]:
    state, chain = 0, []
    for text in texts:
        total = 0
        for letter in text:
            total += ord(letter)
        state = ((total % 10000) ^ state) % 10000
        chain.append(state)
    return chain


BRUTE_FORCE: dict[str, Callable[[list[Any]], Any]] = {
    "II-11": lambda numbers: [sum(numbers[: i + 1]) for i in range(len(numbers))],
    "II-12": averages,
    "II-13": longest_mirror,
    "II-14": live_after_five,
    "II-15": lambda letters: len(re.findall("A[^B]*B[^C]*C", "".join(letters))),
    "II-16": water_by_layer,
    "II-17": lambda numbers: np.diff(numbers).tolist(),
    "II-18": ranks_from_the_tail,
    "II-19": lambda numbers: sorted(set(numbers)),
    "II-20": hash_chain,
}


def owed(task: SiloTask, problem: Problem) -> list[Any]:
    """What brute force says that each agent owes."""
    whole = BRUTE_FORCE[task.task_id](flat(problem))
    if task.task_id not in SEGMENTED:
        return [whole] * len(problem.shards)
    ends = np.cumsum([len(shard) for shard in problem.shards])
    return [whole[end - len(shard) : end] for end, shard in zip(ends, problem.shards, strict=True)]


def agree(task: SiloTask, problem: Problem, order: Random) -> bool:
    """Whether brute force, definition and merged summaries give the same answers."""
    expected = owed(task, problem)
    ways = (
        list(task.solve(problem)),
        answers(task, problem),
        answers(task, problem, order),
        answers(task, problem, order, as_json=True),
    )
    return all(same(way, expected, task.tolerance) for way in ways)


@every_task
def test_every_agent_owes_what_brute_force_finds_in_the_whole_data(task: SiloTask) -> None:
    for problem in instances(task):
        assert same(list(task.solve(problem)), owed(task, problem), task.tolerance)


@every_task
@given(size=st.sampled_from(SIZES[:-1]), seed=st.integers(0, 2**32), order=st.randoms(use_true_random=False))
@settings(max_examples=12)
def test_summaries_merged_in_any_association_give_the_answer(
    task: SiloTask, size: int, seed: int, order: Random
) -> None:
    problem = instance(task, size, seed)
    before = deepcopy(problem)
    assert agree(task, problem, order)
    assert problem == before


@every_task
def test_twenty_agents_agree_with_brute_force(task: SiloTask) -> None:
    assert agree(task, instance(task, 20), Random(0))


@every_task
@pytest.mark.parametrize("size", SIZES)
def test_shards_have_the_published_size_and_survive_json(task: SiloTask, size: int) -> None:
    problem = instance(task, size)
    assert [len(shard) for shard in problem.shards] == [ITEMS[task.task_id]] * size
    assert wired(problem.shards) == list(problem.shards)
    assert wired(task.solve(problem)) == list(task.solve(problem))
    assert task.items_per_agent == ITEMS[task.task_id]


@every_task
def test_a_seed_decides_the_instance(task: SiloTask) -> None:
    assert instance(task, 5, 7) == instance(task, 5, 7)
    assert instance(task, 5, 7) != instance(task, 5, 8)


@every_task
def test_one_agent_with_all_data_owes_the_whole_answer(task: SiloTask) -> None:
    for problem in instances(task):
        alone, parts = task.united(problem), task.solve(problem)
        assert list(alone.shards[0]) == flat(problem)
        whole = [value for part in parts for value in part] if task.task_id in SEGMENTED else parts[0]
        assert task.solve(alone) == (whole,)
        assert same(answers(task, alone), [whole], task.tolerance)


@every_task
def test_wording_names_the_positions_held_and_nobody_to_talk_to(task: SiloTask) -> None:
    problem, items = instance(task, 5), ITEMS[task.task_id]
    for agent in range(5):
        words = task.wording(problem, agent)
        assert not [word for word in TALK if re.search(rf"\b{word}s?\b", " ".join(words).lower())]
        assert "JSON" in words.answer
        assert ("rounded to 2 decimals" in " ".join(words)) == (task.task_id == "II-12")
        assert ("positions that you hold, and only these" in words.answer) == (task.task_id in SEGMENTED)
        if task.task_id != "II-18":
            assert f"positions 0 to {5 * items - 1}" in words.task
            assert f"positions {items * agent} to {items * agent + items - 1} " in words.task
    assert re.search("whole|all 40 nodes", task.wording(task.united(problem), 0).task)


@every_task
def test_scopes_and_topologies_are_the_published_ones(task: SiloTask) -> None:
    assert (task.level, task.segmented) == ("II", task.task_id in SEGMENTED)
    assert task.topology == TOPOLOGIES.get(task.task_id, "both ways")
    problem = instance(task, 4)
    least = {"II-11": 0b0111, "II-20": 0b0111, "II-14": 0b1110}.get(task.task_id, 0b1111)
    assert [mask for mask in range(16) if task.sufficient(problem, 2, mask)] == [
        mask for mask in range(16) if mask & least == least
    ]


@every_task
def test_only_the_generators_with_defects_differ_from_the_published(task: SiloTask) -> None:
    differs = instance(task, 4, 1, "repo") != instance(task, 4, 1, "fixed")
    assert differs == (task.task_id in ("II-13", "II-20"))
    assert all(same(list(task.solve(p)), owed(task, p), task.tolerance) for p in instances(task, "repo", seeds=1))


# Inputs that no generator draws: the summaries must be exact for these too.


@given(st.lists(st.text("ab", min_size=1, max_size=12), min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_palindromes_are_found_in_any_text(shards: list[str], order: Random) -> None:
    assert agree(TASKS["II-13"], Problem(tuple(shards)), order)


@given(st.lists(st.text("ABCD", min_size=1, max_size=8), min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_patterns_are_counted_in_any_text(shards: list[str], order: Random) -> None:
    assert agree(TASKS["II-15"], Problem(tuple(shards)), order)


@given(
    st.lists(st.lists(st.integers(0, 10), min_size=1, max_size=8), min_size=1, max_size=6),
    st.randoms(use_true_random=False),
)
def test_water_is_measured_over_any_bars(shards: list[list[int]], order: Random) -> None:
    assert agree(TASKS["II-16"], Problem(tuple(shards)), order)


@given(
    st.lists(st.lists(st.integers(0, 1), min_size=5, max_size=12), min_size=1, max_size=6),
    st.randoms(use_true_random=False),
)
def test_five_cells_beside_a_block_are_enough_for_five_steps(shards: list[list[int]], order: Random) -> None:
    assert agree(TASKS["II-14"], Problem(tuple(shards)), order)


@given(
    st.lists(
        st.lists(st.text(st.characters(min_codepoint=900, max_codepoint=9000), max_size=9), min_size=1, max_size=4)
    ),
    st.randoms(use_true_random=False),
)
def test_hashes_are_exact_where_the_modulus_acts(shards: list[list[str]], order: Random) -> None:
    assert agree(TASKS["II-20"], Problem((["\u4e00"], ["\u2000"], *shards)), order)


def test_the_modulus_acts_on_the_exclusive_or_and_hides_where_it_came_from() -> None:
    # 8191 and 8192 differ in every one of 14 bits: their exclusive or, 16383, is beyond the modulus.
    problem = Problem(((chr(8191),), (chr(8192),)))
    assert TASKS["II-20"].solve(problem) == ([8191], [6383])
    assert answers(TASKS["II-20"], problem) == [[8191], [6383]]


# What the generators draw.


@pytest.mark.parametrize(
    ("task_id", "low", "high"),
    [("II-11", 1, 50), ("II-12", 1, 100), ("II-14", 0, 1), ("II-17", 1, 100), ("II-19", 1, 50)],
)
def test_integers_fill_their_range_and_stay_in_it(task_id: str, low: int, high: int) -> None:
    numbers = np.concatenate([flat(instance(TASKS[task_id], 100, seed)) for seed in range(5)])
    assert (numbers.min(), numbers.max()) == (low, high)
    assert abs(numbers.mean() - (low + high) / 2) < 0.03 * (high - low)


def test_the_list_with_repetitions_is_sorted_across_shards_and_runs_span_them() -> None:
    problem = instance(TASKS["II-19"], 50)
    assert flat(problem) == sorted(flat(problem))
    assert any(left[-1] == right[0] for left, right in pairwise(problem.shards))


@pytest.mark.parametrize("size", SIZES[1:])
def test_no_agent_holds_the_longest_palindrome_alone(size: int) -> None:
    lengths = set()
    for seed in range(20):
        problem = instance(TASKS["II-13"], size, seed)
        (length,) = set(TASKS["II-13"].solve(problem))
        assert length >= 17 > max(map(len, problem.shards))
        assert "racecar" in "".join(problem.shards)
        lengths.add(length)
    assert len(lengths) > 4


@pytest.mark.parametrize("size", SIZES)
def test_the_published_text_has_racecar_somewhere(size: int) -> None:
    places = [
        re.search("racecar", "".join(instance(TASKS["II-13"], size, seed, "repo").shards)).start() for seed in range(40)
    ]
    assert len(set(places)) > 6
    text = "".join(instance(TASKS["II-13"], 100, 0, "repo").shards)
    assert re.fullmatch("[a-z]{1500}", text) and len(set(text)) == 26


def test_the_pattern_is_planted() -> None:
    texts = ["".join(instance(TASKS["II-15"], 1, seed).shards) for seed in range(200)]
    # The second planting may break the first, but itself it stays.
    assert all(re.search("A.{0,4}B.{0,8}C", text) for text in texts)
    assert set("".join(texts)) == set("ABCDXYZ")


def test_every_fifth_bar_is_low_and_the_others_are_not() -> None:
    rows = np.array([flat(instance(TASKS["II-16"], 5, seed)) for seed in range(200)])
    columns = rows.max(axis=0)
    assert columns.tolist() == [3 if i % 5 == 1 and i < 49 else 10 for i in range(50)]
    assert rows.min(axis=0).tolist() == [0] * 50


@pytest.mark.parametrize("size", SIZES)
def test_nodes_form_one_list_and_are_dealt_at_random(size: int) -> None:
    problem = instance(TASKS["II-18"], size)
    nodes = flat(problem)
    assert sorted(node["id"] for node in nodes) == list(range(8 * size))
    assert sorted(node["next"] for node in nodes) == sorted({*range(-1, 8 * size)} - {head(nodes)})
    assert sorted(TASKS["II-18"].solve(problem)[0].values()) == list(range(8 * size))
    if size == 20:
        owner = {node["id"]: agent for agent, shard in enumerate(problem.shards) for node in shard}
        beside = [abs(owner[node["id"]] - owner[node["next"]]) <= 1 for node in nodes if node["next"] >= 0]
        assert np.mean(beside) < 0.3


def head(nodes: list[dict[str, int]]) -> int:
    (first,) = {node["id"] for node in nodes} - {node["next"] for node in nodes}
    return first


def test_published_blocks_have_the_known_hashes() -> None:
    task = TASKS["II-20"]
    assert task.solve(instance(task, 1, 0, "repo")) == ([1107, 7, 1106, 4, 1107],)
    assert instance(task, 2, 0, "repo") == instance(task, 2, 1, "repo")
    assert instance(task, 2, 0, "repo").shards[1][0] == "Block_5_Data"
    # With no randomness the largest state of a hundred agents is known: the modulus never acts.
    assert max(max(part) for part in task.solve(instance(task, 100, 0, "repo"))) == 1247


def test_repaired_blocks_are_twelve_random_letters_and_digits() -> None:
    texts = flat(instance(TASKS["II-20"], 100))
    assert all(re.fullmatch("[a-zA-Z0-9]{12}", text) for text in texts)
    assert len(set(texts)) == 500
    assert len(set("".join(texts))) == 62


def test_summaries_stay_as_small_as_the_task_allows() -> None:
    def words(task_id: str, agents: range) -> int:
        task, problem = TASKS[task_id], instance(TASKS[task_id], 6)
        summary = task.local(problem.shards[agents[0]], agents[0], {})
        for agent in agents[1:]:
            summary = task.merge(summary, task.local(problem.shards[agent], agent, {}))
        return len(re.findall(r"\d+", str(summary)))

    assert words("II-11", range(6)) == words("II-11", range(2, 3)) == 1
    assert words("II-15", range(6)) == words("II-15", range(2, 3)) == 6
    assert words("II-20", range(6)) == words("II-20", range(1)) == 2
    assert words("II-20", range(2, 5)) == 15
    assert words("II-19", range(6)) == len(TASKS["II-19"].solve(instance(TASKS["II-19"], 6))[0])


def test_two_walls_hold_water_and_one_agent_alone_sees_none() -> None:
    task = TASKS["II-16"]
    problem = Problem(([3, 0], [0, 0], [0, 2]))
    assert task.solve(problem) == (8, 8, 8)
    assert [task.solve(Problem((shard,)))[0] for shard in problem.shards] == [0, 0, 0]
