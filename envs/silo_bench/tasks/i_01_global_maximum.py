"""I-01: the largest of all numbers (Silo-Bench, arXiv 2603.01045, appendix E)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fogline.envs.silo_bench.tasks.blocks import held, random_integers
from fogline.envs.silo_bench.tasks.task import DataMode, Problem, SiloTask, Wording, dealt


class GlobalMaximum(SiloTask):
    """The maximum of integers from -1000 to 1000. A summary is a maximum."""

    task_id = "I-01"
    name = "Global Maximum"
    items_per_agent = 20

    def generate(self, rng: np.random.Generator, n_agents: int, data: DataMode) -> Problem:
        """Draw 20 numbers per agent."""
        return Problem(dealt(random_integers(rng, -1000, 1000, self.items_per_agent * n_agents), n_agents))

    def solve(self, problem: Problem) -> tuple[Any, ...]:
        """Take the maximum over all shards."""
        return (max(max(shard) for shard in problem.shards),) * len(problem.shards)

    def local(self, shard: Any, agent: int, public: Mapping[str, Any]) -> Any:
        """Maximum of the shard."""
        return max(shard)

    def merge(self, left: Any, right: Any) -> Any:
        """The larger of the two."""
        return max(left, right)

    def finalise(self, summary: Any, shard: Any, agent: int, n_agents: int, public: Mapping[str, Any]) -> Any:
        """The maximum itself."""
        return summary

    def wording(self, problem: Problem, agent: int) -> Wording:
        """The task in words."""
        return Wording(
            task="Find the largest number of a list. " + held(problem, agent, "numbers"),
            answer="Submit the largest number of the whole list as a JSON integer, such as 17.",
            algorithm="The largest number of several blocks is the largest of the blocks' own largest numbers.",
        )
