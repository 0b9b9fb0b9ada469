from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fogline.core.errors import ConfigurationError, DataError
from fogline.simulators.merchants.attributes import ATTRIBUTES, attribute_values
from fogline.simulators.merchants.evidence import EvidenceScaler
from fogline.simulators.merchants.policies import ARCHETYPES, Policy, PolicyLibrary
from fogline.simulators.merchants.reasoning import RecordingReasoner, ReplayReasoner, RuleReasoner
from fogline.simulators.merchants.strategies import LOGGED, Intervention, Strategy

TABLE = pd.DataFrame(
    {
        "merchant_id": ["a", "a", "b"],
        "price_level": [1.0, 2.0, 0.5],
        "rating": [4.3, 4.3, 5.0],
        "distance_km": [1.0, np.e, 0.0],
        "discount": [0.0, 0.1, 0.5],
        "badges": ["", "new", ""],
        "delivery_min": [20.0, 40.0, 30.0],
        "outcome": ["order", "engage", "order"],
    }
)


def library(*kinds: str) -> PolicyLibrary:
    chosen = [kind for kind in ARCHETYPES if kind.name in kinds]
    policies = tuple(
        Policy(f"p{i}", kind.name, (), kind.stated(), (), 0.1, 0.5, (0.4, 0.6), None, 5.0, 2, (), "")
        for i, kind in enumerate(chosen)
    )
    scaler = EvidenceScaler(("n_view_price",), np.zeros(1), np.ones(1))
    return PolicyLibrary(policies, scaler, np.arange(float(len(chosen)))[:, None])


def test_attributes_by_hand() -> None:
    values = attribute_values(TABLE, TABLE)
    np.testing.assert_allclose(values["price"], np.log([1.0, 2.0, 0.5]))
    np.testing.assert_allclose(values["rating"], [0, 0, 1.05])
    np.testing.assert_allclose(values["distance"], [0, 1, np.log(0.05)])
    np.testing.assert_allclose(values["discount"], [0, 0.1, 0.35])
    np.testing.assert_allclose(values["badge"], [0, 1, 0])
    np.testing.assert_allclose(values["delivery"], [-1, 1, 0])
    assert "photo" not in values


def test_a_coupon_is_its_share_of_the_price_where_it_counts() -> None:
    after = Strategy(
        "s", (Intervention("coupon_value", "set", 0.1), Intervention("coupon_threshold", "set", 0.9))
    ).apply(TABLE)
    np.testing.assert_allclose(attribute_values(TABLE, after)["discount"], [0.1, 0.1 + 0.05, 0.35])


def test_a_rule_is_its_weighted_sum() -> None:
    reasoner = RuleReasoner(
        {"price": {"price": -2.0, "discount": 9.0}, "habit": {"rating": 1.0}}, gain=1.6, intercept=-0.2
    )
    scores = reasoner.score(TABLE, library("price", "habit"), LOGGED)
    values = attribute_values(TABLE, TABLE)
    np.testing.assert_allclose(scores[:, 0], 1.6 * (-0.2 - 2 * values["price"] + 9 * values["discount"]))
    np.testing.assert_allclose(scores[:, 1], 1.6 * (-0.2 + values["rating"]))
    np.testing.assert_allclose(reasoner.flipped().score(TABLE, library("price", "habit"), LOGGED), -scores)
    with pytest.raises(ConfigurationError, match="'quality' has no priorities"):
        reasoner.score(TABLE, library("quality"), LOGGED)


def test_the_everyday_rule_weighs_steps_of_the_librarys_priorities() -> None:
    kinds = library("price", "convenience")
    cheaper = Strategy("s", (Intervention("discount", "set", 0.2),))
    moved = RuleReasoner().score(TABLE, kinds, cheaper) - RuleReasoner().score(TABLE, kinds, LOGGED)
    step = ATTRIBUTES["discount"].step
    np.testing.assert_allclose(moved[0], [1.0 * 0.2 / step, 0.2 * 0.2 / step])


def test_perturbed_rules_keep_their_signs_and_depend_on_the_generator_alone() -> None:
    kinds = library("price", "quality")
    one = RuleReasoner().perturbed(np.random.default_rng(1))
    again = RuleReasoner().perturbed(np.random.default_rng(1))
    assert one is not None
    assert again is not None
    np.testing.assert_array_equal(one.score(TABLE, kinds, LOGGED), again.score(TABLE, kinds, LOGGED))
    assert one.name != RuleReasoner().name
    deep = Strategy("s", (Intervention("discount", "set", 0.3),))
    first = slice(0, 2)
    assert (one.score(TABLE, kinds, deep)[first] > one.score(TABLE, kinds, LOGGED)[first]).all()
    assert RuleReasoner(doubt=0.0).perturbed(np.random.default_rng(1)) is None


def test_a_recording_answers_what_was_asked_and_nothing_else(tmp_path: Path) -> None:
    kinds, rule = library("price"), RuleReasoner()
    recorded = RecordingReasoner(rule, str(tmp_path)).score(TABLE, kinds, LOGGED)
    replay = ReplayReasoner(str(tmp_path), rule.name)
    np.testing.assert_array_equal(replay.score(TABLE, kinds, LOGGED), recorded)
    with pytest.raises(DataError, match=r"'deep'.*RecordingReasoner"):
        replay.score(TABLE, kinds, Strategy("deep", (Intervention("discount", "set", 0.3),)))
    with pytest.raises(DataError, match="these 2 rows"):
        replay.score(TABLE.head(2), kinds, LOGGED)
