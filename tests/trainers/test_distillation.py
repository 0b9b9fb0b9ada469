"""OPD, AOPD and the divergences of their field against the specification's fixtures, invariants and enumeration."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from fogline.core.errors import ConfigurationError
from fogline.trainers.distillation import (
    aopd_gate,
    aopd_loss,
    direct_loss,
    discounted,
    distilled_advantage,
    entropy_gated_loss,
    extrapolated_advantage,
    generalised_jsd,
    opd_loss,
    prefix_weight,
    reverse_kl,
    skew_kl,
    surrogate,
    truncated_forward_kl,
)

P = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
Q = torch.tensor([0.4, 0.3, 0.2, 0.1], dtype=torch.float64)


def _top(teacher: Tensor, k: int) -> tuple[Tensor, Tensor]:
    found = teacher.log().topk(k)
    return found.indices, found.values


def _aopd(logits: Tensor, teacher: Tensor, token: int, k: int, **options: object) -> Tensor:
    """Loss of one sampled token of one place, from logits with gradient."""
    logp = logits.log_softmax(-1)
    ids, values = _top(teacher, k)
    loss = aopd_loss(
        logp[token].reshape(1, 1),
        teacher.log()[token].reshape(1, 1),
        logp[ids].reshape(1, 1, k),
        values.reshape(1, 1, k),
        **options,
    )
    return loss.sum()


def _gradient(loss: Callable[[Tensor], Tensor], p: Tensor = P) -> tuple[float, list[float]]:
    logits = p.log().clone().requires_grad_()
    value = loss(logits)
    (gradient,) = torch.autograd.grad(value, logits)
    return value.item(), gradient.tolist()


def _opd(logits: Tensor, teacher: Tensor, token: int) -> Tensor:
    logp = logits.log_softmax(-1)
    return opd_loss(logp[token].reshape(1, 1), teacher.log()[token].reshape(1, 1)).sum()


# AOPD's fixtures


def test_advantages_and_gates_of_the_fixture() -> None:
    advantage = distilled_advantage(P.log()[None], Q.log()[None])
    assert advantage[0].tolist() == pytest.approx([1.386294, 0.405465, -0.405465, -1.386294], abs=1e-6)
    assert aopd_gate(Q.log()[None], P.log()[None])[0].tolist() == [False, False, True, True]


def test_a_token_that_the_teacher_likes_better_is_opd_s() -> None:
    value, gradient = _gradient(lambda z: _aopd(z, Q, 0, 2))
    assert value == pytest.approx(3.192060, abs=1e-6)
    assert gradient == pytest.approx([-1.247665, 0.277259, 0.415888, 0.554518], abs=1e-6)
    assert (value, gradient) == _gradient(lambda z: _opd(z, Q, 0))


@pytest.mark.parametrize(
    ("k", "value", "gradient"),
    [
        (1, 0.554518, [-0.36, 0.08, 0.12, 0.16]),
        (2, 0.676157, [-0.33, -0.16, 0.21, 0.28]),
        (4, 0.456435, [-0.3, -0.1, 0.1, 0.3]),
    ],
)
def test_a_token_that_it_likes_less_is_replaced_by_its_top_k(k: int, value: float, gradient: list[float]) -> None:
    found = _gradient(lambda z: _aopd(z, Q, 3, k, reduction="sum"))
    assert found[0] == pytest.approx(value, abs=1e-6)
    assert found[1] == pytest.approx(gradient, abs=1e-6)
    mean = _gradient(lambda z: _aopd(z, Q, 3, k, reduction="mean_k"))
    assert mean[0] == pytest.approx(value / k, abs=1e-6)
    assert mean[1] == pytest.approx([part / k for part in gradient], abs=1e-6)


def test_opd_there_hands_the_mass_out_in_the_student_s_own_proportions() -> None:
    _, gradient = _gradient(lambda z: _opd(z, Q, 3))
    assert gradient == pytest.approx([-0.138629, -0.277259, -0.415888, 0.831777], abs=1e-6)


@pytest.mark.parametrize(("k", "value"), [(1, 0.311239), (2, 0.421968), (4, 0.456435)])
def test_the_tail_bucket_grows_to_the_whole_divergence(k: int, value: float) -> None:
    found, _ = _gradient(lambda z: _aopd(z, Q, 3, k, reduction="sum", tail="bucket"))
    assert found == pytest.approx(value, abs=1e-6)


@given(
    st.lists(st.floats(-4, 4), min_size=4, max_size=4),
    st.lists(st.floats(-4, 4), min_size=4, max_size=4),
    st.integers(0, 3),
    st.integers(1, 4),
)
def test_thresholds_recover_opd_and_imitation(student: list[float], teacher: list[float], token: int, k: int) -> None:
    p, q = (torch.tensor(logits, dtype=torch.float64).softmax(-1) for logits in (student, teacher))
    everywhere_opd = _gradient(lambda z: _aopd(z, q, token, k, threshold=-1.5), p)
    assert everywhere_opd == _gradient(lambda z: _opd(z, q, token), p)
    imitation = _gradient(lambda z: _aopd(z, q, token, 4, threshold=1.0, reduction="sum"), p)
    whole = _gradient(lambda z: generalised_jsd(z.log_softmax(-1), q.log(), 0.0), p)
    assert imitation[0] == pytest.approx(whole[0], abs=1e-9)
    assert imitation[1] == pytest.approx(whole[1], abs=1e-9)


def test_the_gate_at_zero_compares_logarithms_and_includes_equality() -> None:
    tiny = torch.tensor([[-105.0]]), torch.tensor([[-120.0]])
    assert not aopd_gate(*tiny)
    assert aopd_gate(tiny[1], tiny[0])
    assert aopd_gate(tiny[0], tiny[0])
    assert aopd_gate(*tiny, threshold=1e-9)


def test_a_zero_advantage_teaches_opd_nothing_and_aopd_something() -> None:
    p = torch.tensor([0.3, 0.1, 0.4, 0.2], dtype=torch.float64)
    q = torch.tensor([0.3, 0.5, 0.15, 0.05], dtype=torch.float64)
    logits = p.log().clone().requires_grad_()
    advantage = distilled_advantage(p.log()[:1][None], q.log()[:1][None])
    assert advantage.item() == 0
    loss = surrogate(logits.log_softmax(-1)[:1][None], advantage, None).sum()
    assert torch.autograd.grad(loss, logits)[0].abs().max() == 0
    # log_softmax of log p rounds, so that the sampled token's probabilities are made equal to the bit.
    own = logits.log_softmax(-1)
    ids, values = _top(q, 2)
    found = aopd_loss(own[:1][None], own.detach()[:1][None], own[ids][None, None], values[None, None])
    assert found.item() == pytest.approx(0.402359, abs=1e-6)
    (gradient,) = torch.autograd.grad(found.sum(), logits)
    assert gradient.tolist() == pytest.approx([-0.03, -0.21, 0.16, 0.08], abs=1e-6)


def test_the_expected_gradient_is_that_of_the_closed_form() -> None:
    def expected(**options: object) -> list[float]:
        rows = [_gradient(lambda z, y=y: _aopd(z, Q, y, 2, **options))[1] for y in range(4)]
        return (P @ torch.tensor(rows, dtype=torch.float64)).tolist()

    assert expected(reduction="sum") == pytest.approx([-0.347657, -0.149149, 0.212917, 0.283889], abs=1e-6)
    assert expected(reduction="mean_k") == pytest.approx([-0.232157, -0.093149, 0.139417, 0.185889], abs=1e-6)
    reverse = [_gradient(lambda z, y=y: _opd(z, Q, y))[1] for y in range(4)]
    assert (P @ torch.tensor(reverse, dtype=torch.float64)).tolist() == pytest.approx(
        [-0.184273, -0.172380, -0.015291, 0.371944], abs=1e-6
    )


@given(st.lists(st.floats(-5, 5), min_size=5, max_size=5), st.lists(st.floats(-5, 5), min_size=5, max_size=5))
def test_opd_s_expected_gradient_is_that_of_the_reverse_divergence(student: list[float], teacher: list[float]) -> None:
    p, q = (torch.tensor(logits, dtype=torch.float64).softmax(-1) for logits in (student, teacher))
    rows = [_gradient(lambda z, y=y: _opd(z, q, y), p)[1] for y in range(5)]
    whole = _gradient(lambda z: reverse_kl(z.log_softmax(-1), q.log()), p)[1]
    assert (p @ torch.tensor(rows, dtype=torch.float64)).tolist() == pytest.approx(whole, abs=1e-9)


@given(
    st.lists(st.floats(-6, 6), min_size=6, max_size=6),
    st.lists(st.floats(-6, 6), min_size=6, max_size=6),
    st.integers(1, 5),
)
def test_imitation_is_bounded_sums_to_zero_and_pulls_where_the_teacher_says(
    student: list[float], teacher: list[float], k: int
) -> None:
    p, q = (torch.tensor(logits, dtype=torch.float64).softmax(-1) for logits in (student, teacher))
    _, gradient = _gradient(lambda z: _aopd(z, q, 0, k, threshold=1.0, reduction="sum"), p)
    ids, values = _top(q, k)
    mass = values.exp().sum().item()
    assert sum(gradient) == pytest.approx(0, abs=1e-9)
    for token, slope in enumerate(gradient):
        assert -1 <= slope <= 1
        kept = q[token].item() if token in ids.tolist() else 0.0
        assert slope == pytest.approx(mass * p[token].item() - kept, abs=1e-9)


def test_at_the_teacher_the_tail_decides_whether_it_stays() -> None:
    for options in ({"tail": "bucket"}, {}):
        k = 2 if options else 4
        value, gradient = _gradient(lambda z, k=k, o=options: _aopd(z, Q, 3, k, reduction="sum", threshold=1.0, **o), Q)
        assert value == pytest.approx(0, abs=1e-9)
        assert gradient == pytest.approx([0] * 4, abs=1e-9)
    _, moved = _gradient(lambda z: _aopd(z, Q, 3, 2, reduction="sum", threshold=1.0), Q)
    assert moved == pytest.approx([-0.4 * 0.3, -0.3 * 0.3, 0.7 * 0.2, 0.7 * 0.1], abs=1e-9)


def test_a_truncated_divergence_may_be_negative_and_still_teaches() -> None:
    p = torch.tensor([0.5, 0.4, 0.05, 0.05], dtype=torch.float64)
    value, gradient = _gradient(lambda z: _aopd(z, Q, 3, 2, threshold=1.0, reduction="sum"), p)
    assert value < 0
    assert max(map(abs, gradient)) > 0.01


@pytest.mark.parametrize("spoiled", [math.inf, -math.inf, math.nan])
def test_what_the_unused_branch_holds_does_no_harm(spoiled: float) -> None:
    logp = torch.tensor([[math.log(0.2), math.log(0.4)]], dtype=torch.float64, requires_grad=True)
    top = torch.full((1, 2, 2), math.log(0.3), dtype=torch.float64).requires_grad_()
    teacher = torch.tensor([[math.log(0.5), -math.inf]], dtype=torch.float64)
    teacher_top = torch.tensor([[[spoiled, spoiled], [math.log(0.6), math.log(0.3)]]], dtype=torch.float64)
    loss = aopd_loss(logp, teacher, top, teacher_top)
    assert torch.isfinite(loss).all()
    first, second = torch.autograd.grad(loss.sum(), [logp, top])
    assert torch.isfinite(first).all()
    assert torch.isfinite(second).all()
    assert first[0, 1] == 0
    assert (second[0, 0] == 0).all()


def test_entries_that_the_teacher_did_not_name_drop_out() -> None:
    named = truncated_forward_kl(P.log()[None, None, :2], Q.log()[None, None, :2], reduction="sum", tail="bucket")
    padded = Q.log()[None, None].clone()
    padded[..., 2:] = -math.inf
    student = P.log()[None, None].clone().requires_grad_()
    found = truncated_forward_kl(student, padded, reduction="sum", tail="bucket")
    assert found.item() == pytest.approx(named.item())
    (gradient,) = torch.autograd.grad(found.sum(), student)
    assert (gradient[..., 2:] == 0).all()


def test_the_policy_branch_is_bounded_by_the_student_s_surprisal_and_opd_s_is_not() -> None:
    teacher = torch.tensor([1e-30, 1 - 1e-30], dtype=torch.float64)
    student = torch.tensor([0.5, 0.5], dtype=torch.float64)
    _, harsh = _gradient(lambda z: _opd(z, teacher, 0), student)
    _, mild = _gradient(lambda z: _aopd(z, teacher, 0, 1, reduction="sum"), student)
    assert max(map(abs, harsh)) > 30
    assert max(map(abs, mild)) <= 1


def test_aopd_recovers_an_unlikely_token_a_hundred_times_sooner() -> None:
    """The specification's exploration test: q_0 = .5, p_0 = 1e-6, exact expected gradients, K = 2."""
    q = torch.tensor([0.5, 0.3, 0.15, 0.05], dtype=torch.float64)
    start = torch.tensor([1e-6, 0.6, 0.3, 0.1], dtype=torch.float64).log()

    def steps(loss: Callable[[Tensor, int], Tensor], limit: int) -> int:
        logits = start.clone()
        for step in range(1, limit + 1):
            z = logits.clone().requires_grad_()
            p = z.detach().softmax(-1)
            total = sum((p[y] * loss(z, y) for y in range(4)), start=torch.zeros((), dtype=torch.float64))
            logits = logits - 0.5 * torch.autograd.grad(total, z)[0]
            if logits.softmax(-1)[0] > 0.25:
                return step
        return limit + 1

    for tail in ("none", "bucket"):
        soon = steps(lambda z, y, t=tail: _aopd(z, q, y, 2, reduction="sum", tail=t), 200)
        assert soon <= 60
        assert steps(lambda z, y: _opd(z, q, y), 100 * soon) > 100 * soon


@pytest.mark.parametrize(("k", "tail", "target"), [
    (4, "none", [0.4, 0.3, 0.2, 0.1]), (2, "bucket", [0.4, 0.3, 0.2, 0.1]), (2, "none", [0.486, 0.365, 0.099, 0.050]),
])  # fmt: skip
def test_where_the_expected_dynamics_end(k: int, tail: str, target: list[float]) -> None:
    logits = P.log().clone()
    for _ in range(4000):
        z = logits.clone().requires_grad_()
        p = z.detach().softmax(-1)
        total = sum(
            (p[y] * _aopd(z, Q, y, k, reduction="sum", tail=tail) for y in range(4)),
            start=torch.zeros((), dtype=torch.float64),
        )
        logits = logits - 0.2 * torch.autograd.grad(total, z)[0]
    assert logits.softmax(-1).tolist() == pytest.approx(target, abs=2e-3)


# Estimators, discounts, weights


def test_estimators_in_value_and_gradient() -> None:
    p, q = P, Q
    kl, forward = float(p @ (p / q).log()), _gradient(lambda z: generalised_jsd(z.log_softmax(-1), q.log(), 0.0))[1]
    reverse = _gradient(lambda z: reverse_kl(z.log_softmax(-1), q.log()))[1]

    def direct(z: Tensor, y: int, estimator: str) -> Tensor:
        return direct_loss(z.log_softmax(-1)[y][None, None], q.log()[y][None, None], estimator).sum()

    def expected(estimator: str) -> tuple[float, list[float]]:
        found = [_gradient(lambda z, y=y: direct(z, y, estimator)) for y in range(4)]
        values, rows = (torch.tensor(column, dtype=p.dtype) for column in zip(*found, strict=True))
        return float(p @ values), (p @ rows).tolist()

    assert expected("k2")[1] == pytest.approx(reverse, abs=1e-9)
    assert expected("k3")[0] == pytest.approx(kl, abs=1e-9)
    assert expected("k3")[1] == pytest.approx(forward, abs=1e-9)
    with pytest.raises(ConfigurationError, match="expected gradient 0"):
        direct_loss(p.log()[None], q.log()[None], "k1")
    for estimator, sign in (("k1", None), ("k2", -1), ("k3", -1)):
        found = distilled_advantage(p.log()[None], q.log()[None], estimator)
        assert not found.requires_grad
        assert sign is None or (found <= 0).all()


def test_discounting_skips_what_the_environment_said() -> None:
    advantage = torch.tensor([[1.0, 99.0, 2.0, 4.0, 7.0]])
    mask = torch.tensor([[True, False, True, True, False]])
    assert discounted(advantage, mask, 0.0)[0].tolist() == [1.0, 0.0, 2.0, 4.0, 0.0]
    assert discounted(advantage, mask, 0.5)[0].tolist() == [1 + 0.5 * (2 + 0.5 * 4), 0.0, 4.0, 4.0, 0.0]
    assert discounted(advantage, mask, 1.0)[0].tolist() == [7.0, 0.0, 6.0, 4.0, 0.0]
    normal = discounted(advantage, mask, 0.5, normalise=True)[0].tolist()
    assert normal == pytest.approx([3 / 1.75, 0.0, 4 / 1.5, 4.0, 0.0])


def test_the_whole_future_is_the_gradient_of_the_whole_sequence() -> None:
    """Two tokens, the second's distribution depends on the first: enumeration against autograd, discount 1."""
    generator = torch.Generator().manual_seed(3)
    first, second = (torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in ((3,), (3, 3)))
    q1, q2 = (torch.randn(*s, generator=generator, dtype=torch.float64).log_softmax(-1) for s in ((3,), (3, 3)))
    z = first.clone().requires_grad_()
    p1, p2 = z.log_softmax(-1), second.log_softmax(-1)
    joint = p1[:, None] + p2
    whole = (joint.exp() * (joint - (q1[:, None] + q2))).sum()
    (exact,) = torch.autograd.grad(whole, z, retain_graph=True)
    total = torch.zeros((), dtype=torch.float64)
    for a in range(3):
        for b in range(3):
            logp = torch.stack([p1[a], p2[a, b]])[None]
            mine = distilled_advantage(logp, torch.stack([q1[a], q2[a, b]])[None])
            credit = discounted(mine, torch.ones(1, 2, dtype=torch.bool), 1.0)
            total = total + joint[a, b].exp().detach() * surrogate(logp, credit, None).sum()
    assert torch.autograd.grad(total, z)[0].tolist() == pytest.approx(exact.tolist(), abs=1e-12)


def test_extrapolation_is_opd_at_one_and_aims_beyond_the_teacher_above() -> None:
    old, teacher, reference = (torch.randn(2, 3) for _ in range(3))
    same = extrapolated_advantage(old, teacher, reference, 1.0)
    torch.testing.assert_close(same, distilled_advantage(old, teacher))
    p, q, r = P, Q, torch.tensor([0.25] * 4, dtype=torch.float64)
    target = (1.25 * q.log() - 0.25 * r.log()).log_softmax(-1)
    rows = []
    for y in range(4):
        credit = extrapolated_advantage(p.log()[y][None, None], q.log()[y][None, None], r.log()[y][None, None], 1.25)
        rows.append(_gradient(lambda z, y=y, c=credit: surrogate(z.log_softmax(-1)[y][None, None], c, None).sum())[1])
    exact = _gradient(lambda z: reverse_kl(z.log_softmax(-1), target))[1]
    assert (p @ torch.tensor(rows, dtype=p.dtype)).tolist() == pytest.approx(exact, abs=1e-9)


def test_earlier_tokens_count_more() -> None:
    advantage = torch.tensor([[1.0, 5.0, -2.0, 1.0]])
    mask = torch.tensor([[True, False, True, True]])
    assert prefix_weight(advantage, mask, 0.5)[0, mask[0]].tolist() == [1.5, 1.375, 1.125]
    assert prefix_weight(torch.zeros(1, 2), torch.ones(1, 2, dtype=torch.bool))[0].tolist() == [1.5, 1.5]


def test_ratios_take_the_place_of_logarithms_once_steps_are_stale() -> None:
    logp = torch.tensor([[-1.0]], requires_grad=True)
    old, teacher = torch.tensor([[-1.5]]), torch.tensor([[-0.5]])
    loss = opd_loss(logp, teacher, old)
    assert loss.item() == pytest.approx(-1.0 * math.exp(0.5))
    assert opd_loss(logp, teacher, old, clip=(0.2, 0.2)).item() == pytest.approx(-1.2)
    with pytest.raises(ConfigurationError, match="without old_logp"):
        opd_loss(logp, teacher, clip=(0.2, 0.2))


# Whole vocabulary


@pytest.mark.parametrize("weight", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_generalised_jsd_by_its_definition(weight: float) -> None:
    value, gradient = _gradient(lambda z: generalised_jsd(z.log_softmax(-1), Q.log(), weight))
    if weight in (0.0, 1.0):
        first, second = (Q, P) if weight == 0 else (P, Q)
        expected = float(first @ (first / second).log())
    else:
        mixture = weight * Q + (1 - weight) * P
        expected = float(weight * Q @ (Q / mixture).log() + (1 - weight) * P @ (P / mixture).log())
    assert value == pytest.approx(expected, abs=1e-12)
    assert sum(gradient) == pytest.approx(0, abs=1e-12)
    assert generalised_jsd(Q.log(), Q.log(), weight).item() == pytest.approx(0, abs=1e-12)


def test_jsd_tends_to_both_divergences() -> None:
    small = generalised_jsd(P.log(), Q.log(), 1e-6).item() / 1e-6
    assert small == pytest.approx(generalised_jsd(P.log(), Q.log(), 0.0).item(), rel=1e-3)
    large = generalised_jsd(P.log(), Q.log(), 1 - 1e-6).item() / 1e-6
    assert large == pytest.approx(generalised_jsd(P.log(), Q.log(), 1.0).item(), rel=1e-3)


def test_skewed_divergence_and_its_bounded_gradient() -> None:
    skew = 0.1
    mixture = skew * Q + (1 - skew) * P
    value, gradient = _gradient(lambda z: skew_kl(z.log_softmax(-1), Q.log(), skew))
    assert value == pytest.approx(float(Q @ (Q / mixture).log()), abs=1e-12)
    r = Q / mixture
    assert (r <= 1 / skew).all()
    assert gradient == pytest.approx((-(1 - skew) * P * (r - P @ r)).tolist(), abs=1e-9)
    other = skew_kl(P.log(), Q.log(), skew, "reverse").item()
    assert other == pytest.approx(float(P @ (P / (0.9 * Q + 0.1 * P)).log()), abs=1e-12)
    assert skew_kl(P.log(), Q.log(), 0.0).item() == pytest.approx(generalised_jsd(P.log(), Q.log(), 0.0).item())


def test_eopd_imitates_where_the_teacher_is_unsure() -> None:
    ids, values = _top(Q, 2)
    logits = P.log().clone().requires_grad_()
    top = logits.log_softmax(-1)[ids].expand(1, 2, 2)
    entropy = torch.tensor([[0.7, 0.9]], dtype=torch.float64)
    loss = entropy_gated_loss(top, values.expand(1, 2, 2), entropy)
    assert loss[0, 0] == 0
    own = torch.tensor([4 / 7, 3 / 7], dtype=torch.float64)
    assert loss[0, 1].item() == pytest.approx(float(own @ (own / P[ids]).log()))


def test_what_has_no_probability_adds_nothing() -> None:
    q = torch.tensor([0.5, 0.5, 0.0], dtype=torch.float64)
    logits = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    for loss in (
        generalised_jsd(logits.log_softmax(-1), q.log(), 0.0),
        generalised_jsd(logits.log_softmax(-1), q.log(), 0.5),
        skew_kl(logits.log_softmax(-1), q.log()),
    ):
        assert torch.isfinite(loss)
        assert torch.isfinite(torch.autograd.grad(loss, logits, retain_graph=True)[0]).all()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: truncated_forward_kl(P.log()[None, None], Q.log()[None, None], reduction="max"), "reduction"),
        (lambda: truncated_forward_kl(P.log()[None, None], Q.log()[None, None], tail="fat"), "tail"),
        (lambda: truncated_forward_kl(P.log()[None, None], Q.log()[None, None, :2]), "shape"),
        (lambda: generalised_jsd(P.log(), Q.log(), 1.5), "weight"),
        (lambda: skew_kl(P.log(), Q.log(), 1.0), "skew"),
        (lambda: skew_kl(P.log(), Q.log(), 0.1, "up"), "direction"),
        (lambda: distilled_advantage(P.log()[None], Q.log()[None], "k4"), "estimator"),
        (lambda: discounted(P[None], Q[None] > 0, 1.5), "discount"),
        (lambda: opd_loss(P.log()[None], Q.log()[None, :2]), "shape"),
    ],
)  # fmt: skip
def test_bad_input_is_named(call: Callable[[], object], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        call()
