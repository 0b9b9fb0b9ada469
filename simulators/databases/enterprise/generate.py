"""Generates one database: schema, two populations, and questions that hold on both."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from numpy.random import SeedSequence, default_rng

from fogline.core.errors import DataError
from fogline.simulators.databases.enterprise.config import EnterpriseConfig
from fogline.simulators.databases.enterprise.files import write_database
from fogline.simulators.databases.enterprise.noise import build_schema
from fogline.simulators.databases.enterprise.questions.catalogue import TEMPLATES, difficulty
from fogline.simulators.databases.enterprise.questions.maker import Maker
from fogline.simulators.databases.enterprise.questions.query import Draft, Renderer, Unsuitable
from fogline.simulators.databases.enterprise.rows import Population, populate
from fogline.simulators.databases.enterprise.schema import Schema
from fogline.simulators.databases.enterprise.validate import Checker
from fogline.simulators.databases.records import Dropped, SchemaSubset, TextToSQLTask

FIRST, SECOND = "first.sqlite", "second.sqlite"
_TRIES_PER_TEMPLATE = 25


@dataclass(frozen=True, slots=True)
class Built:
    """A database in memory: schema, both populations, kept tasks, refused drafts, and the tables each gold reads."""

    schema: Schema
    tasks: tuple[TextToSQLTask, ...]
    dropped: tuple[Dropped, ...]
    gold: dict[str, SchemaSubset]


def build_database(config: EnterpriseConfig, index: int, folder: Path) -> Built:
    """Generate database ``index`` of a configuration into an existing folder.

    Args:
        config: What to generate.
        index: Position of the database in the data set.
        folder: Receives the files of the two populations, :data:`FIRST` and :data:`SECOND`.

    Returns:
        The database with its questions.

    Raises:
        DataError: When the templates cannot yield as many questions as asked for.
    """
    schema_seed, first_seed, second_seed, question_seed = SeedSequence([config.seed, index]).spawn(4)
    schema = build_schema(config, index, schema_seed)
    populations = [populate(schema, config.rows_per_table, seed) for seed in (first_seed, second_seed)]
    paths = (folder / FIRST, folder / SECOND)
    for path, population in zip(paths, populations, strict=True):
        write_database(path, schema, population)
    checker = Checker(schema, paths)
    try:
        return _ask(config, index, schema, populations[0], checker, question_seed)
    finally:
        checker.close()


class _Collector:
    """Keeps the drafts that pass, and notes why others do not."""

    def __init__(self, config: EnterpriseConfig, index: int, schema: Schema, checker: Checker) -> None:
        self.prefix = f"enterprise-s{config.seed}-d{index:02d}"
        self.schema = schema
        self.checker = checker
        self.tasks: list[TextToSQLTask] = []
        self.dropped: list[Dropped] = []
        self.gold: dict[str, SchemaSubset] = {}
        self._seen: set[str] = set()

    def offer(self, draft: Draft) -> bool:
        """Keep a draft if it passes; whether it did."""
        task_id = f"{self.prefix}-q{len(self.tasks):03d}"
        words = (draft.text(0), draft.text(1))
        verdict = self.checker.check(draft)
        reason = verdict.reason
        if not reason and not self._seen.isdisjoint((words[0], verdict.sql)):
            reason = "repeated"
        if reason:
            self.dropped.append(Dropped(task_id, reason, f"{draft.template}: {verdict.detail}".rstrip(": ")))
            return False
        self._seen.update((words[0], verdict.sql))
        self.tasks.append(_task(task_id, self.schema, draft, words, verdict.sql))
        self.gold[task_id] = recorded_schema(self.schema, draft)
        return True


def _ask(
    config: EnterpriseConfig, index: int, schema: Schema, population: Population, checker: Checker, seeds: SeedSequence
) -> Built:
    """Draw questions, template by template, until there are enough."""
    # One order for all databases, entered elsewhere by each: a data set shows all templates before it repeats one.
    order = default_rng(config.seed).permutation(len(TEMPLATES))
    rng = default_rng(seeds)
    collector = _Collector(config, index, schema, checker)
    wanted = config.questions_per_database
    position, idle = index * wanted, 0
    while len(collector.tasks) < wanted:
        template = TEMPLATES[order[position % len(order)]]
        position += 1
        kept = False
        for _ in range(_TRIES_PER_TEMPLATE):
            try:
                draft = template(Maker(schema, population, config, rng))
                kept = collector.offer(draft)
            except Unsuitable:
                continue
            if kept:
                break
        idle = 0 if kept else idle + 1
        if idle > len(TEMPLATES):
            raise DataError(
                f"database {schema.name} yields only {len(collector.tasks)} of questions_per_database={wanted}: "
                "ask for fewer questions, or for more rows_per_table or tables."
            )
    return Built(schema, tuple(collector.tasks), tuple(collector.dropped), collector.gold)


def _task(task_id: str, schema: Schema, draft: Draft, words: tuple[str, str], sql: str) -> TextToSQLTask:
    return TextToSQLTask(
        task_id=task_id,
        database=schema.name,
        question=words[0],
        gold_sql=sql,
        evidence=" ".join(draft.evidence),
        paraphrases=(words[1],),
        difficulty=difficulty(draft.families),
        families=(*draft.families, draft.template),
    )


def recorded_schema(schema: Schema, draft: Draft) -> SchemaSubset:
    """Tables and columns that a draft's gold reads, as its template wrote them."""
    renderer = Renderer(schema)
    draft.render(renderer)
    return SchemaSubset(
        frozenset(table.lower() for table in renderer.tables),
        frozenset(f"{table}.{column}".lower() for table, column in renderer.columns),
    )
