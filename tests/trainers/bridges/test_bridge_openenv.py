from __future__ import annotations

import doctest
import importlib
import json
import multiprocessing
import socket
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from bridged import TEXT_WORLDS, played, rewards
from requirement import unavailable
from unsteady import Outages

from fogline.agents.environments import make_environment
from fogline.core.errors import ConfigurationError, MissingDependencyError
from fogline.trainers.bridges.session import Session

pytestmark = [pytest.mark.services, pytest.mark.timeout(600)]

try:
    bridge = importlib.import_module("fogline.trainers.bridges.openenv")
except MissingDependencyError as missing:
    bridge = None
    REASON = str(missing)


@pytest.fixture(autouse=True)
def openenv_is_installed() -> None:
    if bridge is None:
        unavailable("openenv", REASON)


SILO = {"n_agents": 3, "actions": "text", "max_rounds": 2}
NUMBERS = (("MerchantStrategy-v0", {"horizon": 4}), ("SalesDialogue-v0", {"actions": "acts"}))
WORLDS = (*((env_id, keywords) for env_id, keywords, _, _ in TEXT_WORLDS), *NUMBERS, ("SiloBench-v0", SILO))


def serve(worlds: Sequence[tuple[int, str, Mapping[str, Any]]], outages: int) -> None:
    """Body of the servers' process: a server of its own for each world."""
    import asyncio

    import uvicorn

    Outages.left = outages

    async def all_of_them() -> None:
        configs = [
            uvicorn.Config(bridge.server(env_id, keywords), host="127.0.0.1", port=port, log_level="warning")
            for port, env_id, keywords in worlds
        ]
        await asyncio.gather(*(uvicorn.Server(config).serve() for config in configs))

    asyncio.run(all_of_them())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


Served = Callable[[str, Mapping[str, Any]], str]


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    """One process that serves every world on loopback; the address of each."""
    if bridge is None:
        unavailable("openenv", REASON)
    worlds = [(free_port(), env_id, dict(keywords)) for env_id, keywords in (*WORLDS, ("unsteady:make", {}))]
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(worlds, 3))
    process.start()
    try:
        for port, _, _ in worlds:
            wait_for(process, f"http://127.0.0.1:{port}/health")
        yield lambda env_id, keywords: next(
            f"http://127.0.0.1:{port}" for port, *world in worlds if world == [env_id, dict(keywords)]
        )
    finally:
        process.terminate()
        process.join(20)


def wait_for(process: Any, address: str) -> None:
    for _ in range(600):
        assert process.is_alive(), "the server ended"
        try:
            with urllib.request.urlopen(address, timeout=1) as answer:
                assert answer.status == 200
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError("the server did not come up")


@pytest.mark.parametrize(("env_id", "keywords", "task_id", "agent"), TEXT_WORLDS)
def test_a_served_episode_pays_the_native_rewards(
    served: Served, env_id: str, keywords: Mapping[str, Any], task_id: str, agent: str
) -> None:
    native = played(env_id, keywords, task_id, agent, seed=5)
    session = Session(env_id, keywords)
    opening = session.reset(task_id, 5)
    with bridge.FoglineClient(base_url=served(env_id, keywords)).sync() as client:
        begun = client.reset(seed=5, task_id=task_id)
        assert begun.observation.text == opening
        assert begun.observation.system_prompt == session.system_prompt
        results = [client.step(bridge.FoglineAction(text=turn.action)) for turn in native.turns]
        assert client.state().step_count == len(native.turns)
    session.close()
    assert [result.reward for result in results] == rewards(native)
    assert [result.done for result in results] == [False] * (len(results) - 1) + [True]
    assert results[-1].observation.status == native.status
    assert results[-1].observation.outcome == dict(native.outcome)


def test_arrays_travel_without_loss(served: Served) -> None:
    for env_id, keywords in NUMBERS:
        env = make_environment(env_id, keywords)
        task_id = env.unwrapped.task_ids[0]
        env.action_space.seed(3)
        with bridge.FoglineClient(base_url=served(env_id, keywords)).sync() as client:
            seen, _ = env.reset(seed=2, options={"task_id": task_id})
            told = client.reset(seed=2, task_id=task_id)
            for _ in range(4):
                np.testing.assert_array_equal(told.observation.value, seen)
                action = env.action_space.sample()
                seen, reward, terminated, truncated, _ = env.step(action)
                told = client.step(bridge.FoglineAction(value=action))
                assert (told.reward, told.done) == (reward, terminated or truncated)
                if told.done:
                    break
        env.close()


def test_all_seats_of_silo_bench_are_one_mapping(served: Served) -> None:
    session = Session("SiloBench-v0", SILO, text=False)
    seats = list(session.reset("I-01/0", 4))
    expected = [session.step(dict.fromkeys(seats, "hello")) for _ in range(2)]
    with bridge.FoglineClient(base_url=served("SiloBench-v0", SILO)).sync() as client:
        assert client.reset(seed=4, task_id="I-01/0").observation.text is None
        results = [client.step(bridge.FoglineAction(value=dict.fromkeys(seats, "hello"))) for _ in range(2)]
    assert [(result.reward, result.done) for result in results] == [(one.reward, one.done) for one in expected]


def test_a_group_without_seeds_has_distinct_ones(served: Served) -> None:
    seeds = []
    for _ in range(3):
        with bridge.FoglineClient(base_url=served("MathReasoning-v0", {})).sync() as client:
            client.reset(task_id="arithmetic-01-0004")
            seeds.append(client.state().seed)
    assert seeds == [0, 1, 2]


def test_an_outage_has_no_reward_and_a_mistake_is_an_error(served: Served) -> None:
    with bridge.FoglineClient(base_url=served("unsteady:make", {})).sync() as client:
        client.reset(seed=0, task_id="one")
        client.step(bridge.FoglineAction(text="word"))
        lost = client.step(bridge.FoglineAction(text="word"))
        assert (lost.reward, lost.done, lost.observation.status) == (None, True, "infra_error")
        assert "no answer" in lost.observation.failure
        with pytest.raises(RuntimeError, match="reset"):
            client.step(bridge.FoglineAction(text="word"))
        with pytest.raises(RuntimeError, match="not a task"):
            client.reset(seed=0, task_id="three")


def test_tasks_and_schemas_are_discovered(served: Served) -> None:
    environment = bridge.FoglineEnvironment("unsteady:make")
    assert environment.list_splits() == ["all"]
    assert environment.num_tasks("all") == 2
    assert environment.get_task("all", 1) == {"id": "two", "index": 1}
    assert environment.list_tasks("all") == environment.get_task_range("all", 0, 2)
    assert environment.reset(seed=0, index=1).text.startswith("two")
    with pytest.raises(ConfigurationError, match="split"):
        environment.num_tasks("train")
    environment.close()
    with urllib.request.urlopen(f"{served('unsteady:make', {})}/schema", timeout=10) as answer:
        assert set(json.load(answer)["action"]["properties"]) >= {"text", "value"}


def test_the_example_of_the_bridge_runs() -> None:
    assert doctest.testmod(bridge).failed == 0
