"""The rules of trade: habit, expected prices, ratings, money, and the same visitors for two ways to run a shop."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fogline.simulators.merchants.profiles import Profiles
from fogline.simulators.merchants.responses import Levers, Response, true_response
from fogline.simulators.merchants.trading import ACTIONS, Shops, Trading, TradingConfig
from fogline.simulators.merchants.world import WorldConfig, make_world

WORLD = make_world(WorldConfig(n_merchants=8, n_trajectories=2_000), 2)
PROFILES = Profiles.of(WORLD.columns)
TRUE = true_response(WORLD.truth, PROFILES.price)
QUIET = {"rating_noise": 0.0, "competition": 0.0}


class Flat:
    """Customers who order one time in three, whatever they are shown."""

    def rate(self, merchant: Any, levers: Levers) -> Any:
        return np.full(len(merchant), 1 / 3)


def rules(response: Response = TRUE, paired: bool = False, **config: Any) -> Trading:
    return Trading(PROFILES, response, TradingConfig(**config), horizon=12, budget=0.5, paired=paired)


def opened(trading: Trading, count: int = 8, merchant: int | None = None) -> Shops:
    whose = np.arange(count) % 8 if merchant is None else np.full(count, merchant)
    shops = trading.open(whose, np.random.default_rng(0))
    shops.competition[:] = 0.0
    return shops


def action(count: int, **levers: float) -> Any:
    values = {"discount": 0.0, "coupon": 0.0, "advertising": 0.0, "page": 0.0, "price": 0.5, **levers}
    return np.tile([values[name] for name in ACTIONS], (count, 1))


def test_levers_are_what_the_action_means() -> None:
    trading = rules()
    levers = trading.levers(opened(trading), action(8, discount=0.5, coupon=1.0, page=0.5, price=1.0))
    np.testing.assert_allclose(levers.discount, 0.25)
    np.testing.assert_allclose(levers.coupon, 0.3)
    np.testing.assert_allclose(levers.price_scale, 1.2)
    np.testing.assert_allclose(levers.photo, np.minimum(0.2, 1 - PROFILES.photo))
    assert levers.badge.all()
    assert not trading.levers(opened(trading), action(8, page=0.49)).badge.any()


def test_an_untouched_shop_answers_as_the_response_does() -> None:
    trading = rules()
    shops = opened(trading)
    levers = trading.levers(shops, trading.usual_action)
    np.testing.assert_allclose(trading.rate(shops, levers), TRUE.rate(np.arange(8), levers), atol=1e-12)


def test_profit_is_margin_less_coupons_advertising_page_and_fixed_costs() -> None:
    trading = rules(Flat(), margin=0.4, fixed=0.1, advertising=0.3, page=0.2, reference=0.0)
    shops = opened(trading)
    unit = shops.usual_profit
    trade = trading.trade(
        shops, action(8, discount=0.2, coupon=0.5, advertising=1.0, page=0.5), np.random.default_rng(1)
    )
    paid = PROFILES.price * 0.9
    np.testing.assert_allclose(trade.sales, trade.orders * (paid * 0.4 - 0.15))
    np.testing.assert_allclose(trade.costs, unit * (0.3 + 0.1 + 0.1))
    np.testing.assert_allclose(trade.given, unit * 0.4 + trade.orders * (0.15 + PROFILES.price * 0.1))
    np.testing.assert_allclose(shops.budget, trading.budget - trade.given)
    np.testing.assert_allclose(shops.profit, (trade.sales - trade.costs) / unit)
    assert (shops.period == 1).all()


def test_the_usual_profit_is_what_the_usual_brings() -> None:
    """Customers who order as the log's did, at the usual discount: one usual profit a period, before fixed costs."""

    class Logged:
        def rate(self, merchant: Any, levers: Levers) -> Any:
            return PROFILES.rate[merchant]

    trading = rules(Logged(), fixed=0.0)
    shops = opened(trading)
    profit, _ = trading.expected(shops, trading.usual_action)
    np.testing.assert_allclose(profit, trading.usual_profit, rtol=1e-9)


def test_expected_profit_is_the_mean_of_profits() -> None:
    trading = rules(**QUIET)
    chosen = action(20_000, discount=0.3, coupon=0.2, advertising=0.6, page=0.7, price=0.6)
    shops = opened(trading, 20_000, merchant=3)
    profit, given = trading.expected(shops, chosen)
    trade = trading.trade(shops, chosen, np.random.default_rng(4))
    for found, expected in ((trade.sales - trade.costs, profit), (trade.given, given)):
        error = found.std() / np.sqrt(len(found))
        assert abs(found.mean() - expected[0]) < 4 * error


def test_orders_become_habit_and_habit_becomes_orders() -> None:
    trading = rules(Flat(), **QUIET, reference=0.0, habit_decay=0.25)
    shops = opened(trading)
    expected = np.zeros(8)
    for period in range(5):
        rate = trading.rate(shops, trading.levers(shops, action(8)))
        np.testing.assert_allclose(np.log(rate / (1 - rate)), np.log(0.5) + 0.5 * expected + _rated(shops), atol=1e-9)
        trade = trading.trade(shops, action(8), np.random.default_rng(period))
        expected += 0.25 * (np.minimum(trade.orders / shops.usual_orders - 1, 2) - expected)
        np.testing.assert_allclose(shops.habit, expected)


def _rated(shops: Shops) -> Any:
    return TradingConfig().rating * (shops.rating - shops.own_rating)


def test_repeated_discounts_lower_what_people_expect_to_pay_and_full_prices_then_lose_orders() -> None:
    trading = rules(**QUIET)
    cheap, usual = opened(trading), opened(trading)
    for period in range(6):
        trading.trade(cheap, action(8, discount=0.6), np.random.default_rng(period))
        trading.trade(usual, trading.usual_action, np.random.default_rng(period))
    assert (cheap.reference < usual.reference).all()
    full = trading.levers(usual, action(8))
    cheap.habit[:], cheap.rating[:] = usual.habit, usual.rating
    assert (trading.rate(cheap, full) < trading.rate(usual, full)).all()


def test_paying_less_than_expected_is_no_further_gain() -> None:
    trading = rules(**QUIET)
    shops = opened(trading)
    bargain = trading.levers(shops, action(8, discount=1.0))
    np.testing.assert_allclose(trading.rate(shops, bargain), TRUE.rate(np.arange(8), bargain), atol=1e-12)


def test_the_rating_returns_to_the_merchants_own_and_too_many_orders_cost_stars() -> None:
    trading = rules(Flat(), **QUIET)
    shops = opened(trading)
    shops.rating -= 0.5
    before = shops.rating.copy()
    quiet = rules(Flat(), **QUIET, overload=0.0)
    quiet.trade(shops, action(8), np.random.default_rng(0))
    np.testing.assert_allclose(shops.rating, before + 0.1 * (PROFILES.rating - before))
    busy, calm = opened(trading), opened(quiet)
    busy.usual_orders = busy.usual_orders / 5
    trading.trade(busy, action(8), np.random.default_rng(0))
    quiet.trade(calm, action(8), np.random.default_rng(0))
    assert (busy.rating < calm.rating).all()


def test_advertising_brings_more_people_with_less_and_less_effect() -> None:
    trading = rules()
    reach = [float(trading._reach(np.array([level]))[0]) for level in (0.0, 0.25, 0.5, 0.75, 1.0)]
    steps = np.diff(reach)
    assert reach[0] == 1
    assert reach[-1] == pytest.approx(1.5)
    assert (steps > 0).all()
    assert (np.diff(steps) < 0).all()


@pytest.mark.parametrize("paired", [False, True])
def test_visitors_are_poisson_and_orders_binomial(paired: bool) -> None:
    trading = rules(Flat(), paired=paired, **QUIET, reference=0.0)
    shops = opened(trading, 20_000, merchant=1)
    usual = float(shops.usual_visits[0])
    trade = trading.trade(shops, action(20_000, advertising=1.0), np.random.default_rng(3))
    mean = usual * 1.5
    for count, expected in ((trade.visits, mean), (trade.orders, mean / 3)):
        error = np.sqrt(expected / 20_000)
        assert abs(count.mean() - expected) < 4 * error
        # A binomial share of a Poisson number is Poisson: its variance is its mean.
        assert count.var() == pytest.approx(expected, rel=0.05)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    lower=st.tuples(*[st.floats(0, 1)] * 2),
    more=st.tuples(*[st.floats(0, 1)] * 2),
    shops=st.sampled_from([1, 8]),
)
def test_paired_shops_meet_the_same_people(
    seed: int, lower: tuple[float, float], more: tuple[float, float], shops: int
) -> None:
    """More advertising never loses a visitor, a better page never an order; and both leave the generator alike."""
    trading = rules(paired=True, **QUIET)
    found = []
    higher = tuple(max(one, other) for one, other in zip(lower, more, strict=True))
    for advertising, page in (lower, higher):
        rng = np.random.default_rng(seed)
        trade = trading.trade(opened(trading, shops), action(shops, advertising=advertising, page=page), rng)
        found.append((trade.visits, trade.orders, rng.random()))
    (visits, orders, after), (more_visits, more_orders, more_after) = found
    assert (visits <= more_visits).all()
    assert (orders <= more_orders).all()
    assert after == more_after


def test_one_shop_and_many_are_the_same_code() -> None:
    """To the last bits: numpy adds up a matrix product of one row in another order."""
    together, alone = rules(**QUIET), rules(**QUIET)
    many = opened(together)
    for merchant in range(8):
        single = opened(alone, 1, merchant=merchant)
        levers = alone.levers(single, action(1, discount=0.3, page=0.8))
        all_levers = together.levers(many, action(8, discount=0.3, page=0.8))
        expected = together.rate(many, all_levers)[merchant]
        assert float(alone.rate(single, levers)[0]) == pytest.approx(float(expected), rel=1e-12)
