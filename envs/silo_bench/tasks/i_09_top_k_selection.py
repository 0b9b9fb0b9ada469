"""I-09: the ten largest numbers (Silo-Bench, arXiv 2603.01045, appendix E)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fogline.envs.silo_bench.tasks.blocks import held, random_integers
from fogline.envs.silo_bench.tasks.task import DataMode, Problem, SiloTask, Wording, dealt, joined

K = 10


class TopKSelection(SiloTask):
    """The ten largest of integers from 1 to 1000, descending, repetitions kept. A summary is such a list."""

    task_id = "I-09"
    name = "Top-K Selection"
    items_per_agent = 30

    def generate(self, rng: np.random.Generator, n_agents: int, data: DataMode) -> Problem:
        """Draw 30 numbers per agent."""
        return Problem(dealt(random_integers(rng, 1, 1000, self.items_per_agent * n_agents), n_agents))

    def solve(self, problem: Problem) -> tuple[Any, ...]:
        """Sort all numbers and take the first ten."""
        return (sorted(joined(problem.shards), reverse=True)[:K],) * len(problem.shards)

    def local(self, shard: Any, agent: int, public: Mapping[str, Any]) -> Any:
        """The ten largest of the shard."""
        return sorted(shard, reverse=True)[:K]

    def merge(self, left: Any, right: Any) -> Any:
        """The ten largest of both."""
        return sorted([*left, *right], reverse=True)[:K]

    def finalise(self, summary: Any, shard: Any, agent: int, n_agents: int, public: Mapping[str, Any]) -> Any:
        """The ten numbers themselves."""
        return summary

    def wording(self, problem: Problem, agent: int) -> Wording:
        """The task in words."""
        return Wording(
            task=f"Find the {K} largest numbers of a list; a number that occurs several times counts as often. "
            + held(problem, agent, "numbers"),
            answer=f"Submit the {K} largest numbers of the whole list, largest first, repetitions kept, as a JSON "
            f"array of {K} integers.",
            algorithm=f"A number among the {K} largest of all is among the {K} largest of its block: unite the blocks' "
            f"own lists and keep the {K} largest.",
        )
