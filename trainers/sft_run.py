"""A fine-tuning run from its configuration: demonstrations, lessons, and how good the pupil is at the end."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from fogline.agents.environments import choose_tasks, environment_name, make_environment, task_ids_of
from fogline.agents.policies.language import CausalLMPolicy
from fogline.agents.policies.tiny import episode_texts
from fogline.agents.registry import check_agent
from fogline.agents.rollout import Assignment
from fogline.core.episode import Episode
from fogline.core.errors import ConfigurationError
from fogline.trainers.measuring import measure
from fogline.trainers.runs import RunReport, Stop, Watch, no_texts, report_of, trainable_parameters
from fogline.trainers.setup import (
    demonstrations,
    evaluation_tasks,
    evenly,
    is_text,
    language_policy,
    picture_shape,
    rules_of,
)
from fogline.trainers.sft import SftConfig, fine_tune, transcribe

EVALUATION = "evaluation.json"


@dataclass(frozen=True)
class SftPlan:
    """What a fine-tuning run would take.

    Attributes:
        config: All of it, defaults included.
        tasks: To demonstrate.
        demonstrations: That are played.
        most_steps: Of the optimiser, if all of them are kept.
        evaluation_episodes: Played at the end.
        trainable_parameters: Of the policy.
        exact: Whether that is their number; for a ``tiny`` model, whose tokenizer is yet to be fitted, it is the most.
    """

    config: Mapping[str, Any]
    tasks: int
    demonstrations: int
    most_steps: int
    evaluation_episodes: int
    trainable_parameters: int
    exact: bool


@dataclass(frozen=True)
class SftReport(RunReport):
    """What came of a fine-tuning run.

    Attributes:
        demonstrations: That were played.
        kept: Of these, those that earned enough.
    """

    demonstrations: int
    kept: int


@dataclass(frozen=True)
class _Lessons:
    """What an environment says of itself: its rules, tasks to demonstrate, tasks that measure, size of pictures."""

    prompt: str | Mapping[str, str]
    rules: tuple[str, ...]
    tasks: Sequence[str]
    measured: Sequence[str]
    picture: tuple[int, int] | None


def plan_sft(config: SftConfig) -> SftPlan:
    """Build all that the run needs, play nothing, and count.

    Raises:
        ConfigurationError: As :func:`run_sft`.
    """
    lessons = _lessons(config)
    policy = language_policy(config.policy, seed=config.seed, texts=no_texts, picture=lessons.picture)
    parameters, exact = trainable_parameters(policy, config.policy)
    played = len(lessons.tasks) * config.samples
    return SftPlan(
        config=config.model_dump(mode="json"),
        tasks=len(lessons.tasks),
        demonstrations=played,
        most_steps=_steps(config, played),
        evaluation_episodes=len(lessons.measured) * config.evaluation.samples,
        trainable_parameters=parameters,
        exact=exact,
    )


def run_sft(config: SftConfig, *, on_update: Watch | None = None, stop: Stop | None = None) -> SftReport:
    """Let an agent demonstrate, teach a policy what earned enough, measure it, and keep it.

    Args:
        config: Who is taught what, by whom.
        on_update: Told each row of the log.
        stop: Asked after each step.

    Raises:
        ConfigurationError: Something does not exist, or does not fit together.
        DataError: No demonstration earned enough.
    """
    lessons = _lessons(config)
    played = demonstrations(
        config.env, config.env_kwargs, config.agent, lessons.tasks,
        samples=config.samples, seed=config.seed, agent_options=config.agent_options,
    )  # fmt: skip
    kept = [episode for episode in played if episode.reward is not None and episode.reward >= config.least_reward]
    policy = _pupil(config, lessons, kept or played)
    batch = transcribe(policy, kept, lessons.prompt)
    _check_length(int(batch.attention_mask.sum(1).max()), policy)
    fine_tune(
        policy, batch.to(config.policy.device), learner=config.learner, epochs=config.epochs, rows=config.rows,
        seed=config.seed, out=config.out, save_every=config.save_every, resume=config.resume,
        tensorboard=config.tensorboard, on_update=on_update, stop=stop,
    )  # fmt: skip
    report = report_of(Path(config.out), _steps(config, len(kept)))
    if report.finished:
        report = replace(report, evaluation=_measured(config, policy, lessons.measured))
    known = {field.name: getattr(report, field.name) for field in fields(report)}
    return SftReport(**known, demonstrations=len(played), kept=len(kept))


def _lessons(config: SftConfig) -> _Lessons:
    check_agent(config.agent, environment_name(config.env), config.agent_options)
    if config.policy.model is None:
        raise ConfigurationError("model=None has nothing to fine-tune: name a folder, a model of the hub, or 'tiny'.")
    env = make_environment(config.env, config.env_kwargs)
    try:
        if not is_text(env):
            raise ConfigurationError(
                f"env={config.env!r} has actions that are no text: fine-tuning teaches a language model. Choose a text "
                "environment, or train a policy for these spaces from scratch with fogline train."
            )
        tasks = choose_tasks(task_ids_of(env), config.tasks, config.limit)
        measured = evaluation_tasks(config.evaluation, partial(_evaluation_environment, config), tasks)
        prompt = getattr(env.unwrapped, "system_prompt", "")
        return _Lessons(prompt, rules_of(env), tasks, measured, picture_shape(env))
    finally:
        env.close()


def _pupil(config: SftConfig, lessons: _Lessons, examples: Sequence[Episode]) -> CausalLMPolicy:
    texts = partial(episode_texts, evenly(examples), lessons.rules)
    return language_policy(config.policy, seed=config.seed, texts=texts, picture=lessons.picture)


def _check_length(longest: int, policy: CausalLMPolicy) -> None:
    if longest > policy.max_context:
        raise ConfigurationError(
            f"a demonstration has {longest} tokens, the policy a max_context of {policy.max_context}: set max_context "
            f"of the policy to {longest} or more (--policy max_context={longest}), or choose shorter tasks."
        )


def _steps(config: SftConfig, kept: int) -> int:
    return config.epochs * -(-kept // config.rows)


def _measured(config: SftConfig, policy: CausalLMPolicy, tasks: Sequence[str]) -> dict[str, float]:
    settings = config.evaluation
    assignments = [Assignment(task, settings.seed + sample) for sample in range(settings.samples) for task in tasks]
    found = measure(partial(_evaluation_environment, config), policy, assignments, greedy=settings.greedy)
    (Path(config.out) / EVALUATION).write_text(json.dumps(found, indent=2) + "\n", "utf-8")
    return found


def _evaluation_environment(config: SftConfig) -> Any:
    return make_environment(config.env, {**config.env_kwargs, **config.evaluation.env_kwargs})
