"""How well a trace is grounded in its table: every step checked, and a score from them (specification, 6.3).

Precision is the share of steps that hold, coverage the share of gold cells that were read, redundancy what is longer
than twice the gold trace: ``T = precision · coverage · (1 - redundancy / 2)``, and 0 without any anchor.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from fogline.envs.visual_table.answers import number_of, same_value
from fogline.simulators.tables.records import HEADER, Box, Cell, Step, Table
from fogline.simulators.tables.rendering import Picture

FindRule = Literal["strict", "row_or_column"]
Form = Literal["product", "prefix"]

_ENTITIES = 1
_COUNT = re.compile(r"count(?P<sign>[<>])(?P<bound>-?[0-9]+(?:\.[0-9]+)?)")
_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True)
class Process:
    """What a check of a trace found.

    Attributes:
        valid: Of each step.
        precision: Share of valid steps; 0 without a step.
        coverage: Share of the gold cells that were validly read.
        redundancy: Share of steps beyond twice the gold trace.
        anchors: How many steps point at something.
        misplaced: How many of those point where it is not.
        score: In [0, 1].
    """

    valid: tuple[bool, ...]
    precision: float
    coverage: float
    redundancy: float
    anchors: int
    misplaced: int
    score: float


def check(
    table: Table,
    steps: Sequence[Step],
    gold: Sequence[Step] = (),
    *,
    picture: Picture | None = None,
    find_rule: FindRule = "strict",
    form: Form = "product",
) -> Process:
    """Check a trace against its table.

    Args:
        table: What it reads.
        steps: The trace.
        gold: The gold trace. Without one, coverage asks for one valid reading and nothing is redundant.
        picture: Resolves anchors in pixels; without it none of them holds.
        find_rule: ``strict``: the anchor of ``find`` is the very cell that holds the name, in the header or the first
            column; ``row_or_column``: any cell of the named row or column.
        form: Of the score: ``product``, or ``prefix``: steps before the first that does not hold, of the longer of
            both traces.
    """
    valid = step_validity(table, steps, picture=picture, find_rule=find_rule)
    return score_of(table, steps, valid, gold, picture=picture, form=form)


def step_validity(
    table: Table, steps: Sequence[Step], *, picture: Picture | None = None, find_rule: FindRule = "strict"
) -> list[bool]:
    """Whether each step holds, given those before it. An exact repeat of a step never does."""
    produced: list[str] = []
    read: set[Cell] = set()
    seen: set[Step] = set()
    valid = []
    for step in steps:
        cell = _resolved(step.anchor, table, picture)
        holds = step not in seen and _HOLDS[step.kind](table, step, cell, produced, read, find_rule)
        seen.add(step)
        if holds and step.kind in ("read", "calc"):
            produced.append(step.value)
        if holds and step.kind == "read" and cell is not None:
            read.add(cell)
        valid.append(holds)
    return valid


def score_of(
    table: Table,
    steps: Sequence[Step],
    valid: Sequence[bool | float],
    gold: Sequence[Step] = (),
    *,
    picture: Picture | None = None,
    form: Form = "product",
) -> Process:
    """The score of steps that somebody has judged: this module, or a critic with scores between 0 and 1.

    Args:
        table: What they read.
        steps: The trace.
        valid: A score for each step, in [0, 1].
        gold: The gold trace.
        picture: Resolves anchors in pixels.
        form: Of the score.
    """
    holds = tuple(bool(score >= 0.5) for score in valid)
    anchored = [place for place, step in enumerate(steps) if step.anchor is not None]
    precision = fmean(map(float, valid)) if steps else 0.0
    coverage = _coverage(table, steps, holds, gold, picture)
    redundancy = max(0, len(steps) - 2 * len(gold)) / len(steps) if steps and gold else 0.0
    if not anchored:
        score = 0.0
    elif form == "prefix":
        kept = next((place for place, held in enumerate(holds) if not held), len(steps))
        score = kept / max(len(steps), len(gold))
    else:
        score = precision * coverage * (1 - redundancy / 2)
    misplaced = sum(not holds[place] for place in anchored)
    return Process(holds, precision, coverage, redundancy, len(anchored), misplaced, score)


def _coverage(
    table: Table, steps: Sequence[Step], holds: Sequence[bool], gold: Sequence[Step], picture: Picture | None
) -> float:
    read = {
        _resolved(step.anchor, table, picture)
        for step, held in zip(steps, holds, strict=True)
        if held and step.kind == "read"
    }
    wanted = {step.anchor for step in gold if step.kind == "read"}
    if not wanted:
        return float(bool(read))
    return len(wanted & read) / len(wanted)


def _resolved(anchor: Cell | Box | None, table: Table, picture: Picture | None) -> Cell | None:
    """The cell that is pointed at; None for none, and for one beside the table."""
    if isinstance(anchor, Box):
        return None if picture is None else picture.cell_of(anchor)
    return anchor if anchor is not None and anchor in table else None


def _find_holds(
    table: Table, step: Step, cell: Cell | None, produced: Sequence[str], read: set[Cell], find_rule: FindRule
) -> bool:
    if cell is None:
        return False
    if find_rule == "strict":
        return (cell.row == HEADER or cell.column == _ENTITIES) and same_value(table.text(cell), step.name)
    names = (table.text(Cell(HEADER, cell.column)), table.text(Cell(cell.row, _ENTITIES)))
    return any(same_value(name, step.name) for name in names)


def _read_holds(
    table: Table, step: Step, cell: Cell | None, produced: Sequence[str], read: set[Cell], find_rule: FindRule
) -> bool:
    return cell is not None and same_value(table.text(cell), step.value)


def _pick_holds(
    table: Table, step: Step, cell: Cell | None, produced: Sequence[str], read: set[Cell], find_rule: FindRule
) -> bool:
    if cell is None or cell.row == HEADER:
        return False
    candidates = [Cell(row, cell.column) for row in range(1, table.height + 1)]
    if not read.issuperset(candidates):
        return False
    values = [number_of(table.text(candidate)) for candidate in candidates]
    known = [value for value in values if value is not None]
    if len(known) != len(values):
        return False
    return values[cell.row - 1] == (max(known) if step.name == "max" else min(known))


def _calc_holds(
    table: Table, step: Step, cell: Cell | None, produced: Sequence[str], read: set[Cell], find_rule: FindRule
) -> bool:
    if not all(any(same_value(operand, value) for value in produced) for operand in step.operands):
        return False
    return calculation_holds(step)


def calculation_holds(step: Step) -> bool:
    """Whether an operation makes the value that is said of its operands."""
    numbers = [number_of(operand) for operand in step.operands]
    values = [number for number in numbers if number is not None]
    if len(values) != len(numbers):
        return False
    count = _COUNT.fullmatch(step.name)
    if count is not None:
        bound = float(count["bound"])
        return _is(step.value, float(sum(value > bound if count["sign"] == ">" else value < bound for value in values)))
    operation = _OPERATIONS.get(step.name)
    result = None if operation is None else operation(values)
    if isinstance(result, bool):
        return step.value.strip().lower() == str(result).lower()
    return result is not None and _is(step.value, result)


def _is(said: str, value: float) -> bool:
    number = number_of(said)
    return number is not None and math.isclose(number, value, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)


def _of_two(operation: Callable[[float, float], float | bool]) -> Callable[[Sequence[float]], float | bool | None]:
    return lambda values: operation(values[0], values[1]) if len(values) == 2 else None


def _ratio(values: Sequence[float]) -> float | None:
    return values[0] / values[1] if len(values) == 2 and values[1] else None


_OPERATIONS: Mapping[str, Callable[[Sequence[float]], float | bool | None]] = {
    "sum": math.fsum,
    "product": math.prod,
    "average": fmean,
    "max": max,
    "min": min,
    "count": lambda values: float(len(values)),
    "difference": _of_two(lambda one, other: one - other),
    "ratio": _ratio,
    "greater": _of_two(lambda one, other: one > other),
    "less": _of_two(lambda one, other: one < other),
    "equal": _of_two(lambda one, other: one == other),
}
OPERATIONS = (*_OPERATIONS, "count>N", "count<N")
"""What ``calc`` knows."""

_HOLDS: Mapping[str, Callable[[Table, Step, Cell | None, Sequence[str], set[Cell], FindRule], bool]] = {
    "find": _find_holds,
    "read": _read_holds,
    "calc": _calc_holds,
    "pick": _pick_holds,
    "invalid": lambda *_: False,
}
