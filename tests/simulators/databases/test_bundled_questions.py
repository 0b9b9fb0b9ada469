"""The hand-written questions keep the rules that their page promises."""

from __future__ import annotations

import re
from collections import Counter

import pytest
import sqlglot
from sqlglot import exp

from fogline.simulators.databases.bundled import bundled_database
from fogline.simulators.databases.executor import Database
from fogline.simulators.databases.loaders import bundled_dataset
from fogline.simulators.databases.records import TextToSQLTask

FAMILIES = {
    *("filter", "projection", "order_limit", "join_1", "join_2", "join_3plus", "left_join", "aggregate", "group_by"),
    *("having", "distinct", "subquery_scalar", "subquery_in", "exists", "correlated", "set_operation", "window", "cte"),
    *("case", "self_join", "string", "date", "null", "arithmetic"),
}


def skeleton(sql: str) -> str:
    """The statement without its names and values."""
    tree = sqlglot.parse_one(sql, read="sqlite")
    for node in list(tree.find_all(exp.Identifier)):
        node.set("this", "_")
        node.set("quoted", False)
    for literal in list(tree.find_all(exp.Literal)):
        literal.replace(exp.Placeholder())
    return tree.sql(dialect="sqlite")


@pytest.fixture(scope="module")
def tasks() -> list[TextToSQLTask]:
    dataset = bundled_dataset()
    assert dataset.dropped == ()
    return list(dataset)


@pytest.mark.parametrize("database", ["chinook", "northwind"])
def test_each_database_has_sixty_questions_over_every_family_and_difficulty(
    database: str, tasks: list[TextToSQLTask]
) -> None:
    own = [task for task in tasks if task.database == database]
    assert len(own) >= 60
    assert {family for task in own for family in task.families} >= FAMILIES
    assert {task.difficulty for task in own} == {"easy", "medium", "hard", "extra"}


def test_a_skeleton_hides_names_and_values_only() -> None:
    assert skeleton("SELECT a FROM t WHERE b = 1") == skeleton('SELECT "x y" FROM u WHERE c = 2')
    assert skeleton("SELECT a FROM t") != skeleton("SELECT a, b FROM t")


def test_no_skeleton_occurs_more_than_three_times(tasks: list[TextToSQLTask]) -> None:
    assert max(Counter(skeleton(task.gold_sql) for task in tasks).values()) <= 3


def test_every_question_has_a_paraphrase_in_other_words(tasks: list[TextToSQLTask]) -> None:
    for task in tasks:
        (paraphrase,) = task.paraphrases
        assert set(re.findall(r"\w+", paraphrase.lower())) != set(re.findall(r"\w+", task.question.lower()))


def test_no_question_is_worded_twice(tasks: list[TextToSQLTask]) -> None:
    wordings = [text for task in tasks for text in (task.question, *task.paraphrases)]
    assert len(set(wordings)) == len(wordings)


def test_every_gold_gives_rows_and_all_that_it_gives_is_shown_to_the_comparator(tasks: list[TextToSQLTask]) -> None:
    for name in ("chinook", "northwind"):
        with Database(bundled_database(name)) as database:
            own = [task for task in tasks if task.database == name]
            for task, result in zip(own, database.execute_many([task.gold_sql for task in own]), strict=True):
                assert result.status == "ok", task.task_id
                assert 1 <= result.row_count <= 200 and not result.truncated, task.task_id
