"""I-02: how often one word occurs (Silo-Bench, arXiv 2603.01045, appendix E)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fogline.envs.silo_bench.tasks.blocks import held
from fogline.envs.silo_bench.tasks.task import DataMode, Problem, SiloTask, Wording, dealt

WORDS = ("apple", "banana", "cherry", "date", "elderberry", "fig", "grape")
TARGET = "apple"


class WordFrequency(SiloTask):
    """Occurrences of ``apple`` among seven fruits. A summary is a count."""

    task_id = "I-02"
    name = "Word Frequency"
    items_per_agent = 30

    def generate(self, rng: np.random.Generator, n_agents: int, data: DataMode) -> Problem:
        """Draw 30 words per agent, then write the target over every tenth of the whole list."""
        drawn = rng.integers(len(WORDS), size=self.items_per_agent * n_agents).tolist()
        words = [TARGET if position % 10 == 0 else WORDS[index] for position, index in enumerate(drawn)]
        return Problem(dealt(words, n_agents))

    def solve(self, problem: Problem) -> tuple[Any, ...]:
        """Count over all shards."""
        return (sum(shard.count(TARGET) for shard in problem.shards),) * len(problem.shards)

    def local(self, shard: Any, agent: int, public: Mapping[str, Any]) -> Any:
        """Occurrences in the shard."""
        return shard.count(TARGET)

    def merge(self, left: Any, right: Any) -> Any:
        """Their sum."""
        return left + right

    def finalise(self, summary: Any, shard: Any, agent: int, n_agents: int, public: Mapping[str, Any]) -> Any:
        """The count itself."""
        return summary

    def wording(self, problem: Problem, agent: int) -> Wording:
        """The task in words."""
        return Wording(
            task=f'Count how often the word "{TARGET}" occurs in a list of words. ' + held(problem, agent, "words"),
            answer="Submit the count over the whole list as a JSON integer, such as 17.",
            algorithm="The count over several blocks is the sum of the blocks' own counts.",
        )
