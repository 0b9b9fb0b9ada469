"""II-19: removing repetitions from a sorted list (Silo-Bench, arXiv 2603.01045, appendix E)."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from typing import Any

import numpy as np

from fogline.envs.silo_bench.tasks.blocks import held, random_integers
from fogline.envs.silo_bench.tasks.task import DataMode, Problem, SiloTask, Wording, dealt, joined


class MergeNeighbors(SiloTask):
    """A sorted list of integers from 1 to 50 with every run of equals reduced to one. A summary is such a list."""

    task_id = "II-19"
    name = "Merge Neighbors"
    items_per_agent = 15
    topology = "both ways"

    def generate(self, rng: np.random.Generator, n_agents: int, data: DataMode) -> Problem:
        """Draw 15 numbers per agent and sort them all."""
        return Problem(dealt(sorted(random_integers(rng, 1, 50, self.items_per_agent * n_agents)), n_agents))

    def solve(self, problem: Problem) -> tuple[Any, ...]:
        """Reduce the whole list."""
        return ([number for number, _ in groupby(joined(problem.shards))],) * len(problem.shards)

    def local(self, shard: Any, agent: int, public: Mapping[str, Any]) -> Any:
        """The shard reduced."""
        return [number for number, _ in groupby(shard)]

    def merge(self, left: Any, right: Any) -> Any:
        """One after the other, a number on both sides of the border once."""
        return [*left, *(right[1:] if left[-1] == right[0] else right)]

    def finalise(self, summary: Any, shard: Any, agent: int, n_agents: int, public: Mapping[str, Any]) -> Any:
        """The reduced list itself."""
        return summary

    def wording(self, problem: Problem, agent: int) -> Wording:
        """The task in words."""
        return Wording(
            task="A list is sorted in ascending order, across blocks too. Reduce every run of equal numbers to one; a "
            "run may span blocks. " + held(problem, agent, "numbers"),
            answer="Submit the reduced list of all numbers, ascending, as a JSON array of integers.",
            algorithm="Reduce each block; where a block begins with the number that the block before ends with, drop "
            "it once. The blocks, in order, are the answer.",
        )
