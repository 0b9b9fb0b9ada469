"""What a worker process and its parent say to one another.

Only the standard library's cheapest modules are imported here: the workers start with a bare interpreter, and a
worker should be up in tens of milliseconds. Messages are :mod:`marshal` of plain values behind a length: quick,
and loading one cannot run code.

Parent to worker::

    ("open", slot, spec)                          -> None, or (kind, message) when the database does not open
    ("close", slot)                               (no reply)
    ("run", slot, [statement, ...], limits)       -> one answer for each statement, as each one ends

The worker speaks first: None when it is up, or (kind, message) when it cannot start.
"""

from __future__ import annotations

import marshal
import os
from collections.abc import Callable
from time import perf_counter
from typing import Any

HEADER_BYTES = 8
LINGER_SECONDS = {"parent": 0.002, "worker": 0.0002}
"""How long each side keeps looking for the next message before it sleeps.

Waking a sleeping processor takes longer than most statements; whoever looks gives way to anybody else who can run.
The parent has nothing else to do in a blocking call, so it looks for longer; an event loop never waits like this.
"""
CHUNK_ROWS = 256
"""Rows fetched from an engine at a time."""

NOT_TEXT = "syntax error: the statement contains characters that cannot be stored as text"

LimitValues = tuple[float, int, int | None, int, int, int]
"""seconds, max_rows, keep_rows, max_bytes, max_cell_bytes, memory_bytes of :class:`QueryLimits`."""

Answer = tuple[str, list[str], list[bytes], int, bool, str, str, list[str], bool, float, bool]
"""The fields of :class:`QueryResult` in their order, rows as marshalled chunks, then whether to retire the worker."""


class CellTooLargeError(Exception):
    """A cell exceeds ``max_cell_bytes``."""


def linger(poll: Callable[[int], list[tuple[int, int]]], seconds: float) -> None:
    """Return as soon as ``poll`` reports something to read, or after ``seconds``."""
    end = perf_counter() + seconds
    while not poll(0) and perf_counter() < end:
        os.sched_yield()


def encode(message: Any) -> bytes:
    """Return ``message`` (plain values only) as one frame."""
    body = marshal.dumps(message)
    return len(body).to_bytes(HEADER_BYTES, "little") + body


def failure(
    status: str,
    message: str,
    error_class: str = "",
    *,
    tables: list[str] | None = None,
    seconds: float = 0.0,
    retire: bool = False,
) -> Answer:
    """Return the answer for a statement that gave no rows; ``retire`` asks the parent for a fresh worker."""
    return (status, [], [], 0, False, error_class, message, tables or [], False, seconds, retire)


def cell_bytes(value: object) -> int:
    """Return what a cell counts against ``max_bytes``: the bytes of a text (UTF-8) or blob, 1 for anything else."""
    if isinstance(value, str):
        return len(value) if value.isascii() else len(value.encode("utf-8", "surrogatepass"))
    return len(value) if isinstance(value, bytes) else 1


def gather(
    fetch: Callable[[int], list[tuple[Any, ...]]], width: int, limits: LimitValues
) -> tuple[list[bytes], int, bool]:
    """Read rows through ``fetch(count)`` until they end or a limit is met.

    A chunk is small enough that even cells of the greatest permitted size fit into a quarter of the memory.

    Args:
        fetch: Returns the next rows, fewer than asked for only at the end.
        width: Columns of the result.
        limits: What may be read.

    Returns:
        Marshalled lists of the rows to keep, the number of rows fetched, and whether the engine had more.

    Raises:
        CellTooLargeError: A cell exceeds ``max_cell_bytes``.
    """
    _, max_rows, keep_rows, max_bytes, max_cell_bytes, memory_bytes = limits
    largest = max(1, memory_bytes // 4 // max(1, max_cell_bytes * max(width, 1)))
    chunk_rows = min(CHUNK_ROWS, largest)
    chunks: list[bytes] = []
    count = used = 0
    exact = False
    while True:
        wanted = min(chunk_rows, max_rows - count + 1)
        rows = fetch(wanted)
        if not rows:
            return _first_rows(chunks, count, keep_rows), count, False
        ended = len(rows) < wanted
        truncated = count + len(rows) > max_rows
        if truncated:
            del rows[max_rows - count :]
        chunk = marshal.dumps(rows)
        # A marshalled row is never shorter than its content, so the exact count is seldom needed.
        if len(chunk) > max_cell_bytes or used + len(chunk) > max_bytes:
            if not exact:
                exact, used = True, sum(_content(marshal.loads(earlier)) for earlier in chunks)
            kept = _fitting(rows, max_bytes - used, max_cell_bytes)
            if kept < len(rows):
                truncated = True
                del rows[kept:]
                chunk = marshal.dumps(rows)
        used += _content(rows) if exact else len(chunk)
        if rows:
            chunks.append(chunk)
        count += len(rows)
        if ended or truncated:
            return _first_rows(chunks, count, keep_rows), count, truncated


def _first_rows(chunks: list[bytes], count: int, keep_rows: int | None) -> list[bytes]:
    if keep_rows is None or count <= keep_rows:
        return chunks
    kept: list[bytes] = []
    for chunk in chunks:
        rows = marshal.loads(chunk)
        if len(rows) >= keep_rows:
            return [*kept, marshal.dumps(rows[:keep_rows])] if keep_rows else kept
        kept.append(chunk)
        keep_rows -= len(rows)
    return kept


def _content(rows: list[tuple[Any, ...]]) -> int:
    return sum(cell_bytes(value) for row in rows for value in row)


def _fitting(rows: list[tuple[Any, ...]], room: int, max_cell_bytes: int) -> int:
    """Return how many of ``rows`` fit into ``room`` bytes."""
    content = 0
    for index, row in enumerate(rows):
        sizes = [cell_bytes(value) for value in row]
        if max(sizes, default=0) > max_cell_bytes:
            raise CellTooLargeError
        content += sum(sizes)
        if content > room:
            return index
    return len(rows)
