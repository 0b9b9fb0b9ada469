from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklift import metrics as peer

from fogline.core.errors import ConfigurationError
from fogline.simulators.merchants.uplift import (
    bootstrapped,
    qini_auc_score,
    qini_curve,
    uplift_at_k,
    uplift_auc_score,
    uplift_curve,
)


def drawn(seed: int, rows: int, ties: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    treatment = np.append([0, 1], rng.integers(0, 2, rows))
    outcome = np.append([1, 0], rng.integers(0, 2, rows))
    score = rng.normal(size=rows + 2)
    return outcome, np.round(score) if ties else score, treatment


@pytest.mark.filterwarnings("ignore:.*stable_cumsum.*:FutureWarning")
@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.integers(8, 300), st.booleans())
def test_curves_and_scores_are_scikit_uplifts(seed: int, rows: int, ties: bool) -> None:
    data = drawn(seed, rows, ties)
    for ours, theirs in ((uplift_curve, peer.uplift_curve), (qini_curve, peer.qini_curve)):
        for mine, other in zip(ours(*data), theirs(*data), strict=True):
            np.testing.assert_allclose(mine, other, atol=1e-12)
    assert uplift_auc_score(*data) == pytest.approx(peer.uplift_auc_score(*data), abs=1e-12)
    assert qini_auc_score(*data) == pytest.approx(peer.qini_auc_score(*data), abs=1e-12)


def test_uplift_among_the_best_is_scikit_uplifts() -> None:
    data = drawn(3, 500, ties=True)
    for k in (0.1, 0.3, 0.7):
        assert uplift_at_k(*data, k) == pytest.approx(peer.uplift_at_k(*data, strategy="overall", k=k), abs=1e-12)


def test_a_random_score_is_no_better_than_chance_and_its_interval_says_so() -> None:
    outcome, score, treatment = drawn(5, 3_000, ties=False)
    for metric in (uplift_auc_score, qini_auc_score):
        low, high = bootstrapped(metric, outcome, score, treatment, resamples=80)
        assert low < 0 < high


def test_a_score_that_knows_the_effect_is_better_than_chance() -> None:
    rng = np.random.default_rng(0)
    effect, treatment = rng.uniform(-0.3, 0.5, 4_000), rng.integers(0, 2, 4_000)
    outcome = (rng.random(4_000) < 0.3 + effect * treatment).astype(int)
    low, _ = bootstrapped(qini_auc_score, outcome, effect, treatment, resamples=80)
    assert low > 0


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (([0, 1], [0.1, 0.2], [1, 1]), "same for all rows"),
        (([0, 2], [0.1, 0.2], [0, 1]), "y_true has values other than 0 and 1"),
        (([0, 1, 1], [0.1, 0.2], [0, 1]), "expected three columns of one length"),
    ],
)
def test_what_is_no_experiment_is_refused(data: tuple[list[float], ...], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        qini_auc_score(*map(np.array, data))
