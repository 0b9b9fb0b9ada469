"""Where MathReasoning-v0 gets its problems."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fogline.core.errors import ConfigurationError, check_choice, missing_dependency, suggestion
from fogline.core.generation import SPLITS, bucket
from fogline.envs.math_reasoning.equivalence import needs_identities
from fogline.envs.math_reasoning.files import BUNDLED, load_file
from fogline.envs.math_reasoning.problems import GENERATED, LEVELS, MOST_TASKS_PER_LEVEL, generated
from fogline.envs.math_reasoning.records import MathDataset

NAMED = (*GENERATED, "gsm8k")


def load_problems(
    problems: str | Path | MathDataset = "arithmetic",
    *,
    difficulty: int | Sequence[int] | None = None,
    split: str | None = None,
    tasks_per_level: int = 100,
) -> MathDataset:
    """Generate or load problems and keep the chosen levels and split.

    Args:
        problems: A generator's name, ``"gsm8k"`` for the bundled part of it, the path of a file or folder, or a
            loaded set.
        difficulty: A level, or the lowest and the highest; None for all. GSM8K's level is the number of calculations
            in its solution.
        split: ``train``, ``validation``, ``test`` or ``all``; by default ``train`` of what is generated, and all of
            what is loaded. Loaded problems are split by a digest of their question, 8 to 1 to 1.
        tasks_per_level: Generated problems of each level.

    Raises:
        ConfigurationError: For an unknown choice, a level that does not exist, or a choice that leaves no problem.
        DataError: For a file that is not what its format promises.
        MissingDependencyError: Golds are expressions with roots or letters, and mpmath is not installed.
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
    loaded = problems if isinstance(problems, MathDataset) else _loaded(str(problems))
    if find_spec("mpmath") is None and any(needs_identities(task.answer) for task in loaded):
        raise missing_dependency("mpmath", "math")
    if difficulty is None and split in (None, "all"):
        return loaded
    kept = {
        task.task_id: task
        for task in loaded
        if (difficulty is None or lowest <= task.level <= highest) and bucket(task.question) in SPLITS[split or "all"]
    }
    if not kept:
        raise ConfigurationError(
            f"difficulty={difficulty!r} and split={split!r} leave none of the {len(loaded)} problems of "
            f"{loaded.name!r}: its levels are {sorted({task.level for task in loaded})}."
        )
    return MathDataset(loaded.name, kept)


@lru_cache(maxsize=8)
def _loaded(name: str) -> MathDataset:
    if name == "gsm8k":
        return load_file(BUNDLED)
    if not Path(name).exists():
        raise ConfigurationError(
            f"problems={name!r} is unknown: expected {', '.join(map(repr, NAMED))}, or the path of a GSM8K or MATH "
            f"file or folder.{suggestion(name, NAMED)}"
        )
    return load_file(name)


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
