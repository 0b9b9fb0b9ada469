"""Every published layout loads, its gold scores 1 when replayed, and damage is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from dataset_folders import (
    DAMAGED,
    GOOD,
    SCHOOL,
    SHOP,
    bird_records,
    damaged_items,
    make_database,
    make_databases,
    spider_records,
    spider_syn_records,
    trust_sql_record,
    write_json,
    write_lines,
)

from fogline.core.errors import ConfigurationError, DataError
from fogline.simulators.databases.comparators import COMPARATORS, compare, compare_suite
from fogline.simulators.databases.executor import Database
from fogline.simulators.databases.loaders import BUNDLED_NAMES, bundled_dataset, bundled_records, load_dataset
from fogline.simulators.databases.records import DatabaseRef, QueryLimits, SchemaSubset, TextToSQLDataset
from fogline.simulators.databases.validation import drop_counts

LIMITS = QueryLimits(seconds=0.5, max_rows=1_000, max_cell_bytes=500_000)


@pytest.fixture(name="cache")
def fixture_cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def assert_gold_scores_one(dataset: TextToSQLDataset) -> None:
    """Replay each kept gold as if it were an answer, under every comparator and over the suites."""
    assert dataset.tasks
    for name, ref in dataset.databases.items():
        with ExitStack() as stack:
            opened = [stack.enter_context(Database(DatabaseRef(name, url))) for url in (ref.url, *ref.suite)]
            for task in dataset:
                if task.database != name:
                    continue
                for comparator in COMPARATORS:
                    dialect = opened[0].dialect
                    assert compare_suite(task.gold_sql, task.gold_sql, opened, comparator=comparator, dialect=dialect)


def bird_dev(root: Path) -> Path:
    make_databases(root / "dev_databases")
    write_json(root / "dev.json", bird_records(damaged_items()))
    write_json(root / "dev_tables.json", [])
    return root


def bird_train(root: Path) -> Path:
    make_databases(root / "train" / "train_databases")
    items = [
        {key: item[key] for key in ("db_id", "question", "evidence", "SQL")} for item in bird_records(damaged_items())
    ]
    write_json(root / "train" / "train.json", items)
    return root


def bird_mini_dev(root: Path) -> Path:
    folder = root / "minidev" / "MINIDEV"
    make_databases(folder / "dev_databases")
    write_json(folder / "mini_dev_sqlite.json", bird_records(damaged_items()))
    return root


def spider(root: Path) -> Path:
    make_databases(root / "database")
    write_json(root / "dev.json", spider_records(damaged_items()))
    write_json(root / "tables.json", [{"db_id": "shop"}])
    return root


def spider_syn(root: Path) -> Path:
    make_databases(root / "database")
    write_json(root / "Spider-Syn" / "dev.json", spider_syn_records(damaged_items()))
    return root / "Spider-Syn" / "dev.json"


def spider_dk(root: Path) -> Path:
    make_databases(root / "database")
    write_json(root / "Spider-DK.json", spider_records(damaged_items()))
    write_json(root / "tables.json", [])
    return root


def spider_realistic(root: Path) -> Path:
    make_databases(root / "database")
    write_json(root / "spider-realistic.json", spider_records(damaged_items()))
    return root


def trust_sql(root: Path) -> Path:
    make_databases(root / "databases")
    records = [
        trust_sql_record(number, database, question, sql, "databases")
        for number, (database, question, sql) in enumerate(damaged_items())
    ]
    write_lines(root / "rl.jsonl", records)
    return root / "rl.jsonl"


def own(root: Path) -> Path:
    make_databases(root)
    records = [
        {"task_id": f"q{number}", "database": database, "question": question, "gold_sql": sql}
        for number, (database, question, sql) in enumerate(damaged_items())
    ]
    write_lines(root / "questions.jsonl", records)
    return root


LAYOUTS = [bird_dev, bird_train, bird_mini_dev, spider, spider_syn, spider_dk, spider_realistic, trust_sql, own]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_damaged_folder_keeps_the_good_and_names_the_rest(
    layout: Callable[[Path], Path], tmp_path: Path, cache: Path
) -> None:
    dataset = load_dataset(layout(tmp_path / "data"), limits=LIMITS, cache=cache)
    assert [task.gold_sql for task in dataset] == [sql for _, _, sql in GOOD]
    assert [task.database for task in dataset] == [database for database, _, _ in GOOD]
    assert drop_counts(dataset) == dict.fromkeys(DAMAGED, 1)
    assert_gold_scores_one(dataset)


@pytest.mark.parametrize(
    ("layout", "name", "first_id"),
    [
        (bird_dev, "bird-dev", "bird-dev-0"),
        (bird_train, "bird-train", "bird-train-0"),
        (bird_mini_dev, "bird-dev", "bird-mini_dev-0"),
        (spider, "spider-dev", "spider-dev-0"),
        (spider_syn, "spider_syn-dev", "spider-syn-dev-0"),
        (spider_dk, "spider_dk-dev", "spider-dk-0"),
        (spider_realistic, "spider_realistic-dev", "spider-realistic-0"),
        (trust_sql, "trust_sql-rl", "0"),
        (own, "fogline-questions", "q0"),
    ],
)
def test_names_and_ids(layout: Callable[[Path], Path], name: str, first_id: str, tmp_path: Path) -> None:
    dataset = load_dataset(layout(tmp_path), validate=False)
    assert dataset.name == name
    assert next(iter(dataset.tasks)) == first_id
    assert len(dataset) == len(GOOD) + len(DAMAGED) - 1  # all but the one without a database


def test_bird_brings_evidence_and_difficulty(tmp_path: Path) -> None:
    tasks = list(load_dataset(bird_dev(tmp_path), validate=False))
    assert (tasks[0].evidence, tasks[0].difficulty) == ("Oslo refers to city = 'Oslo'", "simple")
    assert tasks[1].evidence == ""


def test_a_repeated_question_id_is_dropped(tmp_path: Path, cache: Path) -> None:
    make_databases(tmp_path / "dev_databases")
    write_json(tmp_path / "dev.json", bird_records(list(GOOD), question_id=7))
    dataset = load_dataset(tmp_path, limits=LIMITS, cache=cache)
    assert drop_counts(dataset) == {"duplicate_id": len(GOOD) - 1}


def test_spider_syn_asks_the_reworded_question(tmp_path: Path) -> None:
    task = next(iter(load_dataset(spider_syn(tmp_path), validate=False)))
    assert task.question == f"{GOOD[0][1]} (reworded)"
    assert task.paraphrases == ()


def test_spider_variants_take_spiders_own_databases(tmp_path: Path, cache: Path) -> None:
    write_json(tmp_path / "syn" / "dev.json", spider_syn_records(list(GOOD)))
    make_databases(tmp_path / "spider" / "database")
    with pytest.raises(DataError, match=r"4 missing_database.*databases=FOLDER"):
        load_dataset(tmp_path / "syn", limits=LIMITS, cache=cache)
    assert len(load_dataset(tmp_path / "syn", databases=tmp_path / "spider", limits=LIMITS, cache=cache)) == len(GOOD)
    with pytest.raises(ConfigurationError, match="does not exist"):
        load_dataset(tmp_path / "syn", databases=tmp_path / "nowhere")


def test_spider_training_split_joins_both_files_and_test_has_its_own_databases(tmp_path: Path, cache: Path) -> None:
    make_databases(tmp_path / "database")
    make_database(tmp_path / "test_database" / "shop" / "shop.sqlite", SHOP + "DELETE FROM customer WHERE id = 3;")
    write_json(tmp_path / "train_spider.json", spider_records([GOOD[0]]))
    write_json(tmp_path / "train_others.json", spider_records([GOOD[1], GOOD[2]]))
    write_json(tmp_path / "test.json", spider_records([GOOD[0]]))
    with pytest.raises(ConfigurationError, match=r"split=None.*'train', 'test'"):
        load_dataset(tmp_path)
    train = load_dataset(tmp_path, split="train", limits=LIMITS, cache=cache)
    assert list(train.tasks) == ["spider-train_spider-0", "spider-train_others-0", "spider-train_others-1"]
    test = load_dataset(tmp_path, split="test", limits=LIMITS, cache=cache)
    with Database(test.databases["shop"]) as database:
        assert database.execute(GOOD[0][2]).rows == (("Ann",),)


def test_further_files_beside_a_database_are_its_test_suite(tmp_path: Path, cache: Path) -> None:
    spider(tmp_path)
    make_database(tmp_path / "database" / "shop" / "shop_2.sqlite", SHOP.replace("'Rome'", "'Oslo'"))
    dataset = load_dataset(tmp_path, limits=LIMITS, cache=cache)
    assert [Path(url).name for url in dataset.databases["shop"].suite] == ["shop_2.sqlite"]
    assert dataset.databases["school"].suite == ()
    assert_gold_scores_one(dataset)
    shop = dataset.databases["shop"]
    with Database(shop) as first, Database(DatabaseRef("shop", shop.suite[0])) as second:
        lucky = "SELECT name FROM customer WHERE id <> 2 ORDER BY name"
        assert compare(first.execute(lucky), first.execute(GOOD[0][2]), "bird")
        assert not compare_suite(lucky, GOOD[0][2], [first, second])


@pytest.mark.parametrize("place", ["{root}/{db}.sqlite", "{root}/{db}/{db}.sqlite"])
def test_databases_are_found_in_both_layouts(place: str, tmp_path: Path, cache: Path) -> None:
    for name, script in (("shop", SHOP), ("school", SCHOOL)):
        make_database(Path(place.format(root=tmp_path / "dev_databases", db=name)), script)
    write_json(tmp_path / "dev.json", bird_records(list(GOOD)))
    assert len(load_dataset(tmp_path, limits=LIMITS, cache=cache)) == len(GOOD)


def test_a_direct_path_serves_a_record(tmp_path: Path, cache: Path) -> None:
    file = make_database(tmp_path / "elsewhere" / "any_name.sqlite", SHOP)
    write_lines(tmp_path / "rl.jsonl", [trust_sql_record(1, "shop", *GOOD[0][1:], root=str(file))])
    assert len(load_dataset(tmp_path / "rl.jsonl", limits=LIMITS, cache=cache)) == 1


def test_two_databases_of_one_name_stay_apart(tmp_path: Path, cache: Path) -> None:
    make_database(tmp_path / "bird" / "shop" / "shop.sqlite", SHOP)
    make_database(tmp_path / "spider" / "shop" / "shop.sqlite", SHOP + "DELETE FROM customer WHERE id = 3;")
    records = [trust_sql_record(n, "shop", *GOOD[0][1:], root=root) for n, root in enumerate(("bird", "spider"))]
    dataset = load_dataset(write_lines(tmp_path / "rl.jsonl", records), limits=LIMITS, cache=cache)
    assert [task.database for task in dataset] == ["shop", "shop@spider"]
    assert len({ref.url for ref in dataset.databases.values()}) == 2


def test_trust_sql_records_give_evidence_and_labels_and_only_the_first_target(tmp_path: Path, cache: Path) -> None:
    make_databases(tmp_path / "databases")
    labels = {"tables": ["Customer"], "columns": {"customer": ["Name", {"column_name": "CITY"}]}, "joins": []}
    evidence = "Oslo: the capital\nNote: two lines"
    records = [
        trust_sql_record(1, "shop", *GOOD[0][1:], root="databases", evidence=evidence, schema=labels),
        trust_sql_record(2, "shop", *GOOD[1][1:], root="databases", evidence="None"),
        trust_sql_record(3, "shop", *GOOD[1][1:], root="databases", schema={"tables": ["client"], "columns": {}}),
        trust_sql_record(
            4, "shop", *GOOD[1][1:], root="databases", schema={"tables": [], "columns": {"orders": ["sum"]}}
        ),
    ]
    dataset = load_dataset(write_lines(tmp_path / "rl.jsonl", records), limits=LIMITS, cache=cache)
    first, second = dataset
    assert first.gold_schema == SchemaSubset.of(["customer"], {"customer": ["name", "city"]})
    assert first.evidence == evidence
    assert second.evidence == ""
    assert second.gold_schema is not None and "orders.total" in second.gold_schema.columns
    assert [task.gold_sql for task in dataset] == [GOOD[0][2], GOOD[1][2]]
    assert drop_counts(dataset) == {"schema_absent_table": 1, "schema_absent_column": 1}


def test_own_records_keep_every_field(tmp_path: Path, cache: Path) -> None:
    make_databases(tmp_path)
    record = {
        "task_id": "a",
        "database": "shop",
        "question": "Who?",
        "paraphrase": "Which people?",
        "evidence": "hint",
        "gold_sql": GOOD[0][2],
        "difficulty": "hard",
        "families": ["filter", "order_limit"],
        "gold_schema": {"tables": ["customer"], "columns": {"customer": ["id"]}},
    }
    task = load_dataset(write_lines(tmp_path / "q.jsonl", [record]), limits=LIMITS, cache=cache).tasks["a"]
    assert (task.question, task.paraphrases, task.evidence) == ("Who?", ("Which people?",), "hint")
    assert (task.difficulty, task.families) == ("hard", ("filter", "order_limit"))
    assert task.gold_schema == SchemaSubset.of(["customer"], {"customer": ["id"]})


def bird(**changes: Any) -> list[Any]:
    record = bird_records([GOOD[0]])[0]
    record.update(changes)
    return [*bird_records([GOOD[1]]), {key: value for key, value in record.items() if value is not ...}]


OWN = {"task_id": "a", "database": "shop", "question": "q", "gold_sql": "SELECT 1"}


@pytest.mark.parametrize(
    ("file", "content", "complaints"),
    [
        ("dev.json", bird(SQL=...), ["record 1", "'SQL'", "is missing"]),
        ("dev.json", bird(SQL="  "), ["record 1", "'SQL'", "is empty"]),
        ("dev.json", bird(question=3), ["record 1", "'question'", "is 3", "a string"]),
        ("dev.json", bird(db_id="../shop"), ["record 1", "'db_id'", "without path parts"]),
        ("dev.json", bird(question_id=[1]), ["record 1", "'question_id'", "a number or string"]),
        ("dev.json", [3], ["record 0", "a int"]),
        ("dev.json", {"questions": []}, ["JSON array"]),
        ("dev.json", [], ["holds no record"]),
        ("dev.json", [{"db_id": "shop", "question": "q"}], ["record 0", "'gold_sql'", "trust_sql"]),
        ("q.jsonl", [OWN, {**OWN, "task_id": ""}], ["line 2", "'task_id'", "is empty"]),
        ("q.jsonl", [{**OWN, "familes": []}], ["line 1", "'familes'", "Did you mean 'families'"]),
        ("q.jsonl", [{**OWN, "families": "filter"}], ["line 1", "'families'", "a list of strings"]),
        ("q.jsonl", [{**OWN, "gold_schema": {"tables": 3}}], ["line 1", "'gold_schema'", '"columns" is missing']),
        (
            "q.jsonl",
            [{"id": 1, "question": "q", "reward_model": {"data_source": "shop", "ground_truth": {"target": []}}}],
            ["line 1", "'reward_model'", "'target'", "first entry"],
        ),
        (
            "q.jsonl",
            [{"id": 1, "question": "q", "reward_model": {"data_source": "shop"}}],
            ["line 1", "'ground_truth'"],
        ),
        ("q.jsonl", [{"id": None, "reward_model": {}}], ["line 1", "'id'", "is None"]),
    ],
)
def test_malformed_records_name_file_place_field_and_expectation(
    file: str, content: Any, complaints: list[str], tmp_path: Path
) -> None:
    (write_lines if file.endswith(".jsonl") else write_json)(tmp_path / file, content)
    with pytest.raises(DataError) as caught:
        load_dataset(tmp_path, validate=False)
    for complaint in [file, *complaints]:
        assert complaint in str(caught.value)


@pytest.mark.parametrize(
    ("file", "text", "complaint"),
    [("dev.json", '[{"a": 1},\n oops]', "line 2"), ("q.jsonl", '{"a": 1}\n\n{oops}\n', "line 3")],
)
def test_broken_json_names_the_line(file: str, text: str, complaint: str, tmp_path: Path) -> None:
    (tmp_path / file).write_text(text)
    with pytest.raises(DataError, match=complaint):
        load_dataset(tmp_path / file)


def test_a_line_separator_inside_a_question_does_not_split_its_record(tmp_path: Path) -> None:
    make_databases(tmp_path)
    write_lines(tmp_path / "q.jsonl", [{**OWN, "question": "one\u2028two\x85three"}])
    assert load_dataset(tmp_path, validate=False).tasks["a"].question == "one\u2028two\x85three"


def test_what_is_no_data_set_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="Did you mean 'bundled'"):
        load_dataset("bundle")
    with pytest.raises(DataError, match="data-set folder"):
        load_dataset(tmp_path)
    with pytest.raises(ConfigurationError, match="format='birds'"):
        load_dataset(tmp_path, format="birds")
    with pytest.raises(ConfigurationError, match="split='validation'"):
        load_dataset(tmp_path, split="validation")
    for name in ("a", "b"):
        write_json(tmp_path / name / "dev.json", [])
    with pytest.raises(ConfigurationError, match="several data sets"):
        load_dataset(tmp_path)


def test_an_explicit_format_overrides_detection(tmp_path: Path) -> None:
    make_databases(tmp_path / "database")
    write_json(tmp_path / "dev.json", [{**record, "SQL": "SELECT 1"} for record in spider_records([GOOD[0]])])
    assert next(iter(load_dataset(tmp_path, format="spider", validate=False))).gold_sql == GOOD[0][2]
    assert next(iter(load_dataset(tmp_path, validate=False))).gold_sql == "SELECT 1"


def test_bundled_questions_all_hold_and_score_one(cache: Path) -> None:
    dataset = load_dataset("bundled", cache=cache)
    assert len(dataset) == sum(len(bundled_records(name)) for name in BUNDLED_NAMES)
    assert dataset.dropped == ()
    assert set(dataset.databases) == set(BUNDLED_NAMES)
    assert all(task.gold_schema is not None and task.gold_schema.tables for task in dataset)
    assert_gold_scores_one(dataset)


def test_bundled_questions_hold_on_duckdb_with_the_same_answers(cache: Path) -> None:
    plain, other = bundled_dataset(cache=cache), bundled_dataset("duckdb", cache=cache)
    assert other.dropped == ()
    assert list(other.tasks) == list(plain.tasks)
    for name in BUNDLED_NAMES:
        with Database(plain.databases[name]) as left, Database(other.databases[name]) as right:
            for task in plain:
                if task.database != name:
                    continue
                answers = [
                    left.execute(task.gold_sql).rows,
                    right.execute(other.tasks[task.task_id].gold_sql).rows,
                ]
                assert same_rows(*answers), task.task_id
    assert {task_id: task.gold_schema for task_id, task in other.tasks.items()} == {
        task_id: task.gold_schema for task_id, task in plain.tasks.items()
    }


def same_rows(left: tuple[tuple[Any, ...], ...], right: tuple[tuple[Any, ...], ...]) -> bool:
    """Equal bags, floating-point numbers to six places: engines sum in different orders."""

    def rounded(rows: tuple[tuple[Any, ...], ...]) -> list[str]:
        return sorted(
            json.dumps([round(cell, 6) + 0.0 if isinstance(cell, (int, float)) else cell for cell in row])
            for row in rows
        )

    return rounded(left) == rounded(right)


def test_unknown_engines_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="engine='mysql'"):
        bundled_dataset("mysql")
