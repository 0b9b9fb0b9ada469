"""The model matrix: which columns it has, in which order, and what it makes of what it has never seen."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from fogline.simulators.merchants.columns import LEVERS, names_of
from fogline.simulators.merchants.features import FeatureBuilder
from fogline.simulators.merchants.strategies import Intervention, Strategy, effective_price

POLICIES = ("price", "habit")


@pytest.fixture
def table() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "merchant_id": ["a", "a", "b", "b"],
            "category": ["noodles", "noodles", "tea", "tea"],
            "price_level": [1.0, 1.0, 2.0, np.nan],
            "discount": [0.0, 0.1, 0.0, 0.1],
            "badges": ["", "new", "fast|new", ""],
            "menu_bundle": [False, True, False, True],
            "spend_tier": [0.5, -1.0, 0.0, 2.0],
            "hour": [11, 12, 13, 14],
            "n_tap_coupon": [1, 0, 3, 0],
            "dwell_s": [10.0, 20.0, 30.0, 40.0],
            "outcome": ["order", "engage", "order", "intent"],
        }
    )


def _matrix(builder: FeatureBuilder, table: pd.DataFrame) -> pd.DataFrame:
    membership = np.tile([0.3, 0.7], (len(table), 1))
    found = builder.matrix(table, membership, np.full(len(table), 0.4), np.full(len(table), 0.5))
    return pd.DataFrame(found, columns=list(builder.names))


def test_columns_follow_the_schema_then_badges_price_policies_and_the_merchants_rate(table: pd.DataFrame):
    assert FeatureBuilder.fit(table, POLICIES).names == (
        "category",
        "price_level",
        "discount",
        "menu_bundle",
        "spend_tier",
        "hour",
        "any_badge",
        "badge:fast",
        "badge:new",
        "effective_price",
        "policy:price",
        "policy:habit",
        "anchor_rate",
        "merchant_rate",
    )


def test_order_of_the_logs_columns_does_not_matter(table: pd.DataFrame):
    turned = table[table.columns[::-1]]
    builder = FeatureBuilder.fit(turned, POLICIES)
    assert builder == FeatureBuilder.fit(table, POLICIES)
    pd.testing.assert_frame_equal(_matrix(builder, turned), _matrix(builder, table))


def test_unguided_branch_reads_no_policies(table: pd.DataFrame):
    assert not {name for name in FeatureBuilder.fit(table, ()).names if "policy" in name or "anchor" in name}


def test_what_people_did_and_how_it_ended_is_no_feature(table: pd.DataFrame):
    builder = FeatureBuilder.fit(table, POLICIES)
    assert not set(builder.names) & set(names_of("evidence", "outcome", "identity"))
    other = table.assign(n_tap_coupon=9, dwell_s=0.0, outcome="exposure")
    pd.testing.assert_frame_equal(_matrix(builder, other), _matrix(builder, table))


def test_values_are_told_in_numbers(table: pd.DataFrame):
    found = _matrix(FeatureBuilder.fit(table, POLICIES), table)
    assert found["category"].tolist() == [0, 0, 1, 1]
    assert found["menu_bundle"].tolist() == [0, 1, 0, 1]
    assert found["any_badge"].tolist() == [0, 1, 1, 0]
    assert found["badge:fast"].tolist() == [0, 0, 1, 0]
    assert found["badge:new"].tolist() == [0, 1, 1, 0]
    assert found["effective_price"].tolist()[:3] == [1.0, 0.9, 2.0] and np.isnan(found["effective_price"][3])
    assert found["policy:habit"].tolist() == [0.7] * 4


def test_strategy_shows_in_its_lever_and_in_the_effective_price(table: pd.DataFrame):
    builder = FeatureBuilder.fit(table, POLICIES)
    after = Strategy("deal", (Intervention("discount", "set", 0.3),)).apply(table)
    found, before = _matrix(builder, after), _matrix(builder, table)
    changed = [name for name in builder.names if not found[name].equals(before[name])]
    assert changed == ["discount", "effective_price"]
    assert found["effective_price"][:3].to_numpy() == pytest.approx(effective_price(after)[:3])


def test_what_was_unseen_at_fit_is_missing_and_said_to_be(table: pd.DataFrame):
    builder = FeatureBuilder.fit(table, POLICIES)
    strange = table.assign(category=["noodles", "grill", "grill", "tea"], badges=["new", "gold", "", ""])
    strange = strange.drop(columns="hour")
    found = _matrix(builder, strange)
    assert np.isnan(found["category"]).tolist() == [False, True, True, False]
    assert np.isnan(found["hour"]).all()
    assert found["any_badge"].tolist() == [1, 1, 0, 0] and found["badge:new"].tolist() == [1, 0, 0, 0]
    assert [(note.column, note.count, note.examples) for note in builder.notes(strange)] == [
        ("category", 2, ("grill",)),
        ("hour", 4, ()),
        ("badges", 1, ("gold",)),
    ]
    assert builder.notes(table) == ()


def test_categories_take_no_sign_and_badges_share_theirs(table: pd.DataFrame):
    builder = FeatureBuilder.fit(table, POLICIES)
    signs = dict(zip(builder.names, builder.signs({"badges": 1, "menu_bundle": -1, "category": 1}), strict=True))
    assert {name: sign for name, sign in signs.items() if sign} == {
        "menu_bundle": -1,
        "any_badge": 1,
        "badge:fast": 1,
        "badge:new": 1,
    }
    assert builder.category_columns == [builder.names.index("category")]
    assert "category" not in LEVERS


@pytest.mark.parametrize(
    ("signs", "expected"),
    [
        ({}, 0),
        ({"discount": 1}, -1),
        ({"price_level": -1, "discount": 1, "coupon_value": 1, "coupon_threshold": -1}, -1),
        ({"price_level": 1}, 1),
    ],
)
def test_effective_price_follows_the_signs_of_its_levers(table: pd.DataFrame, signs: dict[str, int], expected: int):
    builder = FeatureBuilder.fit(table, (), signs)
    assert builder.signs(signs)[builder.names.index("effective_price")] == expected


def test_effective_price_is_left_out_where_signs_would_pull_it_both_ways(table: pd.DataFrame):
    builder = FeatureBuilder.fit(table, (), {"price_level": 1, "discount": 1})
    assert "effective_price" not in builder.names


def test_builder_comes_back_from_json(table: pd.DataFrame):
    builder = FeatureBuilder.fit(table, POLICIES)
    assert FeatureBuilder.from_json(json.loads(json.dumps(builder.to_json()))) == builder
