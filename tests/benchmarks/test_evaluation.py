"""Evaluations through Python: plans, seeds, storing while playing, engines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from fogline.agents.agent import SeatView
from fogline.benchmarks.evaluation import EvalConfig, evaluate, evaluate_async, make_plan, sample_seeds
from fogline.benchmarks.recording import MOST_WAITING, Progress
from fogline.core.store import RunStore, StoreError


def toy(tmp_path: Path, **changes: Any) -> EvalConfig:
    return EvalConfig(env="toy_world:Toy-v0", agent="random", store=str(tmp_path / "runs.db")).model_copy(
        update=changes
    )


@given(st.integers(0, 2**70), st.integers(1, 40), st.integers(1, 40))
def test_seeds_are_distinct_and_a_longer_list_begins_with_the_shorter(base: int, one: int, other: int) -> None:
    few, many = sorted((one, other))
    seeds = sample_seeds(base, many)
    assert len(set(seeds)) == many
    assert seeds[:few] == sample_seeds(base, few)
    assert all(0 <= seed < 2**32 for seed in seeds)


def test_a_group_is_one_task_with_distinct_seeds_and_first_samples_come_first(tmp_path: Path) -> None:
    plan = make_plan(toy(tmp_path, samples=3, limit=2))
    played = list(plan.assignments())
    assert len(set(played)) == 6
    assert [item.task_id for item in played[:2]] == ["toy-0", "toy-1"]
    assert {item.seed for item in played if item.task_id == "toy-0"} == set(sample_seeds(0, 3))


def test_how_it_is_played_does_not_make_another_cell(tmp_path: Path) -> None:
    plan = make_plan(toy(tmp_path))
    same = toy(tmp_path, samples=4, limit=3, seed=9, concurrency=2, retries=0, timeout_s=60.0, engine="process")
    assert make_plan(same).cell == plan.cell
    assert make_plan(toy(tmp_path, env_kwargs={"max_turns": 3})).cell != plan.cell
    assert make_plan(toy(tmp_path, agent="toy_world:Guesser")).cell != plan.cell


def test_the_data_are_part_of_the_cell() -> None:
    config = EvalConfig(env="TrustSQL-v0", agent="heuristic")
    whole = make_plan(config).cell
    part = make_plan(config.model_copy(update={"env_kwargs": {"databases": ["chinook"]}})).cell
    assert whole["data"] != part["data"]
    assert whole["simulator_version"]


def test_episodes_are_stored_while_others_are_played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where nothing ever waits, neither agent nor environment."""
    import toy_world

    seen: list[int] = []

    class Watching:
        name = "watching"
        batch_size: int | None = None

        def act(self, views: Sequence[SeatView]) -> list[str]:
            with closing(RunStore(tmp_path / "runs.db")) as store:
                seen.append(sum(1 for _ in store.episodes()))
            return ["x" for _ in views]

    monkeypatch.setattr(toy_world, "Watching", Watching, raising=False)
    evaluate(toy(tmp_path, agent="toy_world:Watching", concurrency=1, env_kwargs={"tasks": 40}))
    assert len(seen) == 80
    # Two decisions an episode; behind the play are at most one commit and those that wait for its end.
    most_behind = 2 * MOST_WAITING + 1
    assert all(stored >= decision // 2 - most_behind for decision, stored in enumerate(seen))


def test_progress_counts_up_to_the_plan(tmp_path: Path) -> None:
    evaluate(toy(tmp_path, limit=2))
    told: list[Progress] = []
    evaluate(toy(tmp_path), progress=told.append)
    assert [item.done for item in told] == [2, 3, 4, 5, 6]
    assert {item.total for item in told} == {6}


def test_an_interrupted_evaluation_keeps_what_had_ended(tmp_path: Path) -> None:
    def stop(progress: Progress) -> None:
        if progress.done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(toy(tmp_path, concurrency=1), progress=stop)
    with closing(RunStore(tmp_path / "runs.db")) as store:
        assert sum(1 for _ in store.episodes()) == 4
    report = evaluate(toy(tmp_path))
    assert (report.played, report.reused) == (2, 4)


def test_a_store_that_fails_stops_the_evaluation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise StoreError("the disk is full")

    monkeypatch.setattr(RunStore, "add_episodes", full)
    with pytest.raises(StoreError, match="the disk is full"):
        evaluate(toy(tmp_path, concurrency=1))


async def test_it_runs_inside_a_running_loop(tmp_path: Path) -> None:
    assert (await evaluate_async(toy(tmp_path))).summary.scored == 6


def test_processes_give_the_same_episodes(tmp_path: Path) -> None:
    alone = evaluate(toy(tmp_path, samples=3))
    spread = evaluate(toy(tmp_path, samples=3, engine="process", workers=2, store=str(tmp_path / "spread.db")))
    assert spread.summary.scored == 18
    assert spread.summary.measures == alone.summary.measures


def test_environments_without_tasks_are_played_by_seed(tmp_path: Path) -> None:
    config = EvalConfig(env="CartPole-v1", agent="random", samples=5, store=str(tmp_path / "runs.db"))
    summary = evaluate(config).summary
    assert (summary.tasks, summary.scored) == (1, 5)
    assert summary.measure("reward").average.value == summary.measure("turns").average.value


def test_the_oracle_is_right_and_its_report_is_json(tmp_path: Path) -> None:
    config = EvalConfig(env="TrustSQL-v0", agent="oracle", limit=6, samples=2, store=str(tmp_path / "runs.db"))
    report = evaluate(config)
    ex = report.summary.measure("ex")
    assert ex.average.value == 1.0
    assert ex.majority is not None
    assert ex.majority.value == ex.pass_hat[2].value == 1.0
    assert report.summary.outcome_classes == {"correct": 12}
    assert json.loads(json.dumps(report.to_json(), allow_nan=False))["config"] == config.model_dump(mode="json")


@pytest.mark.parametrize(
    "wrong",
    [{"samples": 0}, {"samples": "3"}, {"seed": -1}, {"engine": "threads"}, {"colour": "red"}, {"timeout_s": 0}],
)
def test_a_configuration_is_strict_and_frozen(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        EvalConfig.model_validate({"env": "e", "agent": "a", **wrong})
    with pytest.raises(ValidationError):
        EvalConfig(env="e", agent="a").samples = 2  # type: ignore[misc]


def test_a_report_shows_no_password(tmp_path: Path) -> None:
    report = evaluate(toy(tmp_path, limit=1))
    secret = report.config.model_copy(update={"store": "postgresql://me:hunter2@host/runs"})
    assert "hunter2" not in json.dumps(replace(report, config=secret).to_json())
