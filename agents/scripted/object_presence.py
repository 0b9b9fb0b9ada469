"""Scripted players of ObjectPresence-v0: one who knows, and four who do not look.

Asked for a caption, each names the objects for which it would answer yes.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from statistics import median
from typing import Any

from fogline.agents.agent import SeatView
from fogline.core.errors import ConfigurationError
from fogline.simulators.scenes.records import SceneDataset, SceneTask

NOTHING = "nothing"
"""Caption that names no object."""


class _Playing(ABC):
    """Knows the data set that is handed to it, never what is hidden in the environment.

    Args:
        dataset: The data set that the environment plays.
    """

    name: str
    batch_size: int | None = None

    def __init__(self, dataset: SceneDataset) -> None:
        self._dataset = dataset

    def act(self, views: Sequence[SeatView]) -> list[Any]:
        """Answer each question.

        Raises:
            ConfigurationError: The data set has no such question.
        """
        return [self._reply(self._task(view.task_id), view) for view in views]

    def _task(self, task_id: str) -> SceneTask:
        if task_id not in self._dataset.tasks:
            raise ConfigurationError(
                f"{self.name!r} has no task {task_id!r}: hand it the data set that the environment plays."
            )
        return self._dataset.tasks[task_id]

    def _reply(self, task: SceneTask, view: SeatView) -> str:
        if task.label is not None:
            return "yes" if self._says_yes(task, task.asked, view) else "no"
        named = [name for name in self._dataset.vocabulary.objects if self._says_yes(task, name, view)]
        return ", ".join(named) or NOTHING

    @abstractmethod
    def _says_yes(self, task: SceneTask, name: str, view: SeatView) -> bool:
        """Whether it would answer yes about an object."""


class OracleAgent(_Playing):
    """Says what is true."""

    name = "oracle"

    def _says_yes(self, task: SceneTask, name: str, view: SeatView) -> bool:
        return name in task.objects if task.label is None else task.label


class AlwaysYesAgent(_Playing):
    """Says yes to everything; half of POPE is right."""

    name = "always-yes"

    def _says_yes(self, task: SceneTask, name: str, view: SeatView) -> bool:
        return True


class AlwaysNoAgent(_Playing):
    """Says no to everything; half of POPE is right, and no caption hallucinates."""

    name = "always-no"

    def _says_yes(self, task: SceneTask, name: str, view: SeatView) -> bool:
        return False


class PriorAgent(_Playing):
    """Says yes to what is often there, without looking: the language prior alone.

    Args:
        dataset: The data set that the environment plays.
        least: Share of pictures from which an object is said to be there; where None, the median of all that are ever
            there.
    """

    name = "prior"

    def __init__(self, dataset: SceneDataset, least: float | None = None) -> None:
        super().__init__(dataset)
        shares = [share for share in dataset.popularity.values() if share > 0]
        if least is not None and not 0 <= least <= 1:
            raise ConfigurationError(f"least={least!r}: expected a share, from 0 to 1.")
        self._least = least if least is not None else median(shares) if shares else math.inf

    def _says_yes(self, task: SceneTask, name: str, view: SeatView) -> bool:
        return self._dataset.popularity.get(name, 0.0) >= self._least


class GuessAgent(_Playing):
    """Throws a coin, the seat's own."""

    name = "guess"

    def _says_yes(self, task: SceneTask, name: str, view: SeatView) -> bool:
        return bool(view.rng.random() < 0.5)
