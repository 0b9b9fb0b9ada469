"""What seats tell each other: summaries of spans of agents, one a line, and what follows from them.

A line reads ``4:8 [17,3]``: the summary of the shards of agents 4, 5, 6 and 7. Whatever the schedule, every message and
file is made of such lines, so a seat needs to know neither who sent one nor in which round.

The functions here are pure, and remember what they returned: a hundred seats that hold the same hundred texts read and
merge them once. A seat finds a remembered value only by holding every text that it was made of.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache, reduce
from typing import Any

from fogline.core.errors import AgentError
from fogline.envs.silo_bench.tasks.task import Scope, SiloTask

Span = tuple[int, int]
"""Agents from the first number up to, but not including, the second."""


def label(span: Span) -> str:
    """Name of a span in a line: ``(4, 8)`` is ``"4:8"``."""
    return f"{span[0]}:{span[1]}"


def shard_spans(span: Span) -> list[Span]:
    """The agents of a span one by one."""
    return [(agent, agent + 1) for agent in range(*span)]


def needed_span(task: SiloTask, agent: int, n_agents: int) -> Span:
    """The agents whose shards the answer of ``agent`` depends on."""
    needed = task.required(agent, n_agents)
    return needed.start, needed.stop


def outside(scope: Scope, span: Span, n_agents: int) -> list[Span]:
    """What the agents of a span must be told that is not theirs, so that each can answer.

    Everything, which holds their own part too; or what comes before them; or the shards at both borders.
    """
    start, stop = span
    if scope == "all":
        return [(0, n_agents)]
    if scope == "prefix":
        return [(0, start)] if start else []
    return [(agent, agent + 1) for agent in (start - 1, stop) if 0 <= agent < n_agents]


def presented(scope: Scope, span: Span) -> list[Span]:
    """What others must be told of a span: its summary, or where only neighbours matter, the shards at its two ends."""
    start, stop = span
    if scope != "neighbours" or stop - start == 1:
        return [span]
    return [(start, start + 1), (stop - 1, stop)]


def encode(value: Any) -> str:
    """Text of a JSON-ready value, without a line break."""
    return json.dumps(value, separators=(",", ":"))


@lru_cache(maxsize=512)
def decode(text: str) -> Any:
    """The value of a text. It is shared between callers: nobody may change it.

    Raises:
        AgentError: For text that is no JSON: somebody else speaks on this channel.
    """
    try:
        return json.loads(text)
    except ValueError as error:
        raise AgentError(f"{text[:60]!r} is no summary: expected JSON. Let one agent play all seats.") from error


@lru_cache(maxsize=512)
def read_lines(content: str) -> tuple[tuple[str, str], ...]:
    """Labels and texts of a message; lines of any other form are passed over."""
    parts = [line.partition(" ") for line in content.split("\n")]
    return tuple((name, text) for name, _, text in parts if text)


def write_lines(lines: Iterable[tuple[str, str]]) -> str:
    """A message of labels and texts."""
    return "\n".join(f"{name} {text}" for name, text in lines)


@lru_cache(maxsize=256)
def merged(task: SiloTask, texts: tuple[str, ...]) -> Any:
    """Summary of adjacent spans, given as texts in order; shared between callers like that of :func:`decode`."""
    return reduce(task.merge, map(decode, texts))


def answer_of(
    task: SiloTask, texts: tuple[str, ...], shard: Any, agent: int, n_agents: int, public: Mapping[str, Any]
) -> Any:
    """The answer of a seat.

    Args:
        task: What is computed.
        texts: Summaries of adjacent spans, in order, that together are what the answer depends on.
        shard: The seat's data.
        agent: Its number.
        n_agents: Number of seats.
        public: Facts told to all.
    """
    if task.segmented:
        return task.finalise(merged(task, texts), shard, agent, n_agents, public)
    return _common_answer(task, texts, n_agents, _Told(public))


class _Told:
    """Facts told to all, as a key: equal where the facts are."""

    __slots__ = ("facts",)

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self.facts = facts

    def __hash__(self) -> int:
        return len(self.facts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Told) and self.facts == other.facts


@lru_cache(maxsize=128)
def _common_answer(task: SiloTask, texts: tuple[str, ...], n_agents: int, told: _Told) -> Any:
    # All seats owe the same answer, so it cannot depend on who asks: nobody's shard and number will do.
    return task.finalise(merged(task, texts), None, 0, n_agents, told.facts)
