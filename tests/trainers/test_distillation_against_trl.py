"""TRL's own distillation losses on random tensors: where it implements the same, value and gradient agree to 1e-6."""

from __future__ import annotations

from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from fogline.trainers.aggregation import aggregate
from fogline.trainers.distillation import (
    generalised_jsd,
    opd_loss,
    prefix_weight,
    surrogate,
    truncated_forward_kl,
)

torch.set_num_threads(1)

ROWS, LONGEST, VOCABULARY = 4, 6, 11
LENGTHS = torch.tensor([6, 3, 1, 5])
MASK = torch.arange(LONGEST) < LENGTHS[:, None]
VALID = torch.ones(ROWS, dtype=torch.bool)


def drawn(seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.randn(ROWS, LONGEST, VOCABULARY, generator=generator, dtype=torch.float64)


STUDENT, TEACHER = drawn(0), drawn(1)
TOKENS = torch.randint(0, VOCABULARY, (ROWS, LONGEST), generator=torch.Generator().manual_seed(2))
LABELS = torch.where(MASK, TOKENS, -100)


def agree(theirs: Any, ours: Any) -> None:
    """Both are functions of the student's logits; token mean, as TRL's."""
    found = []
    for loss in (theirs, ours):
        logits = STUDENT.clone().requires_grad_()
        value = loss(logits)
        found.append((value.detach(), torch.autograd.grad(value, logits)[0]))
    torch.testing.assert_close(found[0][0], found[1][0], rtol=0, atol=1e-6)
    torch.testing.assert_close(found[0][1], found[1][1], rtol=0, atol=1e-6)
    assert found[1][1].abs().max() > 1e-3


def token_mean(loss: Tensor) -> Tensor:
    return aggregate(loss, MASK, "token-mean", valid=VALID)


def sampled(logp: Tensor) -> Tensor:
    return logp.gather(-1, TOKENS[..., None])[..., 0]


@pytest.mark.parametrize("weight", [0.0, 0.1, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_gkd(weight: float, temperature: float) -> None:
    from trl.experimental.gkd.gkd_trainer import GKDTrainer

    agree(
        lambda z: GKDTrainer.generalized_jsd_loss(z, TEACHER, LABELS, weight, temperature),
        lambda z: token_mean(
            generalised_jsd((z / temperature).log_softmax(-1), (TEACHER / temperature).log_softmax(-1), weight)
        ),
    )


def trainer(gamma: float) -> Any:
    return SimpleNamespace(
        temperature=1.0,
        iw_opd_gamma=gamma,
        iw_opd_epsilon=1e-8,
        model=SimpleNamespace(training=True),
        _metrics={"train": defaultdict(list)},
    )


def theirs(gamma: float, rollout: Tensor | None = None) -> Any:
    from trl.experimental.iw_opd.iw_opd_trainer import IWOPDTrainer

    teacher = sampled(TEACHER.log_softmax(-1))
    return lambda z: IWOPDTrainer._compute_iw_opd_loss(trainer(gamma), z, TOKENS, LABELS, teacher, rollout)


def test_the_reverse_divergence_of_sampled_tokens() -> None:
    teacher = sampled(TEACHER.log_softmax(-1))
    agree(theirs(0.0), lambda z: token_mean(opd_loss(sampled(z.log_softmax(-1)), teacher)))


def test_weights_by_prefix() -> None:
    rollout = sampled((STUDENT + 0.3 * drawn(3)).log_softmax(-1))
    advantage = torch.where(MASK, sampled(TEACHER.log_softmax(-1)) - rollout, 0.0)
    weighed = advantage * prefix_weight(advantage, MASK, 0.5)
    agree(theirs(0.5, rollout), lambda z: token_mean(surrogate(sampled(z.log_softmax(-1)), weighed, None)))


def test_the_forward_divergence_of_the_teacher_s_top_k_with_its_tail() -> None:
    from trl.experimental.server_distillation.server_distillation_trainer import _add_tail_bucket, _jsd_divergence

    top = TEACHER.log_softmax(-1).topk(3)
    named = torch.ones_like(top.indices, dtype=torch.bool)

    def their_bucket(z: Tensor) -> Tensor:
        student, support = _add_tail_bucket(z.log_softmax(-1).gather(-1, top.indices), named)
        teacher, _ = _add_tail_bucket(top.values, named)
        return token_mean(_jsd_divergence(student, teacher, 0, support).sum(-1))

    agree(
        their_bucket,
        lambda z: token_mean(
            truncated_forward_kl(z.log_softmax(-1).gather(-1, top.indices), top.values, reduction="sum", tail="bucket")
        ),
    )
