"""The catalogue of Silo-Bench tasks: thirty of them, in the published order, under the published names."""

from __future__ import annotations

from typing import Any

import pytest
from silo_instances import instance, wired

from fogline.core.errors import ConfigurationError
from fogline.envs.silo_bench.tasks.catalogue import TASKS, silo_task

NAMES = {
    "I": "Global Maximum, Word Frequency, Distributed Vote, Any Match, Range Count, Checksum (XOR), Average Value, "
    "Set Union Size, Top-K Selection, Standard Deviation",
    "II": "Prefix Sum, Moving Average, Longest Palindrome, 1D Life Game, Pattern Search, Trapping Rain, Diff Array, "
    "List Ranking, Merge Neighbors, Pipeline Hash",
    "III": "Distributed Sort, Median of Medians, Graph Components, BFS Distance, K-Means Iteration, Global Distinct, "
    "Collaborative Filtering, PageRank Step, Load Balance, Matrix Multiply",
}


def test_thirty_tasks_in_order_ten_to_a_level() -> None:
    levels = ["I"] * 10 + ["II"] * 10 + ["III"] * 10
    assert list(TASKS) == [f"{level}-{number:02d}" for number, level in enumerate(levels, start=1)]
    assert [(task.level, task.index) for task in TASKS.values()] == list(zip(levels, range(1, 31), strict=True))
    assert [task.task_id for task in TASKS.values()] == list(TASKS)


def test_names_are_the_published_ones() -> None:
    assert [task.name for task in TASKS.values()] == [name for names in NAMES.values() for name in names.split(", ")]


def test_exactly_four_tasks_are_segmented() -> None:
    assert [task_id for task_id, task in TASKS.items() if task.segmented] == ["II-11", "II-14", "II-20", "III-21"]


def test_a_tolerance_goes_with_rounded_numbers_only() -> None:
    rounded = ["I-07", "I-10", "II-12", "III-25", "III-27", "III-28", "III-29"]
    assert [task_id for task_id, task in TASKS.items() if task.tolerance > 0] == rounded
    assert all("round" in " ".join(TASKS[name].wording(instance(TASKS[name], 3), 0)).lower() for name in rounded)


@pytest.mark.parametrize("n_agents", [1, 2, 7, 100])
def test_every_task_takes_any_number_of_agents(n_agents: int) -> None:
    for task in TASKS.values():
        problem = instance(task, n_agents)
        assert len(problem.shards) == len(task.solve(problem)) == n_agents
        assert wired(task.solve(problem)) == list(task.solve(problem))


def test_a_task_is_found_by_its_id() -> None:
    assert all(silo_task(task_id) is task for task_id, task in TASKS.items())


@pytest.mark.parametrize(("wrong", "close"), [("II-1", "II-1[0-9]"), ("III-3O", "III-30"), ("I-011", "I-0?1")])
def test_an_unknown_id_is_refused_with_the_closest_one(wrong: Any, close: str) -> None:
    with pytest.raises(ConfigurationError, match=f"task='{wrong}' is unknown.*Did you mean '{close}"):
        silo_task(wrong)


def test_what_is_no_text_is_refused_too() -> None:
    with pytest.raises(ConfigurationError, match="task=7 is unknown"):
        silo_task(7)  # type: ignore[arg-type]


def test_the_catalogue_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        TASKS["I-01"] = TASKS["I-02"]  # type: ignore[index]
