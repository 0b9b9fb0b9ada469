"""Re-weighing the advantage of single tokens by entropy: the token level of DynaMO (2026, arXiv 2602.19208).

Two factors, both detached, multiply the advantage inside the update: *compensation* lifts positive advantages of
confident tokens, whose gradients vanish; *stabilisation* damps the tokens that would change the entropy most. Tensors
are ``[N,T]``; extremes run over the masked tokens that a function is given, so that the caller decides their scope.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fogline.core.errors import ConfigurationError
from fogline.trainers.shapes import check_at_least, check_clip, check_mask, check_shapes, check_unit

_TINY = 1e-8
_BOUND = 20.0
_BLOCK = 1 << 17
"""Entries of a vocabulary that are summed up at once: half a mebibyte in float32."""


@torch.no_grad()
def entropy_compensation(entropy: Tensor, advantage: Tensor, mask: Tensor, strength: float) -> Tensor:
    """1 + α (H_max - H) / (H_max - H_min + 1e-8) where A > 0, and 1 elsewhere.

    The most certain token is lifted by 1 + α, the least certain one not at all.

    Args:
        entropy: H of the current policy's whole distribution, ``[N,T]`` in nats.
        advantage: A, ``[N,T]``.
        mask: ``[N,T]`` bool; what lies off it enters neither extreme and has the factor 1.
        strength: α, at least 0.

    Raises:
        ConfigurationError: For shapes that differ, or a strength that is negative or infinite.
    """
    check_shapes(entropy=entropy, advantage=advantage, mask=mask)
    check_mask(mask=mask)
    check_at_least("strength", strength, 0)
    if strength == math.inf:
        raise ConfigurationError(f"strength={strength} is out of range: expected a finite number.")
    if not mask.any():
        return torch.ones_like(advantage)
    most, least = entropy[mask].max(), entropy[mask].min()
    lifted = 1 + strength * (most - entropy) / (most - least + _TINY)
    return torch.where(mask & (advantage > 0), lifted.to(advantage.dtype), torch.ones_like(advantage))


@torch.no_grad()
def clipped_step(log_ratio: Tensor, advantage: Tensor, clip_low: float, clip_high: float) -> Tensor:
    """ξ = r·A inside the trust region, ``[N,T]``, and 0 where PPO's clip has no gradient.

    Args:
        log_ratio: log π - log π_old, ``[N,T]``.
        advantage: A, ``[N,T]``.
        clip_low: A negative advantage moves a token down to a ratio of ``1 - clip_low``.
        clip_high: A positive one moves it up to ``1 + clip_high``.

    Raises:
        ConfigurationError: For shapes that differ, or a clip out of range.
    """
    check_shapes(log_ratio=log_ratio, advantage=advantage)
    check_clip(clip_low, clip_high)
    ratio = log_ratio.clamp(-_BOUND, _BOUND).exp()
    outside = ((advantage > 0) & (ratio > 1 + clip_high)) | ((advantage < 0) & (ratio < 1 - clip_low))
    return torch.where(outside, torch.zeros_like(ratio), ratio * advantage)


@torch.no_grad()
def entropy_change(step: Tensor, logp: Tensor, entropy: Tensor, expectation: Tensor) -> Tensor:
    """-ξ (π Λ - E[π Λ]) with Λ = log π + H: the entropy that a step on one token's logits changes, to first order.

    Exact for a softmax whose logits move by ξ ∂ log π(a) / ∂z when the expectation is over the vocabulary, see
    :func:`vocabulary_moments`; :func:`sequence_expectation` is the release's stand-in.

    Args:
        step: ξ, ``[N,T]``.
        logp: log π of the sampled token, ``[N,T]``.
        entropy: H, ``[N,T]`` in nats.
        expectation: E[π Λ], ``[N,T]``.

    Raises:
        ConfigurationError: For shapes that differ.
    """
    check_shapes(step=step, logp=logp, entropy=entropy, expectation=expectation)
    return -step * (logp.exp() * (logp + entropy) - expectation)


@torch.no_grad()
def entropy_stabilisation(
    change: Tensor, step: Tensor, mask: Tensor, least: float, slope: float, threshold: float
) -> Tensor:
    """λ + (1 - λ) / (1 + exp(γ (x - τ))), x the size of the change over the largest one.

    Scaling every advantage scales ξ and the change alike, and leaves x as it is: the remainder that keeps the
    denominator from 0 is 1e-8 of the largest ξ. Where nothing changes but rounding, x is next to 0.

    Args:
        change: Of the entropy, ``[N,T]``, as :func:`entropy_change` has it.
        step: ξ, ``[N,T]``.
        mask: ``[N,T]`` bool; what lies off it has the factor 1.
        least: λ in ``[0, 1]``, which the factor falls to.
        slope: γ, at least 0.
        threshold: τ, the x at which half of the fall is done.

    Raises:
        ConfigurationError: For shapes that differ, or a number out of range.
    """
    check_shapes(change=change, step=step, mask=mask)
    check_mask(mask=mask)
    check_unit("least", least)
    check_at_least("slope", slope, 0)
    size = torch.where(mask, change.abs(), torch.zeros_like(change))
    largest = torch.where(mask, step.abs(), torch.zeros_like(step)).amax() if mask.any() else step.new_zeros(())
    if not largest > 0:
        return torch.ones_like(change)
    share = size / (size.amax() + _TINY * largest)
    factor = least + (1 - least) * (-slope * (share - threshold)).sigmoid()
    return torch.where(mask, factor, torch.ones_like(factor))


@torch.no_grad()
def vocabulary_moments(logp: Tensor) -> Tensor:
    """H and Σ_k π_k² (log π_k + H) of log-probabilities ``[M,V]``, as ``[M,2]`` in nats.

    The second is E[π Λ] over the vocabulary. What has no probability adds nothing.
    """
    # On a processor a block stays in its cache, which makes this eight times as fast.
    rows = max(1, _BLOCK // logp.shape[1]) if logp.is_cpu else max(1, len(logp))
    return torch.cat([_moments(block) for block in torch.split(logp, rows)])


def _moments(logp: Tensor) -> Tensor:
    finite = logp if logp.numel() and logp.min() > -torch.inf else logp.clamp(min=torch.finfo(logp.dtype).min)
    probability = logp.exp()
    entropy = -torch.linalg.vecdot(probability, finite)
    square = probability.square_()
    return torch.stack((entropy, torch.linalg.vecdot(square, finite) + entropy * square.sum(-1)), -1)


@torch.no_grad()
def sequence_expectation(logp: Tensor, entropy: Tensor, mask: Tensor) -> Tensor:
    """The mean of π Λ over the sampled tokens of each row, on each of them, ``[N,T]``: the release's E[π Λ].

    Args:
        logp: log π of the sampled tokens, ``[N,T]``.
        entropy: H, ``[N,T]``.
        mask: ``[N,T]`` bool.

    Raises:
        ConfigurationError: For shapes that differ.
    """
    check_shapes(logp=logp, entropy=entropy, mask=mask)
    check_mask(mask=mask)
    value = torch.where(mask, logp.exp() * (logp + entropy), torch.zeros_like(logp))
    mean = value.sum(1, keepdim=True) / mask.sum(1, keepdim=True).clamp(min=1)
    return mean.expand_as(logp)
