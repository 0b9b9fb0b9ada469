"""MerchantStrategy-v0: run one merchant's shop, on a promotion budget, for customers whose minds nobody sees."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from fogline.core.errors import ConfigurationError, check_choice
from fogline.core.rewards import RewardScheme
from fogline.envs.merchant_strategy.doubt import admitted
from fogline.envs.merchant_strategy.shop import GRID, Window, action_space, in_words, observation_space, of_grid
from fogline.envs.merchant_strategy.sources import Customers, Simulator, customers
from fogline.envs.text import Response, TurnEnv
from fogline.simulators.merchants.trading import (
    ACTIONS,
    MOST_COUPON,
    MOST_DISCOUNT,
    Shops,
    Trade,
    Trading,
    TradingConfig,
)
from fogline.simulators.merchants.world import WorldConfig

if TYPE_CHECKING:
    from fogline.simulators.merchants.fitted_responses import FittedResponses
    from fogline.simulators.merchants.pghs import PGHS

Floats = NDArray[np.float64]

VERSION = "merchant-strategy-1"
RULES = f"""You run one merchant's shop. Each period you choose five numbers from 0 to 1, in this order:
1. discount: share of the price taken off, up to {MOST_DISCOUNT:.0%}
2. coupon: taken off each order, up to {MOST_COUPON} price levels
3. advertising: brings more visitors, for a fixed price
4. page: better photographs, and from a half on a badge, for a fixed price
5. price: scales your prices, from 80 % at 0 to 120 % at 1
Each period pays the margin on its orders less coupons, advertising, page and fixed costs; 1 is the shop's usual profit
before fixed costs. Customers come back out of habit, get used to what they pay, and rate you. Discounts, coupons,
advertising and page come out of a promotion budget; the shop closes when it is spent."""


class MerchantStrategyEnv(TurnEnv[NDArray[np.float32], Any]):
    """One merchant's shop, a period at a time.

    A task is a merchant. The episode ends (terminated) when the promotion budget is spent, and is cut (truncated) at
    the horizon. The reward is the period's profit in usual profits: ``sales`` (margin on orders, less coupons) less
    ``spending`` (advertising, page, fixed costs), and with ``pessimism`` less ``doubt``.

    Args:
        simulator: Who answers for the customers: ``"world"`` (the synthetic market's true response), ``"hybrid"`` (a
            fitted model, both branches fused), ``"reasoning"`` or ``"fitting"`` (one branch of it). Habit, expected
            prices, ratings and competition move alike in all.
        actions: ``"box"`` or ``"grid"``.
        horizon: Periods of an episode.
        horizon_ends: Whether the horizon is an end (terminated), for a learner that is to make the most of just these
            periods; by default it is a cut, after which trade would have gone on.
        budget: What promotion may take, as a share of the usual profit of all periods.
        world: The market: knobs of :class:`~fogline.simulators.merchants.world.WorldConfig` that differ from the
            reference market.
        world_seed: Of the market.
        model: For a fitted simulator: a :class:`~fogline.simulators.merchants.pghs.PGHS`, its folder, or its
            :class:`~fogline.simulators.merchants.fitted_responses.FittedResponses`; None fits one on the market's log.
        trading: Knobs of :class:`~fogline.simulators.merchants.trading.TradingConfig`.
        pessimism: Weight of the simulator's own doubt in the reward: what branches disagree by, in logits, on a page
            that the log has never seen.
        common_random_numbers: Let the visitors depend on the merchant alone, for paired comparisons.
        render_mode: ``"ansi"`` (the periods so far) or None.

    Raises:
        ConfigurationError: For an unknown choice or a number out of range.
        MissingDependencyError: For a fitted simulator without the packages that fit.
    """

    metadata: dict[str, Any] = {**TurnEnv.metadata, "name": "MerchantStrategy-v0"}  # noqa: RUF012
    simulator_version: ClassVar[str] = VERSION
    system_prompt = RULES

    def __init__(
        self,
        *,
        simulator: Simulator = "world",
        actions: Literal["box", "grid"] = "box",
        horizon: int = 12,
        horizon_ends: bool = False,
        budget: float = 0.5,
        world: WorldConfig | Mapping[str, Any] | None = None,
        world_seed: int = 0,
        model: PGHS | FittedResponses | str | Path | None = None,
        trading: TradingConfig | Mapping[str, Any] | None = None,
        pessimism: float = 0.0,
        common_random_numbers: bool = False,
        render_mode: str | None = None,
    ) -> None:
        check_options(actions, horizon, horizon_ends, budget, pessimism, simulator)
        self._customers = customers(simulator, world, world_seed, model)
        super().__init__(self._customers.profiles.ids, render_mode)
        self.reward_scheme = reward_scheme(pessimism)
        self.observation_space = observation_space()
        self.action_space = action_space(actions)
        # Paired, an owner who does better with the same seed did so before the same people.
        self._trading = trading_of(self._customers, trading, horizon=horizon, budget=budget, paired=True)
        self._window = Window(self._trading)
        self._grid, self._common, self._horizon_ends = actions == "grid", common_random_numbers, horizon_ends
        self._places = {name: place for place, name in enumerate(self.task_ids)}
        self._told = {"simulator": simulator}
        self._shop: Shops | None = None
        self._rng = np.random.default_rng(0)
        self._log: list[Trade] = []

    def begin(self, task_id: str) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Open the merchant's shop."""
        self._rng = np.random.default_rng(zlib.crc32(task_id.encode())) if self._common else self.np_random
        self._shop = self._trading.open(np.array([self._places[task_id]]), self._rng)
        self._log = []
        return self._window.observe(self._shop)[0], {}

    def respond(self, action: Any) -> Response:
        """Show a page for a period."""
        shop = self._shop
        if shop is None:
            raise ConfigurationError("no episode is running: call reset() first.")
        chosen = self._read(action)
        malformed = chosen is None
        if chosen is None:
            chosen = self._trading.usual_action[shop.merchant]
        unit = float(shop.usual_profit[0])
        trade = self._trading.trade(shop, chosen, self._rng)
        self._log.append(trade)
        terms = {"sales": float(trade.sales[0]) / unit, "spending": float(trade.costs[0]) / unit}
        extra = self._extra(shop, trade, terms)
        spent, over = bool(shop.budget[0] <= 0), int(shop.period[0]) >= self._trading.horizon
        phase = "malformed" if malformed else "period"
        observation = self._window.observe(shop)[0]
        if not (spent or over):
            return Response(observation, phase, terms, malformed, extra=extra)
        metrics = {**self._totals(shop, unit), **self._told}
        outcome = {"budget_spent": float(spent)}
        cut = not (spent or self._horizon_ends)
        return Response(observation, phase, terms, malformed, outcome, metrics, truncated=cut, extra=extra)

    def observation_text(self, observation: NDArray[np.float32]) -> str:
        """An observation in words and numbers."""
        return in_words(observation)

    def render(self) -> str | None:
        """The periods so far, in ``render_mode="ansi"``."""
        if self.render_mode is None or self._shop is None:
            return None
        name = self.task_ids[int(self._shop.merchant[0])]
        lines = [f"{name}, budget left {float(self._shop.budget[0]):.1f}"]
        for period, trade in enumerate(self._log, start=1):
            levers = trade.levers
            lines.append(
                f"{period:>3}. discount {levers.discount[0]:.0%}, coupon {levers.coupon[0]:.2f}, price "
                f"{levers.price_scale[0]:.0%}{', badge' if levers.badge[0] else ''}: {trade.visits[0]:,} came, "
                f"{trade.orders[0]:,} ordered, profit {trade.sales[0] - trade.costs[0]:+.1f}"
            )
        return "\n".join(lines)

    # Small helpers

    def _read(self, action: Any) -> Floats | None:
        """An action within [0, 1], float64 [1, 5]; None for anything else."""
        try:
            values = np.asarray(action, dtype=np.float64)
        except (TypeError, ValueError, OverflowError):
            return None
        if values.shape != (len(ACTIONS),) or not np.isfinite(values).all():
            return None
        if self._grid:
            whole = ((values >= 0) & (values < GRID) & (values == np.floor(values))).all()
            return of_grid(values[None]) if whole else None
        return np.minimum(np.maximum(values, 0.0), 1.0)[None]

    def _extra(self, shop: Shops, trade: Trade, terms: dict[str, float]) -> dict[str, Any]:
        """What info says of the period; a fitted simulator's doubts become a term."""
        profiles, branches = self._trading.profiles, self._customers.branches
        extra: dict[str, Any] = {
            "visitors": int(trade.visits[0]),
            "orders": int(trade.orders[0]),
            "profit": float(trade.sales[0] - trade.costs[0]),
            "promotion": float(trade.given[0]),
        }
        terms["doubt"] = 0.0
        if branches is None:
            return extra
        said = admitted(profiles, branches, shop.merchant, trade.levers)
        terms["doubt"] = float(said.doubt[0])
        extra["support"] = float(said.support[0])
        extra["branches"] = {name: float(getattr(said, name)[0]) for name in ("reasoning", "fitting", "hybrid")}
        extra["uncertainty"] = float(said.error[0])
        return extra

    def _totals(self, shop: Shops, unit: float) -> dict[str, float]:
        trades = self._log
        profit = float(sum(trade.sales[0] - trade.costs[0] for trade in trades))
        return {
            "profit": profit,
            "usual_profits": profit / unit / self._trading.horizon,
            "orders": float(sum(trade.orders[0] for trade in trades)),
            "visitors": float(sum(trade.visits[0] for trade in trades)),
            "mean_discount": float(np.mean([trade.levers.discount[0] for trade in trades])),
            "rating": float(shop.rating[0]),
            "periods": float(len(trades)),
        }


def check_options(
    actions: str, horizon: int, horizon_ends: bool, budget: float, pessimism: float, simulator: str
) -> None:
    """Refuse what no environment of this kind can be made of.

    Raises:
        ConfigurationError: For an unknown choice or a number out of range.
    """
    check_choice("actions", actions, ("box", "grid"))
    if not isinstance(horizon, int) or isinstance(horizon, bool) or horizon < 1:
        raise ConfigurationError(f"horizon={horizon!r}: expected a whole number of periods, at least 1.")
    if not isinstance(horizon_ends, bool):
        raise ConfigurationError(f"horizon_ends={horizon_ends!r}: expected True or False.")
    for name, value, least in (("budget", budget, 1e-9), ("pessimism", pessimism, 0.0)):
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value < np.inf:
            expected = "more than 0" if least else "at least 0"
            raise ConfigurationError(f"{name}={value!r}: expected a finite number, {expected}.")
    if pessimism and simulator == "world":
        raise ConfigurationError(
            f"pessimism={pessimism} in the true market, which has no doubts: use it with a fitted simulator."
        )


def reward_scheme(pessimism: float) -> RewardScheme:
    """What a period pays; how the episode ended is told and pays nothing by itself."""
    return RewardScheme(
        turn={"sales": 1.0, "spending": -1.0, "doubt": -float(pessimism)}, session={"budget_spent": 0.0}
    )


def trading_of(
    found: Customers,
    trading: TradingConfig | Mapping[str, Any] | None,
    *,
    horizon: int,
    budget: float,
    paired: bool,
) -> Trading:
    """The rules of trade with these customers."""
    config = trading if isinstance(trading, TradingConfig) else TradingConfig(**(trading or {}))
    return Trading(found.profiles, found.response, config, horizon=horizon, budget=budget, paired=paired)
