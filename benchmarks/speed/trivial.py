"""Environments and an agent that do next to nothing, so that what surrounds them is what is measured."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import gymnasium

from fogline.agents.agent import SeatView
from fogline.core.rewards import RewardScheme
from fogline.core.spaces import UnicodeText
from fogline.envs.text import Response, TurnEnv

ACTION = "I go on."
_OBSERVATION = "You may go on."
_CHARACTERS = 100


class NoOperation(gymnasium.Env[str, str]):
    """The bare minimum of a Gymnasium environment: constants come back."""

    def __init__(self) -> None:
        self.observation_space = UnicodeText(_CHARACTERS)
        self.action_space = UnicodeText(_CHARACTERS)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Return the observation."""
        super().reset(seed=seed)
        return _OBSERVATION, {}

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Return the observation."""
        return _OBSERVATION, 0.0, False, False, {}


class TrivialText(TurnEnv[str, str]):
    """One turn-level term a step, one session-level term at the end.

    Args:
        turns: Length of an episode.
    """

    # Gymnasium declares it on the instance.
    metadata: dict[str, Any] = {"render_modes": ["ansi"], "render_fps": 4, "name": "TrivialText"}  # noqa: RUF012
    reward_scheme: RewardScheme = RewardScheme(turn={"progress": 1.0}, session={"success": 1.0})

    def __init__(self, turns: int) -> None:
        super().__init__(("trivial",))
        self.observation_space = UnicodeText(_CHARACTERS)
        self.action_space = UnicodeText(_CHARACTERS)
        self._turns = turns
        self._turn = 0

    def begin(self, task_id: str) -> tuple[str, dict[str, Any]]:
        """Start to count."""
        self._turn = 0
        return _OBSERVATION, {}

    def respond(self, action: str) -> Response:
        """Count."""
        self._turn += 1
        if self._turn < self._turns:
            return Response(_OBSERVATION, "go", {"progress": 0.1})
        return Response(_OBSERVATION, "go", {"progress": 0.1}, outcome={"success": 1.0})


class WaitingText(TrivialText):
    """The same, after a wait that holds nobody up.

    Args:
        turns: Length of an episode.
        wait_s: Seconds that each step waits.
    """

    def __init__(self, turns: int, wait_s: float) -> None:
        super().__init__(turns)
        self._wait_s = wait_s

    async def step_async(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Wait, then step."""
        await asyncio.sleep(self._wait_s)
        return self.step(action)


class BlockingText(TrivialText):
    """The same, after a wait that holds its thread up.

    Args:
        turns: Length of an episode.
        wait_s: Seconds that each step waits.
    """

    blocking: bool = True

    def __init__(self, turns: int, wait_s: float) -> None:
        super().__init__(turns)
        self._wait_s = wait_s

    def respond(self, action: str) -> Response:
        """Wait, then count."""
        time.sleep(self._wait_s)
        return super().respond(action)


class SayTheSame:
    """Decides at once for everybody who is ready."""

    name = "say-the-same"
    batch_size: int | None = None

    def act(self, views: Sequence[SeatView]) -> list[str]:
        """The same action for each view."""
        return [ACTION] * len(views)
