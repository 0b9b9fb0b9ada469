"""Answers do not depend on how a log is cut, nor on where the pieces are worked on."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fogline.core.engine import InlineEngine, make_engine
from fogline.simulators.merchants import fitting
from fogline.simulators.merchants.branches import chunks
from fogline.simulators.merchants.config import PGHSConfig
from fogline.simulators.merchants.estimators import probability
from fogline.simulators.merchants.logs import check_log, time_split
from fogline.simulators.merchants.pghs import PGHS
from fogline.simulators.merchants.strategies import LOGGED, Intervention, Strategy
from fogline.simulators.merchants.what_if import LEAST_ROWS, WhatIf, _share, what_if
from fogline.simulators.merchants.world import WorldConfig, make_world

ASKED = [
    Strategy("ten", (Intervention("discount", "set", 0.10),)),
    Strategy("badge", (Intervention("badges", "add", "recommended"),)),
]


class Counting(InlineEngine):
    """Counts what is shipped: functions by size, and pieces by rows."""

    def __init__(self, workers: int) -> None:
        super().__init__()
        self.workers = workers
        self.shipped: list[int] = []
        self.rows: list[int] = []

    def map(
        self, function: Callable[[Any], Any], items: Iterable[Any], *, timeout_s: float | None = None
    ) -> Iterator[Any]:
        self.shipped.append(len(pickle.dumps(function)))
        kept = list(items)
        self.rows += [len(item) for item in kept]
        return super().map(function, kept, timeout_s=timeout_s)


@pytest.fixture(scope="module")
def model() -> PGHS:
    return PGHS.fit(
        check_log(make_world(WorldConfig(n_merchants=60, n_trajectories=12_000), 2).table()), PGHSConfig(replicates=5)
    )


def answers(model: PGHS, **options: Any) -> WhatIf:
    return what_if(model, model.rows("all"), ASKED, LOGGED, **options)


def same(one: WhatIf, other: WhatIf) -> None:
    pd.testing.assert_frame_equal(one.table, other.table, check_exact=True)
    pd.testing.assert_frame_equal(one.totals(), other.totals(), rtol=1e-12)


@pytest.mark.parametrize("most_rows", [1, 700, 5_000, 10**9])
def test_how_a_log_is_cut_changes_nothing(model: PGHS, most_rows: int) -> None:
    same(answers(model), answers(model, most_rows=most_rows))


def test_pieces_are_whole_merchants_and_all_of_them(model: PGHS) -> None:
    table = model.rows("all")
    for most_rows in (1, 500, 3_000):
        pieces = list(chunks(table, most_rows))
        assert sum(map(len, pieces)) == len(table)
        names = [set(piece["merchant_id"]) for piece in pieces]
        assert sum(map(len, names)) == len(set().union(*names)) == 60


@pytest.mark.parametrize("most_rows", [700, 10**9])
def test_trees_are_asked_once_for_every_row_and_strategy(
    model: PGHS, most_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def counted(estimator: Any, matrix: Any, num_threads: int) -> Any:
        asked.append(len(matrix))
        return probability(estimator, matrix, num_threads)

    monkeypatch.setattr(fitting, "probability", counted)
    table = model.rows("all")
    for share in (1, 2):
        asked.clear()
        part = table[table["merchant_id"].isin(table["merchant_id"].unique()[::share])].reset_index(drop=True)
        what_if(model, part, ASKED, LOGGED, most_rows=most_rows)
        assert sum(asked) == (len(ASKED) + 1) * len(part)


@given(st.integers(1, 3_000_000), st.integers(1, 64), st.integers(LEAST_ROWS, 200_000))
def test_workers_get_equal_shares_within_memory(rows: int, workers: int, most_rows: int) -> None:
    share = _share(rows, workers, most_rows)
    pieces = -(-rows // share)
    assert LEAST_ROWS <= share <= most_rows
    turns = -(-pieces // workers)
    # The busiest worker has no more rows than its share of all, but for what does not divide.
    assert share == LEAST_ROWS or turns * share <= rows / workers + turns


def test_windows_do_not_depend_on_how_times_are_told(model: PGHS) -> None:
    table = model.log.table
    windows = time_split(table)
    for told in ("datetime64[us, Asia/Shanghai]", "datetime64[ns, UTC]", "datetime64[ns, America/New_York]"):
        np.testing.assert_array_equal(time_split(table.assign(time=table["time"].astype(told))), windows)
    naive = table.assign(time=table["time"].dt.tz_localize(None))
    np.testing.assert_array_equal(time_split(naive), windows)


def test_worker_processes_change_nothing(model: PGHS) -> None:
    with make_engine("process", 2) as engine:
        same(answers(model), answers(model, engine=engine))


def test_the_model_travels_once_and_without_its_log(model: PGHS) -> None:
    engine = Counting(workers=2)
    same(answers(model), answers(model, engine=engine))
    assert len(engine.shipped) == 1
    assert engine.shipped[0] < 0.5 * len(pickle.dumps(model.log))
    assert 2 <= len(engine.rows) <= 3
    alone = Counting(workers=1)
    answers(model, engine=alone)
    assert alone.rows == [len(model.rows("all"))]
