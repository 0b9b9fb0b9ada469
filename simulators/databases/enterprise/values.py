"""Draws the values of one attribute for many rows at once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from fogline.simulators.databases.enterprise import pools
from fogline.simulators.databases.enterprise.model import Attribute, Role

_EPOCH = date(1990, 1, 1)
_WINDOWS: dict[Role, tuple[date, date]] = {
    "reference": (date(1995, 1, 1), date(2010, 12, 31)),
    "master": (date(2010, 1, 1), date(2018, 12, 31)),
    "event": (date(2019, 1, 1), date(2023, 12, 31)),
    "detail": (date(2019, 1, 1), date(2024, 6, 30)),
    "link": (date(2019, 1, 1), date(2024, 6, 30)),
}
_PAIRS: dict[str, tuple[Sequence[str], Sequence[str]]] = {
    "person": (pools.FIRST_NAMES, pools.LAST_NAMES),
    "company": (pools.COMPANIES, pools.COMPANY_ENDINGS),
    "place": (pools.PLACES, pools.PLACE_ENDINGS),
    "title": (pools.TITLE_OPENINGS, pools.TITLE_SUBJECTS),
}

Days = NDArray[np.int64]


def iso(day: int) -> str:
    """ISO text of a day counted from 1990-01-01."""
    return (_EPOCH + timedelta(days=day)).isoformat()


def days_between(first: date, last: date) -> tuple[int, int]:
    """Both ends as day counts."""
    return (first - _EPOCH).days, (last - _EPOCH).days


def draw_days(rng: Generator, role: Role, rows: int) -> Days:
    """Days in the window of a role."""
    low, high = days_between(*_WINDOWS[role])
    return rng.integers(low, high + 1, rows)


def draw_labels(rng: Generator, attribute: Attribute, rows: int) -> list[str]:
    """Unique names in the style of the attribute."""
    if attribute.style.startswith("ref:"):
        prefix = attribute.style[4:]
        start = int(rng.integers(10_000, 60_000))
        steps = np.cumsum(rng.integers(1, 9, rows))
        return [f"{prefix}-{start + int(step)}" for step in steps]
    if attribute.style == "thing":
        left, right = pools.ADJECTIVES, tuple(value.capitalize() for value in attribute.values)
    else:
        left, right = _PAIRS[attribute.style]  # type: ignore[assignment]
    size = len(left) * len(right)
    names = []
    for start in range(0, rows, size):
        suffix = f" {start // size + 1}" if start else ""
        for code in rng.permutation(size)[: min(size, rows - start)]:
            names.append(f"{left[int(code) // len(right)]} {right[int(code) % len(right)]}{suffix}")
    return names


def skewed(rng: Generator, count: int, rows: int, power: float = 0.8) -> NDArray[np.int64]:
    """Positions below ``count``, the first ones more often."""
    weights = 1.0 / np.arange(1, count + 1) ** power
    return rng.choice(count, rows, p=weights / weights.sum())


def draw_plain(rng: Generator, attribute: Attribute, rows: int, flags: tuple[int | str, int | str]) -> list[Any]:
    """Values of everything but dates and labels; categories by meaning."""
    if attribute.kind == "city":
        order = rng.permutation(len(pools.CITIES))
        return [pools.CITIES[order[i]] for i in skewed(rng, len(order), rows, 0.5)]
    if attribute.kind == "category":
        return [attribute.values[i] for i in skewed(rng, len(attribute.values), rows)]
    if attribute.kind == "flag":
        return [flags[0] if draw < 0.3 else flags[1] for draw in rng.random(rows)]
    span = attribute.high - attribute.low
    if attribute.kind == "number":
        return [round(float(v)) for v in attribute.low + span * rng.beta(1.6, 2.6, rows)]
    places = 2 if attribute.kind == "money" else 1
    return [round(float(v), places) for v in attribute.low + span * rng.beta(1.4, 3.6, rows)]


def blank(rng: Generator, values: list[Any], share: float) -> list[Any]:
    """The values, a share of them replaced by nothing."""
    if share <= 0.0:
        return values
    return [None if draw < share else value for value, draw in zip(values, rng.random(len(values)), strict=True)]
