"""I-08: how many different values there are (Silo-Bench, arXiv 2603.01045, appendix E)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fogline.envs.silo_bench.tasks.blocks import held, random_integers
from fogline.envs.silo_bench.tasks.task import DataMode, Problem, SiloTask, Wording, dealt


class SetUnionSize(SiloTask):
    """The number of distinct values among T integers below T / 2. A summary is an ascending list of distinct values."""

    task_id = "I-08"
    name = "Set Union Size"
    items_per_agent = 30

    def generate(self, rng: np.random.Generator, n_agents: int, data: DataMode) -> Problem:
        """Draw 30 numbers per agent from half as many values as there are numbers."""
        size = self.items_per_agent * n_agents
        return Problem(dealt(random_integers(rng, 0, size // 2 - 1, size), n_agents))

    def solve(self, problem: Problem) -> tuple[Any, ...]:
        """Count the union of all shards."""
        return (len(set().union(*problem.shards)),) * len(problem.shards)

    def local(self, shard: Any, agent: int, public: Mapping[str, Any]) -> Any:
        """Distinct values of the shard."""
        return sorted(set(shard))

    def merge(self, left: Any, right: Any) -> Any:
        """Union of the two."""
        return sorted({*left, *right})

    def finalise(self, summary: Any, shard: Any, agent: int, n_agents: int, public: Mapping[str, Any]) -> Any:
        """Size of the union."""
        return len(summary)

    def wording(self, problem: Problem, agent: int) -> Wording:
        """The task in words."""
        return Wording(
            task="Count the different values of a list; a value that occurs in several blocks counts once. "
            + held(problem, agent, "numbers"),
            answer="Submit the number of different values of the whole list as a JSON integer, such as 17.",
            algorithm="Counts of blocks do not add up, because blocks share values: unite the sets, then count.",
        )
