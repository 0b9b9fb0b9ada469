"""I-04: whether an error was logged anywhere (Silo-Bench, arXiv 2603.01045, appendix E)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fogline.envs.silo_bench.tasks.blocks import held
from fogline.envs.silo_bench.tasks.task import DataMode, Problem, SiloTask, Wording, dealt

TARGET = "ERROR"
ERROR_LINE = "ERROR: Critical failure detected"
HARMLESS_LINES = (
    "INFO: Request served",
    "INFO: Cache refreshed",
    "DEBUG: Session opened",
    "DEBUG: Heartbeat received",
    "WARNING: Disk use above 80 percent",
)


class AnyMatch(SiloTask):
    """Whether any log line contains ``ERROR``. A summary is one truth value."""

    task_id = "I-04"
    name = "Any Match"
    items_per_agent = 15

    def generate(self, rng: np.random.Generator, n_agents: int, data: DataMode) -> Problem:
        """Draw 15 harmless lines per agent; on the toss of a coin, one of all lines becomes an error."""
        drawn = rng.integers(len(HARMLESS_LINES), size=self.items_per_agent * n_agents).tolist()
        lines = [HARMLESS_LINES[index] for index in drawn]
        if rng.integers(2):
            lines[int(rng.integers(len(lines)))] = ERROR_LINE
        return Problem(dealt(lines, n_agents))

    def solve(self, problem: Problem) -> tuple[Any, ...]:
        """Look through all lines."""
        return (any(TARGET in line for shard in problem.shards for line in shard),) * len(problem.shards)

    def local(self, shard: Any, agent: int, public: Mapping[str, Any]) -> Any:
        """Whether the shard has an error."""
        return any(TARGET in line for line in shard)

    def merge(self, left: Any, right: Any) -> Any:
        """Whether one of them has."""
        return left or right

    def finalise(self, summary: Any, shard: Any, agent: int, n_agents: int, public: Mapping[str, Any]) -> Any:
        """The truth value itself."""
        return summary

    def sufficient(self, problem: Problem, agent: int, known: int) -> bool:
        """Any shard with an error decides; without one, only all shards together do."""
        seen = any(known >> index & 1 and self.local(shard, index, {}) for index, shard in enumerate(problem.shards))
        return seen or super().sufficient(problem, agent, known)

    def wording(self, problem: Problem, agent: int) -> Wording:
        """The task in words."""
        return Wording(
            task=f'Find out whether any line of a log contains the text "{TARGET}". '
            + held(problem, agent, "lines", "log"),
            answer="Submit true if any line of the whole log contains it, else false, as a JSON boolean.",
            algorithm="One block that contains the text settles it: true. False needs word from every block.",
        )
