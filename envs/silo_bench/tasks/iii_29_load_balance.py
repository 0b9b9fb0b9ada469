"""III-29: share everybody's tasks out so that no one carries too much."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from fogline.envs.silo_bench.tasks.task import DataMode, Problem, SiloTask, Wording, dealt, joined


class LoadBalance(SiloTask):
    """Loads after the longest-processing-time rule has put 20N tasks onto N bins.

    Source: Silo-Bench, arXiv 2603.01045, appendix E, table 9. Every tenth task is heavy (50 to 100), the others are
    light (1 to 10). The split is unbalanced by design: agent 0 holds all heavy tasks, the others share the light
    ones; a single agent holds all. The number of bins is public, so that :meth:`united` keeps it. Summary: a histogram
    of durations, since the loads do not depend on the order among tasks that take equally long. Both data modes are
    the same.
    """

    task_id = "III-29"
    name = "Load Balance"
    items_per_agent = 20
    topology = "all-to-all"
    tolerance = 0.01

    def generate(self, rng: np.random.Generator, n_agents: int, data: DataMode) -> Problem:
        """Draw durations; the heavy tasks go to agent 0."""
        total = self.items_per_agent * n_agents
        light, heavy = rng.integers(1, 11, size=total).tolist(), rng.integers(50, 101, size=total).tolist()
        tasks = [{"id": index, "duration": (light if index % 10 else heavy)[index]} for index in range(total)]
        if n_agents == 1:
            return Problem((tasks,), {"bins": 1})
        others = dealt([task for task in tasks if task["id"] % 10], n_agents - 1)
        return Problem(([task for task in tasks if task["id"] % 10 == 0], *others), {"bins": n_agents})

    def solve(self, problem: Problem) -> tuple[Any, ...]:
        """Place all tasks, longest first."""
        durations = sorted((task["duration"] for task in joined(problem.shards)), reverse=True)
        return (_loads(durations, problem.public["bins"]),) * len(problem.shards)

    def local(self, shard: Any, agent: int, public: Mapping[str, Any]) -> Any:
        """How often each duration occurs, as pairs by ascending duration."""
        return _histogram([task["duration"], 1] for task in shard)

    def merge(self, left: Any, right: Any) -> Any:
        """Add up the counts."""
        return _histogram(left + right)

    def finalise(self, summary: Any, shard: Any, agent: int, n_agents: int, public: Mapping[str, Any]) -> Any:
        """Place all tasks, longest first."""
        durations = [duration for duration, count in reversed(summary) for _ in range(count)]
        return _loads(durations, public["bins"])

    def wording(self, problem: Problem, agent: int) -> Wording:
        """Tells the number of bins, the rule and the formula of the variance."""
        total, bins = len(joined(problem.shards)), problem.public["bins"]
        held = "You hold all tasks."
        if len(problem.shards) > 1:
            held = f"The tasks are split among the agents, not evenly; you hold {len(problem.shards[agent])} of them."
        return Wording(
            task=f"Give {total} tasks, with an id and a duration each, to {bins} workers, numbered 0 to {bins - 1}. "
            "Take the tasks from the longest to the shortest and give each to the worker with the least load so far, "
            "the lowest number at a tie. The load of a worker is the sum of the durations that it was given. (The "
            f"order among tasks of equal duration makes no difference to the loads.) {held}",
            answer='Submit a JSON object with the keys "variance" (population variance of the loads: the mean of their '
            f'squared differences from total duration / {bins}, rounded to 2 decimals), "max_load" and "min_load" '
            '(integers), such as {"variance": 0.25, "max_load": 12, "min_load": 11}.',
            algorithm="How often each duration occurs is all that is needed, and these counts add up over shards; then "
            "apply the rule once to all durations.",
        )


def _histogram(pairs: Iterable[list[int]]) -> list[list[int]]:
    counts: dict[int, int] = {}
    for duration, count in pairs:
        counts[duration] = counts.get(duration, 0) + count
    return [[duration, counts[duration]] for duration in sorted(counts)]


def _loads(descending: Iterable[int], bins: int) -> dict[str, float | int]:
    # Which of equally loaded workers gets a task changes who has which load, not which loads there are.
    loads = [0] * bins
    for duration in descending:
        heapq.heapreplace(loads, loads[0] + duration)
    # In whole numbers up to the one division, so that the order of the loads cannot show.
    spread = bins * sum(load * load for load in loads) - sum(loads) ** 2
    return {"variance": round(spread / bins**2, 2), "max_load": max(loads), "min_load": min(loads)}
