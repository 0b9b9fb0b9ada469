"""II-18: ranks in a linked list (Silo-Bench, arXiv 2603.01045, appendix E)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from fogline.envs.silo_bench.tasks.blocks import total
from fogline.envs.silo_bench.tasks.task import DataMode, Problem, SiloTask, Wording, dealt, joined

END = -1


class ListRanking(SiloTask):
    """The distance of every node from the head of one linked list. A summary is ``[id, next]`` pairs.

    Nodes are dealt at random. Filed under level II as published, yet a node's successor may lie with any agent.
    """

    task_id = "II-18"
    name = "List Ranking"
    items_per_agent = 8
    topology = "all-to-all"

    def generate(self, rng: np.random.Generator, n_agents: int, data: DataMode) -> Problem:
        """Link eight nodes per agent in random order, shuffle and deal them."""
        size = self.items_per_agent * n_agents
        order = rng.permutation(size).tolist()
        nodes = [{"id": node, "next": after} for node, after in zip(order, [*order[1:], END], strict=True)]
        return Problem(dealt([nodes[index] for index in rng.permutation(size).tolist()], n_agents))

    def solve(self, problem: Problem) -> tuple[Any, ...]:
        """Follow the whole list."""
        return (ranks((node["id"], node["next"]) for node in joined(problem.shards)),) * len(problem.shards)

    def local(self, shard: Any, agent: int, public: Mapping[str, Any]) -> Any:
        """Pairs of the shard."""
        return [[node["id"], node["next"]] for node in shard]

    def merge(self, left: Any, right: Any) -> Any:
        """Pairs of both."""
        return [*left, *right]

    def finalise(self, summary: Any, shard: Any, agent: int, n_agents: int, public: Mapping[str, Any]) -> Any:
        """Follow the whole list."""
        return ranks(summary)

    def wording(self, problem: Problem, agent: int) -> Wording:
        """The task in words."""
        size, own = total(problem), len(problem.shards[agent])
        nodes = f"all {own} nodes" if own == size else f"{own} of its {size} nodes, dealt at random"
        return Wording(
            task="Find the rank of every node of one linked list. A node has an id and the id of the next node; the "
            f"next of the last node is {END}. The head, which is the next of no node, has rank 0, the node after it "
            f"rank 1, and so on. You hold {nodes}; ids are 0 to {size - 1}.",
            answer=f"Submit the ranks of all {size} nodes as a JSON object from id (as a string) to rank (an integer), "
            'such as {"0": 2, "1": 0, "2": 1} for three nodes.',
            algorithm="Pairs of a node and its next join into pieces wherever one piece ends with the node that "
            "another begins with. Once the pieces of all blocks are joined, counting from the head gives the ranks.",
        )


def ranks(pairs: Iterable[tuple[int, int]]) -> dict[str, int]:
    """Rank of each node of the one list that ``(id, next)`` pairs form."""
    successor = dict(pairs)
    (node,) = successor.keys() - successor.values()
    rank: dict[str, int] = {}
    while node != END:
        rank[str(node)] = len(rank)
        node = successor[node]
    return rank
