"""Plain Python values for what engines other than SQLite return, the same for the same data on every engine."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

Row = tuple[Any, ...]


def plain(value: Any) -> int | float | str | bytes | None:
    """Return ``value`` as one of the types SQLite has.

    Booleans become 0 and 1; decimals become int when they have no fractional digits in their type, else float; dates
    and times become ISO text with a space between date and time, as SQLite's own functions write it; lists, structs
    and maps become JSON text; anything else becomes its text.
    """
    if value is None or isinstance(value, (float, str, bytes)):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, Decimal):
        return _decimal(value)
    if isinstance(value, datetime):
        return value.isoformat(" ")
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, (list, tuple, dict)):
        return json.dumps(_nested(value), ensure_ascii=False)
    return bytes(value) if isinstance(value, (bytearray, memoryview)) else str(value)


def converting(fetch: Callable[[int], list[Row]], columns: Sequence[int]) -> Callable[[int], list[Row]]:
    """Return ``fetch`` with :func:`plain` applied to the ``columns`` (indices) that need it."""
    if not columns:
        return fetch
    chosen = frozenset(columns)

    def fetch_plain(count: int) -> list[Row]:
        return [
            tuple(plain(value) if index in chosen else value for index, value in enumerate(row)) for row in fetch(count)
        ]

    return fetch_plain


def _decimal(value: Decimal) -> int | float:
    exponent = value.as_tuple().exponent
    return int(value) if isinstance(exponent, int) and exponent >= 0 else float(value)


def _nested(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(plain(key)): _nested(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_nested(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    converted = plain(value)
    return converted.hex() if isinstance(converted, bytes) else converted
