"""III-22: the upper median of everybody's numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fogline.envs.silo_bench.tasks.scattered import scattered
from fogline.envs.silo_bench.tasks.task import DataMode, Problem, SiloTask, Wording, dealt, joined


class MedianOfMedians(SiloTask):
    """The element at position T // 2, counted from 0, of all T = 25N integers from 1 to 1000 in ascending order.

    Source: Silo-Bench, arXiv 2603.01045, appendix E, table 9. It is the median of all values; the medians of the
    shards do not determine it. Summary: the sorted shard. Both data modes are the same.
    """

    task_id = "III-22"
    name = "Median of Medians"
    items_per_agent = 25

    def generate(self, rng: np.random.Generator, n_agents: int, data: DataMode) -> Problem:
        """Independent draws, which are in random order already."""
        values = rng.integers(1, 1001, size=self.items_per_agent * n_agents).tolist()
        return Problem(dealt(values, n_agents), {"total": len(values)})

    def solve(self, problem: Problem) -> tuple[Any, ...]:
        """Sort everything, take the middle."""
        values = sorted(joined(problem.shards))
        return (values[len(values) // 2],) * len(problem.shards)

    def local(self, shard: Any, agent: int, public: Mapping[str, Any]) -> Any:
        """The shard, sorted."""
        return sorted(shard)

    def merge(self, left: Any, right: Any) -> Any:
        """Merge two sorted lists."""
        return sorted(left + right)

    def finalise(self, summary: Any, shard: Any, agent: int, n_agents: int, public: Mapping[str, Any]) -> Any:
        """The middle of the sorted whole."""
        return summary[len(summary) // 2]

    def wording(self, problem: Problem, agent: int) -> Wording:
        """Names the position."""
        total = len(joined(problem.shards))
        return Wording(
            task=f"Find the median of a list of {total} integers: the one at position {total // 2}, counted from 0, "
            f"when all are in ascending order, repeated values included. {scattered(problem, agent, 'integers')}",
            answer="Submit the median as a JSON integer, such as 17.",
            algorithm="Sorted lists merge. Or narrow the range of values: add up over all shards how many integers lie "
            "at or below a candidate, and move the candidate until the position is hit. The medians of the shards do "
            "not decide it.",
        )
