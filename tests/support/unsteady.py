"""A small text world whose service breaks when told: what an infrastructure failure looks like from outside."""

from __future__ import annotations

from typing import Any

from fogline.core.errors import InfrastructureError
from fogline.core.rewards import RewardScheme
from fogline.core.spaces import UnicodeText
from fogline.envs.text import Response, TurnEnv

TURNS = 3


class Outage(InfrastructureError):
    """The service did not answer."""


class Outages:
    """How often the service is still to break, over all environments made here."""

    left = 0


class Unsteady(TurnEnv[str, str]):
    """Pays a tenth of each word's length, three turns long; the second turn may meet an outage.

    Args:
        fickle: Answer differently in each environment made, so that no episode can be led back to where it was.
    """

    metadata: dict[str, Any] = {"name": "Unsteady-v0", "render_modes": ["ansi"], "render_fps": 4}  # noqa: RUF012
    reward_scheme = RewardScheme(turn={"length": 0.1}, session={"done": 0.0})
    made = 0

    def __init__(self, fickle: bool = False, render_mode: str | None = None) -> None:
        super().__init__(["one", "two"], render_mode)
        self.observation_space = self.action_space = UnicodeText()
        Unsteady.made += 1
        self._mark = f" {Unsteady.made}" if fickle else ""
        self._turn = 0

    def begin(self, task_id: str) -> tuple[str, dict[str, Any]]:
        self._turn = 0
        return f"{task_id} {int(self.np_random.integers(1000))}", {}

    def respond(self, action: str) -> Response:
        self._turn += 1
        if self._turn == 2 and Outages.left > 0:
            Outages.left -= 1
            raise Outage("no answer")
        over = {"done": 1.0} if self._turn == TURNS else None
        return Response(f"turn {self._turn}{self._mark}", "talk", {"length": float(len(action))}, outcome=over)


def make(fickle: bool = False) -> Unsteady:
    return Unsteady(fickle)
