"""Distillation over several turns of TrustSQL-v0: what the database answered is read, and never learned."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from fogline.agents.environments import make_environment, task_ids_of
from fogline.agents.policies.language import CausalLMPolicy
from fogline.agents.policies.tiny import fit_tokenizer, tiny_causal_lm
from fogline.trainers.batch import Batch
from fogline.trainers.config import PolicyConfig, RolloutConfig, TrainConfig
from fogline.trainers.learner import Learner, LearnerConfig
from fogline.trainers.recipe import Teaching
from fogline.trainers.recipes import make_recipe
from fogline.trainers.rollouts import Rollouts
from fogline.trainers.setup import demonstrations, example_texts, make_trainer, rules_of
from fogline.trainers.sft import fine_tune, transcribe
from fogline.trainers.teachers import LocalTeacher
from fogline.trainers.whole import scored_parts

torch.set_num_threads(1)

ENV = "TrustSQL-v0"
KEYWORDS: dict[str, Any] = {"dataset": "pocket", "max_turns": 4}
CONTEXT = 4096


@pytest.fixture(scope="module")
def world() -> tuple[Any, tuple[str, ...]]:
    """A tokenizer fitted to the environment's words, and a few tasks."""
    env = make_environment(ENV, KEYWORDS)
    tasks, rules = tuple(task_ids_of(env)[:4]), rules_of(env)
    env.close()
    return fit_tokenizer(example_texts(ENV, KEYWORDS, tasks, rules), vocabulary_size=512), tasks


def policy(tokenizer: Any, seed: int) -> CausalLMPolicy:
    model = tiny_causal_lm(tokenizer, layers=2, width=32, context=CONTEXT, seed=seed)
    return CausalLMPolicy(model, tokenizer, max_new_tokens=24, rules=False, name=f"tiny-{seed}")


@pytest.fixture(scope="module")
def taught(world: tuple[Any, tuple[str, ...]]) -> CausalLMPolicy:
    """A teacher that has seen the oracle a few times."""
    tokenizer, tasks = world
    teacher = policy(tokenizer, 1)
    shown = transcribe(teacher, demonstrations(ENV, KEYWORDS, "oracle", tasks))
    fine_tune(teacher, shown, learner=LearnerConfig(learning_rate=3e-3), epochs=6, rows=2)
    return teacher


@pytest.fixture(scope="module")
def played(world: tuple[Any, tuple[str, ...]]) -> tuple[CausalLMPolicy, Batch]:
    """What a student did over several turns."""
    tokenizer, tasks = world
    student = policy(tokenizer, 0)
    shown = transcribe(student, demonstrations(ENV, KEYWORDS, "oracle", tasks))
    fine_tune(student, shown, learner=LearnerConfig(learning_rate=3e-3), epochs=3, rows=2)
    rollouts = Rollouts(
        partial(make_environment, ENV, KEYWORDS), student, tasks, RolloutConfig(tasks_per_update=2, group_size=3)
    )
    batch = rollouts.play(make_recipe("opd")).batch
    rollouts.close()
    return student, batch


def gradient(student: CausalLMPolicy, batch: Batch, teacher: CausalLMPolicy, name: str, **options: Any) -> torch.Tensor:
    fresh = CausalLMPolicy(student.model, student.tokenizer, max_new_tokens=24, rules=False)
    Learner(
        fresh,
        make_recipe(name, **options),
        LearnerConfig(learning_rate=1e-12, max_gradient_norm=None),
        teacher=LocalTeacher(teacher),
    ).update(batch)
    return torch.cat(
        [parameter.grad.flatten() for parameter in fresh.module.parameters() if parameter.grad is not None]
    )


def test_the_rows_have_turns_and_what_lies_between_them_is_masked(played: tuple[CausalLMPolicy, Batch]) -> None:
    _, batch = played
    assert batch.turn_mask.sum(1).max() > 1
    between = batch.attention_mask & ~batch.policy_mask
    after_first = (batch.policy_mask.cumsum(1) > 0) & between
    assert after_first.any()
    assert (batch.turn_index[between] == -1).all()


def test_a_teacher_reads_observations_and_says_nothing_of_them(
    played: tuple[CausalLMPolicy, Batch], taught: CausalLMPolicy
) -> None:
    _, batch = played
    rows = LocalTeacher(taught).score(*scored_parts(batch), Teaching(top_k=4, entropy=True))
    assert rows.top_logp is not None and rows.entropy is not None
    assert (rows.logp[batch.policy_mask] < 0).all()
    for said in (rows.logp, rows.entropy, rows.top_logp.abs().sum(-1)):
        assert not said[~batch.policy_mask].any()
    # Another answer of the database changes what the teacher says of what follows it, and of nothing before it.
    row = int(batch.turn_mask.sum(1).argmax())
    second = int((batch.turn_index[row] == 1).nonzero()[0])
    other = batch.tokens.clone()
    other[row, second - 1] = (other[row, second - 1] + 1) % 100 + 6
    changed = LocalTeacher(taught).score(*scored_parts(replace(batch, tokens=other)), Teaching())
    before = batch.policy_mask[row] & (torch.arange(batch.tokens.shape[1]) < second)
    torch.testing.assert_close(changed.logp[row, before], rows.logp[row, before])
    assert not torch.equal(changed.logp[row, second:], rows.logp[row, second:])


@pytest.mark.parametrize(("name", "options"), [("opd", {}), ("aopd", {}), ("scope", {"correct_threshold": 0.5})])
def test_what_the_sampler_noted_between_turns_does_no_harm(
    name: str, options: dict[str, Any], played: tuple[CausalLMPolicy, Batch], taught: CausalLMPolicy
) -> None:
    student, batch = played
    clean = gradient(student, batch, taught, name, **options)
    noise = torch.where(batch.policy_mask, batch.behaviour_logp, -123.0)
    spoiled = gradient(student, replace(batch, behaviour_logp=noise, old_logp=noise), taught, name, **options)
    assert clean.any()
    torch.testing.assert_close(spoiled, clean)


@pytest.mark.parametrize("name", ["aopd", "scope"])
def test_a_run_over_turns(
    name: str, world: tuple[Any, tuple[str, ...]], taught: CausalLMPolicy, tmp_path: Path
) -> None:
    tokenizer, tasks = world
    taught.save(tmp_path / "teacher")
    policy(tokenizer, 0).save(tmp_path / "student")
    trainer = make_trainer(
        TrainConfig(
            recipe=name,
            env=ENV,
            env_kwargs=KEYWORDS,
            options={"correct_threshold": 0.5} if name == "scope" else {},
            tasks=tasks,
            updates=2,
            policy=PolicyConfig(model=str(tmp_path / "student"), max_new_tokens=24, max_context=CONTEXT),
            teacher=str(tmp_path / "teacher"),
            rollout=RolloutConfig(tasks_per_update=2, group_size=2),
            out=str(tmp_path / "run"),
        )
    )
    rows = trainer.train()
    assert [row["update"] for row in rows] == [1, 2]
    assert all(torch.isfinite(torch.tensor(row["loss"])) for row in rows)
