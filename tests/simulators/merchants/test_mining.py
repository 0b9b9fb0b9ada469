from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError
from threadpoolctl import threadpool_limits

from fogline.core.errors import DataError
from fogline.simulators.merchants.evidence import EvidenceScaler
from fogline.simulators.merchants.logs import TRAIN, check_log, time_split
from fogline.simulators.merchants.mining import MiningConfig, mine
from fogline.simulators.merchants.policies import ARCHETYPES, EVERYBODY, PolicyLibrary, rate_interval
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


CHANNELS = ("n_view_price", "n_read_reviews", "n_open_map", "dwell_s")


def distinct(*loud: str, rows: int = 400, seed: int = 0) -> pd.DataFrame:
    """As many kinds of people as names: each does much of one thing, or looks for a moment ("dwell_s")."""
    rng = np.random.default_rng(seed)
    parts = []
    for name in loud:
        part = {each: rng.poisson(0.3, rows).astype(float) for each in (*CHANNELS[:3], "n_tap_coupon", "repeat_orders")}
        part["dwell_s"] = rng.normal(2.0 if name == "dwell_s" else 60.0, 0.2, rows)
        if name == "dwell_s":
            part["repeat_orders"] = rng.poisson(6, rows)
        else:
            part[name] = rng.poisson(30, rows)
        parts.append(pd.DataFrame(part))
    found = pd.concat(parts, ignore_index=True)
    merchant = rng.integers(0, 40, len(found))
    return found.assign(
        trajectory_id=[f"t{index}" for index in range(len(found))],
        merchant_id=[f"m{index:02d}" for index in merchant],
        distance_km=np.exp(rng.normal(size=len(found))),
        outcome=np.where(rng.random(len(found)) < 0.5, "order", "engage"),
    )


def with_outcome(table: pd.DataFrame, chance: NDArray[np.float64]) -> pd.DataFrame:
    drawn = np.random.default_rng(9).random(len(table)) < chance
    return table.assign(outcome=np.where(drawn, "order", "engage"))


def test_clusters_are_named_after_what_they_do() -> None:
    config = MiningConfig(k=4, verify=False)
    table = distinct(*CHANNELS)
    library, _ = mine(table, seed=0, config=config)
    held = library.membership(table).reshape(4, 400, 4).mean(axis=1)
    assert [library.names[index] for index in held.argmax(axis=1)] == ["price", "quality", "convenience", "habit"]
    assert held.max(axis=1).min() > 0.95
    six = mine(distinct(*CHANNELS, "n_tap_coupon"), seed=0, config=MiningConfig(k=5, verify=False))[0]
    assert sorted(six.names) == ["convenience", "habit", "price", "price-2", "quality"]


def test_clusters_know_neither_outcomes_nor_merchants() -> None:
    config = MiningConfig(k=4, verify=False)
    table = distinct(*CHANNELS)
    rng = np.random.default_rng(3)
    other = table.assign(outcome=rng.permutation(table["outcome"]), merchant_id=rng.permutation(table["merchant_id"]))
    one, two = (mine(rows, seed=0, config=config)[0] for rows in (table, other))
    np.testing.assert_array_equal(one.centres, two.centres)
    np.testing.assert_array_equal(one.membership(table), two.membership(other))


def test_what_a_policy_says_of_itself_is_counted() -> None:
    table = distinct(*CHANNELS)
    library, _ = mine(table, seed=0, config=MiningConfig(k=4, verify=False))
    held, orders = library.membership(table), (table["outcome"] == "order").to_numpy()
    habitual = (table["repeat_orders"] > 0) & (table["dwell_s"] < table["dwell_s"].median())
    for index, policy in enumerate(library.policies):
        q = held[:, index]
        assert policy.support_n == pytest.approx(q.sum())
        assert policy.anchor == pytest.approx(np.average(orders, weights=q))
        assert policy.anchor_interval == pytest.approx(rate_interval(policy.anchor, policy.support_n))
        assert policy.habit_share == pytest.approx(np.average(habitual, weights=q))
        assert list(policy.exemplars) == table["trajectory_id"].iloc[np.argsort(-q, kind="stable")[:3]].tolist()


def test_one_seed_mines_the_same_bytes_on_any_number_of_threads() -> None:
    # Threads share sums of more than ten thousand numbers, and the order tells where these are no whole numbers.
    table, config = distinct(*CHANNELS, rows=4_000), MiningConfig(k=4, temperature=3.0, verify=False)
    digests = []
    for threads in (1, 2):
        with threadpool_limits(limits=threads):
            digests.append(mine(table, seed=0, config=config)[0].digest)
    assert digests[0] == digests[1]


def test_a_large_log_is_sampled() -> None:
    library, report = mine(distinct(*CHANNELS), seed=0, config=MiningConfig(k=4, most_rows=500))
    assert report.rows == 500
    assert sum(policy.support_n for policy in library.policies) == pytest.approx(500)


def test_no_stable_number_is_said() -> None:
    rng = np.random.default_rng(0)
    cloud = {name: np.expm1(np.abs(rng.normal(4, 1, 900))) for name in (*CHANNELS, "n_tap_coupon")}
    table = distinct("n_open_map", rows=900).assign(**cloud)
    _, report = mine(table, seed=0, config=MiningConfig(least_stability=1.0, largest_k=5, verify=False))
    assert report.unstable
    assert not any(entry.eligible for entry in report.tried)
    assert report.chosen == max(report.tried, key=lambda entry: entry.stability).k


def test_too_small_a_cluster_is_not_eligible() -> None:
    table = distinct(*CHANNELS)
    _, report = mine(table, seed=0, config=MiningConfig(least_share=0.24, largest_k=6, verify=False))
    assert report.chosen == 4
    assert [entry.eligible for entry in report.tried if entry.k > 4] == [False, False]


def test_rows_that_are_all_alike_make_one_policy_for_everybody() -> None:
    table = distinct("n_open_map").assign(**dict.fromkeys((*CHANNELS, "n_tap_coupon", "repeat_orders"), 1.0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn says the same of the clusters
        library, report = mine(table, seed=0)
    assert (library.names, report.chosen) == (("everybody",), 1)
    one, _ = mine(distinct(*CHANNELS), seed=0, config=MiningConfig(k=1))
    assert one.names == ("everybody",)
    assert {item.attribute: item.direction * item.weight for item in one.policies[0].priorities} == EVERYBODY.priorities


@pytest.mark.parametrize("method", ["kmeans", "gmm"])
def test_rows_of_few_kinds_make_as_few_clusters_whatever_was_asked_for(method: Literal["kmeans", "gmm"]) -> None:
    table = distinct("n_open_map", rows=300).assign(**dict.fromkeys((*CHANNELS, "n_tap_coupon", "repeat_orders"), 1.0))
    for seed in range(12):  # which of the clusters stay empty depends on it
        table["n_open_map"] = np.random.default_rng(seed).integers(0, 3, len(table))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            library, report = mine(table, seed=seed, config=MiningConfig(k=8, method=method, verify=False))
        assert len(library) == report.chosen == len(report.groups) <= 3


def test_where_no_policy_transfers_one_is_kept_for_everybody_and_said() -> None:
    table = distinct(*CHANNELS, rows=1_500)
    merchant = table["merchant_id"].str[1:].astype(int).to_numpy()
    near = np.where(table["distance_km"] < 1, 1, -1)
    # To be near helps in two of the folds of merchants and harms in two: whichever is left out, the others mislead.
    table = with_outcome(table, 0.5 + 0.4 * near * np.array([1, 1, -1, -1, 0])[merchant % 5])
    library, report = mine(table, seed=0, config=MiningConfig(k=4))
    assert report.pooled
    assert not any(verdict.kept for verdict in report.verdicts)
    assert all("left out" in verdict.reason for verdict in report.verdicts)
    assert report.groups == ((0, 1, 2, 3),)
    [policy] = library.policies
    assert (policy.name, policy.when, policy.deal_breakers) == ("everybody", (), ())
    assert policy.support_n == pytest.approx(len(table))
    assert policy.anchor == pytest.approx((table["outcome"] == "order").mean())


def test_twins_become_one_policy_with_the_marks_of_both() -> None:
    table = distinct(*CHANNELS[:3])
    near = (table["distance_km"] < 1).to_numpy()
    # Lookers at prices and readers of reviews follow one rule, lookers at maps the opposite.
    table = with_outcome(table, np.where(near == (np.arange(len(table)) < 800), 0.8, 0.2))
    library, report = mine(table, seed=0, config=MiningConfig(k=3))
    assert sorted(map(len, report.groups)) == [1, 2]
    assert not report.pooled
    assert [verdict.kept for verdict in report.verdicts].count(True) == 2
    index = [len(group) for group in report.groups].index(2)
    both, other = library.policies[index], library.policies[1 - index]
    assert [(item.column, item.relation) for item in both.when] == [("n_open_map", "<=")]
    assert ("n_open_map", ">") in [(item.column, item.relation) for item in other.when]
    assert both.support_n == pytest.approx(800, rel=0.05)
    assert [card.rows for card in report.evidence()[index]] == pytest.approx([400, 400], rel=0.05)


def test_a_rule_that_gains_on_the_whole_must_hold_in_most_merchants() -> None:
    rng = np.random.default_rng(0)
    rows = 8_000
    merchant, near = rng.integers(0, 40, rows), rng.random(rows) < 0.5
    # In some merchants it decides nearly all, in the others it is slightly wrong.
    chance = np.where(merchant % 20 < 9, np.where(near, 0.95, 0.05), np.where(near, 0.46, 0.54))
    table = pd.DataFrame({"merchant_id": [f"m{index:02d}" for index in merchant], "distance_km": near.astype(float)})
    [verdict] = verify(with_outcome(table, chance), np.ones((rows, 1)), np.zeros(rows, dtype=np.int64), 0.7, 0.95)[1]
    assert verdict.gain > 2 * verdict.gain_error
    assert not verdict.kept
    assert verdict.reason.startswith("holds in")


def test_strict_verification_excuses_nothing() -> None:
    rng = np.random.default_rng(1)
    rows = 1_500
    table = pd.DataFrame(
        {"merchant_id": [f"m{index:02d}" for index in rng.integers(0, 20, rows)], "distance_km": rng.random(rows)}
    )
    table = with_outcome(table, np.full(rows, 0.5))  # nothing decides
    labels = np.zeros(rows, dtype=np.int64)
    [eased] = verify(table, np.ones((rows, 1)), labels, 0.0, 0.95)[1]
    [strict] = verify(table, np.ones((rows, 1)), labels, 0.0, 0.95, strict=True)[1]
    assert eased.gain == strict.gain
    assert eased.gain < 0
    assert (eased.kept, strict.kept) == (True, False)
    assert strict.reason == "predicts no better than the base rate on merchants left out"


def test_options_and_logs_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValidationError, match="smallest_k=6 exceeds largest_k=5"):
        MiningConfig(smallest_k=6, largest_k=5)
    with pytest.raises(DataError, match="29 training rows"):
        mine(distinct(*CHANNELS).head(29), seed=0)
    with pytest.raises(DataError, match="100 training rows"):
        mine(distinct(*CHANNELS), seed=0, config=MiningConfig(k=11, most_rows=100))
