from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fogline.core.errors import ConfigurationError, DataError
from fogline.simulators.merchants.evidence import EvidenceScaler

FIVE = ("n_view_price", "n_read_reviews", "n_open_map", "n_tap_coupon", "dwell_s")


def counts(rng: np.random.Generator, rows: int = 200) -> pd.DataFrame:
    return pd.DataFrame({name: rng.poisson(2.0, rows) for name in (*FIVE, "repeat_orders")})


def test_features_are_standardised_logarithms_and_repeats_count_half() -> None:
    table = counts(np.random.default_rng(0))
    scaler = EvidenceScaler.fit(table)
    assert scaler.names == (*FIVE, "repeat_orders")
    logs = np.log1p(table[list(scaler.names)].to_numpy(dtype=float))
    expected = (logs - logs.mean(axis=0)) / logs.std(axis=0)
    expected[:, -1] /= 2
    np.testing.assert_allclose(scaler.features(table), expected, atol=1e-12)


def test_depth_and_entropy_by_hand() -> None:
    table = pd.DataFrame({"n_view_price": [0, 3, 1, 2], "n_open_map": [0, 0, 1, 6], "dwell_s": [5.0, 5.0, 5.0, 5.0]})
    scaler = EvidenceScaler.fit(table, "full")
    depth = np.array([0.0, 1, 2, 2])
    entropy = np.array([0.0, 0, np.log(2), -(0.25 * np.log(0.25) + 0.75 * np.log(0.75))])
    for name, values in (("depth", depth), ("entropy", entropy)):
        found = scaler.features(table)[:, scaler.names.index(name)]
        np.testing.assert_allclose(found, (values - values.mean()) / values.std(), atol=1e-12)
    assert not scaler.features(table)[:, scaler.names.index("dwell_s")].any()  # the same for all: says nothing


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1_000), gaps=st.floats(0.01, 0.6))
def test_a_gap_takes_nothing_from_the_rows_without_one(seed: int, gaps: float) -> None:
    rng = np.random.default_rng(seed)
    table = counts(rng).astype(float)
    missing = rng.random(len(table)) < gaps
    missing[:2] = False, True
    table.loc[missing, "n_view_price"] = np.nan
    found = EvidenceScaler.fit(table).features(table)[:, 0]
    assert not found[missing].any()
    seen = np.log1p(table["n_view_price"].to_numpy()[~missing])
    if seen.std():
        np.testing.assert_allclose(found[~missing], (seen - seen.mean()) / seen.std(), atol=1e-9)


def test_a_column_of_gaps_is_no_feature_and_no_evidence() -> None:
    table = counts(np.random.default_rng(0)).astype(float).assign(n_open_map=np.nan)
    assert "n_open_map" not in EvidenceScaler.fit(table).names
    with pytest.raises(DataError, match="no evidence"):
        EvidenceScaler.fit(pd.DataFrame({"n_open_map": [np.nan, np.nan], "repeat_orders": [1, 2]}))


@pytest.mark.parametrize(
    ("names", "mean", "scale"),
    [
        (("outcome",), [0.0], [1.0]),
        (("merchant_id",), [0.0], [1.0]),
        (("n_open_map", "n_open_map"), [0.0, 0.0], [1.0, 1.0]),
        (("n_open_map",), [0.0, 0.0], [1.0, 1.0]),
        (("n_open_map",), [np.nan], [1.0]),
        (("n_open_map",), [0.0], [0.0]),
        (("n_open_map",), [0.0], [np.inf]),
    ],
)
def test_a_standardisation_that_cannot_be_is_refused(
    names: tuple[str, ...], mean: list[float], scale: list[float]
) -> None:
    with pytest.raises(ConfigurationError, match="features"):
        EvidenceScaler(names, np.array(mean), np.array(scale))


def test_json_keeps_every_bit() -> None:
    scaler = EvidenceScaler.fit(counts(np.random.default_rng(1)), "full")
    again = EvidenceScaler.from_json(scaler.to_json())
    assert again.names == scaler.names
    np.testing.assert_array_equal(again.mean, scaler.mean)
    np.testing.assert_array_equal(again.scale, scaler.scale)
