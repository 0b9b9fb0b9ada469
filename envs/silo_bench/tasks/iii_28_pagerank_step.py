"""III-28: one step of PageRank over a graph whose edges are scattered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fogline.envs.silo_bench.tasks.scattered import scattered
from fogline.envs.silo_bench.tasks.task import DataMode, Problem, SiloTask, Wording, dealt, joined


class PageRankStep(SiloTask):
    """One PageRank step from the uniform start, damping 0.85, over a directed graph with n = 8N nodes.

    new(v) = (1 - d) / n + d · Σ over edges u → v of (1 / n) / outdegree(u); what nodes without outgoing edges hold is
    dropped. Source: Silo-Bench, arXiv 2603.01045, appendix E, table 9. Twice as many edges are drawn as there are
    nodes; self-loops and repeated edges are dropped. Ranks are rounded to six decimals, which the release does not
    tell its agents. Summary: the edges. Both data modes are the same.
    """

    task_id = "III-28"
    name = "PageRank Step"
    items_per_agent = 16
    topology = "all-to-all"
    tolerance = 1e-5
    damping = 0.85

    def generate(self, rng: np.random.Generator, n_agents: int, data: DataMode) -> Problem:
        """Independent draws, of which the first of its kind stays; they are in random order already."""
        nodes = 8 * n_agents
        draws = rng.integers(nodes, size=(2 * nodes, 2)).tolist()
        edges = dict.fromkeys((source, target) for source, target in draws if source != target)
        return Problem(dealt([list(edge) for edge in edges], n_agents), {"nodes": nodes, "damping": self.damping})

    def solve(self, problem: Problem) -> tuple[Any, ...]:
        """One step over all edges."""
        return (_ranks(joined(problem.shards), problem.public),) * len(problem.shards)

    def local(self, shard: Any, agent: int, public: Mapping[str, Any]) -> Any:
        """The edges."""
        return shard

    def merge(self, left: Any, right: Any) -> Any:
        """All edges of both."""
        return left + right

    def finalise(self, summary: Any, shard: Any, agent: int, n_agents: int, public: Mapping[str, Any]) -> Any:
        """One step over all edges."""
        return _ranks(summary, public)

    def wording(self, problem: Problem, agent: int) -> Wording:
        """Tells the formula, the number of nodes, the rounding and the encoding."""
        nodes, damping = problem.public["nodes"], problem.public["damping"]
        return Wording(
            task=f"Carry out one step of PageRank on a directed graph with n = {nodes} nodes, numbered from 0 to "
            f"{nodes - 1}, from rank 1/n for every node, with damping d = {damping}: the new rank of v is (1 - d)/n "
            "plus d times the sum, over all edges [u, v] into v, of (1/n) / (number of edges that leave u). The rank "
            f"of a node that no edge leaves is passed on to nobody. {scattered(problem, agent, 'edges')} Each is a "
            "pair [u, v] that leads from u to v; none occurs twice.",
            answer=f"Submit a JSON object with all {nodes} nodes as keys (strings) and their new ranks as values, "
            'rounded to 6 decimals, in any order, such as {"0": 0.01875, "1": 0.125}.',
            algorithm="The numbers of edges that leave each node add up over shards and have to be complete first. "
            "Then each edge contributes its part to the node it leads to, and these contributions add up as well.",
        )


def _ranks(edges: Sequence[Sequence[int]], public: Mapping[str, Any]) -> dict[str, float]:
    nodes, damping = public["nodes"], public["damping"]
    out_degree = [0] * nodes
    for source, _ in edges:
        out_degree[source] += 1
    received = [0.0] * nodes
    for source, target in edges:
        received[target] += 1.0 / out_degree[source]
    return {str(node): round((1.0 - damping + damping * share) / nodes, 6) for node, share in enumerate(received)}
