from __future__ import annotations

import asyncio
import doctest
import importlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from bridged import TEXT_WORLDS, native, played, rewards
from requirement import unavailable
from unsteady import Outages

from fogline.core.errors import MissingDependencyError
from fogline.trainers.bridges.session import Session

pytestmark = [pytest.mark.services, pytest.mark.timeout(600)]

try:
    bridge = importlib.import_module("fogline.trainers.bridges.verifiers")
except MissingDependencyError as missing:
    bridge = None
    REASON = str(missing)


@pytest.fixture(autouse=True)
def verifiers_is_installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    if bridge is None:
        unavailable("verifiers", REASON)
    # Its programs talk to servers of their own on this machine only.
    monkeypatch.setenv("FOGLINE_TEST_KEY", "none")
    Outages.left = 0
    yield
    Outages.left = 0


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The module that a user writes, by whose name verifiers finds taskset and environment."""
    names = ["FoglineEnv", "FoglineTaskset"]
    text = f"from fogline.trainers.bridges.verifiers import {', '.join(names)}\n__all__ = {names}\n"
    (tmp_path / "my_fogline.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    yield "my-fogline"
    sys.modules.pop("my_fogline", None)


class Speaker:
    """A chat server on loopback that says what it was given, by what opened the conversation and how far it is.

    Where nothing is left to say it is out of order.
    """

    def __init__(self, lines: Mapping[str, Sequence[str]]) -> None:
        self._lines = lines
        self.url = ""

    async def __aenter__(self) -> Speaker:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._reply)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _reply(self, request: web.Request) -> web.Response:
        asked = await request.json()
        messages = asked["messages"]
        opened = next(str(item["content"]) for item in messages if item["role"] == "user")
        said = sum(item["role"] == "assistant" for item in messages)
        if said == len(self._lines[opened]):
            return web.json_response({"error": {"message": "out of order"}}, status=500)
        message = {"role": "assistant", "content": self._lines[opened][said]}
        body = {
            "id": "1",
            "object": "chat.completion",
            "created": 1,
            "model": asked["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        }
        return web.json_response(body)


async def run(module: str, taskset: Mapping[str, Any], lines: Mapping[str, Sequence[str]], rollouts: int) -> list[Any]:
    """Load the environment as verifiers' own commands do, and play every task ``rollouts`` times."""
    import verifiers.v1 as vf
    from verifiers.v1.clients import ModelContext
    from verifiers.v1.utils.loaders import load_environment, resolve_env_config

    config = resolve_env_config({"taskset": {"id": module, **taskset}})
    env = load_environment(config)
    assert type(env) is bridge.FoglineEnv
    async with Speaker(lines) as speaker, env.serving():
        client = vf.EvalClientConfig(base_url=speaker.url, api_key_var="FOGLINE_TEST_KEY")
        context = ModelContext(model="speaker", client=client)
        slots = [slot for task in env.taskset for slot in env.slots(task, rollouts)]
        return list(await asyncio.gather(*(env.run_slot(slot, context) for slot in slots)))


def lines_of(env_id: str, keywords: Mapping[str, Any], task_id: str, agent: str, seeds: int) -> dict[str, list[str]]:
    session = Session(env_id, keywords)
    said = {}
    for seed in range(seeds):
        episode = played(env_id, keywords, task_id, agent, seed)
        said[session.reset(task_id, seed)] = [turn.action for turn in episode.turns]
    session.close()
    return said


@pytest.mark.parametrize(("env_id", "keywords", "task_id", "agent"), TEXT_WORLDS)
def test_rollouts_pay_the_native_rewards_with_seeds_of_their_own(
    module: str, env_id: str, keywords: Mapping[str, Any], task_id: str, agent: str
) -> None:
    lines = lines_of(env_id, keywords, task_id, agent, seeds=2)
    taskset = {"env_id": env_id, "env_kwargs": dict(keywords), "task_ids": [task_id]}
    episodes = asyncio.run(run(module, taskset, lines, rollouts=2))
    seeds = []
    for episode in episodes:
        assert episode.ok, episode.errors
        (trace,) = episode.traces
        told = trace.info["fogline"]
        said = [str(node.message.content) for node in trace.nodes if node.sampled]
        expected = native(env_id, keywords, task_id, told["seed"], said)
        assert told["rewards"] == rewards(expected)
        assert trace.reward == expected.reward
        assert told["status"] == expected.status
        seeds.append(told["seed"])
    assert sorted(seeds) == [0, 1]


def test_an_outage_is_an_error_of_the_episode_and_no_reward(module: str) -> None:
    Outages.left = 3
    opened = Session("unsteady:make").reset("one", 0)
    taskset = {"env_id": "unsteady:make", "task_ids": ["one"]}
    (lost,) = asyncio.run(run(module, taskset, {opened: ["word"] * 3}, rollouts=1))
    assert not lost.ok
    assert "no answer" in str(lost.errors)
    assert [trace.rewards for trace in lost.traces] == [{}]
    (sound,) = asyncio.run(run(module, taskset, {opened: ["word"] * 3}, rollouts=1))
    assert sound.ok
    assert sound.traces[0].reward == pytest.approx(1.2)


@pytest.mark.parametrize("lines", [[], ["word"]])
def test_a_player_whose_model_breaks_has_no_reward(module: str, lines: list[str]) -> None:
    opened = Session("unsteady:make").reset("one", 0)
    taskset = {"env_id": "unsteady:make", "task_ids": ["one"]}
    (lost,) = asyncio.run(run(module, taskset, {opened: lines}, rollouts=1))
    assert not lost.ok
    (trace,) = lost.traces
    assert trace.errors
    assert trace.rewards == {}
    assert trace.info["fogline"]["status"] == "infra_error"


def test_white_space_is_part_of_what_is_said(module: str) -> None:
    opened = Session("unsteady:make").reset("one", 0)
    said = ["  word\n", "word", "\n"]
    taskset = {"env_id": "unsteady:make", "task_ids": ["one"]}
    (episode,) = asyncio.run(run(module, taskset, {opened: said}, rollouts=1))
    expected = native("unsteady:make", {}, "one", 0, said)
    assert episode.traces[0].info["fogline"]["rewards"] == rewards(expected)


def test_the_example_of_the_bridge_runs() -> None:
    assert doctest.testmod(bridge).failed == 0
