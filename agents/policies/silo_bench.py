"""Silo-Bench over mailboxes as a choice among few actions, for learners without a language model.

What is computed and how summaries merge is the task's business; whom to tell, when to wait and when to submit is the
policy's. The numbers themselves are not among the features, so that a policy can only learn how to exchange.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from fogline.agents.agent import SeatView
from fogline.agents.policies.encoders import Vector
from fogline.agents.scripted.silo_bench.knowledge import label, read_lines, shard_spans
from fogline.agents.scripted.silo_bench.references import guess
from fogline.agents.scripted.silo_bench.seat import Seat
from fogline.core.episode import Turn
from fogline.core.errors import AgentError, ConfigurationError
from fogline.envs.silo_bench.calls import SiloView, ToolCall
from fogline.envs.silo_bench.tasks.catalogue import silo_task

Action = tuple[ToolCall, ...]


class ExchangeEncoder:
    """What a seat of Silo-Bench knows, and a few things that it can do with it.

    Seats are numbered from the seat's own point of view: offset k is the seat k places further on, cyclically. With N
    seats and R rounds, the features are 0 or 1:

    - N: the seat's own number;
    - N-1, by offset: whose shard's summary it holds;
    - N-1, by offset: who has sent it something;
    - N-1, by offset: whom it has told all that it holds now;
    - R: the round.

    The N+1 actions are: tell the seat at offset 1, …, N-1 every summary that is held, one a line; wait; submit what
    follows from the summaries that are held, as if they were all there are. What is held is the own shard's summary
    and what arrived in the seat's own mailbox, nothing else.

    Args:
        n_agents: Seats, at least 2.
        max_rounds: Rounds of the environment, at least 2.

    Attributes:
        features: 4N - 3 + R.
        actions: N + 1.
        wait: Index of the action that waits.
        submit: Index of the action that submits.

    Raises:
        ConfigurationError: For fewer seats or rounds.
    """

    def __init__(self, n_agents: int, max_rounds: int) -> None:
        for name, value in (("n_agents", n_agents), ("max_rounds", max_rounds)):
            if value < 2:
                raise ConfigurationError(f"{name}={value}: expected at least 2, or there is nothing to exchange.")
        self.n_agents = n_agents
        self.max_rounds = max_rounds
        self.wait = n_agents - 1
        self.submit = n_agents
        self.features = 4 * n_agents - 3 + max_rounds
        self.actions = n_agents + 1

    def encode(self, turns: Sequence[Turn], observation: Any) -> Vector:
        """Features ``[4N - 3 + R]`` float32 of a seat's turn, from its own turns and observation."""
        count, own = self.n_agents, int(observation["agent_id"])
        held, senders = {own}, set[int]()
        up_to_date: set[int] = set()
        for turn in turns:
            known = len(held)
            _hear(turn.observation, held, senders)
            if len(held) > known:
                up_to_date.clear()
            choice = turn.action_token_ids[0] if turn.action_token_ids else self.wait
            if choice < self.wait:
                up_to_date.add((own + 1 + choice) % count)
        known = len(held)
        _hear(observation, held, senders)
        if len(held) > known:
            up_to_date.clear()
        vector = np.zeros(self.features, dtype=np.float32)
        vector[own] = 1.0
        for place, seats in enumerate((held, senders, up_to_date)):
            for seat in seats - {own}:
                vector[count + place * (count - 1) + (seat - own) % count - 1] = 1.0
        last = int(observation["round"][0])
        vector[4 * count - 4 + min(last, self.max_rounds)] = 1.0
        return vector

    def action(self, view: SeatView, index: int) -> Action:
        """The calls of choice ``index`` for the view's seat.

        Raises:
            AgentError: For a game with other seats, another channel or another form of delivery than this is made for.
        """
        shown: SiloView = view.info["view"]
        self._check(shown)
        if index == self.wait:
            return (ToolCall("wait", {}),)
        seat = Seat(shown, silo_task(shown.task_id))
        for turn in view.turns:
            seat.known.update(_lines(turn.observation))
        seat.known.update(_lines(view.observation))
        if index == self.submit:
            return (ToolCall("submit_result", {"answer": guess(seat)}),)
        held = [span for span in shard_spans((0, self.n_agents)) if label(span) in seat.known]
        target = (shown.agent + 1 + index) % self.n_agents
        return (ToolCall("send_message", {"target_id": target, "content": seat.quote(held)}),)

    def _check(self, shown: SiloView) -> None:
        expected = (self.n_agents, self.max_rounds, "p2p", "push")
        found = (shown.n_agents, shown.max_rounds, shown.protocol, shown.delivery)
        if found != expected:
            raise AgentError(
                f"a game of (n_agents, max_rounds, protocol, delivery) = {found}: this encoder was made for {expected}."
            )


def _hear(observation: Mapping[str, Any], held: set[int], senders: set[int]) -> None:
    """Add whose summaries an inbox holds, and who sent them."""
    seats, origins = _heard(observation["inbox"])
    held |= seats
    senders |= origins


@lru_cache(maxsize=4096)
def _heard(inbox: str) -> tuple[frozenset[int], frozenset[int]]:
    messages = json.loads(inbox)
    names = [name for item in messages for name, _ in read_lines(item["content"])]
    return frozenset(int(name.partition(":")[0]) for name in names), frozenset(item["from"] for item in messages)


def _lines(observation: Mapping[str, Any]) -> dict[str, str]:
    """Labels and texts of an inbox."""
    return {name: text for item in json.loads(observation["inbox"]) for name, text in read_lines(item["content"])}
