"""Losses whose ratio belongs to a whole row: GSPO, RLOO and GMPO.

As in :mod:`fogline.trainers.losses`, each returns ``[N,T]`` with gradient through ``logp`` alone. ``mask`` says which
tokens make up the row; 0 is returned elsewhere, whatever the log-probabilities there. Each function names the
aggregation that makes its published objective.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fogline.trainers.shapes import check_at_least, check_clip, check_mask, check_shapes

_LARGEST = 10.0
"""GSPO's bound on the logarithm of a row's ratio."""
_BOUND = 20.0


def gspo_loss(
    logp: Tensor, old_logp: Tensor, advantage: Tensor, mask: Tensor, clip_low: float, clip_high: float
) -> Tensor:
    """PPO's clip on the geometric mean of a row's ratios: GSPO (Zheng et al., 2025, arXiv 2507.18071).

    The token form: log s_it = sg[mean_t d_it] + log π_it - sg[log π_it], at most 10. F = s_i, and 0 in LN and HP, by
    s. Aggregated with ``seq-mean-token-mean`` it is the published objective.

    Args:
        logp: Under the current policy, ``[N,T]``.
        old_logp: Under the policy at the rollout's weights, ``[N,T]``.
        advantage: ``[N,T]``; the paper's is constant along a row.
        mask: ``[N,T]`` bool.
        clip_low: s may fall to ``1 - clip_low``; 3e-4 in the paper.
        clip_high: s may rise to ``1 + clip_high``; 4e-4 in the paper.

    Raises:
        ConfigurationError: For shapes that differ, or a clip out of range.
    """
    check_clip(clip_low, clip_high)
    logp, log_ratio, advantage = _under_mask(logp, old_logp, advantage, mask)
    mean = log_ratio.detach().sum(1, keepdim=True) / _count(mask)
    ratio = (mean + logp - logp.detach()).clamp(-_BOUND, _LARGEST).exp()
    loss = torch.maximum(-advantage * ratio, -advantage * ratio.clamp(1 - clip_low, 1 + clip_high))
    return torch.where(mask, loss, torch.zeros_like(loss))


def sequence_clipped_loss(
    logp: Tensor, old_logp: Tensor, advantage: Tensor, mask: Tensor, clip_low: float, clip_high: float
) -> Tensor:
    """PPO's clip on the probability of the whole row, r_i = exp(Σ_t d_it): the loss of TRL's RLOO trainer.

    Every token carries its row's loss divided by the row's tokens, so that ``seq-mean-token-sum`` gives the mean over
    rows.

    Args:
        logp: As in :func:`gspo_loss`.
        old_logp: As in :func:`gspo_loss`.
        advantage: As in :func:`gspo_loss`.
        mask: As in :func:`gspo_loss`.
        clip_low: r_i may fall to ``1 - clip_low``.
        clip_high: r_i may rise to ``1 + clip_high``.

    Raises:
        ConfigurationError: For shapes that differ, or a clip out of range.
    """
    check_clip(clip_low, clip_high)
    _, log_ratio, advantage = _under_mask(logp, old_logp, advantage, mask)
    ratio = log_ratio.sum(1, keepdim=True).clamp(-_BOUND, _BOUND).exp()
    loss = torch.maximum(-advantage * ratio, -advantage * ratio.clamp(1 - clip_low, 1 + clip_high))
    return torch.where(mask, loss / _count(mask), torch.zeros_like(loss))


def gmpo_loss(
    logp: Tensor, old_logp: Tensor, advantage: Tensor, mask: Tensor, clip_low: float, clip_high: float
) -> Tensor:
    """-A·exp(mean_t d_it), each d bounded on the side that the advantage pushes: GMPO (arXiv 2507.20673).

    d ≤ clip_high where A > 0 and d ≥ -clip_low where A < 0: the bounds are on the log-ratio. Every token carries its
    row's value, so that ``seq-mean-token-mean`` gives the mean over rows.

    Args:
        logp: As in :func:`gspo_loss`.
        old_logp: As in :func:`gspo_loss`.
        advantage: As in :func:`gspo_loss`.
        mask: As in :func:`gspo_loss`.
        clip_low: Largest fall of a log-ratio; 0.4 in the paper.
        clip_high: Largest rise of a log-ratio; 0.4 in the paper.

    Raises:
        ConfigurationError: For shapes that differ, or a negative clip.
    """
    check_at_least("clip_low", clip_low, 0)
    check_at_least("clip_high", clip_high, 0)
    _, log_ratio, advantage = _under_mask(logp, old_logp, advantage, mask)
    capped = torch.where(advantage > 0, log_ratio.clamp(max=clip_high), log_ratio)
    capped = torch.where(advantage < 0, log_ratio.clamp(min=-clip_low), capped).clamp(-_BOUND, _BOUND)
    ratio = (capped.sum(1, keepdim=True) / _count(mask)).exp()
    return torch.where(mask, -advantage * ratio, torch.zeros_like(advantage))


def _under_mask(logp: Tensor, old_logp: Tensor, advantage: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Log-probabilities, log-ratios and detached advantages, exactly 0 off the mask."""
    check_shapes(logp=logp, old_logp=old_logp, advantage=advantage, mask=mask)
    check_mask(mask=mask)
    zero = torch.zeros_like(logp)
    logp = torch.where(mask, logp, zero)
    log_ratio = logp - torch.where(mask, old_logp.detach(), zero)
    return logp, log_ratio, torch.where(mask, advantage.detach(), zero)


def _count(mask: Tensor) -> Tensor:
    """Tokens of each row, ``[N,1]``, at least 1."""
    return mask.sum(1, keepdim=True).clamp(min=1)
