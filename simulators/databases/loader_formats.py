"""The record formats that can be read: BIRD, Spider and its variants, TRUST-SQL, fogline's own.

One function per format, from records to tasks. Only the fields that fogline needs are read; others are
ignored, except in fogline's own format, where an unknown field is a mistake.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fogline.core.errors import suggestion
from fogline.simulators.databases.gold_schema import PayloadError, proposal_schema
from fogline.simulators.databases.loader_records import SourceRecord
from fogline.simulators.databases.records import SchemaSubset, TextToSQLTask

FORMATS = ("bird", "spider", "spider_syn", "spider_dk", "spider_realistic", "trust_sql", "fogline")

Placed = tuple[TextToSQLTask, tuple[Path, ...]]
RecordReader = Callable[[SourceRecord], Placed]

_OWN_FIELDS = (
    "task_id",
    "database",
    "question",
    "paraphrase",
    "evidence",
    "gold_sql",
    "difficulty",
    "families",
    "gold_schema",
)
_LABEL = re.compile(r"^\s*\**\s*(?P<label>[A-Z][A-Za-z ]*[A-Za-z])\s*\**\s*:\s*\**\s*(?P<rest>.*)$")
_BLOCK_LABELS = frozenset({"task configuration", "database engine", "database", "external knowledge", "user question"})


def detect_format(record: SourceRecord) -> str:
    """Name the format of a record from its fields and the name of its file.

    Raises:
        DataError: When no format fits.
    """
    fields = record.data
    if "reward_model" in fields:
        return "trust_sql"
    if "gold_sql" in fields:
        return "fogline"
    if "SpiderSynQuestion" in fields:
        return "spider_syn"
    if "SQL" in fields:
        return "bird"
    if "query" in fields:
        stem = record.file.stem.lower().replace("_", "-")
        return {"spider-dk": "spider_dk", "spider-realistic": "spider_realistic"}.get(stem, "spider")
    raise record.complaint(
        "SQL",
        f"and 'query', 'gold_sql', 'reward_model' are missing among {sorted(fields)[:12]}",
        f"a record of one of {', '.join(FORMATS)}",
    )


def reader_of(name: str) -> RecordReader:
    """The function that reads records of format ``name`` (one of :data:`FORMATS`)."""
    return _READERS[name]


def read_bird(record: SourceRecord) -> Placed:
    """BIRD: ``db_id, question, evidence, SQL``; dev and mini-dev add ``question_id`` and ``difficulty``."""
    number = record.data.get("question_id", record.index)
    if isinstance(number, bool) or not isinstance(number, (int, str)):
        raise record.complaint("question_id", f"is {number!r}", "a number or string")
    task = TextToSQLTask(
        task_id=f"bird-{_stem(record, 'bird')}-{number}",
        database=record.name("db_id"),
        question=record.text("question"),
        gold_sql=record.text("SQL"),
        evidence=record.text("evidence", default=""),
        difficulty=record.text("difficulty", default="unknown"),
    )
    return task, ()


def read_spider(record: SourceRecord) -> Placed:
    """Spider: ``db_id, question, query``; its token and tree fields are not needed."""
    return _spider(record, f"spider-{_stem(record, 'spider')}-{record.index}", record.text("question")), ()


def read_spider_syn(record: SourceRecord) -> Placed:
    """Spider-Syn: ``SpiderSynQuestion`` is asked; the original, which names the schema, is not kept."""
    return _spider(
        record, f"spider-syn-{_stem(record, 'spider-syn')}-{record.index}", record.text("SpiderSynQuestion")
    ), ()


def read_spider_dk(record: SourceRecord) -> Placed:
    """Spider-DK: Spider's fields over its own changed databases."""
    return _spider(record, f"spider-dk-{record.index}", record.text("question")), ()


def read_spider_realistic(record: SourceRecord) -> Placed:
    """Spider-Realistic: Spider's fields, column names taken out of the questions."""
    return _spider(record, f"spider-realistic-{record.index}", record.text("question")), ()


def _spider(record: SourceRecord, task_id: str, question: str) -> TextToSQLTask:
    return TextToSQLTask(
        task_id=task_id,
        database=record.name("db_id"),
        question=question,
        gold_sql=record.text("query"),
        difficulty=record.text("difficulty", default="unknown"),
    )


def _stem(record: SourceRecord, family: str) -> str:
    stem = record.file.stem.lower().removesuffix("_sqlite")
    return stem.removeprefix(family).lstrip("-_") or "all"


def read_trust_sql(record: SourceRecord) -> Placed:
    """TRUST-SQL: gold under ``reward_model``, evidence in the user block of ``prompt``.

    Source: TRUST-SQL specification, section 3.

    Only ``target[0]`` is the gold statement, as in the published reward; the record's schema labels override
    derivation.
    """
    number = record.data.get("id")
    if isinstance(number, bool) or not isinstance(number, (int, str)) or number == "":
        raise record.complaint("id", f"is {number!r}", "a number or string")
    hidden = record.mapping("reward_model")
    truth = hidden.mapping("ground_truth")
    targets = truth.texts("target")
    if not targets or not targets[0].strip():
        raise truth.complaint("target", f"is {truth.data.get('target')!r}", "a list whose first entry is the gold SQL")
    root = hidden.text("database", default="")
    task = TextToSQLTask(
        task_id=str(number),
        database=hidden.name("data_source"),
        question=record.text("question"),
        gold_sql=targets[0].strip(),
        evidence=_evidence(record),
        gold_schema=_schema(truth, "schema"),
    )
    return task, (record.file.parent / root,) if root else ()


def _schema(record: SourceRecord, field: str) -> SchemaSubset | None:
    payload: Any = record.data.get(field)
    if payload is None:
        return None
    try:
        return proposal_schema(payload)
    except PayloadError as error:
        raise record.complaint(field, str(error), "tables and columns of the gold statement") from error


def _evidence(record: SourceRecord) -> str:
    """Text after the label ``External Knowledge`` of the user block, up to the next label of the block."""
    prompt = record.data.get("prompt") or []
    if not isinstance(prompt, list):
        raise record.complaint("prompt", f"is a {type(prompt).__name__}", "a list of chat messages")
    blocks = [
        message.get("content") for message in prompt if isinstance(message, Mapping) and message.get("role") == "user"
    ]
    kept: list[str] = []
    inside = False
    for line in (blocks[0] if blocks and isinstance(blocks[0], str) else "").splitlines():
        match = _LABEL.match(line)
        label = match["label"].lower() if match else ""
        if match and label in _BLOCK_LABELS:
            inside = label == "external knowledge"
            line = match["rest"]
        if inside:
            kept.append(line.strip())
    text = "\n".join(kept).strip()
    return "" if text.lower() in ("none", "n/a", "null") else text


def read_fogline(record: SourceRecord) -> Placed:
    """Own format: ``task_id, database, question, gold_sql`` and the optional rest of ``_OWN_FIELDS``."""
    for field in record.data:
        if field not in _OWN_FIELDS:
            raise record.complaint(
                field, f"is unknown.{suggestion(field, _OWN_FIELDS)}", f"one of {', '.join(_OWN_FIELDS)}"
            )
    paraphrase = record.text("paraphrase", default="")
    task = TextToSQLTask(
        task_id=record.text("task_id"),
        database=record.name("database"),
        question=record.text("question"),
        gold_sql=record.text("gold_sql"),
        evidence=record.text("evidence", default=""),
        gold_schema=_schema(record, "gold_schema"),
        paraphrases=(paraphrase,) if paraphrase else (),
        difficulty=record.text("difficulty", default="unknown"),
        families=record.texts("families"),
    )
    return task, ()


_READERS: Mapping[str, RecordReader] = {
    "bird": read_bird,
    "spider": read_spider,
    "spider_syn": read_spider_syn,
    "spider_dk": read_spider_dk,
    "spider_realistic": read_spider_realistic,
    "trust_sql": read_trust_sql,
    "fogline": read_fogline,
}
