"""Silo-Bench through PettingZoo: conformance, rewards, what seats can and cannot see."""

from __future__ import annotations

import copy
import warnings
from functools import partial
from typing import Any

import gymnasium
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pettingzoo.test import api_test, parallel_api_test, parallel_seed_test

from fogline.agents.collector import Assignment, collect_all
from fogline.core.errors import ConfigurationError
from fogline.envs.silo_bench import env as aec_env
from fogline.envs.silo_bench import parallel_env, prompts
from fogline.envs.silo_bench.calls import ToolCall
from fogline.envs.silo_bench.config import read_config
from fogline.envs.silo_bench.game import Game
from fogline.envs.silo_bench.instances import make_problem
from fogline.envs.silo_bench.tasks.catalogue import TASKS
from fogline.envs.silo_bench.tasks.task import Problem

FORMS: list[dict[str, Any]] = [
    {},
    {"protocol": "broadcast", "actions": "text", "n_agents": 3},
    {"protocol": "files", "n_agents": 2, "task": ["II-11", "III-30"], "drop": 0.2, "delay": 0.3, "duplicate": 0.1},
    {"n_agents": 1, "scale": 5},
    {"reward": "team", "n_agents": 3, "delivery": "pull"},
]


def submit(answer: Any) -> tuple[ToolCall, ...]:
    return (ToolCall("submit_result", {"answer": answer}),)


def send(target: int, content: str) -> tuple[ToolCall, ...]:
    return (ToolCall("send_message", {"target_id": target, "content": content}),)


WAIT = (ToolCall("wait", {}),)


@pytest.mark.parametrize("keywords", FORMS, ids=str)
def test_pettingzoos_own_tests_are_content(keywords: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*probably should be.*|.*not.*numpy.*")
        parallel_api_test(parallel_env(max_rounds=12, **keywords), num_cycles=60)
        parallel_seed_test(lambda: parallel_env(max_rounds=12, **keywords), num_cycles=40)
        api_test(aec_env(max_rounds=12, **keywords), num_cycles=60)


def test_a_right_answer_is_paid_to_its_seat_when_it_submits() -> None:
    env = parallel_env(task="I-01", n_agents=2)
    env.reset(seed=0, options={"task_id": "I-01/3"})
    truth = max(max(shard) for shard in make_problem(env.config, "I-01/3").shards)
    _, rewards, terminations, _, infos = env.step({"agent_0": submit(truth), "agent_1": WAIT})
    assert rewards == {"agent_0": 1.0, "agent_1": 0.0}
    assert terminations == {"agent_0": True, "agent_1": False} and env.agents == ["agent_1"]
    assert "outcome" not in infos["agent_1"]
    with pytest.raises(ConfigurationError, match="before the end"):
        env.metrics()
    _, rewards, _, _, infos = env.step({"agent_1": submit(-5000)})
    assert rewards == {"agent_1": 0.0} and env.agents == []
    assert infos["agent_1"]["outcome"] == {"success_rate": 0.5, "partial_correctness": 0.5, "success": 0.0}
    assert env.metrics()["success_rate"] == 0.5
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step({})


def test_a_team_is_paid_together_at_the_end() -> None:
    env = parallel_env(task="I-01", n_agents=2, reward="team")
    env.reset(seed=0, options={"task_id": "I-01/0"})
    truth = max(max(shard) for shard in make_problem(env.config, "I-01/0").shards)
    _, rewards, terminations, _, _ = env.step({"agent_0": submit(truth), "agent_1": WAIT})
    assert rewards == {"agent_0": 0.0, "agent_1": 0.0} and not any(terminations.values())
    observations, rewards, terminations, _, _ = env.step({"agent_0": submit(0), "agent_1": submit(truth)})
    assert rewards == {"agent_0": 1.0, "agent_1": 1.0} and all(terminations.values())
    assert observations["agent_0"]["submitted"] == 1


def test_messages_and_tokens_cost_what_is_said() -> None:
    env = parallel_env(task="I-01", n_agents=2, message_cost=0.1, token_cost=0.01)
    env.reset(seed=0)
    _, rewards, _, _, infos = env.step({"agent_0": send(1, "x" * 40), "agent_1": send(7, "nobody")})
    assert infos["agent_0"]["terms"]["messages"] == 1 and infos["agent_1"]["terms"]["messages"] == 0
    tokens = infos["agent_0"]["terms"]["tokens"]
    assert 10 < tokens < 25
    assert rewards["agent_0"] == pytest.approx(-0.1 - 0.01 * tokens)


def test_who_has_not_submitted_is_truncated_after_the_last_round() -> None:
    env = parallel_env(task="I-01", n_agents=2, max_rounds=2)
    env.reset(seed=0)
    env.step({})
    _, rewards, terminations, truncations, infos = env.step({"agent_0": submit(0)})
    assert truncations == {"agent_0": False, "agent_1": True} and terminations == {"agent_0": True, "agent_1": False}
    assert infos["agent_1"]["metrics"]["no_submission"] == 0.5 and rewards["agent_1"] == 0.0


def test_what_is_sent_is_read_in_the_next_round() -> None:
    env = parallel_env(task="I-01", n_agents=2)
    env.reset(seed=0)
    observations, *_, infos = env.step({"agent_0": send(1, "hello"), "agent_1": WAIT})
    assert observations["agent_1"]["inbox"] == '[{"from": 0, "content": "hello", "round": 1}]'
    assert infos["agent_1"]["view"].inbox[0].content == "hello"
    observations, *_ = env.step({})
    assert observations["agent_1"]["inbox"] == "[]"


@pytest.mark.parametrize("task_id", TASKS)
@pytest.mark.parametrize("hint_level", ["none", "structural", "algorithm", "topology"])
def test_a_seat_sees_nothing_that_depends_on_the_shards_of_others(task_id: str, hint_level: Any) -> None:
    config = read_config({"task": task_id, "n_agents": 4})
    one, other = make_problem(config, f"{task_id}/0"), make_problem(config, f"{task_id}/1")
    for agent in range(4):
        mixed = [*other.shards]
        mixed[agent] = one.shards[agent]
        alike = Problem(tuple(mixed), one.public)
        first = prompts.task_text(TASKS[task_id], one, agent, hint_level)
        assert first == prompts.task_text(TASKS[task_id], alike, agent, hint_level)


def test_prompts_of_seats_differ_in_id_and_data_alone() -> None:
    env = parallel_env(task="I-01", n_agents=3)
    observations, _ = env.reset(seed=0)
    rules = [
        env.system_prompt[seat].replace(f"You are agent {n} of", "You are agent # of")
        for n, seat in enumerate(env.possible_agents)
    ]
    assert len(set(rules)) == 1
    assert len({observation["prompt"] for observation in observations.values()}) == 3


def test_only_the_topology_hint_names_a_topology() -> None:
    for task_id, task in TASKS.items():
        problem = make_problem(read_config({"task": task_id, "n_agents": 4}), f"{task_id}/0")
        told = {level: prompts.task_text(task, problem, 1, level) for level in ("none", "structural", "algorithm")}  # type: ignore[arg-type]
        for text in told.values():
            assert not any(word in text.lower() for word in ("leader", "coordinator", "topology", "star network"))
        assert "Who talks to whom" in prompts.task_text(task, problem, 1, "topology")
        assert len(told["none"]) < len(told["structural"]) < len(told["algorithm"])


def test_a_seat_that_spoils_its_data_does_not_change_the_truth() -> None:
    env = parallel_env(task="II-11", n_agents=2)
    _, infos = env.reset(seed=0, options={"task_id": "II-11/0"})
    truth = TASKS["II-11"].solve(make_problem(env.config, "II-11/0"))
    infos["agent_0"]["view"].shard.clear()
    _, rewards, *_ = env.step({"agent_0": submit(truth[0]), "agent_1": submit(truth[1])})
    assert rewards == {"agent_0": 1.0, "agent_1": 1.0}


def test_an_instance_depends_on_its_number_alone() -> None:
    few, many = parallel_env(instances=3), parallel_env(instances=50)
    one, _ = few.reset(seed=0, options={"task_id": "I-01/2"})
    other, _ = many.reset(seed=9, options={"task_id": "I-01/2"})
    assert one["agent_0"]["prompt"] == other["agent_0"]["prompt"]
    assert (
        parallel_env(suite_seed=1).reset(seed=0, options={"task_id": "I-01/2"})[0]["agent_0"]["prompt"]
        != one["agent_0"]["prompt"]
    )


def test_one_seat_can_hold_the_data_of_many() -> None:
    for task_id, task in TASKS.items():
        env = parallel_env(task=task_id, n_agents=1, scale=5)
        env.reset(seed=0, options={"task_id": f"{task_id}/0"})
        together = make_problem(env.config, f"{task_id}/0")
        apart = make_problem(read_config({"task": task_id, "n_agents": 5}), f"{task_id}/0")
        answer = task.solve(together)[0]
        _, rewards, *_ = env.step({"agent_0": submit(answer)})
        assert rewards == {"agent_0": 1.0}
        if not task.segmented:
            assert answer == task.solve(apart)[0]


@settings(max_examples=60, deadline=None)
@given(
    actions=st.lists(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from(["send_message", "submit_result"]),
            lambda inner: (
                st.lists(inner, max_size=4)
                | st.dictionaries(st.sampled_from(["tool", "arguments", "answer", "content", "target_id"]), inner)
                | st.tuples(st.sampled_from(["send_message", "write_file", "wait"]), st.dictionaries(st.text(), inner))
            ),
            max_leaves=8,
        ),
        min_size=1,
        max_size=3,
    ),
    text=st.booleans(),
    protocol=st.sampled_from(["p2p", "broadcast", "files"]),
)
def test_no_action_raises(actions: list[Any], text: bool, protocol: str) -> None:
    env = parallel_env(n_agents=2, protocol=protocol, actions="text" if text else "structured", max_rounds=4)
    env.reset(seed=0)
    for action in actions:
        if not env.agents:
            break
        observations, *_ = env.step({"agent_0": action, "agent_1": WAIT})
        for seat, observation in observations.items():
            assert observation in env.observation_space(seat)


def test_the_planning_round_takes_no_answers_and_the_reminder_comes_every_round() -> None:
    env = parallel_env(n_agents=2, scaffold="planning")
    env.reset(seed=0)
    observations, *_ = env.step({"agent_0": submit(1), "agent_1": WAIT})
    assert env.agents == ["agent_0", "agent_1"] and "planning" in observations["agent_0"]["tool_results"]
    reminded, _ = parallel_env(n_agents=2, scaffold="reminder").reset(seed=0)
    assert prompts.REMINDER in reminded["agent_0"]["tool_results"]


def test_an_action_budget_drops_what_is_beyond_it() -> None:
    env = parallel_env(n_agents=2, action_budget=3)
    env.reset(seed=0)
    four = tuple(ToolCall("send_message", {"target_id": 1, "content": str(n)}) for n in range(4))
    observations, *_, infos = env.step({"agent_0": four, "agent_1": WAIT})
    assert len(infos["agent_1"]["view"].inbox) == 3
    assert "action_budget=3" in observations["agent_0"]["tool_results"]


def test_what_a_seat_asks_for_it_does_not_know_when_it_submits_in_the_same_turn() -> None:
    env = parallel_env(task="I-01", n_agents=2, protocol="files")
    env.reset(seed=0)
    write = (ToolCall("write_file", {"path": "a", "content": "1"}),)
    env.step({"agent_0": write, "agent_1": WAIT})
    read = ToolCall("read_file", {"path": "a"})
    env.step({"agent_1": (read, *submit(0))})
    env.step({"agent_0": submit(0)})
    assert env.metrics()["coverage"] == 0.5 and env.metrics()["premature"] == 1.0


def test_faults_come_from_the_seed() -> None:
    def received(seed: int) -> list[int]:
        env = parallel_env(task="I-01", n_agents=10, drop=0.3)
        env.reset(seed=seed, options={"task_id": "I-01/0"})
        calls = {
            f"agent_{me}": tuple(
                ToolCall("send_message", {"target_id": you, "content": "x"}) for you in range(10) if you != me
            )
            for me in range(10)
        }
        *_, infos = env.step(calls)
        return [len(infos[f"agent_{n}"]["view"].inbox) for n in range(10)]

    assert received(1) == received(1) != received(2)
    assert 40 < sum(received(1)) < 85


def test_central_control_pays_the_mean_over_seats() -> None:
    env = gymnasium.make("fogline.envs:SiloBench-v0", task="I-01", n_agents=2)
    env.reset(seed=0, options={"task_id": "I-01/3"})
    truth = max(max(shard) for shard in make_problem(env.unwrapped.config, "I-01/3").shards)  # type: ignore[attr-defined]
    _, reward, terminated, truncated, info = env.step({"agent_0": submit(truth), "agent_1": submit(0)})
    assert (reward, terminated, truncated) == (0.5, True, False)
    assert info["metrics"]["success_rate"] == 0.5 and info["outcome"]["success"] == 0.0


@pytest.mark.parametrize(
    ("keywords", "named"),
    [
        ({"task": "I-1"}, "task='I-1'"),
        ({"protocol": "mail"}, "protocol='mail'"),
        ({"n_agents": 0}, "n_agents=0"),
        ({"n_agents": 5, "action_budget": 5}, "action_budget=5"),
        ({"n_agents": 5, "scale": 3}, "scale=3"),
        ({"topology": "moebius"}, "topology='moebius'"),
    ],
)
def test_what_cannot_be_played_is_refused_by_name(keywords: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        parallel_env(**keywords).reset(seed=0)


def test_a_game_keeps_no_copy_of_itself_in_what_it_shows() -> None:
    game = Game(read_config({"n_agents": 2}), "I-01/0", np.random.default_rng(0))
    view = game.view(0)
    assert copy.deepcopy(view) == view
    assert all(not isinstance(part, Game) for part in view)


def test_the_collector_learns_which_instance_was_drawn_and_how_to_say_what_is_seen() -> None:
    seen: list[str] = []

    class Reader:
        name = "reader"
        batch_size: int | None = None

        def act(self, views: Any) -> list[Any]:
            seen.extend(view.render(view.observation) for view in views)
            return [submit(0) for _ in views]

    episode = collect_all(partial(parallel_env, n_agents=2), Reader(), [Assignment("", 5)])[0]
    assert episode.env_id == "SiloBench-v0" and episode.task_id in parallel_env(n_agents=2).task_ids
    assert len(seen) == 2 and all(text.startswith("# Task: Global Maximum") for text in seen)
