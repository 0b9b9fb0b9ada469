"""The chat critic end to end on a real server: a tiny model that sees is taught to score steps, served, and asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean
from time import perf_counter
from typing import Any, NamedTuple

import pytest
from model_server import model_server, require_server

pytestmark = [pytest.mark.services, pytest.mark.timeout(600)]

ENV = "VisualTable-v0"
KINDS = ("value", "argmax", "argmin")


class Served(NamedTuple):
    """The server, the checkpoint, and where it had its lessons from.

    Attributes:
        url: Address of the server.
        model: Folder of the checkpoint.
        shown: Replies that it was taught about.
        seconds: That the lessons took.
    """

    url: str
    model: Path
    shown: Any
    seconds: float

    def client(self, cache: Path | None) -> Any:
        from fogline.core.chat import OpenAIChatModel

        # The most likely answer stays the same, however often it is asked for.
        options: dict[str, Any] = {"concurrency": 8, "max_retries": 1, "backoff_s": 0.01}
        return OpenAIChatModel(str(self.model), base_url=self.url, cache_dir=cache, **options)


def _tables(split: Any, per_level: int) -> Any:
    from fogline.simulators.tables.sources import load_tables

    return load_tables(level=(1, 3), kinds=KINDS, split=split, tasks_per_level=per_level, size="tiny")


def _environments(dataset: Any) -> Any:
    from fogline.envs.visual_table.env import VisualTableEnv

    return partial(VisualTableEnv, dataset, observation="image", size="tiny", prompt="short", gate="off")


def _played(dataset: Any, players: Sequence[str]) -> list[Any]:
    from fogline.agents.collector import collect_all
    from fogline.agents.registry import make_agent
    from fogline.agents.rollout import Assignment

    wanted = [Assignment(task, 3) for task in dataset.tasks]
    agents = [make_agent(name, ENV, dataset=dataset) for name in players]
    return [item for agent in agents for item in collect_all(_environments(dataset), agent, wanted, concurrency=64)]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    require_server()
    from taught_critic import lesson, teach_critic

    from fogline.trainers.table_critics import OracleCritic

    began = perf_counter()
    folder = tmp_path_factory.mktemp("critic")
    dataset = _tables("train", 600)
    shown = _played(dataset, ("oracle", "slippery", "hallucinator"))
    verdicts = OracleCritic(dataset, size="tiny").judge(shown)
    lessons = [lesson(*pair) for pair in zip(shown, verdicts, strict=True)]
    losses = teach_critic(folder / "model", lessons, [task.table for task in dataset])
    assert fmean(losses[-10:]) < 0.1 * losses[0]
    seconds = perf_counter() - began
    with model_server(folder) as url:
        yield Served(url, folder / "model", shown, seconds)


def test_a_real_server_scores_the_steps_that_it_is_shown_and_nothing_is_asked_again(
    served: Served, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    from fogline.trainers.chat_critics import ChatCritic
    from fogline.trainers.critics import CriticFault, Judgement
    from fogline.trainers.table_critics import OracleCritic

    dataset = _tables("test", 25)
    episodes = _played(dataset, ("oracle", "slippery"))

    def run() -> tuple[Any, Any, Any]:
        client = served.client(tmp_path)
        critic = ChatCritic(client, max_tokens=64)
        answers = critic.judge(episodes)
        critic.close()
        return answers, critic.report, client.meter

    began = perf_counter()
    answers, report, meter = run()
    seconds = perf_counter() - began
    said = [item for item in answers if isinstance(item, Judgement)]
    assert len(answers) == len(episodes) == report.episodes == 100
    assert sum(isinstance(item, CriticFault) for item in answers) == report.faults.total() == len(answers) - len(said)
    assert len(said) > 0.5 * len(episodes), "most of it was learned"
    assert meter.calls == meter.attempts == report.calls == report.episodes + report.repairs
    assert not meter.failures
    assert meter.prompt_tokens > 40 * report.calls, "of every picture 16, and the words"
    assert meter.completion_tokens > 5 * report.calls
    pairs = [
        (mine.score, known.score)
        for answer, truth in zip(answers, OracleCritic(dataset, size="tiny").judge(episodes), strict=True)
        if isinstance(answer, Judgement)
        for mine, known in zip(answer.steps, truth.steps, strict=True)
    ]
    agreement = fmean((mine >= 0.5) == (known >= 0.5) for mine, known in pairs)
    assert agreement > 0.8
    again, _, quiet = run()
    assert quiet.attempts == 0, "0 calls on the wire in a repeated run"
    assert quiet.calls == quiet.cache_hits == report.calls
    assert [getattr(item, "steps", None) for item in again] == [getattr(item, "steps", None) for item in answers]
    record_property("seconds of teaching", round(served.seconds, 1))
    record_property("seconds of asking", round(seconds, 1))
    record_property("calls", report.calls)
    record_property("repairs", report.repairs)
    record_property("faults", dict(report.faults))
    record_property("tokens", (meter.prompt_tokens, meter.completion_tokens))
    record_property("agreement with the oracle", round(agreement, 3))
    wrong = [mine for mine, known in pairs if known < 0.5]
    record_property("steps that do not hold, and found", (len(wrong), sum(mine < 0.5 for mine in wrong)))


def test_an_update_learns_from_its_scores_and_leaves_out_what_it_cannot_say(
    served: Served,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> None:
    from taught_critic import taught_player

    from fogline.trainers.chat_critics import ChatCritic
    from fogline.trainers.config import RolloutConfig, TrainConfig
    from fogline.trainers.recipes import make_recipe
    from fogline.trainers.table_critics import reply_of
    from fogline.trainers.trainer import Trainer

    began = perf_counter()
    policy = taught_player(served.shown[::9])
    taught = perf_counter() - began
    client = served.client(None)
    # Room for the scores of a lookup, which has three steps; those of a search are cut, twice.
    critic = ChatCritic(client, max_tokens=10)
    config = TrainConfig(
        recipe="pgpo", env=ENV, rollout=RolloutConfig(tasks_per_update=6, group_size=4), out=str(tmp_path)
    )
    dataset = _tables("test", 25)
    recipe = make_recipe("pgpo", filter_on="none", step_credit=0.5)
    run = Trainer(policy, recipe, config, _environments(dataset), tuple(dataset.tasks), critic=critic)
    play, rounds = run.rollouts.play, []

    def noted(recipe: Any) -> Any:
        rounds.append(play(recipe))
        return rounds[-1]

    monkeypatch.setattr(run.rollouts, "play", noted)
    before = [weight.detach().clone() for weight in policy.module.parameters()]
    row = run.step()
    run.close()
    critic.close()
    (played,) = rounds
    report, meter = critic.report, client.meter
    assert len(played.episodes) == 24
    failed = [item for item in played.episodes if not item.scored]
    assert 0 < len(failed) == report.faults.total() < len(played.episodes)
    assert {(item.status, item.failure.kind, item.reward) for item in failed} == {("infra_error", "CriticFault", None)}
    valid, judged = played.batch.valid, played.batch.critic
    assert int((~valid).sum()) == len(failed)
    assert not judged.mask[~valid].any(), "no step of theirs has a score, not even 0"
    counts = [len(reply_of(item).steps) for item in played.episodes if item.scored]
    assert sorted(judged.mask[valid].sum(1).tolist()) == sorted(counts)
    assert report.episodes == sum(bool(reply_of(item).steps) for item in played.episodes)
    assert meter.calls == report.calls == report.episodes + report.repairs
    assert row["learning_rate"] > 0
    assert any((old != new).any() for old, new in zip(before, policy.module.parameters(), strict=True))
    record_property("seconds of teaching the player", round(taught, 1))
    record_property("seconds of the update", round(row["play_s"] + row["learn_s"], 1))
    record_property("calls", report.calls)
    record_property("repairs", report.repairs)
    record_property("faults", dict(report.faults))
    record_property("tokens", (meter.prompt_tokens, meter.completion_tokens))
