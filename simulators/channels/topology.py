"""Who may reach whom: named graphs, seeded random ones, or the caller's own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from math import isqrt
from typing import Any, Protocol

import numpy as np

from fogline.core.errors import ConfigurationError, check_choice

Pair = tuple[int, int]
Neighbours = tuple[tuple[int, ...], ...]
"""The neighbours of each agent, in ascending order; always mutual."""
RANDOM_REGULAR = "random-regular"
DEGREE = 4
"""Neighbours in a random regular graph unless told otherwise; four fits any number of agents above four."""
_SWAPS_PER_EDGE = 20


class Graph(Protocol):
    """Anything with edges, such as a ``networkx.Graph`` over the agents' numbers."""

    edges: Any


def make_topology(
    name_or_edges: str | Iterable[Pair] | Graph,
    n_agents: int,
    rng: np.random.Generator | None = None,
    degree: int = DEGREE,
) -> Neighbours:
    """Build a graph over agents 0 to ``n_agents - 1``.

    Args:
        name_or_edges: ``"complete"``; ``"ring"``; ``"chain"`` (0 and 1, 1 and 2, ...); ``"star"`` around agent 0;
            ``"tree"`` (binary: i is below ``(i - 1) // 2``); ``"grid"`` (rows as long as the root of ``n_agents``
            rounded up, the last one perhaps shorter); ``"random-regular"`` (connected, each agent with ``degree``
            others, drawn with ``rng``); or undirected pairs; or an undirected graph that has ``edges``.
        n_agents: Number of agents, at least 1.
        rng: Draws a random graph; no other one draws.
        degree: Neighbours of each agent in a random graph; at most ``n_agents - 1`` are taken.

    Returns:
        The neighbours of each agent.

    Raises:
        ConfigurationError: For an unknown name, a pair that joins no two agents, or a random graph that cannot be.
    """
    if not isinstance(name_or_edges, str):
        return _neighbours(read_pairs(name_or_edges, n_agents), n_agents)
    check_choice("topology", name_or_edges, (*_NAMED, RANDOM_REGULAR))
    if name_or_edges != RANDOM_REGULAR:
        return _named(name_or_edges, n_agents)
    if rng is None:
        raise ConfigurationError(f"topology={RANDOM_REGULAR!r} is drawn: pass rng, a seeded numpy Generator.")
    return _neighbours(_random_regular(n_agents, degree, rng), n_agents)


def read_pairs(edges: Iterable[Any] | Graph, n_agents: int) -> tuple[Pair, ...]:
    """Check pairs of agents, or take them out of a graph.

    Args:
        edges: Pairs, or an object whose ``edges`` are pairs.
        n_agents: Number of agents.

    Returns:
        Each undirected pair once, the smaller number first, in ascending order.

    Raises:
        ConfigurationError: Naming the first pair that is not two different agents; for a directed graph.
    """
    is_directed = getattr(edges, "is_directed", None)
    if is_directed is not None and is_directed():
        raise ConfigurationError("topology is a directed graph: agents reach each other both ways, pass an undirected.")
    found = getattr(edges, "edges", edges)
    found = found() if callable(found) else found
    if not isinstance(found, Iterable):
        raise ConfigurationError(f"topology={edges!r} has no edges: pass a name, pairs of agents or a graph.")
    return tuple(sorted({_pair(edge, n_agents) for edge in found}))


def _pair(edge: Any, n_agents: int) -> Pair:
    ends = tuple(edge) if isinstance(edge, Iterable) and not isinstance(edge, str) else ()
    whole = len(ends) == 2 and all(isinstance(end, int | np.integer) and not isinstance(end, bool) for end in ends)
    if not whole or ends[0] == ends[1] or not all(0 <= end < n_agents for end in ends):
        raise ConfigurationError(
            f"topology has the pair {edge!r}: expected two different agents, numbered from 0 to {n_agents - 1}."
        )
    return int(min(ends)), int(max(ends))


def _complete(n_agents: int) -> list[Pair]:
    return [(one, other) for other in range(n_agents) for one in range(other)]


def _chain(n_agents: int) -> list[Pair]:
    return [(agent, agent + 1) for agent in range(n_agents - 1)]


def _ring(n_agents: int) -> list[Pair]:
    return _chain(n_agents) + ([(0, n_agents - 1)] if n_agents > 2 else [])


def _star(n_agents: int) -> list[Pair]:
    return [(0, agent) for agent in range(1, n_agents)]


def _tree(n_agents: int) -> list[Pair]:
    return [((agent - 1) // 2, agent) for agent in range(1, n_agents)]


def _grid(n_agents: int) -> list[Pair]:
    width = isqrt(n_agents - 1) + 1
    across = [(agent, agent + 1) for agent in range(n_agents - 1) if (agent + 1) % width]
    return across + [(agent, agent + width) for agent in range(n_agents - width)]


def _random_regular(n_agents: int, degree: int, rng: np.random.Generator) -> list[Pair]:
    """Start from a regular graph and exchange the ends of random pairs of edges until it is mixed and connected."""
    if type(degree) is not int or degree < 2 or n_agents * min(degree, n_agents - 1) % 2:
        raise ConfigurationError(
            f"degree={degree!r} with n_agents={n_agents} gives no connected regular graph: expected an integer of at "
            "least 2, and an even one where the number of agents is odd."
        )
    degree = min(degree, n_agents - 1)
    steps = range(1, degree // 2 + 1)
    edges = [_ordered(agent, (agent + step) % n_agents) for agent in range(n_agents) for step in steps]
    if degree % 2:
        edges += [(agent, agent + n_agents // 2) for agent in range(n_agents // 2)]
    present = set(edges)
    while True:
        size = max(len(edges), 1)
        for one, other, crossed in rng.integers(0, (size, size, 2), (_SWAPS_PER_EDGE * len(edges), 3)).tolist():
            (a, b), (c, d) = edges[one], edges[other][:: -1 if crossed else 1]
            first, second = _ordered(a, d), _ordered(c, b)
            if a == d or c == b or first in present or second in present:
                continue
            present -= {edges[one], edges[other]}
            present |= {first, second}
            edges[one], edges[other] = first, second
        if _connected(_neighbours(edges, n_agents)):
            return edges


def _ordered(one: int, other: int) -> Pair:
    return (one, other) if one < other else (other, one)


def _connected(neighbours: Neighbours) -> bool:
    reached, frontier = {0}, [0]
    while frontier:
        fresh = [agent for agent in neighbours[frontier.pop()] if agent not in reached]
        reached.update(fresh)
        frontier += fresh
    return len(reached) == len(neighbours)


def _neighbours(pairs: Iterable[Pair], n_agents: int) -> Neighbours:
    found: list[list[int]] = [[] for _ in range(n_agents)]
    for one, other in pairs:
        found[one].append(other)
        found[other].append(one)
    return tuple(tuple(sorted(others)) for others in found)


@lru_cache(maxsize=64)
def _named(name: str, n_agents: int) -> Neighbours:
    return _neighbours(_NAMED[name](n_agents), n_agents)


_NAMED: Mapping[str, Callable[[int], list[Pair]]] = {
    "complete": _complete,
    "ring": _ring,
    "chain": _chain,
    "star": _star,
    "tree": _tree,
    "grid": _grid,
}
TOPOLOGIES: tuple[str, ...] = (*_NAMED, RANDOM_REGULAR)
"""Every name that :func:`make_topology` knows."""
