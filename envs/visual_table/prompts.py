"""What VisualTable-v0 says."""

from __future__ import annotations

from fogline.simulators.tables.records import Table

_OPERATIONS = "sum, difference, product, ratio, average, max, min, count, greater, less, equal, count>N, count<N"

RULES = f"""\
You answer a question about a table. Say where you look, step by step, then the answer, in this form and nothing else:
<think>step; step; …</think><answer>ANSWER</answer>
Row 0 is the header, rows of data count from 1, and column 1 is the leftmost. A step is one of
find NAME -> <cell: Row R, Col C>      where a column's or a row's name stands
read <cell: Row R, Col C> = VALUE      what stands in a cell
calc OPERATION(VALUE, …) = VALUE       of values that you have read: {_OPERATIONS}
pick max -> <cell: Row R, Col C>       the largest of a column that you have read whole; or: pick min
A place may also be given in pixels: <box: LEFT,TOP,RIGHT,BOTTOM>. Write numbers without separators of thousands, \
several answers with | between them, and of a statement: entailed or refuted."""


def symbols(table: Table) -> str:
    """The table as text, a line for each row."""
    lines = [f"Row {number}: {' | '.join(row)}" for number, row in enumerate((table.header, *table.rows))]
    if table.groups:
        spans = (f"{text or '-'} ({span})" for text, span in table.groups)
        lines.insert(0, f"Over the header: {' | '.join(spans)}")
    return "\n".join(lines)


def asked(table: Table, question: str) -> str:
    """The table and the question as text."""
    return f"{symbols(table)}\nQuestion: {question}"


def asked_shortly(table: Table, question: str) -> str:
    """In the fewest characters."""
    return "\n".join(" ".join(row) for row in (table.header, *table.rows)) + f"\n{question}:"
