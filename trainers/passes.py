"""Passes over rows that are all there from the start: their order, and the descent of a loss along it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from fogline.trainers.learner_config import LearnerConfig


def row_order(size: int, epochs: int, rows: int, seed: int) -> list[Tensor]:
    """Row indices of every step, drawn anew for each pass.

    Args:
        size: How many rows there are.
        epochs: Passes.
        rows: Rows of a step.
        seed: Decides the order.
    """
    steps: list[Tensor] = []
    for epoch in range(epochs):
        generator = torch.Generator().manual_seed((seed * 1_000_003 + epoch) % 2**63)
        steps.extend(torch.randperm(size, generator=generator).split(rows))  # type: ignore[no-untyped-call]
    return steps


def descend(
    parameters: Sequence[nn.Parameter],
    loss_of: Callable[[Tensor], Tensor],
    order: Sequence[Tensor],
    settings: LearnerConfig,
) -> list[float]:
    """Take a step of AdamW along each part of an order, without weight decay.

    Args:
        parameters: What learns.
        loss_of: From row indices ``[M]`` to a scalar with gradient.
        order: As :func:`row_order` gives it.
        settings: Rate, schedule and the bound of the gradient.

    Returns:
        The loss of each step.
    """
    optimiser = torch.optim.AdamW(parameters, lr=settings.learning_rate, betas=settings.betas, weight_decay=0.0)
    losses = []
    for step, part in enumerate(order):
        for group in optimiser.param_groups:
            group["lr"] = settings.rate(step, len(order))
        loss = loss_of(part)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(parameters, settings.max_gradient_norm or torch.inf)
        optimiser.step()
        losses.append(loss.item())
    return losses
