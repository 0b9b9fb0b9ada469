"""Spaces of a seat: what it sees, and the tool calls it may make."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from gymnasium import spaces

from fogline.core.spaces import UnicodeText
from fogline.envs.silo_bench.calls import Protocol, ToolCall

LONGEST_TEXT = 100_000_000
"""Characters that an observation's text may have: a hundred mailboxes of long messages stay far below."""

TOOLS: Mapping[Protocol, Mapping[str, tuple[str, ...]]] = {
    "p2p": {
        "send_message": ("target_id", "content"),
        "receive_messages": (),
        "wait": (),
        "submit_result": ("answer",),
    },
    "broadcast": {
        "broadcast_message": ("content",),
        "receive_messages": (),
        "list_agents": (),
        "wait": (),
        "submit_result": ("answer",),
    },
    "files": {
        "list_files": ("prefix",),
        "read_file": ("path",),
        "write_file": ("path", "content"),
        "delete_file": ("path",),
        "wait": (),
        "submit_result": ("answer",),
    },
}
"""Tools of each protocol, with the names of their arguments (Silo-Bench, table 5)."""


class ToolCalls(spaces.Space[Any]):
    """Tuples of tool calls of one protocol, at most ``longest`` of them.

    Args:
        protocol: Whose tools.
        n_agents: Seats that a message can go to.
        longest: Most calls of one action.
        seed: Seed of the space's own generator.
    """

    def __init__(self, protocol: Protocol, n_agents: int, longest: int = 10_000, seed: int | None = None) -> None:
        super().__init__(None, None, seed)
        self.protocol = protocol
        self.n_agents = n_agents
        self.longest = longest

    @property
    def is_np_flattenable(self) -> bool:
        """Calls have no fixed-size numeric form."""
        return False

    def contains(self, x: Any) -> bool:
        """True for a list or tuple of pairs of a tool's name and a mapping of arguments by name."""
        tools = TOOLS[self.protocol]
        return (
            isinstance(x, (list, tuple))
            and 1 <= len(x) <= self.longest
            and all(
                isinstance(call, (list, tuple)) and len(call) == 2 and call[0] in tools and isinstance(call[1], Mapping)
                for call in x
            )
        )

    def sample(self, mask: Any | None = None, probability: Any | None = None) -> tuple[ToolCall, ...]:
        """Draw one to three calls with small arguments; a mask or probability is refused.

        Raises:
            ValueError: If a mask or probability is given.
        """
        if mask is not None or probability is not None:
            raise ValueError("ToolCalls.sample takes no mask and no probability: pass None.")
        names = list(TOOLS[self.protocol])
        draws = self.np_random.integers(len(names), size=int(self.np_random.integers(1, 4)))
        return tuple(self._call(names[draw]) for draw in draws)

    def to_jsonable(self, sample_n: Iterable[Any]) -> list[Any]:
        """JSON form of a batch."""
        return [[[tool, dict(arguments)] for tool, arguments in calls] for calls in sample_n]

    def from_jsonable(self, sample_n: list[Any]) -> list[tuple[ToolCall, ...]]:
        """Inverse of :meth:`to_jsonable`."""
        return [tuple(ToolCall(tool, arguments) for tool, arguments in calls) for calls in sample_n]

    def __eq__(self, other: object) -> bool:
        """Equal when the same calls belong to both."""
        return isinstance(other, ToolCalls) and self._key() == other._key()

    def __hash__(self) -> int:
        """Consistent with equality."""
        return hash(self._key())

    def __repr__(self) -> str:
        """Protocol and seats."""
        return f"ToolCalls({self.protocol!r}, n_agents={self.n_agents})"

    def _key(self) -> tuple[Any, ...]:
        return (self.protocol, self.n_agents, self.longest)

    def _call(self, tool: str) -> ToolCall:
        draw = self.np_random
        text = {name: f"{name}-{int(draw.integers(4))}" for name in ("content", "path", "prefix")}
        drawn = {"target_id": int(draw.integers(self.n_agents)), "answer": int(draw.integers(100)), **text}
        return ToolCall(tool, {name: drawn[name] for name in TOOLS[self.protocol][tool]})


def observation_space(n_agents: int, max_rounds: int) -> spaces.Dict:
    """What a seat sees; ``infos[seat]["view"]`` holds the same, typed."""
    return spaces.Dict(
        {
            "round": spaces.Box(1, max_rounds + 1, (1,), np.int32),
            "rounds_left": spaces.Box(0, max_rounds, (1,), np.int32),
            "agent_id": spaces.Discrete(n_agents),
            "prompt": UnicodeText(LONGEST_TEXT),
            "inbox": UnicodeText(LONGEST_TEXT),
            "tool_results": UnicodeText(LONGEST_TEXT),
            "submitted": spaces.Discrete(2),
        }
    )


def tool_schemas(protocol: Protocol) -> tuple[dict[str, Any], ...]:
    """JSON schemas of the tools, for agents that call them."""
    return tuple(
        {
            "type": "function",
            "function": {
                "name": tool,
                "description": DESCRIPTIONS[tool],
                "parameters": {
                    "type": "object",
                    "properties": {name: json.loads(_TYPES[name]) for name in arguments},
                    "required": [name for name in arguments if name != "prefix"],
                },
            },
        }
        for tool, arguments in TOOLS[protocol].items()
    )


DESCRIPTIONS: Mapping[str, str] = {
    "send_message": "Send text to one other agent; it can read it from the next round on.",
    "broadcast_message": "Send text to all other agents; they can read it from the next round on.",
    "receive_messages": "Get the messages that have arrived for you.",
    "list_agents": "Get the ids of all agents.",
    "list_files": "List the shared files whose path begins with the prefix, as they were when the round began.",
    "read_file": "Read a shared file as it was when the round began; you see the content in the next round.",
    "write_file": "Write a shared file, replacing what it held; others see it from the next round on.",
    "delete_file": "Delete a shared file from the next round on.",
    "wait": "Do nothing more in this round.",
    "submit_result": "Submit your final answer; you take no part after that.",
}
"""What each tool does, in the words of the prompt and of the schemas."""

_TYPES: Mapping[str, str] = {
    "target_id": '{"type": "integer", "description": "Id of the agent, from 0."}',
    "content": '{"type": "string"}',
    "path": '{"type": "string"}',
    "prefix": '{"type": "string", "default": ""}',
    "answer": '{"description": "The answer, in the form that the task asks for."}',
}
