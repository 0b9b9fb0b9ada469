"""The easiest world there is: the right action is what was observed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces


class Identity(gymnasium.Env[Any, Any]):
    """Pays 1 for each step whose action is the observation: of several parts the share, of numbers 1 - |distance|.

    Args:
        space: Of observations and actions: ``Discrete``, ``MultiDiscrete`` or ``Box``.
        length: Steps of an episode; half of them, for tasks named ``short``.
        tasks: Names of the tasks.
    """

    metadata: ClassVar[dict[str, Any]] = {"name": "Identity-v0", "render_modes": []}
    simulator_version = "identity-1"

    def __init__(self, space: spaces.Space[Any], length: int = 4, tasks: Sequence[str] = ("",)) -> None:
        self.observation_space = self.action_space = space
        self.length = length
        self.task_ids = tuple(tasks)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.earned: list[float] = []
        self.task_id = str((options or {}).get("task_id", ""))
        self.left = self.length // 2 if self.task_id == "short" else self.length
        return self._next(), {"task_id": self.task_id}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        apart = np.abs(np.asarray(action, dtype=np.float64) - np.asarray(self.wanted, dtype=np.float64))
        reward = float(1.0 - apart.mean()) if isinstance(self.action_space, spaces.Box) else float((apart == 0).mean())
        self.left -= 1
        self.earned.append(reward)
        over = self.left == 0
        info: dict[str, Any] = {"terms": {"right": reward}, "phase": "say"}
        if over:
            done = sum(self.earned) / len(self.earned)
            # What methods read that gate by the process: steps that were right, all of them right, always in form.
            outcome = {"last": reward, "process": done, "correct": float(done == 1.0), "well_formed": 1.0}
            info |= {"outcome": outcome, "metrics": {}}
        return self._next(), reward, over, False, info

    def _next(self) -> Any:
        space = self.observation_space
        if isinstance(space, spaces.Discrete):
            self.wanted: Any = int(self.np_random.integers(space.n)) + int(space.start)
        elif isinstance(space, spaces.MultiDiscrete):
            self.wanted = self.np_random.integers(space.nvec)
        else:
            assert isinstance(space, spaces.Box)
            self.wanted = self.np_random.uniform(space.low, space.high).astype(space.dtype)
        return self.wanted


def digits(size: int = 3, length: int = 4, tasks: Sequence[str] = ("",)) -> Identity:
    """The world of one digit, by ``identity:digits``."""
    return Identity(spaces.Discrete(size), length, tasks)
