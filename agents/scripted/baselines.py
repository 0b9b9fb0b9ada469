"""Agents that know nothing of the game."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from fogline.agents.agent import SeatView


class RandomAgent:
    """Samples every action from the seat's action space, by the seat's own generator."""

    name = "random"
    batch_size: int | None = None

    def act(self, views: Sequence[SeatView]) -> list[Any]:
        """Sample one action per view."""
        return [self._space(view).sample() for view in views]

    @staticmethod
    def _space(view: SeatView) -> Any:
        space = view.memory.get("space")
        if space is None:
            # A copy of its own, so that what other episodes sample does not shift this one's draws.
            space = view.memory["space"] = copy.deepcopy(view.action_space)
            space.seed(int(view.rng.integers(2**31)))
        return space
