"""Owners of MerchantStrategy-v0 who do not learn: the usual, one strategy for good, what a fitted model ranks first.

They play the environment in either action mode.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from fogline.agents.agent import SeatView
from fogline.core.errors import ConfigurationError
from fogline.envs.merchant_strategy.env import trading_of
from fogline.envs.merchant_strategy.shop import FIELDS, GRID, of_grid
from fogline.envs.merchant_strategy.sources import Simulator, customers
from fogline.simulators.merchants.trading import ACTIONS, LEAST_PRICE, MOST_DISCOUNT, MOST_PRICE, TradingConfig
from fogline.simulators.merchants.world import WorldConfig

if TYPE_CHECKING:
    from fogline.simulators.merchants.fitted_responses import FittedResponses
    from fogline.simulators.merchants.pghs import PGHS

Floats = NDArray[np.float64]

_AS_IT_IS = (1 - LEAST_PRICE) / (MOST_PRICE - LEAST_PRICE)


class Owner(ABC):
    """What these owners share: from numbers within [0, 1] to an action of either mode."""

    name: str
    batch_size: int | None = None

    def act(self, views: Sequence[SeatView]) -> list[Any]:
        """Choose for each view."""
        return [self._action(view) for view in views]

    @abstractmethod
    def choose(self, view: SeatView) -> Floats:
        """Levers for one view, within [0, 1]; float64 [5]."""

    def _action(self, view: SeatView) -> Any:
        chosen = self.choose(view)
        if isinstance(view.action_space, spaces.MultiDiscrete):
            return np.rint(chosen * (np.array(GRID) - 1)).astype(np.int64)
        if isinstance(view.action_space, spaces.Box) and view.action_space.shape == (len(ACTIONS),):
            return chosen.astype(np.float32)
        raise ConfigurationError(
            f"agent {self.name!r} plays MerchantStrategy-v0, whose actions are five numbers; this seat has "
            f"{view.action_space}."
        )


class Usual(Owner):
    """Goes on as the log shows: the usual discount, and nothing else."""

    name = "usual"

    def choose(self, view: SeatView) -> Floats:
        """See :class:`Owner`."""
        discount = float(view.observation[FIELDS.index("usual discount")])
        return np.array([min(discount / MOST_DISCOUNT, 1.0), 0.0, 0.0, 0.0, _AS_IT_IS])


class Constant(Owner):
    """Does the same in every period, for every merchant.

    Args:
        discount: Within [0, 1], as all the others: what the environment's action means.
        coupon: See ``discount``.
        advertising: See ``discount``.
        page: See ``discount``.
        price: See ``discount``.

    Raises:
        ConfigurationError: For a number out of range.
    """

    name = "constant"

    def __init__(
        self,
        discount: float = 0.0,
        coupon: float = 0.0,
        advertising: float = 0.0,
        page: float = 0.0,
        price: float = _AS_IT_IS,
    ) -> None:
        levers = dict(zip(ACTIONS, (discount, coupon, advertising, page, price), strict=True))
        for name, value in levers.items():
            if not 0 <= value <= 1:
                raise ConfigurationError(f"{name}={value!r}: expected a number from 0 to 1.")
        self._chosen = np.array(list(levers.values()), dtype=np.float64)

    def choose(self, view: SeatView) -> Floats:
        """See :class:`Owner`."""
        return self._chosen


class Ranked(Owner):
    """Does what a simulator ranks first for the merchant: the most profitable first period that the budget can repeat.

    Args:
        simulator: Whose word is taken; as the environment's.
        world: See the environment.
        world_seed: See the environment.
        model: See the environment.
        trading: See the environment.
        horizon: See the environment.
        budget: See the environment.
    """

    name = "ranked"

    def __init__(
        self,
        simulator: Simulator = "hybrid",
        world: WorldConfig | Mapping[str, Any] | None = None,
        world_seed: int = 0,
        model: PGHS | FittedResponses | str | Path | None = None,
        trading: TradingConfig | Mapping[str, Any] | None = None,
        horizon: int = 12,
        budget: float = 0.5,
    ) -> None:
        found = customers(simulator, world, world_seed, model)
        self._trading = trading_of(found, trading, horizon=horizon, budget=budget, paired=False)
        self._places = {name: place for place, name in enumerate(found.profiles.ids)}
        self._pages = of_grid(np.array(list(itertools.product(*map(range, GRID)))))

    def choose(self, view: SeatView) -> Floats:
        """See :class:`Owner`.

        Raises:
            ConfigurationError: For a merchant that the simulator does not know.
        """
        chosen = view.memory.get("ranked first")
        if chosen is None:
            chosen = view.memory["ranked first"] = self.first(view.task_id)
        found: Floats = chosen
        return found

    def first(self, merchant: str) -> Floats:
        """What is ranked first for a merchant; float64 [5]."""
        if merchant not in self._places:
            raise ConfigurationError(
                f"agent {self.name!r} does not know merchant {merchant!r}: give it the environment's world or model."
            )
        trading = self._trading
        shops = trading.open(np.full(len(self._pages), self._places[merchant]), np.random.default_rng(0))
        # Nobody knows the competition of periods to come.
        shops.competition[:] = 0.0
        profit, promotion = trading.expected(shops, self._pages)
        affordable = promotion * trading.horizon <= shops.budget
        best: Floats = self._pages[int(np.argmax(np.where(affordable, profit, -np.inf)))]
        return best
