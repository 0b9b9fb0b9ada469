"""One weight outside the trust region: PPO, GPPO, DGPO and no clipping are its powers."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from fogline.core.errors import ConfigurationError
from fogline.trainers.losses import boundary_decay, clipped_loss, dgpo_loss, gppo_loss

torch.set_num_threads(1)

LOW, HIGH = 0.2, 0.28
LB, UB = 1 - LOW, 1 + HIGH
powers = st.one_of(st.floats(-3, 6), st.just(math.inf))


def real(values: object) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def weight(log_ratio: float, advantage: float, left: float, right: float, low: float = LOW) -> float:
    return boundary_decay(real([log_ratio]), real([advantage]), left, right, low, HIGH).exp().item()


def closed(log_ratio: float, advantage: float, left: float, right: float) -> float:
    """Section 3.2 in ratio form."""
    ratio = math.exp(log_ratio)
    if advantage < 0 and ratio < LB:
        return 0.0 if left == math.inf else (ratio / LB) ** left
    if advantage > 0 and ratio > UB:
        return 0.0 if right == math.inf else (UB / ratio) ** right
    return 1.0


@given(apart=st.floats(-8, 8), advantage=st.sampled_from([-2.0, 0.0, 0.5]), left=powers, right=powers)
def test_the_weight_is_a_power_of_the_distance_from_the_band(
    apart: float, advantage: float, left: float, right: float
) -> None:
    if min(abs(math.exp(apart) - LB), abs(math.exp(apart) - UB)) > 1e-9:
        expected = closed(apart, advantage, left, right)
        assert weight(apart, advantage, left, right) == pytest.approx(expected, rel=1e-9)


@given(
    apart=st.floats(-1e4, 1e4),
    advantage=st.sampled_from([-1.0, 0.0, 1.0]),
    left=st.one_of(st.floats(0, 4), st.just(math.inf)),
    right=st.one_of(st.floats(0, 1), st.just(math.inf)),
)
def test_no_power_makes_a_number_that_is_none(apart: float, advantage: float, left: float, right: float) -> None:
    """With infinite powers inf · 0 lies in wait inside the band, and inf - inf in the exponent outside of it."""
    logp = real([apart]).requires_grad_()
    decay = boundary_decay(logp, real([advantage]), left, right, LOW, HIGH)
    assert not decay.requires_grad
    assert decay.item() <= 0 and not decay.isnan().any()
    loss = -real([advantage]) * (logp.clamp(-20, 20) + decay).exp()
    (gradient,) = torch.autograd.grad(loss.sum(), logp)
    assert loss.isfinite().all() and gradient.isfinite().all()


@given(st.lists(st.floats(-3, 3), min_size=1, max_size=6), st.sampled_from([-1.5, 0.0, 0.7]))
def test_four_methods_are_one_code_path(apart: list[float], advantage: float) -> None:
    old, sign = real([apart]) * 0 - 5, torch.full((1, len(apart)), advantage, dtype=torch.float64)

    def gradient(loss: Tensor, logp: Tensor) -> Tensor:
        return torch.autograd.grad(loss.sum(), logp)[0]

    for left, right, name in (
        (math.inf, math.inf, "grpo"), (-1, 1, "gppo"), (0, 0, "unclipped"), (2, 1 / 3, "dgpo")
    ):  # fmt: skip
        logp = (old + real([apart])).requires_grad_()
        general = -sign * (logp - old + boundary_decay(logp - old, sign, left, right, LOW, HIGH)).exp()
        theirs = {
            "grpo": lambda logp: clipped_loss(logp, old, sign, LOW, HIGH),
            "gppo": lambda logp: gppo_loss(logp, old, sign, LOW, HIGH),
            "unclipped": lambda logp: -sign * (logp - old).exp(),
            "dgpo": lambda logp: dgpo_loss(logp, old, sign, LOW, HIGH, 2, 3),
        }[name](logp)
        if min(abs(math.exp(d) - edge) for d in apart for edge in (LB, UB)) > 1e-9:
            torch.testing.assert_close(gradient(general, logp), gradient(theirs, logp), rtol=1e-9, atol=1e-12)
        if name != "grpo":
            torch.testing.assert_close(general, theirs, rtol=1e-9, atol=1e-12)


def test_with_infinite_powers_the_value_outside_is_0_where_ppo_reports_a_constant() -> None:
    logp, old, sign = real([[-2.0, 2.0]]), real([[0.0, 0.0]]), real([[-1.0, 1.0]])
    general = -sign * (logp + boundary_decay(logp, sign, math.inf, math.inf, LOW, HIGH)).exp()
    assert general.tolist() == [[0.0, 0.0]]
    torch.testing.assert_close(clipped_loss(logp, old, sign, LOW, HIGH), real([[LB, -UB]]), rtol=0, atol=1e-12)


@pytest.mark.parametrize("advantage", [-1.0, 1.0])
def test_on_the_boundary_the_inside_branch_applies(advantage: float) -> None:
    for edge in (math.log1p(-LOW), math.log1p(HIGH)):
        assert weight(edge, advantage, 5, 5) == 1
        assert weight(edge, advantage, math.inf, math.inf) == 1


@given(apart=st.floats(-6, 6), one=st.floats(0, 5), more=st.floats(0, 5))
def test_larger_powers_let_go_sooner(apart: float, one: float, more: float) -> None:
    for advantage in (-1.0, 1.0):
        assert weight(apart, advantage, one + more, one + more) <= weight(apart, advantage, one, one) <= 1


def test_a_band_without_a_lower_edge_has_no_left() -> None:
    assert weight(-50.0, -1.0, math.inf, math.inf, low=1.0) == 1


@pytest.mark.parametrize("power", [math.nan, -math.inf])
def test_powers_that_mean_nothing_are_refused(power: float) -> None:
    with pytest.raises(ConfigurationError, match="left_power"):
        weight(0.0, 1.0, power, 1.0)
    with pytest.raises(ConfigurationError, match="right_power"):
        weight(0.0, 1.0, 1.0, power)
