from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from fogline.core.errors import ConfigurationError
from fogline.trainers.aggregation import aggregate
from fogline.trainers.losses import (
    aspo_loss,
    boundary_decay,
    ce_gppo_loss,
    cispo_loss,
    clipped_loss,
    dgpo_loss,
    gmpo_loss,
    gppo_loss,
    gspo_loss,
    kl_loss,
    policy_gradient_loss,
    sapo_loss,
    sequence_clipped_loss,
    value_loss,
)

torch.set_num_threads(1)

EXACT: dict[str, Any] = {"rtol": 0.0, "atol": 1e-9}
LOW = HIGH = 0.2
LB, UB = 1 - LOW, 1 + HIGH
Loss = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]

TOKEN_LOSSES: dict[str, Loss] = {
    "policy gradient": lambda lp, old, a, mask: policy_gradient_loss(lp, a),
    "grpo": lambda lp, old, a, mask: clipped_loss(lp, old, a, LOW, HIGH),
    "dual clip": lambda lp, old, a, mask: clipped_loss(lp, old, a, LOW, HIGH, 3.0),
    "gppo": lambda lp, old, a, mask: gppo_loss(lp, old, a, LOW, HIGH),
    "ce-gppo": lambda lp, old, a, mask: ce_gppo_loss(lp, old, a, LOW, HIGH, 0.75, 1.0),
    "cispo verl": lambda lp, old, a, mask: cispo_loss(lp, old, a, LOW, HIGH),
    "cispo trl": lambda lp, old, a, mask: cispo_loss(lp, old, a, LOW, 5.0, "trl"),
    "aspo": lambda lp, old, a, mask: aspo_loss(lp, old, a, LOW, HIGH),
    "sapo": lambda lp, old, a, mask: sapo_loss(lp, old, a),
    "dgpo": lambda lp, old, a, mask: dgpo_loss(lp, old, a, LOW, HIGH, 1, 2),
    "k1": lambda lp, old, a, mask: kl_loss(lp, old, "k1"),
    "k2": lambda lp, old, a, mask: kl_loss(lp, old, "k2"),
    "k3": lambda lp, old, a, mask: kl_loss(lp, old, "k3"),
    "k3 clamped": lambda lp, old, a, mask: kl_loss(lp, old, "k3", 10.0),
    "k3 weighted": lambda lp, old, a, mask: kl_loss(lp, old, "k3", old_logp=old),
}
ROW_LOSSES: dict[str, Loss] = {
    "gspo": lambda lp, old, a, mask: gspo_loss(lp, old, a, mask, LOW, HIGH),
    "rloo": lambda lp, old, a, mask: sequence_clipped_loss(lp, old, a, mask, LOW, HIGH),
    "gmpo": lambda lp, old, a, mask: gmpo_loss(lp, old, a, mask, 0.4, 0.4),
}
LOSSES = TOKEN_LOSSES | ROW_LOSSES


def real(values: object) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def log_weight(loss: Loss, ratio: float, advantage: float, old: float = 0.0) -> float:
    """F(r) as autograd sees it: minus the gradient of the loss by log π, over the advantage."""
    logp = real([[old + math.log(ratio)]]).requires_grad_()
    mask = torch.ones(1, 1, dtype=torch.bool)
    (gradient,) = torch.autograd.grad(loss(logp, real([[old]]), real([[advantage]]), mask).sum(), logp)
    return -gradient.item() / advantage


def value(loss: Loss, ratio: float, advantage: float) -> float:
    mask = torch.ones(1, 1, dtype=torch.bool)
    return loss(real([[math.log(ratio)]]), real([[0.0]]), real([[advantage]]), mask).item()


# --- the printed table ---------------------------------------------------------------------------------------------

GOLDEN = """
A>0 grpo         .1 .25 .5 .8 1 1.2 0 0 0
A>0 gppo         .1 .25 .5 .8 1 1.2 1.2 1.2 1.2
A>0 ce-gppo      .1 .25 .5 .8 1 1.2 1.2 1.2 1.2
A>0 cispo-verl   .8 .8 .8 .8 1 1.2 1.2 1.2 1.2
A>0 aspo         3 3 2 1.25 1 .8333 0 0 0
A>0 sapo         .0822 .2179 .4700 .7921 1 1.1881 1.5729 .7228 .0049
A>0 dgpo         .1 .25 .5 .8 1 1.2 1.5492 2.1909 3.4641
A<0 grpo         0 0 0 .8 1 1.2 2 4 10
A<0 gppo         .8 .8 .8 .8 1 1.2 2 4 10
A<0 ce-gppo      .6 .6 .6 .8 1 1.2 2 4 10
A<0 aspo         0 0 0 .8 1 1.2 2 3 3
A<0 sapo         .0806 .2149 .4671 .7912 1 1.1869 1.5362 .6304 .0031
A<0 dgpo         .0125 .078125 .3125 .8 1 1.2 2 4 10
"""
RATIOS = [0.1, 0.25, 0.5, 0.8, 1, 1.2, 2, 4, 10]


@pytest.mark.parametrize("line", GOLDEN.split("\n")[1:-1])
def test_log_weights_of_the_printed_table(line: str) -> None:
    sign, name, *printed = line.split()
    advantage = 0.7 if sign == "A>0" else -0.7
    for ratio, digits in zip(RATIOS, printed, strict=True):
        half_of_the_last = 0.5 * 10.0 ** -len(digits.partition(".")[2]) if "." in digits else 1e-9
        found = log_weight(LOSSES[name.replace("-verl", " verl")], ratio, advantage)
        assert abs(found - float(digits)) <= half_of_the_last + 1e-12, (ratio, found)


# --- closed forms --------------------------------------------------------------------------------------------------


def sech2(x: float) -> float:
    return 1 - math.tanh(x) ** 2


def outside(r: float, a: float) -> str:
    return "LN" if a < 0 and r < LB else "HP" if a > 0 and r > UB else ""


FORMS: dict[str, Callable[[float, float], float]] = {
    "policy gradient": lambda r, a: 1,
    "grpo": lambda r, a: 0 if outside(r, a) else r,
    "dual clip": lambda r, a: 0 if outside(r, a) or (a < 0 and r > 3) else r,
    "gppo": lambda r, a: {"LN": LB, "HP": UB, "": r}[outside(r, a)],
    "ce-gppo": lambda r, a: {"LN": 0.75 * LB, "HP": UB, "": r}[outside(r, a)],
    "cispo verl": lambda r, a: min(max(r, LB), UB),
    "cispo trl": lambda r, a: min(r, 5),
    "aspo": lambda r, a: 0 if outside(r, a) else min(1 / r, 3) if a > 0 else min(r, 3),
    "sapo": lambda r, a: r * sech2((1.0 if a > 0 else 1.05) * (r - 1) / 2),
    "dgpo": lambda r, a: {"LN": r * r / LB, "HP": r * math.sqrt(UB / r), "": r}[outside(r, a)],
    "gspo": lambda r, a: 0 if outside(r, a) else r,
    "rloo": lambda r, a: 0 if outside(r, a) else r,
    "gmpo": lambda r, a: 0 if (a > 0 and math.log(r) > 0.4) or (a < 0 and math.log(r) < -0.4) else r,
}
ratios = (
    st.floats(-7, 7)
    .map(math.exp)
    .filter(lambda r: all(abs(r - edge) > 1e-6 for edge in (LB, UB, 3, 1 / 3, 5, math.exp(0.4), math.exp(-0.4))))
)
signed = st.sampled_from([-2.0, -0.3, 0.3, 2.0])


@pytest.mark.parametrize("name", FORMS)
@given(ratio=ratios, advantage=signed, old=st.floats(-5, 0))
def test_gradients_by_autograd_are_the_closed_log_weights(
    name: str, ratio: float, advantage: float, old: float
) -> None:
    expected = FORMS[name](ratio, advantage)
    assert abs(log_weight(LOSSES[name], ratio, advantage, old) - expected) <= 1e-9 * max(1, expected)


@given(ratio=ratios, advantage=signed)
def test_values_in_closed_form(ratio: float, advantage: float) -> None:
    where = outside(ratio, advantage)
    kept = {"LN": LB, "HP": UB, "": ratio}[where]
    ppo = -advantage * kept
    expected = {
        "grpo": ppo,
        "gppo": ppo,
        "dual clip": min(ppo, -3 * advantage) if advantage < 0 else ppo,
        "ce-gppo": ppo * (0.75 if where == "LN" else 1),
        "dgpo": -advantage * FORMS["dgpo"](ratio, advantage),
        "gspo": ppo,
        "rloo": ppo,
        "cispo verl": -advantage * FORMS["cispo verl"](ratio, advantage) * math.log(ratio),
        "policy gradient": -advantage * math.log(ratio),
    }
    temperature = 1.0 if advantage > 0 else 1.05
    expected["sapo"] = -advantage * 4 / temperature / (1 + math.exp(-temperature * (ratio - 1)))
    for name, number in expected.items():
        assert abs(value(LOSSES[name], ratio, advantage) - number) <= 1e-9 * max(1, abs(number)), name


@given(ratio=ratios)
def test_divergence_estimators_in_closed_form(ratio: float) -> None:
    apart = math.log(ratio)  # log π - log reference
    expected = {
        "k1": (apart, 1.0),
        "k2": (apart**2 / 2, apart),
        "k3": (1 / ratio + apart - 1, 1 - 1 / ratio),
        "k3 weighted": (1 + ratio * (apart - 1), ratio * apart),
    }
    for name, (number, slope) in expected.items():
        assert abs(value(LOSSES[name], ratio, 1.0) - number) <= 1e-9 * max(1, abs(number))
        assert abs(-log_weight(LOSSES[name], ratio, 1.0) - slope) <= 1e-9 * max(1, abs(slope))
    assert value(LOSSES["k3 clamped"], ratio, 1.0) == pytest.approx(min(10, expected["k3"][0]), abs=1e-9)


def test_expected_gradients_of_the_estimators_against_the_exact_divergence() -> None:
    logits = real([0.3, -1.0, 0.8, 0.1]).requires_grad_()
    reference = real([0.1, 0.2, -0.5, 0.6]).log_softmax(0)
    logp = logits.log_softmax(0)
    (exact,) = torch.autograd.grad((logp.exp() * (logp - reference)).sum(), logits, retain_graph=True)

    def expected(estimator: str, old: Tensor | None = None) -> Tensor:
        each = kl_loss(logp[None], reference[None], estimator, old_logp=old)[0]
        return torch.autograd.grad((logp.exp().detach() * each).sum(), logits, retain_graph=True)[0]

    torch.testing.assert_close(expected("k2"), exact, **EXACT)
    torch.testing.assert_close(expected("k1"), torch.zeros(4, dtype=torch.float64), **EXACT)
    for estimator in ("k1", "k3"):
        torch.testing.assert_close(expected(estimator, logp[None].detach()), exact, **EXACT)


def test_value_loss_and_its_clip() -> None:
    values = real([[0.0, 1.0, 3.0, -3.0]]).requires_grad_()
    old, returns = real([[0.0, 0.0, 0.0, 0.0]]), real([[1.0, 1.0, 2.9, 1.0]])
    torch.testing.assert_close(value_loss(values, old, returns), real([[0.5, 0.0, 0.005, 8.0]]), **EXACT)
    clipped = value_loss(values, old, returns, clip=0.5)
    torch.testing.assert_close(clipped, real([[0.5, 0.125, 2.88, 8.0]]), **EXACT)
    (gradient,) = torch.autograd.grad(clipped.sum(), values)
    torch.testing.assert_close(gradient, real([[-1.0, 0.0, 0.0, -4.0]]), **EXACT)


# --- DGPO's invariants ---------------------------------------------------------------------------------------------


def decayed(n: float, m: float) -> Loss:
    return lambda lp, old, a, mask: dgpo_loss(lp, old, a, LOW, HIGH, n, m)


def unclipped(lp: Tensor, old: Tensor, a: Tensor, mask: Tensor) -> Tensor:
    return -a * (lp - old).exp()


@given(ratio=st.floats(LB + 1e-9, UB - 1e-9), advantage=signed, n=st.integers(1, 3), m=st.integers(1, 3))
def test_inside_the_band_dgpo_is_ppo_and_the_true_gradient(ratio: float, advantage: float, n: int, m: int) -> None:
    for other in (LOSSES["grpo"], LOSSES["gppo"], unclipped):
        assert value(decayed(n, m), ratio, advantage) == pytest.approx(value(other, ratio, advantage), abs=1e-12)
        ours, theirs = log_weight(decayed(n, m), ratio, advantage), log_weight(other, ratio, advantage)
        assert ours == pytest.approx(theirs, abs=1e-12)


@pytest.mark.parametrize(("edge", "advantage"), [(LB, -1.0), (UB, 1.0)])
def test_value_and_log_weight_are_continuous_where_ppo_jumps(edge: float, advantage: float) -> None:
    beyond = edge * (1 - 1e-9) if advantage < 0 else edge * (1 + 1e-9)
    for ratio in (edge, beyond):
        assert -value(LOSSES["dgpo"], ratio, advantage) / advantage == pytest.approx(edge, abs=1e-8)
        assert log_weight(LOSSES["dgpo"], ratio, advantage) == pytest.approx(edge, abs=1e-8)
    assert log_weight(LOSSES["grpo"], beyond, advantage) == 0


@given(ratio=ratios, advantage=signed)
def test_the_value_of_dgpo_is_its_gradient(ratio: float, advantage: float) -> None:
    size = max(1.0, abs(advantage) * ratio)
    found = -advantage * log_weight(LOSSES["dgpo"], ratio, advantage)
    assert abs(value(LOSSES["dgpo"], ratio, advantage) - found) <= 1e-9 * size


def probability_weight(loss: Loss, ratio: float) -> float:
    """W at π_old = 1 and A < 0: the log-weight over the probability."""
    return log_weight(loss, ratio, -1.0) / ratio


def test_as_a_token_dies_dgpo_lets_go_and_gppo_and_cispo_blow_up() -> None:
    dying = [10.0**-k for k in range(1, 7)]
    for n in (1, 2, 3):
        weights = [probability_weight(decayed(n, 2), ratio) for ratio in dying]
        assert weights == sorted(weights, reverse=True)
        assert weights[-1] < 1e-5
    for name, bound in (("gppo", LB), ("cispo verl", LB), ("ce-gppo", 0.75 * LB)):
        assert probability_weight(LOSSES[name], dying[-1]) == pytest.approx(bound / dying[-1])


@given(advantage=signed, n=st.integers(1, 4), m=st.integers(1, 4), near=st.floats(-6, 6), far=st.floats(0, 3))
def test_the_relative_weight_only_falls_with_distance_and_never_exceeds_one(
    advantage: float, n: int, m: int, near: float, far: float
) -> None:
    away = near - far if advantage < 0 else near + far
    decay = boundary_decay(real([near, away]), real([advantage] * 2), n, 1 / m, LOW, HIGH)
    assert 0 >= decay[0] >= decay[1] > -math.inf


def test_on_the_right_the_weight_falls_while_the_log_weight_stays_below_its_bound() -> None:
    old, m = math.log(1e-4), 2
    for probability in (1e-3, 1e-2, 0.1, 1.0):
        found = log_weight(LOSSES["dgpo"], probability / 1e-4, 1.0, old)
        assert found <= UB ** (1 / m) * 1e-4 ** (1 / m - 1) + 1e-9


@pytest.mark.parametrize("ratio", [0.01, 0.4, 0.79, 1.21, 3.0, 40.0])
def test_limits_of_the_powers(ratio: float) -> None:
    for advantage in (-1.0, 1.0):
        assert log_weight(decayed(0, math.inf), ratio, advantage) == pytest.approx(ratio, rel=1e-12)
    if ratio < LB:
        assert log_weight(decayed(1e5, 1), ratio, -1.0) < 1e-9
    if ratio > UB:
        assert log_weight(decayed(1, 1), ratio, 1.0) == pytest.approx(UB, rel=1e-12)
        assert log_weight(decayed(1, 1e9), ratio, 1.0) == pytest.approx(ratio, rel=1e-7)


def general(left: float, right: float) -> Loss:
    def loss(lp: Tensor, old: Tensor, a: Tensor, mask: Tensor) -> Tensor:
        return -a * (lp - old + boundary_decay(lp - old, a, left, right, LOW, HIGH)).exp()

    return loss


@given(ratio=ratios, advantage=signed)
def test_ppo_gppo_and_no_clip_are_cases_of_one_decay(ratio: float, advantage: float) -> None:
    for powers, other in [
        ((math.inf, math.inf), LOSSES["grpo"]),
        ((-1.0, 1.0), LOSSES["gppo"]),
        ((0.0, 0.0), unclipped),
    ]:
        assert log_weight(general(*powers), ratio, advantage) == pytest.approx(
            log_weight(other, ratio, advantage), rel=1e-9, abs=1e-12
        )


@given(ratio=st.floats(1e-3, LB - 1e-6), above=st.floats(UB + 1e-6, 1e3))
def test_order_of_the_biases(ratio: float, above: float) -> None:
    def bias(loss: Loss, at: float, advantage: float) -> float:
        return abs(log_weight(loss, at, advantage) / at - 1)

    left = [bias(decayed(n, 2), ratio, -1.0) for n in (1, 2, 3)]
    assert left == sorted(left)
    u = ratio / LB
    assert left[0] == pytest.approx(1 - u, abs=1e-9)
    gppo = bias(LOSSES["gppo"], ratio, -1.0)
    assert gppo == pytest.approx((1 - u) / u, rel=1e-6)
    assert gppo > left[0]
    if abs(u * (1 + u) - 1) > 1e-6:
        assert (left[1] < gppo) == (u * (1 + u) < 1)
    right = [bias(decayed(1, m), above, 1.0) for m in (1, 2, 3)]
    assert right == sorted(right, reverse=True)


@pytest.mark.parametrize("name", ["grpo", "gppo", "dgpo", "ce-gppo"])
def test_lagging_tokens_are_left_alone(name: str) -> None:
    for ratio, advantage in ((0.1, 1.0), (10.0, -1.0)):
        assert log_weight(LOSSES[name], ratio, advantage) == pytest.approx(ratio, rel=1e-12)


def test_without_advantage_nothing_decays() -> None:
    decay = boundary_decay(real([-9.0, 0.0, 9.0]), real([0.0, 0.0, 0.0]), 1, 1, LOW, HIGH)
    assert decay.tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("loss", "left", "right"),
    [
        (lambda lp, old, a, mask: clipped_loss(lp, old, a, 0.1, 0.5), 0, 0),
        (lambda lp, old, a, mask: gppo_loss(lp, old, a, 0.1, 0.5), 0.9, 1.5),
        (lambda lp, old, a, mask: ce_gppo_loss(lp, old, a, 0.1, 0.5, 0.5, 2), 0.45, 3),
        (lambda lp, old, a, mask: cispo_loss(lp, old, a, 0.1, 0.5), 0.9, 1.5),
        (lambda lp, old, a, mask: aspo_loss(lp, old, a, 0.1, 0.5), 0, 0),
        (lambda lp, old, a, mask: dgpo_loss(lp, old, a, 0.1, 0.5, 1, 2), 0.85**2 / 0.9, math.sqrt(1.5 * 1.6)),
        (lambda lp, old, a, mask: gspo_loss(lp, old, a, mask, 0.1, 0.5), 0, 0),
        (lambda lp, old, a, mask: sequence_clipped_loss(lp, old, a, mask, 0.1, 0.5), 0, 0),
    ],
)
def test_each_side_of_the_band_has_its_own_width(loss: Loss, left: float, right: float) -> None:
    assert log_weight(loss, 0.85, -1.0) == pytest.approx(left, abs=1e-9)
    assert log_weight(loss, 1.6, 1.0) == pytest.approx(right, abs=1e-9)


# --- rows as wholes ------------------------------------------------------------------------------------------------


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_gspo_weighs_every_token_by_the_geometric_mean_of_its_row() -> None:
    apart, mask = 0.1 * drawn(4, 5), torch.tensor([[True] * 5, [True] * 3 + [False] * 2, [True] * 5, [True] * 5])
    logp = apart.clone().requires_grad_()
    advantage = real([1.0, -2.0, 0.5, -1.0])[:, None].expand(4, 5)
    loss = gspo_loss(logp, torch.zeros_like(apart), advantage, mask, 0.9, 5.0)
    (gradient,) = torch.autograd.grad(loss.sum(), logp)
    ratio = torch.stack([row[there].mean().exp() for row, there in zip(apart, mask, strict=True)])[:, None]
    expected = torch.where(mask, -advantage * ratio, 0.0)
    torch.testing.assert_close(loss.detach(), expected, **EXACT)
    torch.testing.assert_close(gradient, expected, **EXACT)


def test_gmpo_bounds_each_log_ratio_on_the_side_that_is_pushed() -> None:
    logp = real([[0.9, -0.9, 0.1], [0.9, -0.9, 0.1]]).requires_grad_()
    advantage = real([[1.0] * 3, [-1.0] * 3])
    loss = gmpo_loss(logp, torch.zeros_like(logp), advantage, torch.ones(2, 3, dtype=torch.bool), 0.3, 0.4)
    up, down = math.exp((0.4 - 0.9 + 0.1) / 3), math.exp((0.9 - 0.3 + 0.1) / 3)
    torch.testing.assert_close(loss.detach(), real([[-up] * 3, [down] * 3]), **EXACT)
    (gradient,) = torch.autograd.grad(loss.sum(), logp)
    torch.testing.assert_close(gradient, real([[0, -up, -up], [down, 0, down]]), **EXACT)


def test_the_row_ratio_of_rloo_is_the_product_of_its_tokens() -> None:
    logp = real([[0.1, -0.2, 9.0]]).requires_grad_()
    mask = torch.tensor([[True, True, False]])
    loss = sequence_clipped_loss(logp, torch.zeros_like(logp), real([[2.0] * 3]), mask, LOW, HIGH)
    total = aggregate(loss, mask, "seq-mean-token-sum", valid=torch.tensor([True]))
    assert total.item() == pytest.approx(-2 * math.exp(-0.1), abs=1e-12)
    (gradient,) = torch.autograd.grad(total, logp)
    torch.testing.assert_close(gradient, real([[-2 * math.exp(-0.1)] * 2 + [0.0]]), **EXACT)


# --- all losses ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_huge_log_ratios_stay_finite_in_value_and_gradient(name: str, dtype: torch.dtype) -> None:
    apart = torch.tensor([-1e4, -90, -21, -20, 0, 20, 21, 90, 1e4], dtype=dtype)
    logp = apart.repeat(3, 1).requires_grad_()
    advantage = torch.tensor([-2.0, 0.0, 2.0], dtype=dtype)[:, None].expand(3, 9)
    for mask in (
        torch.ones(3, 9, dtype=torch.bool),
        torch.eye(9, dtype=torch.bool)[:3],
        torch.eye(9, dtype=torch.bool)[6:],
    ):
        loss = LOSSES[name](logp, torch.zeros_like(logp), advantage, mask)
        (gradient,) = torch.autograd.grad(loss.sum(), logp)
        assert loss.isfinite().all()
        assert gradient.isfinite().all()


@pytest.mark.parametrize("name", sorted(set(LOSSES) - {"k1", "k2", "k3", "k3 clamped", "k3 weighted"}))
def test_no_advantage_no_gradient(name: str) -> None:
    logp, mask = drawn(3, 4).requires_grad_(), torch.ones(3, 4, dtype=torch.bool)
    loss = LOSSES[name](logp, drawn(3, 4, seed=1), torch.zeros(3, 4, dtype=torch.float64), mask)
    (gradient,) = torch.autograd.grad(loss.sum(), logp)
    assert torch.equal(gradient, torch.zeros_like(gradient))


@pytest.mark.parametrize("name", LOSSES)
def test_only_the_current_log_probability_gets_a_gradient(name: str) -> None:
    logp, old, advantage = (drawn(3, 4, seed=seed).requires_grad_() for seed in range(3))
    LOSSES[name](logp, old, advantage, torch.ones(3, 4, dtype=torch.bool)).sum().backward()
    assert logp.grad is not None
    assert logp.grad.abs().sum() > 0
    assert old.grad is None
    assert advantage.grad is None


MODES = ["token-mean", "seq-mean-token-mean", "seq-mean-token-sum", "seq-mean-token-sum-norm"]


@pytest.mark.parametrize("name", LOSSES)
@given(seed=st.integers(0, 1000), wider=st.integers(1, 5), mode=st.sampled_from(MODES))
def test_masked_tokens_contribute_exactly_zero_and_padding_does_not_matter(
    name: str, seed: int, wider: int, mode: str
) -> None:
    there = torch.rand(3, 5, generator=torch.Generator().manual_seed(seed)) < 0.6
    valid = torch.tensor([True, False, True])

    def run(fill: float, extra: int) -> tuple[float, Tensor]:
        def laid_out(tensor: Tensor) -> Tensor:
            hidden = torch.where(there & valid[:, None], tensor, fill)
            return torch.cat([hidden, torch.full((3, extra), fill, dtype=torch.float64)], 1)

        mask = torch.cat([there, torch.zeros(3, extra, dtype=torch.bool)], 1)
        logp = laid_out(drawn(3, 5, seed=seed)).requires_grad_()
        loss = LOSSES[name](logp, -laid_out(drawn(3, 5, seed=seed + 1)), laid_out(drawn(3, 5, seed=seed + 2)), mask)
        total = aggregate(loss, mask, mode, valid=valid)
        (gradient,) = torch.autograd.grad(total, logp)
        return total.item(), gradient

    total, gradient = run(0.0, 0)
    kept = there & valid[:, None]
    assert torch.equal(gradient[~kept], torch.zeros_like(gradient[~kept]))
    for fill, extra in ((0.0, wider), (-37.0, wider), (5e3, 0)):
        other, slope = run(fill, extra)
        assert other == pytest.approx(total, rel=1e-12, abs=1e-12)
        torch.testing.assert_close(slope[:, :5], gradient, rtol=1e-12, atol=1e-12)
        assert torch.equal(slope[:, 5:], torch.zeros_like(slope[:, 5:]))
        assert torch.equal(slope[:, :5][~kept], torch.zeros_like(slope[:, :5][~kept]))


@pytest.mark.parametrize("name", ROW_LOSSES)
def test_row_losses_ignore_even_nan_off_the_mask(name: str) -> None:
    mask = torch.tensor([[True, True, False]])
    logp = real([[0.1, 0.2, math.nan]]).requires_grad_()
    loss = LOSSES[name](logp, real([[0.0, 0.0, math.nan]]), real([[1.0, 1.0, math.nan]]), mask)
    (gradient,) = torch.autograd.grad(loss.sum(), logp)
    assert loss.isfinite().all()
    assert gradient.isfinite().all()
    assert loss[0, 2] == gradient[0, 2] == 0


# --- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LOSSES)
def test_shapes_that_differ_are_refused(name: str) -> None:
    whole, row = drawn(2, 3), drawn(2, 1)
    with pytest.raises(ConfigurationError, match=r"shape \[2, 1\].*\[2, 3\]"):
        LOSSES[name](whole, row, row, torch.ones(2, 3, dtype=torch.bool))


def test_bad_options_are_named() -> None:
    token = real([[0.1]])
    mask = torch.ones(1, 1, dtype=torch.bool)
    refused: list[tuple[str, Callable[[], Tensor]]] = [
        (r"clip_low=-0\.1", lambda: clipped_loss(token, token, token, -0.1, 0.2)),
        (r"clip_high=nan", lambda: clipped_loss(token, token, token, 0.1, math.nan)),
        (r"dual_clip=1\.1.*1 \+ clip_high", lambda: clipped_loss(token, token, token, 0.2, 0.2, 1.1)),
        (r"variant='TRL'.*'trl'", lambda: cispo_loss(token, token, token, 0.2, 5.0, "TRL")),
        (r"n=-1", lambda: dgpo_loss(token, token, token, 0.2, 0.2, -1, 2)),
        (r"m=0", lambda: dgpo_loss(token, token, token, 0.2, 0.2, 1, 0)),
        (r"right_power=nan", lambda: boundary_decay(token, token, 1, math.nan, 0.2, 0.2)),
        (r"left=-1", lambda: ce_gppo_loss(token, token, token, 0.2, 0.2, -1, 1)),
        (r"cap_positive=0", lambda: aspo_loss(token, token, token, 0.2, 0.2, 0)),
        (r"temperature_negative=0", lambda: sapo_loss(token, token, token, 1, 0)),
        (r"estimator='k4'", lambda: kl_loss(token, token, "k4")),
        (r"clamp=-1", lambda: kl_loss(token, token, "k3", -1)),
        (r"clip=0", lambda: value_loss(token, token, token, 0)),
        (r"clip_high=-1", lambda: gspo_loss(token, token, token, mask, 0.1, -1)),
        (r"mask\.bool\(\)", lambda: gmpo_loss(token, token, token, token, 0.1, 0.1)),
    ]
    for message, call in refused:
        with pytest.raises(ConfigurationError, match=message):
            call()


def test_a_lower_clip_of_one_or_more_bounds_nothing() -> None:
    for name, loss in [
        ("ppo", lambda lp, old, a, mask: clipped_loss(lp, old, a, 10.0, HIGH)),
        ("gppo", lambda lp, old, a, mask: gppo_loss(lp, old, a, 10.0, HIGH)),
        ("cispo", lambda lp, old, a, mask: cispo_loss(lp, old, a, 10.0, HIGH)),
    ]:
        assert log_weight(loss, 0.01, -1.0) == pytest.approx(0.01, rel=1e-9), name
