"""What every registered environment keeps: the Gymnasium contract, determinism, typed errors, the reward's sum.

A new environment joins by being in ``fogline.envs.ENV_IDS``; sets of options to try go into ``OPTIONS``.
"""

from __future__ import annotations

import asyncio
import copy
import json
import math
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import trajectories
from gymnasium.utils.env_checker import check_env
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from fogline.core.engine import make_engine
from fogline.core.errors import ConfigurationError
from fogline.envs import ENV_IDS

OPTIONS: dict[str, list[dict[str, Any]]] = {
    "TrustSQL-v0": [
        {},
        {"actions": "structured", "protocol": "strict", "max_turns": 4},
        {"schema": "prefilled", "propose": False, "protocol": "off", "show_turns_left": True, "paraphrase": True},
    ],
    "SiloBench-v0": [
        {"max_rounds": 20, "n_agents": 3},
        {"n_agents": 1, "scale": 4, "task": ["I-07", "II-11"], "actions": "text", "max_rounds": 5},
        {"protocol": "files", "task": "III-21", "n_agents": 4, "drop": 0.2, "delay": 0.2, "max_rounds": 10},
        {"protocol": "broadcast", "task": "II-14", "reward": "team", "delivery": "pull", "max_rounds": 10},
    ],
    "SalesDialogue-v0": [
        {},
        {"actions": "acts", "variant": "sceptical", "disclose_ai": False, "max_turns": 6},
        {"session": "graded", "session_scale": 10.0, "turn_weights": {"identity": 0.0}, "claims_without_doing": 0.5},
        {"actions": "acts", "common_random_numbers": True, "domain": ["gym-membership", "solar-panels"]},
    ],
    "MerchantStrategy-v0": [
        {},
        {"actions": "grid", "horizon": 5, "budget": 0.2, "common_random_numbers": True, "world_seed": 3},
        {"simulator": "hybrid", "pessimism": 0.5, "world": {"n_merchants": 6, "n_trajectories": 600}},
        {"simulator": "fitting", "actions": "grid", "world": {"n_merchants": 6, "n_trajectories": 600}},
    ],
    "MathReasoning-v0": [
        {},
        {"tools": "calculator", "max_turns": 3, "difficulty": [2, 9], "paraphrase": True, "tool_error_weight": 0.1},
        {"prompt": "short", "difficulty": 1, "split": "test", "format_weight": 0.1},
    ],
    "VisualTable-v0": [
        {"level": [1, 4]},
        {"observation": "symbols", "shortcut": 0.8, "gate": "hard", "form": "prefix", "split": "test"},
        {"size": "tiny", "level": 3, "kinds": ["argmax"], "prompt": "short", "gate": "off"},
        {"tables": "wikitablequestions", "observation": "symbols"},
    ],
    "ObjectPresence-v0": [
        {},
        {"split": "adversarial", "prompt": "short", "dataset_split": "test", "world": {"scenes": 2, "noise": 0.1}},
        {"task": "caption", "n_images": 30, "world": {"contrast": [0.3, 1.0], "colours": 4}},
    ],
}
CASES = [(env_id, options) for env_id in ENV_IDS for options in OPTIONS.get(env_id, [{}])]
SEEDS = (0, 7)


def name_of(case: Any) -> str:
    return case if isinstance(case, str) else ",".join(f"{key}={value}" for key, value in case.items()) or "defaults"


@cache
def shared(env_id: str, options: str) -> gymnasium.Env[Any, Any]:
    """One environment of a case for tests that reset it first."""
    return gymnasium.make(f"fogline.envs:{env_id}", **json.loads(options))


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0]}-{name_of(case[1])}")
def case(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def env(case: tuple[str, dict[str, Any]]) -> gymnasium.Env[Any, Any]:
    return shared(case[0], json.dumps(case[1]))


@pytest.fixture(scope="module", autouse=True)
def _closing() -> Iterator[None]:
    yield
    for env_id, options in CASES:
        shared(env_id, json.dumps(options)).close()
    shared.cache_clear()


def fresh(case: tuple[str, dict[str, Any]], **more: Any) -> gymnasium.Env[Any, Any]:
    return gymnasium.make(f"fogline.envs:{case[0]}", **case[1], **more)


# The Gymnasium contract


def test_there_are_environments_and_each_is_registered() -> None:
    assert ENV_IDS
    assert set(ENV_IDS) <= set(gymnasium.registry)


def test_gymnasiums_own_checker_is_content(case: tuple[str, dict[str, Any]]) -> None:
    env = fresh(case, render_mode="ansi")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # A Space of our own is no fault, and text has no shape to flatten.
        warnings.filterwarnings("ignore", message=".*(not a.*fundamental|custom space|image).*")
        check_env(env.unwrapped)
    env.close()


def test_the_environment_says_what_a_collector_needs(env: gymnasium.Env[Any, Any]) -> None:
    plain: Any = env.unwrapped
    assert plain.simulator_version
    assert isinstance(plain.system_prompt, (str, dict))
    assert isinstance(plain.blocking, bool)
    assert len(plain.task_ids) == len(set(plain.task_ids)) > 0
    assert plain.metadata["name"] == env.spec.id  # type: ignore[union-attr]
    json.dumps(plain.tools)


def test_an_unknown_option_of_the_environment_is_a_type_error(case: tuple[str, dict[str, Any]]) -> None:
    with pytest.raises(TypeError, match="no_such_option"):
        fresh(case, no_such_option=1)


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_vectors_of_environments_step_and_reset(case: tuple[str, dict[str, Any]], mode: str) -> None:
    extra = {"vector_kwargs": {"shared_memory": False}} if mode == "async" else {}
    vector = gymnasium.make_vec(f"fogline.envs:{case[0]}", num_envs=2, vectorization_mode=mode, **extra, **case[1])
    try:
        observations, _ = vector.reset(seed=[3, 4])
        single = fresh(case)
        for index, seed in enumerate((3, 4)):
            assert equal(_element(observations, index), single.reset(seed=seed)[0])
        single.close()
        vector.action_space.seed(0)
        for _ in range(3):
            observations, rewards, terminated, truncated, _ = vector.step(vector.action_space.sample())
            assert np.shape(rewards) == np.shape(terminated) == np.shape(truncated) == (2,)
            assert all(_element(observations, index) in vector.single_observation_space for index in range(2))
    finally:
        vector.close()


def _element(batch: Any, index: int) -> Any:
    return {key: _element(value, index) for key, value in batch.items()} if isinstance(batch, dict) else batch[index]


def equal(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return (
            isinstance(other, dict) and one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
        )
    return bool(np.array_equal(one, other))


def test_ansi_rendering_shows_what_happened_last(case: tuple[str, dict[str, Any]]) -> None:
    env = fresh(case, render_mode="ansi")
    observation, _ = env.reset(seed=0)
    text = env.render()
    assert isinstance(text, str)
    if isinstance(observation, str):
        assert observation in text
    env.step(env.action_space.sample())
    assert env.render() != text
    env.close()


def test_without_a_render_mode_nothing_is_rendered(env: gymnasium.Env[Any, Any]) -> None:
    env.reset(seed=0)
    assert env.unwrapped.render() is None


# Determinism


def test_a_seed_decides_the_whole_trajectory(case: tuple[str, dict[str, Any]]) -> None:
    one, other = fresh(case), fresh(case)
    for seed in SEEDS:
        first = trajectories.drive(one, seed)
        assert first == trajectories.drive(other, seed)
        assert first == trajectories.drive(one, seed), "nothing is left over from an earlier episode"
    one.close()
    other.close()


def test_a_seed_decides_the_task_and_seeds_differ(env: gymnasium.Env[Any, Any]) -> None:
    chosen = [env.reset(seed=seed)[1]["task_id"] for seed in range(40)]
    assert chosen == [env.reset(seed=seed)[1]["task_id"] for seed in range(40)]
    if len(env.unwrapped.task_ids) > 1:  # type: ignore[attr-defined]
        assert len(set(chosen)) > 1


def test_resets_without_a_seed_go_on_reproducibly(env: gymnasium.Env[Any, Any]) -> None:
    def run() -> list[str]:
        first = env.reset(seed=1)[1]["task_id"]
        return [first, *(env.reset()[1]["task_id"] for _ in range(10))]

    assert run() == run()
    if len(env.unwrapped.task_ids) > 1:  # type: ignore[attr-defined]
        assert len(set(run())) > 1


def test_the_global_generators_are_neither_read_nor_moved(env: gymnasium.Env[Any, Any]) -> None:
    import random

    np.random.seed(0)
    random.seed(0)
    first = trajectories.drive(env, 3)
    states = random.getstate(), np.random.get_state()[1].copy()  # type: ignore[index,union-attr]
    np.random.seed(1)
    random.seed(1)
    assert trajectories.drive(env, 3) == first
    np.random.seed(0)
    random.seed(0)
    assert random.getstate() == states[0]
    assert np.array_equal(np.random.get_state()[1], states[1])  # type: ignore[index]


def test_interleaved_environments_do_not_disturb_one_another(case: tuple[str, dict[str, Any]]) -> None:
    one, other = fresh(case), fresh(case)
    apart = [trajectories.drive(one, 0), trajectories.drive(other, 7)]
    together: list[list[Any]] = [[], []]
    walks = [trajectories.rows(one, 0), trajectories.rows(other, 7)]
    going = [True, True]
    while any(going):
        for index, walk in enumerate(walks):
            row = next(walk, None)
            going[index] = row is not None
            if row is not None:
                together[index].append(row)
    assert together == apart
    one.close()
    other.close()


def test_environments_in_threads_give_the_same(case: tuple[str, dict[str, Any]]) -> None:
    expected = [trajectories.digest(*case, seed) for seed in SEEDS]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda seed: trajectories.digest(*case, seed), SEEDS * 2))
    assert found == expected * 2


def test_worker_processes_give_the_same(case: tuple[str, dict[str, Any]]) -> None:
    with make_engine("process", 2) as engine:
        outcomes = sorted(
            engine.map(trajectories.digest_of, [(*case, seed) for seed in SEEDS]), key=lambda one: one.index
        )
    assert [outcome.unwrap() for outcome in outcomes] == [trajectories.digest(*case, seed) for seed in SEEDS]


def test_the_hash_seed_of_the_interpreter_decides_nothing(case: tuple[str, dict[str, Any]]) -> None:
    script = Path(trajectories.__file__)
    arguments = [sys.executable, str(script), case[0], json.dumps(case[1]), "5"]
    running = [
        subprocess.Popen(arguments, env={**os.environ, "PYTHONHASHSEED": seed}, stdout=subprocess.PIPE, text=True)
        for seed in ("0", "1", "4242")
    ]
    digests = {process.communicate(timeout=120)[0].strip() for process in running}
    assert all(process.returncode == 0 for process in running)
    assert digests == {trajectories.digest(*case, 5)}


async def test_awaited_steps_give_the_same_as_called_ones(case: tuple[str, dict[str, Any]]) -> None:
    one, other = fresh(case), fresh(case)
    plain: Any = other.unwrapped
    if not hasattr(plain, "step_async"):
        pytest.fail("an environment whose steps wait offers step_async") if plain.blocking else None
        return
    one.reset(seed=2)
    other.reset(seed=2)
    one.action_space.seed(2)
    for _ in range(4):
        action = one.action_space.sample()
        called, awaited = one.step(action), await asyncio.wait_for(plain.step_async(action), 30)
        assert repr(called) == repr(awaited)
        if called[2] or called[3]:
            with pytest.raises(gymnasium.error.ResetNeeded):
                await plain.step_async(action)
            one.reset()
            other.reset()
    one.close()
    other.close()


# Tasks and typed errors


def test_a_task_can_be_chosen_and_the_seed_still_decides_the_noise(env: gymnasium.Env[Any, Any]) -> None:
    plain: Any = env.unwrapped
    for task_id in (plain.task_ids[0], plain.task_ids[-1]):
        first, info = env.reset(seed=1, options={"task_id": task_id})
        assert info["task_id"] == task_id
        again, _ = env.reset(seed=1, options={"task_id": task_id})
        assert equal(first, again)


def test_an_unknown_task_is_refused_with_the_nearest(env: gymnasium.Env[Any, Any]) -> None:
    plain: Any = env.unwrapped
    close = plain.task_ids[0] + "x"
    with pytest.raises(ConfigurationError, match="Did you mean") as caught:
        env.reset(options={"task_id": close})
    assert close in str(caught.value)


@pytest.mark.parametrize("task_id", [3, ["a"], {"a": 1}, b"x"])
def test_a_task_of_another_type_is_refused_alike(env: gymnasium.Env[Any, Any], task_id: Any) -> None:
    with pytest.raises(ConfigurationError, match="task_id="):
        env.reset(options={"task_id": task_id})


def test_an_unknown_option_of_reset_is_refused_with_the_nearest(env: gymnasium.Env[Any, Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"no key 'taskid'.*Did you mean 'task_id'"):
        env.reset(options={"taskid": "x"})


def test_a_step_before_reset_and_after_the_end_is_refused(case: tuple[str, dict[str, Any]]) -> None:
    env = fresh(case)
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(env.action_space.sample())
    env.reset(seed=0)
    finish(env)
    for _ in range(2):
        with pytest.raises(gymnasium.error.ResetNeeded):
            env.step(env.action_space.sample())
    env.reset(seed=0)
    env.step(env.action_space.sample())
    env.close()


def finish(env: gymnasium.Env[Any, Any], limit: int = 500) -> list[tuple[Any, ...]]:
    """Step with samples until the end."""
    steps = []
    for _ in range(limit):
        steps.append(env.step(env.action_space.sample()))
        if steps[-1][2] or steps[-1][3]:
            return steps
    raise AssertionError(f"no end within {limit} steps")


def test_an_environment_can_be_reset_after_close_and_closed_twice(case: tuple[str, dict[str, Any]]) -> None:
    env = fresh(case)
    first, _ = env.reset(seed=0)
    env.close()
    env.close()
    assert equal(first, env.reset(seed=0)[0])
    env.close()


# Rewards and info


def test_the_reward_is_the_documented_sum_and_info_is_complete(env: gymnasium.Env[Any, Any]) -> None:
    plain: Any = env.unwrapped
    scheme = plain.reward_scheme
    env.action_space.seed(0)
    for seed in range(4):
        _, info = env.reset(seed=seed)
        assert set(info) >= {"task_id", "phase"}
        for _, reward, terminated, truncated, info in finish(env):
            expected = scheme.of_turn(info["terms"])
            assert isinstance(info["phase"], str)
            assert isinstance(info["malformed"], bool)
            over = terminated or truncated
            assert ("outcome" in info) == ("metrics" in info) == over
            if over:
                assert set(info["outcome"]) == set(scheme.session)
                expected += scheme.of_session(info["outcome"])
            assert isinstance(reward, float)
            assert math.isclose(reward, expected, abs_tol=1e-12)
            assert not (terminated and truncated)


def test_info_is_plain_json_and_holds_no_timings(env: gymnasium.Env[Any, Any]) -> None:
    env.action_space.seed(0)
    _, first = env.reset(seed=0)
    for info in (first, *(step[4] for step in finish(env))):
        text = json.dumps(info, allow_nan=False)
        assert json.loads(text) == json.loads(json.dumps(copy.deepcopy(info)))
        assert not any(word in key for key in _keys(info) for word in ("time", "seconds", "_ms", "latency", "cost"))


def _keys(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [*map(str, value), *(key for item in value.values() for key in _keys(item))]
    return [key for item in value for key in _keys(item)] if isinstance(value, (list, tuple)) else []


def test_infos_of_different_steps_are_not_one_object(env: gymnasium.Env[Any, Any]) -> None:
    env.action_space.seed(0)
    env.reset(seed=0)
    steps = finish(env)
    texts = [json.dumps(step[4]) for step in steps]
    for step in steps:
        step[4].clear()
    env.reset(seed=0)
    env.action_space.seed(0)
    assert [json.dumps(step[4]) for step in finish(env)] == texts


# Any action is answered

ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=200),
    st.text(alphabet=st.characters(min_codepoint=0xD800, max_codepoint=0xDFFF), max_size=5),
    st.binary(max_size=20),
    st.just(object()),
    st.just(np.arange(3)),
    st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=3),
)


def fields_of(env: gymnasium.Env[Any, Any]) -> st.SearchStrategy[Any]:
    """Odd values, and where the action is a mapping also mappings with its keys and odd values."""
    if isinstance(env.action_space, gymnasium.spaces.Dict):
        mapping = st.fixed_dictionaries({key: ODD for key in env.action_space.spaces})
        return ODD | mapping | st.fixed_dictionaries({key: ODD | st.just(0) for key in env.action_space.spaces})
    return ODD


class Rude:
    """An object that cannot even be shown."""

    def __repr__(self) -> str:
        raise RuntimeError("no")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_action_raises_and_every_answer_is_an_observation(env: gymnasium.Env[Any, Any], data: st.DataObject) -> None:
    env.reset(seed=0)
    for _ in range(3):
        observation, reward, terminated, truncated, info = env.step(data.draw(fields_of(env)))
        assert observation in env.observation_space
        assert math.isfinite(reward)
        json.dumps(info)
        if terminated or truncated:
            env.reset(seed=0)


@pytest.mark.parametrize(
    "action", [Rude(), {"phase": Rude()}, {"phase": 0, "sql": Rude()}, {"phase": 1, "schema": Rude()}, {3: 4}]
)
def test_objects_that_cannot_be_shown_are_answered_too(env: gymnasium.Env[Any, Any], action: Any) -> None:
    env.reset(seed=0)
    observation, *_, info = env.step(action)
    assert observation in env.observation_space
    assert info["malformed"]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sql=st.text(max_size=60) | st.text(alphabet=st.characters(), max_size=30),
    tool=st.integers(0, 5),
    rude=st.booleans(),
)
@example(sql="SELECT '\ud800'", tool=0, rude=False)
@example(sql="SELECT '\x00'", tool=0, rude=False)
@example(sql="\x00", tool=3, rude=False)
@example(sql="SELECT '\ud800' FROM sqlite_master", tool=3, rude=False)
@example(sql="SELECT char(55296), x'ff', CAST(x'ff' AS TEXT)", tool=1, rude=False)
@example(sql="SELECT '" + "é" * 300_000 + "'", tool=2, rude=False)
@example(sql="(" * 5000, tool=3, rude=False)
@example(sql="SELECT " + "(" * 3000 + "1" + ")" * 3000 + " FROM sqlite_master", tool=2, rude=False)
def test_no_argument_of_a_tool_raises(env: gymnasium.Env[Any, Any], sql: str, tool: int, rude: bool) -> None:
    plain: Any = env.unwrapped
    if not plain.tools:
        return
    env.reset(seed=0)
    name = "no_such_tool" if rude else plain.tools[tool % len(plain.tools)]["function"]["name"]
    arguments = {"sql": sql, "tables": [sql], "columns": {sql: [sql]}}
    observation, *_, info = env.step(plain.tool_action(name, arguments))
    assert observation in env.observation_space
    json.dumps(info)
    observation.encode("utf-8") if isinstance(observation, str) else None
