"""SCOPE against the specification's fixtures and invariants, and the bandit in which a flipped sign collapses."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from fogline.core.errors import ConfigurationError, DataError
from fogline.trainers.distillation import opd_loss
from fogline.trainers.scope import log_perplexity, routed, scope_loss, scope_weights


def _weights(student: list[float], teacher: list[float], correct: list[bool], **options: object) -> list[float]:
    """Weights of one group of one-token rows with these log-probabilities."""
    n = len(student)
    found = scope_weights(
        torch.tensor(student, dtype=torch.float64)[:, None],
        torch.tensor(teacher, dtype=torch.float64)[:, None],
        torch.ones(n, 1, dtype=torch.bool),
        torch.tensor(correct),
        torch.zeros(n, dtype=torch.int64),
        torch.ones(n, dtype=torch.bool),
        **options,
    )
    return [float(weight) for weight in found]


def test_the_paper_s_figure() -> None:
    student = [-math.log(value) for value in (1.2, 2.6, 3.8)]
    assert _weights(student, [0.0] * 3, [True] * 3) == pytest.approx([0.158, 0.342, 0.500], abs=5e-4)
    teacher = [-math.log(value) for value in (4.5, 2.9, 1.7)]
    assert _weights([0.0] * 3, teacher, [False] * 3) == pytest.approx([0.192, 0.298, 0.509], abs=5e-4)


@pytest.mark.parametrize(
    ("temperature", "right", "wrong"),
    [
        (0.5, (0.0710, 0.2880, 0.6410), (0.0900, 0.2447, 0.6652)),
        (1.0, (0.1662, 0.3346, 0.4992), (0.1863, 0.3072, 0.5065)),
        (2.0, (0.2408, 0.3418, 0.4174), (0.2543, 0.3265, 0.4192)),
    ],
)
def test_temperatures(temperature: float, right: tuple[float, ...], wrong: tuple[float, ...]) -> None:
    found = _weights([-0.2, -0.9, -1.3], [0.0] * 3, [True] * 3, temperature=temperature)
    assert found == pytest.approx(right, abs=1e-4)
    found = _weights([0.0] * 3, [-1.5, -1.0, -0.5], [False] * 3, temperature=temperature)
    assert found == pytest.approx(wrong, abs=1e-4)


ROWS = st.lists(st.tuples(st.floats(-8, 0), st.floats(-8, 0), st.booleans()), min_size=1, max_size=8)


@given(ROWS, st.sampled_from(["sum", "mean"]), st.floats(0.1, 10))
def test_each_path_adds_up(rows: list[tuple[float, float, bool]], norm: str, temperature: float) -> None:
    student, teacher, correct = (list(column) for column in zip(*rows, strict=True))
    found = _weights(student, teacher, correct, weight_norm=norm, temperature=temperature)
    for outcome in (True, False):
        path = [weight for weight, right in zip(found, correct, strict=True) if right == outcome]
        if path:
            assert sum(path) == pytest.approx(1 if norm == "sum" else len(path))
            assert all(0 <= weight <= len(path) for weight in path)
        if len(path) == 1:
            assert path == [1.0]


@given(ROWS, st.floats(-50, 50))
def test_a_harder_prompt_and_other_groups_change_nothing(rows: list[tuple[float, float, bool]], shift: float) -> None:
    student, teacher, correct = (list(column) for column in zip(*rows, strict=True))
    moved = _weights([s + shift for s in student], [t + shift for t in teacher], correct)
    assert moved == pytest.approx(_weights(student, teacher, correct), abs=1e-9)


def test_limits_of_the_temperature_and_equal_perplexities() -> None:
    cold = _weights([-0.2, -0.9, -1.3], [0.0] * 3, [True] * 3, temperature=1e-3)
    assert cold == pytest.approx([0, 0, 1])
    hot = _weights([-0.2, -0.9, -1.3], [0.0] * 3, [True] * 3, temperature=1e6)
    assert hot == pytest.approx([1 / 3] * 3, abs=1e-5)
    assert _weights([-2.0] * 4, [0.0] * 4, [True] * 4, temperature=0.01) == pytest.approx([0.25] * 4)


def test_every_ablation_has_a_name() -> None:
    logp = [-0.2, -0.9, -1.3]
    paper = _weights(logp, [0.0] * 3, [True] * 3)
    released = _weights(logp, [0.0] * 3, [True] * 3, student_weight="inverse-perplexity")
    assert paper[0] < paper[1] < paper[2]
    assert released[0] > released[1] > released[2]
    assert _weights(logp, [0.0] * 3, [True] * 3, student_weight="uniform") == pytest.approx([1 / 3] * 3)
    teacher = _weights([0.0] * 3, logp, [False] * 3, teacher_weight="perplexity")
    assert teacher == pytest.approx(paper)


def _batch() -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    old, teacher = (-torch.rand(6, 4, generator=generator, dtype=torch.float64) for _ in range(2))
    mask = torch.tensor([[True] * 4, [True, True, False, False], [True, False, True, True]] * 2)
    correct = torch.tensor([True, False, True, False, True, False])
    group = torch.tensor([7, 7, 7, 2, 2, 2])
    return old, teacher, mask, correct, group, torch.ones(6, dtype=torch.bool)


@pytest.mark.parametrize("spoiled", [math.nan, math.inf, -math.inf])
def test_what_masked_places_hold_does_no_harm(spoiled: float) -> None:
    old, teacher, mask, correct, group, valid = _batch()
    clean = scope_weights(old, teacher, mask, correct, group, valid)
    old, teacher = (torch.where(mask, logp, spoiled) for logp in (old, teacher))
    assert torch.equal(scope_weights(old, teacher, mask, correct, group, valid), clean)


def test_rows_may_come_in_any_order_and_invalid_ones_weigh_nothing() -> None:
    old, teacher, mask, correct, group, valid = _batch()
    whole = scope_weights(old, teacher, mask, correct, group, valid)
    order = torch.tensor([4, 1, 5, 0, 3, 2])
    shuffled = scope_weights(*(part[order] for part in (old, teacher, mask, correct, group, valid)))
    torch.testing.assert_close(shuffled, whole[order])
    valid[0] = False
    without = scope_weights(old, teacher, mask, correct, group, valid)
    assert without[0] == 0
    assert without[2] == 1


def test_length_counts_in_the_gradient_and_not_in_the_weight() -> None:
    short, long = torch.tensor([[-1.0, -2.0]]), torch.tensor([[-1.0, -2.0, -1.0, -2.0]])
    full = torch.ones_like
    assert log_perplexity(short, full(short).bool()) == log_perplexity(long, full(long).bool())
    correct = torch.tensor([True])
    gradients = []
    for row in (short, long):
        logp = row.clone().requires_grad_()
        gradients.append(torch.autograd.grad(scope_loss(logp, row, row, correct).sum(), logp)[0].sum().item())
    assert gradients[1] == 2 * gradients[0]


def test_gradients_on_fresh_samples() -> None:
    old, teacher, _, correct, _, _ = _batch()
    logp = old.clone().requires_grad_()
    loss = scope_loss(logp, old, teacher, correct)
    assert torch.equal(loss[correct], torch.full_like(loss[correct], -1.0))
    (gradient,) = torch.autograd.grad(loss.sum(), logp)
    torch.testing.assert_close(gradient[correct], torch.full_like(gradient[correct], -1.0))
    torch.testing.assert_close(gradient[~correct], (old - teacher)[~correct])
    wrong = opd_loss(logp, teacher, old)
    torch.testing.assert_close(loss[~correct], wrong[~correct])


def test_a_right_row_does_not_hear_the_teacher() -> None:
    old, teacher, mask, _, group, valid = _batch()
    right = torch.ones(6, dtype=torch.bool)
    silent = torch.full_like(teacher, math.nan)
    logp = old.clone().requires_grad_()
    loss = scope_loss(logp, old, silent, right)
    assert torch.isfinite(torch.autograd.grad(loss.sum(), logp)[0]).all()
    assert torch.equal(
        scope_weights(old, silent, mask, right, group, valid), scope_weights(old, teacher, mask, right, group, valid)
    )


def test_a_branch_s_gradient_is_no_longer_than_its_longest_trajectory_s() -> None:
    """Weights of a path are a convex combination (paper, Eq. 22)."""
    old, teacher, mask, _, _, valid = _batch()
    wrong = torch.zeros(6, dtype=torch.bool)
    weight = scope_weights(old, teacher, mask, wrong, torch.zeros(6, dtype=torch.int64), valid)
    table = torch.randn(4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def gradient(rows: Tensor) -> Tensor:
        z = table.clone().requires_grad_()
        logp = z.log_softmax(-1)[:, 0].expand(6, 4) + (old - table.log_softmax(-1)[:, 0])
        loss = torch.where(mask, scope_loss(logp, old, teacher, wrong), 0.0).sum(1)
        return torch.autograd.grad((rows * loss).sum(), z)[0]

    whole = gradient(weight).norm()
    assert whole <= max(gradient(row).norm() for row in torch.eye(6, dtype=torch.float64))


def test_uniform_weights_of_mean_one_on_wrong_rows_are_opd_summed_over_the_group() -> None:
    old, teacher, mask, _, group, valid = _batch()
    wrong = torch.zeros(6, dtype=torch.bool)
    weight = scope_weights(old, teacher, mask, wrong, group, valid, teacher_weight="uniform", weight_norm="mean")
    loss = torch.where(mask, scope_loss(old, old, teacher, wrong), 0.0).sum(1)
    plain = torch.where(mask, opd_loss(old, teacher, old), 0.0).sum()
    torch.testing.assert_close((weight * loss).sum(), plain)


def test_wrong_answers_lead_to_the_teacher() -> None:
    """A tabular student whose samples are all wrong, exact expected gradients, uniform weights."""
    q = torch.tensor([0.4, 0.3, 0.2, 0.1], dtype=torch.float64)
    logits = torch.zeros(4, dtype=torch.float64)
    wrong = torch.zeros(4, dtype=torch.bool)
    for _ in range(2000):
        z = logits.clone().requires_grad_()
        logp = z.log_softmax(-1)[:, None]
        loss = scope_loss(logp, logp.detach(), q.log()[:, None], wrong)
        expected = (logp.detach().exp() * loss).sum()
        logits = logits - 0.5 * torch.autograd.grad(expected, z)[0]
    assert logits.softmax(-1).tolist() == pytest.approx(q.tolist(), abs=1e-6)


def test_no_gradient_passes_through_weights_and_bracket() -> None:
    old, teacher, mask, correct, group, valid = _batch()
    old.requires_grad_()
    teacher.requires_grad_()
    assert not scope_weights(old, teacher, mask, correct, group, valid).requires_grad
    logp = old.detach().clone().requires_grad_()
    loss = scope_loss(logp, old, teacher, correct).sum()
    assert torch.autograd.grad(loss, [old, teacher], allow_unused=True) == (None, None)


def test_routing_needs_to_know_what_is_right() -> None:
    valid = torch.tensor([True, True, False])
    assert routed(torch.tensor([1.0, 0.0, 0.3]), valid).tolist() == [True, False, False]
    assert routed(torch.tensor([0.7, 0.2, 0.3]), valid, 0.5).tolist() == [True, False, False]
    with pytest.raises(DataError, match=r"0\.3.*correct_threshold"):
        routed(torch.tensor([1.0, 0.3, 0.0]), valid)


def test_a_row_without_tokens_has_no_perplexity() -> None:
    with pytest.raises(DataError, match="row 1"):
        log_perplexity(torch.zeros(2, 3), torch.tensor([[True, True, True], [False, False, False]]))


@pytest.mark.parametrize(
    "options",
    [{"student_weight": "ppl"}, {"teacher_weight": "ppl"}, {"weight_norm": "max"}, {"temperature": 0.0}],
)
def test_bad_choices_are_named(options: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        _weights([-1.0], [-1.0], [True], **options)


@pytest.mark.parametrize(
    ("student_weight", "low", "high"),
    [("perplexity", 1.3, 1.3864), ("uniform", 0.0, 0.9), ("inverse-perplexity", 0.0, 0.1)],
)
def test_right_answers_stay_many_only_with_the_paper_s_sign(student_weight: str, low: float, high: float) -> None:
    """Four right arms, N = 8, step 0.3, 4,000 updates: uniform over them, a slow drift, a collapse (2.10, item 13)."""
    ends = []
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        logits = torch.tensor([0.7, 0.2, 0.07, 0.03], dtype=torch.float64).log()
        for _ in range(4000):
            p = logits.softmax(-1)
            arms = torch.multinomial(p, 8, replacement=True, generator=generator)
            old = p.log()[arms][:, None]
            weight = scope_weights(
                old,
                torch.zeros_like(old),
                torch.ones(8, 1, dtype=torch.bool),
                torch.ones(8, dtype=torch.bool),
                torch.zeros(8, dtype=torch.int64),
                torch.ones(8, dtype=torch.bool),
                student_weight=student_weight,
            )
            # d(-Σ w ρ)/d logits = -Σ w (1[arm] - p)
            step = torch.zeros(4, dtype=torch.float64).index_add(0, arms, weight) - p
            logits = logits + 0.3 * step
        p = logits.softmax(-1)
        ends.append(float(-(p * p.log()).sum()))
    assert all(low <= entropy <= high for entropy in ends), ends
