"""The measurement of growth: every size in a process of its own, rates that are what they are called."""

from __future__ import annotations

import pytest

from fogline.benchmarks.merchants.scale import ANSWERED, FITTED
from fogline.benchmarks.reproduce.cells import Cell
from fogline.benchmarks.reproduce.pghs_scale import (
    CLAIMS,
    FULL,
    MIDDLE,
    MILLION,
    PAPERS,
    QUICK,
    SEEDS,
    measure,
)


def test_the_paper_and_a_million_are_measured_several_times() -> None:
    assert (FULL[PAPERS].merchants, FULL[PAPERS].trajectories, FULL[PAPERS].strategies) == (101, 26_000, 50)
    assert FULL[MILLION].trajectories == 10 * FULL[MIDDLE].trajectories == 1_000_000
    assert len(SEEDS) >= 3
    assert {claim.arm for claim in CLAIMS} | {claim.baseline for claim in CLAIMS} <= set(FULL)
    assert FULL[MILLION].engines == ("process", "ray")


def test_rates_are_sizes_over_times() -> None:
    found = measure(QUICK, Cell(PAPERS, 0))["metrics"]
    assert found[FITTED] == pytest.approx(found["trajectories"] / found["fit, s"])
    per_answer = found[ANSWERED] * found["what-if, s"] / found["trees"] / (QUICK[PAPERS].strategies + 1)
    assert per_answer == pytest.approx(found["trajectories"] / 4, rel=0.05)
    assert found["answers"] == QUICK[PAPERS].merchants * QUICK[PAPERS].strategies
    assert found["peak memory, MiB"] > 50
    assert 0 < found["LightGBM's fit alone, s"] < found["fit, s"]


def test_worker_processes_are_asked_the_same_and_their_cost_is_theirs() -> None:
    found = measure(QUICK, Cell(MILLION, 0))["metrics"]
    assert found["answers through process are the same"] == 1
    assert found["peak memory of process's workers together, MiB"] > 50
    assert found["what-if through process, s"] > 0
