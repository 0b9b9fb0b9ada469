"""II-17: differences of consecutive numbers (Silo-Bench, arXiv 2603.01045, appendix E)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from fogline.envs.silo_bench.tasks.blocks import held, random_integers, total
from fogline.envs.silo_bench.tasks.task import DataMode, Problem, SiloTask, Wording, dealt, joined


class DiffArray(SiloTask):
    """Each integer from 1 to 100 less the one before it. A summary is the numbers."""

    task_id = "II-17"
    name = "Diff Array"
    items_per_agent = 15
    topology = "chain"

    def generate(self, rng: np.random.Generator, n_agents: int, data: DataMode) -> Problem:
        """Draw 15 numbers per agent."""
        return Problem(dealt(random_integers(rng, 1, 100, self.items_per_agent * n_agents), n_agents))

    def solve(self, problem: Problem) -> tuple[Any, ...]:
        """Subtract over the whole list."""
        return (differences(joined(problem.shards)),) * len(problem.shards)

    def local(self, shard: Any, agent: int, public: Mapping[str, Any]) -> Any:
        """The shard itself."""
        return list(shard)

    def merge(self, left: Any, right: Any) -> Any:
        """One after the other."""
        return [*left, *right]

    def finalise(self, summary: Any, shard: Any, agent: int, n_agents: int, public: Mapping[str, Any]) -> Any:
        """Subtract over the whole list."""
        return differences(summary)

    def wording(self, problem: Problem, agent: int) -> Wording:
        """The task in words."""
        size = total(problem)
        return Wording(
            task="Compute the differences of a list: at each position but the first, the number there minus the number "
            "before it, across the borders of blocks too. " + held(problem, agent, "numbers"),
            answer=f"Submit the differences at positions 1 to {size - 1} of the whole list, in order, as a JSON array "
            f"of {size - 1} integers.",
            algorithm="Inside a block the differences need nothing else; at its start one needs the last number of the "
            "block before. The differences of all blocks, in order, are the answer.",
        )


def differences(numbers: Sequence[int]) -> list[int]:
    """Each number less the one before it."""
    return [here - before for before, here in pairwise(numbers)]
