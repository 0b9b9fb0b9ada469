"""Where MathReasoning-v0 gets its problems."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fogline.core.errors import ConfigurationError, check_choice
from fogline.envs.math_reasoning.problems import GENERATED, LEVELS, MOST_TASKS_PER_LEVEL, SPLITS, generated
from fogline.envs.math_reasoning.records import MathDataset


def load_problems(
    problems: str | Path | MathDataset = "arithmetic",
    *,
    difficulty: int | Sequence[int] | None = None,
    split: str | None = None,
    tasks_per_level: int = 100,
) -> MathDataset:
    """Generate or load problems and keep the chosen levels and split.

    Args:
        problems: A generator's name, or a loaded set.
        difficulty: A level, or the lowest and the highest; None for all.
        split: ``train``, ``validation``, ``test`` or ``all``.
        tasks_per_level: Generated problems of each level.

    Raises:
        ConfigurationError: For an unknown choice, a level that does not exist, or a choice that leaves no problem.
    """
    lowest, highest = _levels(difficulty)
    if split is not None:
        check_choice("split", split, SPLITS)
    if isinstance(problems, str) and problems in GENERATED:
        if type(tasks_per_level) is not int or not 1 <= tasks_per_level <= MOST_TASKS_PER_LEVEL:
            raise ConfigurationError(
                f"tasks_per_level={tasks_per_level!r}: expected a whole number from 1 to {MOST_TASKS_PER_LEVEL}."
            )
        return generated(problems, range(lowest, highest + 1), split or "train", tasks_per_level)
    check_choice("problems", problems, GENERATED)
    raise AssertionError


def _levels(difficulty: Any) -> tuple[int, int]:
    """The lowest and the highest level."""
    if difficulty is None:
        return LEVELS[0], LEVELS[-1]
    ends = [difficulty] * 2 if type(difficulty) is int else difficulty
    fits = isinstance(ends, Sequence) and not isinstance(ends, str) and len(ends) == 2
    if not fits or any(type(end) is not int or end not in LEVELS for end in ends) or ends[0] > ends[1]:
        raise ConfigurationError(
            f"difficulty={difficulty!r}: expected a level from {LEVELS[0]} to {LEVELS[-1]}, or the lowest and the "
            "highest as [1, 3]."
        )
    return ends[0], ends[1]
