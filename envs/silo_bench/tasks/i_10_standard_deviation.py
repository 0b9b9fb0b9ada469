"""I-10: the standard deviation of all numbers (Silo-Bench, arXiv 2603.01045, appendix E)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from fogline.envs.silo_bench.tasks.blocks import held
from fogline.envs.silo_bench.tasks.task import DataMode, Problem, SiloTask, Wording, dealt, joined


class StandardDeviation(SiloTask):
    """The population standard deviation of numbers between 0 and 100, to two decimals.

    A summary is ``[count, mean, M2]`` with M2 the sum of squared deviations from the mean. Such triples merge (Chan,
    Golub and LeVeque, "Algorithms for Computing the Sample Variance", The American Statistician 37, 1983), so one pass
    over the agents suffices where the published task takes two, one for the mean and one for the variance.
    """

    task_id = "I-10"
    name = "Standard Deviation"
    items_per_agent = 30
    tolerance = 0.01

    def generate(self, rng: np.random.Generator, n_agents: int, data: DataMode) -> Problem:
        """Draw 30 numbers per agent."""
        return Problem(dealt(rng.uniform(0, 100, size=self.items_per_agent * n_agents).tolist(), n_agents))

    def solve(self, problem: Problem) -> tuple[Any, ...]:
        """Deviations of all numbers from their mean."""
        numbers = joined(problem.shards)
        _, _, squares = moments(numbers)
        return (round(math.sqrt(squares / len(numbers)), 2),) * len(problem.shards)

    def local(self, shard: Any, agent: int, public: Mapping[str, Any]) -> Any:
        """Count, mean and M2 of the shard."""
        return moments(shard)

    def merge(self, left: Any, right: Any) -> Any:
        """Count, mean and M2 of both together."""
        count = left[0] + right[0]
        difference = right[1] - left[1]
        mean = left[1] + difference * right[0] / count
        return [count, mean, left[2] + right[2] + difference * difference * left[0] * right[0] / count]

    def finalise(self, summary: Any, shard: Any, agent: int, n_agents: int, public: Mapping[str, Any]) -> Any:
        """Root of M2 by count, rounded."""
        return round(math.sqrt(summary[2] / summary[0]), 2)

    def wording(self, problem: Problem, agent: int) -> Wording:
        """The task in words."""
        return Wording(
            task="Compute the population standard deviation of all numbers of a list: the square root of the mean "
            "squared deviation from the mean of the whole list, dividing by the count and not by the count less one. "
            + held(problem, agent, "numbers"),
            answer="Submit the standard deviation over the whole list, rounded to 2 decimals, as a JSON number, such "
            "as 17.25.",
            algorithm="Counts, sums and sums of squares add up over blocks, unrounded; the variance is the mean square "
            "less the squared mean. Standard deviations of blocks neither add up nor average.",
        )


def moments(numbers: list[float]) -> list[float]:
    """Count, mean and sum of squared deviations from the mean."""
    mean = math.fsum(numbers) / len(numbers)
    return [len(numbers), mean, math.fsum([(number - mean) ** 2 for number in numbers])]
