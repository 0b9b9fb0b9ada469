"""A cell of a sweep: one task at one size under one protocol, played by one team. Light, for worker processes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from fogline.agents.rollout import Assignment
from fogline.core.errors import DataError

TEAM = "+"
"""Stands between the members of a mixed team."""


class Facts(NamedTuple):
    """What a cell is, for tables.

    Attributes:
        task: ``"I-01"`` to ``"III-30"``.
        n_agents: The size: seats, or with the single-agent oracle the seats whose data one holds.
        protocol: Its protocol.
        agent: The team, as the sweep names it.
        baseline: Whether it is the single-agent oracle.
    """

    task: str
    n_agents: int
    protocol: str
    agent: str
    baseline: bool

    @property
    def level(self) -> str:
        """``"I"``, ``"II"`` or ``"III"``."""
        return self.task.partition("-")[0]


@dataclass(frozen=True, slots=True)
class SweepCell:
    """One cell and what is to be played of it.

    Attributes:
        key: Content hash of ``config``, the cell's name in the store.
        config: All that decides an episode, given its instance and seed.
        members: Names of the team's members; seat i gets member i modulo their number.
        env_kwargs: Keywords of the environment, ``config``'s and the number of instances.
        assignments: Instances with their seeds.
    """

    key: str
    config: Mapping[str, Any]
    members: tuple[str, ...]
    env_kwargs: Mapping[str, Any]
    assignments: tuple[Assignment, ...]

    @property
    def agent(self) -> str:
        """The team's name."""
        return TEAM.join(self.members)

    @property
    def seats(self) -> int:
        """Number of seats."""
        return int(self.env_kwargs["n_agents"])

    def pieces(self) -> tuple[SweepCell, ...]:
        """The same cell once for each of its instances, to be played apart."""
        return tuple(replace(self, assignments=(item,)) for item in self.assignments)

    def without(self, finished: Collection[tuple[str, int]]) -> SweepCell:
        """The same cell, less what is finished."""
        return replace(self, assignments=tuple(item for item in self.assignments if item not in finished))


def facts_of(config: Mapping[str, Any]) -> Facts:
    """Read what a stored cell is.

    Raises:
        DataError: For a configuration that no sweep wrote.
    """
    try:
        env = config["env_kwargs"]
        scale = env.get("scale")
        size = int(env["n_agents"] if scale is None else scale)
        return Facts(str(env["task"]), size, str(env["protocol"]), TEAM.join(config["agents"]), scale is not None)
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"a stored cell is none of a Silo-Bench sweep ({error!r}): expected another run.") from error
