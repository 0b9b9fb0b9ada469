"""The action grammar: tolerant in what runs, exact in what is well formed, total on any input."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fogline.envs.trust_sql.parser import (
    ACTION_NAMES,
    PHASES,
    ParsedTurn,
    Phase,
    answer_sql,
    blocks,
    parse_structured,
    parse_turn,
    render_turn,
    split_reasoning,
)
from fogline.simulators.databases.records import SchemaSubset

THINK = "<think>why</think>"
CALL = '<tool_call>{"name": "execute_sql_query", "arguments": {"db_id": "shop", "sql": "SELECT 1"}}</tool_call>'
SCHEMA = '<schema>{"tables": ["T"], "columns": {"T": ["a"]}}</schema>'
ANSWER = "<answer>SELECT 1</answer>"
SUBSET = SchemaSubset(frozenset({"t"}), frozenset({"t.a"}))


def act(name: str) -> str:
    return f"<action>{name}</action>"


# The grammar table: (turn, phase, sql, well formed).
LEGAL = [
    (THINK + act("explore_schema") + CALL, "explore", "SELECT 1"),
    (THINK + act("generate_sql") + CALL, "generate", "SELECT 1"),
    (THINK + act("propose_schema") + SCHEMA, "propose", ""),
    (THINK + act("confirm_answer") + ANSWER, "confirm", "SELECT 1"),
    (f"  {THINK}\n\n{act('explore_schema')}\n{CALL}\n", "explore", "SELECT 1"),
    (THINK + act(" generate_sql ") + CALL, "generate", "SELECT 1"),
    (THINK + CALL + act("explore_schema"), "explore", "SELECT 1"),
    ("<think></think>" + act("confirm_answer") + ANSWER, "confirm", "SELECT 1"),
]
RUNS_BUT_ILL_FORMED = [
    (act("explore_schema") + CALL, "explore", "SELECT 1"),
    (THINK + THINK + act("explore_schema") + CALL, "explore", "SELECT 1"),
    (THINK + "</think>" + act("explore_schema") + CALL, "explore", "SELECT 1"),
    ("why</think>" + act("explore_schema") + CALL, "explore", "SELECT 1"),
    (THINK + act("explore_schema") + act("explore_schema") + CALL, "explore", "SELECT 1"),
    (THINK + CALL, "sql", "SELECT 1"),
    (THINK + act("confirm_answer") + CALL, "sql", "SELECT 1"),
    (THINK + act("propose_schema") + CALL, "sql", "SELECT 1"),
    (THINK + act("dance") + CALL, "sql", "SELECT 1"),
    (THINK + act("explore_schema") + ANSWER, "confirm", "SELECT 1"),
    (THINK + act("generate_sql") + SCHEMA, "propose", ""),
    (THINK + ANSWER, "confirm", "SELECT 1"),
    (THINK + SCHEMA, "propose", ""),
]
UNREADABLE = [
    "",
    "I would like to explore.",
    THINK,
    THINK + act("explore_schema"),
    THINK + act("propose_schema") + "<schema>{}</schema>",
    THINK + act("propose_schema") + "<schema>{'tables': []}</schema>",
    THINK + act("propose_schema") + '<schema>{"tables": "T", "columns": {}}</schema>',
    THINK + act("propose_schema") + '<schema>{"tables": ["T"]}</schema>',
    THINK + act("propose_schema") + '<schema>{"tables": ["T"], "columns": {"T": [7]}}</schema>',
    THINK + act("propose_schema") + "<schema>[]</schema>",
    THINK + act("generate_sql") + "<tool_call>SELECT 1</tool_call>",
    THINK + act("generate_sql") + '<tool_call>{"name": "execute_sql_query"}</tool_call>',
    THINK + act("generate_sql") + '<tool_call>{"name": "execute_sql_query", "arguments": {"sql": null}}</tool_call>',
    THINK + act("generate_sql") + '<tool_call>{"name": "execute_sql_query", "arguments": {"sql": " "}}</tool_call>',
    THINK + act("generate_sql") + '<tool_call>{"name": "drop_all", "arguments": {"sql": "SELECT 1"}}</tool_call>',
    THINK + act("generate_sql") + "<tool_call>[1, 2]</tool_call>",
    THINK + act("confirm_answer") + "<answer>SELECT 1",
    THINK + act("explore_schema") + CALL.removesuffix("</tool_call>"),
    f"<think>{act('confirm_answer')}{ANSWER}",
]


@pytest.mark.parametrize(("text", "phase", "sql"), LEGAL)
def test_legal_turns_are_well_formed(text: str, phase: Phase, sql: str) -> None:
    parsed = parse_turn(text)
    assert (parsed.phase, parsed.sql, parsed.well_formed, parsed.problem) == (phase, sql, True, "")


@pytest.mark.parametrize(("text", "phase", "sql"), RUNS_BUT_ILL_FORMED)
def test_readable_turns_run_without_being_well_formed(text: str, phase: Phase, sql: str) -> None:
    parsed = parse_turn(text)
    assert (parsed.phase, parsed.sql, parsed.well_formed) == (phase, sql, False)
    assert parsed.problem


@pytest.mark.parametrize("text", UNREADABLE)
def test_unreadable_turns_are_malformed_and_say_why(text: str) -> None:
    parsed = parse_turn(text)
    assert (parsed.phase, parsed.well_formed, parsed.sql, parsed.schema) == ("malformed", False, "", None)
    assert parsed.problem


@pytest.mark.parametrize("body", ["", "   ", "```sql\n```", "```sql\n\n```"])
def test_an_empty_answer_ends_the_episode_but_is_no_valid_payload(body: str) -> None:
    parsed = parse_turn(f"{THINK}{act('confirm_answer')}<answer>{body}</answer>")
    assert (parsed.phase, parsed.sql, parsed.well_formed) == ("confirm", "", False)


# Order of reading


def test_an_answer_anywhere_wins_over_schema_and_call() -> None:
    assert parse_turn(THINK + act("explore_schema") + CALL + SCHEMA + ANSWER).phase == "confirm"


def test_a_schema_wins_over_a_call() -> None:
    assert parse_turn(THINK + act("propose_schema") + CALL + SCHEMA).phase == "propose"


def test_the_first_schema_counts() -> None:
    other = SCHEMA.replace('"T"', '"U"')
    assert parse_turn(THINK + act("propose_schema") + SCHEMA + other).schema == SUBSET


def test_the_first_call_of_the_sql_tool_counts() -> None:
    other = CALL.replace("SELECT 1", "SELECT 2")
    weather = '<tool_call>{"name": "weather", "arguments": {}}</tool_call>'
    assert parse_turn(THINK + act("generate_sql") + CALL + other).sql == "SELECT 1"
    assert parse_turn(THINK + act("generate_sql") + weather + other + CALL).sql == "SELECT 2"


def test_first_means_first_in_the_text_whatever_the_tag_is_called() -> None:
    other = CALL.replace("SELECT 1", "SELECT 2").replace("tool_call>", "tool>")
    assert parse_turn(THINK + act("generate_sql") + other + CALL).sql == "SELECT 2"


@pytest.mark.parametrize("tag", ["tool", "tools"])
def test_misspelt_call_tags_are_repaired(tag: str) -> None:
    text = THINK + act("explore_schema") + CALL.replace("tool_call>", f"{tag}>")
    assert parse_turn(text).phase == "explore"
    assert parse_turn(text).sql == "SELECT 1"


def test_without_proposing_a_schema_tag_means_nothing() -> None:
    assert parse_turn(THINK + act("propose_schema") + SCHEMA, propose=False).phase == "malformed"
    assert parse_turn(THINK + act("generate_sql") + SCHEMA + CALL, propose=False).phase == "generate"


# Reasoning


@pytest.mark.parametrize("payload", [ANSWER, SCHEMA, CALL, act("confirm_answer") + ANSWER])
def test_tags_inside_reasoning_never_act(payload: str) -> None:
    inside = f"<think>perhaps {payload} later</think>"
    assert parse_turn(inside).phase == "malformed"
    followed = parse_turn(inside + act("explore_schema") + CALL.replace("SELECT 1", "SELECT 9"))
    assert (followed.phase, followed.sql, followed.well_formed) == ("explore", "SELECT 9", True)


def test_an_unclosed_reasoning_block_swallows_the_rest() -> None:
    assert parse_turn("<think>hm" + act("confirm_answer") + ANSWER).phase == "malformed"
    assert parse_turn(THINK + act("confirm_answer") + "<think>" + ANSWER).phase == "malformed"


def test_what_stands_before_a_stray_closing_tag_is_reasoning() -> None:
    parsed = parse_turn(ANSWER + "</think>" + act("explore_schema") + CALL)
    assert (parsed.phase, parsed.well_formed) == ("explore", False)


def test_nested_reasoning_closes_with_its_last_tag() -> None:
    text = "<think>a<think>b</think>" + ANSWER + "</think>" + act("explore_schema") + CALL
    assert parse_turn(text).phase == "explore"


@given(st.lists(st.sampled_from(["<think>", "</think>", "x", "<answer>", "</answer>", "<action>"]), max_size=12))
def test_what_is_left_after_reasoning_holds_no_reasoning_tag(pieces: list[str]) -> None:
    text = "".join(pieces)
    outside, (opened, closed) = split_reasoning(text)
    assert (opened, closed) == (text.count("<think>"), text.count("</think>"))
    assert "<think>" not in outside
    assert "</think>" not in outside


@given(st.text(alphabet=st.characters(exclude_characters="<>"), max_size=40))
def test_text_without_reasoning_is_left_as_it_is(text: str) -> None:
    assert split_reasoning(text) == (text, (0, 0))


# Payloads


@pytest.mark.parametrize(
    ("body", "sql"),
    [
        ("SELECT 1", "SELECT 1"),
        ("\n  SELECT 1 ;\n", "SELECT 1 ;"),
        ("```sql\nSELECT 1\n```", "SELECT 1"),
        ("```SQL\nSELECT 1```", "SELECT 1"),
        ("```\nSELECT 1\n```", "SELECT 1"),
        ("'''sql\nSELECT 1\n'''", "SELECT 1"),
        ("'''\nSELECT 1\n'''", "SELECT 1"),
        ("Here it is: ```sql\nSELECT 1\n``` as asked", "SELECT 1"),
        ("```sql\nSELECT 1\n``` or ```sql\nSELECT 2\n```", "SELECT 1"),
        ("'''sql\nSELECT 1\n''' ```sql\nSELECT 2\n```", "SELECT 1"),
        ("```sql\nSELECT 'it''s'''\n```", "SELECT 'it''s'''"),
        ("```sqlite_master```", "sqlite_master"),
        ("SELECT 1 ```", "SELECT 1 ```"),
    ],
)
def test_answers_may_be_fenced_or_bare(body: str, sql: str) -> None:
    assert answer_sql(body) == sql


def test_a_quoted_quote_in_a_bare_answer_is_no_fence() -> None:
    sql = "SELECT '''a''' || '''b'''"
    assert answer_sql(sql) == sql


def test_raw_newlines_and_tabs_in_json_are_read() -> None:
    call = CALL.replace("SELECT 1", "SELECT 1\n\tFROM t")
    assert parse_turn(THINK + act("generate_sql") + call).sql == "SELECT 1\n\tFROM t"


def test_arguments_given_as_json_text_are_read() -> None:
    call = {"name": "execute_sql_query", "arguments": json.dumps({"sql": "SELECT 1"})}
    parsed = parse_turn(f"{THINK}{act('generate_sql')}<tool_call>{json.dumps(call)}</tool_call>")
    assert (parsed.sql, parsed.database, parsed.well_formed) == ("SELECT 1", None, True)


@pytest.mark.parametrize("column", ["a", {"name": "a"}, {"column_name": "a"}, {"column": "A"}])
def test_a_proposed_column_is_a_name_or_an_object_with_one(column: Any) -> None:
    payload = {"tables": ["t"], "columns": {"T": [column]}, "joins": [{"left_table": "x"}]}
    assert parse_turn(f"{THINK}{act('propose_schema')}<schema>{json.dumps(payload)}</schema>").schema == SUBSET


def test_deeply_nested_json_is_malformed_and_no_crash() -> None:
    deep = "[" * 100_000
    assert parse_turn(f"{THINK}{act('propose_schema')}<schema>{deep}</schema>").phase == "malformed"
    assert parse_turn(f"{THINK}{act('generate_sql')}<tool_call>{deep}</tool_call>").phase == "malformed"


def test_a_number_too_long_to_read_is_malformed_and_no_crash() -> None:
    number = "9" * 10_000
    assert parse_turn(f"{THINK}{act('propose_schema')}<schema>{number}</schema>").phase == "malformed"
    assert parse_turn(f"{THINK}{act('generate_sql')}<tool_call>{number}</tool_call>").phase == "malformed"


# Structured actions


@pytest.mark.parametrize("index", range(4))
def test_structured_phases_go_by_index_phase_name_or_action_name(index: int) -> None:
    phase = PHASES[index]
    name = next(name for name, known in ACTION_NAMES.items() if known == phase)
    payload = {"sql": "SELECT 1", "schema": {"tables": ["T"], "columns": {"T": ["a"]}}}
    read = [parse_structured({"phase": value, **payload}) for value in (index, phase, name)]
    assert {parsed.phase for parsed in read} == {phase}
    assert all(parsed.well_formed for parsed in read)


def test_a_structured_schema_may_be_json_text() -> None:
    text = '{"tables": ["T"], "columns": {"T": ["a"]}}'
    assert parse_structured({"phase": "propose", "schema": text}).schema == SUBSET


@pytest.mark.parametrize(
    "action",
    [
        None,
        3,
        "explore",
        [],
        {},
        {"phase": None},
        {"phase": 4, "sql": "SELECT 1"},
        {"phase": -1, "sql": "SELECT 1"},
        {"phase": float("nan"), "sql": "SELECT 1"},
        {"phase": float("inf"), "sql": "SELECT 1"},
        {"phase": [0], "sql": "SELECT 1"},
        {"phase": "sql", "sql": "SELECT 1"},
        {"phase": "malformed", "sql": "SELECT 1"},
        {"phase": 0},
        {"phase": 0, "sql": ""},
        {"phase": 0, "sql": b"SELECT 1"},
        {"phase": 1, "schema": 3},
        {"phase": 1, "schema": {"tables": {}, "columns": []}},
        {"phase": 1, "schema": "{"},
    ],
)
def test_structured_actions_of_the_wrong_shape_are_malformed(action: Any) -> None:
    parsed = parse_structured(action)
    assert (parsed.phase, parsed.well_formed) == ("malformed", False)
    assert parsed.problem


def test_structured_proposing_can_be_switched_off() -> None:
    payload = {"tables": ["T"], "columns": {"T": ["a"]}}
    assert parse_structured({"phase": "propose", "schema": payload}, propose=False).phase == "malformed"


# Properties

ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.binary(max_size=20),
    st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=3),
)
PIECES = st.sampled_from(
    [
        *(
            f"<{slash}{tag}>"
            for tag in ("think", "action", "tool_call", "tool", "schema", "answer")
            for slash in ("", "/")
        ),
        *ACTION_NAMES,
        '{"name": "execute_sql_query", "arguments": {"sql": "SELECT 1"}}',
        '{"tables": [], "columns": {}}',
        "```sql",
        "```",
        "'''",
        "{",
        "\ud800",
        "\x00",
    ]
)
SOUP = st.lists(PIECES | st.text(max_size=6), max_size=14).map("".join)


def consistent(parsed: ParsedTurn) -> None:
    assert parsed.phase in (*PHASES, "sql", "malformed")
    assert (parsed.problem == "") == parsed.well_formed
    assert (parsed.schema is not None) == (parsed.phase == "propose")
    if parsed.phase in ("explore", "generate", "sql"):
        assert parsed.sql.strip() == parsed.sql != ""
    if parsed.phase in ("sql", "malformed"):
        assert not parsed.well_formed


@given(SOUP | st.text(), st.booleans())
def test_any_text_is_read_without_error_and_consistently(text: str, propose: bool) -> None:
    consistent(parse_turn(text, propose))


@given(ANYTHING)
def test_anything_but_text_is_malformed(value: Any) -> None:
    assert parse_turn(value).phase == "malformed"


@given(
    st.one_of(
        ANYTHING,
        st.fixed_dictionaries(
            {
                "phase": ANYTHING | st.sampled_from(PHASES) | st.integers(0, 3),
                "sql": ANYTHING | SOUP,
                "schema": ANYTHING | SOUP,
            }
        ),
    ),
    st.booleans(),
)
def test_any_structured_action_is_read_without_error_and_consistently(action: Any, propose: bool) -> None:
    consistent(parse_structured(action, propose))


SPOKEN = st.text(alphabet=st.characters(codec="utf-8", exclude_characters="<>"), max_size=60)
SQL = SPOKEN.map(str.strip).filter(lambda text: text and "```" not in text)


@given(phase=st.sampled_from(["explore", "generate", "confirm"]), thought=SPOKEN, sql=SQL, database=SPOKEN)
def test_a_rendered_turn_reads_back(phase: Phase, thought: str, sql: str, database: str) -> None:
    parsed = parse_turn(render_turn(phase, thought, sql=sql, database=database))
    named = None if phase == "confirm" else database or None
    assert parsed == ParsedTurn(phase, sql, named, None, True)


@given(
    thought=SPOKEN,
    columns=st.dictionaries(SPOKEN.filter(str.strip), st.lists(SPOKEN.filter(str.strip), max_size=3), max_size=3),
)
def test_a_rendered_proposal_reads_back(thought: str, columns: dict[str, list[str]]) -> None:
    parsed = parse_turn(render_turn("propose", thought, schema={"tables": list(columns), "columns": columns}))
    stripped = {table.strip(): [] for table in columns}
    for table, names in columns.items():
        stripped[table.strip()] += [name.strip() for name in names]
    assert parsed == ParsedTurn("propose", schema=SchemaSubset.of(list(stripped), stripped), well_formed=True)


@pytest.mark.parametrize(
    "sql", ["SELECT '</tool_call>'", "SELECT '<think>'", "SELECT '</think>', '<answer>x</answer>'"]
)
@pytest.mark.parametrize("phase", ["explore", "generate"])
def test_tags_quoted_in_a_rendered_statement_stay_part_of_it(phase: Phase, sql: str) -> None:
    assert parse_turn(render_turn(phase, "t", sql=sql)) == ParsedTurn(phase, sql, None, None, True)


@given(st.text(alphabet="<>ab/", max_size=30))
def test_blocks_agree_with_a_plain_scan(text: str) -> None:
    found = []
    rest, offset = text, 0
    while "<a>" in rest and "</a>" in rest[rest.index("<a>") :]:
        start = rest.index("<a>")
        body, _, after = rest[start + 3 :].partition("</a>")
        found.append((offset + start, body))
        offset += len(rest) - len(after)
        rest = after
    assert blocks(text, "a") == found


def _seconds(function: Callable[[], Any]) -> float:
    # CPU seconds: what else the machine does is not to count.
    best = float("inf")
    for _ in range(3):
        began = time.process_time()
        function()
        best = min(best, time.process_time() - began)
    return best


ADVERSARIAL: dict[str, Callable[[int], str]] = {
    "opening thinks": lambda n: "<think>" * n,
    "closing thinks": lambda n: "x</think>" * n,
    "thinks": lambda n: "<think></think>" * n,
    "open answers": lambda n: "<answer>" * n,
    "closed answers": lambda n: "</answer>" * n,
    "open actions": lambda n: THINK + "<action>" * n,
    "actions": lambda n: THINK + "<action>explore_schema</action>" * n,
    "open calls": lambda n: "<tool_call>" * n + "<tool>" * n,
    "broken calls": lambda n: "<tool_call>{</tool_call>" * n,
    "call, no end": lambda n: "<tool_call>" * n + "</tool>" * n,
    "open fences": lambda n: f"<answer>{'```' * (2 * n + 1)}</answer>",
    "quotes": lambda n: f"<answer>{chr(39) * 3 * n}</answer>",
    "angle brackets": lambda n: "<" * (4 * n),
    "json nesting": lambda n: "<schema>" + '{"a":' * n + "</schema>",
    "spaces": lambda n: "<action>" + " " * (8 * n) + "</action>" + " " * (8 * n),
}


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_reading_time_grows_no_faster_than_the_text(name: str) -> None:
    make = ADVERSARIAL[name]
    small, large = make(30_000), make(60_000)
    for _ in range(3):
        ratio = _seconds(lambda: parse_turn(large)) / max(_seconds(lambda: parse_turn(small)), 1e-4)
        if ratio < 4:
            return
    pytest.fail(f"twice the text took {ratio:.1f} times as long")
