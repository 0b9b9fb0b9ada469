"""Tool calls of a seat, what they returned, and what a seat is shown: the structured side of the environment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from fogline.simulators.channels.messages import Message

Protocol = Literal["p2p", "broadcast", "files"]
Delivery = Literal["push", "pull"]


class ToolCall(NamedTuple):
    """One call: ``ToolCall("send_message", {"target_id": 3, "content": "17"})``.

    Attributes:
        tool: Name of the tool.
        arguments: Its arguments by name.
    """

    tool: str
    arguments: Mapping[str, Any] = {}


class ToolResult(NamedTuple):
    """What a call returned; the seat reads it at the start of its next round.

    Attributes:
        tool: Name of the tool that was called.
        result: JSON-ready, as the protocol's table says.
    """

    tool: str
    result: Mapping[str, Any]


class SiloView(NamedTuple):
    """What one seat may know, typed; ``infos[seat]["view"]`` beside the observation, which says the same in text.

    Attributes:
        agent: The seat's number, from 0.
        n_agents: Number of seats.
        protocol: ``"p2p"``, ``"broadcast"`` or ``"files"``.
        round: The round in which the seat acts now, from 1.
        max_rounds: The last round.
        task_id: ``"I-01"`` to ``"III-30"``.
        shard: The seat's data.
        public: Facts told to all.
        inbox: Messages that became visible at the start of this round (with ``delivery="push"``).
        results: Results of the calls of the seat's last round, in order.
        peers: Seats that this one may send to (and read files of).
        delivery: ``"push"`` where messages show in ``inbox``; ``"pull"`` where ``receive_messages`` asks for them.
    """

    agent: int
    n_agents: int
    protocol: Protocol
    round: int
    max_rounds: int
    task_id: str
    shard: Any
    public: Mapping[str, Any]
    inbox: tuple[Message, ...]
    results: tuple[ToolResult, ...]
    peers: tuple[int, ...]
    delivery: Delivery = "push"
