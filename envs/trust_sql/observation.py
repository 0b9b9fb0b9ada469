"""How a query result is shown to the agent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fogline.simulators.databases.records import QueryResult

CHARACTERS_PER_TOKEN = 4
EMPTY_RESULT = "The statement ran and returned no rows."
_ESCAPES = str.maketrans({"\t": "\\t", "\n": "\\n", "\r": "\\r"})


@dataclass(frozen=True, slots=True)
class Display:
    """Bounds of what is shown.

    Attributes:
        max_rows: Rows shown; the number of further rows is said.
        max_tokens: Longest observation, in tokens.
        count_tokens: Counts the tokens of a text. Without one, a token is taken to be four characters.
    """

    max_rows: int = 30
    max_tokens: int = 1024
    count_tokens: Callable[[str], int] | None = None

    def render(self, result: QueryResult) -> str:
        """Text of a result: header and tab-separated rows, the empty sentence, or an error."""
        if result.status == "ok":
            return self.truncate(_table(result, self.max_rows))
        if result.status == "empty":
            return EMPTY_RESULT
        return self.truncate(f"Error: {result.message}")

    def truncate(self, text: str) -> str:
        """Cut ``text`` to the token bound and say so."""
        if self.count_tokens is None:
            cut = self.max_tokens * CHARACTERS_PER_TOKEN
            return text if len(text) <= cut else f"{text[:cut]}\n[output cut at {self.max_tokens} tokens]"
        if len(text) <= self.max_tokens or self.count_tokens(text) <= self.max_tokens:
            return text
        low, high = 0, len(text)
        while low < high:
            middle = (low + high + 1) // 2
            if self.count_tokens(text[:middle]) <= self.max_tokens:
                low = middle
            else:
                high = middle - 1
        return f"{text[:low]}\n[output cut at {self.max_tokens} tokens]"


def _table(result: QueryResult, max_rows: int) -> str:
    rows = result.rows[:max_rows]
    body = "\n".join(["\t".join([value if type(value) is str else _cell(value) for value in row]) for row in rows])
    # Looking once at the whole is much quicker than at each cell, and hardly any cell holds such a character.
    breaks, tabs = len(rows) - 1, len(rows) * (len(result.columns) - 1)
    if body.count("\n") != breaks or body.count("\t") != tabs or "\r" in body:
        body = "\n".join(["\t".join([_cell(value) for value in row]) for row in rows])
    lines = ["\t".join(result.columns)]
    if rows:
        lines.append(body)
    further = result.row_count - max_rows
    if result.truncated:
        lines.append(f"[more than {max(further, 0)} further rows]")
    elif further > 0:
        lines.append(f"[{further} further rows]")
    return "\n".join(lines)


def _cell(value: object) -> str:
    kind = type(value)
    if kind is int:
        return str(value)
    if kind is float:
        return repr(value)
    if value is None:
        return "NULL"
    if isinstance(value, str):
        return value.translate(_ESCAPES) if ("\n" in value or "\t" in value or "\r" in value) else value
    if isinstance(value, bytes):
        shown = value[:16].hex()
        return f"x'{shown}'" if len(value) <= 16 else f"x'{shown}...' ({len(value)} bytes)"
    return str(value)
