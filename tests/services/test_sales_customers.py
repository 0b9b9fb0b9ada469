"""Customers that speak through a real server: a tiny model is taught to play them, served, and called 200 times."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import pytest
from model_server import model_server, require_server

pytestmark = [pytest.mark.services, pytest.mark.timeout(900)]

DIALOGUES = 200
STOP_AFTER = 70
PER_PRODUCT = 25


class Taught(NamedTuple):
    """The server and the checkpoint of each kind of customer."""

    url: str
    models: Mapping[str, Path]


class Stopped(Exception):
    """Somebody pulled the plug."""


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Taught]:
    require_server()
    from taught_customer import calls, played, teach, worded

    folder = tmp_path_factory.mktemp("taught")
    told = calls(scenarios=30, seeds=1, max_turns=12)
    models = {"model": folder / "played", "worded": folder / "worded"}
    losses = teach(models["model"], [played(*call) for call in told], epochs=8, rows=2)
    assert fmean(losses[-20:]) < 0.2 * losses[0]
    losses = teach(models["worded"], [lesson for call in told for lesson in worded(*call)], epochs=3, rows=16)
    assert fmean(losses[-20:]) < 0.3 * losses[0]
    with model_server(folder) as url:
        yield Taught(url, models)


def configuration(taught: Taught, kind: str, store: Path) -> Any:
    from fogline.benchmarks.evaluation import EvalConfig

    return EvalConfig(
        env="SalesDialogue-v0",
        agent="hurried_seller:HurriedSeller",
        env_kwargs={
            "customer": kind,
            "model": str(taught.models[kind]),
            "base_url": taught.url,
            "chat_options": {"temperature": 0.5, "max_tokens": 48},
            "split": "test",
            "scenarios": PER_PRODUCT,
        },
        concurrency=16,
        store=str(store),
    )


def stop_after(episodes: int) -> Callable[[Any], None]:
    def progress(now: Any) -> None:
        if now.done >= episodes:
            raise Stopped

    return progress


@pytest.mark.parametrize("kind", ["worded", "model"])
def test_two_hundred_dialogues_survive_a_stop_in_the_middle(
    taught: Taught, kind: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    from fogline.benchmarks.evaluation import evaluate, make_plan
    from fogline.core.store import RunStore

    config = configuration(taught, kind, tmp_path / "calls.db")
    plan = make_plan(config)
    wanted = sorted(tuple(task) for task in plan.assignments())
    assert len(wanted) == DIALOGUES

    with pytest.raises(Stopped):
        evaluate(config, progress=stop_after(STOP_AFTER))
    assert not any(thread.name == "fogline-chat" for thread in threading.enumerate())
    report = evaluate(config)
    assert STOP_AFTER <= report.reused < DIALOGUES
    assert report.played + report.reused == DIALOGUES
    with closing(RunStore(config.store)) as store:
        stored = [item.episode for item in store.episodes(cell_key=report.cell_key)]

    # None lost, none twice.
    assert sorted((episode.task_id, episode.seed) for episode in stored) == wanted
    check_transcripts(stored)
    check_conversions(stored)
    faults = [episode for episode in stored if episode.failure is not None]
    assert {episode.failure.kind for episode in faults} <= {"SimulatorFault"}
    rate = len(faults) / DIALOGUES
    record_property("simulator_fault_rate", rate)
    record_property("wall_s", report.wall_s)
    retried = sum(episode.usage.retries for episode in stored)
    spoken = sum(episode.usage.model_calls for episode in stored)
    converted = fmean(episode.outcome.get("conversion", 0.0) for episode in stored if episode.scored)
    print(
        f"\n{kind}: fault rate {rate:.3f}, replies asked for again {retried}/{spoken}, conversion {converted:.2f}, "
        f"{report.wall_s:.0f} s for {report.played} dialogues"
    )
    assert rate <= 0.1
    if kind == "worded":
        check_that_rules_decided(stored)


def check_transcripts(stored: list[Any]) -> None:
    """Every turn is there in words, and what the customer's model took is counted."""
    for episode in stored:
        if not episode.scored:
            assert episode.reward is None
            continue
        shown = [turn.observation for turn in episode.turns]
        assert all("Customer: " in text for text in (*shown, episode.final_observation))
        assert all(isinstance(turn.action, str) and turn.action for turn in episode.turns)
        assert episode.usage.model_calls >= len(episode.turns) + 1
        assert episode.usage.prompt_tokens > 0
        assert episode.usage.completion_tokens > 0


def check_conversions(stored: list[Any]) -> None:
    """Some buy, some do not, and nobody who cannot be won."""
    from fogline.simulators.customers.scenarios import scenario_of

    outcomes = {episode.task_id: episode.outcome["conversion"] for episode in stored if episode.scored}
    assert set(outcomes.values()) == {0.0, 1.0}
    assert all(scenario_of(task).is_buyer for task, converted in outcomes.items() if converted)


def check_that_rules_decided(stored: list[Any]) -> None:
    """The seller of this test hears acts and no words: with rules alone each call goes the same way."""
    from functools import partial

    from hurried_seller import HurriedSeller

    from fogline.agents.collector import collect_all
    from fogline.agents.environments import make_environment

    env = partial(make_environment, "SalesDialogue-v0", {"split": "test", "scenarios": PER_PRODUCT})
    scored = [episode for episode in stored if episode.scored]
    again = collect_all(env, HurriedSeller(), [(episode.task_id, episode.seed) for episode in scored])
    assert [episode.outcome for episode in again] == [episode.outcome for episode in scored]
    same = [
        [turn.action for turn in one.turns] == [turn.action for turn in other.turns]
        for one, other in zip(again, scored, strict=True)
    ]
    assert all(same)
    assert any(one.final_observation != other.final_observation for one, other in zip(again, scored, strict=True))


def test_the_server_samples_as_it_is_asked_to(taught: Taught) -> None:
    import asyncio

    from fogline.core.chat import OpenAIChatModel
    from fogline.simulators.customers.sampling import check_sampling

    async def run() -> None:
        async with OpenAIChatModel(str(taught.models["worded"]), base_url=taught.url) as model:
            report = await check_sampling(model)
        assert report.distinct > 1

    asyncio.run(run())
