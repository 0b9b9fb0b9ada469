"""What a run logs about an update: pure functions from tensors to named numbers.

Averages run over the tokens of ``mask`` in rows that are ``valid``; a number over nothing is left out of the result,
because "cannot say" is not 0. Names are stable: they are columns of the log.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from fogline.trainers.groups import Groups
from fogline.trainers.losses import kl_loss
from fogline.trainers.shapes import check_clip, check_mask, check_per_row, check_rows, check_shapes


@torch.no_grad()
def ratio_statistics(
    logp: Tensor, old_logp: Tensor, advantage: Tensor, mask: Tensor, valid: Tensor, clip_low: float, clip_high: float
) -> dict[str, float]:
    """How far the update has moved from the rollout's weights.

    Args:
        logp: ``[N,T]``.
        old_logp: ``[N,T]``.
        advantage: ``[N,T]``.
        mask: ``[N,T]`` bool.
        valid: ``[N]`` bool.
        clip_low: The band's lower width.
        clip_high: The band's upper width.

    Returns:
        ``ratio_mean``, ``ratio_max``, ``ratio_min``; ``clip_left_negative`` and ``clip_right_positive``, the shares
        of tokens in the regions LN and HP; ``kl_k1`` and ``kl_k3``, estimates of KL(π_old ‖ π) in nats.

    Raises:
        ConfigurationError: For shapes that differ, or a clip out of range.
    """
    check_clip(clip_low, clip_high)
    check_shapes(logp=logp, old_logp=old_logp, advantage=advantage, mask=mask)
    kept = _kept(mask, valid)
    if not kept.any():
        return {}
    logp, old_logp, advantage = logp[kept], old_logp[kept], advantage[kept]
    ratio = (logp - old_logp).clamp(-20, 20).exp()
    return {
        "ratio_mean": ratio.mean().item(),
        "ratio_max": ratio.max().item(),
        "ratio_min": ratio.min().item(),
        "clip_left_negative": ((advantage < 0) & (ratio < 1 - clip_low)).double().mean().item(),
        "clip_right_positive": ((advantage > 0) & (ratio > 1 + clip_high)).double().mean().item(),
        "kl_k1": kl_loss(old_logp, logp, "k1").mean().item(),
        "kl_k3": kl_loss(old_logp, logp, "k3").mean().item(),
    }


@torch.no_grad()
def boundary_regions(
    logp: Tensor, old_logp: Tensor, advantage: Tensor, mask: Tensor, valid: Tensor, clip_low: float, clip_high: float
) -> dict[str, Tensor]:
    """Where a token has left the trust region on the side that its advantage pushes to; as for the ratio's statistics.

    Returns:
        ``left_negative`` (LN) and ``right_positive`` (HP), ``[N,T]`` bool.

    Raises:
        ConfigurationError: For shapes that differ, or a clip out of range.
    """
    check_clip(clip_low, clip_high)
    check_shapes(logp=logp, old_logp=old_logp, advantage=advantage, mask=mask)
    kept = _kept(mask, valid)
    ratio = (logp - old_logp).clamp(-20, 20).exp()
    return {
        "left_negative": kept & (advantage < 0) & (ratio < 1 - clip_low),
        "right_positive": kept & (advantage > 0) & (ratio > 1 + clip_high),
    }


@torch.no_grad()
def probability_weight(slope: Tensor, logp: Tensor, old_logp: Tensor, advantage: Tensor, region: Tensor) -> Tensor:
    """The weight w = F(r)/r of a region's tokens, ``[M]``: what a loss multiplies into A·∂π/∂θ, times π_old.

    It is 1 for the true off-policy gradient and 0 where a loss clips. DGPO's lies in (0, 1] and falls with the
    distance from the trust region; that of GPPO and CISPO grows without bound as a token dies.

    Args:
        slope: Derivative of the token losses by ``logp``, ``[N,T]``: -A·F(r).
        logp: ``[N,T]``.
        old_logp: ``[N,T]``.
        advantage: ``[N,T]``, not 0 in the region.
        region: ``[N,T]`` bool.

    Raises:
        ConfigurationError: For shapes that differ.
    """
    check_shapes(slope=slope, logp=logp, old_logp=old_logp, advantage=advantage, region=region)
    check_mask(region=region)
    ratio = (logp - old_logp)[region].clamp(-20, 20).exp()
    return -slope[region] / advantage[region] / ratio


@torch.no_grad()
def entropy_statistics(entropy: Tensor, mask: Tensor, valid: Tensor) -> dict[str, float]:
    """``entropy_mean`` in nats, over masked tokens (``entropy`` and ``mask``: ``[N,T]``; ``valid``: ``[N]``).

    Raises:
        ConfigurationError: For shapes that differ.
    """
    check_shapes(entropy=entropy, mask=mask)
    kept = _kept(mask, valid)
    return {"entropy_mean": entropy[kept].mean().item()} if kept.any() else {}


@torch.no_grad()
def mismatch_statistics(old_logp: Tensor, behaviour_logp: Tensor, mask: Tensor, valid: Tensor) -> dict[str, float]:
    """How far the sampler's log-probabilities lie from the trainer's at the same weights.

    Args:
        old_logp: Of the trainer, ``[N,T]``.
        behaviour_logp: Of the sampler, ``[N,T]``.
        mask: ``[N,T]`` bool.
        valid: ``[N]`` bool.

    Returns:
        ``mismatch_mean`` and ``mismatch_max`` of the absolute difference, and ``mismatch_kl``, the k3 estimate of
        KL(sampler ‖ trainer); all in nats.

    Raises:
        ConfigurationError: For shapes that differ.
    """
    check_shapes(old_logp=old_logp, behaviour_logp=behaviour_logp, mask=mask)
    kept = _kept(mask, valid)
    if not kept.any():
        return {}
    old_logp, behaviour_logp = old_logp[kept], behaviour_logp[kept]
    apart = (old_logp - behaviour_logp).abs()
    return {
        "mismatch_mean": apart.mean().item(),
        "mismatch_max": apart.max().item(),
        "mismatch_kl": kl_loss(behaviour_logp, old_logp, "k3").mean().item(),
    }


@torch.no_grad()
def group_statistics(
    rewards: Mapping[str, Tensor], length: Tensor, truncated: Tensor, group: Tensor, valid: Tensor
) -> dict[str, float]:
    """What the groups of a batch have to teach.

    Args:
        rewards: Named ``[N]`` rewards.
        length: ``[N]``, policy tokens of each row.
        truncated: ``[N]`` bool, cut by a budget.
        group: ``[N]`` integer ids.
        valid: ``[N]`` bool.

    Returns:
        ``rows_valid`` (a share) and, over valid rows, ``length_mean`` and ``truncated_share``. For each reward NAME:
        ``NAME_mean`` and ``NAME_std`` (population) over rows; over groups with a valid row, ``NAME_tied``, the share
        whose rows all earned the same, and ``NAME_density``, the share in which some row earned more than 0.

    Raises:
        ConfigurationError: For shapes that differ.
        DataError: For a reward of a valid row that is not finite.
    """
    check_shapes(group=group, valid=valid, length=length, truncated=truncated)
    check_mask(valid=valid, truncated=truncated)
    if not valid.any():
        return {"rows_valid": 0.0} if len(valid) else {}
    found = {
        "rows_valid": valid.double().mean().item(),
        "length_mean": length[valid].double().mean().item(),
        "truncated_share": truncated[valid].double().mean().item(),
    }
    for name, reward in rewards.items():
        check_rows(reward, group, valid, name)
        earned = reward[valid].double()
        groups = Groups.of(group[valid], torch.ones_like(valid[valid]))
        largest, least = groups.largest(earned), -groups.largest(-earned)
        # Each row weighs one over its group's size, so that every group counts once.
        share = 1 / groups.count(earned) / groups.number
        found[f"{name}_mean"] = earned.mean().item()
        found[f"{name}_std"] = earned.std(correction=0).item()
        found[f"{name}_tied"] = share[largest == least].sum().item()
        found[f"{name}_density"] = share[largest > 0].sum().item()
    return found


def _kept(mask: Tensor, valid: Tensor) -> Tensor:
    """Masked tokens of valid rows, ``[N,T]``."""
    check_mask(mask=mask, valid=valid)
    check_per_row(len(mask), valid=valid)
    return mask & valid[:, None]
