"""Periods of trade: what a merchant shows, who comes, who orders, and what that leaves behind.

Habit, the price that people expect and the rating move alike whatever answers for the customers (the true market, a
fitted simulator, one of its branches): only the response differs. Everything works on arrays of B merchants' shops, so
that one shop and thousands are the same code.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from fogline.simulators.merchants.profiles import Profiles
from fogline.simulators.merchants.responses import Levers, Response

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

MOST_DISCOUNT, MOST_COUPON = 0.5, 0.3
LEAST_PRICE, MOST_PRICE = 0.8, 1.2
BADGE_FROM = 0.5
"""Share of the page's budget from which a badge is part of it."""
ACTIONS = ("discount", "coupon", "advertising", "page", "price")
_EDGE = 1e-6


class TradingConfig(BaseModel):
    """How trade goes on from period to period.

    Money is in price levels. The usual profit of a merchant, of one period at its logged discount and traffic, before
    fixed costs, is the unit of costs.

    Attributes:
        period_days: Length of a period, days.
        traffic: Visitors for each logged trajectory: a log is a sample.
        margin: Share of what an order pays that is left of it.
        fixed: Costs of a period, in usual profits.
        advertising: Costs of full advertising in a period, in usual profits.
        page: Costs of the best page in a period, in usual profits.
        reach: Visitors that advertising can add, as a share of the usual ones, if there were no end to it.
        saturation: Advertising at which half of that is reached.
        better_photo: What the best page adds to the photographs.
        habit: Logits that a habit stock of 1 adds.
        habit_decay: Share of the habit stock that is lost in a period.
        reference: Logits lost for each log unit that the price paid is above the one expected.
        reference_speed: How fast the expected price follows the price paid, per period.
        rating: Logits that each star adds.
        rating_speed: How fast the rating returns to the merchant's own.
        rating_noise: Standard deviation of the rating's moves.
        overload: Stars lost in a period for each usual volume of orders beyond one and a half.
        competition: Logits that a standard deviation of competition takes.
        competition_decay: Share of the competition's state that is lost in a period.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    period_days: float = Field(default=7.0, gt=0)
    traffic: float = Field(default=10.0, gt=0)
    margin: float = Field(default=0.35, gt=0, le=1)
    fixed: float = Field(default=0.2, ge=0)
    advertising: float = Field(default=0.35, ge=0)
    page: float = Field(default=0.1, ge=0)
    reach: float = Field(default=0.8, ge=0)
    saturation: float = Field(default=0.6, gt=0)
    better_photo: float = Field(default=0.4, ge=0, le=1)
    habit: float = Field(default=0.5, ge=0)
    habit_decay: float = Field(default=0.2, gt=0, le=1)
    reference: float = Field(default=4.0, ge=0)
    reference_speed: float = Field(default=0.25, ge=0, le=1)
    rating: float = Field(default=1.4, ge=0)
    rating_speed: float = Field(default=0.1, ge=0, le=1)
    rating_noise: float = Field(default=0.02, ge=0)
    overload: float = Field(default=0.05, ge=0)
    competition: float = Field(default=0.3, ge=0)
    competition_decay: float = Field(default=0.3, ge=0, le=1)


@dataclass
class Shops:
    """B shops between two periods; arrays [B].

    ``habit`` and ``reference`` (logarithm of the expected price) are hidden from whoever runs a shop. The last six are
    the merchant's own and stay as they are: kept here, they are looked up once per episode and not in each period.
    """

    merchant: Integers
    period: Integers
    budget: Floats
    habit: Floats
    reference: Floats
    rating: Floats
    competition: Floats
    visits: Floats
    rate: Floats
    profit: Floats
    action: Floats
    price: Floats
    photo: Floats
    own_rating: Floats
    usual_visits: Floats
    usual_orders: Floats
    usual_profit: Floats

    def put(self, where: Flags, others: Shops) -> None:
        """Replace some shops by all of ``others``, in order."""
        for field in fields(self):
            getattr(self, field.name)[where] = getattr(others, field.name)


class Trade(NamedTuple):
    """What one period brought; arrays [B].

    Attributes:
        visits: Who came.
        orders: Of them, who ordered.
        sales: Margin on the orders, less coupons, in price levels.
        costs: Advertising, page and fixed costs, in price levels.
        given: Promotion, in price levels: discounts, coupons, advertising, page. The budget pays it.
        levers: What was shown.
    """

    visits: Integers
    orders: Integers
    sales: Floats
    costs: Floats
    given: Floats
    levers: Levers


class Trading:
    """The rules of trade for the merchants of a log.

    Args:
        profiles: The merchants.
        response: Who answers for the customers.
        config: See :class:`TradingConfig`.
        horizon: Periods of an episode.
        budget: What promotion may take, as a share of the usual profit of all periods.
        paired: Draw the same visitors whatever is shown: two ways to run a shop then meet the same people. Slower for
            many shops.
    """

    def __init__(
        self,
        profiles: Profiles,
        response: Response,
        config: TradingConfig,
        *,
        horizon: int,
        budget: float,
        paired: bool,
    ) -> None:
        self.profiles, self.response, self.config = profiles, response, config
        self.horizon, self.paired = horizon, paired
        self.usual_visits: Floats = profiles.visits * config.period_days * config.traffic
        self.usual_orders: Floats = self.usual_visits * profiles.rate
        paid = profiles.price * (1 - profiles.discount)
        self.usual_profit: Floats = self.usual_orders * paid * config.margin
        self.budget: Floats = budget * horizon * self.usual_profit
        self._reference: Floats = np.log(paid)
        self._most_reach = float(self._reach(np.ones(1))[0])
        usual = np.zeros((len(profiles.ids), len(ACTIONS)))
        usual[:, 0] = np.minimum(profiles.discount / MOST_DISCOUNT, 1.0)
        usual[:, 4] = (1 - LEAST_PRICE) / (MOST_PRICE - LEAST_PRICE)
        self.usual_action: Floats = usual

    def open(self, merchant: Integers, rng: np.random.Generator) -> Shops:
        """Shops as the log left them; int64 [B] says whose."""
        count = len(merchant)
        return Shops(
            merchant=merchant,
            period=np.zeros(count, dtype=np.int64),
            budget=self.budget[merchant],
            habit=np.zeros(count),
            reference=self._reference[merchant],
            rating=self.profiles.rating[merchant],
            competition=rng.standard_normal(count),
            visits=self.usual_visits[merchant],
            rate=self.profiles.rate[merchant],
            profit=np.zeros(count),
            action=self.usual_action[merchant],
            price=self.profiles.price[merchant],
            photo=self.profiles.photo[merchant],
            own_rating=self.profiles.rating[merchant],
            usual_visits=self.usual_visits[merchant],
            usual_orders=self.usual_orders[merchant],
            usual_profit=self.usual_profit[merchant],
        )

    def levers(self, shops: Shops, action: Floats) -> Levers:
        """What actions put on the page.

        Args:
            shops: Whose; B of them.
            action: Within [0, 1]; float64 [B, 5], in the order of :data:`ACTIONS`.
        """
        page = action[:, 3]
        return Levers(
            discount=MOST_DISCOUNT * action[:, 0],
            coupon=MOST_COUPON * action[:, 1],
            price_scale=LEAST_PRICE + (MOST_PRICE - LEAST_PRICE) * action[:, 4],
            photo=np.minimum(self.config.better_photo * page, 1 - shops.photo),
            badge=(page >= BADGE_FROM).astype(np.float64),
        )

    def rate(self, shops: Shops, levers: Levers) -> Floats:
        """Chance that a visitor orders now; float64 [B]. Hidden from whoever runs a shop."""
        return self._answered(shops, levers, self._log_paid(shops, levers))

    def trade(self, shops: Shops, action: Floats, rng: np.random.Generator) -> Trade:
        """Play one period: ``shops`` move on.

        Args:
            shops: B of them.
            action: Within [0, 1]; float64 [B, 5].
            rng: Decides who comes, who orders, how ratings and competition move.
        """
        levers = self.levers(shops, action)
        paid, reach = self._log_paid(shops, levers), self._reach(action[:, 2])
        rate = self._answered(shops, levers, paid)
        visits, orders = self._visitors(shops.usual_visits, reach, rate, rng)
        trade = Trade(visits, orders, *self._money(shops, action, levers, orders), levers)
        self._move_on(shops, action, trade, paid, rng)
        return trade

    def expected(self, shops: Shops, action: Floats) -> tuple[Floats, Floats]:
        """Profit and promotion that one period would bring on average, in price levels; float64 [B] each."""
        levers = self.levers(shops, action)
        orders = shops.usual_visits * self._reach(action[:, 2]) * self.rate(shops, levers)
        sales, costs, given = self._money(shops, action, levers, orders)
        return sales - costs, given

    def _money(
        self, shops: Shops, action: Floats, levers: Levers, orders: Floats | Integers
    ) -> tuple[Floats, Floats, Floats]:
        """Sales, costs and promotion of so many orders; see :class:`Trade`."""
        config, unit = self.config, shops.usual_profit
        full = shops.price * levers.price_scale
        promoted = unit * (config.advertising * action[:, 2] + config.page * action[:, 3])
        coupons = orders * levers.coupon
        sales = orders * (full * (1 - levers.discount) * config.margin) - coupons
        return sales, promoted + unit * config.fixed, promoted + coupons + orders * full * levers.discount

    def _answered(self, shops: Shops, levers: Levers, paid: Floats) -> Floats:
        """The response, moved by what happened before; ``paid`` is the logarithm of what an order pays."""
        shown = np.minimum(np.maximum(self.response.rate(shops.merchant, levers), _EDGE), 1 - _EDGE)
        odds = shown / (1 - shown) * np.exp(self._moved(shops, paid))
        rate: Floats = odds / (1 + odds)
        return rate

    def _moved(self, shops: Shops, paid: Floats) -> Floats:
        """Logits that what happened before adds to a visitor's answer."""
        config = self.config
        dear = np.maximum(paid - shops.reference, 0.0)
        moved: Floats = (
            config.habit * shops.habit
            - config.reference * dear
            + config.rating * (shops.rating - shops.own_rating)
            - config.competition * shops.competition
        )
        return moved

    @staticmethod
    def _log_paid(shops: Shops, levers: Levers) -> Floats:
        paid = shops.price * levers.price_scale * (1 - levers.discount) - levers.coupon
        return np.log(np.maximum(paid, 0.01))

    def _reach(self, advertising: Floats) -> Floats:
        """Visitors as a multiple of the usual ones."""
        return 1 + self.config.reach * advertising / (advertising + self.config.saturation)

    def _visitors(
        self, usual: Floats, reach: Floats, rate: Floats, rng: np.random.Generator
    ) -> tuple[Integers, Integers]:
        """Who comes and who orders: Poisson and binomial.

        Paired, everybody whom advertising could reach is drawn with two marks: below which reach they come, and below
        which rate they order. What is drawn does not depend on what is shown, and more of either never loses an order.
        """
        if not self.paired:
            visits = rng.poisson(usual * reach)
            return visits, rng.binomial(visits, rate)
        reachable = rng.poisson(usual * self._most_reach)
        marks = rng.random((2, int(reachable.sum())))
        if len(reachable) == 1:
            there = marks[0] < reach[0] / self._most_reach
            return np.array([there.sum()]), np.array([(there & (marks[1] < rate[0])).sum()])
        shop = np.repeat(np.arange(len(usual)), reachable)
        there = marks[0] < (reach / self._most_reach)[shop]
        ordering = there & (marks[1] < rate[shop])
        return np.bincount(shop[there], minlength=len(usual)), np.bincount(shop[ordering], minlength=len(usual))

    def _move_on(self, shops: Shops, action: Floats, trade: Trade, paid: Floats, rng: np.random.Generator) -> None:
        config = self.config
        volume = trade.orders / shops.usual_orders
        noise = rng.standard_normal((2, len(volume)))
        kept = 1 - config.competition_decay
        shops.habit = shops.habit + config.habit_decay * (np.minimum(volume - 1, 2.0) - shops.habit)
        shops.reference = shops.reference + config.reference_speed * (paid - shops.reference)
        rating = (
            shops.rating
            + config.rating_speed * (shops.own_rating - shops.rating)
            - config.overload * np.maximum(volume - 1.5, 0.0)
            + config.rating_noise * noise[0]
        )
        shops.rating = np.minimum(np.maximum(rating, 1.0), 5.0)
        shops.competition = kept * shops.competition + (1 - kept**2) ** 0.5 * noise[1]
        shops.budget = shops.budget - trade.given
        shops.period = shops.period + 1
        shops.visits = trade.visits.astype(np.float64)
        shops.rate = trade.orders / np.maximum(trade.visits, 1)
        shops.profit = (trade.sales - trade.costs) / shops.usual_profit
        shops.action = action
