"""Same seed, same call, byte for byte: whatever runs beside it, wherever it runs."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from fogline.agents.collector import collect_all
from fogline.agents.environments import make_environment
from fogline.agents.registry import make_agent
from fogline.core.engine import make_engine
from fogline.core.episode import Episode
from fogline.envs.sales_dialogue import env as env_module
from fogline.envs.sales_dialogue import phrases
from fogline.envs.sales_dialogue.env import SalesDialogueEnv
from fogline.envs.sales_dialogue.rewards import SellerHistory
from fogline.simulators.customers.speech import read_afresh

NAME = "SalesDialogue-v0"
TASKS = [(f"{domain}/{number:04d}", number) for number in range(4) for domain in ("mobile-plan", "solar-panels")]
OPTIONS: tuple[dict[str, Any], ...] = (
    {},
    {"actions": "acts"},
    {"variant": "impulsive", "claims_without_doing": 0.5, "disclose_ai": False, "session": "graded"},
)


def written(episodes: list[Episode]) -> str:
    """Everything of the calls but how long they took."""
    rows = [{**episode.to_json(), "usage": None} for episode in episodes]
    return json.dumps(rows, sort_keys=True)


def digest(options: dict[str, Any], agent: str = "scripted") -> str:
    episodes = collect_all(partial(make_environment, NAME, options), make_agent(agent, NAME), TASKS, concurrency=1)
    return hashlib.sha256(written(episodes).encode()).hexdigest()


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_calls_beside_other_calls_and_in_other_processes_are_the_same(options: dict[str, Any]) -> None:
    make, agent = partial(make_environment, NAME, options), make_agent("random-acts", NAME)
    alone = written(collect_all(make, agent, TASKS, concurrency=1))
    assert written(collect_all(make, agent, TASKS, concurrency=8)) == alone
    assert written(collect_all(make, agent, list(reversed(TASKS)), concurrency=3)[::-1]) == alone
    with make_engine("process", 2) as engine:
        assert written(collect_all(make, agent, TASKS, engine=engine, chunk=3)) == alone


def test_a_call_in_steps_between_those_of_other_games_is_the_same() -> None:
    words = ["Good day to you.", "How do you manage it today?", "Imagine no more trouble.", "Shall we go ahead today?"]

    def run(*others: gymnasium.Env[Any, Any]) -> list[str]:
        env = SalesDialogueEnv()
        for number, other in enumerate(others):
            other.reset(seed=number)
        told = [env.reset(seed=11, options={"task_id": "home-internet/0003"})[0]]
        for word in words:
            for other in others:
                if other.step(other.action_space.sample())[2:4] != (False, False):
                    other.reset()
            told.append(env.step(word)[0])
        return told

    others = (SalesDialogueEnv(variant="sceptical"), SalesDialogueEnv(actions="acts"), gymnasium.make("CartPole-v1"))
    assert run() == run(*others) == run()


def test_the_hash_seed_of_the_interpreter_decides_nothing() -> None:
    code = "import test_determinism as t; print([t.digest(o) for o in t.OPTIONS])"
    folder = str(Path(__file__).parent)
    running = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": folder},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in ("0", "1", "4242")
    ]
    printed = {process.communicate(timeout=120)[0].strip() for process in running}
    assert printed == {str([digest(options) for options in OPTIONS])}


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_vectors_play_the_calls_of_single_environments(mode: str) -> None:
    extra = {"vector_kwargs": {"shared_memory": False}} if mode == "async" else {}
    vector = gymnasium.make_vec(f"fogline.envs:{NAME}", num_envs=3, vectorization_mode=mode, **extra)
    singles = [SalesDialogueEnv() for _ in range(3)]
    words = ["Good day to you.", "How do you manage it today?", "Shall we go ahead today?"]
    try:
        observations, _ = vector.reset(seed=[5, 6, 7])
        assert list(observations) == [env.reset(seed=seed)[0] for env, seed in zip(singles, (5, 6, 7), strict=True)]
        for word in words:
            observations, rewards, *_ = vector.step([word] * 3)
            steps = [env.step(word) for env in singles]
            assert list(observations) == [step[0] for step in steps]
            assert list(rewards) == [step[1] for step in steps]
    finally:
        vector.close()


def test_the_calls_to_come_do_not_depend_on_what_is_said_in_this_one() -> None:
    env = SalesDialogueEnv(actions="acts")

    def following(actions: list[Any]) -> list[Any]:
        env.reset(seed=2)
        for action in actions:
            env.step(action)
        return [env.reset()[1] for _ in range(3)]

    assert following([]) == following([(0, 0), (2, 1)]) == following([(3, 0), None, (9, 0)])


def test_tasks_that_are_played_with_one_seed_do_not_share_their_luck() -> None:
    env = SalesDialogueEnv(actions="acts", domain="mobile-plan")
    first = {env.reset(seed=0, options={"task_id": task_id})[1]["reply"] for task_id in env.task_ids}
    assert len(first) > 5


def test_groups_of_one_task_differ_by_their_seeds() -> None:
    env = SalesDialogueEnv(actions="acts")
    calls = set()
    for seed in range(8):
        told = [env.reset(seed=seed, options={"task_id": "mobile-plan/0001"})[1]["reply"]]
        told += [env.step(np.array([act, 0]))[4]["reply"] for act in (0, 1, 2)]
        calls.add(tuple(told))
    assert len(calls) > 4


def test_what_is_remembered_changes_no_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    """Readings, comparisons and phrases are remembered for speed; made afresh each time they give the same calls."""
    agent, make = make_agent("random-acts", NAME), partial(make_environment, NAME, {"actions": "acts"})
    tasks = [(task_id, seed) for seed, task_id in enumerate(SalesDialogueEnv().task_ids[::6])]
    remembered = written(collect_all(make, agent, tasks))
    made: list[str] = []

    def afresh(text: str, card: Any) -> Any:
        made.append(text)
        return read_afresh(text, card)

    monkeypatch.setattr(env_module, "read", afresh)
    monkeypatch.setattr(env_module, "SellerHistory", lambda remember: SellerHistory(remember=False))
    monkeypatch.setattr(phrases, "_realise", phrases._realise.__wrapped__)
    assert written(collect_all(make, agent, tasks)) == remembered
    assert len(made) > 3 * len(tasks)
