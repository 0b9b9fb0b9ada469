"""The joint anchor fit: what people of each policy really do, and how far they follow the reasoner.

    logit P(order) = Σ_k q_k (a_k + λ_k (r_k - r̄_k)) + b_m,   λ_k ≥ 0

λ is the "rationality discount": 1 believes the reasoner, 0 is pure habit. Merchant effects b_m belong in it: without
them hidden quality, which also decides who discounts, shrinks λ.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from fogline.core.errors import DataError

Floats = NDArray[np.float64]

MERCHANT_PENALTY = 1 / 0.7**2
"""Ridge on merchant effects beside 1 on a and λ: merchant indicators that are scaled by 0.7."""
SILENT = 0.02
"""Sensitivities below this are none."""
_TOLERANCE, _MOST_STEPS = 1e-8, 100


@dataclass(frozen=True)
class Anchors:
    """Fitted anchors.

    Attributes:
        intercept: a; logit of each policy's order rate at its mean score; float64 [K].
        sensitivity: λ ≥ 0; float64 [K].
        mean_score: r̄; float64 [K].
        merchant_effect: b; float64 [M], zeros where they were not fitted.
        covariance: Of (a, λ), robust to what merchants share; float64 [2K, 2K].
    """

    intercept: Floats
    sensitivity: Floats
    mean_score: Floats
    merchant_effect: Floats
    covariance: Floats

    @property
    def silent(self) -> bool:
        """Whether the reasoner carries no signal: every λ is below 0.02, so that no strategy changes anything."""
        return bool((self.sensitivity < SILENT).all())

    def parts(self, membership: Floats, scores: Floats) -> Floats:
        """What each policy adds to a row's rate, q_k σ(a_k + λ_k (r_k - r̄_k)); float64 [n, K].

        Without the merchant's effect: policies transfer to merchants that nobody has seen.
        """
        found: Floats = membership * expit(self.intercept + self.sensitivity * (scores - self.mean_score))
        return found

    def predict(self, membership: Floats, scores: Floats) -> Floats:
        """Rate of each row; float64 [n]."""
        rate: Floats = self.parts(membership, scores).sum(axis=1)
        return rate

    def mixed_rate(self, membership: Floats) -> Floats:
        """The policies' order rates, mixed as each row is; float64 [n]."""
        rate: Floats = membership @ expit(self.intercept)
        return rate

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {name: getattr(self, name).tolist() for name in self.__dataclass_fields__}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Inverse of :meth:`to_json`."""
        return cls(**{name: np.array(document[name], dtype=np.float64) for name in cls.__dataclass_fields__})


def fit_anchors(
    membership: Floats,
    scores: Floats,
    ordered: NDArray[np.bool_],
    merchant: NDArray[np.int64],
    n_merchants: int,
    *,
    merchant_effects: bool = True,
    weights: Floats | None = None,
    start: Anchors | None = None,
) -> Anchors:
    """Fit by penalised maximum likelihood, with λ kept at or above 0.

    Newton's method with an active set; merchants are eliminated from each step, so the cost is linear in rows and
    merchants, and no matrix has a column for each merchant.

    Args:
        membership: q; float64 [n, K].
        scores: r; float64 [n, K].
        ordered: Outcomes; bool [n].
        merchant: Of each row, 0 … M-1; int64 [n].
        n_merchants: M.
        merchant_effects: Whether to fit b.
        weights: How often each row counts; float64 [n], 1 by default. Rows of weight 0 cost nothing.
        start: Where to begin.

    Raises:
        DataError: For scores that are not finite, or a fit that does not converge.
    """
    if not np.isfinite(scores).all():
        raise DataError(f"{int((~np.isfinite(scores)).sum()):,} scores are not finite: the reasoner must give numbers.")
    weight = np.ones(len(scores)) if weights is None else np.asarray(weights, dtype=np.float64)
    if weights is not None:
        used = weight > 0
        membership, scores, ordered = membership[used], scores[used], ordered[used]
        merchant, weight = merchant[used], weight[used]
    problem = _Problem(membership, scores, ordered.astype(np.float64), merchant, n_merchants, merchant_effects, weight)
    theta, effect = problem.solve(start)
    kinds = membership.shape[1]
    return Anchors(
        theta[:kinds].copy(), theta[kinds:].copy(), problem.mean_score, effect, problem.covariance(theta, effect)
    )


def overall_slope(
    membership: Floats, scores: Floats, ordered: NDArray[np.bool_], merchant: NDArray[np.int64], n_merchants: int
) -> tuple[float, float]:
    """How far people follow the reasoner altogether: one slope for all policies, free to be negative.

    A reasoner whose word goes the wrong way is bounded at 0 policy by policy, and chance leaves some policy a little
    above it: this slope tells.

    Args:
        membership: q; float64 [n, K].
        scores: r; float64 [n, K].
        ordered: Outcomes; bool [n].
        merchant: Of each row; int64 [n].
        n_merchants: M.

    Returns:
        The slope, and its standard error, robust to what merchants share.

    Raises:
        DataError: For a fit that does not converge.
    """
    weight = np.ones(len(scores))
    problem = _Problem(membership, scores, ordered.astype(np.float64), merchant, n_merchants, True, weight)
    kinds = membership.shape[1]
    together = problem.design[:, kinds:].sum(axis=1, keepdims=True)
    problem.design = np.concatenate([membership, together], axis=1)
    problem.bounded = kinds + 1
    theta, effect = problem.solve(None)
    return float(theta[-1]), float(np.sqrt(problem.covariance(theta, effect)[-1, -1]))


class _Problem:
    """The penalised likelihood, as a function of θ = (a, λ) and b; from ``bounded`` on, θ is kept at or above 0."""

    def __init__(
        self,
        membership: Floats,
        scores: Floats,
        ordered: Floats,
        merchant: NDArray[np.int64],
        n_merchants: int,
        merchant_effects: bool,
        weight: Floats,
    ) -> None:
        held = weight @ membership
        self.mean_score: Floats = (weight[:, None] * membership * scores).sum(axis=0) / np.maximum(held, 1e-12)
        self.design: Floats = np.concatenate([membership, membership * (scores - self.mean_score)], axis=1)
        self.ordered, self.merchant, self.weight = ordered, merchant, weight
        self.n_merchants, self.merchant_effects = n_merchants, merchant_effects
        self.bounded = membership.shape[1]

    def solve(self, start: Anchors | None) -> tuple[Floats, Floats]:
        theta = np.zeros(self.design.shape[1])
        effect = np.zeros(self.n_merchants)
        if start is not None:
            theta = np.concatenate([start.intercept, start.sensitivity])
            effect = start.merchant_effect.copy() if self.merchant_effects else effect
        value = self.value(theta, effect)
        for _ in range(_MOST_STEPS):
            gradient, hessian, by_effect, cross, own = self.derivatives(theta, effect)
            # A bound holds where λ is 0 and more of it would cost more.
            free = np.ones(len(theta), dtype=bool)
            free[self.bounded :] = (theta[self.bounded :] > 0) | (gradient[self.bounded :] < 0)
            size = max(np.abs(gradient[free]).max(initial=0), np.abs(by_effect).max(initial=0))
            if size < _TOLERANCE * max(1.0, self.weight.sum()):
                return theta, effect
            step, moved = self._newton(free, gradient, hessian, by_effect, cross, own)
            theta, effect, value, found = self._search(theta, effect, step, moved, value)
            if not found:
                # No descent left in floating point: this is the minimum, unless the gradient is still large.
                if size < 1e-5 * max(1.0, self.weight.sum()):
                    return theta, effect
                break
        raise DataError(
            f"the anchor fit did not converge (largest gradient {size:.3g} over {len(self.ordered):,} rows): check the "
            "reasoner's scores for extreme values."
        )

    def value(self, theta: Floats, effect: Floats) -> float:
        """Penalised negative log-likelihood."""
        logits = self.design @ theta + effect[self.merchant]
        loss = np.logaddexp(0, logits) - self.ordered * logits
        penalty = 0.5 * float(theta @ theta) + 0.5 * MERCHANT_PENALTY * float(effect @ effect)
        return float(self.weight @ loss) + penalty

    def derivatives(self, theta: Floats, effect: Floats) -> tuple[Floats, Floats, Floats, Floats, Floats]:
        """Gradient and Hessian: by θ, by b, and between them [M, 2K]; the Hessian by b is diagonal."""
        rate = expit(self.design @ theta + effect[self.merchant])
        residual = self.weight * (rate - self.ordered)
        curvature = self.weight * rate * (1 - rate)
        gradient = self.design.T @ residual + theta
        weighted = curvature[:, None] * self.design
        hessian = self.design.T @ weighted + np.eye(len(theta))
        if not self.merchant_effects:
            nothing = np.zeros(self.n_merchants)
            return gradient, hessian, nothing, np.zeros((self.n_merchants, len(theta))), np.ones(self.n_merchants)
        by_effect = self._by_merchant(residual) + MERCHANT_PENALTY * effect
        cross = np.stack([self._by_merchant(column) for column in weighted.T], axis=1)
        return gradient, hessian, by_effect, cross, self._by_merchant(curvature) + MERCHANT_PENALTY

    def _by_merchant(self, values: Floats) -> Floats:
        total: Floats = np.bincount(self.merchant, values, minlength=self.n_merchants).astype(np.float64)
        return total

    @staticmethod
    def _newton(
        free: NDArray[np.bool_], gradient: Floats, hessian: Floats, by_effect: Floats, cross: Floats, own: Floats
    ) -> tuple[Floats, Floats]:
        """Newton's step in θ (where it is free) and b, merchants eliminated."""
        cross, step = cross[:, free], np.zeros(len(free))
        schur = hessian[np.ix_(free, free)] - cross.T @ (cross / own[:, None])
        step[free] = -np.linalg.solve(schur, gradient[free] - cross.T @ (by_effect / own))
        return step, -(by_effect + cross @ step[free]) / own

    def _search(
        self, theta: Floats, effect: Floats, step: Floats, moved: Floats, value: float
    ) -> tuple[Floats, Floats, float, bool]:
        """Halve the step until it helps; λ stops at 0."""
        scale = 1.0
        for _ in range(40):
            near = theta + scale * step
            near[self.bounded :] = np.maximum(near[self.bounded :], 0.0)
            around = effect + scale * moved
            reached = self.value(near, around)
            if reached < value:
                return near, around, reached, True
            scale /= 2
        return theta, effect, value, False

    def covariance(self, theta: Floats, effect: Floats) -> Floats:
        """Sandwich over merchants, merchants' own effects eliminated."""
        rate = expit(self.design @ theta + effect[self.merchant])
        _, hessian, _, cross, own = self.derivatives(theta, effect)
        residual = self.weight * (rate - self.ordered)
        scores = np.stack([self._by_merchant(column * residual) for column in self.design.T], axis=1)
        if self.merchant_effects:
            scores = scores - cross * (self._by_merchant(residual) / own)[:, None]
        bread = np.linalg.inv(hessian - cross.T @ (cross / own[:, None]))
        found: Floats = bread @ (scores.T @ scores) @ bread
        return found
