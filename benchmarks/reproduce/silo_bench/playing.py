"""One run of the reproduction: every task at every size, by the team and by the single agent at the same scale."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any

from fogline.agents.collector import collect
from fogline.agents.environments import make_environment
from fogline.agents.rollout import Assignment
from fogline.benchmarks.reproduce.cells import Cell
from fogline.benchmarks.reproduce.silo_bench.memory import BoundedMemory
from fogline.benchmarks.reproduce.silo_bench.plan import ARMS, Plan
from fogline.core.errors import InfrastructureError

ENVIRONMENT = "SiloBench-v0"

Game = dict[str, Any]
"""``task``, ``n_agents``; of the team ``success``, ``partial``, ``premature`` and ``computation_error``;
``single_success`` and ``single_partial`` of the one agent that holds all the data."""

_OF_TEAM = {
    "success": "success_rate",
    "partial": "partial_correctness",
    "premature": "premature",
    "computation_error": "computation_error",
}
_OF_SINGLE = {"single_success": "success_rate", "single_partial": "partial_correctness"}


def play_arm(plan: Plan, cell: Cell) -> Mapping[str, Any]:
    """Play one instance of each task at each size; the seed is the instance's number."""
    arm = ARMS[cell.arm]
    agent = BoundedMemory(plan.capacity(arm), arm.order)
    games: list[Game] = []
    for n_agents in plan.sizes:
        shared: dict[str, Any] = {"protocol": arm.protocol, "instances": cell.seed + 1}
        team = _played(plan, cell, agent, n_agents=n_agents, **shared)
        single = _played(plan, cell, agent, n_agents=1, scale=n_agents, **shared)
        games += [
            {"task": task, "n_agents": n_agents}
            | {name: team[task][metric] for name, metric in _OF_TEAM.items()}
            | {name: single[task][metric] for name, metric in _OF_SINGLE.items()}
            for task in plan.tasks
        ]
    return {"games": games}


def _played(plan: Plan, cell: Cell, agent: BoundedMemory, **keywords: Any) -> dict[str, Mapping[str, Any]]:
    """Metrics of one game of each task.

    Raises:
        InfrastructureError: A game did not come to its end, so there is nothing to count.
    """
    wanted = [Assignment(f"{task}/{cell.seed}", cell.seed) for task in plan.tasks]
    factory = partial(make_environment, ENVIRONMENT, {"task": plan.tasks, **keywords})
    metrics: dict[str, Mapping[str, Any]] = {}

    async def play() -> None:
        # Episodes of a hundred seats are large: one at a time, and only the metrics are kept.
        async for episode in collect(factory, agent, wanted, concurrency=1):
            if episode.status != "terminated":
                raise InfrastructureError(f"{episode.task_id} with {keywords} ended as {episode.status}.")
            metrics[episode.task_id.partition("/")[0]] = episode.metrics

    asyncio.run(play())
    return metrics
