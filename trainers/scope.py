"""SCOPE (2026, arXiv 2604.10688): whole trajectories are routed by their outcome, and weighed by perplexity.

Right ones are imitated, the more the less the student expected them; wrong ones are corrected by the teacher, the more
the more the teacher expected them, because a teacher led astray by a broken beginning says little.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fogline.core.errors import DataError, check_choice
from fogline.trainers.groups import Groups
from fogline.trainers.losses import LOG_RATIO_BOUND
from fogline.trainers.shapes import check_mask, check_per_row, check_positive, check_shapes

WEIGHTS = ("perplexity", "inverse-perplexity", "uniform")
NORMS = ("sum", "mean")


def log_perplexity(logp: Tensor, mask: Tensor) -> Tensor:
    """-(1/n) Σ_t log π over masked tokens, ``[N]``; what other places hold does not matter.

    Raises:
        ConfigurationError: For shapes that differ.
        DataError: For a row without a masked token: it has no perplexity.
    """
    check_shapes(logp=logp, mask=mask)
    check_mask(mask=mask)
    count = mask.sum(1)
    if bool((count == 0).any()):
        row = int((count == 0).nonzero()[0])
        raise DataError(
            f"row {row} has no token of the policy, and so no perplexity: expected at least one in each valid row."
        )
    return -torch.where(mask, logp, 0.0).sum(1) / count


def routed(reward: Tensor, valid: Tensor, threshold: float | None = None) -> Tensor:
    """Which rows are right, ``[N]`` bool: those that earned more than ``threshold``.

    Args:
        reward: ``[N]``.
        valid: ``[N]`` bool.
        threshold: None takes rewards of 0 and 1 for wrong and right.

    Raises:
        DataError: Without a threshold, for a valid row's reward that is neither 0 nor 1.
    """
    check_per_row(len(reward), reward=reward, valid=valid)
    check_mask(valid=valid)
    if threshold is not None:
        return reward > threshold
    odd = valid & (reward != 0) & (reward != 1)
    if bool(odd.any()):
        raise DataError(
            f"a reward of {float(reward[odd][0]):g} is neither right nor wrong: expected 0 or 1. Say from where on a "
            "row is right with correct_threshold=."
        )
    return reward == 1


def scope_weights(
    old_logp: Tensor,
    teacher_logp: Tensor,
    mask: Tensor,
    correct: Tensor,
    group: Tensor,
    valid: Tensor,
    *,
    temperature: float = 1.0,
    student_weight: str = "perplexity",
    teacher_weight: str = "inverse-perplexity",
    weight_norm: str = "sum",
) -> Tensor:
    """Weight of each row among the rows of its group with the same outcome, ``[N]``, detached (Eq. 4 and 5).

    Right rows: PPL_student^(1/τ), normalised over the right rows of the group. Wrong rows: PPL_teacher^(-1/τ) over the
    wrong ones. Rows that are not valid have 0.

    Args:
        old_logp: Of the student at the rollout's weights, ``[N,T]``.
        teacher_logp: ``[N,T]``; of right rows it is not read.
        mask: The policy's tokens, ``[N,T]`` bool.
        correct: ``[N]`` bool, see :func:`routed`.
        group: ``[N]`` integer ids.
        valid: ``[N]`` bool.
        temperature: τ, the same for both paths.
        student_weight: One of :data:`WEIGHTS`; the released flags amount to ``"inverse-perplexity"``.
        teacher_weight: One of :data:`WEIGHTS`.
        weight_norm: Weights of a path add up to 1 (``"sum"``, the paper) or have mean 1 (``"mean"``, the release).

    Raises:
        ConfigurationError: For an unknown choice, a temperature that is not positive, or shapes that differ.
        DataError: For a valid row without a token of the policy.
    """
    check_choice("student_weight", student_weight, WEIGHTS)
    check_choice("teacher_weight", teacher_weight, WEIGHTS)
    check_choice("weight_norm", weight_norm, NORMS)
    check_positive("temperature", temperature)
    check_shapes(old_logp=old_logp, teacher_logp=teacher_logp, mask=mask)
    check_per_row(len(mask), correct=correct, group=group, valid=valid)
    check_mask(correct=correct, valid=valid)
    student, teacher = (
        _leaning(logp.detach(), mask, rows, kind) / temperature
        for logp, rows, kind in (
            (old_logp, valid & correct, student_weight),
            (teacher_logp, valid & ~correct, teacher_weight),
        )
    )
    logit = torch.where(correct, student, teacher)
    path = Groups.of(2 * group.long() + correct.long(), valid)
    share = torch.where(valid, (logit - path.largest(logit)).exp(), 0.0)
    weight = torch.where(valid, share / path.total(share).clamp(min=torch.finfo(share.dtype).tiny), 0.0)
    return weight * path.count(weight) if weight_norm == "mean" else weight


def scope_loss(logp: Tensor, old_logp: Tensor, teacher_logp: Tensor, correct: Tensor) -> Tensor:
    """-ρ in right rows, ρ·(log p_old - log q) in wrong ones, ``[N,T]`` with ρ = p/p_old (Eq. 2 and 3).

    Values say nothing by themselves: at p = p_old the gradient of the first is that of -log p. The objective (Eq. 6) is
    the sum over rows of weight times the sum over tokens, divided by the number of groups.

    Args:
        logp: ``[N,T]``.
        old_logp: ``[N,T]``.
        teacher_logp: ``[N,T]``; of right rows it is not read.
        correct: ``[N]`` bool.

    Raises:
        ConfigurationError: For shapes that differ.
    """
    check_shapes(logp=logp, old_logp=old_logp, teacher_logp=teacher_logp)
    check_per_row(len(logp), correct=correct)
    check_mask(correct=correct)
    return torch.where(
        correct[:, None], imitation_loss(logp, old_logp), correction_loss(logp, old_logp, teacher_logp, correct)
    )


def imitation_loss(logp: Tensor, old_logp: Tensor) -> Tensor:
    """-ρ, ``[N,T]`` (Eq. 2)."""
    return -_ratio(logp, old_logp)


def correction_loss(logp: Tensor, old_logp: Tensor, teacher_logp: Tensor, correct: Tensor) -> Tensor:
    """ρ·(log p_old - log q), ``[N,T]`` (Eq. 3); 0 in right rows, whatever the teacher says of them."""
    bracket = torch.where(correct[:, None], 0.0, (old_logp - teacher_logp).detach())
    return _ratio(logp, old_logp) * bracket


def _leaning(logp: Tensor, mask: Tensor, rows: Tensor, kind: str) -> Tensor:
    """Logit of each row of a path, ``[N]``; 0 in all other rows."""
    found = torch.zeros(len(mask), dtype=logp.dtype, device=logp.device)
    if kind == "uniform" or not bool(rows.any()):
        return found
    sign = 1.0 if kind == "perplexity" else -1.0
    found[rows] = sign * log_perplexity(logp[rows], mask[rows])
    return found


def _ratio(logp: Tensor, old_logp: Tensor) -> Tensor:
    return (logp - old_logp.detach()).clamp(-LOG_RATIO_BOUND, LOG_RATIO_BOUND).exp()
