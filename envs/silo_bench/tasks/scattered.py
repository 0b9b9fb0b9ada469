"""Data dealt out at random: how an agent is told what it holds."""

from __future__ import annotations

from fogline.envs.silo_bench.tasks.task import Problem


def scattered(problem: Problem, agent: int, items: str) -> str:
    """Say how much of the data an agent holds, in a sentence that names nobody else.

    Args:
        problem: The instance.
        agent: The agent that is told.
        items: What the data is made of, in the plural: ``"edges"``.
    """
    if len(problem.shards) == 1:
        return f"You hold all {items}."
    return f"The {items} were dealt out at random among the agents; you hold {len(problem.shards[agent])} of them."
