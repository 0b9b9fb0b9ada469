"""What really happens in the synthetic market: hidden minds, and exact order rates under any strategy.

A log never leads here. The truth answers questions about levers; it is used to score simulators, never by one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fogline.core.errors import ConfigurationError, check_keys

if TYPE_CHECKING:
    from fogline.simulators.merchants.strategies import Strategy

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

DEEPEST_DISCOUNT = 0.35
"""Share of the price beyond which a discount moves nobody further."""
SETTABLE = ("discount", "coupon_value", "coupon_threshold", "price_level", "badges", "photo_score", "delivery_min")
"""Levers to which the market responds; ad_level moves only exposure, in a world with a funnel."""


class Mind(NamedTuple):
    """How one kind of person decides.

    Attributes:
        name: Of the kind.
        habit_share: Share of decisions that ignore the strategy.
        price: Weight of the logarithm of the price level.
        rating: Weight of 1.5 (rating - 4.3).
        distance: Weight of the logarithm of the distance in kilometres.
        discount: Weight of the share of the price taken off, coupons included.
        badge: Weight of a badge on the page.
        delivery: Weight of ten minutes more than the merchant's usual.
        photo: Weight of photographs better than the merchant's usual, by 1.
    """

    name: str
    habit_share: float
    price: float
    rating: float
    distance: float
    discount: float
    badge: float
    delivery: float
    photo: float


MINDS: tuple[Mind, ...] = (
    Mind("price", 0.30, -1.6, 0.5, -0.3, 9.0, 0.1, -0.1, 0.2),
    Mind("quality", 0.30, -0.3, 2.2, -0.2, 2.0, 1.2, -0.2, 0.8),
    Mind("convenience", 0.50, -0.4, 0.5, -1.2, 2.5, 0.2, -1.0, 0.2),
    Mind("habit", 0.85, -0.3, 0.5, -0.3, 1.5, 0.1, -0.1, 0.1),
)
KNOWN = ("price", "rating", "distance", "discount", "badge")
"""Attributes for which there is a reasoner with noised weights; the others are this world's extension."""
_INTERCEPT = -0.6
_BASE_CLICK, _BASE_ENGAGE = -1.2, 0.2


@dataclass(frozen=True, slots=True)
class Market:
    """Merchants: arrays [M], discounts [M, regimes], mixes of minds by category [C, 4].

    ``quality`` is hidden: no column of a log shows it.
    """

    category: Integers
    rating: Floats
    price: Floats
    discount: Floats
    delivery: Floats
    photo: Floats
    traffic: Floats
    mix: Floats
    later_mix: Floats
    quality: Floats


@dataclass(frozen=True, slots=True)
class People:
    """Visitors: arrays [n]. ``mind``, ``habit_share`` and ``offline`` are hidden."""

    merchant: Integers
    time: Floats
    regime: Integers
    mind: Integers
    habit_share: Floats
    spend: Floats
    distance: Floats
    hour: Integers
    repeat: Integers
    offline: Floats
    funnel: bool


class Population(NamedTuple):
    """The visitors of one merchant, as its true response needs them.

    Attributes:
        mind: Index into :data:`MINDS`; int64 [n].
        habit_share: Share of decisions that ignore the strategy; float64 [n].
        habit: Logits of those decisions; float64 [n].
        judgement: Logits of the others, at no discount, the usual price, photographs and delivery time; float64 [n].
        discount: As logged; float64 [n].
    """

    mind: Integers
    habit_share: Floats
    habit: Floats
    judgement: Floats
    discount: Floats


class Truth:
    """The market's hidden state and exact answers.

    Args:
        market: Merchants.
        people: Visitors.
        of_cut: Time from which the test window runs, in (0, 1).
    """

    def __init__(self, market: Market, people: People, of_cut: float) -> None:
        self._market = market
        self._people = people
        self._weights = np.array([mind[2:] for mind in MINDS])
        self.test_window: NDArray[np.bool_] = people.time >= of_cut

    @property
    def merchants(self) -> int:
        """How many there are."""
        return len(self._market.quality)

    @property
    def minds(self) -> Integers:
        """Kind of each visitor, for scoring how well policies are recovered; int64 [n]."""
        return self._people.mind.copy()

    @property
    def qualities(self) -> Floats:
        """Hidden quality of each merchant, for checks of confounding; float64 [M]."""
        return self._market.quality.copy()

    def rates(self, levers: Mapping[str, Any] | Strategy | None = None) -> Floats:
        """Exact probability of an order of every visitor who engaged, had the merchant done this.

        The same people with the same hidden draws; no sampling noise.

        Args:
            levers: Values by name, for all rows or one per row; those not named stay as logged. Or a strategy.

        Returns:
            float64 [n], in the order of the log.

        Raises:
            ConfigurationError: For a lever to which this market does not respond.
        """
        values = self._values(levers)
        people = self._people
        habit = _logistic(self._habit())
        rate: Floats = people.habit_share * habit + (1 - people.habit_share) * _logistic(self._judgement(values))
        return rate

    def merchant_rates(
        self, levers: Mapping[str, Any] | Strategy | None = None, rows: NDArray[np.bool_] | None = None
    ) -> Floats:
        """Exact rate of each merchant, over all its visitors or those of ``rows``; float64 [M], NaN where none came."""
        return self.by_merchant(self.rates(levers), rows)

    def by_merchant(self, values: Floats, rows: NDArray[np.bool_] | None = None) -> Floats:
        """Mean of a visitor's value by merchant; float64 [M], NaN where none came."""
        keep = np.ones(len(values), dtype=bool) if rows is None else rows
        merchant = self._people.merchant[keep]
        count = np.bincount(merchant, minlength=self.merchants)
        total = np.bincount(merchant, values[keep], minlength=self.merchants)
        mean: Floats = np.divide(total, count, out=np.full(self.merchants, np.nan), where=count > 0)
        return mean

    def sampled(self, levers: Mapping[str, Any] | Strategy | None, rng: np.random.Generator) -> NDArray[np.bool_]:
        """Whether each visitor orders, drawn; for experiments with realistic outcomes."""
        return rng.random(len(self._people.merchant)) < self.rates(levers)

    def noised_priorities(self, noise: float, rng: np.random.Generator) -> dict[str, dict[str, float]]:
        """What a reasoner that knows people roughly would believe: each weight times exp N(0, noise)."""
        factors = np.exp(rng.normal(0, noise, (len(MINDS), len(KNOWN)))) if noise else np.ones((len(MINDS), len(KNOWN)))
        return {
            mind.name: {name: float(getattr(mind, name) * factor) for name, factor in zip(KNOWN, row, strict=True)}
            for mind, row in zip(MINDS, factors, strict=True)
        }

    def population(self, merchant: int) -> Population:
        """The visitors of one merchant."""
        rows = np.flatnonzero(self._people.merchant == merchant)
        values = self._values({"discount": 0.0})
        return Population(
            self._people.mind[rows],
            self._people.habit_share[rows],
            self._habit()[rows],
            self._judgement(values)[rows],
            self._market.discount[merchant, self._people.regime[rows]],
        )

    def draw_stages(self, rng: np.random.Generator, taps: Integers) -> NDArray[np.str_]:
        """Deepest stage of each visitor, drawn."""
        count = len(self._people.merchant)
        chance, early = rng.random(count), rng.random((count, 2))
        stage = np.where(chance < self.rates(), "order", np.where(taps > 0, "intent", "engage"))
        if not self._people.funnel:
            return stage
        click, engage = self.reach()
        return np.where(early[:, 0] >= click, "exposure", np.where(early[:, 1] >= engage, "click", stage))

    def reach(self, levers: Mapping[str, Any] | Strategy | None = None) -> tuple[Floats, Floats]:
        """Exact probabilities of a click when shown and of engagement after it, in a world with a funnel."""
        given = _lever_mapping(levers, self)
        market, merchant = self._market, self._people.merchant
        photo = np.broadcast_to(given.get("photo_score", market.photo[merchant]), merchant.shape)
        ads = np.broadcast_to(given.get("ad_level", 0.0), merchant.shape)
        rating = 1.5 * (market.rating[merchant] - 4.3)
        click = _logistic(_BASE_CLICK + 1.2 * (photo - 0.5) + 0.4 * rating + 0.5 * ads)
        engage = _logistic(_BASE_ENGAGE + 0.5 * rating + 0.3 * market.quality[merchant])
        return click, engage

    def _habit(self) -> Floats:
        people = self._people
        late = (self._market.category[people.merchant] == 2) & (people.hour > 20)
        habit: Floats = (
            -1.0
            + 0.55 * np.minimum(people.repeat, 4)
            + 0.9 * np.sin(2 * np.pi * 2 * (people.hour - 11) / 24)
            + 0.6 * late
            + 0.5 * self._market.quality[people.merchant]
        )
        return habit

    def _judgement(self, values: Mapping[str, Floats]) -> Floats:
        people, market = self._people, self._market
        price, rating, distance, discount, badge, delivery, photo = self._weights[people.mind].T
        merchant = people.merchant
        judgement: Floats = (
            _INTERCEPT
            + price * np.log(values["price_level"])
            + rating * 1.5 * (market.rating[merchant] - 4.3)
            + distance * np.log(people.distance)
            + discount * np.minimum(_taken_off(values), DEEPEST_DISCOUNT)
            + badge * values["badges"]
            + delivery * (values["delivery_min"] - market.delivery[merchant]) / 10
            + photo * (values["photo_score"] - market.photo[merchant])
            + market.quality[merchant]
            + people.offline
        )
        return judgement

    def _values(self, levers: Mapping[str, Any] | Strategy | None) -> dict[str, Floats]:
        """Every lever, one value per row."""
        given = _lever_mapping(levers, self)
        check_keys("the synthetic market", given, (*SETTABLE, "ad_level"))
        market, people = self._market, self._people
        logged: dict[str, Any] = {
            "discount": market.discount[people.merchant, people.regime],
            "coupon_value": 0.0,
            "coupon_threshold": 0.0,
            "price_level": market.price[people.merchant],
            "badges": 0.0,
            "photo_score": market.photo[people.merchant],
            "delivery_min": market.delivery[people.merchant],
        }
        return {
            name: np.broadcast_to(np.asarray(given.get(name, value), dtype=np.float64), people.merchant.shape)
            for name, value in logged.items()
        }


def _lever_mapping(levers: Mapping[str, Any] | Strategy | None, truth: Truth) -> Mapping[str, Any]:
    """Values by lever, of a mapping or of what a strategy makes of the log."""
    if levers is None:
        return MappingProxyType({})
    if isinstance(levers, Mapping):
        return levers
    return _of_strategy(levers, truth)


def _of_strategy(strategy: Strategy, truth: Truth) -> dict[str, Any]:
    import pandas as pd

    people, market = truth._people, truth._market
    unheard = {item.field for item in strategy.interventions} - {*SETTABLE, "ad_level"}
    if unheard:
        raise ConfigurationError(
            f"strategy {strategy.name!r} changes {sorted(unheard)}, to which the synthetic market does not respond: "
            f"expected {', '.join(SETTABLE)}."
        )
    if any(item.scope.segment or item.scope.entry for item in strategy.interventions):
        raise ConfigurationError(
            f"strategy {strategy.name!r} is for some users only; the truth answers for hours or for everybody."
        )
    table = pd.DataFrame(
        {
            "merchant_id": people.merchant.astype(str),
            "hour": people.hour,
            "discount": market.discount[people.merchant, people.regime],
            "coupon_value": 0.0,
            "coupon_threshold": 0.0,
            "price_level": market.price[people.merchant],
            "badges": "",
            "photo_score": market.photo[people.merchant],
            "delivery_min": market.delivery[people.merchant],
            "ad_level": 0.0,
        }
    )
    after = strategy.apply(table)
    found = {name: after[name].to_numpy() for name in (*SETTABLE, "ad_level")}
    found["badges"] = (after["badges"] != "").to_numpy(dtype=np.float64)
    return found


def _taken_off(values: Mapping[str, Floats]) -> Floats:
    """Discount and coupon together, as a share of the price."""
    price = values["price_level"]
    counts = price * (1 - values["discount"]) >= values["coupon_threshold"]
    taken: Floats = values["discount"] + np.where(counts, values["coupon_value"], 0.0) / price
    return taken


def _logistic(logits: Floats) -> Floats:
    rate: Floats = 1 / (1 + np.exp(-logits))
    return rate
