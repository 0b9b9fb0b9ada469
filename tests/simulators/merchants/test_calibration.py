"""Calibration keeps order, keeps the rate, and says how far groups are off beside what sampling explains."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit

from fogline.simulators.merchants.calibration import LEAST_ISOTONIC, Calibrator, GroupCheck


def _rows(count: int, slope: float = 1.0, intercept: float = 0.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    scores = rng.normal(-0.5, 1, count)
    return expit(scores), rng.random(count) < expit(slope * scores + intercept)


@pytest.mark.parametrize(("count", "kind"), [(LEAST_ISOTONIC, "isotonic"), (LEAST_ISOTONIC - 1, "platt")])
def test_a_free_curve_needs_a_thousand_rows(count: int, kind: str):
    assert Calibrator.fit(*_rows(count)).kind == kind


@given(st.integers(2, 200), st.integers(0, 1000), st.sampled_from(["isotonic", "platt", "auto", "none"]))
def test_order_is_never_turned_round(count: int, seed: int, method: str):
    rng = np.random.default_rng(seed)
    calibrator = Calibrator.fit(rng.random(count), rng.random(count) < 0.5, method)
    found = calibrator(np.linspace(-0.1, 1.1, 50))
    assert (np.diff(found) >= 0).all()
    assert (found > 0).all() and (found < 1).all()


@pytest.mark.parametrize("method", ["isotonic", "platt"])
def test_mean_on_calibration_rows_is_the_observed_rate(method: str):
    predicted, ordered = _rows(3_000, intercept=1.5)
    assert abs(predicted.mean() - ordered.mean()) > 0.2
    assert Calibrator.fit(predicted, ordered, method)(predicted).mean() == pytest.approx(ordered.mean(), abs=2e-4)


def test_platt_finds_the_line_that_distorted_the_scores():
    predicted, ordered = _rows(50_000, slope=0.5, intercept=0.7)
    assert Calibrator.fit(predicted, ordered, "platt").x == pytest.approx([0.5, 0.7], abs=0.05)


def test_scores_that_run_the_wrong_way_leave_the_rate_alone():
    predicted, ordered = _rows(900, slope=-2.0)
    assert Calibrator.fit(predicted, ordered)(np.array([0.1, 0.9])) == pytest.approx([ordered.mean()] * 2)


@pytest.mark.parametrize("outcome", [True, False])
def test_outcomes_that_do_not_differ_teach_nothing(outcome: bool):
    calibrator = Calibrator.fit(np.array([0.2, 0.6, 0.7]), np.full(3, outcome))
    assert calibrator.kind == "none"
    assert calibrator(np.array([0.3, 0.0])).tolist() == [0.3, 1e-4]


@pytest.mark.parametrize("method", ["isotonic", "platt", "none"])
def test_calibrator_comes_back_from_json_to_the_bit(method: str):
    predicted, ordered = _rows(1_200)
    calibrator = Calibrator.fit(predicted, ordered, method)
    again = Calibrator.from_json(json.loads(json.dumps(calibrator.to_json())))
    assert (again(predicted) == calibrator(predicted)).all()


def test_group_check_counts_groups_of_five_and_takes_their_mean_and_largest_error():
    group = np.repeat([0, 1, 2], [10, 5, 4])
    ordered = np.array([True] * 5 + [False] * 5 + [True] * 4 + [False] + [True] * 4)
    found = GroupCheck.of(np.full(19, 0.6), ordered, group)
    assert found.groups == 2
    assert found.mean == pytest.approx((0.1 + 0.2) / 2)
    assert found.largest == pytest.approx(0.2)
    expected = np.sqrt(2 / np.pi) * np.sqrt(0.24) * (10**-0.5 + 5**-0.5) / 2
    assert found.floor == pytest.approx(expected)


def test_floor_is_the_error_of_a_perfect_forecast():
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(2_000), 20)
    truth = expit(rng.normal(0, 1, len(group)))
    found = GroupCheck.of(truth, rng.random(len(group)) < truth, group)
    assert found.mean == pytest.approx(found.floor, rel=0.05)


def test_without_groups_nothing_is_known():
    found = GroupCheck.of(np.array([0.5]), np.array([True]), np.array([0]))
    assert found.groups == 0 and np.isnan([found.mean, found.largest, found.floor]).all()


def test_edges_are_clipped_so_that_their_logits_are_numbers():
    predicted = np.concatenate([np.zeros(600), np.ones(600)])
    calibrator = Calibrator.fit(predicted, predicted > 0.5)
    assert np.isfinite(logit(calibrator(predicted))).all()
