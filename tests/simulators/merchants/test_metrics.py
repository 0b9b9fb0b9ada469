from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from fogline.core.errors import ConfigurationError
from fogline.simulators.merchants.metrics import (
    distribution_error,
    distribution_floor,
    error_correlation,
    group_error,
    ranking_quality,
    relative_gain,
    relative_sampling_error,
    sampling_error,
    uplift_error,
    wape_interval,
)
from fogline.simulators.merchants.resampling import bootstrap_ratio, cluster_weights


def test_every_variant_by_hand() -> None:
    found = group_error(np.array([0.2, 0.5]), np.array([0.1, 0.7]), np.array([10, 30]))
    assert found.absolute == pytest.approx(0.15)
    assert found.relative == pytest.approx((1.0 + 0.2 / 0.7) / 2)
    assert found.weighted == pytest.approx((10 * 0.1 + 30 * 0.2) / 40)
    assert found.wape == pytest.approx((10 * 0.1 + 30 * 0.2) / (10 * 0.1 + 30 * 0.7))
    assert found.bias == pytest.approx(-0.05)
    assert distribution_error(np.array([[0.5, 0.5]]), np.array([[0.2, 0.8]])) == pytest.approx(0.3)
    assert relative_gain(8.8, 8.8 / (1 - 0.458)) == pytest.approx(0.458)


@pytest.mark.parametrize("rate", [0.0, 0.03, 0.1, 0.5, 0.77, 1.0])
@pytest.mark.parametrize("count", [1, 7, 40])
def test_the_floor_is_the_binomials_mean_deviation(rate: float, count: int) -> None:
    drawn = np.arange(count + 1)
    mass = binom.pmf(drawn, count, rate)
    exact = mass @ np.abs(drawn / count - rate)
    relative = mass @ (np.abs(drawn / count - rate) / np.maximum(drawn / count, 0.01))
    assert sampling_error(np.array([rate]), np.array([count]))[0] == pytest.approx(exact, abs=1e-12)
    if 0 < rate < 1:
        assert relative_sampling_error(np.array([rate]), np.array([count]))[0] == pytest.approx(relative, rel=1e-6)


@pytest.mark.parametrize(("rate", "points"), [(0.1, 1.5), (0.3, 2.3), (0.5, 2.5), (0.7, 2.3)])
def test_the_specifications_floors_at_the_papers_size(rate: float, points: float) -> None:
    """257 trajectories: 0.798 sqrt(p(1-p)/n), 14.9 % of p at .1."""
    floor = sampling_error(np.array([rate]), np.array([257]))[0]
    assert 100 * floor == pytest.approx(points, abs=0.06)
    assert floor == pytest.approx(0.798 * np.sqrt(rate * (1 - rate) / 257), rel=0.02)


def test_truth_has_no_floor_and_what_cannot_be_said_is_none() -> None:
    exact = group_error(np.array([0.2]), np.array([0.2]), np.array([5]), exact=True)
    assert exact.absolute == 0.0
    assert set(exact.floors.values()) == {0.0}
    assert exact.interval is None
    assert error_correlation(np.zeros(5), np.ones(5), np.zeros(5)) is None
    assert ranking_quality(np.array([1.0]), np.array([2.0])) == (None, 0.0)
    for arrays in (([], [], []), ([0.1], [0.1, 0.2], [1, 1]), ([0.1], [0.1], [0])):
        with pytest.raises(ConfigurationError):
            group_error(*map(np.array, arrays))


def test_changes_signs_coverage_and_rankings() -> None:
    found = uplift_error(
        np.array([0.5, 0.4]), np.array([0.1, -0.1]), np.array([0.6, 0.4]), np.array([0.2, 0.05]),
        uplift_bounds=(np.array([0.0, -0.2]), np.array([0.3, 0.0])),
    )  # fmt: skip
    assert (found.error, found.signs, found.coverage) == (pytest.approx(0.125), 0.5, 0.5)
    assert found.level_coverage is None
    tau, regret = ranking_quality(np.array([3.0, 2.0, 1.0]), np.array([2.0, 3.0, 1.0]))
    assert tau == pytest.approx(1 / 3)
    assert regret == 1.0
    errors = np.array([0.1, -0.2, 0.3, 0.0])
    assert error_correlation(errors, -errors, np.zeros(4)) == pytest.approx(-1.0)


def test_merchants_are_resampled_whole() -> None:
    weights = cluster_weights(7, 50, 3)
    assert (weights.sum(axis=1) == 7).all()
    np.testing.assert_array_equal(weights, cluster_weights(7, 50, 3))
    rng = np.random.default_rng(0)
    orders, rows = rng.normal(1.0, 1.0, 200), np.ones(200)
    low, high = bootstrap_ratio(orders, rows) or (0.0, 0.0)
    assert low < orders.mean() < high
    assert high - low == pytest.approx(2 * 1.96 * orders.std() / np.sqrt(200), rel=0.15)
    assert bootstrap_ratio(np.ones(1), np.ones(1)) is None
    bounds = wape_interval(np.full(50, 0.3), np.full(50, 0.2), np.full(50, 10))
    assert bounds is not None
    assert bounds.low == pytest.approx(0.5)
    assert bounds.high == pytest.approx(0.5)


def test_the_floor_of_a_distribution_is_half_the_summed_floors() -> None:
    shares, count = np.array([[0.2, 0.3, 0.5]]), np.array([40])
    parts = sampling_error(shares[0], np.full(3, 40))
    assert distribution_floor(shares, count) == pytest.approx(parts.sum() / 2)
