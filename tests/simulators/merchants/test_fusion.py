"""Fusion: closed forms, brute force beside the optimal weight, and bounds that hold for any rates."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import expit, logit

from fogline.core.errors import ConfigurationError
from fogline.simulators.merchants.fusion import (
    DEFAULT_KAPPA,
    FUSIONS,
    KAPPAS,
    Sides,
    anchored,
    bates_granger,
    fit_kappa,
    fit_pool_alpha,
    pool,
    shrink,
)

rates = arrays(np.float64, 6, elements=st.floats(0, 1))
inner = arrays(np.float64, 6, elements=st.floats(0.001, 0.999))
weights = st.floats(0, 1)


@given(rates, rates, weights)
def test_pool_is_a_rate_between_its_sides(fitting: np.ndarray, reasoning: np.ndarray, alpha: float):
    found = pool(fitting, reasoning, alpha)
    assert ((found > 0) & (found < 1)).all()
    sides = np.clip(np.stack([fitting, reasoning]), 1e-4, 1 - 1e-4)
    assert (found >= sides.min(axis=0) - 1e-12).all() and (found <= sides.max(axis=0) + 1e-12).all()


@given(inner, inner)
def test_pool_of_weight_one_is_the_fitting_branch_and_of_zero_the_other(fitting: np.ndarray, reasoning: np.ndarray):
    assert pool(fitting, reasoning, 1.0) == pytest.approx(fitting)
    assert pool(fitting, reasoning, 0.0) == pytest.approx(reasoning)


def test_pool_of_equal_weights_is_the_mean_of_logits():
    found = pool(np.array([expit(1.0)]), np.array([expit(-3.0)]), 0.5)
    assert found == pytest.approx([expit(-1.0)])


@given(inner, inner, inner, weights)
def test_pool_rises_with_either_side(low: np.ndarray, high: np.ndarray, other: np.ndarray, alpha: float):
    low, high = np.minimum(low, high), np.maximum(low, high)
    assert (pool(low, other, alpha) <= pool(high, other, alpha) + 1e-12).all()
    assert (pool(other, low, alpha) <= pool(other, high, alpha) + 1e-12).all()


def test_pool_weight_is_found_on_its_grid_of_forty_one():
    rng = np.random.default_rng(0)
    fitting, reasoning = rng.uniform(0.1, 0.9, (2, 50))
    observed = pool(fitting, reasoning, 0.325)
    assert fit_pool_alpha(fitting, reasoning, observed, np.full(50, 10)) == pytest.approx(0.325)


def test_pool_weight_counts_rows():
    fitting, reasoning = np.array([0.2, 0.2]), np.array([0.8, 0.8])
    observed = np.array([0.2, 0.8])
    assert fit_pool_alpha(fitting, reasoning, observed, np.array([10, 1])) == 1.0
    assert fit_pool_alpha(fitting, reasoning, observed, np.array([1, 10])) == 0.0


def test_pool_weight_leans_on_the_fitting_branch_where_nothing_tells():
    nothing = np.empty(0)
    assert fit_pool_alpha(nothing, nothing, nothing, np.empty(0, dtype=int)) == 1.0
    same = np.array([0.3, 0.4])
    assert fit_pool_alpha(same, same, same, np.array([5, 5])) == 1.0


@given(st.integers(0, 10_000), st.floats(0.02, 0.3), st.floats(0.02, 0.3), st.floats(-0.9, 0.9))
def test_bates_granger_weight_has_the_least_variance_of_all(seed: int, first: float, second: float, together: float):
    rng = np.random.default_rng(seed)
    errors = rng.normal([0.05, -0.1], [first, second], (40, 2))
    errors[:, 1] += together * second / first * errors[:, 0]
    observed = rng.uniform(0.3, 0.6, 40)
    alpha = bates_granger(observed + errors[:, 0], observed + errors[:, 1], observed)
    assert alpha is not None
    grid = np.linspace(0, 1, 2_001)
    spread = np.var(grid[:, None] * errors[:, 0] + (1 - grid[:, None]) * errors[:, 1], axis=1)
    assert alpha == pytest.approx(grid[np.argmin(spread)], abs=1e-3)


def test_bates_granger_of_independent_errors_weighs_by_the_inverse_variance():
    rng = np.random.default_rng(1)
    observed = np.full(200_000, 0.5)
    alpha = bates_granger(observed + rng.normal(0, 0.1, 200_000), observed + rng.normal(0, 0.2, 200_000), observed)
    assert alpha == pytest.approx(0.04 / 0.05, abs=0.01)


def test_bates_granger_is_not_moved_by_noise_of_the_observed_rates():
    rng = np.random.default_rng(2)
    truth = rng.uniform(0.2, 0.8, 50_000)
    fitting, reasoning = truth + rng.normal(0, 0.05, 50_000), truth + rng.normal(0, 0.1, 50_000)
    exact, noisy = (bates_granger(fitting, reasoning, seen) for seen in (truth, truth + rng.normal(0, 0.1, 50_000)))
    assert exact == pytest.approx(0.8, abs=0.01) and noisy == pytest.approx(exact, abs=0.01)


@pytest.mark.parametrize("shift", [0.0, 0.05])
def test_bates_granger_cannot_tell_errors_that_never_differ(shift: float):
    observed = np.array([0.2, 0.4, 0.5, 0.7])
    fitting = observed + np.array([0.1, -0.1, 0.05, 0.02])
    assert bates_granger(fitting, fitting + shift, observed) is None  # equal variances, correlation 1


def test_bates_granger_needs_three_groups():
    two, three = np.array([0.2, 0.5]), np.array([0.2, 0.5, 0.9])
    assert bates_granger(two + 0.1, two * 0.9, two) is None
    assert bates_granger(three + np.array([0.1, 0, 0]), three * 0.9, three) is not None


def test_bates_granger_is_clipped_where_one_side_repeats_the_other_and_adds_noise():
    rng = np.random.default_rng(3)
    observed, good = np.full(500, 0.5), rng.normal(0, 0.05, 500)
    assert bates_granger(observed + good, observed + 3 * good, observed) == 1.0
    assert bates_granger(observed + 3 * good, observed + good, observed) == 0.0


def test_shrinkage_halves_a_weight_at_kappa_and_takes_it_away_without_history():
    assert shrink(0.8, np.array([0, 5, 15]), 5.0) == pytest.approx([0.0, 0.4, 0.6])


def test_shrinkage_of_kappa_zero_changes_nothing():
    assert shrink(0.8, np.array([0, 5]), 0.0).tolist() == [0.8, 0.8]


@given(weights, st.floats(0, 1e6), st.lists(st.integers(0, 10**6), min_size=2, max_size=9))
def test_shrunk_weights_grow_with_history(alpha: float, kappa: float, history: list[int]):
    found = shrink(alpha, np.array(sorted(history)), kappa)
    assert (np.diff(found) >= -1e-12).all() and (found <= alpha).all() and (found >= 0).all()


def test_negative_kappa_is_refused():
    with pytest.raises(ConfigurationError, match=r"kappa=-1.0: expected at least 0"):
        shrink(0.5, np.array([1]), -1.0)


def test_kappa_is_found_among_groups_that_differ_in_history():
    rng = np.random.default_rng(0)
    fitting, reasoning = rng.uniform(0.1, 0.9, (2, 60))
    history = rng.integers(0, 60, 60)
    for kappa in KAPPAS:
        observed = pool(fitting, reasoning, shrink(0.9, history, kappa))
        assert fit_kappa(fitting, reasoning, observed, np.full(60, 20), history, 0.9) == kappa


def test_kappa_without_groups_is_the_default():
    nothing = np.empty(0)
    counts = np.empty(0, dtype=int)
    assert fit_kappa(nothing, nothing, nothing, counts, counts) == DEFAULT_KAPPA
    assert DEFAULT_KAPPA in KAPPAS


@given(inner, inner, inner, weights)
def test_anchored_changes_nothing_where_the_strategy_does_not(
    level: np.ndarray, fitting: np.ndarray, reasoning: np.ndarray, eta: float
):
    assert anchored(level, fitting, fitting, reasoning, reasoning, eta) == pytest.approx(level, abs=1e-12)


@given(inner, inner, inner, inner, inner)
def test_anchored_moves_the_level_by_the_reasoners_logits(
    level: np.ndarray, fitting: np.ndarray, logged: np.ndarray, reasoning: np.ndarray, reasoned: np.ndarray
):
    expected = logit(level) + logit(reasoning) - logit(reasoned)
    assert logit(anchored(level, fitting, logged, reasoning, reasoned)) == pytest.approx(expected, abs=1e-6)
    by_fit = logit(level) + logit(fitting) - logit(logged)
    assert logit(anchored(level, fitting, logged, reasoning, reasoned, eta=1.0)) == pytest.approx(by_fit, abs=1e-6)


@given(rates, rates, rates, rates, rates, weights)
def test_anchored_is_a_rate(
    level: np.ndarray, fitting: np.ndarray, logged: np.ndarray, reasoning: np.ndarray, reasoned: np.ndarray, eta: float
):
    found = anchored(level, fitting, logged, reasoning, reasoned, eta)
    assert ((found > 0) & (found < 1)).all()


@given(inner, inner, inner, inner, weights)
def test_anchored_rises_with_the_level_and_with_what_branches_say_of_the_strategy(
    level: np.ndarray, logged: np.ndarray, low: np.ndarray, high: np.ndarray, eta: float
):
    low, high = np.minimum(low, high), np.maximum(low, high)
    assert (anchored(level, low, logged, low, logged, eta) <= anchored(level, high, logged, high, logged, eta)).all()
    assert (anchored(low, level, logged, level, logged, eta) <= anchored(high, level, logged, level, logged, eta)).all()


def test_registry_names_each_fusion():
    values = [np.array([value]) for value in (0.6, 0.5, 0.3, 0.2, 0.45)]
    sides = Sides(*values, alpha=np.array([0.25]), eta=0.0)
    found = {name: fusion(sides).item() for name, fusion in FUSIONS.items()}
    odds = math.log(0.45 / 0.55) + math.log(0.3 / 0.7) - math.log(0.2 / 0.8)
    mixed = expit(0.25 * logit(0.6) + 0.75 * logit(0.3))
    assert found == pytest.approx(
        {"anchored": expit(odds), "pool": mixed, "bates-granger": mixed, "fitting": 0.6, "reasoning": 0.3}
    )
