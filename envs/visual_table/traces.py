"""The grammar of traces, written and read: steps that point at cells, then an answer (V-CoT, our grammar).

::

    trace := "<think>" step+ "</think>" "<answer>" value "</answer>"
    step  := "find" NAME "->" anchor | "read" anchor "=" VALUE | "calc" OP "(" VALUE ("," VALUE)* ")" "=" VALUE
           | "pick" ("max" | "min") "->" anchor
    anchor := "<cell: Row " INT ", Col " INT ">" | "<box: x1,y1,x2,y2>"

Steps are separated by line breaks or semicolons, so that no name and no value holds either. Reading is total: what
cannot be read is one invalid step.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from fogline.simulators.tables.records import Box, Cell, Step

MAX_REPLY = 20_000
"""Characters of a reply that are read."""
MAX_STEPS = 400
"""Steps that are read; all that follow are one invalid step."""

INVALID = Step("invalid")

_ANCHOR = r"<cell: Row (?P<row>[0-9]{1,4}), Col (?P<column>[0-9]{1,4})>|<box: (?P<box>[0-9]{1,5}(?:, ?[0-9]{1,5}){3})>"
_STEPS = {
    "find": re.compile(rf"find (?P<name>\S.*?) ?-> ?(?:{_ANCHOR})"),
    "read": re.compile(rf"read (?:{_ANCHOR}) ?= ?(?P<value>.*)"),
    "calc": re.compile(r"calc (?P<name>[^\s()]{1,40}) ?\((?P<operands>[^()]*)\) ?= ?(?P<value>\S.*)"),
    "pick": re.compile(rf"pick (?P<name>max|min) ?-> ?(?:{_ANCHOR})"),
}
_WHOLE = re.compile(r"\s*<think>(?P<steps>.*?)</think>\s*<answer>(?P<answer>.*?)</answer>\s*", re.DOTALL)
_TAGS = ("<think>", "</think>", "<answer>", "</answer>")
_BREAK = re.compile(r"[\n;]")


class Trace(NamedTuple):
    """What a reply says.

    Attributes:
        steps: In order; unreadable ones are ``invalid``.
        answer: What stands between the answer's tags; None without them.
        well_formed: Whether the whole reply is a trace of the grammar.
        places: Where each step stands in the reply: its first character, and the one behind its last.
    """

    steps: tuple[Step, ...]
    answer: str | None
    well_formed: bool
    places: tuple[tuple[int, int], ...] = ()


def read_trace(reply: str) -> Trace:
    """Read a reply: never an exception, whatever it holds; time is linear in it."""
    if len(reply) > MAX_REPLY:
        reply, cut = reply[:MAX_REPLY], True
    else:
        cut = False
    places = _places(reply, *_between(reply, "<think>", "</think>"))
    steps = tuple(
        read_step(reply[start:end]) if number < MAX_STEPS else INVALID for number, (start, end) in enumerate(places)
    )
    start, end = _between(reply, "<answer>", "</answer>")
    answer = None if start < 0 else reply[start:end].strip()
    whole = not cut and all(reply.count(tag) == 1 for tag in _TAGS) and _WHOLE.fullmatch(reply) is not None
    well_formed = whole and bool(steps) and INVALID not in steps and bool(answer)
    return Trace(steps, answer, well_formed, places)


def written_trace(steps: Iterable[Step], answer: str) -> str:
    """A trace in the grammar."""
    return f"<think>{'; '.join(map(written_step, steps))}</think><answer>{answer}</answer>"


def written_step(step: Step) -> str:
    """A step in the grammar."""
    if step.kind == "calc":
        return f"calc {step.name}({', '.join(step.operands)}) = {step.value}"
    if step.kind == "invalid" or step.anchor is None:
        return "?"
    anchor = written_anchor(step.anchor)
    return f"read {anchor} = {step.value}" if step.kind == "read" else f"{step.kind} {step.name} -> {anchor}"


def written_anchor(anchor: Cell | Box) -> str:
    """An anchor in the grammar."""
    if isinstance(anchor, Cell):
        return f"<cell: Row {anchor.row}, Col {anchor.column}>"
    return f"<box: {anchor.left},{anchor.top},{anchor.right},{anchor.bottom}>"


def read_step(text: str) -> Step:
    """Read one step; an invalid one where it is none."""
    kind = text.partition(" ")[0]
    pattern = _STEPS.get(kind)
    match = None if pattern is None else pattern.fullmatch(text)
    if match is None:
        return INVALID
    found = match.groupdict()
    operands = tuple(part.strip() for part in (found.get("operands") or "").split(","))
    if kind == "calc" and not all(operands):
        return INVALID
    return Step(
        kind,  # type: ignore[arg-type]
        found.get("name") or "",
        _anchor(found),
        operands if kind == "calc" else (),
        (found.get("value") or "").strip(),
    )


def _anchor(found: dict[str, str | None]) -> Cell | Box | None:
    row, column, box = found.get("row"), found.get("column"), found.get("box")
    if row is not None and column is not None:
        return Cell(int(row), int(column))
    return Box(*(int(edge) for edge in box.split(","))) if box is not None else None


def _places(reply: str, start: int, end: int) -> tuple[tuple[int, int], ...]:
    """Where the steps between two characters stand; all beyond the most that are read are one."""
    places: list[tuple[int, int]] = []
    while 0 <= start < end and len(places) <= MAX_STEPS:
        found = _BREAK.search(reply, start, end) if len(places) < MAX_STEPS else None
        close = end if found is None else found.start()
        line = reply[start:close]
        if line.strip():
            places.append((start + len(line) - len(line.lstrip()), start + len(line.rstrip())))
        start = close + 1
    return tuple(places)


def _between(text: str, opening: str, closing: str) -> tuple[int, int]:
    """Where the text between the first opening and the next closing stands, up to the end where nothing closes.

    -1 and -1 without an opening.
    """
    start = text.find(opening)
    if start < 0:
        return -1, -1
    end = text.find(closing, start)
    return start + len(opening), end if end >= 0 else len(text)
