"""Both sides of the training benchmark run, and do the same work. No time is asserted here."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.machinery import PathFinder
from typing import Any

import pytest
import torch

from fogline.agents.collector import collect_all
from fogline.agents.rollout import Assignment
from fogline.benchmarks.speed import training, training_memory
from fogline.benchmarks.speed.report import Effort
from fogline.benchmarks.speed.timing import MeasurementFailed
from fogline.benchmarks.speed.training_peer import TRLTrainer
from fogline.benchmarks.speed.training_subject import FoglineTrainer, expected_reading, make_policy, play_turns
from fogline.benchmarks.speed.training_task import FixedTurns, Work, episode_score
from fogline.core.errors import MissingDependencyError

torch.set_num_threads(1)

SIZE: dict[str, int] = {"layers": 1, "width": 16, "prompt_tokens": 12, "new_tokens": 4, "prompts": 2, "group_size": 4}
ONE = Work(turns=1, **SIZE)
THREE = Work(turns=3, observation_tokens=6, **SIZE)
TINY = training.Plan(
    cases=(
        training.Case("one", {"turns": 1, **SIZE}, 1.0, training.SINGLE_TURN),
        training.Case("three", {"turns": 3, "observation_tokens": 6, **SIZE}, 1.0, None),
    ),
    read=1,
    turns=({"turns": 4, "observation_tokens": 6, **SIZE},),
)


@pytest.fixture(scope="module")
def theirs() -> Iterator[TRLTrainer]:
    trainer = TRLTrainer(THREE)
    yield trainer
    trainer.close()


@pytest.fixture(scope="module")
def ours() -> Iterator[FoglineTrainer]:
    trainer = FoglineTrainer(THREE)
    yield trainer
    trainer.close()


def test_the_benchmark_measures_every_case_it_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_memory, "memory_of", lambda side, work: training_memory.Memory(2.0, 1.0))
    found = training.run(Effort(rounds=2, seconds=0.001), TINY)
    assert [item.case for item in found] == [
        "one",
        "three",
        "three: generation",
        "three: peak of the process",
        "three: added by updates",
        "4 turns, prompt 12, 4 new: read beside new",
        "4 turns, prompt 12, 4 new: last beside turn 2",
    ]
    assert {item.benchmark for item in found} == {training.NAME}
    assert [item.target for item in found if item.target is not None] == [
        training.SINGLE_TURN,
        training.NOTHING_TWICE,
        training.LATE_TURN,
    ]
    for item in found:
        for spread in (item.subject_value, item.peer_value, item.seen):
            assert spread.low <= spread.median <= spread.high
        assert item.subject_value.low > 0 and item.peer_value.low > 0


def test_the_real_sizes_are_those_that_are_promised() -> None:
    single, many, short = training.PLAN.cases
    assert (single.work["turns"], many.work["turns"], short.work["turns"]) == (1, 16, 16)
    assert (single.target, many.target, short.target) == (
        training.SINGLE_TURN,
        training.MANY_TURNS,
        training.MANY_TURNS,
    )
    assert [(size["turns"], size["prompt_tokens"]) for size in training.PLAN.turns] == [(32, 1024), (32, 64)]


def token_rows(batch: Any) -> set[tuple[int, ...]]:
    return {tuple(row) for row in batch}


def test_both_sides_write_read_and_learn_from_rows_of_one_shape(ours: FoglineTrainer, theirs: TRLTrainer) -> None:
    played = ours.trainer.rollouts.play(ours.trainer.recipe).batch
    theirs.update()
    assert set(theirs.prompt_tokens) == {THREE.prompt_tokens} and len(theirs.prompt_tokens) == THREE.rows
    assert set(theirs.completion_tokens) == {THREE.completion_tokens}
    assert set(theirs.written_tokens) == {THREE.turns * THREE.new_tokens}
    assert played.attention_mask.sum(1).tolist() == [THREE.row_tokens] * THREE.rows
    assert played.policy_mask.sum(1).tolist() == [THREE.turns * THREE.new_tokens] * THREE.rows
    assert len(played.group.unique()) == THREE.prompts


def test_both_sides_read_the_same_prompts_and_observations(ours: FoglineTrainer, theirs: TRLTrainer) -> None:
    played = ours.trainer.rollouts.play(ours.trainer.recipe).batch
    seen: dict[str, Any] = {}
    score = theirs.trainer._generate_and_score_completions

    def kept(inputs: Any) -> Any:
        seen.update(score(inputs))
        return seen

    theirs.trainer._generate_and_score_completions = kept
    try:
        theirs.update()
    finally:
        del theirs.trainer._generate_and_score_completions
    prompt = THREE.prompt_tokens
    assert token_rows(seen["prompt_ids"].tolist()) == token_rows(played.tokens[:, :prompt].tolist())
    outside = played.tokens.masked_fill(played.policy_mask, -1)[:, prompt:]
    assert token_rows(seen["completion_ids"].masked_fill(seen["tool_mask"].bool(), -1).tolist()) == token_rows(
        outside.tolist()
    )
    assert seen["ref_per_token_logps"].shape == (THREE.rows, THREE.completion_tokens)
    assert "old_per_token_logps" not in seen


def test_both_sides_start_from_the_same_weights() -> None:
    ours, theirs = FoglineTrainer(ONE), TRLTrainer(ONE)
    mine, his = dict(ours.policy.model.named_parameters()), dict(theirs.trainer.model.named_parameters())
    assert mine.keys() == his.keys()
    for name, weight in mine.items():
        assert torch.equal(weight, his[name]), name
    ours.close()
    theirs.close()


def test_both_sides_step_once_an_update_with_the_reference(ours: FoglineTrainer, theirs: TRLTrainer) -> None:
    before = ours.policy.version
    ours.update()
    theirs.update()
    assert ours.policy.version == before + 1
    assert ours.trainer.learner.needs == {"reference"}
    assert ours.trainer.learner._old_logp() == "first-pass"
    assert theirs.trainer.state.global_step == 1
    assert theirs.trainer.ref_model is not None and theirs.trainer.beta == THREE.kl_coefficient
    assert ours.trainer.recipe.options["kl_coefficient"] == THREE.kl_coefficient
    group = theirs.trainer.optimizer.param_groups[0]
    settings = ours.trainer.config.learner
    assert (group["lr"], tuple(group["betas"]), group["eps"], group["weight_decay"]) == (
        settings.learning_rate,
        settings.betas,
        settings.adam_epsilon,
        settings.weight_decay,
    )


def test_generation_reads_each_token_once_here_and_the_whole_context_there(
    ours: FoglineTrainer, theirs: TRLTrainer
) -> None:
    assert ours.read_tokens() == THREE.rows * (THREE.row_tokens - 1)
    turn = THREE.observation_tokens + THREE.new_tokens
    whole = sum(THREE.prompt_tokens + index * turn + THREE.new_tokens - 1 for index in range(THREE.turns))
    assert theirs.read_tokens() == THREE.rows * whole


def test_every_turn_reads_its_new_tokens_and_no_other() -> None:
    played = play_turns(make_policy(THREE), THREE)
    assert [turn.read for turn in played] == expected_reading(THREE)
    assert sum(turn.read for turn in played) == sum(turn.new for turn in played) - THREE.rows
    assert [turn.read for turn in played[1:]] == [turn.new for turn in played[1:]]


def test_a_row_of_another_length_is_no_measurement() -> None:
    trainer = TRLTrainer(ONE)
    trainer.trainer.generation_config.max_new_tokens = ONE.new_tokens - 1
    with pytest.raises(MeasurementFailed, match="expected 8 of"):
        trainer.update()
    trainer.close()


def test_the_environment_pays_what_the_peers_reward_function_pays() -> None:
    policy = make_policy(THREE)
    (episode,) = collect_all(lambda: FixedTurns(THREE), policy, [Assignment("0", 0)])
    assert len(episode.turns) == THREE.turns
    assert episode.reward == pytest.approx(episode_score([turn.action for turn in episode.turns]))


@pytest.mark.parametrize("side", training_memory.SIDES)
def test_a_side_says_its_peak_in_a_process_of_its_own(side: str) -> None:
    peak, added = training_memory.memory_of(side, THREE)
    assert peak > added >= 0
    assert peak > 50 * 2**20


def test_a_side_that_fails_is_no_measurement() -> None:
    with pytest.raises(MeasurementFailed, match="nobody could not"):
        training_memory.memory_of("nobody", ONE)


def test_without_the_peer_its_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    found = PathFinder.find_spec

    def hidden(name: str, *rest: Any) -> Any:
        return None if name == "trl" else found(name, *rest)

    monkeypatch.delitem(sys.modules, "trl", raising=False)
    monkeypatch.setattr(PathFinder, "find_spec", hidden)
    with pytest.raises(MissingDependencyError, match=r"fogline\[dev\]"):
        training.run(Effort(rounds=2, seconds=0.001), TINY)
