"""Losses of single tokens: what each optimiser does to the ratio r = π/π_old, written as in its paper.

Every function takes ``[N,T]`` tensors of one shape and returns the loss of each token, ``[N,T]``; the gradient flows
through the first argument alone, and :func:`~fogline.trainers.aggregation.aggregate` makes one number of them. The
docstrings give F(r), the *log-weight*: the gradient of the loss by log π is -A·F(r). The true off-policy gradient has
F = r. The log-ratio is bounded to ±20 before it is exponentiated, so that neither value nor gradient overflows.

Two regions have names. *Left-negative* (LN): A < 0 and r < 1 - clip_low. *Right-positive* (HP): A > 0 and
r > 1 + clip_high. There, the token has already moved as far as the trust region allows.

Losses whose ratio belongs to a whole row are in :mod:`fogline.trainers.sequence_losses`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fogline.core.errors import ConfigurationError, check_choice
from fogline.trainers.aggregation import AGGREGATIONS, aggregate
from fogline.trainers.sequence_losses import gmpo_loss, gspo_loss, sequence_clipped_loss
from fogline.trainers.shapes import check_at_least, check_clip, check_positive, check_shapes

__all__ = [
    "AGGREGATIONS",
    "LOG_RATIO_BOUND",
    "aggregate",
    "aspo_loss",
    "boundary_decay",
    "ce_gppo_loss",
    "cispo_loss",
    "clipped_loss",
    "dgpo_loss",
    "gmpo_loss",
    "gppo_loss",
    "gspo_loss",
    "kl_loss",
    "policy_gradient_loss",
    "sapo_loss",
    "sequence_clipped_loss",
    "value_loss",
]

LOG_RATIO_BOUND = 20.0
"""Log-ratios are bounded to plus and minus this before they are exponentiated."""


def policy_gradient_loss(logp: Tensor, advantage: Tensor) -> Tensor:
    """-A·log π: REINFORCE (Williams, 1992). F = 1.

    Raises:
        ConfigurationError: For shapes that differ.
    """
    check_shapes(logp=logp, advantage=advantage)
    return -advantage.detach() * logp


def clipped_loss(
    logp: Tensor,
    old_logp: Tensor,
    advantage: Tensor,
    clip_low: float,
    clip_high: float,
    dual_clip: float | None = None,
) -> Tensor:
    """-min(r·A, clip(r, 1 - clip_low, 1 + clip_high)·A): PPO (Schulman et al., 2017, arXiv 1707.06347), GRPO, DAPO.

    F = r, and 0 in LN and HP; with ``dual_clip`` also 0 where A < 0 and r > dual_clip (Ye et al., 2020,
    arXiv 1912.09729; TRL's ``delta``).

    Args:
        logp: Log-probabilities under the current policy, ``[N,T]``.
        old_logp: Under the policy at the rollout's weights, ``[N,T]``.
        advantage: ``[N,T]``.
        clip_low: The ratio may fall to ``1 - clip_low``.
        clip_high: It may rise to ``1 + clip_high``.
        dual_clip: With A < 0 the ratio counts at most this much; None for no bound.

    Raises:
        ConfigurationError: For shapes that differ, or a clip out of range.
    """
    check_clip(clip_low, clip_high)
    advantage = advantage.detach()
    ratio = _log_ratio(logp, old_logp, advantage).exp()
    loss = torch.maximum(-advantage * ratio, -advantage * ratio.clamp(1 - clip_low, 1 + clip_high))
    return loss if dual_clip is None else _dual_clipped(loss, advantage, clip_high, dual_clip)


def boundary_decay(
    log_ratio: Tensor, advantage: Tensor, left_power: float, right_power: float, clip_low: float, clip_high: float
) -> Tensor:
    """The log of the weight w that a loss leaves to tokens outside the trust region; detached.

    w = (r/lb)^left_power in LN, (ub/r)^right_power in HP and 1 elsewhere, with lb = 1 - clip_low, ub = 1 + clip_high.
    The surrogate is then r·w with w held constant, and F = r·w. Special cases: powers (n, 1/m) are DGPO, (-1, 1)
    GPPO, (0, 0) no clipping, and infinite ones the gradient of PPO, whose *value* outside the band differs by a
    constant.

    Args:
        log_ratio: ``[N,T]``.
        advantage: ``[N,T]``.
        left_power: Of the decay in LN; ``inf`` for a hard clip.
        right_power: Of the decay in HP; ``inf`` for a hard clip.
        clip_low: As in :func:`clipped_loss`.
        clip_high: As in :func:`clipped_loss`.

    Raises:
        ConfigurationError: For shapes that differ, or a number out of range.
    """
    check_clip(clip_low, clip_high)
    check_shapes(log_ratio=log_ratio, advantage=advantage)
    for name, power in (("left_power", left_power), ("right_power", right_power)):
        if math.isnan(power) or power == -math.inf:
            raise ConfigurationError(f"{name}={power} is out of range: expected a number, or inf for a hard clip.")
    log_ratio, advantage = log_ratio.detach(), advantage.detach()
    low, high = _log_band(clip_low, clip_high)
    under, over = (low - log_ratio).relu(), (log_ratio - high).relu()
    none = torch.zeros_like(log_ratio)
    # Selecting first keeps inf * 0, which is NaN, out of the band.
    left = torch.where((advantage < 0) & (under > 0), -left_power * torch.where(under > 0, under, 1), none)
    right = torch.where((advantage > 0) & (over > 0), -right_power * torch.where(over > 0, over, 1), none)
    return left + right


def dgpo_loss(
    logp: Tensor, old_logp: Tensor, advantage: Tensor, clip_low: float, clip_high: float, n: float, m: float
) -> Tensor:
    """-A·exp(d + log w), d the log-ratio: DGPO (2026, arXiv 2603.14389) in its overflow-safe form.

    F = r inside the band; r·(r/lb)^n in LN, a polynomial decay; r·(ub/r)^(1/m) in HP, by an m-th root. There is no
    dual clip.

    Args:
        logp: As in :func:`clipped_loss`.
        old_logp: As in :func:`clipped_loss`.
        advantage: As in :func:`clipped_loss`.
        clip_low: As in :func:`clipped_loss`.
        clip_high: As in :func:`clipped_loss`.
        n: Power of the left decay, at least 0; the paper has integers.
        m: Root of the right decay, above 0; the paper has integers.

    Raises:
        ConfigurationError: For shapes that differ, or a number out of range.
    """
    check_at_least("n", n, 0)
    check_positive("m", m)
    advantage = advantage.detach()
    log_ratio = _log_ratio(logp, old_logp, advantage)
    decay = boundary_decay(log_ratio, advantage, n, 1 / m, clip_low, clip_high)
    return -advantage * (log_ratio + decay).exp()


def gppo_loss(logp: Tensor, old_logp: Tensor, advantage: Tensor, clip_low: float, clip_high: float) -> Tensor:
    """PPO's clipped value with the gradient kept outside the band: GPPO (Su et al., 2025, arXiv 2508.07629).

    F = r inside; lb in LN and ub in HP.

    Raises:
        ConfigurationError: For shapes that differ, or a clip out of range.
    """
    advantage = advantage.detach()
    log_ratio = _log_ratio(logp, old_logp, advantage)
    return -advantage * (log_ratio + boundary_decay(log_ratio, advantage, -1, 1, clip_low, clip_high)).exp()


def ce_gppo_loss(
    logp: Tensor,
    old_logp: Tensor,
    advantage: Tensor,
    clip_low: float,
    clip_high: float,
    left: float,
    right: float,
    dual_clip: float | None = None,
) -> Tensor:
    """GPPO with the kept gradients scaled: CE-GPPO (Su et al., 2025, arXiv 2509.20712).

    F = r inside; left·lb in LN and right·ub in HP: continuous at the boundaries only for factors of 1.

    Args:
        logp: As in :func:`clipped_loss`.
        old_logp: As in :func:`clipped_loss`.
        advantage: As in :func:`clipped_loss`.
        clip_low: As in :func:`clipped_loss`.
        clip_high: As in :func:`clipped_loss`.
        left: Factor in LN; 0.5 for the paper's 1.5B model, 0.75 for 7B.
        right: Factor in HP; 1 in the paper.
        dual_clip: As in :func:`clipped_loss`; the authors' code has 10.

    Raises:
        ConfigurationError: For shapes that differ, or a number out of range.
    """
    check_at_least("left", left, 0)
    check_at_least("right", right, 0)
    kept = gppo_loss(logp, old_logp, advantage, clip_low, clip_high)
    advantage = advantage.detach()
    log_ratio = _log_ratio(logp, old_logp, advantage).detach()
    low, high = _log_band(clip_low, clip_high)
    under, over = (advantage < 0) & (log_ratio < low), (advantage > 0) & (log_ratio > high)
    loss = torch.where(under, left * kept, torch.where(over, right * kept, kept))
    return loss if dual_clip is None else _dual_clipped(loss, advantage, clip_high, dual_clip)


def cispo_loss(
    logp: Tensor, old_logp: Tensor, advantage: Tensor, clip_low: float, clip_high: float, variant: str = "verl"
) -> Tensor:
    """-sg[clip(r)]·A·log π: CISPO (MiniMax-M1, 2025, arXiv 2506.13585). Only its gradient is meaningful.

    Args:
        logp: As in :func:`clipped_loss`.
        old_logp: As in :func:`clipped_loss`.
        advantage: As in :func:`clipped_loss`.
        clip_low: As in :func:`clipped_loss`; not read by ``"trl"``.
        clip_high: ``"verl"``: as in :func:`clipped_loss`. ``"trl"``: the cap itself, such as 5.
        variant: ``"verl"``: F = clip(r, 1 - clip_low, 1 + clip_high). ``"trl"``: F = min(r, clip_high).

    Raises:
        ConfigurationError: For an unknown variant, shapes that differ, or a clip out of range.
    """
    check_choice("variant", variant, ("verl", "trl"))
    check_clip(clip_low, clip_high)
    ratio = _log_ratio(logp, old_logp, advantage).exp().detach()
    weight = ratio.clamp(1 - clip_low, 1 + clip_high) if variant == "verl" else ratio.clamp(max=clip_high)
    return -weight * advantage.detach() * logp


def aspo_loss(
    logp: Tensor,
    old_logp: Tensor,
    advantage: Tensor,
    clip_low: float,
    clip_high: float,
    cap_positive: float = 3.0,
    cap_negative: float = 3.0,
) -> Tensor:
    """The ratio turned over where A > 0, so that lagging tokens step further: ASPO (2025, arXiv 2510.06062).

    F = min(1/r, cap_positive) where A > 0, and 0 in HP; F = min(r, cap_negative) where A < 0, and 0 in LN. Capped
    tokens keep their gradient: their loss is -A·cap·log π, whose value is not a ratio.

    Args:
        logp: As in :func:`clipped_loss`.
        old_logp: As in :func:`clipped_loss`.
        advantage: As in :func:`clipped_loss`.
        clip_low: As in :func:`clipped_loss`.
        clip_high: As in :func:`clipped_loss`.
        cap_positive: Largest weight where A > 0.
        cap_negative: Largest weight where A < 0.

    Raises:
        ConfigurationError: For shapes that differ, or a number out of range.
    """
    check_clip(clip_low, clip_high)
    check_positive("cap_positive", cap_positive)
    check_positive("cap_negative", cap_negative)
    advantage = advantage.detach()
    ratio = _log_ratio(logp, old_logp, advantage).exp()
    below, above = ratio.clamp(max=1 + clip_high), ratio.clamp(min=1 - clip_low)
    turned = below.detach().reciprocal()
    positive = torch.where(turned > cap_positive, cap_positive * logp, below * turned * turned)
    negative = torch.where(above.detach() > cap_negative, cap_negative * logp, above)
    return -advantage * torch.where(advantage > 0, positive, negative)


def sapo_loss(
    logp: Tensor,
    old_logp: Tensor,
    advantage: Tensor,
    temperature_positive: float = 1.0,
    temperature_negative: float = 1.05,
) -> Tensor:
    """-A·(4/τ)·sigmoid(τ(r - 1)): SAPO (Gao et al., 2025, arXiv 2511.20347), a gate without edges.

    F = r·sech²(τ(r - 1)/2).

    Args:
        logp: As in :func:`clipped_loss`.
        old_logp: As in :func:`clipped_loss`.
        advantage: As in :func:`clipped_loss`.
        temperature_positive: τ where A > 0.
        temperature_negative: τ elsewhere.

    Raises:
        ConfigurationError: For shapes that differ, or a temperature that is not positive.
    """
    check_positive("temperature_positive", temperature_positive)
    check_positive("temperature_negative", temperature_negative)
    advantage = advantage.detach()
    ratio = _log_ratio(logp, old_logp, advantage).exp()
    temperature = torch.full_like(ratio, temperature_negative).masked_fill(advantage > 0, temperature_positive)
    return -advantage * (temperature * (ratio - 1)).sigmoid() * 4 / temperature


def kl_loss(
    logp: Tensor,
    reference_logp: Tensor,
    estimator: str,
    clamp: float | None = None,
    old_logp: Tensor | None = None,
) -> Tensor:
    """An estimate of KL(π ‖ reference) from each sampled token (Schulman, "Approximating KL divergence", 2020).

    With x = log reference - log π: ``k1`` = -x, ``k2`` = x²/2, ``k3`` = exp(x) - x - 1, whose x is bounded to ±20.
    All are read from samples of π. As a *loss*, ``k2`` has the gradient of the divergence in expectation, ``k3``
    approximates it, and that of ``k1`` is 0 in expectation: it belongs into the reward. Given ``old_logp``, the
    policy that sampled, the estimate is multiplied by the ratio, which makes value and gradient of ``k1`` and ``k3``
    those of the divergence in expectation (DeepSeek-V3.2, arXiv 2512.02556; TRL's default).

    Args:
        logp: Under the current policy, ``[N,T]``.
        reference_logp: Under the reference, ``[N,T]``.
        estimator: ``"k1"``, ``"k2"`` or ``"k3"``.
        clamp: The estimate is bounded to ``[-clamp, clamp]``, without gradient beyond; None for no bound.
        old_logp: Under the policy at the rollout's weights, ``[N,T]``; None leaves the ratio out.

    Raises:
        ConfigurationError: For an unknown estimator, shapes that differ, or a clamp that is not positive.
    """
    check_choice("estimator", estimator, ("k1", "k2", "k3"))
    check_shapes(logp=logp, reference_logp=reference_logp)
    if clamp is not None:
        check_positive("clamp", clamp)
    apart = reference_logp.detach() - logp
    if estimator == "k1":
        estimate = -apart
    elif estimator == "k2":
        estimate = 0.5 * apart**2
    else:
        bounded = apart.clamp(-LOG_RATIO_BOUND, LOG_RATIO_BOUND)
        estimate = bounded.expm1() - bounded
    estimate = estimate if clamp is None else estimate.clamp(-clamp, clamp)
    return estimate if old_logp is None else estimate * _log_ratio(logp, old_logp, estimate).exp()


def value_loss(values: Tensor, old_values: Tensor, returns: Tensor, clip: float | None = None) -> Tensor:
    """Half the squared error of the critic, ``[N,T]``.

    Args:
        values: Of the current critic, ``[N,T]``.
        old_values: Of the critic at the rollout's weights, ``[N,T]``.
        returns: Its target, ``[N,T]``.
        clip: The larger of the error and of the error after moving at most ``clip`` from ``old_values`` (PPO's
            implementation, Huang et al., 2022); None for the plain error.

    Raises:
        ConfigurationError: For shapes that differ, or a clip that is not positive.
    """
    check_shapes(values=values, old_values=old_values, returns=returns)
    old_values, returns = old_values.detach(), returns.detach()
    error = (values - returns) ** 2
    if clip is not None:
        check_positive("clip", clip)
        near = old_values + (values - old_values).clamp(-clip, clip)
        error = torch.maximum(error, (near - returns) ** 2)
    return 0.5 * error


def _log_ratio(logp: Tensor, old_logp: Tensor, advantage: Tensor) -> Tensor:
    """Bounded log π - log π_old; the gradient is that of ``logp``."""
    check_shapes(logp=logp, old_logp=old_logp, advantage=advantage)
    return (logp - old_logp.detach()).clamp(-LOG_RATIO_BOUND, LOG_RATIO_BOUND)


def _log_band(clip_low: float, clip_high: float) -> tuple[float, float]:
    """The band of the log-ratio."""
    return math.log1p(-clip_low) if clip_low < 1 else -math.inf, math.log1p(clip_high)


def _dual_clipped(loss: Tensor, advantage: Tensor, clip_high: float, dual_clip: float) -> Tensor:
    """At most -A·dual_clip where A < 0."""
    if not dual_clip > 1 + clip_high:
        raise ConfigurationError(
            f"dual_clip={dual_clip} is out of range: expected more than 1 + clip_high = {1 + clip_high}."
        )
    return torch.where(advantage < 0, torch.minimum(loss, -advantage * dual_clip), loss)
