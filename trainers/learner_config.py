"""How weights follow a batch: the settings of :class:`~fogline.trainers.learner.Learner`."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from fogline.core.errors import ConfigurationError


class LearnerConfig(BaseModel):
    """How weights follow a batch, whatever the method.

    Attributes:
        learning_rate: Of AdamW.
        schedule: ``constant``, or down to 0 at the last update: ``linear``, ``cosine``.
        warmup: Updates over which the rate rises from 0.
        weight_decay: Of AdamW.
        betas: Of AdamW.
        adam_epsilon: Of AdamW.
        max_gradient_norm: Longest gradient; None for no bound.
        epochs: Passes over a batch.
        minibatches: Optimiser steps per pass.
        micro_batch: Rows per forward pass; gradients of a mini-batch are added up over them.
        old_logp: ``recompute`` scores the batch before the first step; ``first-pass`` takes the first forward pass of
            the update, which is the same where a batch is used for one step; ``sampler`` trusts the sampler's own.
            ``auto`` is ``first-pass`` where that is exact, else ``recompute``.
        correction: Importance correction between sampler and trainer: ``none``, ``truncate`` or ``mask``.
        correction_level: Whether its ratio is that of a ``token`` or of the whole ``sequence``.
        correction_low: Ratios below are masked; None for no bound.
        correction_high: Ratios above are truncated or masked.
        sharding: Of weights and optimiser, where several processes share the work: ``none`` keeps all on each of them,
            ``fsdp`` a part. What is learned is the same, and so are checkpoints.
        log_entropy: Log the policy's entropy where the method does not read it: one more look at the vocabulary.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    learning_rate: float = Field(default=1e-3, gt=0)
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    warmup: int = Field(default=0, ge=0)
    weight_decay: float = Field(default=0.0, ge=0)
    betas: tuple[float, float] = Field(default=(0.9, 0.999), strict=False)
    adam_epsilon: float = Field(default=1e-8, gt=0)
    max_gradient_norm: float | None = Field(default=1.0, gt=0)
    epochs: int = Field(default=1, ge=1)
    minibatches: int = Field(default=1, ge=1)
    micro_batch: int | None = Field(default=None, ge=1)
    old_logp: Literal["auto", "recompute", "first-pass", "sampler"] = "auto"
    correction: Literal["none", "truncate", "mask"] = "none"
    correction_level: Literal["token", "sequence"] = "token"
    correction_low: float | None = Field(default=None, ge=0)
    correction_high: float = Field(default=3.0, gt=0)
    sharding: Literal["none", "fsdp"] = "none"
    log_entropy: bool = False

    def rate(self, update: int, updates: int) -> float:
        """Learning rate of an update, counted from 0."""
        warm = min((update + 1) / (self.warmup + 1), 1.0)
        done = min(update / max(updates, 1), 1.0)
        shape = {"constant": 1.0, "linear": 1.0 - done, "cosine": 0.5 * (1.0 + math.cos(math.pi * done))}
        return self.learning_rate * warm * shape[self.schedule]


def check_old_logp(config: LearnerConfig) -> None:
    """Raise :class:`ConfigurationError` where the old log-probabilities would not be those of the rollout's weights."""
    steps = config.epochs * config.minibatches
    if config.old_logp == "first-pass" and steps > 1:
        raise ConfigurationError(
            f"old_logp='first-pass' with epochs={config.epochs} and minibatches={config.minibatches}: later steps "
            "would take their own weights for the rollout's, and nothing would be clipped. Use old_logp='recompute'."
        )
    if config.old_logp == "sampler" and config.correction != "none":
        raise ConfigurationError(
            f"correction={config.correction!r} with old_logp='sampler' compares the sampler with itself: use "
            "old_logp='recompute', or correction='none'."
        )
