"""The measurement of growth: every size in a process of its own, rates that are what they are called."""

from __future__ import annotations

import pytest

from fogline.benchmarks.reproduce.cells import Cell
from fogline.benchmarks.reproduce.pghs_scale import (
    ANSWERED,
    CLAIMS,
    FITTED,
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
    assert any(size.ray for size in FULL.values())


def test_rates_are_sizes_over_times() -> None:
    found = measure(QUICK, Cell(PAPERS, 0))["metrics"]
    assert found[FITTED] == pytest.approx(found["trajectories"] / found["fit, s"])
    per_answer = found[ANSWERED] * found["what-if, s"] / found["trees"] / (QUICK[PAPERS].strategies + 1)
    assert per_answer == pytest.approx(found["trajectories"] / 4, rel=0.05)
    assert found["answers"] == QUICK[PAPERS].merchants * QUICK[PAPERS].strategies
    assert found["peak memory, MB"] > 50
