"""Uplift metrics for randomised data: who would be moved first, and is it better than chance?

Names and normalisation are scikit-uplift's, so that figures are comparable; each comes with an interval, because a
random score can well show a positive coefficient.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fogline.core.errors import ConfigurationError
from fogline.core.intervals import Interval

Floats = NDArray[np.float64]
Column = NDArray[Any]
Curve = tuple[Floats, Floats]


def uplift_curve(y_true: Column, uplift: Column, treatment: Column) -> Curve:
    """Extra successes if the rows with the highest scores were treated.

    Args:
        y_true: Outcomes, 0 or 1; [n].
        uplift: Scores; [n].
        treatment: 1 where treated; [n].

    Returns:
        How many rows, from 0; and (rate of the treated - rate of the others) · rows, among them.

    Raises:
        ConfigurationError: For arrays that do not go together, or nobody on one side.
    """
    rows, treated, controls, of_treated, of_controls = _cumulated(y_true, uplift, treatment)
    gain = (_share(of_treated, treated) - _share(of_controls, controls)) * rows
    return _from_nothing(rows, gain)


def qini_curve(y_true: Column, uplift: Column, treatment: Column) -> Curve:
    """Successes of the treated less those of as many others, among the rows with the highest scores."""
    rows, treated, controls, of_treated, of_controls = _cumulated(y_true, uplift, treatment)
    scale = np.divide(treated, controls, out=np.zeros_like(treated), where=controls > 0)
    return _from_nothing(rows, of_treated - of_controls * scale)


def uplift_auc_score(y_true: Column, uplift: Column, treatment: Column) -> float:
    """Area between the uplift curve and chance, as a share of the best score's."""
    return _normalised(uplift_curve, _perfect_uplift, y_true, uplift, treatment)


def qini_auc_score(y_true: Column, uplift: Column, treatment: Column) -> float:
    """Qini coefficient: area between the Qini curve and chance, as a share of the best score's."""
    return _normalised(qini_curve, _perfect_qini, y_true, uplift, treatment)


def uplift_at_k(y_true: Column, uplift: Column, treatment: Column, k: float = 0.3) -> float:
    """Difference of rates among the share ``k`` of rows with the highest scores.

    Raises:
        ConfigurationError: For a share outside (0, 1), or nobody on one side among them.
    """
    if not 0 < k < 1:
        raise ConfigurationError(f"k={k}: expected a share of the rows, more than 0 and less than 1.")
    y_true, uplift, treatment = _checked(y_true, uplift, treatment)
    first = np.argsort(uplift, kind="stable")[::-1][: int(len(uplift) * k)]
    here = treatment[first] == 1
    if here.all() or not here.any():
        raise ConfigurationError(f"the best {k:.0%} of rows are all on one side: expected treated rows and others.")
    outcomes = y_true[first]
    return float(outcomes[here].mean() - outcomes[~here].mean())


def bootstrapped(
    score: Callable[[Column, Column, Column], float],
    y_true: Column,
    uplift: Column,
    treatment: Column,
    *,
    confidence: float = 0.95,
    resamples: int = 200,
    seed: int = 0,
) -> Interval:
    """Percentile interval of a metric, by resampling rows within each side."""
    y_true, uplift, treatment = _checked(y_true, uplift, treatment)
    rng = np.random.default_rng([seed, 50])
    sides = [np.flatnonzero(treatment == side) for side in (0, 1)]
    values = []
    for _ in range(resamples):
        rows = np.concatenate([rng.choice(side, len(side)) for side in sides])
        values.append(score(y_true[rows], uplift[rows], treatment[rows]))
    tail = (1 - confidence) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return Interval(float(low), float(high))


def _cumulated(y_true: Column, uplift: Column, treatment: Column) -> tuple[Floats, ...]:
    """Rows, treated, controls and successes of either, down the scores; equal scores are one step."""
    y_true, uplift, treatment = _checked(y_true, uplift, treatment)
    order = np.argsort(uplift, kind="mergesort")[::-1]
    outcomes, sides, scores = y_true[order], treatment[order], uplift[order]
    steps = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)
    treated = np.cumsum(sides)[steps]
    rows = steps + 1.0
    of_treated = np.cumsum(outcomes * sides)[steps]
    return rows, treated, rows - treated, of_treated, np.cumsum(outcomes * (1 - sides))[steps]


def _share(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def _from_nothing(rows: Floats, gain: Floats) -> Curve:
    return np.append(0.0, rows), np.append(0.0, gain)


def _perfect_uplift(y_true: Floats, treatment: Floats) -> Floats:
    """The score of somebody who knows every outcome: treated successes and other failures come first.

    Of the rest, and among the first, those go ahead who leave the larger group of failures for the end.
    """
    others_succeed = int(((treatment == 0) & (y_true == 1)).sum())
    treated_fail = int(((treatment == 1) & (y_true == 0)).sum())
    found: Floats = 2.0 * (y_true == treatment) + (y_true if others_succeed > treated_fail else treatment)
    return found


def _perfect_qini(y_true: Floats, treatment: Floats) -> Floats:
    found: Floats = y_true * treatment - y_true * (1 - treatment)
    return found


def _normalised(
    curve: Callable[[Column, Column, Column], Curve],
    perfect: Callable[[Floats, Floats], Floats],
    y_true: Column,
    uplift: Column,
    treatment: Column,
) -> float:
    y_true, uplift, treatment = _checked(y_true, uplift, treatment)
    places, gain = curve(y_true, uplift, treatment)
    reached = float(np.trapezoid(gain, places))
    rows, best = curve(y_true, perfect(y_true, treatment), treatment)
    chance = rows[-1] * best[-1] / 2
    span = float(np.trapezoid(best, rows)) - chance
    if span <= 0:
        raise ConfigurationError("no score could do better than chance on these outcomes: the metric is not defined.")
    return float((reached - chance) / span)


def _checked(y_true: Column, uplift: Column, treatment: Column) -> tuple[Floats, Floats, Floats]:
    arrays = (np.asarray(y_true, float), np.asarray(uplift, float), np.asarray(treatment, float))
    if len({array.shape for array in arrays}) > 1 or arrays[0].ndim != 1 or not len(arrays[0]):
        raise ConfigurationError(f"shapes {[array.shape for array in arrays]}: expected three columns of one length.")
    for name, values in (("y_true", arrays[0]), ("treatment", arrays[2])):
        if not np.isin(values, (0, 1)).all():
            raise ConfigurationError(f"{name} has values other than 0 and 1.")
    if arrays[2].all() or not arrays[2].any():
        raise ConfigurationError("treatment is the same for all rows: expected treated rows and others.")
    return arrays
