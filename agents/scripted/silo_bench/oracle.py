"""Agents that play all protocols, each with the schedule of one kind: full work, whatever carries it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np

from fogline.agents.scripted.silo_bench.gathers import BroadcastOnce, Flood, WriteRead
from fogline.agents.scripted.silo_bench.schedule import ProgramAgent, Schedule
from fogline.agents.scripted.silo_bench.seat import Program
from fogline.agents.scripted.silo_bench.stars import LeaderBroadcast, LeaderFiles, StarReduce
from fogline.agents.scripted.silo_bench.trees import BinomialTree, BroadcastTree, FileTree
from fogline.core.errors import check_choice
from fogline.envs.silo_bench.calls import Protocol, SiloView

Kind = Literal["tree", "flood", "leader"]

_SCHEDULES: Mapping[Kind, tuple[type[Schedule], type[Schedule], type[Schedule]]] = {
    "tree": (BinomialTree, BroadcastTree, FileTree),
    "flood": (Flood, BroadcastOnce, WriteRead),
    "leader": (StarReduce, LeaderBroadcast, LeaderFiles),
}


class OracleAgent(ProgramAgent):
    """Solves every task over every protocol without the ground truth: from what its seats tell each other.

    ``tree`` reduces along a binomial tree, ``flood`` lets everybody learn every shard's summary, ``leader`` lets one
    seat merge. Each seat ends up with everything that its answer needs, and computes the answer itself.

    Args:
        kind: ``"tree"``, ``"flood"`` or ``"leader"``.

    Attributes:
        schedules: The schedule for each protocol, which says what it promises.

    Raises:
        ConfigurationError: For another kind.
    """

    def __init__(self, kind: Kind = "tree") -> None:
        check_choice("kind", kind, _SCHEDULES)
        self.name = kind
        mailboxes, log, files = _SCHEDULES[kind]
        self.schedules: Mapping[Protocol, Schedule] = {"p2p": mailboxes(), "broadcast": log(), "files": files()}

    def start(self, view: SiloView, rng: np.random.Generator) -> Program:
        """The program of a seat in the schedule for its protocol.

        Raises:
            AgentError: For too few rounds.
        """
        return self.schedules[view.protocol].start(view, rng)


def tree() -> OracleAgent:
    """The oracle of kind ``tree``."""
    return OracleAgent("tree")


def flood() -> OracleAgent:
    """The oracle of kind ``flood``."""
    return OracleAgent("flood")


def leader() -> OracleAgent:
    """The oracle of kind ``leader``."""
    return OracleAgent("leader")
