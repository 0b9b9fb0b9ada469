"""The scalar reward is the weighted sum of the named terms, and nothing else."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fogline.core.errors import ConfigurationError
from fogline.core.rewards import RewardScheme

FINITE = st.floats(-1e6, 1e6)
TERMS = st.dictionaries(st.sampled_from("abcdef"), FINITE)


@given(terms=TERMS, weights=st.fixed_dictionaries({name: FINITE for name in "abcdef"}))
def test_both_horizons_pay_the_weighted_sum(terms: dict[str, float], weights: dict[str, float]) -> None:
    expected = math.fsum(weights[name] * value for name, value in terms.items())
    scheme = RewardScheme(turn=weights, session=weights)
    assert scheme.of_turn(terms) == pytest.approx(expected, abs=1e-3, rel=1e-9)
    assert scheme.of_session(terms) == pytest.approx(expected, abs=1e-3, rel=1e-9)


def test_no_terms_pay_nothing() -> None:
    assert RewardScheme().of_turn({}) == 0.0
    assert RewardScheme().of_session({}) == 0.0


def test_a_term_of_weight_zero_is_known_and_pays_nothing() -> None:
    scheme = RewardScheme(session={"execution": 1.0, "schema": 0.0})
    assert scheme.of_session({"execution": 0.2, "schema": 1.0}) == 0.2


@pytest.mark.parametrize("horizon", ["turn", "session"])
def test_a_term_without_a_weight_is_an_error_that_names_it(horizon: str) -> None:
    scheme = RewardScheme(turn={"a": 1.0}, session={"a": 1.0})
    pay = scheme.of_turn if horizon == "turn" else scheme.of_session
    with pytest.raises(ConfigurationError, match=rf"{horizon} term 'bonus' has no weight.*\['a'\]"):
        pay({"a": 1.0, "bonus": 1.0})


def test_the_horizons_do_not_share_weights() -> None:
    with pytest.raises(ConfigurationError):
        RewardScheme(turn={"a": 1.0}).of_session({"a": 1.0})


def test_a_scheme_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        RewardScheme().turn = {"a": 1.0}  # type: ignore[misc]
