"""Generated questions: each is made from its id and its set's settings alone, and no table is in two splits."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from fogline.core.errors import ConfigurationError, check_choice
from fogline.core.generation import SPLITS, MadeOnDemand, bucket, indices
from fogline.simulators.tables.questions import KINDS, QUESTIONS, draw_question
from fogline.simulators.tables.records import Table, TableDataset, TableTask
from fogline.simulators.tables.worlds import TableWorld, draw_table

LEVELS = range(1, 5)
MOST_TASKS_PER_LEVEL = 100_000

_ID = re.compile(r"table-(?P<level>[0-9])-(?P<index>[0-9]{4,6})")
_MOST_DRAWS = 10_000


@dataclass(frozen=True)
class Settings:
    """What questions are drawn from.

    Attributes:
        world: Of the tables.
        kinds: Kinds of question; all of a level where empty.
        shortcut: Chance that the answer of a search stands in the first row on purpose.

    Raises:
        ConfigurationError: An unknown kind, or a shortcut that is no chance.
    """

    world: TableWorld = field(default_factory=TableWorld)
    kinds: tuple[str, ...] = ()
    shortcut: float = 0.0

    def __post_init__(self) -> None:
        for kind in self.kinds:
            check_choice("kind", kind, KINDS)
        if not 0 <= self.shortcut <= 1:
            raise ConfigurationError(f"shortcut={self.shortcut}: expected a chance, from 0 to 1.")


def generated(settings: Settings, levels: Sequence[int], split: str, tasks_per_level: int) -> TableDataset:
    """Questions that are made when they are asked for.

    Raises:
        ConfigurationError: A level, split or number of tasks that does not exist, kinds that leave a level nothing,
            or tables too narrow for two hops.
    """
    check_choice("split", split, SPLITS)
    if type(tasks_per_level) is not int or not 1 <= tasks_per_level <= MOST_TASKS_PER_LEVEL:
        raise ConfigurationError(
            f"tasks_per_level={tasks_per_level!r}: expected a whole number from 1 to {MOST_TASKS_PER_LEVEL}."
        )
    for level in levels:
        if level not in LEVELS:
            raise ConfigurationError(f"level={level!r} does not exist: expected 1 to {LEVELS[-1]}.")
        if settings.kinds and not set(settings.kinds) & set(QUESTIONS[level]):
            raise ConfigurationError(
                f"kinds={settings.kinds} leave level {level} no question: its kinds are {', '.join(QUESTIONS[level])}."
            )
    if LEVELS[-1] in levels and settings.world.columns[0] < 3:
        raise ConfigurationError(
            f"columns={settings.world.columns}: a question of two hops needs 3 columns at least; choose (3, "
            f"{max(settings.world.columns[1], 3)}), or levels below {LEVELS[-1]}."
        )
    ids = tuple(
        task_name(level, index) for level in levels for index in itertools.islice(indices(split), tasks_per_level)
    )
    return TableDataset("synthetic", MadeOnDemand(ids, partial(make_task, settings)))


def task_name(level: int, index: int) -> str:
    """Id of a generated question, such as ``table-3-0007``."""
    return f"table-{level}-{index:04d}"


def make_task(settings: Settings, task_id: str) -> TableTask:
    """Make a generated question from its id.

    Raises:
        ConfigurationError: It is no id of the generator.
    """
    match = _ID.fullmatch(task_id)
    if match is None or int(match["level"]) not in LEVELS:
        raise ConfigurationError(f"task_id={task_id!r}: expected table-LEVEL-INDEX, such as 'table-3-0007'.")
    level, index = int(match["level"]), int(match["index"])
    rng = np.random.default_rng([level, index])
    for _ in range(_MOST_DRAWS):
        table, question = draw_question(rng, draw_table(rng, settings.world), level, settings.kinds, settings.shortcut)
        if bucket(content_of(table)) == index % 10:
            return TableTask(
                task_id,
                table,
                question.text,
                (question.answer,),
                level,
                question.kind,
                question.steps,
                question.short,
                question.row == 1,
            )
    raise RuntimeError(f"no table for {task_id!r} in {_MOST_DRAWS} draws")


def content_of(table: Table) -> str:
    """What decides a table's split: what it holds, whatever the order of its rows."""
    return repr((table.header, sorted(table.rows)))
