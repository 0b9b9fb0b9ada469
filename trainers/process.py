"""PGPO's reward: what a critic thinks of the steps gates what answer and form earn (V-tableR1, arXiv 2604.20755).

The published formula is not known: gate, weights and aggregation are our decisions.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fogline.core.errors import ConfigurationError, DataError, check_choice
from fogline.trainers.groups import Groups
from fogline.trainers.shapes import check_at_least, check_per_row, check_rows, check_shapes

AGGREGATIONS = ("mean", "min", "prod", "last")
GATES = ("soft", "hard", "off")


def process_score(
    step_score: Tensor, step_mask: Tensor, anchored: Tensor, aggregation: str = "mean", shortcut_cap: float = 0.5
) -> Tensor:
    """One score of a trajectory from those of its steps, ``[N]`` in [0, 1].

    Args:
        step_score: ``[N,K]`` in [0, 1], of a critic; ignored where ``step_mask`` is False.
        step_mask: ``[N,K]`` bool; a row without a step has score 0, since nothing can be verified.
        anchored: ``[N]`` bool: whether a step of the row points at something that is there.
        aggregation: One of :data:`AGGREGATIONS`.
        shortcut_cap: Most that a row without such a step can have.

    Raises:
        ConfigurationError: For an unknown choice, a cap outside [0, 1] or shapes that differ.
        DataError: For a score outside [0, 1], or none at all (NaN).
    """
    check_choice("aggregation", aggregation, AGGREGATIONS)
    if not 0 <= shortcut_cap <= 1:
        raise ConfigurationError(f"shortcut_cap={shortcut_cap}: expected a score, from 0 to 1.")
    check_shapes(step_score=step_score, step_mask=step_mask)
    check_per_row(len(step_mask), anchored=anchored)
    scores = step_score.detach()
    strange = step_mask & ~((scores >= 0) & (scores <= 1))
    if strange.any():
        row, step = (int(index) for index in strange.nonzero()[0])
        raise DataError(
            f"the critic's score of step {step} of row {row} is {float(scores[row, step])}: expected a number from 0 "
            "to 1; a critic that cannot say must raise."
        )
    count = step_mask.sum(1)
    if aggregation == "mean":
        score = torch.where(step_mask, scores, 0.0).sum(1) / count.clamp(min=1)
    elif aggregation == "min":
        score = torch.where(step_mask, scores, 1.0).amin(1)
    elif aggregation == "prod":
        score = torch.where(step_mask, scores, 1.0).prod(1)
    else:
        last = (step_mask * torch.arange(1, step_mask.shape[1] + 1)).argmax(1)
        score = scores.gather(1, last[:, None]).squeeze(1)
    score = torch.where(anchored, score, score.clamp(max=shortcut_cap))
    return torch.where(count > 0, score, torch.zeros_like(score))


def process_gate(process: Tensor, gate: str = "soft", threshold: float = 0.5) -> Tensor:
    """What a process score lets through, ``[N]``: itself (``soft``), 1 from the threshold on (``hard``), all (``off``).

    Raises:
        ConfigurationError: For an unknown choice.
    """
    check_choice("gate", gate, GATES)
    if gate == "soft":
        return process
    return torch.ones_like(process) if gate == "off" else (process >= threshold).to(process.dtype)


def process_gated_reward(
    process: Tensor,
    correct: Tensor,
    well_formed: Tensor,
    gate: str = "soft",
    threshold: float = 0.5,
    answer_weight: float = 0.9,
    format_weight: float = 0.1,
) -> Tensor:
    """``gate(T)·(w_a·correct + w_f·well_formed)``, ``[N]``.

    Args:
        process: ``[N]`` in [0, 1], from :func:`process_score` or from an environment that checks exactly.
        correct: ``[N]``, 1 for a right answer, else 0.
        well_formed: ``[N]``, 1 for a reply of the grammar, else 0.
        gate: One of :data:`GATES`.
        threshold: Of the hard gate.
        answer_weight: w_a.
        format_weight: w_f.

    Raises:
        ConfigurationError: For an unknown choice, a negative weight or shapes that differ.
    """
    check_at_least("answer_weight", answer_weight, 0)
    check_at_least("format_weight", format_weight, 0)
    check_per_row(len(process), correct=correct, well_formed=well_formed)
    return process_gate(process, gate, threshold) * (answer_weight * correct + format_weight * well_formed)


@torch.no_grad()
def step_credit(step_score: Tensor, step_mask: Tensor, token_step: Tensor, group: Tensor, valid: Tensor) -> Tensor:
    """How much better each token's step is than the steps of its group, ``[N,T]``: our extension, in no paper.

    ``s(i,k(t)) - mean``, over all steps of the group's valid rows; 0 for tokens of no step and rows that are not valid.

    Args:
        step_score: ``[N,K]`` in [0, 1].
        step_mask: ``[N,K]`` bool.
        token_step: ``[N,T]`` int64, the step of each token, -1 for none.
        group: ``[N]`` integer ids.
        valid: ``[N]`` bool.

    Raises:
        ConfigurationError: For shapes that differ.
        DataError: For a score of a valid row's step that is not finite.
    """
    check_shapes(step_score=step_score, step_mask=step_mask)
    total = torch.where(step_mask, step_score, 0.0).sum(1)
    check_rows(total, group, valid, "step score")
    groups = Groups.of(group, valid)
    mean = groups.total(total) / groups.total(step_mask.sum(1).to(total.dtype)).clamp(min=1)
    credited = step_score.gather(1, token_step.clamp(min=0)) - mean[:, None]
    return torch.where((token_step >= 0) & valid[:, None], credited, 0.0)
