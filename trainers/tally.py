"""What an update logs: sums over micro-batches, steps and processes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from fogline.agents.policies.forward import Forward
from fogline.trainers import diagnostics
from fogline.trainers.batch import Batch
from fogline.trainers.processes import Processes
from fogline.trainers.recipe import Clip, Recipe


@dataclass
class Tally:
    """Sums of what is logged over the steps of an update, on this process.

    Attributes:
        steps: Optimiser steps that were taken.
        sums: What is added up and divided by the steps.
        bounds: Largest and smallest values, by names that end in ``_max`` and ``_min``.
        averages: Sum and number of what is averaged over the tokens that it concerns, however many a step has.
        losses: Of the micro-batches of the step that is under way.
    """

    steps: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    bounds: dict[str, float] = field(default_factory=dict)
    averages: dict[str, tuple[float, float]] = field(default_factory=dict)
    losses: list[float] = field(default_factory=list)

    def add(self, values: Mapping[str, float], share: float = 1.0) -> None:
        """Add parts up; of what is a bound already, keep the outermost."""
        for name, value in values.items():
            outermost = {"_max": max, "_min": min}.get(name[-4:])
            if outermost is None:
                self.sums[name] = self.sums.get(name, 0.0) + share * value
            else:
                self.bounds[name] = outermost(value, self.bounds.get(name, value))

    def average(self, values: Mapping[str, Tensor]) -> None:
        """Take each of the values (``[M]``) into the mean and the bounds of its name; nothing says nothing."""
        for name, seen in values.items():
            if seen.numel():
                self._average({name: (float(seen.double().sum()), float(seen.numel()))})
                self.add({f"{name}_min": float(seen.min()), f"{name}_max": float(seen.max())})

    def _average(self, parts: Mapping[str, tuple[float, float]]) -> None:
        for name, (total, number) in parts.items():
            before = self.averages.get(name, (0.0, 0.0))
            self.averages[name] = (before[0] + total, before[1] + number)

    def means(self, processes: Processes) -> dict[str, float]:
        """Means over the steps, and bounds, of all processes."""
        whole = Tally(self.steps)
        for sums, bounds, averages in processes.gather([(self.sums, self.bounds, self.averages)]):
            whole.add(sums)
            whole.add(bounds)
            whole._average(averages)
        averaged = {name: total / number for name, (total, number) in whole.averages.items()}
        return {name: value / max(self.steps, 1) for name, value in whole.sums.items()} | averaged | whole.bounds


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


def of_loss(
    loss: Tensor, forward: Forward, piece: Batch, advantage: Tensor, mask: Tensor, clip: Clip
) -> dict[str, Tensor]:
    """The weight w = F(r)/r that a loss leaves to each token outside the trust region, as autograd sees it."""
    logp = forward.logp.detach()
    regions = diagnostics.boundary_regions(logp, piece.old_logp, advantage, mask, piece.valid, clip.low, clip.high)
    if not any(bool(region.any()) for region in regions.values()) or not loss.requires_grad:
        return {}
    ones = torch.ones_like(loss)
    (slope,) = torch.autograd.grad(loss, forward.logp, ones, retain_graph=True, materialize_grads=True)
    return {
        f"weight_{name}": diagnostics.probability_weight(slope, logp, piece.old_logp, advantage, region)
        for name, region in regions.items()
    }


def of_modulation(before: Tensor, after: Tensor, batch: Batch) -> dict[str, Tensor]:
    """The factor that a modulation puts on advantages of either sign: both of DynaMO's factors, or its second alone."""
    mask = batch.policy_mask & batch.valid[:, None]
    regions = {"positive": mask & (before > 0), "negative": mask & (before < 0)}
    return {f"modulation_{name}": after[region] / before[region] for name, region in regions.items()}


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
    spread = forward.entropy
    if spread is None and forward.observed is not None:
        spread = forward.observed[..., 0]
    if spread is not None:
        logged |= diagnostics.entropy_statistics(spread.detach(), piece.policy_mask, piece.valid)
    return logged
