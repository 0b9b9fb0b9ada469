"""III-26: how many different values there are among everybody's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fogline.envs.silo_bench.tasks.scattered import scattered
from fogline.envs.silo_bench.tasks.task import DataMode, Problem, SiloTask, Wording, dealt, joined


class GlobalDistinct(SiloTask):
    """The number of distinct values among T = 30N integers from 0 to T / 2 - 1.

    Source: Silo-Bench, arXiv 2603.01045, appendix E, table 9. Summary: the shard's set of values as a sorted list.
    Both data modes are the same.
    """

    task_id = "III-26"
    name = "Global Distinct"
    items_per_agent = 30
    topology = "all-to-all"

    def generate(self, rng: np.random.Generator, n_agents: int, data: DataMode) -> Problem:
        """Independent draws, which are in random order already."""
        total = self.items_per_agent * n_agents
        return Problem(dealt(rng.integers(total // 2, size=total).tolist(), n_agents))

    def solve(self, problem: Problem) -> tuple[Any, ...]:
        """Size of the set of all values."""
        return (len(set(joined(problem.shards))),) * len(problem.shards)

    def local(self, shard: Any, agent: int, public: Mapping[str, Any]) -> Any:
        """The set, as a sorted list."""
        return sorted(set(shard))

    def merge(self, left: Any, right: Any) -> Any:
        """The union, as a sorted list."""
        return sorted({*left, *right})

    def finalise(self, summary: Any, shard: Any, agent: int, n_agents: int, public: Mapping[str, Any]) -> Any:
        """Size of the union."""
        return len(summary)

    def wording(self, problem: Problem, agent: int) -> Wording:
        """Says that a value counts once over all shards."""
        return Wording(
            task=f"Count the different values in a list of {len(joined(problem.shards))} integers; a value that "
            f"several agents hold counts once. {scattered(problem, agent, 'integers')}",
            answer="Submit the number of different values as a JSON integer, such as 42.",
            algorithm="Sets of values merge by union. Or split the range of values into parts: equal values fall into "
            "the same part, so that the counts of the parts add up.",
        )
