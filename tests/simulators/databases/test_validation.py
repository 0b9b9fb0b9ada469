"""Gold validation: what is dropped and why, what is remembered, and which questions are worth training on."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from dataset_folders import DAMAGED, GOOD, SHOP, make_database, make_databases

from fogline.core.errors import ConfigurationError
from fogline.simulators.databases.records import (
    DatabaseRef,
    Dropped,
    QueryLimits,
    QueryResult,
    SchemaSubset,
    TextToSQLDataset,
    TextToSQLTask,
)
from fogline.simulators.databases.validation import (
    DROP_REASONS,
    GoldDatabase,
    drop_counts,
    open_read_only,
    pass_rate_filter,
    restrict,
    validate,
    without_running,
)

LIMITS = QueryLimits(seconds=0.5, max_rows=1_000, max_cell_bytes=500_000)


@pytest.fixture(name="databases")
def fixture_databases(tmp_path: Path) -> dict[str, DatabaseRef]:
    root = make_databases(tmp_path / "databases")
    return {name: DatabaseRef(name, f"sqlite:///{root / name / name}.sqlite") for name in ("shop", "school")}


def task(task_id: str, database: str, sql: str, schema: SchemaSubset | None = None) -> TextToSQLTask:
    return TextToSQLTask(task_id, database, "?", sql, gold_schema=schema)


def good_tasks() -> list[TextToSQLTask]:
    return [task(f"good-{number}", database, sql) for number, (database, _, sql) in enumerate(GOOD)]


def reasons(dataset: TextToSQLDataset) -> dict[str, str]:
    return {record.task_id: record.reason for record in dataset.dropped}


def test_every_damage_is_dropped_with_its_own_reason(databases: dict[str, DatabaseRef], tmp_path: Path) -> None:
    damaged = [task(reason, database, sql) for reason, (database, sql) in DAMAGED.items()]
    absent_table = SchemaSubset.of(["customer", "client"], {"customer": ["name"]})
    absent_column = SchemaSubset.of(["customer"], {"customer": ["surname"]})
    damaged += [
        task("schema_absent_table", "shop", "SELECT 1", absent_table),
        task("schema_absent_column", "shop", "SELECT 1", absent_column),
        task("good-0", "shop", "SELECT 1"),
    ]
    earlier = (Dropped("torn", "untranslatable"),)
    dataset = validate(
        [*good_tasks(), *damaged], databases, LIMITS, name="x", dropped=earlier, cache=tmp_path / "cache"
    )
    assert list(dataset.tasks) == [f"good-{number}" for number in range(len(GOOD))]
    expected = {reason: reason for reason in (*DAMAGED, "schema_absent_table", "schema_absent_column")}
    assert reasons(dataset) == {"torn": "untranslatable", **expected, "good-0": "duplicate_id"}
    assert {*drop_counts(dataset)} <= {*DROP_REASONS}
    assert sum(drop_counts(dataset).values()) == len(dataset.dropped) == len(DAMAGED) + 4
    details = {record.task_id: record.detail for record in dataset.dropped}
    assert "nme" in details["gold_error"]
    assert "client" in details["schema_absent_table"]
    assert "customer.surname" in details["schema_absent_column"]


def test_kept_tasks_carry_their_schema(databases: dict[str, DatabaseRef], tmp_path: Path) -> None:
    own = SchemaSubset.of(["orders"], {"orders": ["id"]})
    tasks = [*good_tasks(), task("labelled", "shop", "SELECT name FROM customer", own)]
    dataset = validate(tasks, databases, LIMITS, cache=tmp_path / "cache")
    assert dataset.tasks["good-0"].gold_schema == SchemaSubset.of(["customer"], {"customer": ["name", "city"]})
    assert dataset.tasks["good-2"].gold_schema == SchemaSubset.of(["pupil"], {"pupil": ["first name", "grade"]})
    assert dataset.tasks["labelled"].gold_schema == own


def test_an_empty_gold_result_is_dropped_only_on_request(databases: dict[str, DatabaseRef], tmp_path: Path) -> None:
    strict = validate(good_tasks(), databases, LIMITS, require_rows=True, cache=tmp_path / "cache")
    assert reasons(strict) == {"good-3": "gold_empty"}
    assert "good-3" in validate(good_tasks(), databases, LIMITS, cache=tmp_path / "cache").tasks


def test_gold_must_run_on_the_whole_suite(databases: dict[str, DatabaseRef], tmp_path: Path) -> None:
    other = make_database(tmp_path / "other.sqlite", SHOP.replace("city", "town"))
    suite = {"shop": DatabaseRef("shop", databases["shop"].url, (f"sqlite:///{other}",))}
    tasks = [task("a", "shop", "SELECT name FROM customer"), task("b", "shop", "SELECT city FROM customer")]
    dataset = validate(tasks, suite, LIMITS, cache=tmp_path / "cache")
    assert reasons(dataset) == {"b": "gold_error"}
    assert dataset.dropped[0].detail.startswith("on suite database 0")
    assert len(validate(tasks, suite, LIMITS, check_suite=False, cache=tmp_path / "cache")) == 2


def test_a_file_that_is_no_database_counts_as_missing(databases: dict[str, DatabaseRef], tmp_path: Path) -> None:
    torn = tmp_path / "torn.sqlite"
    torn.write_text("not a database " * 100)
    refs = {**databases, "torn": DatabaseRef("torn", f"sqlite:///{torn}")}
    dataset = validate([*good_tasks(), task("x", "torn", "SELECT 1")], refs, LIMITS, cache=tmp_path / "cache")
    assert reasons(dataset) == {"x": "missing_database"}
    assert set(dataset.databases) == {"shop", "school"}


class Counting:
    """Opens databases and counts the gold statements they run, not those that read the catalogue."""

    def __init__(self, tasks: Sequence[TextToSQLTask]) -> None:
        self.golds = {task.gold_sql for task in tasks}
        self.ran = 0

    def __call__(self, ref: DatabaseRef, limits: QueryLimits) -> GoldDatabase:
        database = open_read_only(ref, limits)
        run: Callable[..., QueryResult] = database.execute

        def counted(sql: str, limits: QueryLimits | None = None) -> QueryResult:
            self.ran += sql in self.golds
            return run(sql, limits)

        database.execute = counted  # type: ignore[method-assign]
        return database


def test_a_second_load_runs_nothing_and_finds_the_same(databases: dict[str, DatabaseRef], tmp_path: Path) -> None:
    tasks = [*good_tasks(), task("bad", "shop", "SELECT nme FROM customer")]
    counting = Counting(tasks)
    first = validate(tasks, databases, LIMITS, cache=tmp_path / "cache", open_database=counting)
    assert counting.ran == len(tasks)
    second = validate(tasks, databases, LIMITS, cache=tmp_path / "cache", open_database=counting)
    assert counting.ran == len(tasks)
    assert second == first
    validate(tasks, databases, LIMITS, cache=tmp_path / "cache", refresh=True, open_database=counting)
    assert counting.ran == 2 * len(tasks)


def test_other_limits_or_another_content_run_again(databases: dict[str, DatabaseRef], tmp_path: Path) -> None:
    tasks = good_tasks()
    counting = Counting(tasks)
    validate(tasks, databases, LIMITS, cache=tmp_path / "cache", open_database=counting)
    more = QueryLimits(seconds=0.5, max_rows=2_000, max_cell_bytes=500_000)
    validate(tasks, databases, more, cache=tmp_path / "cache", open_database=counting)
    assert counting.ran == 2 * len(tasks)
    path = Path(databases["shop"].url.removeprefix("sqlite:///"))
    path.unlink()
    make_database(path, SHOP + "DROP TABLE orders;")
    changed = validate(tasks, databases, LIMITS, cache=tmp_path / "cache", open_database=counting)
    assert counting.ran == 2 * len(tasks) + 3
    assert reasons(changed) == {"good-1": "gold_error"}


def test_a_torn_memory_is_rebuilt(
    databases: dict[str, DatabaseRef], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = validate(good_tasks(), databases, LIMITS, cache=tmp_path / "cache")
    for file in (tmp_path / "cache").iterdir():
        file.write_text("{torn")
    assert validate(good_tasks(), databases, LIMITS, cache=tmp_path / "cache") == first
    assert "cannot be read" in caplog.text
    assert all(json.loads(file.read_text()) for file in (tmp_path / "cache").iterdir())


def test_progress_ends_at_the_number_of_statements(databases: dict[str, DatabaseRef], tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    for _ in range(2):
        seen.clear()
        validate(good_tasks(), databases, LIMITS, cache=tmp_path / "cache", progress=lambda *at: seen.append(at))
        assert seen[-1] == (len(GOOD), len(GOOD))


def test_without_running_only_ids_and_databases_are_checked(databases: dict[str, DatabaseRef]) -> None:
    tasks = [task("a", "shop", "SELEKT"), task("a", "shop", "SELECT 1"), task("b", "nowhere", "SELECT 1")]
    dataset = without_running(tasks, databases)
    assert list(dataset.tasks) == ["a"]
    assert [record.reason for record in dataset.dropped] == ["duplicate_id", "missing_database"]


def test_pass_rates_of_eight_rollouts() -> None:
    rates = {f"{solved}/8": solved / 8 for solved in range(9)}
    assert pass_rate_filter(rates) == ("1/8", "2/8", "3/8", "4/8", "5/8")
    assert pass_rate_filter(rates, keep_zero=True)[0] == "0/8"
    assert pass_rate_filter(rates, low=0.25, high=1.0) == ("3/8", "4/8", "5/8", "6/8", "7/8")


@pytest.mark.parametrize(("rates", "bounds"), [({"a": 3.0}, {}), ({"a": -0.1}, {}), ({}, {"low": 0.8})])
def test_impossible_pass_rates_are_refused(rates: dict[str, float], bounds: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError):
        pass_rate_filter(rates, **bounds)  # type: ignore[arg-type]


def test_restricting_keeps_the_order_of_the_data_set(databases: dict[str, DatabaseRef]) -> None:
    dataset = without_running(good_tasks(), databases)
    assert list(restrict(dataset, ["good-2", "good-0"]).tasks) == ["good-0", "good-2"]
    with pytest.raises(ConfigurationError, match="'good-9'"):
        restrict(dataset, ["good-9"])
