"""Scripted players of VisualTable-v0: who reads, who points beside what it says, who guesses, who slips."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from fogline.agents.agent import SeatView
from fogline.core.errors import ConfigurationError, check_choice
from fogline.envs.visual_table.answers import SEPARATOR
from fogline.envs.visual_table.perturbations import KINDS, perturb
from fogline.envs.visual_table.traces import written_trace
from fogline.simulators.tables.records import Cell, Step, TableDataset, TableTask

_GUESSED = (Step("calc", "sum", operands=("1", "1"), value="2"),)
"""A step without an anchor, since the grammar wants one."""


class _Knowing(ABC):
    """Knows the data set that is handed to it, never what is hidden in the environment."""

    name: str
    batch_size: int | None = None

    def __init__(self, dataset: TableDataset) -> None:
        self._tasks = dataset.tasks

    def act(self, views: Sequence[SeatView]) -> list[Any]:
        """Answer each question.

        Raises:
            ConfigurationError: The data set has no such question.
        """
        return [self._answer(self._task(view.task_id), view.rng) for view in views]

    def _task(self, task_id: str) -> TableTask:
        if task_id not in self._tasks:
            raise ConfigurationError(
                f"the {self.name} has no task {task_id!r}: hand it the data set that the environment plays."
            )
        return self._tasks[task_id]

    @abstractmethod
    def _answer(self, task: TableTask, rng: np.random.Generator) -> str:
        """The reply to a question."""


class OracleAgent(_Knowing):
    """Writes the gold trace and the gold answer; of questions without a trace, the answer alone.

    Args:
        dataset: The data set that the environment plays.
    """

    name = "oracle"

    def _answer(self, task: TableTask, rng: np.random.Generator) -> str:
        return written_trace(task.steps or _GUESSED, SEPARATOR.join(task.answers))


class HallucinatorAgent(_Knowing):
    """Answers rightly, and points a row beside what it says it read.

    Args:
        dataset: The data set that the environment plays.
    """

    name = "hallucinator"

    def _answer(self, task: TableTask, rng: np.random.Generator) -> str:
        steps = [_shifted(step, task.table.height) for step in task.steps]
        return written_trace(steps or _GUESSED, SEPARATOR.join(task.answers))


class GuesserAgent(_Knowing):
    """Points nowhere and answers what the first row holds, which shortcuts make right.

    Args:
        dataset: The data set that the environment plays.
    """

    name = "guesser"

    def _answer(self, task: TableTask, rng: np.random.Generator) -> str:
        last = task.steps[-1].anchor if task.steps else None
        column = last.column if isinstance(last, Cell) else 1
        return written_trace(_GUESSED, task.table.text(Cell(1, column)))


class SlipperyAgent(_Knowing):
    """Answers rightly; in a share of its replies one step is wrong, of kinds that are equally likely.

    Args:
        dataset: The data set that the environment plays.
        kinds: What can be wrong; everything where empty. A kind that a trace has no room for leaves it as it is.
        share: Of replies with something wrong.

    Raises:
        ConfigurationError: An unknown kind, or a share that is none.
    """

    name = "slippery"

    def __init__(self, dataset: TableDataset, kinds: Sequence[str] = (), share: float = 1.0) -> None:
        super().__init__(dataset)
        for kind in kinds:
            check_choice("kinds", kind, KINDS)
        if not 0 <= share <= 1:
            raise ConfigurationError(f"share={share!r}: expected a share of replies, from 0 to 1.")
        self._kinds, self._share = tuple(kinds) or KINDS, share

    def _answer(self, task: TableTask, rng: np.random.Generator) -> str:
        spoilt = None
        if task.steps and rng.random() < self._share:
            spoilt = perturb(task, self._kinds[int(rng.integers(len(self._kinds)))], rng)
        steps = task.steps if spoilt is None else spoilt.steps
        return written_trace(steps or _GUESSED, SEPARATOR.join(task.answers))


def _shifted(step: Step, height: int) -> Step:
    """The step one row on; behind the last row comes the header."""
    if not isinstance(step.anchor, Cell):
        return step
    return replace(step, anchor=Cell((step.anchor.row + 1) % (height + 1), step.anchor.column))
