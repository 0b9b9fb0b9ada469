"""A world and agents for the tests of the command line, found as ``toy_world:Toy-v0`` and ``toy_world:Guesser``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import gymnasium

from fogline.agents.agent import SeatView
from fogline.core.errors import AgentError, InfrastructureError
from fogline.core.rewards import RewardScheme
from fogline.core.spaces import UnicodeText
from fogline.envs.text import Response, TurnEnv

HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m red \u202e reversed [bold]not markup[/bold] \ud800"


class ToyEnv(TurnEnv[str, Any]):
    """Two turns; the second one wins by the luck of the seed. Tasks in ``broken`` do not begin."""

    reward_scheme: RewardScheme = RewardScheme(turn={"effort": 0.1}, session={"won": 1.0})
    simulator_version: ClassVar[str] = "toy-1"

    def __init__(self, tasks: int = 6, broken: Sequence[str] = (), max_turns: int = 2, says: str = HOSTILE) -> None:
        super().__init__([f"toy-{number}" for number in range(tasks)])
        self._says = says
        self.observation_space = self.action_space = UnicodeText()
        self._broken = set(broken)
        self._max_turns = max_turns
        self._turn = 0

    def begin(self, task_id: str) -> tuple[str, dict[str, Any]]:
        """Say hostile things."""
        if task_id in self._broken:
            raise InfrastructureError(f"the wire to {task_id} is cut")
        self._turn = 0
        return f"{task_id} {self._says}", {}

    def respond(self, action: Any) -> Response:
        """Answer, and end after the second turn."""
        self._turn += 1
        if self._turn < self._max_turns:
            return Response(self._says, "explore", {"effort": 1.0})
        won = bool(self.np_random.random() < 0.5)
        return Response(
            "", "confirm", {"effort": 1.0}, outcome={"won": float(won)}, metrics={"won": won, "echo": str(action)}
        )


class Guesser:
    """Says its word; fails by itself where the word is empty."""

    name = "guesser"
    batch_size: int | None = None

    def __init__(self, word: str = "yes") -> None:
        self._word = word

    def act(self, views: Sequence[SeatView]) -> list[str]:
        """Say the word."""
        if not self._word:
            raise AgentError("nothing to say")
        return [self._word for _ in views]


class NotAnAgent:
    """Lacks everything that an agent needs."""


if "Toy-v0" not in gymnasium.registry:
    gymnasium.register("Toy-v0", "toy_world:ToyEnv", order_enforce=False, disable_env_checker=True)
