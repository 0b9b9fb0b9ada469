"""The exploration black hole: a token that the teacher wants and the student thinks impossible."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from fogline.benchmarks.reproduce.aopd.plan import AOPD, RECOVERED, RECOVERY, STEPS, Plan
from fogline.benchmarks.reproduce.cells import Cell
from fogline.trainers.distillation import aopd_loss, opd_loss

_TEACHER = (0.5, 0.3, 0.15, 0.05)
_STUDENT = (1e-6, 0.6, 0.3, 0.1)
_STEP, _REACHED, _K = 0.5, 0.25, 2


def recover(plan: Plan, cell: Cell) -> Mapping[str, Any]:
    """Steps until the token is likely, by one method from one seed; a step more than the limit where it never is."""
    teacher = torch.tensor(_TEACHER, dtype=torch.float64).log()
    top = teacher.topk(_K)
    logits = torch.tensor(_STUDENT, dtype=torch.float64).log()
    random = torch.Generator().manual_seed(cell.seed)
    size = plan.recovery_samples
    taken = plan.recovery_limit + 1
    for step in range(1, plan.recovery_limit + 1):
        logits.requires_grad_()
        logp = logits.log_softmax(-1)
        tokens = torch.multinomial(logp.detach().exp(), size, replacement=True, generator=random)
        mine, taught = logp[tokens][None], teacher[tokens][None]
        if cell.arm == RECOVERY[AOPD]:
            student = logp[top.indices].expand(1, size, _K)
            loss = aopd_loss(mine, taught, student, top.values.expand(1, size, _K), reduction="sum")
        else:
            loss = opd_loss(mine, taught)
        (gradient,) = torch.autograd.grad(loss.mean(), logits)
        logits = logits.detach() - _STEP * gradient
        if float(logits.softmax(-1)[0]) > _REACHED:
            taken = step
            break
    return {"metrics": {STEPS: float(taken), RECOVERED: float(taken <= plan.recovery_limit)}}
