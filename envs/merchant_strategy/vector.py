"""Thousands of shops at once: the same rules on arrays, one generator for all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from fogline.core.errors import ConfigurationError, check_choice, check_keys, suggestion
from fogline.envs.merchant_strategy.doubt import admitted
from fogline.envs.merchant_strategy.env import RULES, VERSION, check_options, reward_scheme, trading_of
from fogline.envs.merchant_strategy.shop import GRID, Window, action_space, observation_space, of_grid
from fogline.envs.merchant_strategy.sources import Simulator, customers
from fogline.simulators.merchants.trading import ACTIONS, Shops, TradingConfig
from fogline.simulators.merchants.world import WorldConfig

if TYPE_CHECKING:
    from fogline.simulators.merchants.fitted_responses import FittedResponses
    from fogline.simulators.merchants.pghs import PGHS

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


class MerchantStrategyVectorEnv(VectorEnv[NDArray[np.float32], NDArray[Any], NDArray[Any]]):
    """``num_envs`` shops, equal in distribution to as many single environments, and reproducible by one seed.

    Made by ``gymnasium.make_vec("MerchantStrategy-v0", num_envs=4096)``. Keywords are those of
    :class:`~fogline.envs.merchant_strategy.env.MerchantStrategyEnv`, and:

    Args:
        num_envs: Shops.
        autoreset: ``"next_step"`` (Gymnasium's default: the step after an end opens the next shop and pays nothing) or
            ``"same_step"`` (the observation after an end is the next shop's; the last one is in
            ``info["final_obs"]``).
        common_random_numbers: Draw the same visitors whatever is shown: two runs with one seed meet the same people, as
            long as no budget is spent early in one of them alone. Slower.

    ``info`` of a step has ``visitors, orders, profit, promotion`` as arrays, with a fitted simulator ``support,
    reasoning, fitting, hybrid, uncertainty, doubt``; malformed rows, with numbers that are not finite, do what is usual
    and are counted in ``malformed``.

    Raises:
        ConfigurationError: For an unknown choice or a number out of range.
        MissingDependencyError: For a fitted simulator without the packages that fit.
    """

    simulator_version: ClassVar[str] = VERSION
    system_prompt = RULES

    def __init__(
        self,
        num_envs: int = 1,
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
        autoreset: Literal["next_step", "same_step"] = "next_step",
        render_mode: None = None,
    ) -> None:
        check_options(actions, horizon, horizon_ends, budget, pessimism, simulator)
        check_choice("autoreset", autoreset, ("next_step", "same_step"))
        if not isinstance(num_envs, int) or isinstance(num_envs, bool) or num_envs < 1:
            raise ConfigurationError(f"num_envs={num_envs!r}: expected a whole number of at least 1.")
        if render_mode is not None:
            raise ConfigurationError(f"render_mode={render_mode!r} of many shops: expected None.")
        self._customers = customers(simulator, world, world_seed, model)
        self.task_ids: tuple[str, ...] = self._customers.profiles.ids
        self.reward_scheme = reward_scheme(pessimism)
        self.num_envs = num_envs
        self.single_observation_space = observation_space()
        self.single_action_space = action_space(actions)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._same_step = autoreset == "same_step"
        self.metadata = {
            "render_modes": [],
            "name": "MerchantStrategy-v0",
            "autoreset_mode": AutoresetMode.SAME_STEP if self._same_step else AutoresetMode.NEXT_STEP,
        }
        self._trading = trading_of(
            self._customers, trading, horizon=horizon, budget=budget, paired=common_random_numbers
        )
        self._window = Window(self._trading)
        self._grid, self._pessimism, self._horizon_ends = actions == "grid", pessimism, horizon_ends
        self._tasks: NDArray[np.int64] = np.arange(len(self.task_ids))
        self._shops: Shops | None = None
        self._ended: Flags = np.zeros(num_envs, dtype=bool)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Open all shops.

        Args:
            seed: One for all of them.
            options: ``{"task_id": ...}``: all shops, now and after each end, are this merchant's.

        Raises:
            ConfigurationError: For an unknown option or task.
        """
        super().reset(seed=seed)
        self._tasks = self._wanted(options or {})
        self._shops = self._open(self.num_envs)
        self._ended = np.zeros(self.num_envs, dtype=bool)
        return self._window.observe(self._shops), {"merchant": self._shops.merchant.copy()}

    def step(self, actions: NDArray[Any]) -> tuple[NDArray[np.float32], Floats, Flags, Flags, dict[str, Any]]:
        """Play one period in every shop; see the class for what an end does.

        Args:
            actions: Float [B, 5] within [0, 1], or of the grid int [B, 5].

        Returns:
            Observations float32 [B, 21], rewards float64 [B], terminated and truncated bool [B], and ``info``.

        Raises:
            ConfigurationError: For actions of another shape, or before :meth:`reset`.
        """
        shops = self._shops
        if shops is None:
            raise ConfigurationError("no shop is open: call reset() first.")
        action, malformed = self._read(actions, shops)
        trading = self._trading
        trade = trading.trade(shops, action, self.np_random)
        reward = shops.profit.copy()
        info: dict[str, Any] = {
            "visitors": trade.visits,
            "orders": trade.orders,
            "profit": trade.sales - trade.costs,
            "promotion": trade.given,
        }
        if malformed is not None:
            info["malformed"] = malformed
        if self._customers.branches is not None:
            said = admitted(trading.profiles, self._customers.branches, shops.merchant, trade.levers)
            info |= said._asdict()
            info["uncertainty"] = info.pop("error")
            if self._pessimism:
                reward -= self._pessimism * said.doubt
        return self._end(shops, reward, info)

    # Small helpers

    def _end(
        self, shops: Shops, reward: Floats, info: dict[str, Any]
    ) -> tuple[NDArray[np.float32], Floats, Flags, Flags, dict[str, Any]]:
        """Who ended, and who opens again."""
        spent, over = shops.budget <= 0, shops.period >= self._trading.horizon
        terminated = spent | over if self._horizon_ends else spent
        truncated = over & ~terminated
        if self._same_step:
            again = terminated | truncated
            if again.any():
                info["final_obs"] = self._window.observe(shops)
                info["_final_obs"] = again
        else:
            # The step after an end was none: it opened the next shop.
            again = self._ended
            reward[again], terminated[again], truncated[again] = 0.0, False, False
            self._ended = terminated | truncated
        if again.any():
            shops.put(again, self._open(int(again.sum())))
        info["merchant"] = shops.merchant.copy()
        return self._window.observe(shops), reward, terminated, truncated, info

    def _open(self, count: int) -> Shops:
        return self._trading.open(self._tasks[self.np_random.integers(len(self._tasks), size=count)], self.np_random)

    def _read(self, actions: NDArray[Any], shops: Shops) -> tuple[Floats, Flags | None]:
        """Actions within [0, 1], and which rows could not be read; None where all could."""
        values = np.asarray(actions, dtype=np.float64)
        if values.shape != (self.num_envs, len(ACTIONS)):
            raise ConfigurationError(
                f"actions of shape {values.shape}: expected ({self.num_envs}, {len(ACTIONS)}), a row for each shop."
            )
        good = np.asarray(np.isfinite(values).all(axis=1))
        if self._grid:
            good &= ((values >= 0) & (values < GRID) & (values == np.floor(values))).all(axis=1)
        usual = self._trading.usual_action
        if self._grid:
            values = of_grid(values)
        if good.all():
            return np.clip(values, 0.0, 1.0), None
        return np.where(good[:, None], np.clip(np.nan_to_num(values), 0.0, 1.0), usual[shops.merchant]), ~good

    def _wanted(self, options: Mapping[str, Any]) -> NDArray[np.int64]:
        check_keys("options", options, ("task_id",))
        task_id = options.get("task_id")
        if task_id is None:
            return np.arange(len(self.task_ids))
        if not isinstance(task_id, str) or task_id not in self.task_ids:
            raise ConfigurationError(
                f"task_id={task_id!r} is not a merchant of this market: it has {len(self.task_ids)}, from "
                f"{self.task_ids[0]!r} to {self.task_ids[-1]!r}.{suggestion(task_id, self.task_ids)}"
            )
        return np.array([self.task_ids.index(task_id)])
