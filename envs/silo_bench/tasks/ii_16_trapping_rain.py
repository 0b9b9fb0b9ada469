"""II-16: water that stays between bars (Silo-Bench, arXiv 2603.01045, appendix E)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from fogline.envs.silo_bench.tasks.blocks import held, random_integers
from fogline.envs.silo_bench.tasks.task import DataMode, Problem, SiloTask, Wording, dealt, joined


class TrappingRain(SiloTask):
    """Water above bars of heights 0 to 10: below the highest bar on either side. A summary is the heights."""

    task_id = "II-16"
    name = "Trapping Rain"
    items_per_agent = 10
    topology = "both ways"

    def generate(self, rng: np.random.Generator, n_agents: int, data: DataMode) -> Problem:
        """Draw ten heights per agent, every fifth of them low."""
        heights = random_integers(rng, 0, 10, self.items_per_agent * n_agents)
        low = range(1, len(heights) - 1, 5)
        heights[1:-1:5] = random_integers(rng, 0, 3, len(low))
        return Problem(dealt(heights, n_agents))

    def solve(self, problem: Problem) -> tuple[Any, ...]:
        """Fill the whole row."""
        return (trapped(joined(problem.shards)),) * len(problem.shards)

    def local(self, shard: Any, agent: int, public: Mapping[str, Any]) -> Any:
        """The shard itself."""
        return list(shard)

    def merge(self, left: Any, right: Any) -> Any:
        """One after the other."""
        return [*left, *right]

    def finalise(self, summary: Any, shard: Any, agent: int, n_agents: int, public: Mapping[str, Any]) -> Any:
        """Fill the whole row."""
        return trapped(summary)

    def wording(self, problem: Problem, agent: int) -> Wording:
        """The task in words."""
        return Wording(
            task="Bars of width 1 stand side by side in a row, and rain fills the gaps. At a position the water rises "
            "to the lower of two heights: the highest bar from the left end up to there, and the highest from there to "
            "the right end, both including the bar there. Above the bar stands that level minus the bar's height. "
            "Compute the total water over all positions. " + held(problem, agent, "heights", "row"),
            answer="Submit the total over the whole row as a JSON integer, such as 17.",
            algorithm="A block's water depends on the rest only through the highest bar in all blocks before it and "
            "the highest in all blocks after it. With these two, its water follows; the water of all blocks adds up.",
        )


def trapped(heights: Sequence[int]) -> int:
    """Total water above the bars."""
    from_left = accumulate(heights, max)
    from_right = list(accumulate(reversed(heights), max))
    return sum(map(min, from_left, reversed(from_right))) - sum(heights)
