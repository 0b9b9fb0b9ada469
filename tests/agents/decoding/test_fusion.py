from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import Tensor

from fogline.agents.decoding.fusion import contrast, plausible, restrict
from fogline.agents.decoding.pnd import combine, fuse
from fogline.core.errors import ConfigurationError

ROWS = arrays(np.float64, (3, 7), elements=st.floats(-8, 8, width=32))
WEIGHT = st.floats(0, 3, width=16)
SHARE = st.floats(0.015625, 1, width=16)


def tensors(*values: np.ndarray) -> list[Tensor]:
    return [torch.from_numpy(value.copy()) for value in values]


def test_fuse_on_numbers_worked_out_by_hand() -> None:
    original = torch.tensor([[2.0, 1.0, 0.0, -3.0]])
    positive = torch.tensor([[1.0, 3.0, 0.0, 9.0]])
    negative = torch.tensor([[5.0, 0.0, -5.0, -9.0]])
    # l_o + 2 l_p - 0.5 l_n = [1.5, 7, 2.5, 19.5]; log 0.1 = -2.30, so tokens below -0.30 are out.
    said = fuse(original, positive, negative, 2.0, 0.5, 0.1)
    torch.testing.assert_close(said, torch.tensor([[1.5, 7.0, 2.5, float("-inf")]]))
    released = fuse(original, positive, negative, 2.0, 0.5, 0.1, "release")
    torch.testing.assert_close(released, torch.tensor([[-0.5, 6.0, 2.5, float("-inf")]]))
    # (1 + 2 - 0.5) l_o - 2 l_p + 0.5 l_n: the sign of every view is the wrong one.
    reversed_ = fuse(original, positive, negative, 2.0, 0.5, 0.1, "release-internvl")
    torch.testing.assert_close(reversed_, torch.tensor([[5.5, -3.5, -2.5, float("-inf")]]))


@given(ROWS, SHARE)
def test_without_weights_the_argmax_survives_its_own_cutoff(rows: np.ndarray, beta: float) -> None:
    (original,) = tensors(rows)
    assert torch.equal(fuse(original, None, None, 0.0, 0.0, beta).argmax(-1), original.argmax(-1))


@given(ROWS, WEIGHT, WEIGHT)
def test_equal_views_are_a_temperature(rows: np.ndarray, alpha: float, gamma: float) -> None:
    (original,) = tensors(rows)
    left = 1 + alpha - gamma
    if left <= 0:
        with pytest.raises(ConfigurationError, match="cancel the original"):
            combine(original, original, original, alpha, gamma)
        return
    said = torch.softmax(combine(original, original, original, alpha, gamma), -1)
    torch.testing.assert_close(said, torch.softmax(original * left, -1))


@given(ROWS, ROWS, ROWS, WEIGHT, st.floats(0, 0.9375, width=16))
def test_a_cutoff_of_one_is_greedy_whatever_the_views(
    one: np.ndarray, two: np.ndarray, three: np.ndarray, alpha: float, gamma: float
) -> None:
    original, positive, negative = tensors(one, two, three)
    kept = fuse(original, positive, negative, alpha, gamma, 1.0).isfinite()
    assert torch.equal(kept, original == original.max(-1, keepdim=True).values)


@given(ROWS, ROWS, ROWS)
def test_a_cutoff_of_nothing_keeps_everything(one: np.ndarray, two: np.ndarray, three: np.ndarray) -> None:
    original, positive, negative = tensors(one, two, three)
    assert fuse(original, positive, negative, 2.2, 0.4, 0.0).isfinite().all()
    assert plausible(original, 1e-300).all()


@given(ROWS, ROWS, st.floats(0, 2, width=16))
def test_without_a_negative_path_pnd_is_agla(one: np.ndarray, two: np.ndarray, alpha: float) -> None:
    original, positive = tensors(one, two)
    by_hand = torch.from_numpy(one + alpha * two)
    torch.testing.assert_close(combine(original, positive, None, alpha, 0.0), by_hand)


@given(ROWS, ROWS, st.floats(0.125, 3, width=16), SHARE)
def test_vcd_is_pnd_without_positive_path_up_to_a_factor(
    one: np.ndarray, two: np.ndarray, strength: float, beta: float
) -> None:
    original, negative = tensors(one, two)
    vcd = restrict(contrast(original, negative, strength), original, beta)
    pnd = fuse(original, None, negative, 0.0, strength / (1 + strength), beta)
    assert torch.equal(vcd.isfinite(), pnd.isfinite())
    torch.testing.assert_close(vcd, (1 + strength) * pnd)


@settings(max_examples=60)
@given(ROWS, ROWS, ROWS, arrays(np.float64, (3, 3), elements=st.floats(-5, 5, width=32)))
def test_a_constant_on_any_path_changes_no_distribution(
    one: np.ndarray, two: np.ndarray, three: np.ndarray, shift: np.ndarray
) -> None:
    # Grid values, so that adding the constant cannot move a token over the cutoff by rounding.
    views = [np.round(values * 4) / 4 for values in (one, two, three)]
    shift = np.round(shift * 4) / 4
    before = fuse(*tensors(*views), 2.2, 0.4, 0.39)
    after = fuse(*tensors(*(view + shift[:, [path]] for path, view in enumerate(views))), 2.2, 0.4, 0.39)
    torch.testing.assert_close(torch.softmax(before, -1), torch.softmax(after, -1))


@pytest.mark.parametrize(("alpha", "gamma", "boost"), [(2.2, 0.4, 1.0), (0.5, 0.0, 2.0), (0.0, 0.9, 3.0)])
def test_in_a_log_linear_world_evidence_gains_on_the_prior_as_the_formula_says(
    alpha: float, gamma: float, boost: float
) -> None:
    noise = np.random.default_rng(3)
    prior, evidence = noise.normal(size=(2, 5, 11))
    fused = combine(*tensors(prior + evidence, prior + (1 + boost) * evidence, prior), alpha, gamma)
    expected = (1 + alpha - gamma) * prior + (1 + alpha * (1 + boost)) * evidence
    np.testing.assert_allclose(fused.numpy(), expected, rtol=0, atol=1e-12)
    if (alpha, gamma, boost) == (2.2, 0.4, 1.0):
        assert math.isclose((1 + alpha * 2) / (1 + alpha - gamma), 5.4 / 2.8)


@pytest.mark.parametrize("form", ["paper", "release"])
def test_weights_that_cancel_the_original_are_refused_with_the_fix(form: str) -> None:
    from fogline.agents.decoding import make_decoder

    gamma = 1.5 if form == "paper" else 0.5
    with pytest.raises(ConfigurationError, match=r"alpha=0.5 and gamma=.* cancel the original.*is 0,.*Lower gamma"):
        make_decoder("pnd", saliency="oracle", alpha=0.5, gamma=gamma, fusion=form)


def test_the_released_form_with_the_positive_view_alone_reads_it() -> None:
    original = torch.tensor([[1.0, 0.0]])
    positive = torch.tensor([[0.0, 1.0]])
    assert combine(original, positive, None, 2.2, 0.0, "release").argmax() == 1
    with pytest.raises(ConfigurationError, match="cancel"):
        combine(original, None, None, 0.0, 0.0, "release")
