"""Proven optima: fewest messages, and which pairs talk in the annotated topology (section 11 of the analysis)."""

from __future__ import annotations

from collections.abc import Collection

from fogline.envs.silo_bench.calls import Protocol
from fogline.envs.silo_bench.tasks.task import SiloTask, Topology

Pair = tuple[int, int]


def fewest_messages(task: SiloTask, n_agents: int, protocol: Protocol) -> int:
    """Fewest messages after which every agent can know what its answer needs.

    Demand: nobody submits before the shards in its scope have reached it. With mailboxes and files (where a read of
    another's file is the message) that takes ``2(N-1)`` one-way calls if all must learn everything: after N-2 calls
    the agents fall into at least two groups that share nothing, so nobody knows all, and each later call completes
    one agent at most. A prefix needs N-1, since each agent but the first must hear once; an exchange between
    neighbours ``2(N-1)``. On the broadcast log each agent whose shard another one needs must speak once.
    """
    if n_agents == 1:
        return 0
    if protocol == "broadcast":
        return n_agents - 1 if task.scope == "prefix" else n_agents
    return n_agents - 1 if task.scope == "prefix" else 2 * (n_agents - 1)


def topological_fidelity(topology: Topology, pairs: Collection[Pair], n_agents: int) -> float:
    """Jaccard similarity of the pairs that talked and those of the annotated topology.

    Args:
        topology: Annotated optimum.
        pairs: Directed pairs (sender, receiver) with at least one message.
        n_agents: Number of agents; a single one is 1 by definition.

    Returns:
        Between 0 and 1; for a star, with the leader that fits best.
    """
    if n_agents == 1:
        return 1.0
    talked = set(pairs)
    if topology != "star":
        return _jaccard(talked, _pairs(topology, n_agents))
    degrees = [0] * n_agents
    for sender, receiver in talked:
        degrees[sender] += 1
        degrees[receiver] += 1
    # The overlap with the star of a leader is the number of pairs that it is part of.
    overlap = max(degrees)
    return overlap / (len(talked) + 2 * (n_agents - 1) - overlap)


def _pairs(topology: Topology, n_agents: int) -> set[Pair]:
    if topology == "all-to-all":
        return {(one, other) for one in range(n_agents) for other in range(n_agents) if one != other}
    forward = {(agent, agent + 1) for agent in range(n_agents - 1)}
    return forward if topology == "chain" else forward | {(later, earlier) for earlier, later in forward}


def _jaccard(one: set[Pair], other: set[Pair]) -> float:
    return len(one & other) / len(one | other)
