from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa

from fogline.core.errors import ConfigurationError, DataError
from fogline.simulators.merchants.loading import example_log_path, read_log
from fogline.simulators.merchants.logs import (
    Categories,
    SchemaError,
    check_log,
    merchant_codes,
    merchants_out,
    ordered,
    regimes_out,
    time_split,
)


def frame(**columns: Any) -> pd.DataFrame:
    rows = {
        "trajectory_id": ["t1", "t2", "t3", "t4"],
        "merchant_id": ["b", "a", "a", "b"],
        "time": ["2025-03-02T12:00+08:00", "2025-03-01T01:30:00Z", "2025-03-01T01:00:00Z", "2025-03-03T10:00:00Z"],
        "discount": [0.1, 0.0, 0.2, None],
        "outcome": ["order", "engage", "order", "intent"],
    }
    return pd.DataFrame({**rows, **columns})


def test_a_good_log_is_sorted_and_everything_done_is_reported() -> None:
    log = check_log(frame(extra=[1, 2, 3, 4]), time_zone="Asia/Shanghai")
    assert log.table["trajectory_id"].tolist() == ["t3", "t2", "t1", "t4"]
    assert log.table["hour"].tolist() == [9, 9, 12, 18]
    assert log.table["weekday"].tolist() == [5, 5, 6, 0]
    assert ordered(log.table).tolist() == [True, False, True, False]
    said = "\n".join(log.report.lines())
    for words in ("4 of 4 rows", "extra", "discount: rows without a value", "hour: taken from time, in Asia/Shanghai"):
        assert words in said


def test_every_problem_is_listed_at_once_with_its_first_rows() -> None:
    bad = frame(
        discount=[0.1, 1.0, "x", -0.1],
        outcome=["order", "ordr", "order", "engage"],
        trajectory_id=["t1", "t1", "t3", ""],
        time=["2025-03-02", "soon", "2025-03-01T01:00:00Z", None],
        rating=[4, 5.5, 3, 2],
        n_view_price=[1, 2.5, 3, 4],
        is_holiday=["yes", "no", "maybe", "1"],
    ).rename(columns={"merchant_id": "merchant"})
    with pytest.raises(SchemaError) as caught:
        check_log(bad)
    said = str(caught.value)
    for words in (
        "merchant_id: is missing", "Did you mean 'merchant'", "trajectory_id: is empty", "row 3: ''", "comes again",
        "time: is no time", "row 1: 'soon'", "discount: is no number", "row 2: 'x'", "discount: is out of range",
        "at least 0 and less than 1", "outcome: is unknown", "Did you mean 'order'", "rating: is out of range",
        "n_view_price: is no whole number", "is_holiday: is no flag", "row 2: 'maybe'",
    ):  # fmt: skip
        assert words in said, words
    assert len(caught.value.problems) >= 11


def test_duplicates_are_refused_or_counted() -> None:
    twice = frame(trajectory_id=["t1", "t2", "t2", "t4"])
    with pytest.raises(SchemaError, match="on_duplicate='keep_first'"):
        check_log(twice)
    log = check_log(twice, on_duplicate="keep_first")
    assert len(log) == 3
    assert log.report.rows_read - log.report.rows_kept == 1
    assert any("came before, left out, 1" in line for line in log.report.lines())
    kept = log.table[log.table["trajectory_id"] == "t2"]
    assert kept["time"].iloc[0] == pd.Timestamp("2025-03-01T01:00:00Z")


def test_times_without_a_zone_are_taken_in_one_and_hours_that_clocks_skip_are_told() -> None:
    naive = frame(time=["2025-03-30T01:30", "2025-03-30T03:30", "2025-10-26T02:30", "2025-03-02T00:00:00Z"])
    log = check_log(naive, time_zone="Europe/Berlin")
    assert any("times without a zone, taken as Europe/Berlin, 3" in line for line in log.report.lines())
    assert log.table.set_index("trajectory_id")["time"]["t1"] == pd.Timestamp("2025-03-30T00:30Z")
    with pytest.raises(SchemaError, match="does not exist in Europe/Berlin"):
        check_log(frame(time=["2025-03-30T02:30"] * 4), time_zone="Europe/Berlin")
    with pytest.raises(ConfigurationError, match="no time zone"):
        check_log(naive, time_zone="Mars/Base")
    with pytest.raises(SchemaError, match="time_unit='s'"):
        check_log(frame(time=[1, 2, 3, 4]))
    assert check_log(frame(time=[1, 2, 3, 4]), time_unit="s").table["time"].dt.year.tolist() == [1970] * 4


def test_columns_may_have_other_names() -> None:
    other = frame().rename(columns={"merchant_id": "shop", "outcome": "stage"})
    assert len(check_log(other, rename={"shop": "merchant_id", "stage": "outcome"})) == 4
    with pytest.raises(SchemaError, match="merchant_di"):
        check_log(other, rename={"shop": "merchant_di", "stage": "outcome"})


def test_windows_follow_time_within_each_merchant() -> None:
    rng = np.random.default_rng(0)
    times = pd.to_datetime(rng.integers(0, 9**9, 400))
    table = pd.DataFrame({"merchant_id": rng.choice(["a", "b"], 400), "time": times})
    windows = time_split(table)
    for _, rows in table.assign(window=windows).groupby("merchant_id"):
        assert (np.diff(rows.sort_values("time")["window"].astype(int)) >= 0).all()
        assert np.bincount(rows["window"]) / len(rows) == pytest.approx([0.6, 0.15, 0.25], abs=0.01)
    codes, ids = merchant_codes(table)
    assert ids == ["a", "b"]
    out = merchants_out(table, 0.5, 0)
    assert len(set(codes[out])) == 1
    with pytest.raises(ConfigurationError, match="some in and some out"):
        merchants_out(table, 0.1, 0)
    assert regimes_out(table.assign(regime="r1"), ("r1",)).all()
    with pytest.raises(ConfigurationError, match="r9"):
        regimes_out(table.assign(regime="r1"), ("r9",))


def test_categories_unseen_at_fit_are_missing_and_counted() -> None:
    known = Categories.of(pd.DataFrame({"category": ["x", "y"]}))
    new = pd.DataFrame({"category": ["y", "z", "z"]})
    np.testing.assert_array_equal(known.codes(new, "category"), [1, np.nan, np.nan])
    assert str(known.unseen(new)[0]) == "category: rows of a category unseen at fit, treated as missing, 2 (such as z)"


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "tsv", "parquet", "sqlite"])
def test_a_log_is_the_same_wherever_it_comes_from(kind: str, tmp_path: Path) -> None:
    source = frame(merchant_id=["007", "7", "7", "007"])
    path = tmp_path / f"log.{kind}"
    options: dict[str, Any] = {}
    if kind == "parquet":
        source.to_parquet(path)
    elif kind == "sqlite":
        engine = sa.create_engine(f"sqlite:///{path}")
        source.to_sql("log", engine, index=False)
        engine.dispose()
        options = {"table": "log"}
    else:
        source.to_csv(path, index=False, sep="\t" if kind == "tsv" else ",")
    where = f"sqlite:///{path}" if kind == "sqlite" else path
    log = read_log(where, **options)
    pd.testing.assert_frame_equal(log.table, check_log(source).table)
    assert set(log.table["merchant_id"]) == {"007", "7"}


def test_a_source_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read as a log"):
        read_log(tmp_path / "none.csv")
    with pytest.raises(ConfigurationError, match=r"\.csv, \.csv\.gz"):
        read_log(tmp_path / "log.xlsx")
    with pytest.raises(ConfigurationError, match="one of them"):
        read_log("sqlite://")
    with pytest.raises(DataError) as caught:
        read_log("sqlite:////no/such/folder/x.db?secret=hunter2", query="select 1")
    assert "hunter2" not in str(caught.value)
    bad = tmp_path / "log.csv"
    frame(discount=[0.1, 7, 0.2, 0.3]).to_csv(bad, index=False)
    with pytest.raises(SchemaError, match=r"row 3: 7\.0"):
        read_log(bad)


def test_the_example_fits_the_schema() -> None:
    log = read_log(example_log_path())
    assert (len(log), log.report.merchants) == (48, 4)
    assert {"discount", "delivery_min", "badges", "n_view_price"} <= set(log.table)
