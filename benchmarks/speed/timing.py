"""Measuring side by side: the machine's bad moments then fall on everybody alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from statistics import median
from time import perf_counter, process_time
from typing import NamedTuple, Protocol, TypeVar

from fogline.core.errors import FoglineError

MICROSECONDS = 1e6
MILLISECONDS = 1e3

Measured = TypeVar("Measured")


class MeasurementFailed(FoglineError):
    """What is to be timed did not do its work: its time would mean nothing."""


class Spread(NamedTuple):
    """What the rounds of a measurement gave.

    Attributes:
        median: Median over the rounds.
        low: Least round.
        high: Greatest round.
    """

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, rounds: Sequence[float], scale: float = 1.0) -> Spread:
        """Sum up the rounds, each times ``scale``."""
        return cls(median(rounds) * scale, min(rounds) * scale, max(rounds) * scale)


def cpu_rate(loop: Callable[[], int]) -> float:
    """Steps of a loop, which it returns, per second of this process's CPU time."""
    began = process_time()
    steps = loop()
    return steps / (process_time() - began)


class Subject(Protocol):
    """Something whose single call is timed.

    Attributes:
        name: Shown in the report.
    """

    name: str

    def prepare(self, index: int) -> None:
        """Get ready for call number ``index``; not timed."""

    def call(self, index: int) -> object:
        """Do what is timed."""

    def close(self) -> None:
        """Let go of what is held."""


def time_calls(subjects: Sequence[Subject], rounds: int, calls: int) -> dict[str, list[float]]:
    """Time single calls, the subjects taking turns: a short block of calls each, and again.

    In blocks everybody is measured warm, as in a loop of its own: call by call, each would pay for what the
    other left in the processor's caches.

    Args:
        subjects: What to time.
        rounds: Rounds that count; one more warms up.
        calls: Calls of each subject in a round.

    Returns:
        For each subject's name the median seconds of a call in every round.
    """
    return alternate({subject.name: partial(_median_call, subject, calls) for subject in subjects}, rounds)


def _median_call(subject: Subject, calls: int) -> float:
    seconds = []
    for index in range(calls):
        subject.prepare(index)
        began = perf_counter()
        subject.call(index)
        seconds.append(perf_counter() - began)
    return median(seconds)


def alternate(runs: Mapping[str, Callable[[], Measured]], rounds: int) -> dict[str, list[Measured]]:
    """Run whole loops in turn, A B A B …, and return what each gave in every round after one that warms up."""
    given: dict[str, list[Measured]] = {name: [] for name in runs}
    for number in range(rounds + 1):
        for name, run in runs.items():
            value = run()
            if number:
                given[name].append(value)
    return given
