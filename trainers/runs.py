"""A training run from its configuration: what it would take, how it goes, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fogline.agents.policies.language import CausalLMPolicy
from fogline.agents.policies.policy import Policy
from fogline.trainers.checkpoints import checkpoints
from fogline.trainers.config import PolicyConfig, TrainConfig
from fogline.trainers.logs import LOG, read_log
from fogline.trainers.processes import Processes
from fogline.trainers.recipes import RECIPES
from fogline.trainers.setup import TINY, make_trainer
from fogline.trainers.trainer import CHECKPOINTS, POLICY

Watch = Callable[[Mapping[str, Any]], None]
"""Told each row of the log."""

Stop = Callable[[], bool]
"""Asked after each update whether to write a checkpoint and end the run there."""


@dataclass(frozen=True)
class TrainPlan:
    """What a training run would take.

    Attributes:
        config: All of it, defaults included.
        paper: Of the recipe.
        parts: Of the recipe, by role.
        settings: Of the recipe, with their values.
        tasks: To train on.
        groups: Over all updates.
        episodes: In them.
        most_episodes: In them, if every batch is refilled as often as it may be.
        optimiser_steps: Over all updates.
        evaluations: How often the policy is measured.
        evaluation_episodes: In all of these together.
        trainable_parameters: Of the policy, its critic included.
        exact: Whether that is their number; for a ``tiny`` model, whose tokenizer is yet to be fitted, it is the most.
    """

    config: Mapping[str, Any]
    paper: str
    parts: Mapping[str, Any]
    settings: Mapping[str, Any]
    tasks: int
    groups: int
    episodes: int
    most_episodes: int
    optimiser_steps: int
    evaluations: int
    evaluation_episodes: int
    trainable_parameters: int
    exact: bool


@dataclass(frozen=True)
class RunReport:
    """What came of a run, over all the times that it was resumed.

    Attributes:
        finished: Whether every update is done; otherwise the same configuration goes on from ``checkpoint``.
        updates: That are done.
        first: First row of the log.
        last: Last row of the log.
        evaluation: Last measurement, by name; empty where there was none.
        log: Path of the log.
        checkpoint: Path of the last checkpoint; None where there is none.
        policy: Folder of the trained policy; None before the run is finished.
    """

    finished: bool
    updates: int
    first: Mapping[str, Any]
    last: Mapping[str, Any]
    evaluation: Mapping[str, float]
    log: str
    checkpoint: str | None
    policy: str | None


def plan_training(config: TrainConfig) -> TrainPlan:
    """Build all that the run needs, play nothing, and count.

    Raises:
        ConfigurationError: As :func:`make_trainer`.
    """
    trainer = make_trainer(config, texts=no_texts)
    try:
        settings, rollout, learner = trainer.recipe.options, config.rollout, config.learner
        episodes = config.updates * rollout.tasks_per_update * rollout.group_size
        generations = int(settings["max_generation_batches"]) if trainer.recipe.select is not None else 1
        evaluations = -(-config.updates // config.evaluation.every) if config.evaluation.every else 1
        parameters, exact = trainable_parameters(trainer.policy, config.policy)
        return TrainPlan(
            config=config.model_dump(mode="json"),
            paper=trainer.recipe.paper,
            parts=RECIPES[config.recipe].parts(),
            settings=settings,
            tasks=len(trainer.rollouts.task_ids),
            groups=config.updates * rollout.tasks_per_update,
            episodes=episodes,
            most_episodes=episodes * generations,
            optimiser_steps=config.updates * learner.epochs * learner.minibatches,
            evaluations=evaluations,
            evaluation_episodes=evaluations * len(trainer.evaluation_tasks) * config.evaluation.samples,
            trainable_parameters=parameters,
            exact=exact,
        )
    finally:
        trainer.close()


def run_training(
    config: TrainConfig,
    *,
    on_update: Watch | None = None,
    stop: Stop | None = None,
    processes: Processes | None = None,
) -> RunReport:
    """Train a policy.

    Args:
        config: What is trained, where and how.
        on_update: Told each row of the log.
        stop: Asked after each update; several processes must all get the same answer.
        processes: The processes that share the work.

    Raises:
        ConfigurationError: Something does not exist, or does not fit together.
        TrainingDiverged: As :meth:`Trainer.train`.
    """
    make_trainer(config, on_update=on_update, processes=processes).train(stop)
    return report_of(Path(config.out), config.updates)


def report_of(folder: Path, updates: int) -> RunReport:
    """What the files of a run say.

    Args:
        folder: Of the run.
        updates: That were asked for.
    """
    rows = read_log(folder)
    measured: Mapping[str, Any] = next((row for row in reversed(rows) if "evaluation/episodes" in row), {})
    kept = checkpoints(folder / CHECKPOINTS)
    done = int(rows[-1]["update"]) if rows else 0
    return RunReport(
        finished=done >= updates,
        updates=done,
        first=rows[0] if rows else {},
        last=rows[-1] if rows else {},
        evaluation={
            name.removeprefix("evaluation/"): value
            for name, value in measured.items()
            if name.startswith("evaluation/")
        },
        log=str(folder / LOG),
        checkpoint=str(kept[-1]) if kept else None,
        policy=str(folder / POLICY) if done >= updates else None,
    )


def trainable_parameters(policy: Policy, settings: PolicyConfig) -> tuple[int, bool]:
    """Number of trainable parameters, and whether it is exact or, with a tokenizer yet to be fitted, the most."""
    count = sum(weight.numel() for weight in policy.module.parameters() if weight.requires_grad)
    if settings.model != TINY or not isinstance(policy, CausalLMPolicy):
        return count, True
    embedding = policy.model.get_input_embeddings().weight
    missing = settings.vocabulary_size - embedding.shape[0] if embedding.requires_grad else 0
    return count + missing * embedding.shape[1], missing == 0


def no_texts() -> list[list[str]]:
    """The least that a tokenizer can be fitted to: for plans, which play nothing."""
    return [["."]]
