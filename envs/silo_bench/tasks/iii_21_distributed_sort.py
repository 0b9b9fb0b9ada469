"""III-21: sort everybody's numbers; each agent answers for its own block of ranks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fogline.envs.silo_bench.tasks.scattered import scattered
from fogline.envs.silo_bench.tasks.task import DataMode, Problem, SiloTask, Wording, dealt, joined


class DistributedSort(SiloTask):
    """Sort 20N integers from 1 to 1000; agent i submits ranks 20i to 20i + 19 of the ascending order.

    Source: Silo-Bench, arXiv 2603.01045, appendix E, table 9. The text there asks for the whole sequence, figure 1
    and the released code for segments; segments it is. Summary: the sorted shard. Both data modes are the same.
    """

    task_id = "III-21"
    name = "Distributed Sort"
    items_per_agent = 20
    segmented = True
    topology = "all-to-all"

    def generate(self, rng: np.random.Generator, n_agents: int, data: DataMode) -> Problem:
        """Independent draws, which are in random order already."""
        values = rng.integers(1, 1001, size=self.items_per_agent * n_agents).tolist()
        return Problem(dealt(values, n_agents), {"total": len(values)})

    def solve(self, problem: Problem) -> tuple[Any, ...]:
        """Sort everything, cut into equal segments."""
        return dealt(sorted(joined(problem.shards)), len(problem.shards))

    def local(self, shard: Any, agent: int, public: Mapping[str, Any]) -> Any:
        """The shard, sorted."""
        return sorted(shard)

    def merge(self, left: Any, right: Any) -> Any:
        """Merge two sorted lists."""
        return sorted(left + right)

    def finalise(self, summary: Any, shard: Any, agent: int, n_agents: int, public: Mapping[str, Any]) -> Any:
        """The agent's segment of the sorted whole."""
        return dealt(summary, n_agents)[agent]

    def wording(self, problem: Problem, agent: int) -> Wording:
        """Names the ranks that the agent answers for."""
        total = len(joined(problem.shards))
        segment = dealt(range(total), len(problem.shards))[agent]
        return Wording(
            task=f"Put a list of {total} integers into ascending order, repeated values included. "
            f"{scattered(problem, agent, 'integers')} You answer for ranks {segment[0]} to {segment[-1]} of the order "
            "of the whole list, counted from 0, whoever holds the integers at these ranks now.",
            answer=f"Submit a JSON list of the {len(segment)} integers at your ranks, in ascending order, such as "
            "[3, 3, 8].",
            algorithm="Sorted lists merge into longer sorted lists. Once it is known how many integers of all shards "
            "lie below some splitting values, the integers between two of these can be sorted apart from the others.",
        )
