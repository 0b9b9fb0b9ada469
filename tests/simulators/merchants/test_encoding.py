"""A merchant's own rate as a feature: its closed form, and that no row learns its own outcome from it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import log_loss
from sklearn.tree import DecisionTreeClassifier

from fogline.core.errors import DataError
from fogline.simulators.merchants.encoding import FOLDS, MerchantRates, out_of_fold_rates, smoothed_rates


def _table(merchant: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({"merchant_id": [f"m{index:03d}" for index in merchant]})


def test_rate_is_smoothed_by_thirty_trajectories_of_the_rate_of_all():
    table = _table(np.repeat([0, 1], [10, 30]))
    ordered = np.array([True] * 8 + [False] * 2 + [True] * 6 + [False] * 24)
    rates = MerchantRates.fit(table, ordered)
    assert rates.overall == pytest.approx(14 / 40)
    assert rates.rates["m000"] == pytest.approx((8 + 30 * 0.35) / 40)
    assert rates.rates["m001"] == pytest.approx((6 + 30 * 0.35) / 60)


def test_unseen_merchant_is_given_the_rate_of_all():
    rates = MerchantRates.fit(_table(np.array([0, 0, 1])), np.array([True, False, False]))
    assert rates.encode(_table(np.array([7, 0]))).tolist() == [pytest.approx(1 / 3), rates.rates["m000"]]


@given(st.data())
def test_no_row_changes_its_own_feature(data: st.DataObject):
    count = data.draw(st.integers(FOLDS, 60))
    merchant = np.array(data.draw(st.lists(st.integers(0, 5), min_size=count, max_size=count)))
    ordered = np.array(data.draw(st.lists(st.booleans(), min_size=count, max_size=count)))
    row, seed = data.draw(st.integers(0, count - 1)), data.draw(st.integers(0, 9))
    flipped = ordered.copy()
    flipped[row] = not flipped[row]
    before, after = (out_of_fold_rates(_table(merchant), labels, seed) for labels in (ordered, flipped))
    assert before[row] == after[row]
    assert (before != after).any()


def test_out_of_fold_rate_is_the_smoothed_rate_of_the_other_folds():
    rng = np.random.default_rng(0)
    merchant, ordered = rng.integers(0, 4, 53), rng.random(53) < 0.4
    table = _table(merchant)
    found = out_of_fold_rates(table, ordered, seed=3, folds=53)  # one row to a fold: each row leaves itself out
    for row in range(53):
        other = np.arange(53) != row
        expected = smoothed_rates(merchant[other], ordered[other], 4, ordered[other].mean())
        assert found[row] == pytest.approx(expected[merchant[row]])


def test_folds_are_decided_by_the_seed():
    merchant, ordered = np.arange(200) % 10, np.arange(200) % 3 == 0
    once, again, other = (out_of_fold_rates(_table(merchant), ordered, seed) for seed in (1, 1, 2))
    assert (once == again).all() and (once != other).any()


def _held_out_loss(feature: np.ndarray, merchant: np.ndarray, ordered: np.ndarray, rate: np.ndarray) -> float:
    """Of a tree that was fitted on half of the labels, and knows merchants too."""
    tree = DecisionTreeClassifier(min_samples_leaf=10, random_state=0)
    tree.fit(np.column_stack([merchant, feature]), ordered)
    fresh = np.random.default_rng(5).random(len(merchant)) < 0.4
    return float(log_loss(fresh, np.clip(tree.predict_proba(np.column_stack([merchant, rate]))[:, 1], 1e-3, 1 - 1e-3)))


def test_leaving_one_out_leaks_noise_and_leaving_folds_out_does_not():
    rng = np.random.default_rng(4)
    merchant, ordered = np.repeat(np.arange(60), 60), rng.random(3_600) < 0.4
    table = _table(merchant)
    out_of_fold = out_of_fold_rates(table, ordered, seed=0)
    leave_one_out = out_of_fold_rates(table, ordered, seed=0, folds=len(ordered))

    # On its own rows: leaving one out, a merchant's buyers are exactly those with its lower rate.
    for shop in range(60):
        mine = merchant == shop
        assert leave_one_out[mine & ordered].max() < leave_one_out[mine & ~ordered].min()
    assert abs(np.corrcoef(out_of_fold, ordered)[0, 1]) < 0.05

    # Off them, where the truth is that nothing tells: a tree that trusted the leak is far off.
    rate = MerchantRates.fit(table, ordered).encode(table)
    base = float(log_loss(np.random.default_rng(5).random(3_600) < 0.4, np.full(3_600, 0.4)))
    by_placebo = _held_out_loss(rng.permutation(out_of_fold), merchant, ordered, rate)
    by_fold, by_one = (_held_out_loss(values, merchant, ordered, rate) for values in (out_of_fold, leave_one_out))
    assert by_fold < by_placebo + 0.05
    assert by_one > base + 1.0


def test_too_few_rows_are_refused():
    with pytest.raises(DataError, match="3 rows cannot be cut into 5 folds"):
        out_of_fold_rates(_table(np.array([0, 0, 1])), np.array([True, False, True]), seed=0)
    with pytest.raises(DataError, match="no rows"):
        MerchantRates.fit(_table(np.array([], dtype=int)), np.array([], dtype=bool))
