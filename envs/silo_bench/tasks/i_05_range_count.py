"""I-05: how many numbers lie in a range (Silo-Bench, arXiv 2603.01045, appendix E)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fogline.envs.silo_bench.tasks.blocks import held, random_integers
from fogline.envs.silo_bench.tasks.task import DataMode, Problem, SiloTask, Wording, dealt

LOWEST, HIGHEST = 100, 500


class RangeCount(SiloTask):
    """Numbers from 100 to 500, both included, among integers from 0 to 1000. A summary is a count."""

    task_id = "I-05"
    name = "Range Count"
    items_per_agent = 30

    def generate(self, rng: np.random.Generator, n_agents: int, data: DataMode) -> Problem:
        """Draw 30 numbers per agent."""
        return Problem(dealt(random_integers(rng, 0, 1000, self.items_per_agent * n_agents), n_agents))

    def solve(self, problem: Problem) -> tuple[Any, ...]:
        """Count over all shards."""
        count = sum(LOWEST <= number <= HIGHEST for shard in problem.shards for number in shard)
        return (count,) * len(problem.shards)

    def local(self, shard: Any, agent: int, public: Mapping[str, Any]) -> Any:
        """Count in the shard."""
        return sum(LOWEST <= number <= HIGHEST for number in shard)

    def merge(self, left: Any, right: Any) -> Any:
        """Their sum."""
        return left + right

    def finalise(self, summary: Any, shard: Any, agent: int, n_agents: int, public: Mapping[str, Any]) -> Any:
        """The count itself."""
        return summary

    def wording(self, problem: Problem, agent: int) -> Wording:
        """The task in words."""
        return Wording(
            task=f"Count the numbers of a list that are at least {LOWEST} and at most {HIGHEST}. "
            + held(problem, agent, "numbers"),
            answer="Submit the count over the whole list as a JSON integer, such as 17.",
            algorithm="The count over several blocks is the sum of the blocks' own counts.",
        )
