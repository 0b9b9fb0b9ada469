"""Data in one order, cut into contiguous blocks: which positions an agent holds, and drawing text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fogline.envs.silo_bench.tasks.task import Problem


def block(problem: Problem, agent: int) -> range:
    """Positions in the whole data that ``agent`` holds."""
    start = sum(len(shard) for shard in problem.shards[:agent])
    return range(start, start + len(problem.shards[agent]))


def total(problem: Problem) -> int:
    """Number of items in all shards together."""
    return sum(len(shard) for shard in problem.shards)


def held(problem: Problem, agent: int, items: str, whole: str = "list") -> str:
    """Say which positions an agent holds.

    Args:
        problem: The instance.
        agent: The agent that is told.
        items: What the data is made of, in the plural: ``"numbers"``.
        whole: What the data is: ``"list"``.
    """
    size = total(problem)
    if len(problem.shards) == 1:
        return f"You hold the whole {whole}: {size} {items}, at positions 0 to {size - 1}."
    own = block(problem, agent)
    return (
        f"The {whole} has {size} {items}, at positions 0 to {size - 1}. It is cut into contiguous blocks, handed out "
        f"in the order of the agents' numbers; yours is positions {own.start} to {own.stop - 1} "
        f"({len(own)} {items})."
    )


def segments(values: Sequence[Any], problem: Problem) -> tuple[Any, ...]:
    """Cut one value per position into the agents' blocks."""
    return tuple(list(values[own.start : own.stop]) for own in (block(problem, i) for i in range(len(problem.shards))))


def random_text(rng: np.random.Generator, alphabet: str, length: int) -> str:
    """Draw ``length`` characters of ``alphabet``, uniformly and independently."""
    return "".join([alphabet[index] for index in rng.integers(len(alphabet), size=length).tolist()])


def random_integers(rng: np.random.Generator, low: int, high: int, count: int) -> list[int]:
    """Draw ``count`` integers from ``low`` to ``high``, both included."""
    drawn: list[int] = rng.integers(low, high, size=count, endpoint=True).tolist()
    return drawn
