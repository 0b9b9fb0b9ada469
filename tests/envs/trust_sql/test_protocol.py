"""The four-phase protocol: each rule in each mode, the evidence behind it, and where the tracks end."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shop import (
    GOLD,
    LIST_SQL,
    SCHEMAS,
    MakeEnv,
    confirm,
    explore,
    generate,
    perfect,
    play,
    propose,
)

from fogline.envs.trust_sql.env import TrustSQLEnv
from fogline.envs.trust_sql.protocol import Evidence, same_statement
from fogline.simulators.databases.records import Catalogue, Column, SchemaSubset

RIGHT = GOLD["shop-count"]
SCHEMA = SCHEMAS["shop-count"]
OPENING = [explore(), propose(SCHEMA), generate(RIGHT)]
UNTYPED = (
    f'<think>t</think><tool_call>{{"name": "execute_sql_query", "arguments": {{"sql": "{LIST_SQL}"}}}}</tool_call>'
)
OTHER_DATABASE = (
    '<think>t</think><action>explore_schema</action><tool_call>{"name": "execute_sql_query", '
    f'"arguments": {{"db_id": "books", "sql": "{LIST_SQL}"}}}}</tool_call>'
)

# Each rule: the moves before, the move that breaks it, the violation.
RULES: dict[str, tuple[list[Any], Any, str]] = {
    "a call without an action": ([], UNTYPED, "untyped_tool_call"),
    "exploring the rows": ([], explore("SELECT * FROM customer"), "explore_not_metadata"),
    "proposing before exploring": ([], propose({}), "propose_before_explore"),
    "proposing after a failed exploration": ([explore("SELECT x FROM nowhere")], propose({}), "propose_before_explore"),
    "proposing what was not seen": (
        [explore("PRAGMA table_info(invoice)")],
        propose(SCHEMA),
        "ungrounded_proposal",
    ),
    "proposing what does not exist": ([explore()], propose({"customer": ["age"]}), "ungrounded_proposal"),
    "generating before proposing": ([explore()], generate(RIGHT), "generate_before_propose"),
    "generating outside the proposal": (
        OPENING[:2],
        generate("SELECT name FROM customer"),
        "generate_outside_proposal",
    ),
    "generating outside a later proposal": (
        [explore(), propose(SCHEMAS["shop-join"]), propose(SCHEMA)],
        generate("SELECT total FROM invoice"),
        "generate_outside_proposal",
    ),
    "confirming before proposing": ([], confirm(RIGHT), "confirm_before_propose"),
    "confirming before generating": (OPENING[:2], confirm(RIGHT), "confirm_before_generate"),
    "confirming after a failed generation": (
        [*OPENING[:2], generate("SELECT country FROM customer WHERE")],
        confirm("SELECT country FROM customer WHERE"),
        "confirm_before_generate",
    ),
    "confirming after proposing anew": ([*OPENING, propose(SCHEMA)], confirm(RIGHT), "confirm_before_generate"),
    "confirming another statement": (OPENING, confirm(RIGHT + " AND 1"), "confirm_differs_from_tested"),
    "confirming an earlier statement": (
        [*OPENING, generate("SELECT COUNT(country) FROM customer")],
        confirm(RIGHT),
        "confirm_differs_from_tested",
    ),
    "querying another database": ([], OTHER_DATABASE, "wrong_database"),
}


def violations(env: TrustSQLEnv, moves: list[Any], task_id: str = "shop-count") -> list[list[Any]]:
    """What the finished episode reports; an answer is added where the moves bring none."""
    info = play(env, task_id, moves)[-1][4]
    if "metrics" not in info:
        info = env.step(env.tool_action(*confirm(GOLD[task_id])))[4]
    assert "metrics" in info
    return [list(item) for item in info["metrics"]["violations"]]


@pytest.mark.parametrize("name", RULES)
def test_strict_refuses_explains_and_spends_the_turn(make_env: MakeEnv, name: str) -> None:
    before, move, violation = RULES[name]
    env = make_env(protocol="strict", max_turns=30)
    observation, reward, terminated, truncated, info = play(env, "shop-count", [*before, move])[-1]
    assert info["violations"] == [violation]
    assert observation.startswith(("Refused: ", "Error: "))
    assert (reward, terminated, truncated) == (0.0, False, False)
    assert info["turn"] == len(before) + 1
    assert not info["malformed"]
    # The refusal leaves the way to the full execution reward open.
    rest = [env.step(env.tool_action(*step)) for step in perfect("shop-count")]
    assert rest[-1][4]["outcome"] == {"execution": 1.0, "format": 0.0, "schema": 1.0}


@pytest.mark.parametrize("name", RULES)
def test_soft_notes_the_violation_with_its_turn_and_withholds_the_format_reward(make_env: MakeEnv, name: str) -> None:
    before, move, violation = RULES[name]
    env = make_env(protocol="soft", max_turns=30)
    moves = [*before, move]
    if not (isinstance(move, tuple) and move[0] == "confirm_answer"):
        moves += perfect("shop-count")
    steps = play(env, "shop-count", moves)
    assert [len(before), violation] in [list(item) for item in steps[-1][4]["metrics"]["violations"]]
    assert steps[-1][4]["outcome"]["format"] == 0.0
    assert steps[-1][4]["outcome"]["execution"] in (0.0, 1.0)
    if violation not in ("generate_outside_proposal",):
        assert violation in steps[len(before)][4]["violations"]
    assert not steps[len(before)][0].startswith("Refused")


@pytest.mark.parametrize("name", RULES)
def test_off_notes_nothing_and_runs_everything(make_env: MakeEnv, name: str) -> None:
    before, move, _ = RULES[name]
    env = make_env(protocol="off", max_turns=30)
    assert violations(env, [*before, move]) == []
    assert not play(env, "shop-count", [*before, move])[-1][0].startswith("Refused")


@pytest.mark.parametrize("protocol", ["soft", "strict"])
def test_the_legal_path_has_no_violation(make_env: MakeEnv, protocol: str) -> None:
    assert violations(make_env(protocol=protocol), perfect("shop-count")) == []


def test_soft_shows_the_answer_to_an_illegal_exploration_and_strict_does_not(make_env: MakeEnv) -> None:
    moves = [explore("SELECT note FROM customer")]
    assert "try again" in play(make_env(protocol="soft"), "shop-count", moves)[0][0]
    assert "try again" not in play(make_env(protocol="strict"), "shop-count", moves)[0][0]


@pytest.mark.parametrize("protocol", ["off", "soft", "strict"])
def test_another_database_cannot_be_queried_in_any_mode(make_env: MakeEnv, protocol: str) -> None:
    (step,) = play(make_env(protocol=protocol), "shop-count", [OTHER_DATABASE])
    assert step[0].startswith("Error: this task is about the database 'shop'")
    assert "work" not in step[0].split()


@pytest.mark.parametrize("name", ["shop", "SHOP", ""])
def test_the_tasks_own_database_in_any_case_or_none_is_right(make_env: MakeEnv, name: str) -> None:
    (step,) = play(make_env(), "shop-count", [OTHER_DATABASE.replace("books", name)])
    assert "CREATE TABLE" in step[0]


@pytest.mark.parametrize("name", ["../books", "books.sqlite", "shop/../books", "/etc/passwd", "books' --"])
def test_path_parts_as_a_database_lead_nowhere(make_env: MakeEnv, name: str) -> None:
    (step,) = play(make_env(protocol="off"), "shop-count", [OTHER_DATABASE.replace("books", name)])
    assert step[0].startswith("Error: this task is about the database 'shop'")


def test_confirming_may_change_white_space_and_the_closing_semicolon(make_env: MakeEnv) -> None:
    env = make_env(protocol="strict")
    respaced = "  SELECT COUNT(*)\n FROM customer\n  WHERE country = 'Zanzibar' ;\n"
    assert violations(env, [*OPENING, confirm(respaced)]) == []


@given(st.lists(st.sampled_from(["SELECT", "a", ",", "b", "FROM", "t"]), min_size=1, max_size=8), st.data())
def test_statements_are_the_same_up_to_white_space(words: list[str], data: st.DataObject) -> None:
    gaps = st.sampled_from([" ", "\n", "\t ", "  "])
    spaced = "".join(word + data.draw(gaps) for word in words)
    assert same_statement(" ".join(words), spaced)
    assert same_statement(" ".join(words), spaced + ";")
    assert not same_statement(" ".join(words), spaced + "x")


def test_without_proposing_the_other_rules_hold(make_env: MakeEnv) -> None:
    env = make_env(protocol="strict", propose=False)
    plan = perfect("shop-count", with_proposal=False)
    assert play(env, "shop-count", plan)[-1][4]["outcome"] == {"execution": 1.0, "format": 0.1, "schema": 0.0}
    (step,) = play(env, "shop-count", [confirm(RIGHT)])
    assert step[4]["violations"] == ["confirm_before_generate"]
    assert "propose_schema" not in env.system_prompt
    assert [tool["function"]["name"] for tool in env.tools] == ["explore_schema", "generate_sql", "confirm_answer"]


def test_without_proposing_a_proposal_is_unreadable(make_env: MakeEnv) -> None:
    for actions in ("text", "structured"):
        (step,) = play(make_env(propose=False, actions=actions), "shop-count", [propose(SCHEMA)])
        assert step[4]["malformed"]
        assert step[0].startswith("Invalid format")


# Grounding: only what was shown


def ungrounded(env: TrustSQLEnv, explorations: list[Any], columns: dict[str, list[str]]) -> list[str]:
    """What the proposal's row in the final metrics calls ungrounded."""
    moves = [*explorations, propose(columns), confirm(RIGHT)]
    (proposal,) = play(env, "shop-count", moves)[-1][4]["metrics"]["proposals"]
    return list(proposal["ungrounded"])


@pytest.mark.parametrize(
    ("sql", "missing"),
    [
        (LIST_SQL, []),
        ("PRAGMA table_info(customer)", []),
        ("PRAGMA table_info('CUSTOMER')", []),
        ("SELECT name FROM pragma_table_info('customer')", []),
        ("SELECT m.name, p.name FROM sqlite_master AS m JOIN pragma_table_info(m.name) AS p", []),
        ("SELECT name FROM sqlite_master", ["customer.country"]),
        ("PRAGMA table_info(invoice)", ["customer", "customer.country"]),
        ("SELECT name FROM pragma_table_info('customer') LIMIT 2", ["customer.country"]),
        ("SELECT sql FROM sqlite_master WHERE name = 'invoice'", ["customer.country"]),
        ("SELECT sql FROM sqlite_master WHERE name = 'nothing'", ["customer", "customer.country"]),
        ("SELECT 1 AS country, 2 AS customer FROM sqlite_master", ["customer", "customer.country"]),
    ],
)
def test_a_name_is_grounded_once_it_was_shown(make_env: MakeEnv, sql: str, missing: list[str]) -> None:
    assert ungrounded(make_env(), [explore(sql)], SCHEMA) == missing


@pytest.mark.parametrize("rows", [1, 2])
def test_rows_beyond_the_cap_ground_nothing(make_env: MakeEnv, rows: int) -> None:
    env = make_env(max_rows_shown=rows)
    look = explore(
        "SELECT m.name, p.name FROM sqlite_master AS m JOIN pragma_table_info(m.name) AS p ORDER BY m.rowid, p.cid"
    )
    assert (
        ungrounded(env, [look], {"customer": ["id", "name", "country"]})
        == ["customer.country", "customer.name"][: 3 - rows]
    )
    assert ungrounded(make_env(max_rows_shown=3), [look], {"customer": ["id", "name", "country"]}) == []


def test_text_cut_by_the_token_bound_grounds_nothing(make_env: MakeEnv) -> None:
    wide = explore("SELECT printf('%.*c', 400, 'x') AS pad, sql FROM sqlite_master ORDER BY rowid")
    assert ungrounded(make_env(max_observation_tokens=50), [wide], SCHEMA) == ["customer", "customer.country"]
    assert ungrounded(make_env(max_observation_tokens=500), [wide], SCHEMA) == []


@pytest.mark.parametrize(
    "sql", ["SELECT country FROM customer WHERE country = 'Mars'", "SELECT customer.country FROM nowhere"]
)
def test_a_statement_that_shows_nothing_grounds_nothing(make_env: MakeEnv, sql: str) -> None:
    assert ungrounded(make_env(protocol="off"), [explore(sql)], SCHEMA) == ["customer", "customer.country"]


def test_the_agents_own_words_ground_nothing(make_env: MakeEnv) -> None:
    thought = f"<think>customer country</think><action>explore_schema</action>{UNTYPED.partition('</think>')[2]}"
    blind = thought.replace(LIST_SQL, "PRAGMA table_info(invoice)")
    assert ungrounded(make_env(), [blind], SCHEMA) == ["customer", "customer.country"]
    assert ungrounded(make_env(), ["customer country", propose(SCHEMA)][:1], SCHEMA) == ["customer", "customer.country"]


def test_generated_results_are_observed_but_ground_no_proposal(make_env: MakeEnv) -> None:
    env = make_env(protocol="soft")
    moves = [generate("SELECT * FROM customer"), propose(SCHEMA), confirm("SELECT country FROM customer")]
    metrics = play(env, "shop-count", moves)[-1][4]["metrics"]
    assert metrics["proposals"][0]["ungrounded"] == ["customer", "customer.country"]
    assert metrics["ungrounded_names"] == []


def test_an_answer_is_held_against_everything_that_was_shown(make_env: MakeEnv) -> None:
    env = make_env()
    guess = play(env, "shop-count", [explore("PRAGMA table_info(invoice)"), confirm(RIGHT)])[-1][4]["metrics"]
    assert (guess["ungrounded"], guess["ungrounded_names"]) == (True, ["customer", "customer.country"])
    assert not guess["hallucinated"]
    fantasy = play(env, "shop-count", [explore(), confirm("SELECT age FROM customer")])[-1][4]["metrics"]
    assert fantasy["hallucinated"]
    assert any("age" in name for name in fantasy["hallucinated_names"])
    assert fantasy["error_class"] == "hallucination"


CATALOGUE = Catalogue({"Order Details": (Column("quantity", "INT"),), "T": (Column("a b", "INT"), Column("id", "INT"))})


@pytest.mark.parametrize(
    ("statement", "text", "tables", "columns"),
    [
        ("", "order details", {"order details"}, set()),
        ("", "orders details", set(), set()),
        ("pragma table_info('order details')", "quantity", {"order details"}, {"order details.quantity"}),
        ("", "t: a b", {"t"}, {"t.a b"}),
        ("t", "x", set(), set()),
        ("t", "identity", set(), set()),
        ("t", "id", {"t"}, {"t.id"}),
        ("", "that", set(), set()),
        ("", "T\tID", {"t"}, {"t.id"}),
    ],
)
def test_names_are_found_as_whole_words_in_any_case(
    statement: str, text: str, tables: set[str], columns: set[str]
) -> None:
    evidence = Evidence(CATALOGUE)
    evidence.show(statement, text)
    seen = evidence.seen()
    assert (seen.tables, seen.columns) == (tables, columns)


def test_evidence_only_grows_and_does_not_mind_when_it_is_asked() -> None:
    shown = [("", "t"), ("t", "id"), ("", "order details quantity")]
    eager, lazy = Evidence(CATALOGUE), Evidence(CATALOGUE)
    before = eager.seen()
    for statement, text in shown:
        eager.show(statement, text)
        lazy.show(statement, text)
        assert before.tables <= eager.seen().tables
        before = eager.seen()
    assert eager.seen() == lazy.seen()


# Proposals and the boundary


def ends(env: TrustSQLEnv, moves: list[Any]) -> tuple[Any, Any]:
    """Checkpoint turn and last turn of the schema track."""
    info = play(env, "shop-count", moves)[-1][4]
    return info["metrics"]["checkpoint_turn"], info["metrics"]["schema_end_turn"]


BAD = '<think>t</think><action>propose_schema</action><schema>{"tables"</schema>'


@pytest.mark.parametrize(
    ("moves", "last", "first"),
    [
        (perfect("shop-count"), (1, 1), (1, 1)),
        ([explore(), propose(SCHEMA), generate(RIGHT), propose(SCHEMA), confirm(RIGHT)], (3, 3), (1, 1)),
        ([explore(), explore(), generate(RIGHT), confirm(RIGHT)], (None, 1), (None, 1)),
        ([explore(), generate(RIGHT), explore(), confirm(RIGHT)], (None, 2), (None, 2)),
        ([generate(RIGHT), confirm(RIGHT)], (None, -1), (None, -1)),
        ([confirm(RIGHT)], (None, -1), (None, -1)),
        ([explore(), BAD, confirm(RIGHT)], (None, 0), (None, 0)),
        ([explore(), propose(SCHEMA), BAD, confirm(RIGHT)], (1, 1), (1, 1)),
    ],
)
def test_the_schema_track_ends_at_the_checkpoint_or_the_last_exploration(
    make_env: MakeEnv, moves: list[Any], last: tuple[Any, Any], first: tuple[Any, Any]
) -> None:
    assert ends(make_env(boundary="last"), moves) == last
    assert ends(make_env(boundary="first"), moves) == first


def test_a_refused_proposal_is_no_checkpoint(make_env: MakeEnv) -> None:
    env = make_env(protocol="strict")
    play(env, "shop-count", [propose({}), explore(), generate(RIGHT)])
    steps = [env.step(env.tool_action(*move)) for move in perfect("shop-count")]
    metrics = steps[-1][4]["metrics"]
    assert (metrics["checkpoint_turn"], len(metrics["proposals"])) == (4, 1)


def test_the_proposal_at_the_checkpoint_is_the_one_scored(make_env: MakeEnv) -> None:
    moves = [explore(), propose(SCHEMA), propose(SCHEMAS["shop-join"]), generate(RIGHT), confirm(RIGHT)]
    assert play(make_env(boundary="first"), "shop-count", moves)[-1][4]["outcome"]["schema"] == 1.0
    assert play(make_env(boundary="last"), "shop-count", moves)[-1][4]["outcome"]["schema"] == 0.0


def test_all_proposals_are_reported_in_order(make_env: MakeEnv) -> None:
    moves = [explore(), propose({"customer": ["age"]}), propose(SCHEMA), generate(RIGHT), confirm(RIGHT)]
    proposals = play(make_env(), "shop-count", moves)[-1][4]["metrics"]["proposals"]
    assert proposals == [
        {"turn": 1, "tables": ["customer"], "columns": ["customer.age"], "ungrounded": ["customer.age"]},
        {"turn": 2, "tables": ["customer"], "columns": ["customer.country"], "ungrounded": []},
    ]


# The budget


@pytest.mark.parametrize("protocol", ["off", "soft", "strict"])
@pytest.mark.parametrize("move", [explore(), propose(SCHEMA), generate(RIGHT), "nonsense"])
def test_the_last_turn_without_an_answer_truncates_and_pays_nothing(
    make_env: MakeEnv, protocol: str, move: Any
) -> None:
    env = make_env(protocol=protocol, max_turns=4)
    steps = play(env, "shop-count", [*OPENING, move])
    assert [step[2:4] for step in steps] == [(False, False)] * 3 + [(False, True)]
    _, reward, _, _, info = steps[-1]
    assert reward == 0.0
    assert info["outcome"] == {"execution": 0.0, "format": 0.0, "schema": 0.0}
    assert info["metrics"]["error_class"] == "no_answer"
    assert info["metrics"]["final_sql"] is None
    assert info["malformed"] == (move == "nonsense")


def test_an_answer_on_the_last_turn_still_counts(make_env: MakeEnv) -> None:
    *_, (_, reward, terminated, truncated, _) = play(make_env(max_turns=4), "shop-count", perfect("shop-count"))
    assert (reward, terminated, truncated) == (pytest.approx(1.1), True, False)


def test_an_answer_that_strict_refuses_on_the_last_turn_truncates(make_env: MakeEnv) -> None:
    env = make_env(protocol="strict", max_turns=1)
    ((observation, reward, terminated, truncated, info),) = play(env, "shop-count", [confirm(RIGHT)])
    assert (reward, terminated, truncated) == (0.0, False, True)
    assert observation.startswith("Refused")
    assert info["metrics"]["final_sql"] is None


def test_phases_are_reported_turn_by_turn(make_env: MakeEnv) -> None:
    steps = play(make_env(), "shop-count", [explore(), "nonsense", UNTYPED, *perfect("shop-count")])
    phases = ["explore", "malformed", "sql", "explore", "propose", "generate", "confirm"]
    assert [step[4]["phase"] for step in steps] == phases
    assert steps[-1][4]["metrics"]["phases"] == phases
    assert steps[-1][4]["metrics"]["complaints"] == 1


def test_a_name_within_a_longer_word_is_not_seen() -> None:
    column = Column("unit price", "REAL")
    catalogue = Catalogue({"Order Details": (column, Column("qty", "INTEGER")), "Customer": (Column("bad", "TEXT"),)})
    evidence = Evidence(catalogue)
    evidence.show("SELECT 1", "customers\nbadge")
    assert evidence.seen() == SchemaSubset()
    evidence.show("PRAGMA table_info('order details')", "UNIT PRICE\nqty")
    evidence.show("SELECT 1", "Customer\tBAD")
    assert evidence.seen() == SchemaSubset.of(
        ["order details", "customer"], {"order details": ["unit price", "qty"], "customer": ["bad"]}
    )
