"""Correction between the sampler's and the trainer's log-probabilities of the same tokens and weights.

A sampler in another precision, or with older weights, draws from another policy than the one whose ratio the losses
read. The weight w = π_old / π_behaviour puts that right, truncated or masked to bound its variance.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fogline.core.errors import ConfigurationError, check_choice
from fogline.trainers.shapes import check_mask, check_shapes

_BOUND = 20.0


@torch.no_grad()
def importance_weight(
    old_logp: Tensor,
    behaviour_logp: Tensor,
    mask: Tensor,
    correction: str = "none",
    level: str = "token",
    low: float | None = None,
    high: float | None = 3.0,
) -> Tensor:
    """Detached weight of each token, ``[N,T]``, to multiply its loss by; 1 off the mask.

    Truncated importance sampling is Yao et al. (2025), "Your efficient RL framework secretly brings you off-policy
    RL training"; masked, Liu et al. (2025), "When speed kills stability". TRL has both, at both levels.

    Args:
        old_logp: Of the trainer at the rollout's weights, ``[N,T]``.
        behaviour_logp: Of the sampler, ``[N,T]``.
        mask: ``[N,T]`` bool, the policy's tokens. What lies off it is not read.
        correction: ``"none"``: 1. ``"truncate"``: w bounded to ``[low, high]``. ``"mask"``: w, and 0 outside
            ``[low, high]``.
        level: ``"token"``: w of each token. ``"sequence"``: the product over a row's tokens, on each of them.
        low: None for no lower bound.
        high: None for no upper bound.

    Raises:
        ConfigurationError: For an unknown choice, shapes that differ, or bounds that are not 0 <= low <= high.
    """
    check_choice("correction", correction, ("none", "truncate", "mask"))
    check_choice("level", level, ("token", "sequence"))
    check_shapes(old_logp=old_logp, behaviour_logp=behaviour_logp, mask=mask)
    check_mask(mask=mask)
    least, most = 0.0 if low is None else low, float("inf") if high is None else high
    if not 0 <= least <= most:
        raise ConfigurationError(f"low={low}, high={high} are out of range: expected 0 <= low <= high.")
    if correction == "none":
        return torch.ones_like(old_logp)
    apart = torch.where(mask, old_logp - behaviour_logp, torch.zeros_like(old_logp))
    if level == "sequence":
        apart = apart.sum(1, keepdim=True).expand_as(apart)
    weight = apart.clamp(-_BOUND, _BOUND).exp()
    if correction == "truncate":
        weight = weight.clamp(least, most)
    else:
        weight = torch.where((weight < least) | (weight > most), torch.zeros_like(weight), weight)
    return torch.where(mask, weight, torch.ones_like(weight))
