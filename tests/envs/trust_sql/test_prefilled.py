"""``schema="prefilled"``: the schema stands beside the question, and exploring is optional."""

from __future__ import annotations

import pytest
from shop import GOLD, SCHEMAS, MakeEnv, confirm, explore, generate, perfect, play, propose

RIGHT = GOLD["shop-count"]


def test_the_first_observation_names_every_table_column_and_reference(make_env: MakeEnv) -> None:
    hidden, _ = make_env().reset(options={"task_id": "shop-count"})
    shown, _ = make_env(schema="prefilled").reset(options={"task_id": "shop-count"})
    assert shown == (
        f"{hidden}\n**Schema:**\n"
        "table customer (id INTEGER, name TEXT, country TEXT, note TEXT)\n"
        "table invoice (id INTEGER, customer_id INTEGER, total REAL)\n"
        "table Order Details (order_id INTEGER, quantity INTEGER)\n"
        "invoice.customer_id references customer.id"
    )


def test_the_rules_say_which_of_the_two_games_it_is(make_env: MakeEnv) -> None:
    hidden, prefilled = make_env().system_prompt, make_env(schema="prefilled").system_prompt
    assert "Nobody has shown you its schema" in hidden
    assert "Nobody has shown you its schema" not in prefilled
    assert "Its schema is given with the question" in prefilled


@pytest.mark.parametrize("protocol", ["off", "soft", "strict"])
@pytest.mark.parametrize("task_id", SCHEMAS)
def test_everything_is_earned_without_exploring(make_env: MakeEnv, protocol: str, task_id: str) -> None:
    env = make_env(schema="prefilled", protocol=protocol)
    _, reward, _, _, info = play(env, task_id, perfect(task_id)[1:])[-1]
    assert reward == pytest.approx(1.1)
    assert info["outcome"]["schema"] == 1.0
    assert info["metrics"]["violations"] == []
    assert not info["metrics"]["ungrounded"]


@pytest.mark.parametrize("protocol", ["soft", "strict"])
def test_exploring_stays_allowed_and_costs_nothing_but_the_turn(make_env: MakeEnv, protocol: str) -> None:
    env = make_env(schema="prefilled", protocol=protocol)
    assert play(env, "shop-count", perfect("shop-count"))[-1][1] == pytest.approx(1.1)


def test_what_does_not_exist_stays_ungrounded(make_env: MakeEnv) -> None:
    env = make_env(schema="prefilled", protocol="strict")
    (step,) = play(env, "shop-count", [propose({"customer": ["age"]})])
    assert step[4]["violations"] == ["ungrounded_proposal"]


def test_the_other_rules_hold(make_env: MakeEnv) -> None:
    env = make_env(schema="prefilled", protocol="strict")
    steps = play(env, "shop-count", [generate(RIGHT), confirm(RIGHT), propose(SCHEMAS["shop-count"]), confirm(RIGHT)])
    assert [step[4]["violations"] for step in steps] == [
        ["generate_before_propose"],
        ["confirm_before_propose"],
        [],
        ["confirm_before_generate"],
    ]


@pytest.mark.parametrize("protocol", ["soft", "strict"])
def test_without_proposing_two_turns_suffice(make_env: MakeEnv, protocol: str) -> None:
    env = make_env(schema="prefilled", propose=False, protocol=protocol)
    assert play(env, "shop-count", [generate(RIGHT), confirm(RIGHT)])[-1][1] == pytest.approx(1.1)


def test_the_format_reward_still_needs_the_other_actions(make_env: MakeEnv) -> None:
    env = make_env(schema="prefilled", protocol="off")
    assert play(env, "shop-count", [explore(), generate(RIGHT), confirm(RIGHT)])[-1][4]["outcome"]["format"] == 0.0
    assert play(env, "shop-count", [propose({}), confirm(RIGHT)])[-1][4]["outcome"]["format"] == 0.0


def test_the_schema_track_without_proposal_and_exploration_is_empty(make_env: MakeEnv) -> None:
    env = make_env(schema="prefilled")
    metrics = play(env, "shop-count", [generate(RIGHT), confirm(RIGHT)])[-1][4]["metrics"]
    assert (metrics["checkpoint_turn"], metrics["schema_end_turn"]) == (None, -1)
