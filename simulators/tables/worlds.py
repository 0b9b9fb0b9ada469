"""Tables drawn at random: names in the first column, whole numbers in the others (V-tableR1 world, our design)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fogline.core.errors import ConfigurationError, check_choice
from fogline.simulators.tables.records import Style, Table
from fogline.simulators.tables.words import GROUPS, LETTERS, MEASURES, SUBJECTS

MOST_ROWS, MOST_COLUMNS = 10, 8
NAMINGS = ("words", "letters")


@dataclass(frozen=True)
class TableWorld:
    """What tables are drawn from.

    Attributes:
        rows: Fewest and most rows of data.
        columns: Fewest and most columns, the first one's names included.
        largest: Largest number; the smallest is 0.
        names: ``words``, or ``letters`` for tiny models: every name is one capital letter.
        merged: Chance of names over the header; never with ``letters``.
        styled: Whether shading, lines and bold type vary.

    Raises:
        ConfigurationError: A bound that no table can have.
    """

    rows: tuple[int, int] = (2, 6)
    columns: tuple[int, int] = (2, 5)
    largest: int = 99
    names: str = "words"
    merged: float = 0.25
    styled: bool = True

    def __post_init__(self) -> None:
        check_choice("names", self.names, NAMINGS)
        for name, (low, high), least, most in (
            ("rows", self.rows, 2, MOST_ROWS),
            ("columns", self.columns, 2, MOST_COLUMNS),
        ):
            if not least <= low <= high <= most:
                raise ConfigurationError(f"{name}={(low, high)}: expected fewest and most, from {least} to {most}.")
        if not self.rows[1] - 1 <= self.largest <= 9999:
            raise ConfigurationError(
                f"largest={self.largest}: expected {self.rows[1] - 1} to 9999; a column has as many different numbers "
                "as there are rows."
            )
        if not 0 <= self.merged <= 1:
            raise ConfigurationError(f"merged={self.merged}: expected a chance, from 0 to 1.")


def draw_table(rng: np.random.Generator, world: TableWorld) -> Table:
    """Draw a table. Names are unique, and so are the numbers of a column, so that each has one extremum."""
    rows, columns = (int(rng.integers(low, high + 1)) for low, high in (world.rows, world.columns))
    if world.names == "letters":
        drawn = [LETTERS[index] for index in rng.permutation(len(LETTERS))[: rows + columns]]
        header, entities = drawn[:columns], drawn[columns:]
    else:
        subjects = list(SUBJECTS)
        subject = subjects[int(rng.integers(len(subjects)))]
        header = [subject, *(MEASURES[index] for index in rng.permutation(len(MEASURES))[: columns - 1])]
        entities = [SUBJECTS[subject][index] for index in rng.permutation(len(SUBJECTS[subject]))[:rows]]
    numbers = np.stack([rng.permutation(world.largest + 1)[:rows] for _ in range(columns - 1)], axis=1)
    body = tuple((entity, *map(str, values)) for entity, values in zip(entities, numbers.tolist(), strict=True))
    return Table(tuple(header), body, _groups(rng, world, columns), _style(rng, world))


def _groups(rng: np.random.Generator, world: TableWorld, columns: int) -> tuple[tuple[str, int], ...]:
    """One name or two over the numbers, nothing over the names; often none at all."""
    if world.names == "letters" or rng.random() >= world.merged:
        return ()
    names = [GROUPS[index] for index in rng.permutation(len(GROUPS))[:2]]
    if columns < 4:
        return (("", 1), (names[0], columns - 1))
    first = int(rng.integers(1, columns - 1))
    return (("", 1), (names[0], first), (names[1], columns - 1 - first))


def _style(rng: np.random.Generator, world: TableWorld) -> Style:
    if not world.styled:
        return Style()
    zebra, rules, bold = (bool(rng.random() < 0.5) for _ in range(3))
    return Style(zebra, rules, bold)


def largest_table(world: TableWorld) -> Table:
    """A table at least as large, drawn, as any of a world."""
    rows, columns = world.rows[1], world.columns[1]
    if world.names == "letters":
        return Table((LETTERS[0],) * columns, ((LETTERS[0],) * columns,) * rows)
    subjects = max((*SUBJECTS, *(name for names in SUBJECTS.values() for name in names)), key=len)
    measure, group, number = max(MEASURES, key=len), max(GROUPS, key=len), str(world.largest)
    # Every column as wide as a group over it alone.
    groups = (("", 1), *((group + group, 1) for _ in range(columns - 1))) if world.merged else ()
    wide = ("W" * (len(subjects) + 2), *("W" * (max(len(measure), len(number)) + 2) for _ in range(columns - 1)))
    return Table(wide, (wide,) * rows, groups)
