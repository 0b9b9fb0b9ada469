"""Pocket databases: parts share no name, golds are told apart, and guessing does not pay."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fogline.core.errors import ConfigurationError, DataError
from fogline.envs.trust_sql.sources import load_tasks
from fogline.simulators.databases.pocket import PARTS, PocketConfig, pocket_dataset, words_of
from fogline.simulators.databases.pocket.questions import FAMILIES, LONGEST_CELL, MOST_ROWS
from fogline.simulators.databases.pocket.words import Part
from fogline.simulators.databases.records import TextToSQLDataset
from fogline.simulators.databases.validation import validate


@pytest.fixture(scope="module")
def pocket(tmp_path_factory: pytest.TempPathFactory) -> TextToSQLDataset:
    return pocket_dataset(PocketConfig(databases=25), tmp_path_factory.mktemp("pocket"))


def read(dataset: TextToSQLDataset, database: str, sql: str) -> list[tuple[Any, ...]]:
    path = dataset.databases[database].url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return connection.execute(sql).fetchall()


def schema_of(dataset: TextToSQLDataset, database: str) -> dict[str, list[str]]:
    rows = read(dataset, database, "SELECT m.name, p.name FROM sqlite_master m, pragma_table_info(m.name) p")
    tables: dict[str, list[str]] = {}
    for table, column in rows:
        tables.setdefault(table, []).append(column)
    return tables


def texts(dataset: TextToSQLDataset) -> set[str]:
    """Identifiers, their words, and text values."""
    found: set[str] = set()
    for database in dataset.databases:
        for table, columns in schema_of(dataset, database).items():
            found.update({table, word(table), *columns, *(word(column) for column in columns)})
            rows = read(dataset, database, f"SELECT * FROM {table}")
            found.update(cell for row in rows for cell in row if isinstance(cell, str))
    return found - {"id"}


def test_parts_share_no_word() -> None:
    assert all(not set(words_of(one)) & set(words_of(other)) for one, other in combinations(PARTS, 2))
    assert min(len(words_of(part)) for part in PARTS) > 500
    assert all(re.fullmatch("([b-z][aeiou]){2}", word) for part in PARTS for word in words_of(part))


def test_databases_of_different_parts_share_no_identifier_and_no_value(tmp_path: Path) -> None:
    found = [
        texts(pocket_dataset(PocketConfig(part=part, databases=12, questions_per_database=2), tmp_path))
        for part in PARTS
    ]
    assert all(not one & other for one, other in combinations(found, 2))
    assert all(len(one) > 150 for one in found)


@given(
    part=st.sampled_from(PARTS),
    seed=st.integers(0, 2**40),
    tables=st.tuples(st.integers(2, 3), st.integers(3, 4)),
    columns=st.tuples(st.integers(3, 4), st.integers(4, 5)),
)
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_databases_have_the_size_that_was_asked_for(
    part: Part, seed: int, tables: tuple[int, int], columns: tuple[int, int], tmp_path: Path
) -> None:
    config = PocketConfig(part, seed, databases=2, tables=tables, columns=columns, questions_per_database=3)
    dataset = pocket_dataset(config, tmp_path)
    assert len(dataset) == 6
    for database in dataset.databases:
        schema = schema_of(dataset, database)
        assert tables[0] <= len(schema) <= tables[1]
        assert all(columns[0] <= len(names) <= columns[1] for names in schema.values())
        sizes = [len(read(dataset, database, f"SELECT 1 FROM {table}")) for table in schema]
        assert all(config.rows[0] <= size <= config.rows[1] for size in sizes)
        assert len(set(sizes)) == len(sizes)


def test_the_seed_decides_everything_and_more_databases_leave_the_first_ones(tmp_path: Path) -> None:
    def build(folder: str, **options: Any) -> TextToSQLDataset:
        return pocket_dataset(PocketConfig(questions_per_database=4, **options), tmp_path / folder)

    one, again, more = build("a", databases=4), build("b", databases=4), build("b", databases=6)
    assert one.tasks == again.tasks
    assert one.tasks == {task_id: more.tasks[task_id] for task_id in one.tasks}
    for database in one.databases:
        for table in schema_of(one, database):
            rows = [read(dataset, database, f"SELECT * FROM {table}") for dataset in (one, again, more)]
            assert rows[0] == rows[1] == rows[2]
    other = build("a", databases=4, seed=1)
    assert not {task.gold_sql for task in one} & {task.gold_sql for task in other}


def test_golds_hold_and_their_schemas_are_the_derived_ones(pocket: TextToSQLDataset, tmp_path: Path) -> None:
    bare = [type(task)(task.task_id, task.database, task.question, task.gold_sql) for task in pocket]
    checked = validate(bare, pocket.databases, require_rows=True, cache=tmp_path, workers=1)
    assert not checked.dropped
    assert {task.task_id: task.gold_schema for task in checked} == {task.task_id: task.gold_schema for task in pocket}


def test_results_fit_a_small_context_and_questions_a_line(pocket: TextToSQLDataset) -> None:
    for task in pocket:
        rows = read(pocket, task.database, task.gold_sql)
        assert 0 < len(rows) <= MOST_ROWS
        assert all(len(str(cell)) <= LONGEST_CELL for row in rows for cell in row)
        assert 4 <= len(task.question.split()) <= 15


def test_the_words_of_a_question_name_nothing_that_exists(pocket: TextToSQLDataset) -> None:
    for task in pocket:
        schema = schema_of(pocket, task.database)
        names = {*schema, *(column for columns in schema.values() for column in columns)}
        assert not names & set(re.findall(r"\w+", task.question))


def test_every_word_of_the_gold_is_found_in_the_question_or_is_a_key(pocket: TextToSQLDataset) -> None:
    for task in pocket:
        assert task.gold_schema is not None
        asked = set(re.findall(r"\w+", task.question))
        for name in (*task.gold_schema.tables, *(full.partition(".")[2] for full in task.gold_schema.columns)):
            assert name == "id" or word(name) in asked


def test_no_wrong_name_of_the_same_table_and_no_twin_gives_the_gold_rows(pocket: TextToSQLDataset) -> None:
    swaps = 0
    for task in pocket:
        assert task.gold_schema is not None
        gold, schema = set(read(pocket, task.database, task.gold_sql)), schema_of(pocket, task.database)
        table_words = {word(table) for table in schema}
        swapped = [(table, other) for table in task.gold_schema.tables for other in twins(schema, table)]
        for table, _, column in (full.partition(".") for full in task.gold_schema.columns):
            plain = [name for name in schema[table] if name != "id" and word(name) not in table_words]
            swapped += [(column, other) for other in plain if column in plain and other != column]
        for name, other in swapped:
            assert set(read(pocket, task.database, re.sub(rf"\b{name}\b", other, task.gold_sql))) != gold, task
        swaps += len(swapped)
    assert swaps > len(pocket)


def word(identifier: str) -> str:
    return identifier.split("_")[0]


def twins(schema: dict[str, list[str]], table: str) -> list[str]:
    return [other for other in schema if other != table and word(other) == word(table)]


def test_all_families_and_difficulties_occur_and_outdated_twins_are_asked_for(pocket: TextToSQLDataset) -> None:
    assert {family for task in pocket for family in task.families} == set(FAMILIES)
    assert {task.difficulty for task in pocket} == {"easy", "medium", "hard"}
    asked = [word for task in pocket for word in ("old", "current") if f" {word} " in task.question]
    assert asked.count("old") > 10 and asked.count("current") > 10


def test_a_column_word_can_be_shared_between_tables_but_no_identifier_is(pocket: TextToSQLDataset) -> None:
    shared = 0
    for database in pocket.databases:
        schema = schema_of(pocket, database)
        current = [table for table in schema if "_old_" not in table]
        columns = [column for table in current for column in schema[table] if column != "id"]
        assert len(set(columns)) == len(columns)
        shared += len(columns) - len({word(column) for column in columns})
    assert shared > 20


def test_the_environment_takes_pocket_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOGLINE_CACHE", str(tmp_path))
    dataset = load_tasks("pocket")
    assert dataset.name == "pocket-train-0"
    assert len(dataset) == PocketConfig().databases * PocketConfig().questions_per_database


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    config = PocketConfig(databases=1, questions_per_database=2)
    path = Path(next(iter(pocket_dataset(config, tmp_path).databases.values())).url.removeprefix("sqlite:///"))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"db0\.sqlite is not the file that was generated\. Delete the folder"):
        pocket_dataset(config, tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"part": "tests"}, "part='tests' is unknown.*Did you mean 'test'"),
        ({"databases": 0}, "databases=0 is out of range"),
        ({"tables": (3, 2)}, r"tables=\(3, 2\) is no range: pass two integers, 1 <= low <= high <= 4"),
        ({"columns": (2, 4)}, r"columns=\(2, 4\) is no range"),
        ({"twin": 1.5}, "twin=1.5 is not a share"),
    ],
)
def test_options_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        PocketConfig(**options)


def test_more_questions_than_a_database_yields_are_refused(tmp_path: Path) -> None:
    config = PocketConfig(databases=1, tables=(1, 1), columns=(3, 3), questions_per_database=40)
    with pytest.raises(ConfigurationError, match="questions_per_database=40 is too many: db0 yields"):
        pocket_dataset(config, tmp_path)
