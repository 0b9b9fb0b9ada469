"""Small environments and agents that show what a collector does: waiting, failing, counting."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import gymnasium
from gymnasium import spaces

from fogline.agents.agent import SeatView


class CountEnv(gymnasium.Env[Any, Any]):
    """Ends after ``length`` turns; the reward of a turn is the action plus noise that the seed decides.

    ``task_id`` chooses the length where it is ``"length-N"``. Every call is counted in ``calls``.
    """

    metadata: ClassVar[dict[str, Any]] = {"name": "Count-v0", "render_modes": []}
    simulator_version = "count-1"

    def __init__(self, calls: Counter[str] | None = None, length: int = 3) -> None:
        self.observation_space = spaces.Box(0.0, 1.0, (1,))
        self.action_space = spaces.Discrete(10)
        self.calls: Counter[str] = Counter() if calls is None else calls
        self.calls["made"] += 1
        self.default_length = length

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.calls["reset"] += 1
        self.task_id = str((options or {}).get("task_id", ""))
        self.length = int(self.task_id.partition("-")[2] or self.default_length)
        self.turn = 0
        self.on_reset()
        return self.np_random.random(1), {"task_id": self.task_id}

    def on_reset(self) -> None:
        """What a subclass does wrong or slowly at reset."""

    def on_step(self) -> None:
        """What a subclass does wrong or slowly at a step."""

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.calls["step"] += 1
        self.on_step()
        return self.result(action)

    def result(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.turn += 1
        over = self.turn >= self.length
        reward = float(action) + float(self.np_random.random())
        info: dict[str, Any] = {"terms": {"choice": float(action)}, "phase": f"turn {self.turn}", "malformed": False}
        if over:
            info |= {"outcome": {"length": float(self.turn)}, "metrics": {"turns": self.turn}}
        return self.np_random.random(1), reward, over, False, info

    def close(self) -> None:
        self.calls["closed"] += 1


class AsyncCountEnv(CountEnv):
    """The same with an awaited step; ``waits`` says how long a task's steps take."""

    def __init__(
        self, calls: Counter[str] | None = None, waits: dict[str, float] | None = None, **options: Any
    ) -> None:
        super().__init__(calls, **options)
        self.waits = waits or {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        raise AssertionError("an environment with step_async is to be awaited")

    async def step_async(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.calls["step"] += 1
        await asyncio.sleep(self.waits.get(self.task_id, 0.0))
        self.on_step()
        return self.result(action)


class BlockingCountEnv(CountEnv):
    """The same with a step that blocks its thread; notes which threads it ran in and how many at once."""

    blocking = True

    def __init__(
        self, calls: Counter[str] | None = None, seconds: float = 0.0, threads: set[int] | None = None, **options: Any
    ) -> None:
        super().__init__(calls, **options)
        self.seconds = seconds
        self.threads = set() if threads is None else threads

    def on_reset(self) -> None:
        self.threads.add(threading.get_ident())

    def on_step(self) -> None:
        self.threads.add(threading.get_ident())
        time.sleep(self.seconds)


class SeededAgent:
    """Draws from the seat's own generator."""

    name = "seeded"

    def __init__(self, batch_size: int | None = None) -> None:
        self.batch_size = batch_size
        self.sizes: list[int] = []

    def act(self, views: Sequence[SeatView]) -> list[Any]:
        self.sizes.append(len(views))
        return [int(view.rng.integers(10)) for view in views]


class AsyncSeededAgent(SeededAgent):
    """The same, after a wait that depends on the task."""

    name = "seeded"

    def __init__(self, batch_size: int | None = 1, seconds: Callable[[SeatView], float] = lambda view: 0.001) -> None:
        super().__init__(batch_size)
        self.seconds = seconds

    async def act(self, views: Sequence[SeatView]) -> list[Any]:  # type: ignore[override]
        await asyncio.sleep(max(self.seconds(view) for view in views))
        return super().act(views)
