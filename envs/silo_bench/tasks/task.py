"""What each of the thirty tasks is made of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np

DataMode = Literal["fixed", "repo"]
"""``fixed``: the repaired generators; ``repo``: as published, defects included."""
Scope = Literal["all", "prefix", "neighbours"]
"""Which shards an agent's answer depends on: all of them, those up to its own, its own and the two beside it."""
Topology = Literal["star", "chain", "both ways", "all-to-all"]
"""Who talks to whom in the annotated optimum: a leader with everybody, i with i+1, i with i-1 and i+1, everybody."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One instance: what every agent holds, and what all of them are told.

    Attributes:
        shards: One JSON-ready shard per agent.
        public: JSON-ready facts that are no secret, such as the number of nodes or the first centroids.
    """

    shards: tuple[Any, ...]
    public: Mapping[str, Any] = field(default_factory=dict)


class Wording(NamedTuple):
    """What an agent is told in words.

    Attributes:
        task: What is to be computed, and which piece of the data the agent holds; names no topology.
        answer: What to submit: type, order, rounding, JSON encoding.
        algorithm: A sketch of how shards combine, for hint level ``algorithm``.
    """

    task: str
    answer: str
    algorithm: str


class SiloTask(ABC):
    """A function of data that is cut into shards.

    Three ways lead to the answer, and the tests hold them equal: :meth:`solve` reads all the data at once (the
    definition), the summaries merge shard by shard (``local``, ``merge``, ``finalise``; spec section 11.5), and
    brute-force code in the tests.

    Attributes:
        task_id: ``"I-01"`` to ``"III-30"``.
        name: The published name.
        items_per_agent: Size of a shard, the spec's k.
        segmented: Whether each agent answers for its own segment only.
        scope: Which shards an agent's answer needs.
        topology: Who talks to whom in the annotated optimum.
        tolerance: Largest absolute difference of two numbers that count as equal; 0 for exact.
    """

    task_id: ClassVar[str]
    name: ClassVar[str]
    items_per_agent: ClassVar[int]
    segmented: ClassVar[bool] = False
    scope: ClassVar[Scope] = "all"
    topology: ClassVar[Topology] = "star"
    tolerance: ClassVar[float] = 0.0

    @property
    def level(self) -> str:
        """``"I"``, ``"II"`` or ``"III"``."""
        return self.task_id.partition("-")[0]

    @property
    def index(self) -> int:
        """1 to 30."""
        return int(self.task_id.partition("-")[2])

    @abstractmethod
    def generate(self, rng: np.random.Generator, n_agents: int, data: DataMode) -> Problem:
        """Draw an instance for any ``n_agents`` of at least 1."""

    @abstractmethod
    def solve(self, problem: Problem) -> tuple[Any, ...]:
        """The exact answer of every agent, from all shards at once; JSON-ready."""

    @abstractmethod
    def local(self, shard: Any, agent: int, public: Mapping[str, Any]) -> Any:
        """Summarise one shard; JSON-ready."""

    @abstractmethod
    def merge(self, left: Any, right: Any) -> Any:
        """Summary of two adjacent ranges of agents, ``left`` before ``right``; associative, changes neither."""

    @abstractmethod
    def finalise(self, summary: Any, shard: Any, agent: int, n_agents: int, public: Mapping[str, Any]) -> Any:
        """The answer of ``agent`` from the summary of the shards in its scope, its own included."""

    @abstractmethod
    def wording(self, problem: Problem, agent: int) -> Wording:
        """The task in words for ``agent``."""

    def required(self, agent: int, n_agents: int) -> range:
        """Agents whose shards the answer of ``agent`` depends on; always a contiguous range."""
        if self.scope == "prefix":
            return range(agent + 1)
        if self.scope == "neighbours":
            return range(max(0, agent - 1), min(n_agents, agent + 2))
        return range(n_agents)

    def sufficient(self, problem: Problem, agent: int, known: int) -> bool:
        """Whether the shards in the bit mask ``known`` can decide the answer of ``agent`` (spec section 10)."""
        needed = sum(1 << index for index in self.required(agent, len(problem.shards)))
        return known & needed == needed

    def united(self, problem: Problem) -> Problem:
        """The same data in the hands of one agent: the single-agent oracle at the scale of ``problem``."""
        return Problem((joined(problem.shards),), problem.public)


def joined(shards: Sequence[Any]) -> Any:
    """Shards one after the other: lists concatenated, or strings."""
    if isinstance(shards[0], str):
        return "".join(shards)
    return [item for shard in shards for item in shard]


def dealt(items: Sequence[Any], n_agents: int) -> tuple[list[Any], ...]:
    """Cut into ``n_agents`` equal contiguous blocks, the last of which takes the remainder."""
    size = len(items) // n_agents
    ends = [size * (agent + 1) for agent in range(n_agents - 1)] + [len(items)]
    return tuple(list(items[start:end]) for start, end in zip([0, *ends], ends, strict=False))
