"""Intervals against closed forms and published values."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fogline.core.errors import ConfigurationError
from fogline.core.intervals import cluster_bootstrap, ratio_bootstrap, wilson


def test_wilson_reproduces_published_values() -> None:
    # Newcombe (1998), table I, method 3: 81/263, 15/148, 0/20, 1/29.
    published = {
        (81, 263): (0.2553, 0.3662),
        (15, 148): (0.0624, 0.1605),
        (0, 20): (0.0, 0.1611),
        (1, 29): (0.0061, 0.1718),
    }
    for (successes, trials), expected in published.items():
        assert wilson(successes, trials) == pytest.approx(expected, abs=5e-5)


@given(st.integers(1, 400).flatmap(lambda trials: st.tuples(st.integers(0, trials), st.just(trials))))
def test_wilson_bounds_solve_the_score_equation(drawn: tuple[int, int]) -> None:
    successes, trials = drawn
    share, z = successes / trials, 1.959963984540054
    interval = wilson(successes, trials)
    assert 0 <= interval.low <= share <= interval.high <= 1
    for bound in interval:
        if 0 < bound < 1:
            assert abs(share - bound) == pytest.approx(z * math.sqrt(bound * (1 - bound) / trials), abs=1e-9)
    mirrored = wilson(trials - successes, trials)
    assert interval.low == pytest.approx(1 - mirrored.high)


@pytest.mark.parametrize(("successes", "trials"), [(0, 0), (2, 1), (-1, 3)])
def test_wilson_refuses_what_is_no_proportion(successes: int, trials: int) -> None:
    with pytest.raises(ConfigurationError, match="expected 0 <= successes <= trials"):
        wilson(successes, trials)


def test_bootstrap_of_two_clusters_is_their_range() -> None:
    # The bootstrap mean of {0, 1} is 0, 1/2 or 1 with chances 1/4, 1/2, 1/4.
    assert cluster_bootstrap([0.0, 1.0]) == (0.0, 1.0)
    assert cluster_bootstrap([0.0, 1.0], confidence=0.4) == (0.5, 0.5)


def test_bootstrap_agrees_with_the_normal_limit() -> None:
    values = np.random.default_rng(7).normal(3.0, 2.0, size=4_000)
    interval = cluster_bootstrap(list(values), resamples=4_000)
    assert interval is not None
    half = 1.96 * values.std() / math.sqrt(values.size)
    assert interval.low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_bootstrap_covers_the_truth_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(11)
    hits = 0
    for trial in range(300):
        interval = cluster_bootstrap(list(generator.exponential(1.0, size=60)), resamples=400, seed=trial)
        assert interval is not None
        hits += interval.low <= 1.0 <= interval.high
    assert 0.88 <= hits / 300 <= 0.98


def test_bootstrap_is_decided_by_values_and_seed() -> None:
    values = [0.0, 0.25, 0.5, 1.0, 0.75]
    assert cluster_bootstrap(values, seed=3) == cluster_bootstrap(values, seed=3)
    assert cluster_bootstrap(values[::-1], seed=3) == cluster_bootstrap(values, seed=3)
    assert cluster_bootstrap(values, resamples=50, seed=3) != cluster_bootstrap(values, resamples=50, seed=4)


@pytest.mark.parametrize("values", [[], [0.3], [0.3, 0.3, 0.3]])
def test_bootstrap_says_nothing_where_nothing_varies(values: list[float]) -> None:
    assert cluster_bootstrap(values) is None


def test_a_ratio_of_equal_wholes_is_the_bootstrap_of_the_mean() -> None:
    values = np.random.default_rng(0).normal(size=30).tolist()
    assert ratio_bootstrap(values, [1.0] * 30) == pytest.approx(cluster_bootstrap(values))
    doubled = ratio_bootstrap([2 * value for value in values], [2.0] * 30)
    assert doubled == pytest.approx(cluster_bootstrap(values))


def test_a_ratio_leans_to_its_heavy_clusters_and_covers_itself() -> None:
    parts, wholes = [90.0, 0.0, 0.0, 80.0, 1.0], [100.0, 1.0, 1.0, 100.0, 1.0]
    low, high = ratio_bootstrap(parts, wholes) or (1.0, 0.0)
    assert low < sum(parts) / sum(wholes) < high <= 1.0
    assert ratio_bootstrap(parts[::-1], wholes[::-1]) == (low, high)


@pytest.mark.parametrize(("parts", "wholes"), [([], []), ([1.0, 0.0], [2.0, 0.0]), ([1.0, 2.0], [2.0, 4.0])])
def test_a_ratio_says_nothing_where_nothing_varies(parts: list[float], wholes: list[float]) -> None:
    assert ratio_bootstrap(parts, wholes) is None


def test_a_coverage_outside_its_range_is_refused() -> None:
    for confidence in (0.0, 1.0, 95.0):
        with pytest.raises(ConfigurationError, match="coverage"):
            wilson(1, 2, confidence)
        with pytest.raises(ConfigurationError, match="coverage"):
            cluster_bootstrap([0.0, 1.0], confidence=confidence)
