"""DynaMO's two factors: the printed examples, the bounds of each, and the change of entropy by finite differences."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from fogline.core.errors import ConfigurationError
from fogline.trainers.modulation import (
    clipped_step,
    entropy_change,
    entropy_compensation,
    entropy_stabilisation,
    sequence_expectation,
    vocabulary_moments,
)

torch.set_num_threads(1)

DECAY6: dict[str, float] = {"least": 0.6, "slope": 50.0, "threshold": 0.99}
DECAY5: dict[str, float] = {"least": 0.6, "slope": 50.0, "threshold": 0.9}


def real(values: object) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def everywhere(values: Tensor) -> Tensor:
    return torch.ones_like(values, dtype=torch.bool)


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


# Stabilisation


@pytest.mark.parametrize(
    ("mode", "shares", "printed"),
    [
        (DECAY6, [0, 0.5, 0.9, 0.95, 0.99, 1], [1, 1, 0.9956, 0.9523, 0.8, 0.7510]),
        (DECAY5, [0, 0.5, 0.8, 0.9, 0.95, 1], [1, 1, 0.9973, 0.8, 0.6303, 0.6027]),
    ],
)
def test_the_printed_factors(mode: dict[str, float], shares: list[float], printed: list[float]) -> None:
    change = real([shares])
    found = entropy_stabilisation(change, torch.ones_like(change), everywhere(change), **mode)
    torch.testing.assert_close(found, real([printed]), rtol=0, atol=5e-5)


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=12), st.floats(0, 1), st.floats(0, 60), st.floats(0, 1))
def test_the_factor_lies_between_its_least_and_1_and_falls_with_the_change(
    change: list[float], least: float, slope: float, threshold: float
) -> None:
    size = real([change])
    found = entropy_stabilisation(size, torch.ones_like(size), everywhere(size), least, slope, threshold)[0]
    assert (found >= least).all() and (found <= 1).all()
    order = torch.argsort(size[0].abs())
    assert (found[order].diff() <= 1e-15).all()


def test_half_of_the_fall_is_at_the_threshold() -> None:
    change = real([[0.99, -1.0]])
    found = entropy_stabilisation(change, torch.ones_like(change), everywhere(change), **DECAY6)
    assert found[0, 0].item() == pytest.approx((1 + 0.6) / 2, abs=1e-6)


@given(st.floats(1e-9, 1e9))
def test_the_scale_of_the_advantages_does_not_matter(scale: float) -> None:
    """The printed 1e-8 would matter for advantages as small as it is; here it is a share of the largest step."""
    logp, entropy = -drawn(3, 5).abs() - 0.1, drawn(3, 5, seed=1).abs()
    advantage, expectation = drawn(3, 5, seed=2), -0.1 * drawn(3, 5, seed=3).abs()
    found = []
    for factor in (1.0, scale):
        step = clipped_step(0.05 * drawn(3, 5, seed=4), factor * advantage, 0.2, 0.28)
        change = entropy_change(step, logp, entropy, expectation)
        found.append(entropy_stabilisation(change, step, everywhere(step), **DECAY6))
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=1e-9)
    assert found[0].min() < 0.9


def test_tokens_outside_the_trust_region_move_nothing_and_keep_their_advantage() -> None:
    ratio, advantage = real([[0.7, 1.3, 0.7, 1.3, 1.0]]), real([[-1.0, 1.0, 1.0, -1.0, 1.0]])
    step = clipped_step(ratio.log(), advantage, 0.2, 0.28)
    torch.testing.assert_close(step, real([[0.0, 0.0, 0.7, -1.3, 1.0]]), rtol=0, atol=1e-12)
    change = entropy_change(step, real([[-1.0] * 5]), real([[0.5] * 5]), real([[0.1] * 5]))
    factor = entropy_stabilisation(change, step, everywhere(step), **DECAY6)
    assert (1 - factor[0, :2]).abs().max() < 1e-19
    assert factor[0, 2:].min() < 0.9


@pytest.mark.parametrize("edge", [0.8, 1.28])
def test_on_the_boundary_a_step_still_counts(edge: float) -> None:
    advantage = real([[-1.0 if edge < 1 else 1.0]])
    assert clipped_step(real([[edge]]).log(), advantage, 0.2, 0.28 + 1e-12).abs().item() == pytest.approx(edge)


# The change of entropy


def entropy_of(logits: Tensor) -> Tensor:
    logp = logits.log_softmax(-1)
    return -(logp.exp() * logp).sum(-1)


@given(st.integers(0, 10_000), st.integers(2, 8), st.sampled_from([-1.5, 0.6]))
def test_the_change_is_the_first_order_one_by_finite_differences(seed: int, size: int, advantage: float) -> None:
    logits = 2 * drawn(size, seed=seed)
    token = seed % size
    logp = logits.log_softmax(-1)
    moved = torch.nn.functional.one_hot(torch.tensor(token), size) - logp.exp()
    step, small = real([[advantage]]), 1e-5
    numeric = (entropy_of(logits + small * advantage * moved) - entropy_of(logits - small * advantage * moved)) / (
        2 * small
    )
    entropy, expectation = vocabulary_moments(logp[None]).unbind(-1)
    found = entropy_change(step, logp[token].reshape(1, 1), entropy[None], expectation[None])
    assert found.item() == pytest.approx(numeric.item(), rel=1e-4, abs=1e-8)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_moments_by_their_sums_in_blocks_and_with_impossible_tokens(dtype: torch.dtype) -> None:
    logits = (3 * drawn(7, 40_000)).to(dtype)
    logits[2, 5:] = -torch.inf
    logits[3, 1:] = -torch.inf
    found = vocabulary_moments(logits.log_softmax(-1))
    assert found.dtype == dtype and found.shape == (7, 2)
    logp = logits.double().log_softmax(-1)
    finite = logp.masked_fill(logp == -torch.inf, 0)
    entropy = -(logp.exp() * finite).sum(-1)
    expectation = (logp.exp() ** 2 * (finite + entropy[:, None])).sum(-1)
    torch.testing.assert_close(found.double(), torch.stack((entropy, expectation), -1), rtol=1e-4, atol=1e-6)
    assert found[3].tolist() == [0, 0], "what is certain has no entropy to lose"


def test_no_places_have_no_moments() -> None:
    assert vocabulary_moments(torch.zeros(0, 9)).shape == (0, 2)


@pytest.mark.parametrize("size", [2, 3, 17])
def test_a_uniform_policy_has_no_entropy_to_gain(size: int) -> None:
    logp = torch.full((4, size), -math.log(size), dtype=torch.float64)
    entropy, expectation = (column.reshape(1, 4) for column in vocabulary_moments(logp).unbind(-1))
    step = real([[1.0, -2.0, 0.5, 3.0]])
    change = entropy_change(step, logp[:, 0].reshape(1, 4), entropy, expectation)
    assert change.abs().max() < 1e-15
    factor = entropy_stabilisation(change, step, everywhere(step), **DECAY6)
    assert (factor == 1).all(), "rounding is no change"


def test_the_released_expectation_is_the_mean_of_each_row() -> None:
    logp, entropy = -drawn(3, 4).abs(), drawn(3, 4, seed=1).abs()
    mask = torch.tensor([[True, True, False, True], [False] * 4, [True, False, False, False]])
    found = sequence_expectation(torch.where(mask, logp, 99.0), entropy, mask)
    value = logp.exp() * (logp + entropy)
    assert found[0].tolist() == pytest.approx([value[0, mask[0]].mean().item()] * 4, abs=1e-12)
    assert found[1].tolist() == [0] * 4
    assert found[2].tolist() == pytest.approx([value[2, 0].item()] * 4, abs=1e-12)


# Compensation


def test_the_most_certain_token_is_lifted_most() -> None:
    entropy, advantage = real([[0.5, 2.5, 1.5, 0.5]]), real([[1.0, 1.0, 1.0, -1.0]])
    found = entropy_compensation(entropy, advantage, everywhere(entropy), 0.2)
    torch.testing.assert_close(found, real([[1.2, 1.0, 1.1, 1.0]]), rtol=0, atol=1e-8)


@given(st.lists(st.floats(0, 9), min_size=2, max_size=9), st.floats(0, 2))
def test_it_lies_in_its_range_and_falls_with_entropy(values: list[float], strength: float) -> None:
    entropy = real([values])
    found = entropy_compensation(entropy, torch.ones_like(entropy), everywhere(entropy), strength)[0]
    assert (found >= 1).all() and (found <= 1 + strength).all()
    assert (found[torch.argsort(entropy[0])].diff() <= 1e-12).all()


def test_a_constant_entropy_lifts_nobody() -> None:
    entropy = torch.full((2, 3), 0.7, dtype=torch.float64)
    assert (entropy_compensation(entropy, torch.ones_like(entropy), everywhere(entropy), 0.4) == 1).all()


# Both


def both(entropy: Tensor, logp: Tensor, advantage: Tensor, mask: Tensor, **change: Any) -> Tensor:
    step = clipped_step(torch.zeros_like(logp), advantage, 0.2, 0.28)
    moved = entropy_change(step, logp, entropy, sequence_expectation(logp, entropy, mask))
    return entropy_compensation(entropy, advantage, mask, 0.2) * entropy_stabilisation(moved, step, mask, **DECAY6)


@given(st.integers(0, 1000))
def test_signs_stay_and_sizes_have_bounds(seed: int) -> None:
    entropy, logp = drawn(3, 6, seed=seed).abs(), -drawn(3, 6, seed=seed + 1).abs()
    advantage = drawn(3, 6, seed=seed + 2)
    advantage[0, :3] = 0
    changed = advantage * both(entropy, logp, advantage, everywhere(entropy))
    assert torch.equal(changed.sign(), advantage.sign())
    share = changed / advantage
    assert (share[advantage > 0] >= 0.6).all() and (share[advantage > 0] <= 1.2 + 1e-12).all()
    assert (share[advantage < 0] >= 0.6).all() and (share[advantage < 0] <= 1).all()


@given(st.integers(0, 1000), st.integers(1, 5), st.sampled_from([0.0, 1e9, -1e9]))
def test_padding_and_what_it_holds_do_not_matter(seed: int, wider: int, junk: float) -> None:
    entropy, logp, advantage = drawn(3, 4, seed=seed).abs(), -drawn(3, 4, seed=seed).abs(), drawn(3, 4, seed=seed + 2)
    plain = both(entropy, logp, advantage, everywhere(entropy))
    pad = torch.full((3, wider), junk, dtype=torch.float64)
    mask = torch.arange(4 + wider).expand(3, -1) < 4
    padded = both(
        torch.cat((entropy, pad.abs()), 1),
        torch.cat((logp, torch.zeros_like(pad)), 1),
        torch.cat((advantage, pad), 1),
        mask,
    )
    torch.testing.assert_close(padded[:, :4], plain, rtol=0, atol=1e-12)
    assert (padded[:, 4:] == 1).all()


def test_factors_are_constants_to_autograd() -> None:
    entropy, logp = drawn(2, 3).abs().requires_grad_(), (-drawn(2, 3).abs()).requires_grad_()
    found = both(entropy, logp, drawn(2, 3, seed=5), everywhere(logp))
    assert not found.requires_grad


def test_nothing_to_modulate_is_left_alone() -> None:
    none = torch.zeros(2, 3)
    mask = torch.zeros(2, 3, dtype=torch.bool)
    assert (entropy_compensation(none, none, mask, 0.2) == 1).all()
    assert (entropy_stabilisation(none, none, mask, **DECAY6) == 1).all()
    assert (entropy_stabilisation(none, none, ~mask, **DECAY6) == 1).all(), "where no advantage is, nothing moves"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x, mask: entropy_compensation(x, x, mask, -0.1), "strength=-0.1"),
        (lambda x, mask: entropy_compensation(x, x, mask, math.inf), "strength=inf"),
        (lambda x, mask: entropy_compensation(x, x, x, 0.1), "mask has dtype"),
        (lambda x, mask: entropy_stabilisation(x, x, mask, 1.5, 1, 1), "least=1.5"),
        (lambda x, mask: entropy_stabilisation(x, x, mask, 0.5, -1, 1), "slope=-1"),
        (lambda x, mask: entropy_stabilisation(x, x[:1], mask, 0.5, 1, 1), "step has shape"),
        (lambda x, mask: clipped_step(x, x[:1], 0.2, 0.2), "advantage has shape"),
        (lambda x, mask: clipped_step(x, x, -0.2, 0.2), "clip_low=-0.2"),
        (lambda x, mask: entropy_change(x, x, x, x[:1]), "expectation has shape"),
        (lambda x, mask: sequence_expectation(x, x, mask[:1]), "mask has shape"),
    ],
)
def test_what_cannot_be_is_refused(call: Any, message: str) -> None:
    values = torch.zeros(2, 3)
    with pytest.raises(ConfigurationError, match=message):
        call(values, torch.ones(2, 3, dtype=torch.bool))


@pytest.mark.parametrize("seed", range(5))
def test_gradients_of_certain_tokens_vanish_which_compensation_answers(seed: int) -> None:
    """Section 4.4: (1 - π) ≤ |∂ log π / ∂z| ≤ √2 (1 - π), and the expected square is 1 - Σ π² ≤ 1 - exp(-H) ≤ H."""
    logits = (3 * drawn(6, seed=seed)).requires_grad_()
    logp = logits.log_softmax(-1)
    slopes = torch.stack([torch.autograd.grad(logp[token], logits, retain_graph=True)[0] for token in range(6)])
    size, pi = slopes.norm(dim=-1), logp.exp().detach()
    assert (size >= 1 - pi - 1e-12).all() and (size <= math.sqrt(2) * (1 - pi) + 1e-12).all()
    expected, entropy = (pi * size**2).sum().item(), entropy_of(logits).item()
    assert expected == pytest.approx(1 - (pi**2).sum().item(), abs=1e-12)
    assert expected <= 1 - math.exp(-entropy) + 1e-12 <= entropy + 2e-12
