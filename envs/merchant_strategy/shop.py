"""What a shop's owner sees and may do: spaces, observations, actions; on arrays of shops."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from fogline.simulators.merchants.profiles import MARKS
from fogline.simulators.merchants.trading import ACTIONS, Shops, Trading

Floats = NDArray[np.float64]

GRID = (6, 4, 5, 5, 5)
"""Choices of each lever on the grid, evenly from 0 to 1."""
FIELDS = (
    "log price", "rating", "photographs", "usual discount", "log usual visitors", "log usual odds",
    *(f"{kind} visitors" for kind in MARKS),
    "period", "budget", "competition", "visitors", "order rate", "profit", *(f"last {name}" for name in ACTIONS),
)  # fmt: skip
"""What an observation holds, in order; all of it an owner knows."""
BOUND = 10.0
_OWN = 6 + len(MARKS)


def observation_space() -> spaces.Space[NDArray[np.float32]]:
    """Numbers of :data:`FIELDS`, clipped to ±10; float32 [21]."""
    return cast("spaces.Space[NDArray[np.float32]]", spaces.Box(-BOUND, BOUND, (len(FIELDS),), np.float32))


def action_space(actions: str) -> spaces.Space[Any]:
    """``box``: Box(0, 1, float32 [5]); ``grid``: MultiDiscrete of :data:`GRID`. Order of both: :data:`ACTIONS`."""
    if actions == "grid":
        return spaces.MultiDiscrete(np.array(GRID))
    return spaces.Box(0.0, 1.0, (len(ACTIONS),), np.float32)


def of_grid(chosen: NDArray[Any]) -> Floats:
    """Choices on the grid as an action within [0, 1]; int [..., 5] to float64 [..., 5]."""
    action: Floats = chosen / (np.array(GRID) - 1)
    return action


def in_words(observation: NDArray[Any]) -> str:
    """An observation by its fields: the merchant, this period, what was done last."""
    told = [f"{name} {float(value):.3g}" for name, value in zip(FIELDS, observation, strict=True)]
    now = len(FIELDS) - len(ACTIONS)
    return "\n".join(", ".join(part) for part in (told[:_OWN], told[_OWN:now], told[now:]))


class Window:
    """Turns shops into observations.

    Args:
        trading: The rules, and whose shops they are.
    """

    def __init__(self, trading: Trading) -> None:
        self._trading = trading
        profiles = trading.profiles
        rate = np.clip(profiles.rate, 1e-3, 1 - 1e-3)
        self._own = np.column_stack(
            [
                np.log(profiles.price),
                profiles.rating - 4.3,
                profiles.photo - 0.5,
                profiles.discount,
                np.log(np.maximum(trading.usual_visits, 0.1)) - 4.0,
                np.log(rate / (1 - rate)),
                profiles.mix,
            ]
        )

    def observe(self, shops: Shops) -> NDArray[np.float32]:
        """What their owners see; float32 [B, 21]."""
        trading, merchant = self._trading, shops.merchant
        found = np.empty((len(merchant), len(FIELDS)))
        found[:, :_OWN] = self._own[merchant]
        found[:, 1] = shops.rating - 4.3
        found[:, _OWN] = shops.period / trading.horizon
        found[:, _OWN + 1] = shops.budget / trading.budget[merchant]
        found[:, _OWN + 2] = shops.competition
        found[:, _OWN + 3] = shops.visits / shops.usual_visits - 1
        found[:, _OWN + 4] = shops.rate - trading.profiles.rate[merchant]
        found[:, _OWN + 5] = shops.profit
        found[:, _OWN + 6 :] = shops.action
        return np.minimum(np.maximum(found, -BOUND), BOUND).astype(np.float32)
