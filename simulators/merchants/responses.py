"""How a merchant's order rate answers to what it shows: fast enough to be played, exact up to a table's grid.

Minds and mined policies both respond through one number, the sum of what a page's levers weigh. So a merchant's rate is
a sum of functions of one number each, one per mind or policy, and those are tabulated once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from fogline.simulators.merchants.truth import DEEPEST_DISCOUNT, MINDS, Truth

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

STEP = 0.025
"""Of the tables, in logits: a straight line between points is at most 8e-6 off a logistic curve."""


class Levers(NamedTuple):
    """What a page shows; float64 [B] each.

    Attributes:
        discount: Share of the price taken off.
        coupon: Worth of the coupon, in price levels.
        price_scale: Multiplies the merchant's own price level.
        photo: Added to the merchant's own photographs.
        badge: 1 with a badge, 0 without.
    """

    discount: Floats
    coupon: Floats
    price_scale: Floats
    photo: Floats
    badge: Floats


class Response(Protocol):
    """Order rates of merchants under levers."""

    def rate(self, merchant: Integers, levers: Levers) -> Floats:
        """Orders per visitor.

        Args:
            merchant: Index of each page's merchant; int64 [B].
            levers: What it shows.

        Returns:
            float64 [B], in (0, 1).
        """
        ...


@dataclass(frozen=True)
class Weights:
    """What levers weigh, in logits, by mind or policy; float64 [K] each.

    Attributes:
        price: Of the logarithm of the price scale.
        discount: Of the share taken off, coupon included, up to :data:`DEEPEST_DISCOUNT`.
        photo: Of photographs better by 1.
        badge: Of a badge.
    """

    price: Floats
    discount: Floats
    photo: Floats
    badge: Floats

    def table(self) -> Floats:
        """As one matrix; float64 [4, K]."""
        return np.stack([self.price, self.discount, self.photo, self.badge])


class MixtureResponse:
    """A sum over minds or policies of tabulated functions of what the levers weigh to each.

    Args:
        parts: For each merchant and each of K kinds, the kind's share of the rate as a function of logits added to
            its judgement: float64 [X] to float64 [X].
        constant: What no lever changes; float64 [M].
        weights: What the levers weigh.
        price: The merchants' own price levels; float64 [M].
    """

    def __init__(
        self,
        parts: Sequence[Sequence[Callable[[Floats], Floats]]],
        constant: Floats,
        weights: Weights,
        price: Floats,
    ) -> None:
        self._weights = weights.table()
        self._low, grid = _grid(self._weights)
        self._kinds, self._points = len(parts[0]), len(grid)
        tables = np.array([[part(grid) for part in of_merchant] for of_merchant in parts])
        # A point and the way to the next one lie together, so that one place in memory answers.
        self._tables = np.stack([tables, np.diff(tables, axis=2, append=tables[:, :, -1:])], axis=3).reshape(-1, 2)
        self._constant, self._price = constant, price

    def rate(self, merchant: Integers, levers: Levers) -> Floats:
        """See :meth:`Response.rate`."""
        scale = levers.price_scale
        taken = np.minimum(levers.discount + levers.coupon / (self._price[merchant] * scale), DEEPEST_DISCOUNT)
        shown = np.empty((len(scale), len(self._weights)))
        shown[:, 0], shown[:, 1], shown[:, 2], shown[:, 3] = np.log(scale), taken, levers.photo, levers.badge
        # Beyond the ends that a table covers, a rate stays what it is there.
        place = np.minimum(np.maximum((shown @ self._weights - self._low) / STEP, 0), self._points - 1)
        index = place.astype(np.int64)
        place -= index
        index += (merchant[:, None] * self._kinds + np.arange(self._kinds)) * self._points
        found = self._tables[index]
        rate: Floats = self._constant[merchant] + (found[..., 0] + place * found[..., 1]).sum(axis=1)
        return rate


LOWEST = Levers(*(np.array([value]) for value in (0.0, 0.0, 0.8, -1.0, 0.0)))
HIGHEST = Levers(*(np.array([value]) for value in (DEEPEST_DISCOUNT, 0.0, 1.25, 1.0, 1.0)))
"""Ends of what tables cover."""


def _grid(weights: Floats) -> tuple[float, Floats]:
    """Logits that the levers can add up to, and one step to either side."""
    ends = np.array(
        [[np.log(end.price_scale[0]), end.discount[0], end.photo[0], end.badge[0]] for end in (LOWEST, HIGHEST)]
    )
    reach = ends[:, :, None] * weights
    low, high = reach.min(axis=0).sum(axis=0).min() - STEP, reach.max(axis=0).sum(axis=0).max() + 2 * STEP
    return float(low), low + STEP * np.arange(int(np.ceil((high - low) / STEP)) + 1)


def true_response(truth: Truth, price: Floats) -> MixtureResponse:
    """What the synthetic market's people really do, the mean over each merchant's visitors.

    Args:
        truth: Of a world.
        price: The merchants' price levels; float64 [M].
    """
    parts, constant = [], np.empty(truth.merchants)
    for merchant in range(truth.merchants):
        people = truth.population(merchant)
        constant[merchant] = float(np.mean(people.habit_share * _logistic(people.habit)))
        share = (1 - people.habit_share) / len(people.mind)
        of_mind = [np.flatnonzero(people.mind == mind) for mind in range(len(MINDS))]
        parts.append([weighted_logistic(people.judgement[rows], share[rows]) for rows in of_mind])
    weights = Weights(*(np.array([getattr(mind, name) for mind in MINDS]) for name in Weights.__dataclass_fields__))
    return MixtureResponse(parts, constant, weights, price)


def weighted_logistic(logits: Floats, share: Floats) -> Callable[[Floats], Floats]:
    """The function x ↦ Σ_i share_i σ(logits_i + x), on arrays; logits and shares are float64 [n]."""

    def function(moved: Floats) -> Floats:
        total: Floats = share @ _logistic(logits[:, None] + moved)
        return total

    return function


def _logistic(logits: Floats) -> Floats:
    rate: Floats = 1 / (1 + np.exp(-logits))
    return rate
