"""I-06: a checksum by exclusive or (Silo-Bench, arXiv 2603.01045, appendix E)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from operator import xor
from typing import Any

import numpy as np

from fogline.envs.silo_bench.tasks.blocks import held, random_integers
from fogline.envs.silo_bench.tasks.task import DataMode, Problem, SiloTask, Wording, dealt, joined


class Checksum(SiloTask):
    """The exclusive or of bytes. A summary is such a byte."""

    task_id = "I-06"
    name = "Checksum (XOR)"
    items_per_agent = 20

    def generate(self, rng: np.random.Generator, n_agents: int, data: DataMode) -> Problem:
        """Draw 20 bytes per agent."""
        return Problem(dealt(random_integers(rng, 0, 255, self.items_per_agent * n_agents), n_agents))

    def solve(self, problem: Problem) -> tuple[Any, ...]:
        """Combine all bytes."""
        return (reduce(xor, joined(problem.shards)),) * len(problem.shards)

    def local(self, shard: Any, agent: int, public: Mapping[str, Any]) -> Any:
        """Checksum of the shard."""
        return reduce(xor, shard)

    def merge(self, left: Any, right: Any) -> Any:
        """Exclusive or of the two."""
        return left ^ right

    def finalise(self, summary: Any, shard: Any, agent: int, n_agents: int, public: Mapping[str, Any]) -> Any:
        """The checksum itself."""
        return summary

    def wording(self, problem: Problem, agent: int) -> Wording:
        """The task in words."""
        return Wording(
            task="Compute the bitwise exclusive or (XOR) of all numbers of a list; each is from 0 to 255. "
            + held(problem, agent, "numbers"),
            answer="Submit the XOR over the whole list as a decimal JSON integer from 0 to 255, such as 17.",
            algorithm="The XOR over several blocks is the XOR of the blocks' own results; every block counts once.",
        )
