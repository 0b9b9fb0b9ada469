"""What an update logs: sums over micro-batches, steps and processes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from fogline.agents.policies.forward import Forward
from fogline.trainers import diagnostics
from fogline.trainers.batch import Batch
from fogline.trainers.processes import Processes
from fogline.trainers.recipe import Recipe


@dataclass
class Tally:
    """Sums of what is logged over the steps of an update, on this process.

    Attributes:
        steps: Optimiser steps that were taken.
        sums: What is added up and divided by the steps.
        bounds: Largest and smallest values, by names that end in ``_max`` and ``_min``.
        losses: Of the micro-batches of the step that is under way.
    """

    steps: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    bounds: dict[str, float] = field(default_factory=dict)
    losses: list[float] = field(default_factory=list)

    def add(self, values: Mapping[str, float], share: float = 1.0) -> None:
        """Add parts up; of what is a bound already, keep the outermost."""
        for name, value in values.items():
            outermost = {"_max": max, "_min": min}.get(name[-4:])
            if outermost is None:
                self.sums[name] = self.sums.get(name, 0.0) + share * value
            else:
                self.bounds[name] = outermost(value, self.bounds.get(name, value))

    def means(self, processes: Processes) -> dict[str, float]:
        """Means over the steps, and bounds, of all processes."""
        whole = Tally(self.steps)
        for sums, bounds in processes.gather([(self.sums, self.bounds)]):
            whole.add(sums)
            whole.add(bounds)
        return {name: value / max(self.steps, 1) for name, value in whole.sums.items()} | whole.bounds


def of_batch(raw: Batch, prepared: Batch) -> dict[str, float]:
    """What the batch says before any step."""
    length = raw.policy_mask.sum(1)
    rewards = {name: value for name, value in raw.session.items() if name != "turns"}
    logged = diagnostics.group_statistics(rewards, length, raw.truncated, raw.group, raw.valid)
    if prepared.old_logp is not raw.old_logp:
        logged |= mismatch(prepared)
    return logged


def mismatch(batch: Batch) -> dict[str, float]:
    """How far the sampler is from the trainer at the rollout's weights."""
    return diagnostics.mismatch_statistics(batch.old_logp, batch.behaviour_logp, batch.policy_mask, batch.valid)


def of_step(forward: Forward, piece: Batch, credit: Mapping[str, Tensor], recipe: Recipe) -> dict[str, float]:
    """What one forward pass says of a micro-batch."""
    logged = diagnostics.ratio_statistics(
        forward.logp.detach(),
        piece.old_logp,
        credit["policy"],
        piece.policy_mask,
        piece.valid,
        recipe.clip.low,
        recipe.clip.high,
    )
    if forward.entropy is not None:
        logged |= diagnostics.entropy_statistics(forward.entropy.detach(), piece.policy_mask, piece.valid)
    return logged
