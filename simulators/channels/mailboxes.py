"""Messages from agent to agent, and what mailboxes and the broadcast log share: inboxes, pushed or pulled."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from fogline.simulators.channels.base import Channel, Parameter, failure, shown, success
from fogline.simulators.channels.config import ChannelConfig
from fogline.simulators.channels.messages import Message

_Record = tuple[int, int, int, Message, int]
"""Round sent, sender, sequence number, message, what the sender knew: sorted as such, it is the order of delivery."""


class MessageChannel(Channel):
    """A channel whose agents get messages.

    With ``delivery="push"`` an inbox is filled at the start of the round, and ``receive_messages`` returns it again.
    With ``"pull"`` messages wait until ``receive_messages`` is called; the agent sees its result a round later, so a
    hop takes two rounds.
    """

    def __init__(self, config: ChannelConfig, rng: np.random.Generator | None = None) -> None:
        super().__init__(config, rng)
        self._due: defaultdict[int, list[tuple[_Record, Sequence[int]]]] = defaultdict(list)
        self._waiting: list[list[_Record]] = [[] for _ in range(config.n_agents)]
        self._inboxes: list[tuple[Message, ...]] = [()] * config.n_agents
        self._sequence = 0

    def inbox(self, agent: int) -> tuple[Message, ...]:
        """Messages that became visible for ``agent`` at the start of this round; empty where it must ask for them.

        Ordered by round sent, sender, and each sender's own order.
        """
        return self._inboxes[agent]

    def deactivate(self, agent: int) -> None:
        """Take an agent out that has submitted; its inbox is empty from now on."""
        super().deactivate(agent)
        self._inboxes[agent] = ()

    def _post(self, sender: int, receivers: Sequence[int], content: str) -> None:
        self._sequence += 1
        message = Message(sender, content, self.round)
        record = (self.round, sender, self._sequence, message, self.provenance.knows(sender))
        for due in self._fate():
            self._due[due].append((record, receivers))
        self.traffic.count_sent(sender, receivers, len(content))

    def _arrive(self) -> None:
        waiting = self._waiting
        for record, receivers in self._due.pop(self.round, ()):
            for receiver in receivers:
                if receiver in self._active:
                    waiting[receiver].append(record)
        if self.config.delivery == "pull":
            return
        deliver, now = self.provenance.deliver, self.round
        for agent in range(self.config.n_agents):
            records = self._take(agent)
            for sent, sender, _, message, known in records:
                deliver(sender, agent, sent, now, len(message.content), known)
            self._inboxes[agent] = tuple([record[3] for record in records])

    def _take(self, agent: int) -> list[_Record]:
        records = self._waiting[agent]
        if records:
            records.sort()
            self._waiting[agent] = []
            self.traffic.count_received(agent, len(records), sum([len(record[3].content) for record in records]))
        return records

    def _receive(self, agent: int) -> dict[str, Any]:
        messages: Sequence[Message] = self._inboxes[agent]
        if self.config.delivery == "pull":
            records = self._take(agent)
            messages = [record[3] for record in records]
            self._unseen += [
                (sender, agent, sent, len(message.content), known) for sent, sender, _, message, known in records
            ]
        return {"messages": [{"from": sender, "content": text, "timestamp": sent} for sender, text, sent in messages]}


class P2PChannel(MessageChannel):
    """A mailbox for each agent; first in, first out between any two (Silo-Bench, appendix A)."""

    parameters: ClassVar[Mapping[str, tuple[Parameter, ...]]] = {
        "send_message": (Parameter("target_id", int), Parameter("content", str)),
        "receive_messages": (),
    }

    def _run(self, agent: int, tool: str, values: Sequence[Any]) -> dict[str, Any]:
        return self._send(agent, *values) if tool == "send_message" else self._receive(agent)

    def _send(self, agent: int, target: int, content: str) -> dict[str, Any]:
        problem = self._over_length(content) if target in self._reach[agent] else self._unreachable(agent, target)
        if problem:
            return failure(problem)
        self._post(agent, (target,), content)
        return success(f"Sent to agent {target}.")

    def _unreachable(self, agent: int, target: int) -> str:
        if target == agent:
            return f"target_id={target} is yourself: expected another agent."
        last = self.config.n_agents - 1
        if not 0 <= target <= last:
            return f"target_id={shown(target)} is no agent: expected an id from 0 to {last} other than your own."
        peers = ", ".join(map(str, self._neighbours[agent])) or "nobody"
        return f"target_id={target} cannot be reached from here: you can send to {peers}."
