"""On how many wrong answers the teacher's weight rests, before anything was learned."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fogline.agents.policies.language import CausalLMPolicy
from fogline.benchmarks.reproduce.cells import Cell
from fogline.benchmarks.reproduce.distillation import open_teacher
from fogline.benchmarks.reproduce.distillation.plan import DistillationPlan
from fogline.benchmarks.reproduce.math_reasoning.warm_start import sampled_answers, warm_policy
from fogline.benchmarks.reproduce.scope.plan import RESTS_ON, SURPRISE, TEMPERATURES
from fogline.trainers.batch import batch_of
from fogline.trainers.scope import scope_weights
from fogline.trainers.whole import scored_parts


@torch.no_grad()
def concentration(plan: DistillationPlan, warm: Path, teachers: Path, cell: Cell) -> Mapping[str, Any]:
    """What the teacher thinks of a warm start's wrong answers, and what its weights leave of them.

    Args:
        plan: Budgets of the student.
        warm: Where its warm starts are.
        teachers: Where the teacher is.
        cell: Its seed.
    """
    policy, teacher = warm_policy(plan, warm, cell.seed), open_teacher(plan, teachers)
    assert isinstance(teacher.model, CausalLMPolicy), "it was trained as one"
    groups = sampled_answers(policy, plan, "validation")
    batch = batch_of([answer for group in groups for answer in group], policy)
    taught = teacher.model.score(*scored_parts(batch)).logp
    correct = torch.tensor([answer.outcome["correct"] > 0 for group in groups for answer in group])
    number = torch.arange(len(groups)).repeat_interleave(torch.tensor([len(group) for group in groups]))
    surprise = -torch.where(batch.policy_mask, taught, 0.0).sum(1) / batch.policy_mask.sum(1)
    metrics = {SURPRISE: float(surprise[~correct].median())}
    for temperature in TEMPERATURES:
        weights = scope_weights(
            batch.behaviour_logp, taught, batch.policy_mask, correct, number, batch.valid, temperature=temperature
        )
        metrics[RESTS_ON[temperature]] = effective_share(weights[~correct], number[~correct])
    return {"metrics": metrics}


def effective_share(weights: Tensor, group: Tensor) -> float:
    """Mean over groups of the effective sample size of weights that sum to 1, as a share of how many there are."""
    shares = []
    for number in torch.unique(group):
        own = weights[group == number]
        if len(own) > 1:
            shares.append(float(1 / own.square().sum() / len(own)))
    return sum(shares) / len(shares)
