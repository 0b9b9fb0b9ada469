"""Statements about the customer that are tested, and the verdicts that code computes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any, Literal

from fogline.core.intervals import Interval, student_t, wilson

Verdict = Literal["holds", "does not hold", "cannot say"]
Sense = Literal["above", "at least", "at most", "not above", "none"]

FEWEST = 20
"""Fewer sessions say nothing about the mean of a number."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A mean over independent sessions, or over runs.

    Attributes:
        value: The mean; None where there are no data.
        interval: Its 95 % confidence interval; None where the data cannot say.
        count: Sessions (or runs) that entered it.
    """

    value: float | None = None
    interval: Interval | None = None
    count: int = 0

    @property
    def least(self) -> float:
        """The most that it is for sure: the lower bound, or the value itself where there is none."""
        return self.interval.low if self.interval is not None else self.value or 0.0


@dataclass(frozen=True, slots=True)
class Check:
    """One statement and what became of it.

    Attributes:
        section: What it is about, a heading of the page.
        name: Key in the JSON.
        statement: What has to hold, in words.
        measured: What was measured.
        sense: How the bound is meant; see :func:`judge`.
        bound: The bound, fixed beforehand.
        percent: Whether tables show percent.
        verdict: ``holds``, ``does not hold`` or ``cannot say``.
        note: What a reader has to know.
    """

    section: str
    name: str
    statement: str
    measured: Measured
    sense: Sense
    bound: float
    percent: bool
    verdict: Verdict
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """JSON-ready dictionary."""
        return asdict(self)


def check(
    section: str,
    name: str,
    statement: str,
    measured: Measured,
    sense: Sense,
    bound: float,
    *,
    percent: bool = True,
    note: str = "",
) -> Check:
    """State something and judge it; see :class:`Check`."""
    return Check(section, name, statement, measured, sense, bound, percent, judge(measured, sense, bound), note)


def judge(measured: Measured, sense: Sense, bound: float) -> Verdict:
    """Judge a measured value, with its interval [l, h], against a bound b.

    ``above``: holds if l > b, does not if h ≤ b. ``at least``: holds if l ≥ b, does not if h < b. ``at most``: holds
    if h ≤ b, does not if l > b. In between, and without an interval, nobody can say. ``not above``: does not hold if
    l > b, which is to say significantly above, else holds. ``none``: it never happened; a single occurrence refutes
    it, and it holds once so many sessions were played that h ≤ b.
    """
    if measured.value is None or measured.interval is None:
        return "cannot say"
    low, high = measured.interval
    if sense == "none" and measured.value > 0:
        return "does not hold"
    holds, fails = {
        "above": (low > bound, high <= bound),
        "at least": (low >= bound, high < bound),
        "at most": (high <= bound, low > bound),
        "not above": (low <= bound, low > bound),
        "none": (high <= bound, False),
    }[sense]
    if holds:
        return "holds"
    return "does not hold" if fails else "cannot say"


def rate(happened: Sequence[bool]) -> Measured:
    """Share of sessions in which something happened, with Wilson's interval."""
    return share(sum(happened), len(happened))


def share(times: int, count: int) -> Measured:
    """A share by its numerator and its denominator, with Wilson's interval."""
    return Measured(times / count, wilson(times, count), count) if count else Measured()


def mean(values: Sequence[float], fewest: int = FEWEST) -> Measured:
    """Mean with Student's interval; without one where there are fewer than ``fewest`` values.

    Args:
        values: One per session or run.
        fewest: Least number with an interval.
    """
    if not values:
        return Measured()
    interval = student_t(values) if len(values) >= fewest else None
    return Measured(math.fsum(values) / len(values), interval, len(values))


def difference(pairs: Sequence[float]) -> Measured:
    """Mean difference over independent pairs.

    Where outcomes are yes or no, so that differences are -1, 0 and 1, the interval is that of D. G. Bonett and R. M.
    Price, "Adjusted Wald confidence interval for a difference of binomial proportions based on paired data", 2012; it
    keeps its width where all pairs agree. Otherwise it is Student's.

    Args:
        pairs: One difference per pair.
    """
    if len(pairs) < FEWEST or not set(pairs) <= {-1.0, 0.0, 1.0}:
        return mean(pairs)
    count = len(pairs)
    up, down = ((1 + sum(pair == sign for pair in pairs)) / (count + 2) for sign in (1.0, -1.0))
    half = NormalDist().inv_cdf(0.975) * math.sqrt((up + down - (up - down) ** 2) / (count + 2))
    return Measured(math.fsum(pairs) / count, Interval(up - down - half, up - down + half), count)
