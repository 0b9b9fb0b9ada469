"""The rewards of TRUST-SQL, level by level and condition by condition."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from shop import GOLD, LIST_SQL, SCHEMAS, TASKS, MakeEnv, confirm, explore, generate, perfect, play, propose

from fogline.core.errors import ConfigurationError, DataError
from fogline.simulators.databases.records import DatabaseRef, SchemaSubset, TextToSQLDataset, TextToSQLTask

WRONG = "SELECT name FROM customer"
RIGHT = GOLD["shop-count"]


def last(env: Any, moves: list[Any], task_id: str = "shop-count") -> tuple[float, dict[str, Any]]:
    """Reward and info of the step that ended the episode."""
    *before, (_, reward, terminated, truncated, info) = play(env, task_id, moves)
    assert terminated or truncated
    assert all(step[1] == 0.0 for step in before), "nothing is paid before the end"
    assert not any("outcome" in step[4] for step in before)
    return reward, info


def outcome(env: Any, moves: list[Any], task_id: str = "shop-count") -> dict[str, float]:
    return dict(last(env, moves, task_id)[1]["outcome"])


LEVELS = {
    0.0: [confirm("SELECT nothing FROM nowhere")],
    0.1: [explore(), propose(SCHEMAS["shop-count"]), generate(RIGHT), confirm("SELECT 1")],
    0.2: [confirm(WRONG)],
    0.3: [explore(), propose(SCHEMAS["shop-count"]), generate(WRONG), confirm(WRONG)],
    1.0: [confirm(RIGHT)],
    1.1: perfect("shop-count"),
}


@pytest.mark.parametrize("level", LEVELS)
def test_every_published_level_is_reached(make_env: MakeEnv, level: float) -> None:
    protocol = "soft" if level in (0.3, 1.1) else "off"
    reward, info = last(make_env(protocol=protocol), LEVELS[level])
    if level == 0.3:  # `name` was not proposed, which `soft` holds against it and the release does not
        reward, info = last(make_env(protocol="off"), LEVELS[level])
    assert reward == pytest.approx(level, abs=1e-12)
    parts = info["outcome"]
    assert parts["execution"] in (0.0, 0.2, 1.0)
    assert parts["format"] in (0.0, 0.1)
    assert reward == parts["execution"] + parts["format"]


@pytest.mark.parametrize("task_id", SCHEMAS)
@pytest.mark.parametrize("protocol", ["off", "soft", "strict"])
@pytest.mark.parametrize("actions", ["text", "structured"])
def test_a_perfect_episode_earns_everything(make_env: MakeEnv, task_id: str, protocol: str, actions: str) -> None:
    reward, info = last(make_env(protocol=protocol, actions=actions), perfect(task_id), task_id)
    assert reward == pytest.approx(1.1)
    assert info["outcome"] == {"execution": 1.0, "format": 0.1, "schema": 1.0}
    assert info["metrics"]["ex"] == 1.0
    assert info["metrics"]["error_class"] == "correct"
    assert info["metrics"]["violations"] == []


# Execution


@pytest.mark.parametrize("comparator", ["bird", "spider", "strict"])
@pytest.mark.parametrize(
    ("sql", "score"),
    [
        (RIGHT, 1.0),
        (RIGHT + " ;", 1.0),
        ("WITH z AS (SELECT * FROM customer WHERE country = 'Zanzibar') SELECT COUNT(*) FROM z", 1.0),
        ("SELECT 14 FROM customer LIMIT 1", 1.0),
        (WRONG, 0.2),
        ("SELECT COUNT(*) FROM customer", 0.2),
        ("SELECT 14", 0.0),
        ("SELECT 1", 0.0),
        ("VALUES (14)", 0.0),
        ("PRAGMA table_info(customer)", 0.0),
        ("SELECT COUNT(*) FROM sqlite_master", 0.0),
        ("EXPLAIN SELECT * FROM customer", 0.0),
        ("/* a */ -- b\n explain query plan SELECT * FROM customer", 0.0),
        ("/* explain */ SELECT name FROM customer", 0.2),
        ("SELECT missing FROM customer", 0.0),
        ("SELECT * FROM nowhere", 0.0),
        ("SELEC 1", 0.0),
        ("SELECT 1; SELECT COUNT(*) FROM customer", 0.0),
        ("DELETE FROM customer", 0.0),
        ("", 0.0),
    ],
)
def test_execution_is_right_or_ran_over_a_table_or_nothing(
    make_env: MakeEnv, comparator: str, sql: str, score: float
) -> None:
    assert outcome(make_env(comparator=comparator), [confirm(sql)])["execution"] == score


def test_the_answer_of_a_constant_that_happens_to_be_right_needs_a_table(make_env: MakeEnv) -> None:
    env = make_env()
    (row,) = [step for step in play(env, "shop-count", [generate(RIGHT)])]
    assert row[0].splitlines()[1] == "14"


@pytest.mark.parametrize("limit", [30, 99])
def test_a_part_of_the_rows_is_not_the_answer(make_env: MakeEnv, limit: int) -> None:
    env = make_env()
    assert outcome(env, [confirm(f"SELECT total FROM invoice LIMIT {limit}")], "shop-all")["execution"] == 0.2
    assert outcome(env, [confirm("SELECT total FROM invoice LIMIT 100")], "shop-all")["execution"] == 1.0


def test_the_same_rows_in_another_order_are_the_answer(make_env: MakeEnv) -> None:
    sql = "SELECT total FROM invoice ORDER BY total DESC"
    assert outcome(make_env(), [confirm(sql)], "shop-all")["execution"] == 1.0


def test_rows_shown_do_not_bound_rows_compared(make_env: MakeEnv) -> None:
    env = make_env(max_rows_shown=1)
    assert outcome(env, [confirm("SELECT total FROM invoice")], "shop-all")["execution"] == 1.0
    assert outcome(env, [confirm("SELECT total FROM invoice LIMIT 1")], "shop-all")["execution"] == 0.2


def test_empty_equals_empty(make_env: MakeEnv) -> None:
    env = make_env()
    assert outcome(env, [confirm("SELECT id FROM invoice WHERE total < 0")], "shop-none")["execution"] == 1.0
    assert outcome(env, [confirm("SELECT id FROM invoice")], "shop-none")["execution"] == 0.2


def test_a_comparator_decides_whether_duplicates_count(make_env: MakeEnv) -> None:
    doubled = "SELECT total FROM invoice UNION ALL SELECT total FROM invoice"
    assert outcome(make_env(comparator="bird"), [confirm(doubled)], "shop-all")["execution"] == 1.0
    assert outcome(make_env(comparator="spider"), [confirm(doubled)], "shop-all")["execution"] == 0.2


@pytest.mark.parametrize("answer", ["SELECT nothing FROM nowhere", "SELECT name FROM customer WHERE 0", "SELECT 1"])
def test_nothing_is_scored_against_a_gold_that_fails(make_env: MakeEnv, shop: TextToSQLDataset, answer: str) -> None:
    broken = TextToSQLTask(
        "broken", "shop", "?", "SELECT nothing FROM nowhere", gold_schema=SchemaSubset(frozenset({"customer"}))
    )
    env = make_env(dataset=TextToSQLDataset("broken", {"broken": broken}, shop.databases))
    with pytest.raises(DataError, match=r"gold SQL of task 'broken' fails.*validate=True"):
        play(env, "broken", [confirm(answer)])


def test_a_statement_that_runs_away_earns_nothing_and_ends(make_env: MakeEnv) -> None:
    forever = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT COUNT(*) FROM n, customer"
    env = make_env(seconds_per_query=0.3)
    result, info = last(env, [generate(forever), confirm(forever)])
    assert result == 0.0
    assert info["metrics"]["error_class"] == "timeout"
    assert outcome(env, perfect("shop-count")) == {"execution": 1.0, "format": 0.1, "schema": 1.0}


# Format, one condition at a time. Each changes a perfect episode in one place.

GOOD = perfect("shop-count")
THINK = "<think>t</think>"


def raw_turn(phase: str, payload: str, think: str = THINK) -> str:
    return f"{think}<action>{phase}</action>{payload}"


def call(sql: str) -> str:
    return f'<tool_call>{{"name": "execute_sql_query", "arguments": {{"db_id": "shop", "sql": "{sql}"}}}}</tool_call>'


CANCELS: dict[str, list[Any]] = {
    "no explore": GOOD[1:],
    "no propose": [GOOD[0], *GOOD[2:]],
    "no generate": [*GOOD[:2], GOOD[3]],
    "a complaint": [*GOOD[:3], "I am not sure.", GOOD[3]],
    "a complaint at first": ["Hello!", *GOOD],
    "broken JSON in a proposal": [
        GOOD[0],
        raw_turn("propose_schema", '<schema>{"tables": ["customer"], </schema>'),
        *GOOD[1:],
    ],
    "broken JSON in a call": [GOOD[0], raw_turn("explore_schema", "<tool_call>{</tool_call>"), *GOOD[1:]],
    "two thoughts": [raw_turn("explore_schema", call(LIST_SQL), THINK * 2), *GOOD[1:]],
    "no thought": [raw_turn("explore_schema", call(LIST_SQL), ""), *GOOD[1:]],
    "no thought in a further turn": [raw_turn("explore_schema", call(LIST_SQL), ""), *GOOD],
    "no thought in the last turn": [*GOOD[:3], raw_turn("confirm_answer", f"<answer>{RIGHT}</answer>", "")],
    "two actions": [
        raw_turn("explore_schema", call(LIST_SQL) + "<action>explore_schema</action>"),
        *GOOD[1:],
    ],
    "an unknown action": [*GOOD[:1], raw_turn("dance", call(LIST_SQL)), *GOOD[1:]],
    "an untyped call": [*GOOD[:1], THINK + call(LIST_SQL), *GOOD[1:]],
    "a payload of another action": [*GOOD[:3], raw_turn("generate_sql", f"<answer>{RIGHT}</answer>")],
    "a syntax error": [*GOOD[:2], generate("SELEC COUNT(*) FROM customer"), *GOOD[2:]],
    "a syntax error while exploring": [explore("SELECT sql FRM sqlite_master"), *GOOD],
}
KEEPS: dict[str, list[Any]] = {
    "nothing": GOOD,
    "an unknown column": [*GOOD[:2], generate("SELECT missing FROM customer"), *GOOD[2:]],
    "an unknown table": [*GOOD[:2], generate("SELECT 1 FROM nowhere"), *GOOD[2:]],
    "several explorations": [GOOD[0], explore("PRAGMA table_info(customer)"), *GOOD],
    "several proposals": [*GOOD[:2], *GOOD[1:]],
    "going back": [*GOOD[:3], *GOOD],
    "a wrong first attempt": [*GOOD[:2], generate("SELECT COUNT(country) FROM customer"), *GOOD[2:]],
}


@pytest.mark.parametrize("protocol", ["off", "soft"])
@pytest.mark.parametrize("name", CANCELS)
def test_each_broken_condition_cancels_the_format_reward(make_env: MakeEnv, protocol: str, name: str) -> None:
    parts = outcome(make_env(protocol=protocol), CANCELS[name])
    assert parts["format"] == 0.0
    assert parts["execution"] == 1.0


@pytest.mark.parametrize("protocol", ["off", "soft"])
@pytest.mark.parametrize("name", KEEPS)
def test_what_the_paper_allows_does_not_cancel_it(make_env: MakeEnv, protocol: str, name: str) -> None:
    assert outcome(make_env(protocol=protocol), KEEPS[name])["format"] == 0.1


@pytest.mark.parametrize("protocol", ["off", "soft", "strict"])
def test_table_data_that_reads_like_a_complaint_does_not_cancel_it(make_env: MakeEnv, protocol: str) -> None:
    env = make_env(protocol=protocol)
    steps = play(env, "shop-notes", perfect("shop-notes"))
    shown = steps[2][0]
    assert "try again" in shown
    assert "Invalid format" in shown
    assert "syntax error" in shown
    assert steps[-1][4]["outcome"]["format"] == 0.1


def test_an_answer_that_is_wrong_or_fails_keeps_the_format_reward(make_env: MakeEnv) -> None:
    assert outcome(make_env(protocol="off"), [*GOOD[:3], confirm("SELECT 1 FROM nowhere")]) == {
        "execution": 0.0,
        "format": 0.1,
        "schema": 0.0,
    }


def test_a_violation_withholds_it_in_soft_mode_only(make_env: MakeEnv) -> None:
    moves = [*GOOD[:3], confirm(RIGHT + " AND 1")]
    assert outcome(make_env(protocol="off"), moves)["format"] == 0.1
    assert outcome(make_env(protocol="soft"), moves) == {"execution": 1.0, "format": 0.0, "schema": 1.0}


def test_running_out_of_turns_pays_nothing_at_all(make_env: MakeEnv) -> None:
    env = make_env(max_turns=3)
    reward, info = last(env, GOOD[:3])
    assert reward == 0.0
    assert info["outcome"] == {"execution": 0.0, "format": 0.0, "schema": 0.0}


# Schema


def with_schema(columns: dict[str, list[str]], tables: list[str] | None = None, answer: str = "") -> list[Any]:
    answer = answer or GOLD["shop-join"]
    return [explore(), propose(columns, tables), generate(answer), confirm(answer)]


EXACT = SCHEMAS["shop-join"]
BROAD = {**EXACT, "customer": [*EXACT["customer"], "country"]}
WIDE = {"customer": ["id", "name", "country", "note"], "invoice": ["id", "customer_id", "total"]}
NARROW = {"customer": ["name"], "invoice": ["total"]}
SHOUTED = {table.upper(): [column.upper() for column in columns] for table, columns in EXACT.items()}


@pytest.mark.parametrize(
    ("mode", "columns", "score"),
    [
        ("truematch", EXACT, 1.0),
        ("truematch", SHOUTED, 1.0),
        ("truematch", BROAD, 0.0),
        ("truematch", NARROW, 0.0),
        ("truematch", {}, 0.0),
        ("totalmatch", EXACT, 1.0),
        ("totalmatch", BROAD, 0.0),
        ("recall_then_precision_strict", EXACT, 1.0),
        # Tables 2/2 and columns 4/5: 0.4 + 0.6 · 0.8 = 0.88, in [.8, .9).
        ("recall_then_precision_strict", BROAD, 0.6),
        # Columns 4/7: 0.4 + 0.6 · 4/7 = 0.743, in [.7, .8).
        ("recall_then_precision_strict", WIDE, 0.4),
        ("recall_then_precision_strict", NARROW, 0.0),
    ],
)
def test_schema_reward_by_mode(make_env: MakeEnv, mode: str, columns: dict[str, list[str]], score: float) -> None:
    parts = outcome(make_env(schema_mode=mode), with_schema(columns), "shop-join")
    assert parts["execution"] == 1.0
    assert parts["schema"] == score


@pytest.mark.parametrize(
    ("mode", "score"), [("truematch", 0.0), ("totalmatch", 1.0), ("recall_then_precision_strict", 0.0)]
)
def test_schema_reward_is_coupled_to_execution_as_its_mode_says(make_env: MakeEnv, mode: str, score: float) -> None:
    parts = outcome(make_env(schema_mode=mode), with_schema(EXACT, answer="SELECT name FROM customer"), "shop-join")
    assert parts["execution"] == 0.2
    assert parts["schema"] == score


def test_tables_must_match_too(make_env: MakeEnv) -> None:
    parts = outcome(make_env(protocol="off"), with_schema(EXACT, tables=["customer"]), "shop-join")
    assert parts["schema"] == 0.0


def test_without_a_proposal_there_is_no_schema_reward(make_env: MakeEnv) -> None:
    for mode in ("truematch", "totalmatch", "recall_then_precision_strict"):
        moves = [explore(), generate(RIGHT), confirm(RIGHT)]
        assert outcome(make_env(schema_mode=mode), moves)["schema"] == 0.0


def test_an_empty_proposal_never_matches(make_env: MakeEnv) -> None:
    for mode in ("truematch", "totalmatch", "recall_then_precision_strict"):
        assert outcome(make_env(schema_mode=mode, protocol="off"), with_schema({}), "shop-join")["schema"] == 0.0


def test_the_schema_reward_is_reported_and_not_paid(make_env: MakeEnv) -> None:
    env = make_env()
    assert env.reward_scheme.session["schema"] == 0.0
    reward, info = last(env, perfect("shop-count"))
    assert info["outcome"]["schema"] == 1.0
    assert reward == pytest.approx(1.1)


def test_the_last_proposal_is_scored(make_env: MakeEnv) -> None:
    moves = [explore(), propose(BROAD), propose(EXACT), *with_schema(EXACT)[2:]]
    assert outcome(make_env(), moves, "shop-join")["schema"] == 1.0
    moves = [explore(), propose(EXACT), propose(BROAD), *with_schema(EXACT)[2:]]
    assert outcome(make_env(), moves, "shop-join")["schema"] == 0.0


def test_a_record_may_override_the_derived_schema(make_env: MakeEnv, shop: TextToSQLDataset) -> None:
    task = replace(TASKS[0], gold_schema=SchemaSubset.of(["customer"], {"customer": ["id"]}))
    env = make_env(dataset=TextToSQLDataset("one", {task.task_id: task}, shop.databases))
    moves = [explore(), propose({"customer": ["id"]}), generate(RIGHT), confirm(RIGHT)]
    assert outcome(env, moves)["schema"] == 1.0
    assert outcome(env, perfect("shop-count"))["schema"] == 0.0


@pytest.mark.parametrize("mode", ["f1", "precision", "recall", "recall_then_precision", "", "TrueMatch"])
def test_modes_that_the_release_silently_ignores_are_refused(make_env: MakeEnv, mode: str) -> None:
    with pytest.raises(ConfigurationError, match="schema_mode="):
        make_env(schema_mode=mode)


def test_a_suite_of_databases_must_agree_under_the_spider_comparator(
    make_env: MakeEnv, shop: TextToSQLDataset, tmp_path: Any
) -> None:
    import sqlite3

    with sqlite3.connect(tmp_path / "other.sqlite") as other:
        other.execute("CREATE TABLE customer (id INTEGER, name TEXT, country TEXT, note TEXT)")
        other.execute("INSERT INTO customer VALUES (1, 'only', 'Zanzibar', '')")
    other.close()
    reference = DatabaseRef("shop", shop.databases["shop"].url, (f"sqlite:///{tmp_path / 'other'}.sqlite",))
    dataset = TextToSQLDataset("suite", {"shop-count": TASKS[0]}, {"shop": reference})
    lucky = [confirm("SELECT 14 FROM customer LIMIT 1")]
    assert outcome(make_env(dataset=dataset, comparator="spider"), lucky)["execution"] == 0.2
    assert outcome(make_env(dataset=dataset, comparator="bird"), lucky)["execution"] == 1.0
    assert outcome(make_env(dataset=dataset, comparator="spider"), [confirm(RIGHT)])["execution"] == 1.0
