"""Gold traces with one thing wrong: what a critic has to notice, five kinds of it (specification, 6.4).

The rules stand in for the paper's rewriting by a language model. The answer is left as it is: right, and badly founded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from fogline.core.errors import check_choice
from fogline.envs.visual_table.process import step_validity
from fogline.simulators.tables.records import Cell, Step, TableTask

WRONG_ROW, WRONG_COLUMN, WRONG_VALUE = "wrong row", "wrong column", "wrong value"
WRONG_ARITHMETIC, DELETED = "wrong arithmetic", "deleted grounding"


class Perturbed(NamedTuple):
    """A trace that does not hold throughout.

    Attributes:
        steps: All of it.
        place: The first step that does not hold.
    """

    steps: tuple[Step, ...]
    place: int


def perturb(task: TableTask, kind: str, rng: np.random.Generator) -> Perturbed | None:
    """Spoil one step of a gold trace.

    Args:
        task: Whose trace.
        kind: One of :data:`KINDS`.
        rng: Decides which step, and how.

    Returns:
        None where the trace has no step that could be spoilt so: no arithmetic in a search, nothing that depends on
        what a lookup reads.

    Raises:
        ConfigurationError: An unknown kind.
    """
    check_choice("kind", kind, KINDS)
    found = [
        Perturbed(steps, valid.index(False))
        for steps in _CHANGES[kind](task)
        if not all(valid := step_validity(task.table, steps))
    ]
    return found[int(rng.integers(len(found)))] if found else None


def _moved(task: TableTask, change: Callable[[Cell], Iterator[Cell]]) -> Iterator[tuple[Step, ...]]:
    for place, step in enumerate(task.steps):
        if isinstance(step.anchor, Cell):
            for cell in change(step.anchor):
                yield _with(task.steps, place, replace(step, anchor=cell))


def _rows(task: TableTask) -> Iterator[tuple[Step, ...]]:
    rows = range(task.table.height + 1)
    return _moved(task, lambda cell: (Cell(row, cell.column) for row in rows if row != cell.row))


def _columns(task: TableTask) -> Iterator[tuple[Step, ...]]:
    columns = range(1, task.table.width + 1)
    return _moved(task, lambda cell: (Cell(cell.row, column) for column in columns if column != cell.column))


def _values(task: TableTask) -> Iterator[tuple[Step, ...]]:
    """Another value of the same column, as a reader who slips would say it."""
    for place, step in enumerate(task.steps):
        if step.kind == "read" and isinstance(step.anchor, Cell):
            column = step.anchor.column - 1
            for value in dict.fromkeys(row[column] for row in task.table.rows):
                yield _with(task.steps, place, replace(step, value=value))


def _arithmetic(task: TableTask) -> Iterator[tuple[Step, ...]]:
    for place, step in enumerate(task.steps):
        if step.kind == "calc":
            for value in _other_results(step.value):
                yield _with(task.steps, place, replace(step, value=value))


def _other_results(value: str) -> tuple[str, ...]:
    if value in ("true", "false"):
        return ("false" if value == "true" else "true",)
    number = int(value)
    return tuple(str(other) for other in (number - 2, number - 1, number + 1, number + 2) if other >= 0)


def _deleted(task: TableTask) -> Iterator[tuple[Step, ...]]:
    for place, step in enumerate(task.steps):
        if step.kind == "read":
            yield (*task.steps[:place], *task.steps[place + 1 :])


def _with(steps: tuple[Step, ...], place: int, step: Step) -> tuple[Step, ...]:
    return (*steps[:place], step, *steps[place + 1 :])


_CHANGES: Mapping[str, Callable[[TableTask], Iterator[tuple[Step, ...]]]] = {
    WRONG_ROW: _rows,
    WRONG_COLUMN: _columns,
    WRONG_VALUE: _values,
    WRONG_ARITHMETIC: _arithmetic,
    DELETED: _deleted,
}
KINDS = tuple(_CHANGES)
"""What can be wrong."""
