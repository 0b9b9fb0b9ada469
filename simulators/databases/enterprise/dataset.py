"""The data set: databases built once into a cache folder, each under the content hash of its configuration."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from fogline.core.errors import DataError
from fogline.simulators.databases.enterprise.config import EnterpriseConfig
from fogline.simulators.databases.enterprise.domains import DOMAINS
from fogline.simulators.databases.enterprise.generate import FIRST, SECOND, build_database
from fogline.simulators.databases.publishing import file_digest, publish
from fogline.simulators.databases.records import DatabaseRef, Dropped, TextToSQLDataset, TextToSQLTask

CACHE_VARIABLE = "FOGLINE_CACHE"
_CONTENT = "content.json"
_TUPLES = ("paraphrases", "families")


def enterprise_names() -> tuple[str, ...]:
    """Names of the business domains."""
    return tuple(DOMAINS)


def cache_folder() -> Path:
    """Per-user folder for generated databases; the environment variable ``FOGLINE_CACHE`` overrides it."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen) / "enterprise"
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "fogline" / "enterprise"


def enterprise_dataset(config: EnterpriseConfig | None = None, cache: Path | None = None) -> TextToSQLDataset:
    """Generated databases with schemas that names alone do not give away, and questions over them.

    A database is built once per configuration; the same configuration gives the same rows and questions everywhere.

    Args:
        config: What to generate; the default configuration when left out.
        cache: Folder for the SQLite files, by default :func:`cache_folder`.

    Returns:
        The data set. ``DatabaseRef.suite`` holds a second population of each schema; ``dropped`` the drafts that
        validation refused, under the id of the question that took their place.

    Raises:
        DataError: When a cached file is damaged, or the templates yield too few questions.
    """
    config = config or EnterpriseConfig()
    root = (cache or cache_folder()).absolute()
    tasks: dict[str, TextToSQLTask] = {}
    databases: dict[str, DatabaseRef] = {}
    dropped: list[Dropped] = []
    for index in range(config.databases):
        folder = root / config.digest(index)
        if not folder.exists():
            publish(folder, partial(_build, config, index))
        content = _load(folder)
        name = content["database"]
        databases[name] = DatabaseRef(name, f"sqlite:///{folder / FIRST}", (f"sqlite:///{folder / SECOND}",))
        for record in content["tasks"]:
            record.update({key: tuple(record[key]) for key in _TUPLES})
            tasks[record["task_id"]] = TextToSQLTask(**record)
        dropped += [Dropped(*entry) for entry in content["dropped"]]
    return TextToSQLDataset("enterprise", tasks, databases, tuple(dropped))


def _build(config: EnterpriseConfig, index: int, workshop: Path) -> None:
    built = build_database(config, index, workshop)
    content = {
        "config": asdict(config),
        "database": built.schema.name,
        "files": {name: file_digest(workshop / name) for name in (FIRST, SECOND)},
        "tasks": [_record(task) for task in built.tasks],
        "dropped": [[item.task_id, item.reason, item.detail] for item in built.dropped],
    }
    (workshop / _CONTENT).write_text(json.dumps(content), encoding="utf-8")


def _record(task: TextToSQLTask) -> dict[str, Any]:
    record = asdict(task)
    del record["gold_schema"]
    return record


def _load(folder: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads((folder / _CONTENT).read_text(encoding="utf-8"))
        damaged = [name for name, digest in content["files"].items() if file_digest(folder / name) != digest]
    except (OSError, ValueError, KeyError) as error:
        raise DataError(
            f"the cached database {folder} cannot be read ({error}): expected {_CONTENT}, {FIRST} and {SECOND}. "
            "Delete the folder; it will be built again."
        ) from error
    if damaged:
        raise DataError(
            f"{folder / damaged[0]} is not the file that was generated. Delete the folder; it will be built again."
        )
    return content
