"""How far a simulation of groups is from what groups do; each figure beside what sampling alone would leave.

The paper does not say how its group simulation error is computed, so every variant is here; GSE_abs, in points, leads:
it alone is attainable at every base rate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom, kendalltau

from fogline.core.errors import ConfigurationError
from fogline.core.intervals import Interval, cluster_bootstrap
from fogline.simulators.merchants.resampling import bootstrap_ratio

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

LEAST_RATE = 0.01
"""Observed rates below it count as it in a relative error."""


@dataclass(frozen=True)
class GroupError:
    """Group simulation error (GSE) in all variants; rates are in [0, 1], points / 100.

    Attributes:
        absolute: Mean of |P - Y|.
        relative: Mean of |P - Y| / max(Y, 0.01).
        weighted: Mean of |P - Y|, groups weighing as many rows as they have.
        wape: Sum of n |P - Y| over sum of n Y.
        floors: What a perfect predictor would score, by variant: sampling noise alone.
        interval: Of ``absolute``, by resampling groups; None for fewer than two, or where all are equal.
        bias: Mean of P - Y.
        groups: How many.
    """

    absolute: float
    relative: float
    weighted: float
    wape: float
    floors: Mapping[str, float]
    interval: Interval | None
    bias: float
    groups: int

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def group_error(
    predicted: Floats, observed: Floats, count: Integers, *, exact: bool = False, seed: int = 0
) -> GroupError:
    """GSE of groups.

    Args:
        predicted: P; float64 [G].
        observed: Y; float64 [G].
        count: Rows of each group, at least 1; int64 [G].
        exact: Whether ``observed`` are true rates; the floor is 0 then.
        seed: Of the interval.

    Raises:
        ConfigurationError: For no groups, or arrays of different lengths.
    """
    _check(predicted, observed, count)
    gap = np.abs(predicted - observed)
    floors = dict.fromkeys(("absolute", "relative", "weighted", "wape"), 0.0)
    if not exact:
        alone = sampling_error(observed, count)
        floors = {
            "absolute": float(alone.mean()),
            "relative": float(relative_sampling_error(observed, count).mean()),
            "weighted": float(np.average(alone, weights=count)),
            "wape": float((count * alone).sum() / max((count * observed).sum(), 1e-12)),
        }
    return GroupError(
        absolute=float(gap.mean()),
        relative=float((gap / np.maximum(observed, LEAST_RATE)).mean()),
        weighted=float(np.average(gap, weights=count)),
        wape=float((count * gap).sum() / max((count * observed).sum(), 1e-12)),
        floors=floors,
        interval=cluster_bootstrap(gap.tolist(), seed=seed),
        bias=float((predicted - observed).mean()),
        groups=len(gap),
    )


def wape_interval(predicted: Floats, observed: Floats, count: Integers, *, seed: int = 0) -> Interval | None:
    """Interval of the variant ``wape``, by resampling groups."""
    rows = count.astype(np.float64)
    return bootstrap_ratio(rows * np.abs(predicted - observed), rows * observed, seed=seed)


def distribution_error(predicted: Floats, observed: Floats) -> float:
    """GSE_tv: mean total variation between distributions over stages; float64 [G, A] each, rows sum to 1."""
    return float(0.5 * np.abs(predicted - observed).sum(axis=1).mean())


def distribution_floor(observed: Floats, count: Integers) -> float:
    """What a perfect predictor of stages would score: half the summed sampling error of the stages' shares."""
    alone = np.stack([sampling_error(share, count) for share in observed.T], axis=1)
    return float(0.5 * alone.sum(axis=1).mean())


def sampling_error(rate: Floats, count: Integers) -> Floats:
    """E|X/n - p| of X ~ Bin(n, p), exactly; float64 [G].

    De Moivre's mean deviation, 2 v (1 - p) b(v; n, p) / n with v = floor(np) + 1, where b is the binomial's mass.
    """
    whole = np.floor(count * rate) + 1
    mass = binom.pmf(np.minimum(whole, count), count, rate)
    error: Floats = 2 * whole * (1 - rate) * mass / count
    return np.where((rate <= 0) | (rate >= 1), 0.0, error)


def relative_sampling_error(rate: Floats, count: Integers) -> Floats:
    """E[|X/n - p| / max(X/n, 0.01)] of X ~ Bin(n, p), exactly; float64 [G]."""
    found = np.empty(len(rate))
    for index, (p, n) in enumerate(zip(rate, count, strict=True)):
        spread = 9 * np.sqrt(n * p * (1 - p)) + 10
        drawn = np.arange(max(0, int(n * p - spread)), min(int(n), int(n * p + spread)) + 1)
        share = drawn / n
        found[index] = float(binom.pmf(drawn, n, p) @ (np.abs(share - p) / np.maximum(share, LEAST_RATE)))
    return found


def relative_gain(new: float, base: float) -> float:
    """1 - new / base: the convention behind the paper's 45.8 % and 40.9 %."""
    return 1 - new / base


@dataclass(frozen=True)
class UpliftError:
    """How far predicted changes are from true ones; rates in [0, 1].

    Attributes:
        error: Mean of |ΔP - ΔY|.
        predicted: Mean of ΔP.
        true: Mean of ΔY.
        signs: Share of groups, of those whose true change is not 0, with the right sign; None where all are 0.
        coverage: Share of groups whose interval holds the true change; None without intervals.
        level_error: Mean of |P - Y| under the strategy.
        level_coverage: Share of groups whose interval holds the true level; None without intervals.
    """

    error: float
    predicted: float
    true: float
    signs: float | None
    coverage: float | None
    level_error: float
    level_coverage: float | None


def uplift_error(
    level: Floats,
    uplift: Floats,
    true_level: Floats,
    true_uplift: Floats,
    *,
    uplift_bounds: tuple[Floats, Floats] | None = None,
    level_bounds: tuple[Floats, Floats] | None = None,
) -> UpliftError:
    """Compare predicted with true levels and changes of groups; float64 [G] each."""
    moved = true_uplift != 0
    return UpliftError(
        error=float(np.abs(uplift - true_uplift).mean()),
        predicted=float(uplift.mean()),
        true=float(true_uplift.mean()),
        signs=float((np.sign(uplift[moved]) == np.sign(true_uplift[moved])).mean()) if moved.any() else None,
        coverage=_coverage(true_uplift, uplift_bounds),
        level_error=float(np.abs(level - true_level).mean()),
        level_coverage=_coverage(true_level, level_bounds),
    )


def ranking_quality(predicted: Floats, true: Floats) -> tuple[float | None, float]:
    """Kendall's tau over strategies, and the regret of choosing the best predicted one.

    Args:
        predicted: Value of each strategy; float64 [S].
        true: Its true value; float64 [S].

    Returns:
        Tau (None for fewer than two strategies or none that differ), and the true value lost.
    """
    regret = float(true.max() - true[int(np.argmax(predicted))])
    if len(true) < 2:
        return None, regret
    tau = float(kendalltau(predicted, true).statistic)
    return (None if np.isnan(tau) else tau), regret


def error_correlation(one: Floats, other: Floats, observed: Floats) -> float | None:
    """Correlation of two branches' errors: near 1, fusion cannot help; None where an error never differs."""
    errors = np.stack([one - observed, other - observed])
    if errors.shape[1] < 3 or (errors.std(axis=1) < 1e-12).any():
        return None
    return float(np.asarray(np.corrcoef(errors))[0, 1])


def _coverage(true: Floats, bounds: tuple[Floats, Floats] | None) -> float | None:
    if bounds is None or np.isnan(bounds[0]).all():
        return None
    slack = 1e-12
    return float(((true >= bounds[0] - slack) & (true <= bounds[1] + slack)).mean())


def _check(predicted: Floats, observed: Floats, count: Integers) -> None:
    if not len(predicted) == len(observed) == len(count) > 0:
        raise ConfigurationError(
            f"{len(predicted)} predictions, {len(observed)} observations and {len(count)} counts: expected as many of "
            "each, at least one."
        )
    if (count < 1).any():
        raise ConfigurationError("a group has no rows: leave it out.")
