"""II-12: moving averages (Silo-Bench, arXiv 2603.01045, appendix E)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fogline.envs.silo_bench.tasks.blocks import held, random_integers, total
from fogline.envs.silo_bench.tasks.task import DataMode, Problem, SiloTask, Wording, dealt, joined


class MovingAverage(SiloTask):
    """Means of three consecutive integers from 1 to 100, to two decimals. A summary is the numbers."""

    task_id = "II-12"
    name = "Moving Average"
    items_per_agent = 15
    topology = "both ways"
    tolerance = 0.01

    def generate(self, rng: np.random.Generator, n_agents: int, data: DataMode) -> Problem:
        """Draw 15 numbers per agent."""
        return Problem(dealt(random_integers(rng, 1, 100, self.items_per_agent * n_agents), n_agents))

    def solve(self, problem: Problem) -> tuple[Any, ...]:
        """Average over the whole list."""
        return (moving_averages(joined(problem.shards)),) * len(problem.shards)

    def local(self, shard: Any, agent: int, public: Mapping[str, Any]) -> Any:
        """The shard itself."""
        return list(shard)

    def merge(self, left: Any, right: Any) -> Any:
        """One after the other."""
        return [*left, *right]

    def finalise(self, summary: Any, shard: Any, agent: int, n_agents: int, public: Mapping[str, Any]) -> Any:
        """Average over the whole list."""
        return moving_averages(summary)

    def wording(self, problem: Problem, agent: int) -> Wording:
        """The task in words."""
        size = total(problem)
        return Wording(
            task="Compute the moving averages of a list: at each position but the first and the last, the mean of the "
            "number before, the number there and the number after, across the borders of blocks too. "
            + held(problem, agent, "numbers"),
            answer=f"Submit the averages at positions 1 to {size - 2} of the whole list, in order, each rounded to 2 "
            f"decimals, as a JSON array of {size - 2} numbers.",
            algorithm="Inside a block the averages need nothing else; at its two ends they need one number from each "
            "block beside it. The averages of all blocks, in order, are the answer.",
        )


def moving_averages(numbers: Sequence[int]) -> list[float]:
    """Means of every three consecutive numbers, to two decimals."""
    return [
        round((before + here + after) / 3, 2)
        for before, here, after in zip(numbers, numbers[1:], numbers[2:], strict=False)
    ]
