"""The learned critic: what it reads, that it learns, how it is measured."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch

from fogline.agents.collector import collect_all
from fogline.agents.policies.language import CausalLMPolicy
from fogline.agents.policies.tiny import episode_texts, fit_tokenizer, tiny_causal_lm
from fogline.agents.rollout import Assignment
from fogline.agents.scripted.visual_table import SlipperyAgent
from fogline.core.episode import Episode
from fogline.core.errors import ConfigurationError, DataError
from fogline.envs.visual_table.env import VisualTableEnv
from fogline.envs.visual_table.perturbations import WRONG_COLUMN, WRONG_ROW
from fogline.simulators.tables.records import Cell
from fogline.simulators.tables.sources import load_tables
from fogline.trainers.batch import batch_of
from fogline.trainers.critics import CriticFault, Judgement, StepScore
from fogline.trainers.learned_critics import LearnedCritic, area, auc_per_kind
from fogline.trainers.learner import LearnerConfig
from fogline.trainers.table_critics import OracleCritic, reply_of

DATASET = load_tables(level=1, tasks_per_level=200, size="tiny")
ORACLE = OracleCritic(DATASET)


def played(kinds: tuple[str, ...], share: float) -> list[Episode]:
    factory = partial(VisualTableEnv, DATASET, observation="symbols", size="tiny", prompt="short")
    wanted = [Assignment(task, 0) for task in DATASET.tasks]
    return collect_all(factory, SlipperyAgent(DATASET, kinds, share), wanted, concurrency=64)


@pytest.fixture(scope="module")
def gold() -> list[Episode]:
    return played((), 0.0)


@pytest.fixture(scope="module")
def spoilt() -> list[Episode]:
    return played((WRONG_ROW, WRONG_COLUMN), 1.0)


def reader(gold: list[Episode], seed: int = 0) -> CausalLMPolicy:
    tokenizer = fit_tokenizer(episode_texts(gold), vocabulary_size=160, phrase_share=None, piece_length=1)
    model = tiny_causal_lm(tokenizer, layers=2, width=32, context=320, seed=seed)
    return CausalLMPolicy(model, tokenizer, rules=False)


def test_one_that_knows_nothing_says_a_half_of_every_step(gold: list[Episode]) -> None:
    for episode, judgement in zip(gold[:5], LearnedCritic(reader(gold)).judge(gold[:5]), strict=True):
        assert isinstance(judgement, Judgement)
        assert [step.score for step in judgement.steps] == [0.5] * int(episode.metrics["steps"])
        assert judgement.process is None
        assert judgement.anchored


def test_a_step_is_judged_where_it_has_been_read_and_nothing_later(gold: list[Episode]) -> None:
    critic = LearnedCritic(reader(gold))
    with torch.no_grad():
        critic.head.weight.normal_(generator=torch.Generator().manual_seed(0))
    (before,) = critic.judge(gold[:1])
    turn = gold[0].turns[0]
    cut = turn.action.rindex("; ")
    changed = turn._replace(action=turn.action[:cut] + "; read <cell: Row 9, Col 9> = x</think><answer>7</answer>")
    (after,) = critic.judge([_with(gold[0], changed)])
    assert isinstance(before, Judgement) and isinstance(after, Judgement)
    kept = [step.score for step in before.steps][:-1]
    assert [step.score for step in after.steps][:-1] == pytest.approx(kept, abs=1e-6)
    assert before.steps[-1].score != pytest.approx(after.steps[-1].score, abs=1e-6)


def _with(episode: Episode, turn: object) -> Episode:
    from dataclasses import replace

    return replace(episode, turns=(turn,))  # type: ignore[arg-type]


def test_judging_alone_or_together_is_the_same(gold: list[Episode], spoilt: list[Episode]) -> None:
    critic = LearnedCritic(reader(gold))
    with torch.no_grad():
        critic.head.weight.normal_(generator=torch.Generator().manual_seed(0))
    both = [*gold[:3], *spoilt[:3]]
    together = critic.judge(both)
    for episode, judgement in zip(both, together, strict=True):
        (alone,) = critic.judge([episode])
        assert isinstance(alone, Judgement) and isinstance(judgement, Judgement)
        assert [a.score for a in alone.steps] == pytest.approx([b.score for b in judgement.steps], abs=1e-6)


def by_rule(episode: Episode) -> Judgement:
    """A rule that a step itself shows: what points at row 2 does not hold."""
    trace = reply_of(episode)
    points = [isinstance(step.anchor, Cell) and step.anchor.row == 2 for step in trace.steps]
    return Judgement(tuple(map(StepScore, [1.0 - at for at in points], trace.places)), True)


def test_it_learns_and_is_kept(gold: list[Episode], tmp_path: Path) -> None:
    critic = LearnedCritic(reader(gold), name="ours")
    verdicts = [by_rule(episode) for episode in gold]
    settings = LearnerConfig(learning_rate=3e-3, schedule="linear", warmup=5)
    losses = critic.fit(gold, verdicts, learner=settings, epochs=16, rows=16)
    assert sum(losses[-5:]) < 0.5 * sum(losses[:5])
    critic.save(tmp_path)
    loaded = LearnedCritic.load(tmp_path)
    assert loaded.name == "ours"
    assert loaded.judge(gold[:4]) == critic.judge(gold[:4])
    faults = [[step.score for step in verdict.steps] for verdict in verdicts]
    holding = [episode for episode, scores in zip(gold, faults, strict=True) if 0.0 not in scores]
    failing = [(episode, scores.index(0.0)) for episode, scores in zip(gold, faults, strict=True) if 0.0 in scores]
    areas = auc_per_kind(critic, holding, {"row 2": failing, "none": []})
    assert areas["none"] is None
    assert areas["row 2"] is not None and areas["row 2"] > 0.9


def test_nothing_but_gold_teaches_nothing(gold: list[Episode]) -> None:
    critic = LearnedCritic(reader(gold))
    with pytest.raises(DataError, match="0 that do not"):
        critic.fit(gold[:4], ORACLE.judge(gold[:4]))


def test_a_reply_that_it_cannot_read_has_no_judgement(gold: list[Episode]) -> None:
    strange = _with(gold[0], gold[0].turns[0]._replace(action="<think>find \u2603 -> <cell: Row 1, Col 1></think>"))
    first, second = LearnedCritic(reader(gold)).judge([strange, gold[1]])
    assert isinstance(first, CriticFault)
    assert isinstance(second, Judgement)


def test_a_reply_that_is_too_long_has_no_judgement(gold: list[Episode]) -> None:
    endless = _with(gold[0], gold[0].turns[0]._replace(action="<think>" + "find A; " * 60 + "</think>"))
    first, second = LearnedCritic(reader(gold)).judge([endless, gold[1]])
    assert isinstance(first, CriticFault) and "room for 320" in str(first)
    assert isinstance(second, Judgement)


def test_a_folder_without_a_critic_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="holds no critic"):
        LearnedCritic.load(tmp_path)


def test_both_verdicts_weigh_the_same(gold: list[Episode]) -> None:
    from fogline.trainers.learned_critics import _balanced

    policy = reader(gold)
    verdicts = [Judgement(tuple(StepScore(score) for score in scores), True) for scores in ((1, 1, 1), (0, 1, 1))]
    batch = batch_of([policy.transcribe(item) for item in gold[:2]], policy, judgements=verdicts)
    assert batch.critic is not None
    weight = _balanced(batch.critic)
    holds = batch.critic.score >= 0.5
    assert float(weight[holds].sum()) == pytest.approx(float(weight[~holds].sum()))
    assert float(weight.sum()) == pytest.approx(6.0)


@pytest.mark.parametrize(
    ("higher", "lower", "expected"),
    [([1.0], [0.0], 1.0), ([0.0], [1.0], 0.0), ([0.5], [0.5], 0.5), ([3, 1], [2, 0], 0.75), ([], [1.0], None)],
)
def test_area_under_the_curve_by_hand(higher: list[float], lower: list[float], expected: float | None) -> None:
    assert area(higher, lower) == expected
