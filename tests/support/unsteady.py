"""A small text world whose service breaks when told: what an infrastructure failure looks like from outside."""

from __future__ import annotations

from typing import Any

import numpy as np

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
    unmade = 0
    """How often it cannot be made, in the same way."""


class Unsteady(TurnEnv[str, str]):
    """Pays a tenth of each word's length, three turns long; the second may meet an outage, which breaks it for good.

    Args:
        fickle: What differs in each environment made, so that no episode can be led back to where it was: the
            ``"words"`` of its answers, one pixel of a ``"picture"`` in their place, or its ``"opening"``.
    """

    metadata: dict[str, Any] = {"name": "Unsteady-v0", "render_modes": ["ansi"], "render_fps": 4}  # noqa: RUF012
    reward_scheme = RewardScheme(turn={"length": 0.1}, session={"done": 0.0})
    made = 0

    def __init__(self, fickle: str = "", render_mode: str | None = None) -> None:
        super().__init__(["one", "two"], render_mode)
        self.observation_space = self.action_space = UnicodeText()
        Unsteady.made += 1
        self._fickle = fickle
        self._mark = f" {Unsteady.made}" if fickle else ""
        self._turn = 0
        self._broken = False

    def begin(self, task_id: str) -> tuple[str, dict[str, Any]]:
        if self._broken:
            raise Outage("broken for good")
        self._turn = 0
        opening = f"{task_id} {int(self.np_random.integers(1000))}"
        return opening + (self._mark if self._fickle == "opening" else ""), {}

    def respond(self, action: str) -> Response:
        self._turn += 1
        if self._turn == 2 and Outages.left > 0:
            Outages.left -= 1
            self._broken = True
            raise Outage("no answer")
        over = {"done": 1.0} if self._turn == TURNS else None
        return Response(self._answer(), "talk", {"length": float(len(action))}, outcome=over)

    def _answer(self) -> Any:
        if self._fickle == "picture":
            picture = np.zeros((64, 64), np.uint8)
            picture[32, 32] = Unsteady.made % 256
            return picture
        return f"turn {self._turn}" + (self._mark if self._fickle == "words" else "")


def make(fickle: str = "") -> Unsteady:
    if Outages.unmade > 0:
        Outages.unmade -= 1
        raise Outage("it cannot be made")
    return Unsteady(fickle)
