from __future__ import annotations

import doctest
import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import skyrl_gym
from bridged import TEXT_WORLDS, native, played, rewards
from unsteady import Outage, Outages

import fogline.trainers.bridges.skyrl as bridge
from fogline.core.errors import ConfigurationError
from fogline.trainers.bridges.session import Seeds
from fogline.trainers.bridges.skyrl import register, rows


@pytest.fixture(autouse=True)
def no_outage_is_left_over() -> Iterator[None]:
    Outages.left = 0
    yield
    Outages.left = 0


@pytest.mark.parametrize(("env_id", "keywords", "task_id", "agent"), TEXT_WORLDS)
def test_steps_pay_the_native_rewards(env_id: str, keywords: Mapping[str, Any], task_id: str, agent: str) -> None:
    expected = played(env_id, keywords, task_id, agent, seed=5)
    register("fogline-test", env_id, keywords, seeds=Seeds(5))
    (row,) = rows("fogline-test", env_id, keywords, task_ids=[task_id])
    env = skyrl_gym.make(row["env_class"], env_config={}, extras=row)
    prompt, info = env.init(row["prompt"])
    assert info == {"task_id": task_id, "seed": 5}
    assert prompt[-1]["role"] == "user"
    outputs = [env.step(turn.action) for turn in expected.turns]
    assert [output["reward"] for output in outputs] == rewards(expected)
    assert [output["done"] for output in outputs] == [False] * (len(outputs) - 1) + [True]
    assert [output["metadata"]["terms"] for output in outputs] == [dict(turn.terms) for turn in expected.turns]
    assert outputs[-1]["observations"] == []
    for name, value in expected.outcome.items():
        assert env.get_metrics()[name] == value
    env.close()


def test_a_group_is_one_task_with_distinct_seeds() -> None:
    register("fogline-test", "SalesDialogue-v0")
    (row,) = rows("fogline-test", "SalesDialogue-v0", limit=1)
    episodes = []
    for _ in range(4):
        env = skyrl_gym.make(row["env_class"], env_config={}, extras=row)
        _, info = env.init(row["prompt"])
        episodes.append((info["seed"], env.step("Hello, this is an assistant calling.")["reward"]))
        env.close()
    assert [seed for seed, _ in episodes] == [0, 1, 2, 3]
    said = ["Hello, this is an assistant calling.", *["Goodbye."] * 40]
    for seed, reward in episodes:
        assert native("SalesDialogue-v0", {}, row["task_id"], seed, said).turns[0].reward == reward


def test_an_outage_is_raised_and_no_reward_returned() -> None:
    register("fogline-test", "unsteady:make", retries=1)
    env = skyrl_gym.make("fogline-test", env_config={}, extras={"task_id": "one"})
    env.init([{"role": "user", "content": ""}])
    env.step("word")
    Outages.left = 2
    with pytest.raises(Outage):
        env.step("word")
    assert env.session.episode().status == "infra_error"


def test_the_rows_are_json_and_hold_the_rules() -> None:
    made = rows("fogline-test", "TrustSQL-v0", limit=3)
    assert json.loads(json.dumps(made)) == made
    assert [message["role"] for message in made[0]["prompt"]] == ["system", "user"]


def test_the_turns_that_the_row_allows_end_the_episode() -> None:
    register("fogline-test", "unsteady:make")
    env = skyrl_gym.make("fogline-test", env_config={}, extras={"task_id": "one", "max_turns": 2, "seed": 9})
    assert env.init([{"role": "user", "content": ""}])[1]["seed"] == 9
    assert [env.step("word")["done"] for _ in range(2)] == [False, True]
    assert env.session.episode().status == "truncated"


def test_what_cannot_be_expressed_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="n_agents=1"):
        register("fogline-test", "SiloBench-v0", {"n_agents": 3})
    register("fogline-test", "unsteady:make")
    with pytest.raises(ConfigurationError, match="task_id"):
        skyrl_gym.make("fogline-test", env_config={}, extras={})


def test_the_example_of_the_bridge_runs() -> None:
    assert doctest.testmod(bridge).failed == 0
