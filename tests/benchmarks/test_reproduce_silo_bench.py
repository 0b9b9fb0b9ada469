"""The reproduction of Silo-Bench: what the bounded memory holds, and a miniature from the command to the page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from fogline.agents.collector import collect_all
from fogline.agents.environments import make_environment
from fogline.agents.rollout import Assignment
from fogline.agents.scripted.silo_bench.knowledge import encode
from fogline.benchmarks.reproduce import silo_bench
from fogline.benchmarks.reproduce.cells import Cell, CellResult
from fogline.benchmarks.reproduce.results import Results
from fogline.benchmarks.reproduce.silo_bench.figures import arms_of_cells, curves_of, figures, notes_of
from fogline.benchmarks.reproduce.silo_bench.memory import BoundedMemory, beginning, conclusion, remembered
from fogline.benchmarks.reproduce.silo_bench.plan import (
    ARMS,
    CLAIMS,
    FULL,
    IN_USE,
    PAPER,
    QUICK,
    SIZES,
    WINDOW,
    Plan,
    arm_at,
)  # fmt: skip
from fogline.benchmarks.reproduce.silo_bench.playing import play_arm
from fogline.cli.main import app
from fogline.core.errors import ConfigurationError
from fogline.envs.silo_bench.config import SiloConfig
from fogline.envs.silo_bench.instances import make_problem
from fogline.envs.silo_bench.tasks.catalogue import TASKS, silo_task

MINIATURE = Plan(arms=(IN_USE, WINDOW), sizes=(2, 12), tasks=("I-07", "II-12", "III-27"), seeds=(0,))
NUMBERS = st.lists(st.integers(0, 999), max_size=8)


def metrics(agent: BoundedMemory, task: str, n_agents: int, **keywords: Any) -> Mapping[str, Any]:
    """Of one game."""
    factory = partial(make_environment, "SiloBench-v0", {"task": task, "n_agents": n_agents, **keywords})
    (episode,) = collect_all(factory, agent, [Assignment(f"{task}/3", 0)])
    assert episode.status == "terminated"
    return episode.metrics


# What the memory holds


@pytest.mark.parametrize("protocol", ["p2p", "broadcast", "files"])
def test_a_memory_without_bound_solves_every_task(protocol: str) -> None:
    for task in TASKS:
        assert metrics(BoundedMemory(None), task, 4, protocol=protocol)["success"], task


def test_one_agent_without_bound_solves_every_task_at_the_scale_of_many() -> None:
    for task in TASKS:
        assert metrics(BoundedMemory(None), task, 1, scale=6)["success"], task


def test_a_memory_for_nothing_knows_nothing() -> None:
    assert remembered([(0, "[1]"), (1, "[2]")], 0) == {}
    assert conclusion(silo_task("I-01"), {}, 0, 2, {}) is None
    for scale in ({"n_agents": 3}, {"n_agents": 1, "scale": 3}):
        found = metrics(BoundedMemory(0), "I-05", **scale)
        assert (found["success_rate"], found["partial_correctness"]) == (0, 0)


def test_a_memory_as_long_as_the_own_shard_holds_that_alone_and_one_longer_begins_the_next() -> None:
    told = [(2, "[10,20,30]"), (0, "[1,2]"), (1, "[3]")]
    own = beginning("[10,20,30]", None).length
    assert remembered(told, own) == {2: "[10,20,30]"}
    assert remembered(told, own - 1) == {2: "[10,20]"}
    assert remembered(told, own + 2) == {2: "[10,20,30]", 0: "[1]"}
    # The next shard would fit, but what comes after the cut is lost.
    assert remembered([(2, "[10]"), (0, "[12345]"), (1, "[3]")], 5) == {2: "[10]"}


@given(shards=st.lists(NUMBERS, min_size=1, max_size=5), small=st.integers(0, 60), more=st.integers(0, 60))
def test_what_is_held_fits_is_a_beginning_and_grows_with_the_capacity(
    shards: list[list[int]], small: int, more: int
) -> None:
    told = [(agent, encode(shard)) for agent, shard in enumerate(shards)]
    less, larger = (remembered(told, capacity) for capacity in (small, small + more))
    stream = [item for shard in shards for item in shard]
    for held, capacity in ((less, small), (larger, small + more)):
        items = [item for agent in sorted(held) for item in json.loads(held[agent])]
        assert items == stream[: len(items)]
        assert sum(len(str(item)) + 1 for item in items) <= capacity
        if len(items) < len(stream):
            assert sum(len(str(item)) + 1 for item in stream[: len(items) + 1]) > capacity
    assert sum(map(len, less.values())) <= sum(map(len, larger.values()))
    assert remembered(told, None) == {agent: text for agent, text in told if text != "[]"}


def test_texts_are_cut_by_letter_and_tables_by_line() -> None:
    assert beginning('"racecar"', 3) == ('"rac"', 3, False)
    assert beginning('"racecar"', 7) == ('"racecar"', 7, True)
    table = encode({"users": {"U0": [1, 2]}, "items": {"I0": [3, 4], "I1": [5, 6]}})
    line = len('{"U0":[1,2]}') + 1
    assert json.loads(beginning(table, 2 * line).text) == {"users": {"U0": [1, 2]}, "items": {"I0": [3, 4]}}
    assert beginning(table, line - 1) == ("", 0, False)
    assert beginning(table, 3 * line) == (table, 3 * line, True)


@pytest.mark.parametrize(("task", "metric"), [("II-11", "success_rate"), ("II-12", "partial_correctness")])
def test_more_memory_is_never_worse_where_answers_grow_with_the_data(task: str, metric: str) -> None:
    found = [metrics(BoundedMemory(capacity), task, 10)[metric] for capacity in range(0, 500, 50)]
    assert found == sorted(found)
    assert found[0] == 0
    assert found[-1] == 1
    assert len(set(found)) > 5


def test_the_channel_makes_no_difference() -> None:
    for task in ("I-05", "II-11", "II-13", "III-21", "III-30"):
        found = [metrics(BoundedMemory(150), task, 6, protocol=name) for name in ("p2p", "broadcast", "files")]
        for metric in ("success_rate", "partial_correctness", "distinct_answers", "premature"):
            assert len({one[metric] for one in found}) == 1, (task, metric)


def test_seats_are_told_enough_and_lose_it_all_the_same() -> None:
    found = metrics(BoundedMemory(300), "I-05", 8)
    assert (found["premature"], found["computation_error"], found["coverage"]) == (0, 1, 1)


def test_in_random_order_seats_lose_different_shards() -> None:
    orderly, random = (metrics(BoundedMemory(600, order), "I-05", 10) for order in ("arrival", "random"))
    assert random["distinct_answers"] > orderly["distinct_answers"]
    assert metrics(BoundedMemory(None, "random"), "II-12", 5)["success"]


@pytest.mark.parametrize(
    ("options", "said"), [((-1,), "expected 0 or more"), ((5, "last"), "expected one of 'arrival', 'random'")]
)
def test_a_memory_that_cannot_be_is_refused(options: tuple[Any, ...], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        BoundedMemory(*options)


# The plan


def test_capacities_follow_from_the_published_prompt_limit() -> None:
    assert ARMS[IN_USE].shards == pytest.approx(28.2, abs=0.05)
    assert ARMS[WINDOW].shards == pytest.approx(407.3, abs=0.05)
    # The paper gives the share of the window, too.
    assert (ARMS[IN_USE].shards * 312.4 + 748.8) / 128_000 == pytest.approx(0.075, abs=5e-4)


def test_the_mean_shard_is_as_long_as_the_plan_says() -> None:
    lengths = []
    for task in TASKS:
        for size in SIZES:
            problem = make_problem(SiloConfig(task=(task,), n_agents=size), f"{task}/0")
            lengths.append(fmean(len(encode(shard)) for shard in problem.shards))
    assert fmean(lengths) == pytest.approx(FULL.shard_characters, abs=0.5)


def test_the_plan_holds_together() -> None:
    names = {arm_at(arm, size) for arm in ARMS for size in SIZES}
    names |= {arm_at(IN_USE, size, level) for level in ("I", "II", "III") for size in SIZES}
    for _, arm, baseline, margin, published in CLAIMS:
        assert {arm, baseline} <= names
        assert margin > 0
        assert published.difference is not None
    assert len(FULL.seeds) >= 5
    assert not set(FULL.seeds) & set(QUICK.seeds)
    assert (FULL.sizes, len(FULL.tasks)) == ((2, 5, 10, 20, 50, 100), 30)
    assert all(len(PAPER[name]) == len(SIZES) for name in ("S", "P", "S, level I", "S, level II", "S, level III"))


def test_what_claims_say_of_the_paper_is_the_difference_of_its_figures() -> None:
    success, partial = PAPER["S"], PAPER["P"]
    gap = [one - other for one, other in zip(partial, success, strict=True)]
    rcc = [PAPER[f"RCC of GPT-OSS-120B, level {level}"] for level in ("I", "II", "III")]
    expected = [
        success[-1] - success[0],
        partial[-1] - partial[0],
        gap[-1] - gap[0],
        gap[-1],
        PAPER["S, level II"][-1] - PAPER["S, level I"][-1],
        PAPER["S, level III"][-1] - PAPER["S, level I"][-1],
        *(values[-1] - values[0] for values in rcc),
    ]
    assert [claim[-1].difference for claim in CLAIMS] == pytest.approx(expected, abs=1e-9)


# Figures


def game(success: float, partial: float, single: float, **other: Any) -> dict[str, Any]:
    found = {"success": success, "partial": partial, "single_success": single, "single_partial": 1.0}
    return {"task": "I-01", "n_agents": 2, "premature": 0.0, "computation_error": 1 - success, **found, **other}


def test_figures_are_means_and_cost_is_relative_to_the_one_agent() -> None:
    found = figures([game(0.5, 0.75, 1.0), game(0.0, 0.25, 0.0)])
    assert found == {
        "S": 0.25, "P": 0.5, "P - S": 0.25, "S of one agent": 0.5, "RCC": 0.5, "premature": 0.0,
        "computation error": 0.75,
    }  # fmt: skip
    assert figures([game(0.5, 0.5, 0.0)])["RCC"] is None


def test_arms_and_curves_keep_sizes_levels_and_seeds_apart() -> None:
    plan = Plan(arms=(IN_USE,), sizes=(2, 5), tasks=("I-01", "III-21"), seeds=(0, 1, 2))
    cells = [
        CellResult(
            IN_USE,
            seed,
            "done",
            {
                "games": [
                    game(success, 1.0, 1.0, task=task, n_agents=size)
                    for task, size, success in (
                        ("I-01", 2, 1.0), ("III-21", 2, 0.5), ("I-01", 5, seed / 2), ("III-21", 5, 0.0)
                    )
                ]
            },
        )
        for seed in plan.seeds
    ]  # fmt: skip
    arms = {arm.name: arm for arm in arms_of_cells(plan, cells)}
    assert arms[arm_at(IN_USE, 2)].metrics["S"] == (0.75, 0.75, 0.75)
    assert arms[arm_at(IN_USE, 5, "I")].metrics["S"] == (0.0, 0.5, 1.0)
    assert arms[arm_at(IN_USE, 5, "III")].metrics["P - S"] == (1.0, 1.0, 1.0)
    curves = {(curve.metric, curve.arm): curve for curve in curves_of(plan, cells)}
    ours, theirs = curves["S", IN_USE], curves["S", "DeepSeek-V3.1, published"]
    assert (ours.x, ours.mean) == ((2, 5), (0.75, 0.25))
    assert (theirs.x, theirs.mean) == ((2, 5), (0.612, 0.485))
    assert ours.low[1] is not None
    assert ours.low[1] < 0.25
    assert curves["S against capacity", "N=5"].x == (28.2,)
    assert curves["RCC, level III", IN_USE].mean == (0.5, 1.0)
    said = " ".join(notes_of(plan, cells))
    assert f"At N=5 the arm '{IN_USE}' has S 25.0% and P 100.0%" in said
    assert "published with 48.5% and 68.2%" in said
    assert f"The largest P - S of any arm and size is 75.0% ({IN_USE}, N=5)" in said
    assert "between 17.2% and 28.4%" in said
    assert "largest share of seats that answered before all that their answer needs had reached them is 0%" in said


# The whole


def test_the_memory_that_is_judged_loses_more_than_the_window_and_a_run_repeats() -> None:
    plan = MINIATURE.model_copy(update={"sizes": (40,)})
    judged, window = (play_arm(plan, Cell(arm, 0))["games"] for arm in (IN_USE, WINDOW))
    assert [one["success"] for one in window] == [1.0, 1.0, 1.0]
    assert all(one["success"] < 1 for one in judged if one["task"] != "II-12")
    assert play_arm(plan, Cell(IN_USE, 0))["games"] == judged


def test_a_miniature_runs_from_the_command_to_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silo_bench, "QUICK", MINIATURE)
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["reproduce", "silo-bench", "--quick"])
    assert result.exit_code == 0, result.output
    written = Results.model_validate_json(Path("runs/results/silo-bench.json").read_text())
    assert written.claim.startswith("An illustration, not a confirmation")
    assert {arm.name for arm in written.arms} >= {arm_at(IN_USE, 12), arm_at(WINDOW, 2), arm_at(IN_USE, 12, "II")}
    page = Path("runs/results/silo-bench.md").read_text()
    assert "DeepSeek-V3.1, published" in page
    assert "An illustration: no language model plays." in page
    assert len(list(Path("runs/reproduce/silo-bench-quick").glob("*-seed-0.json"))) == 2
