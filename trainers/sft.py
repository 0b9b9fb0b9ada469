"""Supervised fine-tuning: the next token of demonstrations, where the demonstrator wrote it.

One sample is one whole trajectory: no token is trained twice. Observations are read and never learned. The loss is the
mean over tokens, the rate constant by default (TRUST-SQL specification, section 12).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Protocol

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from fogline.agents.policies.forward import Forward
from fogline.agents.policies.policy import Policy
from fogline.core.episode import Episode
from fogline.core.errors import ConfigurationError, DataError
from fogline.trainers.batch import Batch, batch_of
from fogline.trainers.checkpoints import checkpoints, load_checkpoint, save_checkpoint
from fogline.trainers.config import EvaluationConfig, PolicyConfig
from fogline.trainers.learner import Learner, LearnerConfig
from fogline.trainers.logs import RunLog
from fogline.trainers.losses import policy_gradient_loss
from fogline.trainers.options import RecipeOptions
from fogline.trainers.passes import row_order
from fogline.trainers.recipe import Clip, Recipe, Term
from fogline.trainers.terms import aggregation
from fogline.trainers.trainer import CHECKPOINTS, POLICY

SFT = "sft"


class SftConfig(BaseModel):
    """What ``fogline sft`` does.

    Attributes:
        env: Registered id of a text environment.
        agent: Who demonstrates; the environment's oracle by default.
        env_kwargs: Keywords of the environment.
        agent_options: Keywords of the agent.
        tasks: Only these tasks; all where empty.
        limit: Only so many tasks, the first ones.
        samples: Demonstrations per task.
        least_reward: Demonstrations that earned less are left out.
        epochs: Passes over the demonstrations.
        rows: Demonstrations per optimiser step.
        seed: Decides weights, seeds of demonstrations and the order of rows.
        policy: Who is trained.
        learner: How weights follow; its epochs and minibatches stay 1.
        evaluation: How the policy is measured at the end.
        out: Folder of log, checkpoints and the policy.
        save_every: Steps between checkpoints; 0 keeps the last one only.
        resume: Go on from the last checkpoint in ``out``.
        tensorboard: Write TensorBoard events beside the JSON lines.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    env: str
    agent: str = "oracle"
    env_kwargs: dict[str, Any] = Field(default_factory=dict)
    agent_options: dict[str, Any] = Field(default_factory=dict)
    tasks: Annotated[tuple[str, ...], Field(strict=False)] = ()
    limit: int | None = Field(default=None, ge=1)
    samples: int = Field(default=1, ge=1)
    least_reward: float = 1.0
    epochs: int = Field(default=2, ge=1)
    rows: int = Field(default=16, ge=1)
    seed: int = Field(default=0, ge=0)
    policy: PolicyConfig = PolicyConfig(model="tiny")
    learner: LearnerConfig = LearnerConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    out: str = "runs/sft"
    save_every: int = Field(default=0, ge=0)
    resume: bool = True
    tensorboard: bool = False


def sft_recipe() -> Recipe:
    """Maximum likelihood as a recipe: one term without credit."""
    term = Term("likelihood", _negative_logp, aggregation(RecipeOptions()), advantage=None)
    return Recipe(SFT, "supervised fine-tuning", {}, _no_advantage, (term,), Clip())


class Learning(Policy, Protocol):
    """A policy that can learn from somebody else's episodes: language models, and choices of discrete spaces."""

    def transcribe(self, episode: Episode, rules: str | Mapping[str, str] = "") -> Episode:
        """The episode in the policy's own tokens."""
        ...


def transcribe(policy: Learning, episodes: Sequence[Episode], rules: str | Mapping[str, str] = "") -> Batch:
    """Demonstrations in the policy's own tokens.

    Args:
        policy: Whose tokens they become.
        episodes: Scored episodes; for a language model, of text actions.
        rules: The environment's system prompt, for all seats or by seat.

    Raises:
        DataError: For no demonstrations.
    """
    if not episodes:
        raise DataError("no demonstration to learn from: lower least_reward, or look at what the agent earned.")
    return batch_of([policy.transcribe(episode, rules) for episode in episodes], policy)


def fine_tune(
    policy: Policy,
    batch: Batch,
    *,
    learner: LearnerConfig | None = None,
    epochs: int = 2,
    rows: int = 16,
    seed: int = 0,
    out: str | Path | None = None,
    save_every: int = 0,
    resume: bool = True,
    tensorboard: bool = False,
    on_update: Callable[[Mapping[str, Any]], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> list[dict[str, Any]]:
    """Teach a policy the demonstrations of a batch.

    Args:
        policy: Who learns.
        batch: Demonstrations, from :func:`transcribe`.
        learner: How weights follow.
        epochs: Passes over the batch.
        rows: Rows per optimiser step.
        seed: Decides the order of rows, anew for each pass.
        out: Folder of log, checkpoints and the policy; None keeps nothing.
        save_every: Steps between checkpoints.
        resume: Go on from the last checkpoint in ``out``.
        tensorboard: Write TensorBoard events beside the JSON lines.
        on_update: Told each row of the log.
        stop: Asked after each step; True writes a checkpoint and ends the run there.

    Returns:
        The rows of this run's log.
    """
    settings = learner or LearnerConfig()
    if settings.epochs * settings.minibatches != 1:
        raise ConfigurationError(
            f"epochs={settings.epochs}, minibatches={settings.minibatches} of the learner: expected 1 and 1; passes "
            "over the demonstrations are the epochs of the fine-tuning itself."
        )
    if settings.sharding != "none":
        raise ConfigurationError(
            f"sharding={settings.sharding!r}: demonstrations are learned in one process, expected 'none'."
        )
    teacher = Learner(policy, sft_recipe(), settings, seed=seed)
    order = row_order(len(batch), epochs, rows, seed)
    folder = None if out is None else Path(out)
    done = _resumed(folder, teacher) if folder is not None and resume else 0
    log = None if folder is None else RunLog(folder, done, tensorboard)
    logged = []
    try:
        for step in range(done, len(order)):
            learned = teacher.update(batch.select(order[step]).trimmed(), settings.rate(step, len(order)))
            row = {"update": step + 1, "updates": len(order), "loss": learned["loss"]}
            logged.append(row)
            if log is not None:
                log.write(row)
            if on_update is not None:
                on_update(row)
            stopping = stop is not None and stop()
            due = stopping or step + 1 == len(order) or (save_every and (step + 1) % save_every == 0)
            if folder is not None and due:
                save_checkpoint(folder / CHECKPOINTS, step + 1, {"recipe": SFT, "options": {}, **teacher.state()})
            if stopping:
                return logged
    finally:
        if log is not None:
            log.close()
    if folder is not None:
        policy.save(folder / POLICY)
    return logged


def _resumed(folder: Path, teacher: Learner) -> int:
    found = checkpoints(folder / CHECKPOINTS)
    if not found:
        return 0
    state = load_checkpoint(found[-1], SFT, {})
    teacher.restore(state, found[-1])
    return int(state["update"])


def _no_advantage(batch: Batch) -> Mapping[str, Tensor]:
    return {"policy": torch.ones_like(batch.behaviour_logp)}


def _negative_logp(forward: Forward, batch: Batch, advantage: Tensor, mask: Tensor, clip: Clip) -> Tensor:
    return policy_gradient_loss(forward.logp, torch.ones_like(forward.logp))
