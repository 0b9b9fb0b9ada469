"""Questions in four levels with their gold programs: which steps lead from the table to the answer.

Level 1 looks a value up; 2 compares, adds or subtracts two, or verifies a statement; 3 finds an extremum or counts;
4 takes two hops (V-tableR1 world, our design).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fogline.simulators.tables.records import HEADER, Cell, Step, Table

ENTAILED, REFUTED = "entailed", "refuted"
ENTITIES = 1
"""Column of the rows' names."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question about a table, and how it is answered.

    Attributes:
        kind: Of question.
        text: In words.
        short: In the fewest words.
        answer: Of its table.
        steps: The gold trace.
        row: Row that the answer stands in; None where it stands in none.
    """

    kind: str
    text: str
    short: str
    answer: str
    steps: tuple[Step, ...]
    row: int | None = None


Draw = Callable[[np.random.Generator, Table], Question]


def draw_question(
    rng: np.random.Generator, table: Table, level: int, kinds: Sequence[str] = (), shortcut: float = 0.0
) -> tuple[Table, Question]:
    """Ask about a table.

    Args:
        rng: Decides kind, places and wording.
        table: Asked about.
        level: 1 to 4.
        kinds: Only these kinds of the level; all where empty.
        shortcut: Chance that the answer of a search is moved to the first row, where a guess looks first.

    Returns:
        The table, its rows reordered where the shortcut was taken, and the question.
    """
    names = [kind for kind in QUESTIONS[level] if not kinds or kind in kinds]
    draw = QUESTIONS[level][names[int(rng.integers(len(names)))]]
    seed = int(rng.integers(2**63))
    question = draw(np.random.default_rng(seed), table)
    if question.row not in (None, 1) and rng.random() < shortcut:
        assert question.row is not None
        rows = [
            table.rows[question.row - 1],
            *(row for number, row in enumerate(table.rows, 1) if number != question.row),
        ]
        table = replace(table, rows=tuple(rows))
        question = draw(np.random.default_rng(seed), table)
    return table, question


def _found(table: Table, row: int, column: int) -> Step:
    cell = Cell(row, column)
    return Step("find", table.text(cell), cell)


def _read(table: Table, row: int, column: int) -> Step:
    cell = Cell(row, column)
    return Step("read", anchor=cell, value=table.text(cell))


def _calculated(name: str, operands: Sequence[str], value: str) -> Step:
    return Step("calc", name, operands=tuple(operands), value=value)


def _column(rng: np.random.Generator, table: Table) -> int:
    return int(rng.integers(2, table.width + 1))


def _two(rng: np.random.Generator, table: Table) -> tuple[int, int, int]:
    """A column and two rows."""
    column = _column(rng, table)
    first, second = (int(row) + 1 for row in rng.permutation(table.height)[:2])
    return column, first, second


def _both(table: Table, first: int, second: int, column: int) -> tuple[list[Step], str, str]:
    """Steps that read a column of two rows, and what they read."""
    steps = [
        _found(table, first, ENTITIES),
        _found(table, second, ENTITIES),
        _found(table, HEADER, column),
        _read(table, first, column),
        _read(table, second, column),
    ]
    return steps, steps[3].value, steps[4].value


def _value(rng: np.random.Generator, table: Table) -> Question:
    column, row = _column(rng, table), int(rng.integers(1, table.height + 1))
    steps = (_found(table, row, ENTITIES), _found(table, HEADER, column), _read(table, row, column))
    name, entity = table.header[column - 1], table.rows[row - 1][0]
    return Question("value", f"How many {name} does {entity} have?", f"{name} of {entity}", steps[2].value, steps)


def _sum(rng: np.random.Generator, table: Table) -> Question:
    column, first, second = _two(rng, table)
    name, a, b = table.header[column - 1], table.rows[first - 1][0], table.rows[second - 1][0]
    text, short = f"How many {name} do {a} and {b} have together?", f"{name} of {a} plus {b}"
    return _arithmetic(table, "sum", (first, second, column), text, short)


def _difference(rng: np.random.Generator, table: Table) -> Question:
    column, first, second = _two(rng, table)
    if int(table.rows[first - 1][column - 1]) < int(table.rows[second - 1][column - 1]):
        first, second = second, first
    name, a, b = table.header[column - 1], table.rows[first - 1][0], table.rows[second - 1][0]
    text, short = f"How many more {name} does {a} have than {b}?", f"{name} of {a} minus {b}"
    return _arithmetic(table, "difference", (first, second, column), text, short)


def _arithmetic(table: Table, kind: str, places: tuple[int, int, int], text: str, short: str) -> Question:
    """Sum or difference of a column of two rows."""
    steps, one, other = _both(table, *places)
    answer = str(int(one) + int(other) if kind == "sum" else int(one) - int(other))
    return Question(kind, text, short, answer, (*steps, _calculated(kind, (one, other), answer)))


def _compare(rng: np.random.Generator, table: Table) -> Question:
    steps, holds, (name, a, b) = _greater(rng, table)
    text, short = f"Which has more {name}, {a} or {b}?", f"more {name} {a} or {b}"
    return Question("compare", text, short, a if holds else b, steps)


def _verify(rng: np.random.Generator, table: Table) -> Question:
    steps, holds, (name, a, b) = _greater(rng, table)
    text = f'Is this statement entailed or refuted? "{a} has more {name} than {b}."'
    return Question("verify", text, f"claim {name} of {a} over {b}", ENTAILED if holds else REFUTED, steps)


def _greater(rng: np.random.Generator, table: Table) -> tuple[tuple[Step, ...], bool, tuple[str, str, str]]:
    """Steps that compare a column of two rows, whether the first has more, and the names of the three."""
    column, first, second = _two(rng, table)
    steps, one, other = _both(table, first, second, column)
    holds = int(one) > int(other)
    names = table.header[column - 1], table.rows[first - 1][0], table.rows[second - 1][0]
    return (*steps, _calculated("greater", (one, other), str(holds).lower())), holds, names


def _scan(table: Table, column: int) -> list[Step]:
    return [_found(table, HEADER, column), *(_read(table, row, column) for row in range(1, table.height + 1))]


def _extremum(table: Table, column: int, which: str) -> int:
    """The row whose number is the largest or the smallest of a column."""
    choose = max if which == "max" else min
    return choose(range(1, table.height + 1), key=lambda row: int(table.rows[row - 1][column - 1]))


def _search(which: str) -> Draw:
    def draw(rng: np.random.Generator, table: Table) -> Question:
        column = _column(rng, table)
        row = _extremum(table, column, which)
        steps = [*_scan(table, column), Step("pick", which, Cell(row, column)), _found(table, row, ENTITIES)]
        name, subject = table.header[column - 1], table.header[0]
        words = "most" if which == "max" else "fewest"
        return Question(
            f"arg{which}",
            f"Which {subject} has the {words} {name}?",
            f"{words} {name}",
            table.rows[row - 1][0],
            tuple(steps),
            row,
        )

    return draw


def _count(rng: np.random.Generator, table: Table) -> Question:
    column = _column(rng, table)
    values = [row[column - 1] for row in table.rows]
    bound = int(values[int(rng.integers(len(values)))])
    answer = str(sum(int(value) > bound for value in values))
    name, subject = table.header[column - 1], table.header[0]
    return Question(
        "count",
        f"How many rows of {subject} have more than {bound} {name}?",
        f"count {name} over {bound}",
        answer,
        (*_scan(table, column), _calculated(f"count>{bound}", values, answer)),
    )


def _two_hops(rng: np.random.Generator, table: Table) -> Question:
    searched_column, asked = (int(index) + 2 for index in rng.permutation(table.width - 1)[:2])
    row = _extremum(table, searched_column, "max")
    steps = [
        *_scan(table, searched_column),
        Step("pick", "max", Cell(row, searched_column)),
        _found(table, HEADER, asked),
        _read(table, row, asked),
    ]
    search, name, subject = table.header[searched_column - 1], table.header[asked - 1], table.header[0]
    return Question(
        "two-hop",
        f"How many {name} does the {subject} with the most {search} have?",
        f"{name} at most {search}",
        steps[-1].value,
        tuple(steps),
        row,
    )


QUESTIONS: Mapping[int, Mapping[str, Draw]] = {
    1: {"value": _value},
    2: {"sum": _sum, "difference": _difference, "compare": _compare, "verify": _verify},
    3: {"argmax": _search("max"), "argmin": _search("min"), "count": _count},
    4: {"two-hop": _two_hops},
}
"""Kinds of question of each level. Level 4 needs a table of three columns."""
KINDS = tuple(kind for kinds in QUESTIONS.values() for kind in kinds)
