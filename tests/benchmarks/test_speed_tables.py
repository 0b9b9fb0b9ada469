"""Tiny tables are made and drawn fast enough to train on."""

from __future__ import annotations

from fogline.benchmarks.speed import tables
from fogline.benchmarks.speed.report import Effort


def test_rates_stand_beside_an_empty_picture_and_memory_is_told() -> None:
    made, drawn, memory = tables.run(Effort(rounds=2, seconds=0.01))
    assert made.target == tables.TABLES_PER_SECOND
    assert made.target.bound == 500
    assert 0 < made.subject_value.low < drawn.subject_value.high < drawn.peer_value.high
    assert memory.subject_value.median == 64 * 64 * 48 * 3 / 1024
    assert memory.seen.median < 1


def test_a_table_costs_no_more_than_a_bound_of_empty_pictures() -> None:
    made, drawn, _ = tables.run(Effort(rounds=5, seconds=0.05))
    assert drawn.ratio > 1 / 100, "the time of so many empty pictures"
    assert made.ratio > 1 / 1500
