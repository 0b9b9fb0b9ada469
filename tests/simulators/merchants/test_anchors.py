from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from fogline.core.errors import DataError
from fogline.simulators.merchants.anchors import MERCHANT_PENALTY, Anchors, _Problem, fit_anchors, overall_slope

KINDS, MERCHANTS = 3, 12


def data(seed: int, slopes: tuple[float, ...] = (0.4, 0.8, 0.6), rows: int = 1_500) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    membership = rng.dirichlet(np.ones(KINDS), rows)
    scores = rng.normal(size=(rows, KINDS))
    merchant = rng.integers(0, MERCHANTS, rows)
    effect = rng.normal(0, 0.5, MERCHANTS)
    logits = (membership * (np.array([-0.5, 0.2, 0.5]) + np.array(slopes) * scores)).sum(axis=1) + effect[merchant]
    return membership, scores, rng.random(rows) < expit(logits), merchant


@pytest.mark.parametrize("seed", range(3))
def test_it_is_scikit_learns_ridge_where_no_bound_is_active(seed: int) -> None:
    membership, scores, orders, merchant = data(seed)
    found = fit_anchors(membership, scores, orders, merchant, MERCHANTS)
    centred = membership * (scores - found.mean_score)
    design = np.concatenate([membership, centred, 0.7 * np.eye(MERCHANTS)[merchant]], axis=1)
    peer = LogisticRegression(C=1, fit_intercept=False, tol=1e-12, max_iter=5000).fit(design, orders).coef_[0]
    np.testing.assert_allclose(np.concatenate([found.intercept, found.sensitivity]), peer[: 2 * KINDS], atol=2e-6)
    np.testing.assert_allclose(found.merchant_effect, 0.7 * peer[2 * KINDS :], atol=2e-6)


@pytest.mark.parametrize("seed", range(3))
def test_it_is_the_bounded_minimum_where_bounds_are_active(seed: int) -> None:
    membership, scores, orders, merchant = data(seed, slopes=(-0.5, 0.7, -0.2))
    found = fit_anchors(membership, scores, orders, merchant, MERCHANTS)
    problem = _Problem(membership, scores, orders.astype(float), merchant, MERCHANTS, True, np.ones(len(orders)))
    bounds = [(None, None)] * KINDS + [(0, None)] * KINDS + [(None, None)] * MERCHANTS
    peer = minimize(
        lambda x: problem.value(x[: 2 * KINDS], x[2 * KINDS :]), np.zeros(2 * KINDS + MERCHANTS), bounds=bounds,
        method="L-BFGS-B", options={"ftol": 1e-15, "gtol": 1e-9, "maxiter": 5000},
    )  # fmt: skip
    theta = np.concatenate([found.intercept, found.sensitivity])
    assert problem.value(theta, found.merchant_effect) <= peer.fun + 1e-7
    assert found.sensitivity[0] == 0.0
    assert (found.sensitivity >= 0).all()


def test_derivatives_are_those_of_the_value() -> None:
    membership, scores, orders, merchant = data(1, rows=200)
    problem = _Problem(membership, scores, orders.astype(float), merchant, MERCHANTS, True, np.linspace(0, 2, 200))
    rng = np.random.default_rng(0)
    theta, effect = rng.normal(size=2 * KINDS), rng.normal(size=MERCHANTS)
    gradient, hessian, by_effect, cross, own = problem.derivatives(theta, effect)
    step = 1e-5
    for index, unit in enumerate(np.eye(2 * KINDS)):
        high, low = theta + step * unit, theta - step * unit
        slope = (problem.value(high, effect) - problem.value(low, effect)) / (2 * step)
        assert gradient[index] == pytest.approx(slope, abs=1e-4)
        up, down = problem.derivatives(high, effect), problem.derivatives(low, effect)
        np.testing.assert_allclose(hessian[index], (up[0] - down[0]) / (2 * step), atol=1e-4)
        np.testing.assert_allclose(cross[:, index], (up[2] - down[2]) / (2 * step), atol=1e-4)
    for index, unit in enumerate(np.eye(MERCHANTS)):
        high, low = effect + step * unit, effect - step * unit
        slope = (problem.value(theta, high) - problem.value(theta, low)) / (2 * step)
        assert by_effect[index] == pytest.approx(slope, abs=1e-4)
    assert (own >= MERCHANT_PENALTY).all()


def test_a_row_of_weight_two_is_two_rows_and_a_row_of_weight_zero_is_none() -> None:
    membership, scores, orders, merchant = data(2)
    weights = np.repeat([0.0, 1.0, 2.0], 500)
    twice = np.concatenate([np.arange(500, 1500), np.arange(1000, 1500)])
    one = fit_anchors(membership, scores, orders, merchant, MERCHANTS, weights=weights)
    other = fit_anchors(membership[twice], scores[twice], orders[twice], merchant[twice], MERCHANTS)
    np.testing.assert_allclose(one.sensitivity, other.sensitivity, atol=1e-6)
    np.testing.assert_allclose(one.merchant_effect, other.merchant_effect, atol=1e-6)
    warm = fit_anchors(membership, scores, orders, merchant, MERCHANTS, weights=weights, start=other)
    np.testing.assert_allclose(warm.sensitivity, one.sensitivity, atol=1e-6)


def test_hidden_quality_shrinks_the_sensitivity_unless_merchants_are_known() -> None:
    """Poor merchants show more of what attracts, so that showing it looks useless."""
    rng = np.random.default_rng(0)
    merchant = np.repeat(np.arange(100), 60)
    quality = rng.normal(0, 1, 100)
    scores = (-0.8 * quality[merchant] + rng.normal(0, 0.6, 6_000))[:, None]
    orders = rng.random(6_000) < expit(0.5 * scores[:, 0] + quality[merchant])
    everybody = np.ones((6_000, 1))
    known = fit_anchors(everybody, scores, orders, merchant, 100).sensitivity[0]
    unknown = fit_anchors(everybody, scores, orders, merchant, 100, merchant_effects=False).sensitivity[0]
    assert unknown < 0.1 < 0.2 < known < 0.6


def test_a_reasoner_with_the_wrong_sign_is_silent_and_changes_nothing() -> None:
    membership, scores, orders, merchant = data(4)
    found = fit_anchors(membership, -scores, orders, merchant, MERCHANTS)
    assert found.silent
    np.testing.assert_array_equal(found.predict(membership, -scores), found.predict(membership, scores))
    assert not fit_anchors(membership, scores, orders, merchant, MERCHANTS).silent


def test_parts_add_up_json_round_trips_and_scores_must_be_numbers() -> None:
    membership, scores, orders, merchant = data(5)
    found = fit_anchors(membership, scores, orders, merchant, MERCHANTS)
    np.testing.assert_allclose(found.parts(membership, scores).sum(axis=1), found.predict(membership, scores))
    again = Anchors.from_json(found.to_json())
    np.testing.assert_array_equal(again.predict(membership, scores), found.predict(membership, scores))
    assert np.linalg.eigvalsh(found.covariance).min() > -1e-12
    scores[3, 1] = np.inf
    with pytest.raises(DataError, match="1 scores are not finite"):
        fit_anchors(membership, scores, orders, merchant, MERCHANTS)


def test_the_overall_slope_turns_with_the_reasoner_and_its_error_covers_what_varies() -> None:
    slopes, errors = [], []
    for seed in range(30):
        membership, scores, orders, merchant = data(seed, slopes=(0.5, 0.5, 0.5), rows=600)
        slope, error = overall_slope(membership, scores, orders, merchant, MERCHANTS)
        turned, _ = overall_slope(membership, -scores, orders, merchant, MERCHANTS)
        assert turned == pytest.approx(-slope, abs=1e-6)
        slopes.append(slope)
        errors.append(error)
    assert np.mean(slopes) == pytest.approx(0.5, abs=0.08)
    assert np.mean(errors) == pytest.approx(np.std(slopes), rel=0.4)
