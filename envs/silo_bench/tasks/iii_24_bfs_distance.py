"""III-24: distances from one node of a graph whose edges are scattered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from fogline.envs.silo_bench.tasks.scattered import scattered
from fogline.envs.silo_bench.tasks.task import DataMode, Problem, SiloTask, Wording, dealt, joined


class BFSDistance(SiloTask):
    """Number of edges from node 0 to each of 8N nodes of an undirected graph, -1 where there is no path.

    Source: Silo-Bench, arXiv 2603.01045, appendix E, table 9. Twice as many edges are drawn as there are nodes;
    self-loops and repeated edges are dropped. Summary: the edges. Both data modes are the same.
    """

    task_id = "III-24"
    name = "BFS Distance"
    items_per_agent = 16
    topology = "all-to-all"

    def generate(self, rng: np.random.Generator, n_agents: int, data: DataMode) -> Problem:
        """Independent draws, of which the first of its kind stays; they are in random order already."""
        nodes = 8 * n_agents
        edges: dict[tuple[int, int], list[int]] = {}
        for one, other in rng.integers(nodes, size=(2 * nodes, 2)).tolist():
            if one != other:
                edges.setdefault((min(one, other), max(one, other)), [one, other])
        return Problem(dealt(list(edges.values()), n_agents), {"nodes": nodes, "source": 0})

    def solve(self, problem: Problem) -> tuple[Any, ...]:
        """Breadth-first search over all edges."""
        distances = _distances(joined(problem.shards), problem.public)
        return (distances,) * len(problem.shards)

    def local(self, shard: Any, agent: int, public: Mapping[str, Any]) -> Any:
        """The edges."""
        return shard

    def merge(self, left: Any, right: Any) -> Any:
        """All edges of both."""
        return left + right

    def finalise(self, summary: Any, shard: Any, agent: int, n_agents: int, public: Mapping[str, Any]) -> Any:
        """Breadth-first search."""
        return _distances(summary, public)

    def wording(self, problem: Problem, agent: int) -> Wording:
        """Tells the number of nodes and the encoding."""
        nodes = problem.public["nodes"]
        return Wording(
            task=f"In an undirected graph with {nodes} nodes, numbered from 0 to {nodes - 1}, find the distance of "
            "every node from node 0: the least number of edges on a path between the two. Node 0 has distance 0, a "
            f"node that no path reaches has -1. {scattered(problem, agent, 'edges')} Each is a pair [node, node].",
            answer=f"Submit a JSON object with all {nodes} nodes as keys (strings) and their distances as values "
            '(integers), in any order, such as {"0": 0, "1": 2, "2": -1}.',
            algorithm="Level by level: the edges of the nodes at distance d lead to those at distance d + 1 that were "
            "not reached before. The edges of one node may lie in several shards.",
        )


def _distances(edges: Iterable[list[int]], public: Mapping[str, Any]) -> dict[str, int]:
    neighbours: list[list[int]] = [[] for _ in range(public["nodes"])]
    for one, other in edges:
        neighbours[one].append(other)
        neighbours[other].append(one)
    distance = [-1] * len(neighbours)
    distance[public["source"]] = 0
    # A list that grows while it is read is the queue.
    queue = [public["source"]]
    for node in queue:
        for neighbour in neighbours[node]:
            if distance[neighbour] < 0:
                distance[neighbour] = distance[node] + 1
                queue.append(neighbour)
    return {str(node): value for node, value in enumerate(distance)}
