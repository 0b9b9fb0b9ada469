"""Players of Silo-Bench for the tests of sweeps: they fail, wait, cost something or die, as ``silo_players:Class``."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence
from typing import Any

import numpy as np

from fogline.agents.agent import Decision, SeatView
from fogline.core.episode import Usage
from fogline.core.errors import AgentError, InfrastructureError
from fogline.envs.silo_bench.calls import SiloView, ToolCall

SUBMIT = (ToolCall("submit_result", {"answer": 0}),)


def shown(view: SeatView) -> SiloView:
    found: SiloView = view.info["view"]
    return found


def luck(view: SeatView) -> float:
    """A number of the game's own, the same for all its seats, in [0, 1)."""
    seen = shown(view)
    entropy = [seen.n_agents, len(seen.protocol), *view.task_id.encode()]
    return float(np.random.default_rng(np.random.SeedSequence(entropy)).random())


class Guesser:
    """Submits 0 in its first round."""

    name = "guesser"
    batch_size: int | None = None

    def act(self, views: Sequence[SeatView]) -> list[Any]:
        return [self.decide(view) for view in views]

    def decide(self, view: SeatView) -> Any:
        return SUBMIT


class Flaky(Guesser):
    """Its wire is cut in a share of the games, while ``repaired`` names no file that is there."""

    name = "flaky"

    def __init__(self, repaired: str = "", share: float = 0.2) -> None:
        self._repaired = repaired
        self._share = share

    def decide(self, view: SeatView) -> Any:
        broken = not (self._repaired and os.path.exists(self._repaired))  # noqa: PTH110
        return InfrastructureError("the wire is cut") if broken and luck(view) < self._share else SUBMIT


class Clumsy(Guesser):
    """Fails by itself in every game."""

    name = "clumsy"

    def decide(self, view: SeatView) -> Any:
        return AgentError("it stumbled")


class Deadly(Guesser):
    """Takes its process along in games of five seats."""

    name = "deadly"

    def decide(self, view: SeatView) -> Any:
        if shown(view).n_agents == 5:
            os.kill(os.getpid(), signal.SIGKILL)
        return SUBMIT


class Waiting:
    """Waits and pays for each decision; with ``tell`` it answers how many games waited at once."""

    name = "waiting"
    batch_size: int | None = 1

    def __init__(self, seconds: float = 0.01, tokens: int = 10, tell: bool = False) -> None:
        self._seconds = seconds
        self._tokens = tokens
        self._tell = tell
        self._games: set[tuple[Any, ...]] = set()

    async def act(self, views: Sequence[SeatView]) -> list[Decision]:
        seen = shown(views[0])
        game = (views[0].task_id, seen.n_agents, seen.protocol)
        self._games.add(game)
        await asyncio.sleep(self._seconds)
        at_once = len(self._games)
        self._games.discard(game)
        answer = (ToolCall("submit_result", {"answer": at_once if self._tell else 0}),)
        usage = Usage(model_calls=1, prompt_tokens=self._tokens - 3, completion_tokens=3, cost=0.5)
        return [Decision(answer, usage=usage) for _ in views]


class Secretive(Guesser):
    """Has a key."""

    name = "secretive"

    def __init__(self, api_key: str = "") -> None:
        self._api_key = api_key
