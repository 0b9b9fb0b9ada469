"""A checked log: one table with known columns, and a report of everything that was done to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fogline.core.errors import ConfigurationError, check_choice
from fogline.simulators.merchants.columns import COLUMNS, STAGES
from fogline.simulators.merchants.problems import Problem, SchemaError, missing_columns, of_ids, read_column

TRAIN, CALIBRATE, TEST = np.int8(0), np.int8(1), np.int8(2)
"""Codes of the windows of a log."""
_SHARES = (0.60, 0.75)
_EXAMPLES = 3

Codes = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Note:
    """Something that was done to a log, or is to be known about it.

    Attributes:
        what: In words.
        column: Where; empty for whole rows.
        count: Rows, or columns, that it concerns.
        examples: The first of them.
    """

    what: str
    column: str = ""
    count: int = 0
    examples: tuple[str, ...] = ()

    def __str__(self) -> str:
        """In one line."""
        where = f"{self.column}: " if self.column else ""
        some = f" (such as {', '.join(self.examples)})" if self.examples else ""
        return f"{where}{self.what}, {self.count:,}{some}"


@dataclass(frozen=True)
class LogReport:
    """What became of a log on its way in.

    Attributes:
        rows_read: In the source.
        rows_kept: In the table.
        merchants: In the table.
        orders: In the table.
        first: Time of the first row, ISO 8601.
        last: Time of the last.
        notes: Everything that was assumed, derived, changed, ignored or left out.
    """

    rows_read: int
    rows_kept: int
    merchants: int
    orders: int
    first: str
    last: str
    notes: tuple[Note, ...] = ()

    def lines(self) -> list[str]:
        """For a reader."""
        head = (
            f"{self.rows_kept:,} of {self.rows_read:,} rows, {self.merchants:,} merchants, {self.orders:,} orders, "
            f"{self.first} to {self.last}"
        )
        return [head, *map(str, self.notes)]

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Log:
    """Trajectories that passed :func:`check_log`.

    Attributes:
        table: One row per trajectory, columns of :data:`~fogline.simulators.merchants.columns.COLUMNS`: numbers
            float64, integers int64 (float64 where one is missing), flags bool, names ``str``, times UTC; sorted by
            merchant, time and trajectory.
        report: What was done to it.
        time_zone: In which hours and weekdays are told.
    """

    table: pd.DataFrame
    report: LogReport
    time_zone: str = "UTC"

    def __len__(self) -> int:
        """Trajectories."""
        return len(self.table)


def check_log(
    frame: pd.DataFrame,
    *,
    time_zone: str = "UTC",
    on_duplicate: Literal["error", "keep_first"] = "error",
    rename: Mapping[str, str] | None = None,
    time_unit: Literal["s", "ms"] | None = None,
) -> Log:
    """Check a table against the schema, and make a log of it.

    Args:
        frame: One row per trajectory; its index is the row number in errors.
        time_zone: Of times that name none; hours and weekdays are told in it.
        on_duplicate: What to do where a trajectory_id comes again: refuse, or keep the first in time.
        rename: The frame's names of columns, to the schema's.
        time_unit: Unit of times that are numbers since 1970.

    Raises:
        SchemaError: Listing every bad column, with the first bad rows of each.
        ConfigurationError: For an unknown option.
    """
    check_choice("on_duplicate", on_duplicate, ("error", "keep_first"))
    _check_zone(time_zone)
    named = frame.rename(columns=dict(rename or {}))
    notes: list[Note] = []
    problems = missing_columns(named.columns, rename or {})
    columns: dict[str, Any] = {}
    for name, column in COLUMNS.items():
        if name in named.columns:
            values, found, noted = read_column(column, named[name], time_zone, time_unit)
            columns[name] = values
            problems += found
            notes += [Note(*entry) for entry in noted]
    problems += of_ids(columns, named.index, tolerated=on_duplicate == "keep_first")
    if problems:
        raise SchemaError(problems, len(named))
    ignored = [str(name) for name in named.columns if name not in COLUMNS]
    if ignored:
        notes.append(Note("columns that are not in the schema, ignored", "", len(ignored), tuple(ignored[:8])))
    table = _sorted(pd.DataFrame(columns), notes)
    table = _with_clock(table, time_zone, notes)
    return Log(table, _report(len(named), table, notes), time_zone)


def ordered(table: pd.DataFrame) -> NDArray[np.bool_]:
    """Which trajectories ended in an order; bool [n]."""
    found: NDArray[np.bool_] = (table["outcome"] == STAGES[-1]).to_numpy(dtype=bool)
    return found


def high_intent(table: pd.DataFrame) -> NDArray[np.bool_]:
    """Which trajectories reached ``engage``; bool [n]."""
    found: NDArray[np.bool_] = (~table["outcome"].isin(STAGES[:2])).to_numpy(dtype=bool)
    return found


def merchant_codes(table: pd.DataFrame) -> tuple[Codes, list[str]]:
    """Rows by merchant.

    Returns:
        An index into the merchants for each row, int64 [n]; and the merchants in order.
    """
    codes, ids = pd.factorize(table["merchant_id"], sort=True)
    return codes.astype(np.int64), [str(name) for name in ids]


def time_split(table: pd.DataFrame) -> NDArray[np.int8]:
    """Window of each row by its rank in time within its merchant: the first 60 % train, the next 15 % calibrate.

    Returns:
        :data:`TRAIN`, :data:`CALIBRATE` or :data:`TEST`; int8 [n].
    """
    codes, ids = merchant_codes(table)
    # As numbers: times with a zone would come out as Python objects, which sort a hundred times slower.
    order = np.lexsort((table["time"].astype(np.int64).to_numpy(), codes))
    count = np.bincount(codes, minlength=len(ids))
    start = np.cumsum(count) - count
    rank = np.empty(len(table))
    rank[order] = np.arange(len(table)) - start[codes[order]]
    place = (rank + 0.5) / count[codes]
    found: NDArray[np.int8] = (place >= _SHARES[0]).astype(np.int8) + (place >= _SHARES[1]).astype(np.int8)
    return found


def merchants_out(table: pd.DataFrame, share: float, seed: int) -> NDArray[np.bool_]:
    """Rows of a random share of the merchants, to be left out of fitting; bool [n].

    Raises:
        ConfigurationError: For a share that leaves no merchant in, or none out.
    """
    codes, ids = merchant_codes(table)
    out = round(share * len(ids))
    if not 0 < out < len(ids):
        raise ConfigurationError(f"share={share} of {len(ids)} merchants is {out}: expected some in and some out.")
    chosen = np.random.default_rng(seed).permutation(len(ids))[:out]
    return np.isin(codes, chosen)


def regimes_out(table: pd.DataFrame, regimes: tuple[str, ...]) -> NDArray[np.bool_]:
    """Rows of some regimes, to be left out of fitting; bool [n].

    Raises:
        ConfigurationError: For a regime that the log does not have.
    """
    known = sorted(set(table["regime"])) if "regime" in table else []
    for name in regimes:
        check_choice("regime", name, known)
    found: NDArray[np.bool_] = table["regime"].isin(regimes).to_numpy(dtype=bool)
    return found


@dataclass(frozen=True)
class Categories:
    """What the category columns held when a model was fitted.

    Attributes:
        values: By column, sorted.
    """

    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, table: pd.DataFrame) -> Categories:
        """Of a table."""
        names = [name for name, column in COLUMNS.items() if column.kind == "category" and column.role != "outcome"]
        return cls({name: tuple(sorted(map(str, table[name].unique()))) for name in names if name in table})

    def codes(self, table: pd.DataFrame, name: str) -> NDArray[np.float64]:
        """Index of each row's category; NaN for one that was not there at fit; float64 [n]."""
        known = pd.Index(self.values[name])
        codes: NDArray[np.float64] = known.get_indexer(table[name]).astype(np.float64)
        codes[codes < 0] = np.nan
        return codes

    def unseen(self, table: pd.DataFrame) -> tuple[Note, ...]:
        """Categories that were not there at fit: models treat them as missing."""
        found = []
        for name in self.values:
            if name in table:
                new = table[name][np.isnan(self.codes(table, name))]
                if len(new):
                    examples = tuple(sorted(map(str, new.unique()))[:_EXAMPLES])
                    found.append(Note("rows of a category unseen at fit, treated as missing", name, len(new), examples))
        return tuple(found)


def _check_zone(name: str) -> None:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ConfigurationError(
            f"time_zone={name!r} is no time zone: expected a name such as 'UTC' or 'Asia/Shanghai'."
        ) from error


def _sorted(table: pd.DataFrame, notes: list[Note]) -> pd.DataFrame:
    table = table.sort_values(["merchant_id", "time", "trajectory_id"], kind="stable", ignore_index=True)
    again = table["trajectory_id"].duplicated()
    if again.any():
        examples = tuple(map(repr, table["trajectory_id"][again].unique()[:_EXAMPLES]))
        notes.append(
            Note("rows whose trajectory_id came before, left out", "trajectory_id", int(again.sum()), examples)
        )
        table = table[~again].reset_index(drop=True)
    return table


def _with_clock(table: pd.DataFrame, time_zone: str, notes: list[Note]) -> pd.DataFrame:
    local = table["time"].dt.tz_convert(time_zone)
    for name, values in (("hour", local.dt.hour), ("weekday", local.dt.day_of_week)):
        if name not in table:
            table[name] = values.astype(np.int64)
            notes.append(Note(f"taken from time, in {time_zone}", name, len(table)))
    return table[[name for name in COLUMNS if name in table]]


def _report(read: int, table: pd.DataFrame, notes: list[Note]) -> LogReport:
    times = table["time"]
    return LogReport(
        rows_read=read,
        rows_kept=len(table),
        merchants=table["merchant_id"].nunique(),
        orders=int(ordered(table).sum()),
        first=times.min().isoformat(timespec="seconds"),
        last=times.max().isoformat(timespec="seconds"),
        notes=tuple(notes),
    )


__all__ = [
    "CALIBRATE",
    "TEST",
    "TRAIN",
    "Categories",
    "Log",
    "LogReport",
    "Note",
    "Problem",
    "SchemaError",
    "check_log",
    "high_intent",
    "merchant_codes",
    "merchants_out",
    "ordered",
    "regimes_out",
    "time_split",
]
