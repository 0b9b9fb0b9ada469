from __future__ import annotations

from statistics import mean

import numpy as np
import pytest

from fogline.core.errors import ConfigurationError, DataError
from fogline.core.generation import bucket
from fogline.simulators.tables.generated import LEVELS, Settings, content_of, make_task, task_name
from fogline.simulators.tables.questions import ENTAILED, KINDS, QUESTIONS, REFUTED
from fogline.simulators.tables.records import Cell, Table, TableTask
from fogline.simulators.tables.sources import TINY, load_tables
from fogline.simulators.tables.worlds import TableWorld, draw_table


def column_of(task: TableTask, name: str) -> list[int]:
    place = task.table.header.index(name)
    return [int(row[place]) for row in task.table.rows]


def solved(task: TableTask) -> str:
    """The answer by reading the short question, not the program."""
    entities = [row[0] for row in task.table.rows]
    words = task.short.split()
    match task.kind:
        case "value":
            return str(column_of(task, words[0])[entities.index(words[2])])
        case "sum" | "difference":
            one, other = (column_of(task, words[0])[entities.index(name)] for name in (words[2], words[4]))
            return str(one + other if task.kind == "sum" else one - other)
        case "compare":
            names = (words[2], words[4])
            return max(names, key=lambda name: column_of(task, words[1])[entities.index(name)])
        case "verify":
            one, other = (column_of(task, words[1])[entities.index(name)] for name in (words[3], words[5]))
            return ENTAILED if one > other else REFUTED
        case "argmax" | "argmin":
            values = column_of(task, words[1])
            return entities[values.index(max(values) if task.kind == "argmax" else min(values))]
        case "count":
            return str(sum(value > int(words[3]) for value in column_of(task, words[1])))
    values = column_of(task, words[3])
    return str(column_of(task, words[0])[values.index(max(values))])


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("size", ["pretty", "tiny"])
def test_the_gold_answer_is_what_a_reader_of_the_question_finds(level: int, size: str) -> None:
    kinds = set()
    for task in load_tables(level=level, size=size, tasks_per_level=120):
        assert task.answers == (solved(task),), task
        kinds.add(task.kind)
    assert kinds == set(QUESTIONS[level])


def test_a_task_is_made_from_its_id_alone_and_no_table_is_in_two_splits() -> None:
    settings = Settings(TableWorld(columns=(3, 5)))
    for task in load_tables(level=[2, 3], tasks_per_level=6):
        assert task == make_task(settings, task.task_id)
    assert task_name(3, 7) in load_tables(tasks_per_level=20).tasks
    held = [
        {bucket(content_of(task.table)) for task in load_tables(size="tiny", split=split, tasks_per_level=40)}
        for split in ("train", "validation", "test")
    ]
    assert held[1] == {8} and held[2] == {9} and held[0] <= set(range(8))


@pytest.mark.parametrize("kind", ["argmax", "argmin", "two-hop"])
def test_the_shortcut_moves_answers_to_the_first_row(kind: str) -> None:
    level = 4 if kind == "two-hop" else 3

    def share(shortcut: float) -> float:
        tasks = load_tables(level=level, kinds=[kind], shortcut=shortcut, world={"rows": [4, 4]}, tasks_per_level=200)
        assert all(task.answers == (solved(task),) for task in tasks)
        return mean(task.shortcut for task in tasks)

    assert share(1.0) == 1.0
    assert 0.75 < share(0.8) < 0.95  # 0.8 + 0.2 / 4
    assert 0.17 < share(0.0) < 0.33


def test_no_other_question_has_a_shortcut() -> None:
    assert not any(task.shortcut for task in load_tables(level=[1, 2], shortcut=1.0))


def test_names_and_the_numbers_of_a_column_are_unique() -> None:
    rng = np.random.default_rng(0)
    for world in (TableWorld(rows=(2, 10), columns=(2, 8)), TINY):
        for _ in range(100):
            table = draw_table(rng, world)
            names = [*table.header, *(row[0] for row in table.rows)]
            assert len(set(names)) == len(names)
            for column in range(1, table.width):
                numbers = [int(row[column]) for row in table.rows]
                assert len(set(numbers)) == len(numbers)
                assert 0 <= min(numbers) <= max(numbers) <= world.largest


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rows": (1, 3)}, "rows"),
        ({"rows": (4, 3)}, "rows"),
        ({"columns": (2, 9)}, "columns"),
        ({"largest": 3, "rows": (2, 6)}, "largest"),
        ({"names": "numbers"}, "names"),
        ({"merged": 2.0}, "merged"),
    ],
)
def test_worlds_that_no_table_has_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        TableWorld(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"level": 5}, "level=5"),
        ({"level": []}, "level"),
        ({"level": True}, "level"),
        ({"split": "dev"}, "split"),
        ({"tasks_per_level": 0}, "tasks_per_level"),
        ({"kinds": ["median"]}, "median"),
        ({"kinds": ["sum"], "level": 3}, "leave level 3 no question"),
        ({"shortcut": 1.5}, "shortcut"),
        ({"world": {"rows": [2, 3], "height": 4}}, "height"),
        ({"world": {"columns": [2, 4]}, "level": 4}, "two hops"),
        ({"tables": "wikitablequestions", "level": 1}, "only generated tables"),
        ({"tables": "/nowhere/at/all"}, "a folder"),
    ],
)
def test_choices_that_leave_nothing_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        load_tables(**options)  # type: ignore[arg-type]


def test_tables_that_are_no_grid_are_refused() -> None:
    for header, rows, groups in (
        ((), (), ()),
        (("a",), (), ()),
        (("a", "b"), (("1", "2"), ("3",)), ()),
        (("a", "b"), (("1", "2"),), (("g", 1),)),
        (("a", "b"), (("1", "2"),), (("g", 0), ("h", 2))),
    ):
        with pytest.raises(DataError):
            Table(header, rows, groups)
    table = Table(("a", "b"), (("1", "2"),))
    assert [table.text(cell) for cell in table.cells()] == ["a", "b", "1", "2"]
    for cell in (Cell(2, 1), Cell(0, 0), Cell(0, 3), Cell(-1, 1)):
        with pytest.raises(DataError, match="row from 0"):
            table.text(cell)


def test_every_kind_is_named_once() -> None:
    assert len(KINDS) == len(set(KINDS)) == sum(map(len, QUESTIONS.values()))
