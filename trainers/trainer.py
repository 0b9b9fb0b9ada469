"""The loop: play, learn, measure, log, save; the same for every method, policy and environment."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

from fogline.agents.collector import EnvFactory
from fogline.agents.policies.policy import Policy, Scorer
from fogline.agents.rollout import Assignment
from fogline.agents.scheduler import close_quietly
from fogline.core.errors import ConfigurationError
from fogline.trainers.checkpoints import checkpoints, forget_checkpoints, load_checkpoint, save_checkpoint
from fogline.trainers.config import TrainConfig
from fogline.trainers.critics import Critic
from fogline.trainers.learner import Learner, TrainingDiverged
from fogline.trainers.logs import RunLog
from fogline.trainers.measuring import episode_means, measure
from fogline.trainers.processes import Processes
from fogline.trainers.recipe import Recipe
from fogline.trainers.rollouts import Played, Rollouts
from fogline.trainers.teachers import Teacher

CHECKPOINTS = "checkpoints"
POLICY = "policy"
DIVERGED = "diverged.pt"


class Trainer:
    """Trains a policy in an environment.

    Args:
        policy: Who is trained; it also plays.
        recipe: The method.
        config: Everything else.
        env_factory: Makes the environment.
        task_ids: Tasks to train on.
        reference: For recipes with a divergence term.
        teacher: For recipes that distil.
        critic: Judges the steps of every episode, for recipes that listen to one.
        evaluation_factory: Makes the environment that measures; the training one by default.
        evaluation_tasks: Tasks that measure; those of training by default.
        on_update: Told each row of the log.
        processes: The processes that share the work.

    Raises:
        ConfigurationError: Sizes, policy and recipe do not fit together.
    """

    def __init__(
        self,
        policy: Policy,
        recipe: Recipe,
        config: TrainConfig,
        env_factory: EnvFactory,
        task_ids: Sequence[str] = ("",),
        *,
        reference: Scorer | None = None,
        teacher: Teacher | None = None,
        critic: Critic | None = None,
        evaluation_factory: EnvFactory | None = None,
        evaluation_tasks: Sequence[str] | None = None,
        on_update: Callable[[Mapping[str, Any]], None] | None = None,
        processes: Processes | None = None,
    ) -> None:
        _check_group_size(recipe, config)
        _check_critic(recipe, critic)
        _check_engine(config)
        self.policy = policy
        self.recipe = recipe
        self.config = config
        self.folder = Path(config.out)
        self.processes = processes or Processes()
        weights = next(policy.module.parameters())
        self._device = weights.device
        dtype = torch.float64 if weights.dtype == torch.float64 else torch.float32
        self.rollouts = Rollouts(
            env_factory,
            policy,
            task_ids,
            config.rollout,
            seed=config.seed,
            processes=self.processes,
            critic=critic,
            dtype=dtype,
        )
        self.learner = Learner(
            policy,
            recipe,
            config.learner,
            reference=reference,
            teacher=teacher,
            seed=config.seed,
            processes=self.processes,
        )
        self.update = 0
        self._evaluation_factory = evaluation_factory or env_factory
        self.evaluation_tasks = tuple(evaluation_tasks or task_ids)
        self._evaluation_kept: list[Any] = []
        self._on_update = on_update
        self._totals = {"episodes": 0.0, "env_steps": 0.0, "policy_tokens": 0.0, "wall_s": 0.0}

    def train(self, stop: Callable[[], bool] | None = None) -> list[dict[str, Any]]:
        """Run every update that is left, from the last checkpoint where there is one.

        Args:
            stop: Asked after each update; True writes a checkpoint and ends the run there.

        Returns:
            The rows of this run's log.

        Raises:
            TrainingDiverged: A loss or gradient was no finite number; the state before it is in ``diverged.pt``.
            DataError: A batch that nothing can be learned from.
        """
        if self.config.resume:
            self.resume()
        elif self.processes.main:
            forget_checkpoints(self.folder / CHECKPOINTS)
        rows: list[dict[str, Any]] = []
        log = RunLog(self.folder, self.update, self.config.tensorboard) if self.processes.main else None
        try:
            while self.update < self.config.updates:
                row = self.step()
                if self._due(self.config.evaluation.every):
                    row |= {f"evaluation/{name}": value for name, value in self.evaluate().items()}
                rows.append(row)
                if log is not None:
                    log.write(row)
                if self._on_update is not None:
                    self._on_update(row)
                if stop is not None and stop():
                    self.save()
                    return rows
                if self._due(self.config.save_every):
                    self.save()
            self.learner.weights.save(self.folder / POLICY)
        finally:
            if log is not None:
                log.close()
            self.close()
        return rows

    def step(self) -> dict[str, Any]:
        """Play one batch and learn from it; the row of the log."""
        began = perf_counter()
        with self.learner.weights.whole():
            played = self.rollouts.play(self.recipe)
        between = perf_counter()
        if self.update == 0:
            self._warn_of_empty_tracks(played)
        rate = self.config.learner.rate(self.update, self.config.updates)
        try:
            progress = self.update / max(self.config.updates - 1, 1)
            learned = self.learner.update(played.batch.to(self._device), rate, progress)
        except TrainingDiverged as error:
            raise TrainingDiverged(f"{error} The state before it is in {self.save(DIVERGED)}.") from error
        self.update += 1
        ended = perf_counter()
        self._count(played, ended - began)
        return {
            "update": self.update,
            **self._totals,
            **{f"train/{name}": value for name, value in episode_means(played.episodes).items()},
            "learning_rate": rate,
            "kept": played.kept,
            "generations": played.generations,
            "play_s": between - began,
            "learn_s": ended - between,
            **learned,
        }

    def evaluate(self) -> dict[str, float]:
        """Measure the policy on the evaluation tasks; every process plays the same."""
        settings = self.config.evaluation
        assignments = [
            Assignment(task_id, settings.seed + sample)
            for sample in range(settings.samples)
            for task_id in self.evaluation_tasks
        ]
        with self.learner.weights.whole():
            return measure(
                self._evaluation_factory,
                self.policy,
                assignments,
                greedy=settings.greedy,
                concurrency=min(len(assignments), 128),
                kept=self._evaluation_kept,
            )

    def close(self) -> None:
        """Close the environments."""
        self.rollouts.close()
        for env in self._evaluation_kept:
            close_quietly(env)
        self._evaluation_kept.clear()

    # State

    def save(self, name: str = "") -> Path:
        """Write a checkpoint and return its path; every process asks, and one writes."""
        folder = self.folder / CHECKPOINTS
        state = self.state()
        if not self.processes.main:
            return folder
        return save_checkpoint(folder, self.update, state, self.config.keep, name)

    def state(self) -> dict[str, Any]:
        """All that an uninterrupted run would carry into the next update."""
        return {
            "recipe": self.recipe.name,
            "options": dict(self.recipe.options),
            "env": self.config.env,
            "seed": self.config.seed,
            **self.learner.state(),
            "cursor": asdict(self.rollouts.cursor),
            "statistics": asdict(self.rollouts.statistics),
            "totals": dict(self._totals),
        }

    def resume(self) -> bool:
        """Take up the last checkpoint of ``out``; False where there is none."""
        found = checkpoints(self.folder / CHECKPOINTS)
        if not found:
            return False
        own = {"env": self.config.env, "seed": self.config.seed}
        state = load_checkpoint(found[-1], self.recipe.name, {**self.recipe.options, **own})
        self.rollouts.restore(state["cursor"], state["statistics"])
        self.learner.restore(state, found[-1])
        self._totals = state["totals"]
        self.update = state["update"]
        return True

    # Small helpers

    def _due(self, every: int) -> bool:
        return self.update >= self.config.updates or (every > 0 and self.update % every == 0)

    def _count(self, played: Played, seconds: float) -> None:
        self._totals["episodes"] += len(played.episodes)
        self._totals["env_steps"] += sum(len(episode.turns) for episode in played.episodes)
        self._totals["policy_tokens"] += sum(
            len(turn.action_token_ids) for episode in played.episodes for turn in episode.turns
        )
        self._totals["wall_s"] += seconds

    def _warn_of_empty_tracks(self, played: Played) -> None:
        for term in self.learner.terms:
            if term.mask not in played.batch.masks:
                logging.getLogger("fogline.trainers").warning(
                    "the environment reports no track %r (a metric '%s_end_turn'): the term %r of recipe %r is empty.",
                    term.mask, term.mask, term.name, self.recipe.name,
                )  # fmt: skip


def _check_critic(recipe: Recipe, critic: Critic | None) -> None:
    if critic is not None and not recipe.judged:
        raise ConfigurationError(
            f"critic {critic.name!r}, but recipe {recipe.name!r} listens to none: leave it out, or choose pgpo."
        )
    if critic is None and "critic" in recipe.needs:
        raise ConfigurationError(
            f"recipe {recipe.name!r} with these settings credits single steps and needs a critic: pass critic=, such "
            "as an OracleCritic, or set step_credit=0."
        )


def _check_engine(config: TrainConfig) -> None:
    engine, sharding = config.rollout.engine, config.learner.sharding
    if engine != "inline" and sharding != "none":
        raise ConfigurationError(
            f"engine={engine!r} with sharding={sharding!r}: weights in shards cannot be sent to workers. Each process "
            "plays its share already: set engine='inline', or sharding='none'."
        )


def _check_group_size(recipe: Recipe, config: TrainConfig) -> None:
    size = config.rollout.group_size
    if size < recipe.needs_groups:
        raise ConfigurationError(
            f"group_size={size} is too small for recipe {recipe.name!r}, whose baseline compares {recipe.needs_groups} "
            "or more episodes of a task: raise group_size, or choose reinforce or ppo."
        )
    if recipe.allocate is not None:
        # Of one task it can only be the group size: what does not fit into the box is found before anything is played.
        recipe.allocate({"tasks": ("",), "trials": {}, "correct": {}}, ("",), size)
