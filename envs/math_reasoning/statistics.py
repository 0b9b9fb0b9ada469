"""How hard each problem was for a solver: trials and correct answers, kept beside the set that they belong to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from fogline.core.errors import ConfigurationError, DataError
from fogline.core.intervals import wilson
from fogline.envs.math_reasoning.records import MathDataset

_FORMAT = "fogline-math-difficulty-1"


class Rate(NamedTuple):
    """A measured pass rate.

    Attributes:
        trials: Scored episodes.
        correct: Those that were correct.
        rate: Their share; None without trials.
        low: Lower end of the 95 % Wilson interval; it takes every trial for independent.
        high: Upper end.
    """

    trials: int
    correct: int
    rate: float | None
    low: float
    high: float


def rate_of(correct: int, trials: int) -> Rate:
    """A rate with its 95 % Wilson interval, 0 to 1 without trials."""
    if trials == 0:
        return Rate(0, 0, None, 0.0, 1.0)
    return Rate(trials, correct, correct / trials, *wilson(correct, trials))


def digest_of(dataset: MathDataset) -> str:
    """SHA-256 of the ids, questions and answers of a set, in their order."""
    digest = hashlib.sha256()
    for task in dataset:
        digest.update(json.dumps([task.task_id, task.question, task.short, task.answer]).encode())
    return digest.hexdigest()


@dataclass
class DifficultyStatistics:
    """Running counts of one solver over one set of problems.

    A trainer keeps such counts too (``trials`` and ``correct`` of its prompt statistics): :meth:`add` takes them in.

    Args:
        dataset: The problems.
    """

    dataset: MathDataset

    def __post_init__(self) -> None:
        self.trials: dict[str, int] = {}
        self.correct: dict[str, int] = {}

    def note(self, task_id: str, correct: bool) -> None:
        """Book one scored episode.

        Raises:
            ConfigurationError: The set has no such problem.
        """
        self.add({task_id: 1}, {task_id: int(correct)})

    def add(self, trials: Mapping[str, int], correct: Mapping[str, int]) -> None:
        """Book counts by problem.

        Raises:
            ConfigurationError: The set has no such problem, or more are correct than were tried.
        """
        for task_id, count in trials.items():
            right = correct.get(task_id, 0)
            if task_id not in self.dataset.tasks or not 0 <= right <= count:
                raise ConfigurationError(
                    f"{right} correct of {count} trials of {task_id!r}: expected a problem of {self.dataset.name!r}, "
                    "and no more correct than tried."
                )
        for task_id, count in trials.items():
            self.trials[task_id] = self.trials.get(task_id, 0) + count
            self.correct[task_id] = self.correct.get(task_id, 0) + correct.get(task_id, 0)

    def of_task(self, task_id: str) -> Rate:
        """Pass rate of one problem."""
        return rate_of(self.correct.get(task_id, 0), self.trials.get(task_id, 0))

    def by_level(self) -> dict[int, Rate]:
        """Pass rate of each level, lowest first; every trial counts the same."""
        return {level: self._of(level) for level in sorted({task.level for task in self.dataset})}

    def save(self, path: str | Path) -> None:
        """Write the counts as JSON, with the digest of the set."""
        stored = {
            "format": _FORMAT,
            "tasks": digest_of(self.dataset),
            "trials": self.trials,
            "correct": self.correct,
        }
        Path(path).write_text(json.dumps(stored, indent=1), encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path, dataset: MathDataset) -> DifficultyStatistics:
        """Read counts of the same set.

        Raises:
            DataError: The file is not one of these.
            ConfigurationError: Its counts are of another set of problems.
        """
        stored = _stored(path)
        if stored["tasks"] != digest_of(dataset):
            raise ConfigurationError(
                f"{str(path)!r} counts another set of problems than {dataset.name!r} as chosen here ({len(dataset)} "
                "problems): expected the same problems in the same order. Use the same problems, difficulty, split "
                "and tasks_per_level, or another file."
            )
        statistics = cls(dataset)
        statistics.add(stored["trials"], stored["correct"])
        return statistics

    def _of(self, level: int) -> Rate:
        ids = [task.task_id for task in self.dataset if task.level == level]
        return rate_of(
            sum(self.correct.get(task_id, 0) for task_id in ids), sum(self.trials.get(task_id, 0) for task_id in ids)
        )


def _stored(path: str | Path) -> dict[str, Any]:
    try:
        loaded = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{str(path)!r} cannot be read as JSON: {error}") from error
    stored: dict[str, Any] = loaded if isinstance(loaded, dict) else {}
    counts = [stored.get(name) for name in ("trials", "correct")]
    whole = all(isinstance(one, dict) and all(type(count) is int for count in one.values()) for one in counts)
    if not whole or stored.get("format") != _FORMAT or not isinstance(stored.get("tasks"), str):
        raise DataError(f"{str(path)!r} is not a file of difficulty statistics: expected format {_FORMAT!r}.")
    return stored
