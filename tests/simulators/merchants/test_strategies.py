from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fogline.core.errors import ConfigurationError, DataError
from fogline.simulators.merchants.evidence import EvidenceScaler
from fogline.simulators.merchants.policies import ARCHETYPES, Policy, PolicyLibrary
from fogline.simulators.merchants.strategies import (
    LOGGED,
    Cost,
    Intervention,
    Scope,
    Strategy,
    effective_price,
    grid,
    load_strategies,
    save_strategies,
)
from fogline.simulators.merchants.support import SupportReference, cannot_say, support


def table(**columns: Any) -> pd.DataFrame:
    rows = {
        "merchant_id": ["a", "a", "b", "b"],
        "category": ["x", "x", "y", "y"],
        "hour": [1, 11, 13, 23],
        "price_level": [1.0, 1.0, 2.0, 2.0],
        "discount": [0.0, 0.1, 0.05, 0.05],
        "badges": ["", "new", "", "new|top"],
        "rating": [4.0, 4.0, 5.0, 5.0],
    }
    return pd.DataFrame({**rows, **columns})


def test_only_levers_of_rows_in_scope_change_and_the_log_stays_as_it_was() -> None:
    before = table()
    kept = before.copy()
    strategy = Strategy("s", (Intervention("discount", "set", 0.3, Scope(hours=(11, 13))),))
    after = strategy.apply(before)
    assert after["discount"].tolist() == [0.0, 0.3, 0.3, 0.05]
    pd.testing.assert_frame_equal(after.drop(columns="discount"), before.drop(columns="discount"))
    pd.testing.assert_frame_equal(before, kept)
    assert LOGGED.apply(before) is before


@pytest.mark.parametrize(
    ("op", "value", "expected"),
    [
        ("set", "hot", ["hot"] * 4),
        ("add", ["top", "hot"], ["hot|top", "hot|new|top", "hot|top", "hot|new|top"]),
        ("remove", "new", ["", "", "", "top"]),
    ],
)
def test_badges_are_a_set(op: str, value: Any, expected: list[str]) -> None:
    after = Strategy("s", (Intervention("badges", op, value),)).apply(table())
    assert after["badges"].tolist() == expected


def test_hours_may_run_over_midnight_and_segments_name_categories() -> None:
    assert Scope(hours=(22, 1)).rows(table()).tolist() == [True, False, False, True]
    assert Scope(segment={"category": "y"}).rows(table()).tolist() == [False, False, True, True]
    with pytest.raises(ConfigurationError, match="weather"):
        Scope(segment={"weather": "rain"}).rows(table())


def test_a_lever_that_the_log_lacks_begins_neutral_or_is_refused() -> None:
    after = Strategy("s", (Intervention("coupon_value", "add", 0.2),)).apply(table())
    assert after["coupon_value"].tolist() == [0.2] * 4
    with pytest.raises(ConfigurationError, match="nothing to scale; use op='set'"):
        Strategy("s", (Intervention("delivery_min", "scale", 0.5),)).apply(table())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("discuont", "set", 0.1), "Did you mean 'discount'"),
        (("rating", "set", 5), "nothing that a merchant sets"),
        (("discount", "put", 0.1), "op='put'"),
        (("discount", "set", 1.0), "at least 0 and less than 1"),
        (("discount", "set", True), "finite number"),
        (("discount", "remove", 0.1), "only badges are removed"),
        (("badges", "scale", "x"), "op='set', 'add' or 'remove'"),
        (("menu_bundle", "set", 1), "true or false"),
    ],
)
def test_a_wrong_intervention_says_what_is_wrong(arguments: tuple[Any, ...], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        Intervention(*arguments)


def test_values_out_of_range_name_rows_and_the_first_merchant() -> None:
    with pytest.raises(ConfigurationError, match=r"2 rows out of range, the first of merchant 'b' to 1\.01"):
        Strategy("s", (Intervention("discount", "add", 0.96, Scope(segment={"category": "y"})),)).apply(table())


def test_a_file_of_strategies_comes_back_as_it_was(tmp_path: Path) -> None:
    strategies = (
        Strategy(
            "one", (Intervention("discount", "set", 0.2, Scope({"tier": ("head",)}, ("ad",), (9, 17)), Cost(0.1, 5)),)
        ),
        Strategy("two", (Intervention("badges", "add", ("top",)), Intervention("menu_bundle", "set", True))),
        LOGGED,
    )
    save_strategies(strategies, tmp_path / "s.json")
    assert load_strategies(tmp_path / "s.json") == strategies


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ([], "expected a list of strategies"),
        ([{"name": "a"}, {"name": "a"}], "named \\['a'\\]"),
        ([{"name": "a", "interventions": [{"field": "discount", "op": "set"}]}], "strategy 'a': .*no 'value'"),
        ([{"name": "a", "interventoins": []}], "interventoins"),
    ],
)
def test_a_wrong_file_names_itself_and_the_strategy(tmp_path: Path, document: Any, said: str) -> None:
    (tmp_path / "s.json").write_text(json.dumps(document))
    with pytest.raises(DataError, match=said):
        load_strategies(tmp_path / "s.json")


def test_what_an_order_pays() -> None:
    shown = table(coupon_value=0.3, coupon_threshold=1.5)
    np.testing.assert_allclose(effective_price(shown), [1.0, 0.9, 1.6, 1.6])
    assert Strategy("s", (Intervention("discount", "set", 0.1, cost=Cost(0.5, 2)),)).cost(10) == 7.0


def test_a_grid_is_every_combination() -> None:
    found = grid(discount=[0.0, 0.1], delivery_min=[20, 30])
    assert [item.name for item in found][1] == "discount 0.0, delivery_min 30"
    assert len(found) == 4


@given(st.floats(0, 0.9), st.floats(0, 0.9))
def test_setting_twice_is_setting_last(first: float, second: float) -> None:
    one = Intervention("discount", "set", first)
    other = Intervention("discount", "set", second)
    pd.testing.assert_frame_equal(Strategy("s", (one, other)).apply(table()), Strategy("t", (other,)).apply(table()))


# Support


def library(*levers: str) -> PolicyLibrary:
    quality = next(kind for kind in ARCHETYPES if kind.name == "quality")
    priorities = tuple(item for item in quality.stated() if item.attribute in levers)
    policy = Policy("p0", "quality", (), priorities, (), 0.0, 0.5, (0.4, 0.6), None, 10.0, 2, (), "")
    return PolicyLibrary((policy,), EvidenceScaler(("n_view_price",), np.zeros(1), np.ones(1)), np.zeros((1, 1)))


def test_support_is_the_share_of_changed_rows_seen_in_their_category() -> None:
    before = table(discount=[0.0, 0.1, 0.2, 0.3])
    reference = SupportReference.of(before)
    inside = Strategy("s", (Intervention("discount", "set", 0.05),))
    np.testing.assert_allclose(support(reference, before, inside.apply(before), inside), [1.0, 0.0])
    badge = Strategy("s", (Intervention("badges", "add", "top"),))
    np.testing.assert_allclose(support(reference, before, badge.apply(before), badge), [0.0, 1.0])
    novel = Strategy("s", (Intervention("delivery_min", "set", 20),))
    np.testing.assert_allclose(support(reference, before, novel.apply(before), novel), [0.0, 0.0])
    np.testing.assert_allclose(support(reference, before, before, LOGGED), [1.0, 1.0])
    assert SupportReference.from_json(json.loads(json.dumps(reference.to_json()))) == reference


def test_no_evidence_in_either_branch_is_no_answer() -> None:
    badge = Strategy("s", (Intervention("badges", "add", "top"),))
    assert cannot_say(0.0, library("badge"), badge, funnel=False) is None
    assert "no policy mentions it" in str(cannot_say(0.0, library("rating"), badge, funnel=False))
    assert cannot_say(0.5, library("rating"), badge, funnel=False) is None
    ads = Strategy("s", (Intervention("ad_level", "set", 0.5),))
    assert "funnel" in str(cannot_say(1.0, library("rating"), ads, funnel=False))
