"""What an agent is: it is shown seats that must act, and decides for each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from fogline.core.episode import Turn, Usage


class Decision(NamedTuple):
    """One action with what the trainer and the meter need to know about it.

    Attributes:
        action: What is handed to the environment.
        context_token_ids: Tokens that the environment's side appended since the seat's last turn.
        action_token_ids: Tokens that the policy sampled.
        logps: Their log-probabilities under the sampler, in nats.
        policy_version: Version of the weights.
        usage: Model calls, tokens and cost of this decision, where there were any.
        policy_data: Named arrays that score this decision again, beside its tokens: a sample before it was clipped
            to the action space, the choices that were illegal.
    """

    action: Any
    context_token_ids: tuple[int, ...] = ()
    action_token_ids: tuple[int, ...] = ()
    logps: tuple[float, ...] = ()
    policy_version: int | None = None
    usage: Usage | None = None
    policy_data: Mapping[str, Any] | None = None


class SeatView:
    """What one seat sees, and what its agent remembers of this episode.

    The collector makes one view per seat and episode and updates ``observation`` and ``info`` before
    each decision; agents keep what they need in ``memory``, which dies with the episode.

    Attributes:
        env_id: Registered environment id.
        task_id: Which task is played.
        seat: The seat's name.
        system_prompt: The rules, for agents that read.
        tools: JSON schemas of the tools, for agents that call them.
        action_space: Gymnasium space of the seat's actions.
        tool_action: Turns a tool call ``(name, arguments)`` into an action.
        render: The environment's own way to put an observation into words; None where it has none.
        turns: This seat's turns so far (read only).
        observation: What it sees now.
        info: The environment's info of the last reset or step.
        memory: The agent's own notes.
    """

    __slots__ = (
        "_entropy",
        "_rng",
        "action_space",
        "env_id",
        "info",
        "memory",
        "observation",
        "render",
        "seat",
        "system_prompt",
        "task_id",
        "tool_action",
        "tools",
        "turns",
    )

    def __init__(
        self,
        env_id: str,
        task_id: str,
        seat: str,
        action_space: Any,
        *,
        entropy: Sequence[int] = (0,),
        system_prompt: str = "",
        tools: Sequence[Mapping[str, Any]] = (),
        tool_action: Callable[[str, Mapping[str, Any]], Any] | None = None,
        render: Callable[[Any], str] | None = None,
    ) -> None:
        self.env_id = env_id
        self.task_id = task_id
        self.seat = seat
        self.action_space = action_space
        self.system_prompt = system_prompt
        self.tools = tools
        self.tool_action = tool_action
        self.render = render
        self.turns: list[Turn] = []
        self.observation: Any = None
        self.info: Mapping[str, Any] = {}
        self.memory: dict[str, Any] = {}
        self._entropy = entropy
        self._rng: np.random.Generator | None = None

    @property
    def rng(self) -> np.random.Generator:
        """The seat's own generator, decided by seed, task and seat alone, whatever is batched with it."""
        if self._rng is None:
            self._rng = np.random.default_rng(np.random.SeedSequence(list(self._entropy)))
        return self._rng


Decisions = Sequence[Any]
"""One :class:`Decision` (or a bare action) per view, in order."""


@runtime_checkable
class Agent(Protocol):
    """Anything that acts.

    Attributes:
        name: Shown in reports and stored with episodes.
        batch_size: Most views it wants at once; None for all that are ready, 1 for agents that wait on a server.

    An agent may also have ``together = True``: the collector then asks it only when every live episode waits for a
    decision, with the views in the order of task, seed and seat, so that its batches do not depend on timing.
    """

    name: str
    batch_size: int | None

    def act(self, views: Sequence[SeatView]) -> Decisions | Awaitable[Decisions]:
        """Decide for each view.

        Args:
            views: Seats that must act now, of any number of episodes.

        Returns:
            One decision per view, or an awaitable of them.

        Raises:
            AgentError: The agent cannot go on (its context is full, its own rules forbid it).
            InfrastructureError: Something under it broke; the episode is tried again.
        """
        ...
