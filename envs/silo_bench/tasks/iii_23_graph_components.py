"""III-23: count the connected components of a graph whose edges are scattered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from fogline.envs.silo_bench.tasks.scattered import scattered
from fogline.envs.silo_bench.tasks.task import DataMode, Problem, SiloTask, Wording, dealt, joined


class GraphComponents(SiloTask):
    """Connected components of an undirected graph with 10N nodes, isolated nodes included.

    Source: Silo-Bench, arXiv 2603.01045, appendix E, table 9. Twice as many edges are drawn as there are nodes;
    self-loops are dropped, duplicates kept. Summary: a spanning forest, less than one edge per node. Both data modes
    are the same.
    """

    task_id = "III-23"
    name = "Graph Components"
    items_per_agent = 20
    topology = "all-to-all"

    def generate(self, rng: np.random.Generator, n_agents: int, data: DataMode) -> Problem:
        """Independent draws, which are in random order already."""
        nodes = 10 * n_agents
        draws = rng.integers(nodes, size=(2 * nodes, 2)).tolist()
        return Problem(dealt([edge for edge in draws if edge[0] != edge[1]], n_agents), {"nodes": nodes})

    def solve(self, problem: Problem) -> tuple[Any, ...]:
        """Walk through the graph from every node that no earlier walk has reached."""
        nodes = problem.public["nodes"]
        neighbours: list[list[int]] = [[] for _ in range(nodes)]
        for one, other in joined(problem.shards):
            neighbours[one].append(other)
            neighbours[other].append(one)
        components, reached = 0, [False] * nodes
        for start in range(nodes):
            if reached[start]:
                continue
            components += 1
            reached[start] = True
            ahead = [start]
            while ahead:
                for node in neighbours[ahead.pop()]:
                    if not reached[node]:
                        reached[node] = True
                        ahead.append(node)
        return (components,) * len(problem.shards)

    def local(self, shard: Any, agent: int, public: Mapping[str, Any]) -> Any:
        """A spanning forest of the shard's edges."""
        return spanning_forest(shard)

    def merge(self, left: Any, right: Any) -> Any:
        """A spanning forest of two forests."""
        return spanning_forest(left + right)

    def finalise(self, summary: Any, shard: Any, agent: int, n_agents: int, public: Mapping[str, Any]) -> Any:
        """Every edge of a forest makes one component fewer."""
        return public["nodes"] - len(summary)

    def wording(self, problem: Problem, agent: int) -> Wording:
        """Tells the number of nodes."""
        nodes = problem.public["nodes"]
        return Wording(
            task=f"Count the connected components of an undirected graph with {nodes} nodes, numbered from 0 to "
            f"{nodes - 1}. A node without edges is a component of its own. {scattered(problem, agent, 'edges')} Each "
            "is a pair [node, node]; the same edge may occur more than once.",
            answer="Submit the number of components as a JSON integer, such as 4.",
            algorithm="Of the edges known so far, those that close a cycle can be dropped. What stays is a spanning "
            "forest; two forests merge in the same way. Components = nodes - edges of the forest of all edges.",
        )


def spanning_forest(edges: Iterable[list[int]]) -> list[list[int]]:
    """The edges that join two trees, in the order given; union-find with path halving."""
    # Nodes without an entry are roots. Both walks are written out: this is the slowest merge of all tasks.
    parent: dict[int, int] = {}
    forest = []
    for edge in edges:
        one, other = edge
        while (above := parent.get(one, one)) != one:
            parent[one] = one = parent.get(above, above)
        while (above := parent.get(other, other)) != other:
            parent[other] = other = parent.get(above, above)
        if one != other:
            parent[one] = other
            forest.append(edge)
    return forest
