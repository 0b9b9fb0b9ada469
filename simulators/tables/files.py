r"""Published sets of table questions in the formats of their releases.

WikiTableQuestions: TSV of id, utterance, context, targetValue, and CSV tables with backslash escapes. TabFact:
``collected_data/*.json`` and ``all_csv/*`` with ``#`` between cells. TabMWP: ``problems_*.json``. HiTab:
``*_samples.jsonl`` and ``tables/raw/*.json``.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fogline.core.errors import ConfigurationError, DataError
from fogline.simulators.tables.questions import ENTAILED, REFUTED
from fogline.simulators.tables.records import Table, TableDataset, TableTask

BUNDLED = Path(__file__).parent / "data" / "wikitablequestions"
"""Part of WikiTableQuestions (CC BY-SA 4.0)."""

WIKITABLEQUESTIONS, TABFACT, TABMWP, HITAB = "wikitablequestions", "tabfact", "tabmwp", "hitab"


def load_folder(path: str | Path) -> TableDataset:
    """Read the folder of a release; its files say which it is.

    Args:
        path: Of the folder.

    Raises:
        ConfigurationError: There is no such folder, or nothing in it that can be read.
        DataError: A file is not what its format promises.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise ConfigurationError(f"tables={str(path)!r}: expected 'synthetic', 'wikitablequestions' or a folder.")
    for pattern, read in _FORMATS.items():
        files = sorted(folder.glob(pattern))
        if files:
            tasks = {task.task_id: task for file in files for task in read(folder, file)}
            return TableDataset(folder.name, tasks)
    raise ConfigurationError(
        f"tables={str(path)!r} holds no file that can be read: expected one of {', '.join(_FORMATS)} (a release of "
        "WikiTableQuestions, TabFact, TabMWP or HiTab)."
    )


# WikiTableQuestions


def _wikitablequestions(folder: Path, file: Path) -> Iterator[TableTask]:
    tables: dict[str, Table] = {}
    with file.open(encoding="utf-8", newline="") as lines:
        rows = csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
        header = next(rows, [])
        if header[:4] != ["id", "utterance", "context", "targetValue"]:
            raise DataError(f"{file}: columns {header}: expected id, utterance, context, targetValue.")
        for number, row in enumerate(rows, 2):
            if len(row) < 4:
                raise DataError(f"{file}, line {number}: {len(row)} fields: expected 4.")
            task_id, question, context, targets = row[:4]
            if context not in tables:
                tables[context] = read_csv(folder / context)
            golds = tuple(_unescaped(gold) for gold in targets.split("|"))
            yield TableTask(task_id, tables[context], _unescaped(question), golds, 0, WIKITABLEQUESTIONS)


def read_csv(path: Path) -> Table:
    """A table of WikiTableQuestions: quotes within quotes are escaped by a backslash; the first line is the header.

    Raises:
        DataError: There is no such file, or it holds no table.
    """
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            rows = list(csv.reader(lines, escapechar="\\", doublequote=False))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: no table could be read from it ({error}).") from error
    return _table(path, [[" ".join(text.split()) for text in row] for row in rows])


def _table(path: Path, rows: Sequence[Sequence[str]]) -> Table:
    if len(rows) < 2:
        raise DataError(f"{path}: {len(rows)} rows: expected a header and at least one row of data.")
    try:
        return Table(tuple(rows[0]), tuple(tuple(row) for row in rows[1:]))
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def _unescaped(text: str) -> str:
    r"""A field of a TSV file: ``\n`` is a line break, ``\p`` a bar, ``\\`` a backslash."""
    pieces = text.split("\\\\")
    return "\\".join(piece.replace("\\n", "\n").replace("\\p", "|") for piece in pieces)


# TabFact


def _tabfact(folder: Path, file: Path) -> Iterator[TableTask]:
    for name, entry in _objects(file).items():
        statements, labels = _fields(file, name, entry)
        if not isinstance(statements, list) or not isinstance(labels, list) or len(statements) != len(labels):
            raise DataError(f"{file}, {name!r}: expected as many labels as statements.")
        path = folder / "all_csv" / name
        rows = [line.split("#") for line in _text(path).splitlines() if line.strip()]
        table = _table(path, rows)
        for number, (statement, label) in enumerate(zip(statements, labels, strict=True)):
            if label not in (0, 1):
                raise DataError(f"{file}, {name!r}: label {label!r}: expected 1 (entailed) or 0 (refuted).")
            answer = ENTAILED if label else REFUTED
            yield TableTask(f"{name}-{number}", table, _asked(str(statement)), (answer,), 0, TABFACT)


def _asked(statement: str) -> str:
    return f'Is this statement entailed or refuted? "{statement}"'


# TabMWP


def _tabmwp(folder: Path, file: Path) -> Iterator[TableTask]:
    for name, problem in _objects(file).items():
        for field in ("question", "answer", "table"):
            if not isinstance(problem, dict) or field not in problem:
                raise DataError(f"{file}, problem {name!r}: no {field!r}.")
        rows = [[cell.strip() for cell in line.split("|")] for line in str(problem["table"]).splitlines()]
        # Some tables have no header of their own: two columns of names and numbers.
        header = rows if _has_header(rows) else [["", *[""] * (len(rows[0]) - 1)], *rows] if rows else []
        choices = problem.get("choices") or ()
        question = str(problem["question"]) + (f" Choose one of: {', '.join(map(str, choices))}." if choices else "")
        level = problem.get("grade")
        yield TableTask(
            f"{file.stem}-{name}",
            _table(file, header),
            question,
            (str(problem["answer"]),),
            level if isinstance(level, int) else 0,
            TABMWP,
        )


def _has_header(rows: Sequence[Sequence[str]]) -> bool:
    return bool(rows) and not any(character.isdigit() for cell in rows[0][1:] for character in cell)


# HiTab


def _hitab(folder: Path, file: Path) -> Iterator[TableTask]:
    tables: dict[str, Table] = {}
    for number, line in enumerate(_text(file).splitlines(), 1):
        try:
            sample = json.loads(line)
            task_id, name, question, answer = (sample[field] for field in ("id", "table_id", "question", "answer"))
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{file}, line {number}: expected id, table_id, question and answer ({error!r})."
            ) from error
        if name not in tables:
            tables[name] = _hierarchical(folder / "tables" / "raw" / f"{name}.json")
        golds = tuple(str(gold) for gold in (answer if isinstance(answer, list) else [answer]))
        yield TableTask(str(task_id), tables[name], str(question), golds, 0, HITAB)


def _hierarchical(path: Path) -> Table:
    """A table whose columns have names over names: joined from the top down, and left headers as they stand."""
    found = _objects(path)
    texts = found.get("texts")
    top = found.get("top_header_rows_num", 1)
    if not isinstance(texts, list) or type(top) is not int or not 1 <= top < len(texts):
        raise DataError(f"{path}: expected 'texts', rows of text, and 'top_header_rows_num' below their number.")
    rows = [[" ".join(str(text).split()) for text in row] for row in texts]
    width = len(rows[0])
    names = [
        " / ".join(dict.fromkeys(text for row in rows[:top] if column < len(row) and (text := row[column])))
        for column in range(width)
    ]
    return _table(path, [names, *rows[top:]])


# Files


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: it could not be read ({error}).") from error


def _objects(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(_text(path))
    except ValueError as error:
        raise DataError(f"{path}: it is no JSON ({error}).") from error
    if not isinstance(found, dict):
        raise DataError(f"{path}: expected an object by id, not {type(found).__name__}.")
    return found


def _fields(path: Path, name: str, entry: Any) -> tuple[Any, Any]:
    if not isinstance(entry, list) or len(entry) < 2:
        raise DataError(f"{path}, {name!r}: expected a list of statements, labels and caption.")
    return entry[0], entry[1]


_FORMATS: Mapping[str, Callable[[Path, Path], Iterator[TableTask]]] = {
    "questions.tsv": _wikitablequestions,
    "data/*.tsv": _wikitablequestions,
    "collected_data/*.json": _tabfact,
    "problems_*.json": _tabmwp,
    "*_samples.jsonl": _hitab,
}
"""Files by which a release is known, and who reads them."""
