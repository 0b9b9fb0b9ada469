"""Level III of Silo-Bench: answers against brute force, summaries that merge, what generators draw."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from fractions import Fraction
from itertools import chain, product
from random import Random
from statistics import median_high, pvariance
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from silo_instances import SIZES, TALK, answers, instance, wired

from fogline.core.errors import ConfigurationError
from fogline.envs.silo_bench.scoring import score_answers
from fogline.envs.silo_bench.tasks.iii_21_distributed_sort import DistributedSort
from fogline.envs.silo_bench.tasks.iii_22_median import MedianOfMedians
from fogline.envs.silo_bench.tasks.iii_23_graph_components import GraphComponents
from fogline.envs.silo_bench.tasks.iii_24_bfs_distance import BFSDistance
from fogline.envs.silo_bench.tasks.iii_25_k_means import KMeansIteration
from fogline.envs.silo_bench.tasks.iii_26_global_distinct import GlobalDistinct
from fogline.envs.silo_bench.tasks.iii_27_collaborative_filtering import CollaborativeFiltering
from fogline.envs.silo_bench.tasks.iii_28_pagerank_step import PageRankStep
from fogline.envs.silo_bench.tasks.iii_29_load_balance import LoadBalance
from fogline.envs.silo_bench.tasks.iii_30_matrix_multiply import MatrixMultiply, digest
from fogline.envs.silo_bench.tasks.task import DataMode, Problem, SiloTask

TASKS: dict[str, SiloTask] = {
    task.task_id: task
    for task in (
        DistributedSort(),
        MedianOfMedians(),
        GraphComponents(),
        BFSDistance(),
        KMeansIteration(),
        GlobalDistinct(),
        CollaborativeFiltering(),
        PageRankStep(),
        LoadBalance(),
        MatrixMultiply(),
    )
}
every_task = pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
every_mode = pytest.mark.parametrize("data", ["fixed", "repo"])
Brute = Callable[[list[Any], dict[str, Any]], Any]


def everything(problem: Problem) -> list[Any]:
    return [item for shard in problem.shards for item in shard]


def sorted_by_counting(numbers: list[int]) -> list[int]:
    return np.repeat(np.arange(1001), np.bincount(numbers, minlength=1001)).tolist()


def adjacency(edges: list[list[int]], nodes: int) -> np.ndarray:
    matrix = np.zeros((nodes, nodes))
    for one, other in edges:
        matrix[one, other] = 1
    return matrix


def components_by_closure(edges: list[list[int]], public: dict[str, Any]) -> int:
    """Nodes of one component have the same row in the transitive closure."""
    reach = adjacency(edges, public["nodes"])
    reach = reach + reach.T + np.eye(public["nodes"])
    for _ in range(public["nodes"].bit_length()):
        reach = np.minimum(reach @ reach, 1)
    return len(np.unique(reach, axis=0))


def distances_by_matrix_powers(edges: list[list[int]], public: dict[str, Any]) -> dict[str, int]:
    step = adjacency(edges, public["nodes"])
    step = step + step.T
    walks = np.eye(public["nodes"])[0]
    found = {0: 0}
    for length in range(1, public["nodes"]):
        walks = np.minimum(walks @ step, 1)
        for node in np.flatnonzero(walks).tolist():
            found.setdefault(node, length)
    return {str(node): found.get(node, -1) for node in range(public["nodes"])}


def lloyd_in_fractions(points: list[list[float]], public: dict[str, Any]) -> list[list[float]]:
    centroids = public["centroids"]
    clusters: list[list[list[float]]] = [[] for _ in centroids]
    for point in points:
        distances = [math.dist(point, centroid) for centroid in centroids]
        clusters[min((distance, index) for index, distance in enumerate(distances))[1]].append(point)
    means = []
    for cluster, centroid in zip(clusters, centroids, strict=True):
        held = cluster or [centroid]
        means.append([round(float(sum(map(Fraction, axis)) / len(held)), 2) for axis in zip(*held, strict=True)])
    return means


def best_of_all_pairs(users: dict[str, list[float]], items: dict[str, list[float]]) -> list[list[Any]]:
    def score(pair: tuple[str, str]) -> Fraction:
        return sum((Fraction(a) * Fraction(b) for a, b in zip(users[pair[0]], items[pair[1]], strict=True)), Fraction())

    names = sorted(product(users, items), key=lambda pair: (int(pair[0][1:]), int(pair[1][1:])))
    ranked = sorted(names, key=score, reverse=True)
    return [[user, item, round(float(score((user, item))), 4)] for user, item in ranked[:3]]


def rank_by_matrix(edges: list[list[int]], public: dict[str, Any]) -> dict[str, float]:
    nodes = public["nodes"]
    links = adjacency(edges, nodes)
    leaving = links.sum(axis=1, keepdims=True)
    transition = np.divide(links, leaving, out=np.zeros_like(links), where=leaving > 0)
    ranks = 0.15 / nodes + 0.85 * np.full(nodes, 1 / nodes) @ transition
    return {str(node): round(rank, 6) for node, rank in enumerate(ranks.tolist())}


def loads_by_the_rule(tasks: list[dict[str, int]], public: dict[str, Any]) -> dict[str, Any]:
    loads = [0] * public["bins"]
    for task in sorted(tasks, key=lambda task: -task["duration"]):
        loads[loads.index(min(loads))] += task["duration"]
    variance = round(float(pvariance(map(Fraction, loads))), 2)
    return {"variance": variance, "max_load": max(loads), "min_load": min(loads)}


def product_entry_by_entry(problem: Problem) -> list[list[int]]:
    size = problem.public["dimension"]
    a = {int(key): row for shard in problem.shards for key, row in shard["rows"].items()}
    if "matrix" in problem.shards[0]:
        columns = dict(enumerate(zip(*problem.shards[0]["matrix"], strict=True)))
    else:
        columns = {int(key): column for shard in problem.shards for key, column in shard["columns"].items()}
    return [[sum(x * y for x, y in zip(a[i], columns[j], strict=True)) for j in range(size)] for i in range(size)]


def brute_force(task: SiloTask, problem: Problem) -> list[Any]:
    agents, public = len(problem.shards), dict(problem.public)
    if task.task_id == "III-21":
        return np.reshape(sorted_by_counting(everything(problem)), (agents, -1)).tolist()
    if task.task_id == "III-27":
        users, items = ({k: v for s in problem.shards for k, v in s[kind].items()} for kind in ("users", "items"))
        return [best_of_all_pairs(users, items)] * agents
    if task.task_id == "III-30":
        return [product_entry_by_entry(problem)] * agents
    found: dict[str, Brute] = {
        "III-22": lambda numbers, _: median_high(numbers),
        "III-23": components_by_closure,
        "III-24": distances_by_matrix_powers,
        "III-25": lloyd_in_fractions,
        "III-26": lambda numbers, _: len(np.unique(numbers)),
        "III-28": rank_by_matrix,
        "III-29": loads_by_the_rule,
    }
    return [found[task.task_id](everything(problem), public)] * agents


def alike(one: Any, other: Any, tolerance: float) -> bool:
    """Equality of JSON values, down to types, with a tolerance for floats."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(alike(one[key], other[key], tolerance) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(alike(*pair, tolerance) for pair in zip(one, other, strict=True))
    return abs(one - other) <= tolerance + 1e-9 if isinstance(one, float) else one == other


@every_task
@every_mode
def test_every_agent_owes_what_brute_force_finds_in_the_whole_data(task: SiloTask, data: DataMode) -> None:
    for size in SIZES:
        for seed in range(2):
            problem = instance(task, size, seed, data)
            assert alike(list(task.solve(problem)), brute_force(task, problem), task.tolerance)


@every_task
@every_mode
@given(size=st.sampled_from(SIZES), seed=st.integers(0, 2**32), order=st.randoms(use_true_random=False))
@settings(max_examples=8)
def test_summaries_merged_in_any_association_give_the_answer(
    task: SiloTask, data: DataMode, size: int, seed: int, order: Random
) -> None:
    problem = instance(task, size, seed, data)
    expected = list(task.solve(problem))
    before = deepcopy(problem)
    assert alike(answers(task, problem), expected, task.tolerance)
    if size < 20:
        assert alike(answers(task, problem, order), expected, task.tolerance)
        assert alike(answers(task, problem, order, as_json=True), expected, task.tolerance)
    assert problem == before


@every_task
def test_merging_changes_neither_side(task: SiloTask) -> None:
    problem = instance(task, 3)
    summaries = [task.local(shard, agent, problem.public) for agent, shard in enumerate(problem.shards)]
    before = deepcopy(summaries)
    task.merge(task.merge(summaries[0], summaries[1]), summaries[2])
    task.merge(summaries[0], task.merge(summaries[1], summaries[2]))
    assert summaries == before


@every_task
@every_mode
def test_one_agent_with_all_data_owes_the_same_answer(task: SiloTask, data: DataMode) -> None:
    for size in SIZES:
        problem = instance(task, size, 5, data)
        alone = task.united(problem)
        answer = task.solve(problem)
        (whole,) = task.solve(alone)
        assert whole == (list(chain(*answer)) if task.segmented else answer[0])
        assert alike(answers(task, alone), [whole], task.tolerance)
        assert alone.public == problem.public


@every_task
@every_mode
def test_a_seed_decides_the_instance(task: SiloTask, data: DataMode) -> None:
    assert instance(task, 5, 7, data) == instance(task, 5, 7, data)
    assert instance(task, 5, 7, data) != instance(task, 5, 8, data)


@every_task
def test_published_data_differs_for_the_matrices_only(task: SiloTask) -> None:
    assert (instance(task, 4, 1, "repo") == instance(task, 4, 1, "fixed")) == (task.task_id != "III-30")


@every_task
@every_mode
def test_instances_and_answers_survive_json(task: SiloTask, data: DataMode) -> None:
    problem = instance(task, 7, 0, data)
    assert wired(problem.shards) == list(problem.shards)
    assert wired(problem.public) == problem.public
    assert wired(task.solve(problem)) == list(task.solve(problem))


@every_task
@pytest.mark.parametrize("size", [1, 2, 5, 20, 50, 100])
def test_the_scorer_accepts_the_answer_in_every_form(task: SiloTask, size: int) -> None:
    expected = task.solve(instance(task, size))
    forms = [list(expected), [json.dumps(answer) for answer in expected], [repr(answer) for answer in expected]]
    if task.task_id in ("III-24", "III-28"):
        forms.append([repr({int(node): value for node, value in answer.items()}) for answer in expected])
    for form in forms:
        scores = score_answers(form, expected, task)
        assert (scores.success_rate, scores.partial_correctness, scores.parse_failures) == (1.0, 1.0, 0)


@every_task
def test_only_all_shards_together_decide(task: SiloTask) -> None:
    problem = instance(task, 4)
    assert [mask for mask in range(16) if task.sufficient(problem, 1, mask)] == [15]
    assert (task.level, task.scope, task.segmented) == ("III", "all", task.task_id == "III-21")
    assert task.topology == ("star" if task.task_id in ("III-22", "III-25") else "all-to-all")


@every_task
def test_wording_tells_formats_and_names_nobody_to_talk_to(task: SiloTask) -> None:
    problem = instance(task, 5)
    rounding = {"III-25": 2, "III-27": 4, "III-28": 6, "III-29": 2}.get(task.task_id)
    for agent in range(5):
        words = task.wording(problem, agent)
        assert not [word for word in TALK if re.search(rf"\b{word}s?\b", " ".join(words).lower())]
        assert words.answer.startswith("Submit ")
        assert "JSON" in words.answer
        assert re.findall(r"rounded to (\d) decimals", words.answer) == ([str(rounding)] if rounding else [])
    assert "You hold all" in (alone := task.wording(task.united(problem), 0).task) or "hold both matrices" in alone


@pytest.mark.parametrize(
    ("task_id", "told"),
    [
        ("III-21", "ranks 40 to 59 "),
        ("III-22", "position 62, counted from 0"),
        ("III-23", "50 nodes, numbered from 0 to 49"),
        ("III-24", "40 nodes, numbered from 0 to 39"),
        ("III-26", "list of 150 integers"),
        ("III-27", "15 users (U0 to U14) and 15 items (I0 to I14)"),
        ("III-28", "n = 40 nodes, numbered from 0 to 39"),
        ("III-29", "100 tasks, with an id and a duration each, to 5 workers"),
        ("III-30", "two 5 x 5 matrices"),
    ],
)
def test_wording_tells_the_size_of_the_whole(task_id: str, told: str) -> None:
    assert told in TASKS[task_id].wording(instance(TASKS[task_id], 5), 2).task


def test_wording_tells_the_first_centroids() -> None:
    problem = instance(TASKS["III-25"], 5)
    assert str(problem.public["centroids"]) in TASKS["III-25"].wording(problem, 0).task


@pytest.mark.parametrize(("task_id", "items"), [("III-21", 20), ("III-22", 25)])
def test_numbers_fill_1_to_1000(task_id: str, items: int) -> None:
    problem = instance(TASKS[task_id], 500)
    assert {len(shard) for shard in problem.shards} == {items} == {TASKS[task_id].items_per_agent}
    assert problem.public == {"total": 500 * items}
    assert (min(everything(problem)), max(everything(problem))) == (1, 1000)
    assert abs(np.mean(everything(problem)) - 500.5) < 15


def test_the_median_is_the_upper_one() -> None:
    assert TASKS["III-22"].solve(Problem(([9, 1], [4, 3]))) == (4, 4)


@pytest.mark.parametrize("size", SIZES)
def test_components_have_no_loops_and_a_tenth_of_twice_as_many_edges_per_agent(size: int) -> None:
    problem = instance(TASKS["III-23"], size)
    edges = everything(problem)
    assert problem.public == {"nodes": 10 * size}
    assert 20 * size - len(edges) < 12 + size
    assert all(0 <= node < 10 * size for edge in edges for node in edge)
    assert all(one != other for one, other in edges)
    assert len({len(shard) for shard in problem.shards[:-1]}) <= 1


def test_components_keep_repeated_edges() -> None:
    edges = [tuple(sorted(edge)) for seed in range(10) for edge in everything(instance(TASKS["III-23"], 1, seed))]
    assert max(Counter(edges).values()) > 1
    assert TASKS["III-23"].solve(Problem(([[0, 1], [1, 0]], [[0, 1]]), {"nodes": 4})) == (3, 3)


@pytest.mark.parametrize("task_id", ["III-24", "III-28"])
@pytest.mark.parametrize("size", SIZES)
def test_simple_graphs_repeat_no_edge(task_id: str, size: int) -> None:
    for seed in range(5):
        problem = instance(TASKS[task_id], size, seed)
        edges = everything(problem)
        assert problem.public["nodes"] == 8 * size
        assert all(0 <= node < 8 * size for edge in edges for node in edge)
        assert all(one != other for one, other in edges)
        assert len({frozenset(e) if task_id == "III-24" else tuple(e) for e in edges}) == len(edges) <= 16 * size
        assert all(len(shard) <= 16 for shard in problem.shards[:-1])


def test_directed_graphs_may_have_an_edge_both_ways() -> None:
    edges = {tuple(edge) for edge in everything(instance(TASKS["III-28"], 2))}
    assert any((target, source) in edges for source, target in edges)


def test_unreachable_nodes_have_distance_minus_one() -> None:
    problem = Problem(([[1, 0]], [[3, 4], [1, 2]]), {"nodes": 5, "source": 0})
    assert TASKS["III-24"].solve(problem)[0] == {"0": 0, "1": 1, "2": 2, "3": -1, "4": -1}


def test_rank_of_nodes_without_leaving_edges_is_dropped() -> None:
    problem = Problem(([[0, 1], [0, 2]], [[1, 2]]), {"nodes": 4, "damping": 0.85})
    start = 0.15 / 4
    ranks = {"0": start, "1": start + 0.85 / 8, "2": start + 0.85 * 3 / 8, "3": start}
    assert TASKS["III-28"].solve(problem)[0] == {node: round(rank, 6) for node, rank in ranks.items()}


def test_points_and_centroids_fill_the_square() -> None:
    problem = instance(TASKS["III-25"], 200)
    points = np.array(everything(problem))
    assert points.shape == (4000, 2)
    assert 0 <= points.min() < 1 < 99 < points.max() < 100
    assert np.abs(points.mean(axis=0) - 50).max() < 2
    centroids = np.array([instance(TASKS["III-25"], 1, seed).public["centroids"] for seed in range(100)])
    assert centroids.shape == (100, 3, 2)
    assert 0 <= centroids.min() < 2 < 98 < centroids.max() < 100


def test_ties_go_to_the_first_centroid_and_an_empty_cluster_stays() -> None:
    public = {"centroids": [[0.0, 0.0], [2.0, 0.0], [90.126, 50.0]]}
    problem = Problem(([[1.0, 0.0], [1.0, 4.0]], [[3.0, 0.0]]), public)
    assert TASKS["III-25"].solve(problem)[0] == [[1.0, 2.0], [3.0, 0.0], [90.13, 50.0]]
    assert answers(TASKS["III-25"], problem)[1] == [[1.0, 2.0], [3.0, 0.0], [90.13, 50.0]]


def test_values_are_half_as_many_as_items() -> None:
    numbers = [number for seed in range(20) for number in everything(instance(TASKS["III-26"], 10, seed))]
    assert (min(numbers), max(numbers), len(numbers)) == (0, 149, 6000)
    problem = instance(TASKS["III-26"], 100)
    assert abs(TASKS["III-26"].solve(problem)[0] / 1500 - (1 - math.exp(-2))) < 0.03


def test_users_and_items_are_mixed_and_dealt_six_to_an_agent() -> None:
    problem = instance(TASKS["III-27"], 20)
    assert {len(shard["users"]) + len(shard["items"]) for shard in problem.shards} == {6}
    assert len({len(shard["users"]) for shard in problem.shards}) > 2
    for kind, letter in (("users", "U"), ("items", "I")):
        vectors = {name: vector for shard in problem.shards for name, vector in shard[kind].items()}
        assert sorted(vectors) == sorted(f"{letter}{number}" for number in range(60))
        assert {len(vector) for vector in vectors.values()} == {5}
        assert 0 <= min(map(min, vectors.values())) < 0.05 < 0.95 < max(map(max, vectors.values())) < 1


def test_equal_scores_are_ordered_by_user_number_then_item_number() -> None:
    ones = [1.0, 0.0, 0.0, 0.0, 0.0]
    shard = {"users": {"U10": ones, "U2": ones}, "items": {"I10": ones, "I9": ones}}
    expected = [["U2", "I9", 1.0], ["U2", "I10", 1.0], ["U10", "I9", 1.0]]
    assert TASKS["III-27"].solve(Problem((shard,), {"users": 2, "items": 2})) == (expected,)


def test_all_vectors_of_one_agent_are_the_merged_dictionaries() -> None:
    problem = instance(TASKS["III-27"], 4)
    (shard,) = TASKS["III-27"].united(problem).shards
    assert {kind: len(vectors) for kind, vectors in shard.items()} == {"users": 12, "items": 12}


@pytest.mark.parametrize("size", SIZES)
def test_heavy_tasks_all_start_with_agent_0(size: int) -> None:
    problem = instance(TASKS["III-29"], size)
    assert sorted(task["id"] for task in everything(problem)) == list(range(20 * size))
    assert problem.public == {"bins": size}
    for agent, shard in enumerate(problem.shards):
        for task in shard:
            heavy = task["id"] % 10 == 0
            assert (50 <= task["duration"] <= 100) if heavy else (1 <= task["duration"] <= 10)
            assert size == 1 or heavy == (agent == 0)
    light = [len(shard) for shard in problem.shards[1:]]
    if size > 1:
        assert len(problem.shards[0]) == 2 * size
        assert light == [18 * size // (size - 1)] * (size - 2) + [18 * size - 18 * size // (size - 1) * (size - 2)]


def test_a_single_agent_that_holds_all_still_fills_as_many_bins() -> None:
    problem = instance(TASKS["III-29"], 10)
    alone = TASKS["III-29"].united(problem)
    assert len(alone.shards[0]) == 200
    assert TASKS["III-29"].solve(alone)[0]["max_load"] < sum(task["duration"] for task in alone.shards[0]) / 5
    assert TASKS["III-29"].solve(instance(TASKS["III-29"], 1))[0]["variance"] == 0.0


@pytest.mark.parametrize(
    ("size", "rows", "cap", "dimension"), [(5, 1, 32, 5), (5, 3, 32, 15), (5, 3, 7, 7), (9, 2, 4, 4)]
)
def test_rows_and_columns_are_split_in_two_directions(size: int, rows: int, cap: int, dimension: int) -> None:
    task = MatrixMultiply(rows, cap)
    problem = instance(task, size)
    assert problem.public == {"dimension": dimension}
    for part in ("rows", "columns"):
        held = [key for shard in problem.shards for key in shard[part]]
        assert held == [str(index) for index in range(dimension)]
        counts = {len(shard[part]) for shard in problem.shards}
        assert counts <= {dimension // size, -(-dimension // size)}
        assert all(1 <= x <= 10 for shard in problem.shards for line in shard[part].values() for x in line)
    assert all(shard["rows"].keys() == shard["columns"].keys() for shard in problem.shards)
    assert alike(list(task.solve(problem)), brute_force(task, problem), 0)
    assert answers(task, problem, Random(1), as_json=True) == list(task.solve(problem))


def test_agents_that_hold_nothing_need_not_be_heard() -> None:
    task = MatrixMultiply(largest_dimension=2)
    problem = instance(task, 4)
    holders = [agent for agent, shard in enumerate(problem.shards) if shard["rows"]]
    assert len(holders) == 2
    needed = sum(1 << agent for agent in holders)
    assert [mask for mask in range(16) if task.sufficient(problem, 0, mask)] == [
        mask for mask in range(16) if mask & needed == needed
    ]
    nobody = next(agent for agent in range(4) if agent not in holders)
    assert task.wording(problem, nobody).task.endswith("indices: none.")


def test_an_answer_stays_within_the_largest_dimension() -> None:
    product_ = TASKS["III-30"].solve(instance(TASKS["III-30"], 100))[0]
    assert (len(product_), len(product_[0])) == (32, 32)


def test_as_published_every_agent_holds_one_row_and_all_of_the_other_matrix() -> None:
    problem = instance(TASKS["III-30"], 40, 0, "repo")
    assert [list(shard["rows"]) for shard in problem.shards] == [[str(agent)] for agent in range(40)]
    assert all(shard["matrix"] == problem.shards[0]["matrix"] for shard in problem.shards)
    assert np.shape(problem.shards[0]["matrix"]) == (40, 40)
    alone = TASKS["III-30"].united(problem).shards[0]
    assert (len(alone["rows"]), np.shape(alone["matrix"])) == (40, (40, 40))


@every_mode
def test_the_digest_is_a_position_weighted_xor(data: DataMode) -> None:
    task = MatrixMultiply(rows_per_agent=2, answer="digest")
    for size in SIZES:
        problem = instance(task, size, 3, data)
        expected = 0
        for place, entry in enumerate(chain(*product_entry_by_entry(problem)), start=1):
            expected ^= entry * place
        assert task.solve(problem) == (expected,) * size
        assert answers(task, problem, as_json=True) == [expected] * size


def test_the_digest_example_in_the_wording_is_right() -> None:
    task = MatrixMultiply(answer="digest")
    told = task.wording(instance(task, 3), 0).answer
    assert told.endswith(f"= {digest(np.array([[19, 22], [43, 50]]))}.")
    assert "C[i][j] * (i * 3 + j + 1)" in told


def test_the_digest_sees_exchanged_entries() -> None:
    assert digest(np.array([[1, 2], [3, 4]])) != digest(np.array([[2, 1], [3, 4]]))


@pytest.mark.parametrize(
    ("keywords", "told"),
    [
        ({"rows_per_agent": 0}, "rows_per_agent=0 is out of range"),
        ({"largest_dimension": 2.5}, "largest_dimension=2.5 is out of range"),
        ({"answer": "digits"}, "answer='digits' is unknown.*'digest'"),
    ],
)
def test_options_of_the_matrix_task_are_checked(keywords: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        MatrixMultiply(**keywords)


def test_summaries_are_as_small_as_the_task_allows() -> None:
    for task in TASKS.values():
        for data in ("fixed", "repo"):
            problem = instance(task, 6, 0, data)
            summaries = [task.local(shard, agent, problem.public) for agent, shard in enumerate(problem.shards)]
            whole = summaries[0]
            for summary in summaries[1:]:
                whole = task.merge(whole, summary)
            if task.task_id == "III-23":
                assert len(whole) == problem.public["nodes"] - task.solve(problem)[0]
                assert all(len(summary) <= len(shard) for summary, shard in zip(summaries, problem.shards, strict=True))
            elif task.task_id == "III-25":
                assert np.shape(whole) == (3, 3)
                assert sum(count for *_, count in whole) == 120
            elif task.task_id == "III-26":
                assert whole == sorted(set(everything(problem)))
            elif task.task_id == "III-29":
                assert len(whole) <= 10 + 51
                assert whole == sorted(map(list, Counter(t["duration"] for t in everything(problem)).items()))
            elif task.task_id == "III-30" and data == "repo":
                assert np.shape(list(summaries[2]["product"].values())) == (1, 6)
