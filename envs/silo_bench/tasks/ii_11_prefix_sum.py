"""II-11: running totals (Silo-Bench, arXiv 2603.01045, appendix E)."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate
from typing import Any

import numpy as np

from fogline.envs.silo_bench.tasks.blocks import held, random_integers, segments
from fogline.envs.silo_bench.tasks.task import DataMode, Problem, SiloTask, Wording, dealt, joined


class PrefixSum(SiloTask):
    """Inclusive cumulative sums of integers from 1 to 50; each agent answers for its block. A summary is a sum."""

    task_id = "II-11"
    name = "Prefix Sum"
    items_per_agent = 15
    segmented = True
    scope = "prefix"
    topology = "chain"

    def generate(self, rng: np.random.Generator, n_agents: int, data: DataMode) -> Problem:
        """Draw 15 numbers per agent."""
        return Problem(dealt(random_integers(rng, 1, 50, self.items_per_agent * n_agents), n_agents))

    def solve(self, problem: Problem) -> tuple[Any, ...]:
        """Accumulate all numbers and cut."""
        return segments(list(accumulate(joined(problem.shards))), problem)

    def local(self, shard: Any, agent: int, public: Mapping[str, Any]) -> Any:
        """Sum of the shard."""
        return sum(shard)

    def merge(self, left: Any, right: Any) -> Any:
        """Their sum."""
        return left + right

    def finalise(self, summary: Any, shard: Any, agent: int, n_agents: int, public: Mapping[str, Any]) -> Any:
        """Accumulate the shard on top of what comes before it."""
        return list(accumulate(shard, initial=summary - sum(shard)))[1:]

    def wording(self, problem: Problem, agent: int) -> Wording:
        """The task in words."""
        return Wording(
            task="Compute the running totals of a list: the total at a position is the sum of all numbers of the whole "
            "list up to that position, its own included. " + held(problem, agent, "numbers"),
            answer="Submit the running totals at the positions that you hold, and only these, in order, as a JSON "
            "array of integers.",
            algorithm="A running total is the sum of all blocks before, plus the running total within the block.",
        )
