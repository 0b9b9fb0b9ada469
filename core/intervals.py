"""Confidence intervals: Wilson's for one yes-or-no trial a task, a bootstrap over tasks for anything else.

Student's, for the mean of a few independent runs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from fogline.core.errors import ConfigurationError

LEAST_RUNS = 3
"""Fewer runs have no interval."""

_CELLS_AT_ONCE = 4_000_000


class Interval(NamedTuple):
    """Bounds of a confidence interval, in the unit of the value."""

    low: float
    high: float


def wilson(successes: float, trials: float, confidence: float = 0.95) -> Interval:
    """Wilson's score interval of a proportion.

    Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", 1927.

    Args:
        successes: Trials that succeeded; need not be whole, where trials are weighted.
        trials: Independent trials; more than 0.
        confidence: Coverage, in (0, 1).

    Raises:
        ConfigurationError: For counts that make no proportion, or a coverage outside (0, 1).
    """
    _check_confidence(confidence)
    if not trials > 0 or not 0 <= successes <= trials:
        raise ConfigurationError(
            f"{successes} successes of {trials} trials: expected 0 <= successes <= trials, trials > 0."
        )
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share = successes / trials
    scale = 1 + z * z / trials
    centre = (share + z * z / (2 * trials)) / scale
    half = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials)) / scale
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == trials else min(1.0, centre + half)
    return Interval(low, high)


def cluster_bootstrap(
    values: Sequence[float], *, confidence: float = 0.95, resamples: int = 2000, seed: int = 0
) -> Interval | None:
    """Percentile bootstrap interval of a mean over clusters, each cluster kept whole.

    Samples of one task share its difficulty, so tasks are resampled and not samples. A statistic of the form
    "mean over tasks of what the task's samples gave" (Avg@k, Pass@k) needs only the tasks' own values.

    Args:
        values: One value per cluster.
        confidence: Coverage, in (0, 1).
        resamples: Number of bootstrap samples.
        seed: Seed of the resampling: the same values always give the same interval.

    Returns:
        The interval; None where resampling can say nothing: fewer than two clusters, or all of them equal.

    Raises:
        ConfigurationError: For a coverage outside (0, 1) or fewer than one resample.
    """
    _check_confidence(confidence)
    if resamples < 1:
        raise ConfigurationError(f"resamples={resamples} is too few: expected at least 1.")
    # Sorted, so that the same values give the same interval in whatever order they come.
    data = np.sort(np.asarray(values, dtype=np.float64))
    if data.size < 2 or bool(np.all(data == data[0])):
        return None
    generator = np.random.default_rng(seed)
    means = np.empty(resamples)
    step = max(1, _CELLS_AT_ONCE // data.size)
    for start in range(0, resamples, step):
        stop = min(resamples, start + step)
        chosen = generator.integers(data.size, size=(stop - start, data.size))
        means[start:stop] = data[chosen].mean(axis=1)
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(float(low), float(high))


def ratio_bootstrap(
    parts: Sequence[float], wholes: Sequence[float], *, confidence: float = 0.95, resamples: int = 2000, seed: int = 0
) -> Interval | None:
    """Percentile bootstrap interval of a ratio of sums over clusters, each cluster kept whole.

    Args:
        parts: What a cluster adds to the numerator.
        wholes: What it adds to the denominator, at least 0; as many.
        confidence: Coverage, in (0, 1).
        resamples: Number of bootstrap samples; those whose denominator is 0 say nothing and are left out.
        seed: Seed of the resampling.

    Returns:
        The interval; None where resampling can say nothing: fewer than two clusters that count, or one ratio in all.

    Raises:
        ConfigurationError: For a coverage outside (0, 1) or fewer than one resample.
    """
    _check_confidence(confidence)
    if resamples < 1:
        raise ConfigurationError(f"resamples={resamples} is too few: expected at least 1.")
    # Sorted, so that the same clusters give the same interval in whatever order they come.
    data = np.array(sorted(zip(parts, wholes, strict=True)), dtype=np.float64).reshape(-1, 2)
    counting = data[data[:, 1] > 0]
    if len(counting) < 2 or np.ptp(counting[:, 0] / counting[:, 1]) == 0:
        return None
    generator = np.random.default_rng(seed)
    sums = np.empty((resamples, 2))
    step = max(1, _CELLS_AT_ONCE // len(data))
    for start in range(0, resamples, step):
        stop = min(resamples, start + step)
        sums[start:stop] = data[generator.integers(len(data), size=(stop - start, len(data)))].sum(axis=1)
    known = sums[sums[:, 1] > 0]
    tail = (1 - confidence) / 2
    low, high = np.quantile(known[:, 0] / known[:, 1], [tail, 1 - tail])
    return Interval(float(low), float(high))


def student_t(values: Sequence[float], *, confidence: float = 0.95) -> Interval | None:
    """Student's interval of a mean: for independent runs, of which there are few.

    Source: Student, "The probable error of a mean", 1908.

    Args:
        values: One value per run, such as differences of two arms that share a seed.
        confidence: Coverage, in (0, 1).

    Returns:
        The interval, of no width where all values are equal; None for fewer than three, which say too little.

    Raises:
        ConfigurationError: For a coverage outside (0, 1).
    """
    _check_confidence(confidence)
    count = len(values)
    if count < LEAST_RUNS:
        return None
    mean = math.fsum(values) / count
    variance = math.fsum((value - mean) ** 2 for value in values) / (count - 1)
    half = t_quantile(count - 1, confidence) * math.sqrt(variance / count)
    return Interval(mean - half, mean + half)


def t_quantile(freedom: int, confidence: float = 0.95) -> float:
    """The t for which a share ``confidence`` of Student's distribution lies within ±t.

    Args:
        freedom: Degrees of freedom, at least 1.
        confidence: That share, in (0, 1).
    """
    low, high = 0.0, math.pi / 2
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if _central_share(middle, freedom) < confidence else (low, middle)
    return math.sqrt(freedom) * math.tan(low)


def _central_share(angle: float, freedom: int) -> float:
    """P(|T| < √freedom tan angle), in closed form (Abramowitz and Stegun, 26.7.3 and 26.7.4)."""
    sine, cosine = math.sin(angle), math.cos(angle)
    first = 1 + freedom % 2
    term = cosine if freedom % 2 else 1.0
    total = term if freedom > 1 else 0.0
    for order in range(first, freedom - 2, 2):
        term *= order / (order + 1) * cosine * cosine
        total += term
    return (angle + sine * total) * 2 / math.pi if freedom % 2 else sine * total


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise ConfigurationError(
            f"confidence={confidence} is no coverage: expected a number between 0 and 1, e.g. 0.95."
        )
