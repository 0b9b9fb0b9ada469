"""What the agent is shown: tables within their bounds, errors, acknowledgements, complaints, the budget."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shop import GOLD, SCHEMAS, MakeEnv, confirm, explore, generate, perfect, play, propose

from fogline.core.errors import ConfigurationError
from fogline.envs.trust_sql import prompts
from fogline.envs.trust_sql.observation import EMPTY_RESULT, Display
from fogline.envs.trust_sql.sources import engine_of
from fogline.simulators.databases.records import DatabaseRef, QueryResult, TextToSQLDataset

CELLS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=8)
    | st.binary(max_size=20)
)


def result(rows: list[tuple[Any, ...]], **fields: Any) -> QueryResult:
    width = len(rows[0]) if rows else 1
    given_fields = {"row_count": len(rows), **fields}
    return QueryResult("ok", tuple(f"c{index}" for index in range(width)), tuple(rows), **given_fields)


def test_a_table_is_a_header_and_tab_separated_rows_with_null() -> None:
    assert Display().render(result([(1, "a"), (None, 0.1)])) == "c0\tc1\n1\ta\nNULL\t0.1"


@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=8), st.integers(1, 10))
def test_every_row_is_one_line_and_every_cell_one_field(rows: list[tuple[Any, ...]], shown: int) -> None:
    lines = Display(shown, 10_000).render(result(rows)).split("\n")
    body = lines[1 : 1 + min(shown, len(rows))]
    assert all(line.count("\t") == 1 for line in (lines[0], *body))
    assert lines[1 + len(body) :] == ([f"[{len(rows) - shown} further rows]"] if len(rows) > shown else [])


def test_control_characters_of_cells_are_escaped() -> None:
    assert Display().render(result([("a\tb\r\nc",)])) == "c0\na\\tb\\r\\nc"


def test_bytes_are_shown_as_hexadecimal_and_shortened() -> None:
    assert Display().render(result([(b"\x00\xff",)])) == "c0\nx'00ff'"
    assert Display().render(result([(b"\x01" * 20,)])) == f"c0\nx'{'01' * 16}...' (20 bytes)"


def test_rows_that_a_limit_cut_off_are_said_to_exist() -> None:
    rows = [(index,) for index in range(5)]
    assert Display(3).render(result(rows, truncated=True, row_count=10)).endswith("\n2\n[more than 7 further rows]")


def test_no_rows_have_a_sentence() -> None:
    assert Display().render(QueryResult("empty", ("c0",))) == EMPTY_RESULT


@pytest.mark.parametrize("status", ["error", "timeout", "forbidden", "too_large"])
def test_failures_begin_with_error(status: Any) -> None:
    assert Display().render(QueryResult(status, message="what happened")) == "Error: what happened"


@given(st.text(max_size=400), st.integers(1, 60))
def test_text_is_cut_at_the_token_bound_and_says_so(text: str, tokens: int) -> None:
    shown = Display(max_tokens=tokens).truncate(text)
    if len(text) <= 4 * tokens:
        assert shown == text
    else:
        assert shown == f"{text[: 4 * tokens]}\n[output cut at {tokens} tokens]"


@given(st.lists(st.sampled_from(["a", "bb", " "]), max_size=120).map("".join), st.integers(1, 30))
def test_a_token_counter_is_obeyed_to_the_last_token(text: str, tokens: int) -> None:
    def count(part: str) -> int:
        return len(part.split())

    shown = Display(max_tokens=tokens, count_tokens=count).truncate(text)
    if count(text) <= tokens:
        assert shown == text
        return
    kept, _, notice = shown.rpartition("\n")
    assert notice == f"[output cut at {tokens} tokens]"
    assert text.startswith(kept)
    assert count(kept) == tokens
    assert count(text[: len(kept) + 1]) > tokens


def test_errors_of_the_engine_are_cut_too() -> None:
    shown = Display(max_tokens=10).render(QueryResult("error", message="x" * 1000))
    assert len(shown) < 100


# In the environment


def test_the_first_observation_is_the_task_and_nothing_else(make_env: MakeEnv) -> None:
    observation, info = make_env().reset(options={"task_id": "shop-join"})
    assert observation == (
        "## Task\n**Database engine:** SQLite\n**Database:** shop\n**External knowledge:** amounts are in crowns\n"
        "**Question:** Which people have a bill above ninety?"
    )
    assert info == {"task_id": "shop-join", "phase": "", "database": "shop"}


def test_rows_are_shown_up_to_the_cap_that_the_tool_promises(make_env: MakeEnv) -> None:
    move = generate("SELECT total FROM invoice")
    for cap in (30, 100, 7):
        env = make_env(max_rows_shown=cap)
        (step,) = play(env, "shop-all", [move])
        lines = step[0].split("\n")
        assert len(lines) == 1 + cap + (cap < 100)
        if cap < 100:
            assert lines[-1] == f"[{100 - cap} further rows]"
        assert f"at most {cap} rows" in env.system_prompt
        assert all(f"at most {cap} rows" in env.tools[index]["function"]["description"] for index in (0, 2))


def test_an_acknowledgement_says_how_much_and_never_whether_it_is_right(make_env: MakeEnv) -> None:
    right = {"customer": ["country"]}
    wrong = {"invoice": ["total"]}
    fantasy = {"moon": ["cheese"]}
    for protocol in ("off", "soft"):
        env = make_env(protocol=protocol)
        answers = {play(env, "shop-count", [explore(), propose(columns)])[1][0] for columns in (right, wrong, fantasy)}
        assert answers == {"Schema recorded: 1 table(s), 1 column(s). You may now generate SQL."}


def test_an_acknowledgement_is_the_same_under_every_gold(make_env: MakeEnv) -> None:
    env = make_env()
    moves = [explore(), propose(SCHEMAS["shop-join"])]
    steps = [play(env, task_id, moves)[1] for task_id in SCHEMAS if task_id.startswith("shop")]
    assert len({repr(step) for step in steps}) == 1


def test_a_complaint_begins_with_invalid_format_and_lists_every_form(make_env: MakeEnv) -> None:
    (step,) = play(make_env(), "shop-count", ["what?"])
    assert step[0].startswith("Invalid format: ")
    for name in ("explore_schema", "propose_schema", "generate_sql", "confirm_answer"):
        assert f"<action>{name}</action>" in step[0]


def test_broken_json_in_a_proposal_is_answered_with_the_expected_shape(make_env: MakeEnv) -> None:
    bad = '<think>t</think><action>propose_schema</action><schema>{"tables": ["customer"]}</schema>'
    (step,) = play(make_env(), "shop-count", [bad])
    assert '"columns" is missing' in step[0]
    assert '"tables"' in step[0]


@pytest.mark.parametrize("actions", ["text", "structured"])
@pytest.mark.parametrize("protocol", ["soft", "strict"])
def test_no_answer_to_a_huge_action_exceeds_the_bound(make_env: MakeEnv, actions: str, protocol: str) -> None:
    env = make_env(actions=actions, protocol=protocol, max_turns=20)
    many = [f"table_{index}" for index in range(60_000)]
    moves: list[Any] = [
        ("propose_schema", {"tables": list(range(60_000)), "columns": {}}),
        ("propose_schema", {"tables": many, "columns": {name: [3] for name in many}}),
        ("propose_schema", {"tables": many, "columns": {}}),
        ("x" * 300_000, {}),
        explore("SELECT " + "x" * 300_000),
        generate("SELECT '" + "x" * 300_000 + "'"),
    ]
    bound = 4 * 1024 + 4000
    for step in play(env, "shop-count", moves):
        assert len(step[0]) < bound
        assert step[0] in env.observation_space


def test_the_end_has_no_text(make_env: MakeEnv) -> None:
    assert play(make_env(), "shop-count", [confirm(GOLD["shop-count"])])[-1][0] == ""


def test_turns_left_are_told_only_where_asked_for(make_env: MakeEnv) -> None:
    silent = make_env(max_turns=4)
    first, _ = silent.reset(options={"task_id": "shop-count"})
    said = [first, *(step[0] for step in play(silent, "shop-count", perfect("shop-count")))]
    assert not any("Turn" in text for text in said)
    env = make_env(max_turns=4, show_turns_left=True)
    first, _ = env.reset(options={"task_id": "shop-count"})
    steps = play(env, "shop-count", perfect("shop-count"))
    heads = [text.partition("\n")[0] for text in (first, *(step[0] for step in steps[:-1]))]
    assert heads == [
        "[Turn 1 of 4]",
        "[Turn 2 of 4]",
        "[Turn 3 of 4] Two turns left: prepare to confirm.",
        "[Turn 4 of 4] This is the last turn: you must confirm an answer now.",
    ]
    assert steps[-1][0] == ""
    assert first.partition("\n")[2] == said[0]


def test_a_notice_grounds_and_changes_nothing_else(make_env: MakeEnv) -> None:
    plain = play(make_env(), "shop-count", perfect("shop-count"))
    noticed = play(make_env(show_turns_left=True), "shop-count", perfect("shop-count"))
    assert [step[1:] for step in plain] == [step[1:] for step in noticed]


def test_a_paraphrase_replaces_the_question_by_seed(make_env: MakeEnv) -> None:
    env = make_env(paraphrase=True)
    asked = {
        env.reset(seed=seed, options={"task_id": "shop-count"})[0].partition("**Question:** ")[2] for seed in range(20)
    }
    assert asked == {"Count the customers of the spice island.", "The spice island has how many customers?"}
    first = [env.reset(seed=3, options={"task_id": "shop-count"})[0] for _ in range(2)]
    assert first[0] == first[1]
    assert "How many" not in first[0]
    assert env.reset(options={"task_id": "shop-none"})[0].endswith("Who lives on Mars?")


def test_the_system_prompt_states_the_rules_that_hold(make_env: MakeEnv) -> None:
    env = make_env(max_turns=7, seconds_per_query=2.5, max_rows_shown=12)
    for words in ("7 turns", "2.5 seconds", "12 rows", "SQLite", "Nobody has shown you its schema"):
        assert words in env.system_prompt


def test_the_tools_become_actions_that_the_environment_reads(make_env: MakeEnv) -> None:
    for actions in ("text", "structured"):
        env = make_env(actions=actions)
        assert [tool["function"]["name"] for tool in env.tools] == [
            "explore_schema",
            "propose_schema",
            "generate_sql",
            "confirm_answer",
        ]
        steps = play(env, "shop-count", perfect("shop-count"))
        assert [step[4]["phase"] for step in steps] == ["explore", "propose", "generate", "confirm"]


@pytest.mark.parametrize("actions", ["text", "structured"])
@pytest.mark.parametrize(
    "call", [("fly", {}), ("explore_schema", {}), ("propose_schema", {}), ("propose_schema", {"tables": 3})]
)
def test_a_wrong_tool_call_is_a_malformed_turn(
    make_env: MakeEnv, actions: str, call: tuple[str, dict[str, Any]]
) -> None:
    (step,) = play(make_env(actions=actions), "shop-count", [call])
    assert step[4]["malformed"]
    assert step[0].startswith("Invalid format")


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("schema", "shown"),
        ("protocol", "hard"),
        ("comparator", "ex"),
        ("boundary", "middle"),
        ("actions", "acts"),
        ("max_turns", 0),
        ("max_rows_shown", 0),
        ("max_observation_tokens", 0),
        ("seconds_per_query", 0.0),
        ("render_mode", "human"),
        ("databases", ["nowhere"]),
        ("databases", []),
    ],
)
def test_an_option_outside_its_range_is_refused_by_name(make_env: MakeEnv, option: str, value: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make_env(**{option: value})
    assert f"{option}=" in str(caught.value) or (option, value) == ("databases", [])


@pytest.mark.parametrize(
    ("url", "engine"),
    [
        ("sqlite:///x.sqlite", "sqlite"),
        ("duckdb:///x.duckdb", "duckdb"),
        ("postgresql://u@h/d", "postgresql"),
        ("postgresql+psycopg://u@h/d", "postgresql"),
        ("postgres://u@h/d", "postgresql"),
    ],
)
def test_the_engine_that_the_rules_name_is_the_urls(url: str, engine: str) -> None:
    assert engine_of(TextToSQLDataset("one", {}, {"d": DatabaseRef("d", url)})) == engine
    assert prompts.ENGINE_NAMES[engine] in prompts.system_prompt(
        engine=engine, prefilled=False, propose=True, max_turns=1, rows=1, seconds=1.0
    )


def test_databases_of_two_engines_are_refused() -> None:
    mixed = {name: DatabaseRef(name, f"{name}:///x") for name in ("sqlite", "duckdb")}
    with pytest.raises(ConfigurationError, match="mixes the engines"):
        engine_of(TextToSQLDataset("two", {}, mixed))


def test_a_task_of_one_database_is_chosen_by_databases(make_env: MakeEnv) -> None:
    env = make_env(databases=["books"])
    assert env.task_ids == ("books-old",)
    assert env.reset(seed=0)[1]["task_id"] == "books-old"


def test_refusals_name_only_what_the_agent_wrote(make_env: MakeEnv) -> None:
    env = make_env(protocol="strict")
    steps = play(
        env, "shop-count", [explore(), propose({"customer": ["country"]}), generate("SELECT name FROM customer")]
    )
    assert steps[2][0] == prompts.refusal(["generate_outside_proposal"], ["customer.name"])
    assert "customer.name" in steps[2][0]


@pytest.mark.parametrize(
    "action",
    [
        "",
        "hello",
        "<action>propose_schema</action><schema>{}</schema>",
        '<action>propose_schema</action><schema>{"tables": 3}</schema>',
        "<action>explore_schema</action><tool_call>{}</tool_call>",
        '<tool_call>{"name": "execute_sql_query", "arguments": {"sql": "SELECT nothing FROM nowhere"}}</tool_call>',
        '<tool_call>{"name": "execute_sql_query", "arguments": {"sql": "SELECT zeroblob(40)"}}</tool_call>',
        '<tool_call>{"name": "execute_sql_query", "arguments": {"sql": "DROP TABLE orders"}}</tool_call>',
    ],
)
@pytest.mark.parametrize("protocol", ["soft", "strict"])
def test_the_environments_own_words_are_ascii(make_env: MakeEnv, action: str, protocol: str) -> None:
    # A tokenizer that is fitted to an environment's texts never saw the rare ones: these must not surprise it.
    env = make_env(protocol=protocol)
    env.reset(seed=0)
    assert env.step(action)[0].isascii()
