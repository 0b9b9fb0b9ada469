"""Reading records of data-set files; a complaint names file, place, field and what was expected."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fogline.core.errors import DataError


@dataclass(frozen=True)
class SourceRecord:
    """One JSON object of a file.

    Attributes:
        file: Where it stands.
        place: ``line 3`` in JSONL, ``record 3`` (from 0) in a JSON array.
        index: Position among the records of its file, from 0.
        data: The object.
    """

    file: Path
    place: str
    index: int
    data: Mapping[str, Any]

    def complaint(self, field: str, problem: str, expected: str) -> DataError:
        """Build the error for one field."""
        return DataError(f"{self.file}, {self.place}, field {field!r}: {problem}; expected {expected}.")

    def text(self, field: str, default: str | None = None) -> str:
        """Return a string field; an absent or null one is ``default``, or an error where that is ``None``."""
        value = self.data.get(field)
        if value is None:
            if default is None:
                raise self.complaint(field, "is missing", "a non-empty string")
            return default
        if not isinstance(value, str):
            raise self.complaint(field, f"is {value!r}", "a string")
        if default is None and not value.strip():
            raise self.complaint(field, "is empty", "a non-empty string")
        return value.strip()

    def name(self, field: str) -> str:
        """Return a database name: text without path parts."""
        value = self.text(field)
        if value in (".", "..") or "/" in value or "\\" in value:
            raise self.complaint(field, f"is {value!r}", "a database name without path parts")
        return value

    def texts(self, field: str) -> tuple[str, ...]:
        """Return a list of strings, empty where absent."""
        value = self.data.get(field)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.complaint(field, f"is {value!r}", "a list of strings")
        return tuple(value)

    def mapping(self, field: str) -> SourceRecord:
        """Return a nested object as a record of the same place."""
        value = self.data.get(field)
        if not isinstance(value, Mapping):
            raise self.complaint(field, "is missing" if value is None else f"is a {type(value).__name__}", "an object")
        return SourceRecord(self.file, f"{self.place}, in {field!r}", self.index, value)


def read_records(path: Path) -> list[SourceRecord]:
    """Read a ``.json`` array of objects or a ``.jsonl`` file of one object a line (blank lines are skipped).

    Raises:
        DataError: When the file cannot be read, is not JSON, or holds something else than objects.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as UTF-8 text: {error}.") from error
    if path.suffix == ".jsonl":
        lines = [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
        return [
            _record(path, f"line {number}", index, _parse(path, line, number))
            for index, (number, line) in enumerate(lines)
        ]
    values = _parse(path, text, None)
    if not isinstance(values, list):
        raise DataError(f"{path} holds a {type(values).__name__}: expected a JSON array of records.")
    return [_record(path, f"record {index}", index, value) for index, value in enumerate(values)]


def _parse(path: Path, text: str, line: int | None) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path}, line {line or error.lineno}, column {error.colno}: {error.msg}; expected JSON."
        ) from error


def _record(path: Path, place: str, index: int, value: Any) -> SourceRecord:
    if not isinstance(value, Mapping):
        raise DataError(f"{path}, {place}: a {type(value).__name__}; expected an object with named fields.")
    return SourceRecord(path, place, index, value)
