"""Critics of steps: what they say, what is refused, and how a batch and PGPO take it."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from fogline.agents.collector import collect_all
from fogline.agents.policies.language import CausalLMPolicy
from fogline.agents.policies.tiny import episode_texts, fit_tokenizer, tiny_causal_lm
from fogline.agents.registry import make_agent
from fogline.agents.rollout import Assignment
from fogline.core.episode import Episode, Failure
from fogline.core.errors import ConfigurationError, DataError, InfrastructureError
from fogline.envs.visual_table.env import VisualTableEnv
from fogline.simulators.tables.records import TableDataset
from fogline.simulators.tables.sources import load_tables
from fogline.trainers.batch import Batch, batch_of
from fogline.trainers.config import RolloutConfig, TrainConfig
from fogline.trainers.critics import CriticFault, Judgement, StepScore, judged
from fogline.trainers.process import process_score, step_credit
from fogline.trainers.recipes import make_recipe
from fogline.trainers.setup import open_critic
from fogline.trainers.table_critics import OracleCritic
from fogline.trainers.trainer import Trainer

ENV = "VisualTable-v0"


@pytest.fixture(scope="module")
def dataset() -> TableDataset:
    return load_tables(level=(1, 3), kinds=("value", "argmax"), tasks_per_level=6, size="tiny")


def factory(dataset: TableDataset, **options: Any) -> Any:
    return partial(
        VisualTableEnv,
        dataset,
        **{"observation": "symbols", "size": "tiny", "prompt": "short", "gate": "off"} | options,
    )


def played(dataset: TableDataset, agent: str, **options: Any) -> list[Episode]:
    player = make_agent(agent, ENV, dataset=dataset, **options)
    return collect_all(factory(dataset), player, [Assignment(task, 3) for task in dataset.tasks])


@pytest.fixture(scope="module")
def episodes(dataset: TableDataset) -> list[Episode]:
    return [item for agent in ("oracle", "hallucinator", "guesser", "slippery") for item in played(dataset, agent)]


# The oracle


def test_the_oracle_says_what_the_environment_says(dataset: TableDataset, episodes: list[Episode]) -> None:
    for episode, judgement in zip(episodes, OracleCritic(dataset).judge(episodes), strict=True):
        assert judgement.process == episode.outcome["process"]
        assert sum(step.score for step in judgement.steps) == pytest.approx(
            episode.metrics["precision"] * episode.metrics["steps"]
        )
        assert judgement.anchored == (episode.metrics["anchors"] > episode.metrics["misplaced"])
        action = episode.turns[0].action
        assert all(
            action[slice(*step.place)].split()[0] in ("find", "read", "pick", "calc") for step in judgement.steps
        )


def test_an_oracle_that_errs_turns_that_share_of_verdicts_and_always_the_same(
    dataset: TableDataset, episodes: list[Episode]
) -> None:
    right = OracleCritic(dataset).judge(episodes)
    first, again, other = (OracleCritic(dataset, flip=0.2, seed=seed).judge(episodes) for seed in (0, 0, 1))
    assert first == again != other
    pairs = [
        (one.score, two.score)
        for before, after in zip(right, first, strict=True)
        for one, two in zip(before.steps, after.steps, strict=True)
    ]
    share = sum(one != two for one, two in pairs) / len(pairs)
    assert share == pytest.approx(0.2, abs=4 * math.sqrt(0.16 / len(pairs)))
    turned = OracleCritic(dataset, flip=1.0).judge(episodes)
    assert all(
        a.score == 1 - b.score
        for x, y in zip(right, turned, strict=True)
        for a, b in zip(x.steps, y.steps, strict=True)
    )
    assert all(0 <= item.process <= 1 for item in (*first, *turned) if item.process is not None)


def test_an_oracle_of_another_data_set_or_game_is_refused(dataset: TableDataset, episodes: list[Episode]) -> None:
    other = load_tables(level=2, tasks_per_level=1)
    with pytest.raises(ConfigurationError, match="hand it the data set"):
        OracleCritic(other).judge(episodes[:1])
    with pytest.raises(ConfigurationError, match=r"flip=1\.5"):
        OracleCritic(dataset, flip=1.5)
    strange = replace(episodes[0], turns=(episodes[0].turns[0]._replace(action=3),))
    with pytest.raises(ConfigurationError, match="int"):
        OracleCritic(dataset).judge([strange])


# What is refused, and what leaves the batch


class Scripted:
    """Answers the same of every episode."""

    name = "scripted"

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def judge(self, episodes: Sequence[Episode]) -> list[Any]:
        return [self._answer] * len(episodes) if not callable(self._answer) else self._answer(episodes)


def steps(*scores: float) -> tuple[StepScore, ...]:
    return tuple(StepScore(score) for score in scores)


@pytest.mark.parametrize("wrong", [math.nan, -0.01, 1.01, math.inf])
def test_a_score_that_is_none_is_an_error_with_its_name(episodes: list[Episode], wrong: float) -> None:
    for answer in (Judgement(steps(1.0, wrong), True), Judgement(steps(1.0), True, process=wrong)):
        with pytest.raises(DataError, match=f"'scripted'.*{episodes[0].task_id}.*from 0 to 1"):
            judged(Scripted(answer), episodes)


def test_a_critic_that_skips_episodes_is_an_error(episodes: list[Episode]) -> None:
    with pytest.raises(DataError, match="judged 1 of 48"):
        judged(Scripted(lambda asked: [Judgement((), False)]), episodes)


def test_an_episode_without_a_judgement_is_a_failure_and_no_zero(episodes: list[Episode]) -> None:
    found = judged(Scripted(CriticFault("it said 'maybe'")), episodes[:2])
    for item in found:
        assert item.judgement is None
        assert item.episode.status == "infra_error"
        assert item.episode.reward is None
        assert item.episode.failure == Failure("CriticFault", "it said 'maybe'")


def test_unscored_episodes_are_not_asked_about(episodes: list[Episode]) -> None:
    broken = replace(episodes[0], status="env_error", failure=Failure("X", "y"))
    asked: list[Episode] = []

    def judge(shown: Sequence[Episode]) -> list[Judgement]:
        asked.extend(shown)
        return [Judgement(steps(1.0), True)] * len(shown)

    found = judged(Scripted(judge), [broken, episodes[1]])
    assert asked == [episodes[1]]
    assert [item.judgement is None for item in found] == [True, False]
    two = replace(episodes[0], seats=("a", "b"))
    with pytest.raises(ConfigurationError, match="one seat"):
        judged(Scripted(judge), [two])
    assert judged(None, episodes)[0].judgement is None


# Rows of a batch


@pytest.fixture(scope="module")
def policy(episodes: list[Episode]) -> CausalLMPolicy:
    tokenizer = fit_tokenizer(episode_texts(episodes), vocabulary_size=256)
    model = tiny_causal_lm(tokenizer, layers=1, width=32, context=256, induction=False)
    return CausalLMPolicy(model, tokenizer, rules=False, max_new_tokens=60)


@pytest.fixture(scope="module")
def batch(dataset: TableDataset, episodes: list[Episode], policy: CausalLMPolicy) -> Batch:
    found = OracleCritic(dataset).judge(episodes)
    shown = sorted(zip(episodes, found, strict=True), key=lambda pair: pair[0].task_id)
    return batch_of(
        [policy.transcribe(episode) for episode, _ in shown], policy, judgements=[item for _, item in shown]
    )


def test_tokens_know_their_step(batch: Batch, policy: CausalLMPolicy) -> None:
    rows = batch.critic
    assert rows is not None
    for row in range(len(batch)):
        written = batch.policy_mask[row]
        ids, place = batch.tokens[row, written], rows.token_step[row, written]
        assert (rows.token_step[row, ~written] == -1).all()
        assert place.max() == rows.mask[row].sum() - 1
        assert (place[place >= 0].diff() >= 0).all()
        for step in range(int(rows.mask[row].sum())):
            text = policy.tokenizer.decode(ids[place == step])
            assert any(word in text for word in ("find", "read", "pick", "calc")) and "answer>" not in text[:-9]


def test_a_batch_with_judgements_can_be_cut_and_moved(batch: Batch) -> None:
    part = batch.select(torch.tensor([3, 1])).trimmed()
    assert part.critic is not None and batch.critic is not None
    assert part.critic.token_step.shape == part.tokens.shape
    torch.testing.assert_close(part.critic.score, batch.critic.score[[3, 1]])
    assert batch.to("cpu").critic is not None


# PGPO listens


def gated(batch: Batch, **options: Any) -> torch.Tensor:
    gate = make_recipe("pgpo", **options).gate
    assert gate is not None
    return gate(batch)


def test_a_finished_score_is_taken_and_steps_are_aggregated_where_there_is_none(batch: Batch) -> None:
    rows = batch.critic
    assert rows is not None
    torch.testing.assert_close(gated(batch), gated(replace(batch, critic=None)))
    open_rows = replace(rows, process=torch.full_like(rows.process, math.nan))
    for aggregation in ("mean", "min", "prod", "last"):
        score = process_score(rows.score, rows.mask, rows.anchored, aggregation, 0.3)
        expected = score * (0.9 * batch.session["correct"] + 0.1 * batch.session["well_formed"])
        found = gated(replace(batch, critic=open_rows), step_aggregation=aggregation, shortcut_cap=0.3)
        torch.testing.assert_close(found, expected)
    assert not torch.allclose(gated(replace(batch, critic=open_rows)), gated(batch))


def test_step_credit_is_what_it_says_by_hand() -> None:
    score = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.5, 0.0]], dtype=torch.float64)
    mask = torch.tensor([[True, True], [True, False], [True, False]])
    places = torch.tensor([[-1, 0, 0, 1], [0, -1, -1, -1], [0, 0, -1, -1]])
    group, valid = torch.tensor([7, 7, 8]), torch.tensor([True, True, True])
    found = step_credit(score, mask, places, group, valid)
    mean = (1 + 0 + 1) / 3
    expected = [[0, 1 - mean, 1 - mean, -mean], [1 - mean, 0, 0, 0], [0, 0, 0, 0]]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))
    without = step_credit(score, mask, places, group, torch.tensor([True, False, True]))
    torch.testing.assert_close(without[0], torch.tensor([0, 0.5, 0.5, -0.5], dtype=torch.float64))
    assert not without[1].any()


def test_step_credit_is_added_to_the_replys_own_and_needs_a_critic(batch: Batch) -> None:
    rows = batch.critic
    assert rows is not None
    plain = make_recipe("pgpo").advantage(batch)["policy"]
    found = make_recipe("pgpo", step_credit=0.5).advantage(batch)["policy"]
    more = step_credit(rows.score, rows.mask, rows.token_step, batch.group, batch.valid)
    torch.testing.assert_close(found, plain + 0.5 * more.to(plain.dtype))
    with pytest.raises(ConfigurationError, match="step_credit"):
        make_recipe("pgpo", step_credit=0.5).advantage(replace(batch, critic=None))


# The whole loop


def trainer(dataset: TableDataset, policy: CausalLMPolicy, folder: Path, critic: Any, **options: Any) -> Trainer:
    config = TrainConfig(
        recipe="pgpo",
        env=ENV,
        updates=1,
        rollout=RolloutConfig(tasks_per_update=3, group_size=2),
        out=str(folder),
    )
    recipe = make_recipe("pgpo", filter_on="none", **options)
    return Trainer(policy, recipe, config, factory(dataset), tuple(dataset.tasks), critic=critic)


def test_a_critic_decides_what_is_learned(dataset: TableDataset, policy: CausalLMPolicy, tmp_path: Path) -> None:
    run = trainer(dataset, policy, tmp_path, Scripted(Judgement(steps(0.25), True)))
    row = run.step()
    assert row["process"] == pytest.approx(0.25)
    assert row["train/process"] == 0.0
    run.close()


def test_what_a_critic_cannot_judge_is_counted_and_nothing_is_learned_from_it(
    dataset: TableDataset, policy: CausalLMPolicy, tmp_path: Path
) -> None:
    def every_other(shown: Sequence[Episode]) -> list[Judgement | InfrastructureError]:
        return [Judgement(steps(1.0), True) if n % 2 else CriticFault("?") for n in range(len(shown))]

    run = trainer(dataset, policy, tmp_path, Scripted(every_other))
    played = run.rollouts.play(run.recipe)
    assert played.batch.valid.tolist() == [False, True] * 3
    assert [episode.status for episode in played.episodes] == ["infra_error", "terminated"] * 3
    assert [episode.reward is None for episode in played.episodes] == [True, False] * 3
    assert sum(run.rollouts.statistics.trials.values()) == 3
    nothing = trainer(dataset, policy, tmp_path / "none", Scripted(CriticFault("?")))
    with pytest.raises(DataError, match="none of the batch's"):
        nothing.step()
    run.close()
    nothing.close()


def test_methods_that_listen_to_no_critic_and_credit_without_one_are_refused(
    dataset: TableDataset, policy: CausalLMPolicy, tmp_path: Path
) -> None:
    config = TrainConfig(recipe="grpo", env=ENV, out=str(tmp_path))
    with pytest.raises(ConfigurationError, match=r"'oracle'.*grpo"):
        Trainer(
            policy, make_recipe("grpo"), config, factory(dataset), tuple(dataset.tasks), critic=OracleCritic(dataset)
        )
    with pytest.raises(ConfigurationError, match="step_credit=0"):
        trainer(dataset, policy, tmp_path, None, step_credit=1.0)


# By name


def settings(critic: str, **more: Any) -> TrainConfig:
    kwargs = {"observation": "symbols", "size": "tiny", "prompt": "short", "gate": "off", "level": 1}
    return TrainConfig(recipe="pgpo", env=ENV, env_kwargs=kwargs, critic=critic, **more)


def test_a_critic_is_opened_by_name() -> None:
    assert open_critic("oracle", settings("oracle")).name == "oracle"
    assert open_critic("oracle:0.2", settings("oracle:0.2")).name == "oracle, errs in 0.2"
    chat = open_critic("http://127.0.0.1:9/v1#some/model", settings("x"))
    assert chat.name == "chat critic some/model"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("oracle:often", "oracle:CHANCE"),
        ("oracle:2", "flip=2.0"),
        ("http://127.0.0.1:9/v1", "URL#MODEL"),
        ("nowhere", "holds no critic"),
    ],
)
def test_a_critic_that_is_none_is_refused(source: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(said)):
        open_critic(source, settings(source))


def test_only_tables_have_an_oracle() -> None:
    config = settings("oracle").model_copy(update={"env": "TrustSQL-v0"})
    with pytest.raises(ConfigurationError, match="VisualTable-v0"):
        open_critic("oracle", config)
