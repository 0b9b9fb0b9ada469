from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fogline.core.errors import DataError
from fogline.simulators.merchants.evidence import EvidenceScaler
from fogline.simulators.merchants.policies import (
    ARCHETYPES,
    EVERYBODY,
    Policy,
    PolicyLibrary,
    Predicate,
    Priority,
    rate_interval,
)


def policy(index: int, **given: Any) -> Policy:
    kind = ARCHETYPES[index % 4]
    fields: dict[str, Any] = {
        "id": f"p{index}", "name": kind.name, "when": (Predicate("n_open_map", ">", 1.5),),
        "priorities": kind.stated(), "deal_breakers": kind.deal_breakers, "habit_share": 0.1 * index,
        "anchor": 0.2 + 0.1 * index, "anchor_interval": (0.1, 0.9), "sensitivity": None,
        "support_n": 100.0 * (index + 1), "merchants_n": 7, "exemplars": ("t1",), "text": "They look.",
    }  # fmt: skip
    return Policy(**{**fields, **given})


def library(k: int = 2, temperature: float = 1.0, **given: Any) -> PolicyLibrary:
    scaler = EvidenceScaler(("n_view_price", "n_open_map"), np.array([1.0, 0.5]), np.array([0.5, 2.0]))
    centres = np.random.default_rng(0).normal(size=(k, 2))
    return PolicyLibrary(tuple(policy(index, **given) for index in range(k)), scaler, centres, temperature)


def table(rows: int = 40, seed: int = 1) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame({"n_view_price": rng.poisson(2, rows), "n_open_map": rng.poisson(1, rows)})


@settings(max_examples=30, deadline=None)
@given(k=st.integers(1, 4), temperature=st.floats(0.05, 20), seed=st.integers(0, 99))
def test_membership_in_closed_form(k: int, temperature: float, seed: int) -> None:
    found, rows = library(k, temperature), table(seed=seed)
    features = (np.log1p(rows.to_numpy(dtype=float)) - found.scaler.mean) / found.scaler.scale
    weight = np.exp(-((features[:, None] - found.centres) ** 2).sum(axis=2) / (2 * temperature))
    membership = found.membership(rows)
    np.testing.assert_allclose(membership, weight / weight.sum(axis=1, keepdims=True), rtol=1e-9)
    np.testing.assert_allclose(membership.sum(axis=1), 1.0)


def test_cold_memberships_are_hard_and_hot_ones_equal() -> None:
    rows = table()
    nearest = ((library(4).scaler.features(rows)[:, None] - library(4).centres) ** 2).sum(axis=2).argmin(axis=1)
    np.testing.assert_allclose(library(4, 1e-9).membership(rows), np.eye(4)[nearest], atol=1e-12)
    np.testing.assert_allclose(library(4, 1e9).membership(rows), 0.25, atol=1e-6)


def test_memberships_in_parts_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = library(3).membership(table())
    monkeypatch.setattr("fogline.simulators.merchants.policies._AT_ONCE", 7)
    np.testing.assert_allclose(library(3).membership(table()), whole, rtol=1e-12)


def test_the_digest_is_of_the_content_and_stays_the_same() -> None:
    assert library().digest == library().digest
    assert library().digest != library(anchor=0.25).digest
    plain = PolicyLibrary((policy(0),), EvidenceScaler(("n_open_map",), np.zeros(1), np.ones(1)), np.zeros((1, 1)))
    assert plain.digest == "17ddb65b8c8161cedb8b2cea7ad0f7a6deb30e6f1247532b8c464922569eeaf5"


def test_a_shuffled_library_permutes_rows_and_an_edited_file_keeps_it() -> None:
    rows = table()
    shuffled = library(3).shuffled(5)
    again = PolicyLibrary.from_json(json.loads(json.dumps(shuffled.to_json())))
    np.testing.assert_array_equal(again.membership(rows), shuffled.membership(rows))
    assert sorted(map(tuple, shuffled.membership(rows))) == sorted(map(tuple, library(3).membership(rows)))


def test_one_policy_for_everybody_is_the_mean_by_support() -> None:
    [one] = library(2, sensitivity=0.3).pooled().policies
    assert (one.name, one.when, one.deal_breakers, one.sensitivity) == ("everybody", (), (), None)
    assert one.anchor == pytest.approx((100 * 0.2 + 200 * 0.3) / 300)
    assert one.anchor_interval == pytest.approx(rate_interval(one.anchor, 300.0))
    signed = {item.attribute: item.direction * item.weight for item in one.priorities}
    price, quality = (kind.priorities for kind in ARCHETYPES[:2])
    assert signed == pytest.approx({name: (price.get(name, 0) + 2 * quality.get(name, 0)) / 3 for name in signed})
    assert library(2, support_n=0.0).pooled().policies[0].anchor == pytest.approx(0.25)


def test_everybody_is_the_mean_of_the_archetypes() -> None:
    for name, weight in EVERYBODY.priorities.items():
        assert weight == pytest.approx(sum(kind.priorities.get(name, 0.0) for kind in ARCHETYPES) / 4)
    assert {name for kind in ARCHETYPES for name in kind.priorities} == set(EVERYBODY.priorities)


@pytest.mark.parametrize(
    ("lever", "attribute"),
    [
        ("discount", "discount"), ("coupon_value", "discount"), ("coupon_threshold", "discount"), ("badges", "badge"),
        ("price_level", "price"), ("delivery_min", "delivery"), ("photo_score", "photo"), ("menu_size", "menu"),
        ("menu_bundle", "bundle"), ("reply_rate", "reply_rate"),
    ],
)  # fmt: skip
def test_a_lever_is_mentioned_by_its_attribute_alone(lever: str, attribute: str) -> None:
    assert library(1, priorities=(Priority(attribute, 1, 0.3),)).mentions(lever)
    assert not library(1, priorities=(Priority(attribute, 1, 0.0),)).mentions(lever)
    assert not library(1, priorities=(Priority("distance", -1, 0.3),)).mentions(lever)


def test_no_attribute_is_moved_by_advertising() -> None:
    assert not library(4).mentions("ad_level")


def test_wilsons_interval_by_hand() -> None:
    z = 1.959964
    low, high = rate_interval(0.3, 50)
    for bound in (low, high):  # its bounds are where the score test just rejects
        assert abs(0.3 - bound) == pytest.approx(z * np.sqrt(bound * (1 - bound) / 50))
    assert rate_interval(0.0, 10)[0] == 0.0
    assert rate_interval(0.5, 0) == (0.0, 1.0)


def change(*path: Any, to: Any) -> Callable[[dict[str, Any]], None]:
    def edit(document: Any) -> None:
        for step in path[:-1]:
            document = document[step]
        document[path[-1]] = to

    return edit


@pytest.mark.parametrize(
    ("edit", "complaint"),
    [
        (change("centres", 0, 0, to=float("nan")), "finite"),
        (change("centres", to=[[0.0, 1.0]]), "one centre for each"),
        (change("features", "scale", 0, to=0.0), "above 0"),
        (change("features", "names", 0, to="outcome"), "outcome"),
        (change("temperature", to=float("inf")), "temperature=inf"),
        (change("version", to=2), "version=2"),
        (change("policies", 0, "when", 0, "relation", to="about"), "relation"),
        (change("policies", 0, "when", 0, "column", to="n_open_mab"), "Did you mean 'n_open_map'"),
        (change("policies", 0, "when", 0, "value", to=float("nan")), "finite"),
        (change("policies", 0, "anchor", to=1.5), "anchor=1.5"),
        (change("policies", 0, "anchor_interval", to=[0.9, 0.1]), "anchor_interval"),
        (change("policies", 0, "anchor_interval", to=[0.9]), "anchor_interval"),
        (change("policies", 0, "habit_share", to=-0.1), "habit_share=-0.1"),
        (change("policies", 0, "sensitivity", to=float("nan")), "sensitivity=nan"),
        (change("policies", 0, "support_n", to=-1), "support_n=-1"),
        (change("policies", 0, "merchants_n", to=-1), "merchants_n=-1"),
        (change("policies", 0, "id", to="p1"), "ids"),
        (change("policies", 0, "name", to="quality"), "names"),
        (change("policies", 0, "priorities", 1, "attribute", to="price"), "each attribute once"),
        (change("policies", 0, "priorities", 0, "weight", to=-1.0), "weight=-1.0"),
        (change("policies", 0, "colour", to="red"), "colour"),
        (change("colour", to="red"), "colour"),
    ],
)
def test_an_edit_that_cannot_be_is_refused(edit: Callable[[dict[str, Any]], None], complaint: str) -> None:
    document = library().to_json()
    edit(document)
    with pytest.raises(DataError, match=complaint):
        PolicyLibrary.from_json(document)


@pytest.mark.parametrize("document", [[], None, "text", 3, {}])
def test_what_is_no_library_is_refused(document: Any) -> None:
    with pytest.raises(DataError, match="no library"):
        PolicyLibrary.from_json(document)
