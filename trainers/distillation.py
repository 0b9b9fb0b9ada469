"""What a teacher's word is worth to a student, token by token: OPD, AOPD, and the divergences of their field.

The student p writes, the teacher q reads along. With y the token that was written and *old* the student at the
rollout's weights, A = log q(y) - log p_old(y) is the distilled advantage: -A·∇log p(y), in expectation over y ~ p, is
the gradient of the reverse divergence KL(p ‖ q) of that place. It is bounded from above by the student's own surprisal
and not from below, which is the heavy tail that AOPD takes away.

Functions take ``[N,T]`` tensors of one shape and return the loss of each token, ``[N,T]``; teachers, gates and
advantages carry no gradient. Top-K tensors are ``[N,T,K]``; divergences over the whole vocabulary read ``[…,V]``.
SCOPE, which weighs whole trajectories, is in :mod:`fogline.trainers.scope`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fogline.core.errors import ConfigurationError, check_choice
from fogline.trainers.losses import LOG_RATIO_BOUND, clipped_loss
from fogline.trainers.scope import scope_loss, scope_weights
from fogline.trainers.shapes import check_at_least, check_mask, check_shapes, check_unit

__all__ = [
    "aopd_gate",
    "aopd_loss",
    "check_direct",
    "direct_loss",
    "discounted",
    "distilled_advantage",
    "entropy_gated_loss",
    "extrapolated_advantage",
    "generalised_jsd",
    "opd_loss",
    "prefix_weight",
    "reverse_kl",
    "scope_loss",
    "scope_weights",
    "skew_kl",
    "surrogate",
    "truncated_forward_kl",
]

REDUCTIONS = ("mean_k", "sum")
TAILS = ("none", "bucket")
ESTIMATORS = ("k1", "k2", "k3")
_NOWHERE = -1e4
"""Log-probability of an entry that is not there: its probability is 0, and its gradient a number."""


# On-policy distillation


def distilled_advantage(old_logp: Tensor, teacher_logp: Tensor, estimator: str = "k1") -> Tensor:
    """What the teacher says of the sampled token, as a reward, ``[N,T]``, detached.

    ``k1``: A = log q - log p_old (AOPD, Eq. 1; Thinking Machines, "On-policy distillation", 2025), the only one whose
    policy gradient is that of the reverse divergence. ``k2``: -A²/2, ``k3``: -(exp(A) - A - 1), verl's penalties.

    Raises:
        ConfigurationError: For an unknown estimator, or shapes that differ.
    """
    check_choice("estimator", estimator, ESTIMATORS)
    check_shapes(old_logp=old_logp, teacher_logp=teacher_logp)
    apart = (teacher_logp - old_logp).detach()
    if estimator == "k1":
        return apart
    if estimator == "k2":
        return -0.5 * apart**2
    bounded = apart.clamp(-LOG_RATIO_BOUND, LOG_RATIO_BOUND)
    return bounded - bounded.expm1()


def surrogate(
    logp: Tensor, advantage: Tensor, old_logp: Tensor | None, clip: tuple[float, float] | None = None
) -> Tensor:
    """-A·log p for one step on fresh samples; given ``old_logp`` -A·p/p_old, which may be clipped as PPO's.

    Args:
        logp: ``[N,T]``.
        advantage: ``[N,T]``.
        old_logp: Of the student at the rollout's weights; None takes the samples for its own.
        clip: Widths of the band below and above 1; None leaves the ratio as it is.

    Raises:
        ConfigurationError: For shapes that differ, or a clip without ``old_logp``.
    """
    check_shapes(logp=logp, advantage=advantage)
    if old_logp is None:
        if clip is not None:
            raise ConfigurationError(f"clip={clip} without old_logp: expected the log-probabilities it is compared to.")
        return -advantage.detach() * logp
    if clip is not None:
        return clipped_loss(logp, old_logp, advantage, *clip)
    check_shapes(logp=logp, old_logp=old_logp)
    return -advantage.detach() * (logp - old_logp.detach()).clamp(-LOG_RATIO_BOUND, LOG_RATIO_BOUND).exp()


def opd_loss(
    logp: Tensor,
    teacher_logp: Tensor,
    old_logp: Tensor | None = None,
    clip: tuple[float, float] | None = None,
) -> Tensor:
    """On-policy distillation on the sampled token: -A·log p, or -A·p/p_old given ``old_logp`` (AOPD, Eq. 2).

    Raises:
        ConfigurationError: As :func:`surrogate`.
    """
    advantage = distilled_advantage(logp if old_logp is None else old_logp, teacher_logp)
    return surrogate(logp, advantage, old_logp, clip)


def direct_loss(logp: Tensor, teacher_logp: Tensor, estimator: str) -> Tensor:
    """An estimate of KL(p ‖ q) from the sampled token that is differentiated itself, ``[N,T]`` (KDRL; verl).

    ``k2``: (log p - log q)²/2, whose expected gradient is that of KL(p ‖ q). ``k3``: q/p - 1 - log(q/p), whose value
    is KL(p ‖ q) in expectation and whose expected gradient is that of KL(q ‖ p).

    Raises:
        ConfigurationError: For ``k1``, whose expected gradient is 0, an unknown estimator, or shapes that differ.
    """
    check_direct(estimator)
    check_shapes(logp=logp, teacher_logp=teacher_logp)
    apart = teacher_logp.detach() - logp
    if estimator == "k2":
        return 0.5 * apart**2
    bounded = apart.clamp(-LOG_RATIO_BOUND, LOG_RATIO_BOUND)
    return bounded.expm1() - bounded


def check_direct(estimator: str) -> None:
    """Raise :class:`ConfigurationError` for an estimator that teaches nothing when it is differentiated itself."""
    check_choice("estimator", estimator, ESTIMATORS)
    if estimator == "k1":
        raise ConfigurationError(
            "estimator='k1' differentiated itself has the expected gradient 0 and teaches nothing: use it as an "
            "advantage (distillation_gradient='policy'), or estimator='k2' or 'k3'."
        )


def discounted(advantage: Tensor, mask: Tensor, discount: float, *, normalise: bool = False) -> Tensor:
    """What a token's later tokens earn is credited to it too: Σ_s discount^s A_{t+s}, ``[N,T]`` (tinker; MiniLLM).

    s counts masked tokens only, so that what the environment says between turns costs no discount.

    Args:
        advantage: ``[N,T]``.
        mask: ``[N,T]`` bool.
        discount: 0 leaves every token to itself.
        normalise: Divide by Σ_s discount^s, as MiniLLM's length normalisation does.

    Raises:
        ConfigurationError: For shapes that differ, or a discount outside [0, 1].
    """
    check_unit("discount", discount)
    check_shapes(advantage=advantage, mask=mask)
    check_mask(mask=mask)
    found = torch.zeros_like(advantage)
    total, weight = torch.zeros_like(advantage[:, 0]), torch.zeros_like(advantage[:, 0])
    for place in range(advantage.shape[1] - 1, -1, -1):
        here = mask[:, place]
        total = torch.where(here, advantage[:, place] + discount * total, total)
        weight = torch.where(here, 1 + discount * weight, weight)
        found[:, place] = torch.where(here, total / weight if normalise else total, 0.0)
    return found


def extrapolated_advantage(old_logp: Tensor, teacher_logp: Tensor, reference_logp: Tensor, scale: float) -> Tensor:
    """scale·(log q - log reference) - (log p_old - log reference), ``[N,T]``, detached: G-OPD, ExOPD above 1.

    Its target is q^scale · reference^(1 - scale), place by place; ``scale=1`` is OPD with any reference.

    Raises:
        ConfigurationError: For shapes that differ.
    """
    check_shapes(old_logp=old_logp, teacher_logp=teacher_logp, reference_logp=reference_logp)
    return (scale * (teacher_logp - reference_logp) - (old_logp - reference_logp)).detach()


def prefix_weight(advantage: Tensor, mask: Tensor, strength: float = 0.5) -> Tensor:
    """1 + strength·(1 - Σ_{s<t}|A_s| / Σ_s|A_s|), ``[N,T]``: earlier tokens count more (IW-OPD, TRL).

    Rows whose advantages are all 0 have the weight 1 + strength.

    Raises:
        ConfigurationError: For shapes that differ, or a negative strength.
    """
    check_at_least("strength", strength, 0)
    check_shapes(advantage=advantage, mask=mask)
    check_mask(mask=mask)
    size = torch.where(mask, advantage.detach().abs(), 0.0)
    before = size.cumsum(1) - size
    total = size.sum(1, keepdim=True)
    share = torch.where(total > 0, before / torch.where(total > 0, total, 1.0), 0.0)
    return 1 + strength * (1 - share)


# AOPD


def aopd_gate(teacher_logp: Tensor, old_logp: Tensor, threshold: float = 0.0) -> Tensor:
    """Where the student imitates instead of being rewarded: q(y) - p_old(y) ≤ threshold, ``[N,T]`` bool (AOPD, Eq. 9).

    At 0 the logarithms are compared, because two probabilities of e^-105 and e^-120 are both 0 in float32.

    Raises:
        ConfigurationError: For shapes that differ.
    """
    check_shapes(teacher_logp=teacher_logp, old_logp=old_logp)
    teacher_logp, old_logp = teacher_logp.detach(), old_logp.detach()
    if threshold == 0:
        return teacher_logp <= old_logp
    return teacher_logp.exp() - old_logp.exp() <= threshold


def truncated_forward_kl(
    top_logp: Tensor, teacher_top_logp: Tensor, *, reduction: str = "mean_k", tail: str = "none"
) -> Tensor:
    """Σ_{v in S} q_v (log q_v - log p_v) over the teacher's top K, ``[N,T]`` (AOPD, Eq. 7).

    Both sides are those of the whole vocabulary, read at S; neither is normalised again. Without a tail the value may
    be negative and must not be clamped, and the fixed point is q/Q_S on S, not the teacher. ``tail="bucket"`` adds
    (1 - Q_S) log((1 - Q_S)/(1 - P_S)): then it is at least 0, at most the whole divergence, and has the teacher for
    its fixed point.

    Args:
        top_logp: The student's log-probabilities of the teacher's top K, ``[N,T,K]``.
        teacher_top_logp: The teacher's, ``[N,T,K]``; ``-inf`` where it named fewer.
        reduction: ``"mean_k"`` divides by K, as the paper is quoted; ``"sum"`` does not.
        tail: ``"none"`` or ``"bucket"``.

    Raises:
        ConfigurationError: For an unknown choice, or shapes that differ.
    """
    check_choice("reduction", reduction, REDUCTIONS)
    check_choice("tail", tail, TAILS)
    check_shapes(top_logp=top_logp, teacher_top_logp=teacher_top_logp)
    teacher = teacher_top_logp.detach()
    named = teacher > -torch.inf
    student = torch.where(named, top_logp, _NOWHERE)
    safe = torch.where(named, teacher, 0.0)
    found = torch.where(named, safe.exp() * (safe - student), 0.0).sum(-1)
    if tail == "bucket":
        outside, own = _outside(teacher), _outside(student)
        found = found + outside.exp() * (outside - own)
    return found / top_logp.shape[-1] if reduction == "mean_k" else found


def aopd_loss(
    logp: Tensor,
    teacher_logp: Tensor,
    top_logp: Tensor,
    teacher_top_logp: Tensor,
    old_logp: Tensor | None = None,
    advantage: Tensor | None = None,
    *,
    threshold: float = 0.0,
    reduction: str = "mean_k",
    tail: str = "none",
    coefficient: float = 1.0,
    clip: tuple[float, float] | None = None,
) -> Tensor:
    """The truncated forward divergence where the gate says so, else OPD's policy gradient, ``[N,T]`` (AOPD, Eq. 10).

    ``threshold`` of -1 and less is OPD everywhere, of 1 and more imitation everywhere. What the unused branch of a
    token holds does no harm, in value and in gradient.

    Args:
        logp: Of the sampled tokens under the current student, ``[N,T]``.
        teacher_logp: Under the teacher, ``[N,T]``.
        top_logp: See :func:`truncated_forward_kl`.
        teacher_top_logp: See :func:`truncated_forward_kl`.
        old_logp: Under the student at the rollout's weights; None takes the samples for the current student's own.
        advantage: Of the policy gradient, ``[N,T]``; by default what the teacher says, A.
        threshold: See :func:`aopd_gate`.
        reduction: See :func:`truncated_forward_kl`.
        tail: See :func:`truncated_forward_kl`.
        coefficient: Weight of the imitation.
        clip: See :func:`surrogate`.

    Raises:
        ConfigurationError: As the parts do.
    """
    before = logp.detach() if old_logp is None else old_logp
    gate = aopd_gate(teacher_logp, before, threshold)
    credit = distilled_advantage(before, teacher_logp) if advantage is None else advantage
    # Each branch reads harmless numbers where the other one counts.
    rewarded = surrogate(
        torch.where(gate, 0.0, logp),
        torch.where(gate, 0.0, credit),
        None if old_logp is None else torch.where(gate, 0.0, old_logp),
        clip,
    )
    imitated = truncated_forward_kl(
        torch.where(gate[..., None], top_logp, 0.0),
        torch.where(gate[..., None], teacher_top_logp, 0.0),
        reduction=reduction,
        tail=tail,
    )
    return torch.where(gate, coefficient * imitated, rewarded)


def entropy_gated_loss(
    top_logp: Tensor, teacher_top_logp: Tensor, teacher_entropy: Tensor, threshold: float = 0.8
) -> Tensor:
    """Top-K forward divergence where the teacher is unsure, H(q) > threshold nats, 0 elsewhere, ``[N,T]`` (EOPD).

    The teacher is normalised on its top K, the student is not. EOPD adds this to OPD's loss.

    Raises:
        ConfigurationError: For shapes that differ.
    """
    check_shapes(top_logp=top_logp, teacher_top_logp=teacher_top_logp)
    renormalised = teacher_top_logp.detach().log_softmax(-1)
    unsure = teacher_entropy.detach() > threshold
    student = torch.where(unsure[..., None], top_logp, 0.0)
    return torch.where(unsure, truncated_forward_kl(student, renormalised, reduction="sum"), 0.0)


# Divergences over the whole vocabulary


def generalised_jsd(logp: Tensor, teacher_logp: Tensor, weight: float = 0.5) -> Tensor:
    """β KL(q ‖ M) + (1 - β) KL(p ‖ M) with M = β q + (1 - β) p, ``[…]`` from ``[…,V]`` (GKD, arXiv 2306.13649; TRL).

    At ``weight=0`` it is the forward divergence KL(q ‖ p), at 1 the reverse KL(p ‖ q), as in TRL; the formula itself
    is 0 there.

    Raises:
        ConfigurationError: For a weight outside [0, 1], or shapes that differ.
    """
    check_unit("weight", weight)
    check_shapes(logp=logp, teacher_logp=teacher_logp)
    teacher = teacher_logp.detach()
    if weight == 0:
        return _kl(teacher, logp)
    if weight == 1:
        return _kl(logp, teacher)
    mixture = torch.logaddexp(logp + math.log1p(-weight), teacher + math.log(weight))
    return weight * _kl(teacher, mixture) + (1 - weight) * _kl(logp, mixture)


def skew_kl(logp: Tensor, teacher_logp: Tensor, skew: float = 0.1, direction: str = "forward") -> Tensor:
    """KL(q ‖ α q + (1 - α) p), or reversed KL(p ‖ (1 - α) q + α p), ``[…]`` from ``[…,V]`` (DistiLLM, 2402.03898).

    ``skew=0`` is the plain divergence.

    Raises:
        ConfigurationError: For a skew outside [0, 1), an unknown direction, or shapes that differ.
    """
    check_choice("direction", direction, ("forward", "reverse"))
    if not 0 <= skew < 1:
        raise ConfigurationError(f"skew={skew} is out of range: expected at least 0 and less than 1.")
    check_shapes(logp=logp, teacher_logp=teacher_logp)
    teacher = teacher_logp.detach()
    first, second = (teacher, logp) if direction == "forward" else (logp, teacher)
    if skew == 0:
        return _kl(first, second)
    return _kl(first, torch.logaddexp(first + math.log(skew), second + math.log1p(-skew)))


def reverse_kl(logp: Tensor, teacher_logp: Tensor) -> Tensor:
    """KL(p ‖ q), ``[…]`` from ``[…,V]``.

    Raises:
        ConfigurationError: For shapes that differ.
    """
    check_shapes(logp=logp, teacher_logp=teacher_logp)
    return _kl(logp, teacher_logp.detach())


def _kl(first: Tensor, second: Tensor) -> Tensor:
    """KL(first ‖ second) over the last axis; what ``first`` gives no probability adds nothing."""
    probability = first.exp()
    apart = torch.where(probability > 0, first, 0.0) - torch.where(probability > 0, second, 0.0)
    return (probability * apart).sum(-1)


def _outside(top_logp: Tensor) -> Tensor:
    """log(1 - Σ_S p), ``[N,T]``; the sum is kept a rounding error below 1, so that the logarithm is a number."""
    mass = torch.logsumexp(top_logp, -1).clamp(max=-torch.finfo(top_logp.dtype).eps)
    return torch.log(-torch.expm1(mass))
