"""HIAN's neighbours: GDPO normalises every reward on its own, MT-GRPO adds a turn's advantage to the outcome's."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from fogline.core.errors import ConfigurationError, check_keys
from fogline.trainers.advantages import group_normalise
from fogline.trainers.hian import WHITENING_EPSILON, check_sessions, turn_cells


@torch.no_grad()
def gdpo(
    components: Mapping[str, Tensor],
    weights: Mapping[str, float],
    group: Tensor,
    valid: Tensor,
    *,
    ddof: int = 1,
    epsilon: float = WHITENING_EPSILON,
) -> Tensor:
    """Each reward normalised in its group, added by weight, whitened over the batch: GDPO (arXiv 2601.05242), ``[N]``.

    Args:
        components: Rewards by name, each ``[N]``; of turn terms, their sums over the session.
        weights: Of the components; one that is missing weighs 1.
        group: ``[N]`` integer ids.
        valid: ``[N]`` bool.
        ddof: Of the deviations, as in :func:`~fogline.trainers.advantages.group_normalise`.
        epsilon: Added to the deviations.

    Raises:
        ConfigurationError: For no component, a weight of one that is not there, a number out of range, or shapes that
            differ.
        DataError: For a reward of a valid row that is not finite.
    """
    if not components:
        raise ConfigurationError("components is empty: expected at least one reward.")
    check_keys("weights", weights, components)
    parts = [
        weights.get(name, 1.0) * group_normalise(reward, group, valid, ddof, epsilon)
        for name, reward in components.items()
    ]
    return group_normalise(torch.stack(parts).sum(0), torch.zeros_like(group), valid, ddof, epsilon)


@torch.no_grad()
def mt_grpo(
    session: Tensor,
    turn: Tensor,
    turn_mask: Tensor,
    group: Tensor,
    valid: Tensor,
    *,
    coefficient: float = 1.0,
    ddof: int = 1,
    epsilon: float = 1e-6,
) -> Tensor:
    """Outcome advantage, plus the turn's own on all turns but the last: MT-GRPO (arXiv 2505.11821), ``[N,K]``.

    The turn's own compares it with the same turn of its group. It stays on its turn: adding centred turn rewards up
    over a session would pay for its length (verl issue 7244).

    Args:
        session: ``[N]``.
        turn: ``[N,K]``.
        turn_mask: ``[N,K]`` bool.
        group: ``[N]`` integer ids.
        valid: ``[N]`` bool.
        coefficient: λ of the turn advantage; 1 in the released trainer.
        ddof: Of the deviations.
        epsilon: Added to the deviations.

    Raises:
        ConfigurationError: As :func:`hian`.
        DataError: As :func:`hian`.
    """
    check_sessions(session, turn, turn_mask, group, valid)
    live = turn_mask & valid[:, None]
    outcome = group_normalise(session, group, valid, ddof, epsilon)
    cells, flat = turn_cells(live, group), torch.where(live, turn, torch.zeros_like(turn)).flatten()
    deviation = cells.deviation(flat, ddof)
    own = torch.where(deviation > 0, cells.centred(flat) / (deviation + epsilon), torch.zeros_like(flat))
    place = torch.arange(turn.shape[1], device=turn.device)
    before_last = place < turn_mask.sum(1, keepdim=True) - 1
    total = outcome[:, None] + coefficient * torch.where(before_last, own.view_as(turn), torch.zeros_like(turn))
    return torch.where(live, total, torch.zeros_like(total))
