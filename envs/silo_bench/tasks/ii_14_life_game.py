"""II-14: a one-dimensional game of life (Silo-Bench, arXiv 2603.01045, appendix E)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fogline.envs.silo_bench.tasks.blocks import held, random_integers, segments
from fogline.envs.silo_bench.tasks.task import DataMode, Problem, SiloTask, Wording, dealt, joined

STEPS = 5


class LifeGame(SiloTask):
    """Five steps of a row of cells; each agent answers for its block.

    What happens in five steps depends on at most five cells to either side, and a block has ten: an agent needs the
    two blocks beside its own. A summary is the blocks of its range, one list each, so that an agent can tell its own.
    """

    task_id = "II-14"
    name = "1D Life Game"
    items_per_agent = 10
    segmented = True
    scope = "neighbours"
    topology = "both ways"

    def generate(self, rng: np.random.Generator, n_agents: int, data: DataMode) -> Problem:
        """Draw ten cells per agent."""
        return Problem(dealt(random_integers(rng, 0, 1, self.items_per_agent * n_agents), n_agents))

    def solve(self, problem: Problem) -> tuple[Any, ...]:
        """Play on the whole row and cut."""
        return segments(after(STEPS, joined(problem.shards)), problem)

    def local(self, shard: Any, agent: int, public: Mapping[str, Any]) -> Any:
        """A list of one block."""
        return [shard]

    def merge(self, left: Any, right: Any) -> Any:
        """Blocks of both."""
        return [*left, *right]

    def finalise(self, summary: Any, shard: Any, agent: int, n_agents: int, public: Mapping[str, Any]) -> Any:
        """Play on the agent's block and those beside it, and keep the agent's.

        At the far ends of the blocks beside it the cells go wrong, for want of what lies further out, but in five
        steps the mistake does not travel as far as the agent's block.
        """
        before = len(summary[0]) if agent else 0
        return after(STEPS, joined(summary))[before : before + len(shard)]

    def wording(self, problem: Problem, agent: int) -> Wording:
        """The task in words."""
        return Wording(
            task=f"Play {STEPS} steps on a row of cells, each 0 or 1. In a step all cells change at once: a cell "
            "becomes 1 if exactly one of the three cells left of it, itself and right of it is 1, else 0. Beyond both "
            "ends of the whole row every cell stays 0. " + held(problem, agent, "cells", "row"),
            answer=f"Submit the cells at the positions that you hold, and only these, after {STEPS} steps, in order, "
            "as a JSON array of 0s and 1s.",
            algorithm=f"After {STEPS} steps a cell depends on the {STEPS} cells to either side of it at the start, so "
            f"a block needs {STEPS} cells from each block beside it.",
        )


def after(steps: int, cells: Sequence[int]) -> list[int]:
    """Cells after some steps, with zeros beyond both ends."""
    row = list(cells)
    for _ in range(steps):
        padded = [0, *row, 0]
        row = [int(sum(around) == 1) for around in zip(padded, padded[1:], padded[2:], strict=False)]
    return row
