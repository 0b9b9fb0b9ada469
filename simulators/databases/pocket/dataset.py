"""The data set: all databases of a configuration, built once into a cache folder under its content hash."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from numpy.random import Generator, SeedSequence, default_rng

from fogline.core.errors import ConfigurationError, DataError
from fogline.simulators.databases.enterprise.files import write_database
from fogline.simulators.databases.gold_cache import user_cache
from fogline.simulators.databases.gold_schema import gold_schema
from fogline.simulators.databases.pocket.config import PocketConfig
from fogline.simulators.databases.pocket.questions import FAMILIES, draw, objection
from fogline.simulators.databases.pocket.schema import PocketDatabase, build_database
from fogline.simulators.databases.pocket.words import PARTS
from fogline.simulators.databases.publishing import file_digest, publish
from fogline.simulators.databases.records import DatabaseRef, SchemaSubset, TextToSQLDataset, TextToSQLTask

_CONTENT = "content.json"
_ROUNDS_PER_QUESTION = 20
_TRIES_PER_ROUND = 10


def pocket_dataset(config: PocketConfig | None = None, cache: Path | None = None) -> TextToSQLDataset:
    """Small databases with invented names, and one-line questions over them.

    A question calls a table ``kavo`` that the database calls ``kavo_ju``: who guesses instead of reading the
    catalogue names what does not exist. Outdated twins, words shared between tables and look-alikes make
    it matter which of the names seen is meant. The same configuration gives the same rows and questions everywhere.

    Args:
        config: What to generate; the default configuration when left out.
        cache: Folder for the SQLite files, by default ``pocket`` in the user's cache (``$FOGLINE_CACHE``).

    Returns:
        The data set; every task carries its gold schema.

    Raises:
        ConfigurationError: When so small databases do not yield so many questions.
        DataError: When a cached file is damaged.
    """
    config = config or PocketConfig()
    folder = (cache or user_cache() / "pocket").absolute() / config.digest()
    if not folder.exists():
        publish(folder, lambda workshop: _build(config, workshop))
    content = _load(folder)
    tasks = {}
    for record in content["tasks"]:
        schema = SchemaSubset(*(frozenset(names) for names in record.pop("gold_schema")))
        families = tuple(record.pop("families"))
        tasks[record["task_id"]] = TextToSQLTask(**record, gold_schema=schema, families=families)
    databases = {name: DatabaseRef(name, f"sqlite:///{_path(folder, name)}") for name in content["files"]}
    return TextToSQLDataset(f"pocket-{config.part}-{config.seed}", tasks, databases)


def _path(folder: Path, name: str) -> Path:
    return folder / f"{name}.sqlite"


def _build(config: PocketConfig, workshop: Path) -> None:
    tasks: list[dict[str, Any]] = []
    files: dict[str, str] = {}
    for index in range(config.databases):
        rng = default_rng(SeedSequence([PARTS.index(config.part), config.seed, index]))
        name = f"db{index}"
        database = build_database(config, name, rng)
        path = _path(workshop, name)
        write_database(path, database.schema, database.population)
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
            tasks += [_record(task) for task in _questions(config, database, rng, connection)]
        files[name] = file_digest(path)
    content = {"config": asdict(config), "files": files, "tasks": tasks}
    (workshop / _CONTENT).write_text(json.dumps(content), encoding="utf-8")


def _questions(
    config: PocketConfig, database: PocketDatabase, rng: Generator, connection: sqlite3.Connection
) -> list[TextToSQLTask]:
    wanted = config.questions_per_database
    catalogue = database.schema.catalogue()
    tasks: dict[str, TextToSQLTask] = {}
    for _ in range(_ROUNDS_PER_QUESTION * wanted):
        if len(tasks) == wanted:
            break
        # Some families fit few tables: without further tries within a family, joins would be rare.
        family = FAMILIES[int(rng.integers(len(FAMILIES)))]
        drafts = (draw(database, rng, family) for _ in range(_TRIES_PER_ROUND))
        fresh = (draft for draft in drafts if draft is not None and draft.question not in tasks)
        draft = next((draft for draft in fresh if not objection(draft, connection)), None)
        if draft is None:
            continue
        tasks[draft.question] = TextToSQLTask(
            task_id=f"{config.part}-{database.name}-{len(tasks)}",
            database=database.name,
            question=draft.question,
            gold_sql=draft.sql,
            gold_schema=gold_schema(draft.sql, catalogue),
            difficulty=draft.template.difficulty,
            families=(draft.template.family,),
        )
    if len(tasks) < wanted:
        raise ConfigurationError(
            f"questions_per_database={wanted} is too many: {database.name} yields {len(tasks)}. "
            "Ask for fewer, or raise tables, columns or rows."
        )
    return list(tasks.values())


def _record(task: TextToSQLTask) -> dict[str, Any]:
    schema = task.gold_schema or SchemaSubset()
    return {
        "task_id": task.task_id,
        "database": task.database,
        "question": task.question,
        "gold_sql": task.gold_sql,
        "gold_schema": [sorted(schema.tables), sorted(schema.columns)],
        "difficulty": task.difficulty,
        "families": task.families,
    }


def _load(folder: Path) -> dict[str, Any]:
    advice = "Delete the folder; it will be built again."
    try:
        content: dict[str, Any] = json.loads((folder / _CONTENT).read_text(encoding="utf-8"))
        damaged = [name for name, digest in content["files"].items() if file_digest(_path(folder, name)) != digest]
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"the cached data set {folder} cannot be read ({error}). {advice}") from error
    if damaged:
        raise DataError(f"{_path(folder, damaged[0])} is not the file that was generated. {advice}")
    return content
