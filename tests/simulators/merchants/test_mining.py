from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fogline.core.errors import DataError
from fogline.simulators.merchants.evidence import EvidenceScaler
from fogline.simulators.merchants.logs import TRAIN, check_log, time_split
from fogline.simulators.merchants.mining import MiningConfig, mine
from fogline.simulators.merchants.policies import ARCHETYPES, PolicyLibrary
from fogline.simulators.merchants.strategies import Intervention, Strategy
from fogline.simulators.merchants.verifying import verify
from fogline.simulators.merchants.world import World, WorldConfig, make_world


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(WorldConfig(n_merchants=60, n_trajectories=9_000), 1)


@pytest.fixture(scope="module")
def table(world: World) -> pd.DataFrame:
    return check_log(world.table()).table


@pytest.fixture(scope="module")
def library(table: pd.DataFrame) -> PolicyLibrary:
    return mine(table[time_split(table) == TRAIN].reset_index(drop=True), seed=0)[0]


def test_the_minds_of_the_market_are_recovered(world: World, table: pd.DataFrame, library: PolicyLibrary) -> None:
    names = [kind.name for kind in ARCHETYPES]
    assert sorted(library.names) == sorted(names)
    guessed = np.array([names.index(name) for name in library.archetypes])[library.membership(table).argmax(axis=1)]
    assert (guessed == world.truth.minds).mean() > 0.75


def test_membership_is_the_softmax_of_squared_distances(table: pd.DataFrame, library: PolicyLibrary) -> None:
    rows = table.head(50)
    distance = ((library.scaler.features(rows)[:, None] - library.centres) ** 2).sum(axis=2)
    expected = np.exp(-distance / 2)
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(library.membership(rows), expected, rtol=1e-9)


def test_neither_outcome_nor_merchant_nor_strategy_moves_a_membership(
    table: pd.DataFrame, library: PolicyLibrary
) -> None:
    other = table.assign(outcome="engage", merchant_id="x")
    np.testing.assert_array_equal(library.membership(other), library.membership(table))
    deep = Strategy("s", (Intervention("discount", "set", 0.3),)).apply(table)
    np.testing.assert_array_equal(library.membership(deep), library.membership(table))


def test_one_seed_mines_the_same_bytes(table: pd.DataFrame, library: PolicyLibrary) -> None:
    again, report = mine(table[time_split(table) == TRAIN].reset_index(drop=True), seed=0)
    assert again.digest == library.digest
    chosen = next(entry for entry in report.tried if entry.k == report.chosen)
    assert chosen.eligible
    assert chosen.silhouette == max(entry.silhouette for entry in report.tried if entry.eligible)


def test_a_library_may_be_edited_by_hand(tmp_path: Path, library: PolicyLibrary) -> None:
    library.save(tmp_path / "p.json")
    again = PolicyLibrary.load(tmp_path / "p.json")
    assert again.digest == library.digest
    assert not again.edited
    document = json.loads((tmp_path / "p.json").read_text())
    document["policies"][0]["text"] = "They know what they want."
    (tmp_path / "p.json").write_text(json.dumps(document))
    edited = PolicyLibrary.load(tmp_path / "p.json")
    assert edited.edited
    assert edited.policies[0].text == "They know what they want."
    document["policies"][0]["priorities"][0]["direction"] = 2
    (tmp_path / "p.json").write_text(json.dumps(document))
    with pytest.raises(DataError, match="direction=2"):
        PolicyLibrary.load(tmp_path / "p.json")


def test_controls_pool_and_shuffle(table: pd.DataFrame, library: PolicyLibrary) -> None:
    pooled = library.pooled()
    np.testing.assert_allclose(pooled.membership(table), 1.0)
    assert pooled.policies[0].support_n == pytest.approx(sum(policy.support_n for policy in library.policies))
    shuffled = library.shuffled(3).membership(table)
    np.testing.assert_allclose(np.sort(shuffled, axis=0), np.sort(library.membership(table), axis=0))
    assert (shuffled != library.membership(table)).any()


def test_levers_on_whose_direction_all_agree(library: PolicyLibrary) -> None:
    signs = library.signs()
    assert (signs["discount"], signs["price_level"], signs["delivery_min"], signs["badges"]) == (1, -1, -1, 1)
    assert library.mentions("discount")
    assert not library.mentions("menu_size")


def test_noise_is_pruned_and_twins_are_merged() -> None:
    rng = np.random.default_rng(0)
    rows = 6_000
    distance = np.exp(rng.normal(size=rows))
    labels = rng.integers(0, 3, rows)
    # Two clusters follow one rule; in the third who is near never orders on merchants of the other folds.
    merchant = rng.integers(0, 40, rows)
    near = distance < 1
    chance = np.where(labels < 2, np.where(near, 0.8, 0.2), np.where(near == (merchant % 5 < 2), 0.9, 0.1))
    table = pd.DataFrame(
        {
            "merchant_id": [f"m{index:02d}" for index in merchant],
            "distance_km": distance,
            "outcome": np.where(rng.random(rows) < chance, "order", "engage"),
        }
    )
    groups, verdicts = verify(table, np.eye(3)[labels], labels, 0.7, 0.95)
    assert groups == [[0, 1]]
    assert verdicts[0].kept
    assert verdicts[1].reason == "says the same as cluster 0"
    assert "left out" in verdicts[2].reason


def test_a_log_without_evidence_is_refused_and_gaps_are_average() -> None:
    with pytest.raises(DataError, match="no evidence"):
        EvidenceScaler.fit(pd.DataFrame({"repeat_orders": [1, 2]}))
    scaler = EvidenceScaler.fit(pd.DataFrame({"n_view_price": [0.0, 1.0, np.e**2 - 1]}))
    np.testing.assert_allclose(scaler.features(pd.DataFrame({"n_view_price": [np.nan]})), 0.0)
    full = EvidenceScaler.fit(pd.DataFrame({"n_view_price": [0, 1, 2], "n_open_map": [1, 1, 0]}), "full")
    assert full.names[-2:] == ("depth", "entropy")


def test_a_number_of_policies_may_be_given_and_mixtures_do_too(table: pd.DataFrame) -> None:
    some = table.head(3_000)
    library, report = mine(some, seed=0, config=MiningConfig(k=6, verify=False))
    assert len(library) == 6
    assert len(set(library.names)) == 6
    assert report.tried == ()
    mixed, _ = mine(some, seed=0, config=MiningConfig(k=3, method="gmm", verify=False))
    assert len(mixed) == 3
