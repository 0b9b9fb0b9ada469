"""Calibration: a probability that means what it says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

Floats = NDArray[np.float64]
Method = Literal["auto", "isotonic", "platt", "none"]

LEAST_ISOTONIC = 1_000
"""Calibration rows from which a free monotone curve is fitted; a logistic one below."""
LEAST_ROWS = 5
"""Rows from which a group's observed rate counts."""
_EDGE = 1e-4


@dataclass(frozen=True)
class Calibrator:
    """A map from scores to probabilities that never turns their order round.

    Attributes:
        kind: ``isotonic``, ``platt`` or ``none``.
        x: Points of the isotonic curve; slope and intercept of Platt's.
        y: Values of the isotonic curve.
    """

    kind: Literal["isotonic", "platt", "none"]
    x: Floats
    y: Floats

    @classmethod
    def fit(cls, predicted: Floats, ordered: NDArray[np.bool_], method: Method = "auto") -> Self:
        """Fit on calibration rows.

        Args:
            predicted: Scores, in [0, 1]; float64 [n].
            ordered: What happened; bool [n].
            method: ``auto`` is isotonic from 1,000 rows on, else Platt's.

        Returns:
            The map; the identity for ``none``, and where outcomes do not differ, so that there is nothing to learn.
        """
        empty = np.empty(0)
        if method == "none" or len(ordered) < 2 or ordered.all() or not ordered.any():
            return cls("none", empty, empty)
        if method == "platt" or (method == "auto" and len(ordered) < LEAST_ISOTONIC):
            return cls("platt", _line(predicted, ordered), empty)
        curve = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(predicted, ordered.astype(np.float64))
        return cls("isotonic", np.asarray(curve.X_thresholds_, float), np.asarray(curve.y_thresholds_, float))

    def __call__(self, predicted: Floats) -> Floats:
        """Calibrated probabilities, in [1e-4, 1 - 1e-4]; float64 [n]."""
        found = predicted
        if self.kind == "isotonic":
            found = np.interp(predicted, self.x, self.y)
        elif self.kind == "platt":
            found = expit(self.x[0] * _scores(predicted) + self.x[1])
        clipped: Floats = np.clip(found, _EDGE, 1 - _EDGE)
        return clipped

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {"kind": self.kind, "x": self.x.tolist(), "y": self.y.tolist()}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Inverse of :meth:`to_json`."""
        return cls(document["kind"], np.array(document["x"], float), np.array(document["y"], float))


def _line(predicted: Floats, ordered: NDArray[np.bool_]) -> Floats:
    """Slope and intercept in logits; a slope below 0 would turn the order round: the rate for everybody then."""
    line = LogisticRegression(C=1e4).fit(_scores(predicted)[:, None], ordered)
    slope, intercept = float(line.coef_[0, 0]), float(line.intercept_[0])
    return np.array([slope, intercept] if slope > 0 else [0.0, float(logit(ordered.mean()))])


def _scores(predicted: Floats) -> Floats:
    scores: Floats = logit(np.clip(predicted, _EDGE, 1 - _EDGE))
    return scores


@dataclass(frozen=True, slots=True)
class GroupCheck:
    """Whether calibrated rates match what was observed, group by group.

    Attributes:
        groups: Counted: those with at least five rows.
        mean: Mean absolute difference; NaN without groups.
        largest: Largest absolute difference; NaN without groups.
        floor: What ``mean`` would be about, from sampling alone, were every probability right; NaN without groups.
    """

    groups: int
    mean: float
    largest: float
    floor: float

    @classmethod
    def of(cls, probability: Floats, ordered: NDArray[np.bool_], group: NDArray[np.int64]) -> Self:
        """Check.

        Args:
            probability: Calibrated; float64 [n].
            ordered: What happened; bool [n].
            group: Of each row, from 0; int64 [n].
        """
        count = np.bincount(group)
        counted = count >= LEAST_ROWS
        if not counted.any():
            return cls(0, np.nan, np.nan, np.nan)
        rows = count[counted]
        errors = np.abs(np.bincount(group, probability - ordered)[counted]) / rows
        variance = np.bincount(group, probability * (1 - probability))[counted]
        # The mean of |e| for a normal e.
        floor = np.sqrt(2 / np.pi) * np.sqrt(variance) / rows
        return cls(len(rows), float(errors.mean()), float(errors.max()), float(floor.mean()))
