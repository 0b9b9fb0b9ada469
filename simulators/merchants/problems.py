"""Reading columns as the schema wants them, and saying everything that is wrong with a log at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from fogline.core.errors import DataError, suggestion
from fogline.simulators.merchants.columns import COLUMNS, Column

SHOWN = 5
"""Bad rows that are shown of each problem."""

Noted = tuple[str, str, int, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with one column.

    Attributes:
        column: Which.
        what: What is wrong, and what is expected.
        count: Rows that have it; 0 for a column that is not there.
        rows: The first of them: row in the source, and value.
    """

    column: str
    what: str
    count: int = 0
    rows: tuple[tuple[Any, str], ...] = ()

    def __str__(self) -> str:
        """In one line."""
        shown = ", ".join(f"row {row}: {value}" for row, value in self.rows)
        more = f" and {self.count - len(self.rows):,} more" if self.count > len(self.rows) else ""
        return f"{self.column}: {self.what}" + (f" [{shown}{more}]" if shown else "")


class SchemaError(DataError):
    """A log is not what the schema says.

    Attributes:
        problems: All of them.
    """

    def __init__(self, problems: Sequence[Problem], rows: int = 0) -> None:
        self.problems = tuple(problems)
        self.rows = rows
        lines = "\n".join(f"  {problem}" for problem in self.problems)
        super().__init__(
            f"the log of {rows:,} rows does not fit the schema, {len(self.problems)} problem(s):\n{lines}\n"
            "  The columns, their units and ranges: `fogline merchants schema`."
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Survive the way between processes."""
        return type(self), (self.problems, self.rows)


def missing_columns(names: Iterable[Any], rename: Mapping[str, str]) -> list[Problem]:
    """Required columns that are not there, and renamings that rename nothing."""
    given = [str(name) for name in names]
    found = [
        Problem(
            name,
            f"is missing: expected {column.meaning}.{suggestion(name, given)} "
            f"Name it with rename={{'your name': {name!r}}}",
        )
        for name, column in COLUMNS.items()
        if column.required and name not in given
    ]
    wrong = [(old, new) for old, new in rename.items() if new not in COLUMNS]
    found += [Problem(old, f"is renamed to {new!r}, no column.{suggestion(new, COLUMNS)}") for old, new in wrong]
    twice = sorted({name for name in given if given.count(name) > 1 and name in COLUMNS})
    return found + [Problem(name, "is there more than once: expected one column of a name") for name in twice]


def read_column(
    column: Column, values: Any, time_zone: str, time_unit: str | None
) -> tuple[pd.Series | None, list[Problem], list[Noted]]:
    """Read one column.

    Returns:
        Its values (None where they cannot be read), problems, and notes of what was assumed.
    """
    if isinstance(values, pd.DataFrame):  # named twice; said elsewhere
        return None, [], []
    if column.kind == "time":
        return _times(column, values, time_zone, time_unit)
    if column.kind == "flag":
        return _flags(column, values)
    if column.kind in ("number", "integer"):
        return _numbers(column, values)
    return _names(column, values)


def of_ids(columns: Mapping[str, Any], index: pd.Index, *, tolerated: bool) -> list[Problem]:
    """Trajectories that come again."""
    ids = columns.get("trajectory_id")
    if ids is None or tolerated:
        return []
    again = ids.duplicated(keep="first")
    if not again.any():
        return []
    what = "comes again: expected one row per trajectory; on_duplicate='keep_first' keeps the first in time"
    return [_problem("trajectory_id", what, ids, again.to_numpy())]


def _problem(name: str, what: str, values: pd.Series, bad: Any) -> Problem:
    rows = np.flatnonzero(bad)
    shown = tuple((values.index[row], repr(_plain(values.iloc[row]))) for row in rows[:SHOWN])
    return Problem(name, what, len(rows), shown)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _absent(column: Column, values: pd.Series, absent: Any) -> list[Problem]:
    if column.required and absent.any():
        return [_problem(column.name, f"is empty: expected {column.meaning}", values, absent)]
    return []


def _numbers(column: Column, values: pd.Series) -> tuple[pd.Series | None, list[Problem], list[Noted]]:
    numbers = pd.to_numeric(values, errors="coerce").astype(np.float64)
    absent = values.isna()
    problems = _absent(column, values, absent)
    unreadable = (numbers.isna() & ~absent).to_numpy()
    if unreadable.any():
        problems.append(_problem(column.name, f"is no number: expected {column.meaning}", values, unreadable))
    array = numbers.to_numpy()
    with np.errstate(invalid="ignore"):
        outside = np.isinf(array)
        if column.low is not None:
            outside |= array <= column.low if column.open_low else array < column.low
        if column.high is not None:
            outside |= array >= column.high if column.open_high else array > column.high
        broken = (array != np.floor(array)) & np.isfinite(array)
    if outside.any():
        problems.append(_problem(column.name, f"is out of range: expected {range_of(column)}", values, outside))
    if column.kind == "integer":
        if broken.any():
            problems.append(_problem(column.name, "is no whole number", values, broken))
        elif not problems and not absent.any():
            return numbers.astype(np.int64), problems, []
    return numbers, problems, _gaps(column, absent)


def _gaps(column: Column, absent: Any) -> list[Noted]:
    count = int(absent.sum())
    return [("rows without a value, kept as missing", column.name, count, ())] if count else []


def range_of(column: Column) -> str:
    """The legal range of a number, in words."""
    low = "" if column.low is None else f"{'more than' if column.open_low else 'at least'} {column.low:g}"
    high = "" if column.high is None else f"{'less than' if column.open_high else 'at most'} {column.high:g}"
    return " and ".join(filter(None, (low, high))) or "a finite number"


_TRUE, _FALSE = ("true", "1", "1.0", "yes"), ("false", "0", "0.0", "no")


def _flags(column: Column, values: pd.Series) -> tuple[pd.Series | None, list[Problem], list[Noted]]:
    if values.dtype == bool:
        return values, [], []
    absent = values.isna()
    text = values.astype(str).str.strip().str.lower()
    wrong = (~text.isin(_TRUE + _FALSE) & ~absent).to_numpy()
    problems = _absent(column, values, absent)
    if wrong.any():
        problems.append(_problem(column.name, "is no flag: expected true or false", values, wrong))
    notes: list[Noted] = []
    if absent.any():
        notes.append(("rows without a value, read as false", column.name, int(absent.sum()), ()))
    return text.isin(_TRUE), problems, notes


def _names(column: Column, values: pd.Series) -> tuple[pd.Series | None, list[Problem], list[Noted]]:
    absent = values.isna()
    notes: list[Noted] = []
    if pd.api.types.is_float_dtype(values.dtype):
        whole = values.dropna()
        if (whole == np.floor(whole)).all():  # numbers as names, which a gap made floats
            values = values.astype("Int64")
    text = values.astype("str").str.strip().fillna("").astype("str")
    text = text.mask(absent, "")
    empty = (text == "").to_numpy()
    problems = []
    if column.required:
        problems = [_problem(column.name, f"is empty: expected {column.meaning}", values, empty)] if empty.any() else []
    if column.choices:
        lowered = text.str.lower()
        changed = int(((lowered != text) & lowered.isin(column.choices)).sum())
        wrong = (~lowered.isin(column.choices)).to_numpy() & ~empty
        if changed:
            notes.append(("rows read in lower case", column.name, changed, ()))
        if wrong.any():
            guess = suggestion(text[wrong].iloc[0].lower(), column.choices)
            expected = ", ".join(map(repr, column.choices))
            problems.append(_problem(column.name, f"is unknown: expected one of {expected}.{guess}", values, wrong))
        text = lowered
    if column.kind == "set":
        unique = {name: badges_text(name.split("|")) for name in text.unique()}
        text = text.map(unique).astype("str")
    elif empty.any() and not column.required:
        notes.append(("rows without a value, a category of their own: ''", column.name, int(empty.sum()), ()))
    return text, problems, notes


def badges_text(names: Iterable[str]) -> str:
    """A set of names as a log keeps it."""
    return "|".join(sorted({name.strip() for name in names} - {""}))


def _times(
    column: Column, values: pd.Series, time_zone: str, time_unit: str | None
) -> tuple[pd.Series | None, list[Problem], list[Noted]]:
    absent = values.isna()
    problems = _absent(column, values, absent)
    if pd.api.types.is_numeric_dtype(values.dtype):
        if time_unit is None:
            what = "is a number: expected times such as 2025-01-31T18:05:00+08:00; say time_unit='s' or 'ms' since 1970"
            return None, [*problems, _problem(column.name, what, values, np.ones(len(values), dtype=bool))], []
        return pd.to_datetime(values, unit=time_unit, utc=True).astype("datetime64[us, UTC]"), problems, []
    naive = _naive(values)
    times = pd.Series(pd.NaT, index=values.index, dtype="datetime64[us, UTC]")
    times[~naive] = pd.to_datetime(
        values[~naive], errors="coerce", utc=True, format="ISO8601" if _text(values) else None
    )
    skipped = np.zeros(len(values), dtype=bool)
    if naive.any():
        local = pd.to_datetime(values[naive], errors="coerce", format="ISO8601" if _text(values) else None)
        unreadable = local.isna()
        # An hour that a change of clocks skips does not exist; one that comes twice is taken as the first.
        placed = local.dt.tz_localize(time_zone, ambiguous=np.ones(len(local), dtype=bool), nonexistent="NaT")
        skipped[np.flatnonzero(naive)] = (placed.isna() & ~unreadable).to_numpy()
        times[naive] = placed.dt.tz_convert("UTC")
    bad = (times.isna() & ~absent).to_numpy()
    if (bad & ~skipped).any():
        what = "is no time: expected ISO 8601, such as 2025-01-31T18:05:00+08:00"
        problems.append(_problem(column.name, what, values, bad & ~skipped))
    if skipped.any():
        problems.append(_problem(column.name, f"does not exist in {time_zone} (clocks changed)", values, skipped))
    count = int((naive & ~absent).sum())
    return times, problems, [(f"times without a zone, taken as {time_zone}", column.name, count, ())] if count else []


def _text(values: pd.Series) -> bool:
    return not pd.api.types.is_datetime64_any_dtype(values.dtype)


def _naive(values: pd.Series) -> Any:
    """Which times name no zone."""
    if isinstance(values.dtype, pd.DatetimeTZDtype):
        return pd.Series(False, index=values.index)
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        return pd.Series(True, index=values.index)
    return ~values.astype("str").str.strip().str.contains(r"(?:Z|z|[+-]\d{2}:?\d{2}|[+-]\d{2})$", regex=True) | (
        values.astype("str").str.strip().str.fullmatch(r"\d{4}-\d{2}-\d{2}")
    )
