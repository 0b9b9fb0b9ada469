"""What a table is, what is asked about it, and the steps that read an answer from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from fogline.core.errors import DataError

HEADER = 0
"""Row of the column names; rows of data count from 1, and so do columns."""


class Cell(NamedTuple):
    """A place in a table: row 0 is the header, column 1 the leftmost."""

    row: int
    column: int


class Box(NamedTuple):
    """A rectangle of pixels: left and top edge within it, right and bottom edge outside."""

    left: int
    top: int
    right: int
    bottom: int


@dataclass(frozen=True, slots=True)
class Style:
    """How a table looks.

    Attributes:
        zebra: Every other row is shaded.
        rules: Lines between cells.
        bold: The header is written bold.
    """

    zebra: bool = False
    rules: bool = True
    bold: bool = True


@dataclass(frozen=True, slots=True)
class Table:
    """A grid of text under a header.

    Attributes:
        header: Names of the columns.
        rows: Rows of data, each as long as the header.
        groups: Names over the header, each with the number of columns that it spans from left to right; no place of
            theirs can be pointed at. They span all columns, or there are none.
        style: How it looks.

    Raises:
        DataError: No column, no row, a ragged row, or groups that do not span the columns.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    groups: tuple[tuple[str, int], ...] = ()
    style: Style = Style()

    def __post_init__(self) -> None:
        width = len(self.header)
        if not width or not self.rows:
            raise DataError(f"a table of {width} columns and {len(self.rows)} rows: expected at least one of each.")
        for number, row in enumerate(self.rows, 1):
            if len(row) != width:
                raise DataError(
                    f"row {number} has {len(row)} cells, the header {width}: expected as many in every row; fill up "
                    "with empty text what is missing."
                )
        spans = [span for _, span in self.groups]
        if spans and (min(spans) < 1 or sum(spans) != width):
            raise DataError(f"groups that span {spans} of {width} columns: expected spans of 1 or more that cover all.")

    @property
    def height(self) -> int:
        """Rows of data."""
        return len(self.rows)

    @property
    def width(self) -> int:
        """Columns."""
        return len(self.header)

    def __contains__(self, cell: Cell) -> bool:
        return 0 <= cell.row <= self.height and 1 <= cell.column <= self.width

    def text(self, cell: Cell) -> str:
        """What stands at a place.

        Raises:
            DataError: There is no such place.
        """
        if cell not in self:
            raise DataError(
                f"row {cell.row}, column {cell.column}: expected a row from 0 (the header) to {self.height} and a "
                f"column from 1 to {self.width}."
            )
        return self.header[cell.column - 1] if cell.row == HEADER else self.rows[cell.row - 1][cell.column - 1]

    def cells(self) -> Iterator[Cell]:
        """Every place, row by row, the header first."""
        return (Cell(row, column) for row in range(self.height + 1) for column in range(1, self.width + 1))


StepKind = Literal["find", "read", "calc", "pick", "invalid"]


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a trace.

    Attributes:
        kind: ``find`` a name, ``read`` a cell, ``calc`` a value, ``pick`` an extremum; ``invalid`` where it cannot be
            read.
        name: Of ``find``: what is looked for. Of ``calc``: the operation. Of ``pick``: ``max`` or ``min``.
        anchor: The place that it points at, by row and column or by pixels; None for ``calc``.
        operands: Of ``calc``.
        value: What ``read`` and ``calc`` say they got.
    """

    kind: StepKind
    name: str = ""
    anchor: Cell | Box | None = None
    operands: tuple[str, ...] = ()
    value: str = ""


@dataclass(frozen=True, slots=True)
class TableTask:
    """A question about a table.

    Attributes:
        task_id: Unique within a data set.
        table: The table.
        question: In words.
        answers: The gold answer, as a list: of most questions it has one member.
        level: Graded difficulty, 1 to 4; 0 where a file does not say.
        kind: Kind of question (``value``, ``sum``, ``argmax``, …), or the name of the file's format.
        steps: The gold trace; empty where nobody wrote one.
        short: The question in the fewest words; empty where ``question`` is that.
        shortcut: Whether the answer stands in the first row, where a guess looks first.
    """

    task_id: str
    table: Table = field(repr=False)
    question: str
    answers: tuple[str, ...] = field(repr=False)
    level: int
    kind: str
    steps: tuple[Step, ...] = field(default=(), repr=False)
    short: str = ""
    shortcut: bool = False


@dataclass(frozen=True)
class TableDataset:
    """Questions by id.

    Attributes:
        name: Shown in errors and reports.
        tasks: Questions; generated ones are made when they are asked for.
    """

    name: str
    tasks: Mapping[str, TableTask] = field(repr=False)

    def __len__(self) -> int:
        return len(self.tasks)

    def __iter__(self) -> Iterator[TableTask]:
        return iter(self.tasks.values())
