"""I-07: the mean of all numbers (Silo-Bench, arXiv 2603.01045, appendix E)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from fogline.envs.silo_bench.tasks.blocks import held
from fogline.envs.silo_bench.tasks.task import DataMode, Problem, SiloTask, Wording, dealt, joined


class AverageValue(SiloTask):
    """The mean of numbers between 0 and 100, to two decimals. A summary is ``[sum, count]``."""

    task_id = "I-07"
    name = "Average Value"
    items_per_agent = 25
    tolerance = 0.01

    def generate(self, rng: np.random.Generator, n_agents: int, data: DataMode) -> Problem:
        """Draw 25 numbers per agent."""
        return Problem(dealt(rng.uniform(0, 100, size=self.items_per_agent * n_agents).tolist(), n_agents))

    def solve(self, problem: Problem) -> tuple[Any, ...]:
        """Average over all shards."""
        numbers = joined(problem.shards)
        return (round(math.fsum(numbers) / len(numbers), 2),) * len(problem.shards)

    def local(self, shard: Any, agent: int, public: Mapping[str, Any]) -> Any:
        """Sum and count of the shard."""
        return [math.fsum(shard), len(shard)]

    def merge(self, left: Any, right: Any) -> Any:
        """Both added up."""
        return [left[0] + right[0], left[1] + right[1]]

    def finalise(self, summary: Any, shard: Any, agent: int, n_agents: int, public: Mapping[str, Any]) -> Any:
        """Sum by count, rounded."""
        return round(summary[0] / summary[1], 2)

    def wording(self, problem: Problem, agent: int) -> Wording:
        """The task in words."""
        return Wording(
            task="Compute the mean of all numbers of a list. " + held(problem, agent, "numbers"),
            answer="Submit the mean over the whole list, rounded to 2 decimals, as a JSON number, such as 17.25.",
            algorithm="Sums and counts add up over blocks, unrounded; the mean is the total sum by the total count.",
        )
