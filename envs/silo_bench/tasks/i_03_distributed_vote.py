"""I-03: who won the vote (Silo-Bench, arXiv 2603.01045, appendix E)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fogline.envs.silo_bench.tasks.blocks import held
from fogline.envs.silo_bench.tasks.task import DataMode, Problem, SiloTask, Wording, dealt

CANDIDATES = ("Candidate_A", "Candidate_B", "Candidate_C", "Candidate_D")


class DistributedVote(SiloTask):
    """The candidate with most votes, the first in the alphabet among equals. A summary is four counts."""

    task_id = "I-03"
    name = "Distributed Vote"
    items_per_agent = 25

    def generate(self, rng: np.random.Generator, n_agents: int, data: DataMode) -> Problem:
        """Draw 25 votes per agent and a winner, who then gets every vote at an even position."""
        drawn = rng.integers(len(CANDIDATES), size=self.items_per_agent * n_agents).tolist()
        winner = int(rng.integers(len(CANDIDATES)))
        votes = [CANDIDATES[index if position % 2 else winner] for position, index in enumerate(drawn)]
        return Problem(dealt(votes, n_agents))

    def solve(self, problem: Problem) -> tuple[Any, ...]:
        """Count all votes."""
        counts = [sum(shard.count(candidate) for shard in problem.shards) for candidate in CANDIDATES]
        return (CANDIDATES[counts.index(max(counts))],) * len(problem.shards)

    def local(self, shard: Any, agent: int, public: Mapping[str, Any]) -> Any:
        """Votes of the shard by candidate, in alphabetical order."""
        return [shard.count(candidate) for candidate in CANDIDATES]

    def merge(self, left: Any, right: Any) -> Any:
        """Counts added up."""
        return [one + other for one, other in zip(left, right, strict=True)]

    def finalise(self, summary: Any, shard: Any, agent: int, n_agents: int, public: Mapping[str, Any]) -> Any:
        """The first candidate with the highest count."""
        return CANDIDATES[summary.index(max(summary))]

    def wording(self, problem: Problem, agent: int) -> Wording:
        """The task in words."""
        return Wording(
            task="Find out which candidate got the most votes. The candidates are "
            f"{', '.join(CANDIDATES)}; among equals the first in the alphabet wins. " + held(problem, agent, "votes"),
            answer='Submit the winner\'s name as a JSON string, such as "Candidate_B".',
            algorithm="Votes per candidate add up over blocks; only the sums decide, not the winners of blocks.",
        )
