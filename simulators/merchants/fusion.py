"""Fusion of both branches, at the level of groups, in logits: specification of PGHS, section 8.

``pool`` mixes them, which on logged data is the natural thing. ``anchored`` takes the level from the log and the change
from the guided reasoner: a weight that was learned on logged data says nothing about interventions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit

from fogline.core.errors import ConfigurationError

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

EDGE = 1e-4
"""Rates are clipped this far from 0 and 1 before their logits are taken: a fused rate can be 0 or 1 by no more."""
GRID = 41
LEAST_GROUPS = 3
"""Fewer groups tell nothing about variances."""
KAPPAS = (0.0, 1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 60.0, 120.0)
DEFAULT_KAPPA = 5.0
"""Trajectories of history at which a merchant's level comes half from the fitting branch.

Chosen on 16 synthetic worlds in which 40 % of the merchants had but 0 to 200 training rows left: the mean level error
at κ of 0, 2, 5, 10, 15, 30 and 120 was 6.70, 6.67, 6.70, 6.80, 6.90, 7.13 and 7.75 points at 26,000 trajectories, and
7.45, 7.26, 7.21, 7.25, 7.30, 7.44 and 7.87 at 6,000. It is small because the merchant's rate, a feature of the fitting
branch, is smoothed already.
"""


def pool(fitting: Floats, reasoning: Floats, alpha: ArrayLike) -> Floats:
    """Weighted mean in logits: logit P = α logit F + (1 - α) logit R; float64 [M], within (0, 1).

    Args:
        fitting: Rates of the fitting branch; float64 [M].
        reasoning: Rates of the reasoning branch; float64 [M].
        alpha: Weight of the fitting branch, 0 to 1; a number or float64 [M].
    """
    alpha = np.asarray(alpha, dtype=np.float64)
    mixed: Floats = expit(alpha * _logit(fitting) + (1 - alpha) * _logit(reasoning))
    return mixed


def fit_pool_alpha(fitting: Floats, reasoning: Floats, observed: Floats, count: Counts) -> float:
    """Weight of the fitting branch, of 41 from 0 to 1, with the least count-weighted absolute error.

    Args:
        fitting: Rates of the fitting branch; float64 [M].
        reasoning: Rates of the reasoning branch; float64 [M].
        observed: Observed rates, of groups large enough to have one; float64 [M].
        count: Rows of each group; int64 [M].

    Returns:
        The weight; the larger of equal ones, and 1 without groups.
    """
    if not len(observed):
        return 1.0
    grid = np.linspace(0, 1, GRID)[::-1]
    errors = [float(count @ np.abs(pool(fitting, reasoning, alpha) - observed)) for alpha in grid]
    return float(grid[int(np.argmin(errors))])


def bates_granger(fitting: Floats, reasoning: Floats, observed: Floats) -> float | None:
    """Weight of the fitting branch with the least variance of the error, (v_R - c) / (v_R + v_F - 2c), within [0, 1].

    After Bates and Granger, "The combination of forecasts", 1969. Sampling noise of the observed rates is in both
    errors alike and cancels.

    Args:
        fitting: Rates of the fitting branch; float64 [M].
        reasoning: Rates of the reasoning branch; float64 [M].
        observed: Observed rates, of groups large enough to have one; float64 [M].

    Returns:
        The weight; None for fewer than three groups, or where the denominator, the variance of the difference of both
        errors, is 0: any weight is then as good.
    """
    if len(observed) < LEAST_GROUPS:
        return None
    of_fitting, of_reasoning = fitting - observed, reasoning - observed
    # Equal to v_R + v_F - 2c, which rounding can make negative.
    denominator = float(np.var(of_fitting - of_reasoning, ddof=1))
    together = np.cov(of_fitting, of_reasoning)
    if denominator <= 1e-12 * (together[0, 0] + together[1, 1]):
        return None
    return float(np.clip((together[1, 1] - together[0, 1]) / denominator, 0, 1))


def shrink(alpha: ArrayLike, count: Counts, kappa: float) -> Floats:
    """Weights of groups with little history, α n / (n + κ): they lean on the reasoner; float64 [M].

    Args:
        alpha: Weight of the fitting branch; a number or float64 [M].
        count: Training rows of each group; int64 [M].
        kappa: History at which a weight is halved; 0 changes no weight, not even that of a group without any.

    Raises:
        ConfigurationError: For a negative κ.
    """
    if kappa < 0:
        raise ConfigurationError(f"kappa={kappa}: expected at least 0.")
    history = count.astype(np.float64)
    share = history / (history + kappa) if kappa > 0 else np.ones_like(history)
    found: Floats = np.asarray(alpha, dtype=np.float64) * share
    return found


def fit_kappa(
    fitting: Floats,
    reasoning: Floats,
    observed: Floats,
    count: Counts,
    history: Counts,
    alpha: ArrayLike = 1.0,
    grid: Sequence[float] = KAPPAS,
) -> float:
    """The κ of a grid with the least count-weighted absolute error.

    It can be told only from groups that differ in history: with warm merchants alone the error hardly depends on it,
    so fit branches on a log from which some merchants' history was cut, and pass those merchants here.

    Args:
        fitting: Rates of the fitting branch; float64 [M].
        reasoning: Rates of the reasoning branch; float64 [M].
        observed: Observed rates, of groups large enough to have one; float64 [M].
        count: Rows of each group; int64 [M].
        history: Training rows of each group; int64 [M].
        alpha: Weight of the fitting branch before shrinkage; a number or float64 [M].
        grid: Candidates.

    Returns:
        The κ; the smaller of equal ones, and :data:`DEFAULT_KAPPA` without groups.
    """
    if not len(observed):
        return DEFAULT_KAPPA
    tried = sorted(grid)
    errors = [
        float(count @ np.abs(pool(fitting, reasoning, shrink(alpha, history, kappa)) - observed)) for kappa in tried
    ]
    return float(tried[int(np.argmin(errors))])


def anchored(
    level: Floats,
    fitting: Floats,
    fitting_logged: Floats,
    reasoning: Floats,
    reasoning_logged: Floats,
    eta: float = 0.0,
) -> Floats:
    """The level as logged, moved by what the branches say of the change; float64 [M], within (0, 1).

    logit P(s) = logit L + η [logit F(s) - logit F(s0)] + (1 - η) [logit R(s) - logit R(s0)].

    Args:
        level: Rates as logged; float64 [M].
        fitting: Of the fitting branch under the strategy; float64 [M].
        fitting_logged: As logged; float64 [M].
        reasoning: Of the reasoning branch under the strategy; float64 [M].
        reasoning_logged: As logged; float64 [M].
        eta: Weight of the fitting branch's change, 0 to 1.
    """
    by_fitting = _logit(fitting) - _logit(fitting_logged)
    by_reasoning = _logit(reasoning) - _logit(reasoning_logged)
    moved: Floats = expit(_logit(level) + eta * by_fitting + (1 - eta) * by_reasoning)
    return moved


@dataclass(frozen=True)
class Sides:
    """What is fused: group rates under a strategy and as logged; float64 [M] each.

    Attributes:
        fitting: Of the fitting branch under the strategy.
        fitting_logged: As logged.
        reasoning: Of the reasoning branch under the strategy.
        reasoning_logged: As logged.
        level: What is believed of the groups as logged.
        alpha: Weight of the fitting branch in a pool.
        eta: Weight of the fitting branch in the change, 0 to 1.
    """

    fitting: Floats
    fitting_logged: Floats
    reasoning: Floats
    reasoning_logged: Floats
    level: Floats
    alpha: Floats
    eta: float = 0.0


def _pooled(sides: Sides) -> Floats:
    return pool(sides.fitting, sides.reasoning, sides.alpha)


FUSIONS: Mapping[str, Callable[[Sides], Floats]] = {
    "anchored": lambda sides: anchored(
        sides.level, sides.fitting, sides.fitting_logged, sides.reasoning, sides.reasoning_logged, sides.eta
    ),
    "pool": _pooled,
    "bates-granger": _pooled,
    "fitting": lambda sides: sides.fitting,
    "reasoning": lambda sides: sides.reasoning,
}
"""Fusions by name, float64 [M]. ``pool`` and ``bates-granger`` differ in how their weight was found."""


def _logit(rates: Floats) -> Floats:
    logits: Floats = logit(np.minimum(np.maximum(rates, EDGE), 1 - EDGE))
    return logits
