from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest

from fogline.core.errors import ConfigurationError
from fogline.simulators.merchants.columns import COLUMNS
from fogline.simulators.merchants.logs import TEST, check_log, time_split
from fogline.simulators.merchants.strategies import Intervention, Scope, Strategy
from fogline.simulators.merchants.truth import MINDS, Market, People, Truth
from fogline.simulators.merchants.world import WorldConfig, make_world

SMALL = WorldConfig(n_merchants=20, n_trajectories=3_000)


def test_two_people_by_hand() -> None:
    market = Market(
        category=np.array([2]), rating=np.array([4.5]), price=np.array([1.2]), discount=np.array([[0.1]]),
        delivery=np.array([30.0]), photo=np.array([0.5]), traffic=np.ones(1), mix=np.ones((3, 4)) / 4,
        later_mix=np.ones((3, 4)) / 4, quality=np.array([0.4]),
    )  # fmt: skip
    people = People(
        merchant=np.array([0, 0]), time=np.array([0.1, 0.2]), regime=np.array([0, 0]), mind=np.array([0, 3]),
        habit_share=np.array([0.3, 0.85]), spend=np.zeros(2), distance=np.array([2.0, 0.5]), hour=np.array([12, 22]),
        repeat=np.array([1, 6]), offline=np.array([0.2, -0.1]), funnel=False,
    )  # fmt: skip
    truth = Truth(market, people, 0.75)

    def sigma(x: float) -> float:
        return float(1 / (1 + np.exp(-x)))

    habit = [
        -1 + 0.55 * 1 + 0.9 * np.sin(2 * np.pi * 2 * 1 / 24) + 0.5 * 0.4,
        -1 + 0.55 * 4 + 0.9 * np.sin(2 * np.pi * 2 * 11 / 24) + 0.6 + 0.5 * 0.4,
    ]
    for discount in (0.1, 0.3, 0.9):
        deep = min(discount, 0.35)
        judged = [
            -0.6 - 1.6 * np.log(1.2) + 0.5 * 1.5 * 0.2 - 0.3 * np.log(2) + 9 * deep + 0.1 + 0.4 + 0.2,
            -0.6 - 0.3 * np.log(1.2) + 0.5 * 1.5 * 0.2 - 0.3 * np.log(0.5) + 1.5 * deep + 0.1 + 0.4 - 0.1,
        ]
        expected = [
            0.3 * sigma(habit[0]) + 0.7 * sigma(judged[0]),
            0.85 * sigma(habit[1]) + 0.15 * sigma(judged[1]),
        ]
        np.testing.assert_allclose(truth.rates({"discount": discount, "badges": 1.0}), expected, rtol=1e-12)


def test_doing_what_was_logged_changes_nothing_and_sampled_outcomes_agree_with_the_rates() -> None:
    world = make_world(seed=4)
    rates = world.truth.rates()
    np.testing.assert_array_equal(rates, world.truth.rates(Strategy("nothing")))
    assert abs(world.truth.sampled(None, np.random.default_rng(0)).mean() - rates.mean()) < 0.01
    assert abs((world.columns["outcome"] == "order").mean() - rates.mean()) < 0.01


def test_habit_alone_ignores_every_strategy() -> None:
    truth = make_world(WorldConfig(habit_share=1.0), 1).truth
    for levers in ({"discount": 0.3}, {"badges": 1.0}, {"price_level": 0.5}, {"delivery_min": 10.0}):
        np.testing.assert_array_equal(truth.rates(levers), truth.rates())


def test_the_reference_world_has_the_sizes_and_effects_of_the_specification() -> None:
    effects, sizes = [], []
    for seed in range(10):
        world = make_world(seed=seed)
        sizes.append(np.unique(world.columns["merchant_id"], return_counts=True)[1])
        base = world.truth.merchant_rates(None, world.truth.test_window)
        levers: tuple[dict[str, float], ...] = ({"discount": 0.1}, {"discount": 0.3}, {"badges": 1.0})
        rates = [world.truth.merchant_rates(item, world.truth.test_window) for item in levers]
        effects.append([100 * np.nanmean(rate - base) for rate in rates])
    assert all(len(size) == 101 and size.min() >= 25 and abs(size.sum() - 26_000) < 300 for size in sizes)
    assert 70 < np.median(np.concatenate(sizes)) < 130
    np.testing.assert_allclose(np.mean(effects, axis=0), [1.3, 9.4, 4.5], atol=1.2)


def test_poor_merchants_discount_more_unless_the_slope_is_zero() -> None:
    for slope, confounded in ((0.05, True), (0.0, False)):
        correlations = []
        for seed in range(6):
            world = make_world(WorldConfig(confounding=slope), seed)
            ids, first = np.unique(world.columns["merchant_id"], return_index=True)
            assert len(ids) == 101
            correlations.append(np.corrcoef(world.truth.qualities, world.columns["discount"][first])[0, 1])
        assert (np.mean(correlations) < -0.5) == confounded
        assert confounded or abs(np.mean(correlations)) < 0.1


def test_one_seed_gives_the_same_bytes_and_traffic_leaves_the_merchants_alone() -> None:
    one, again = make_world(SMALL, 3), make_world(SMALL, 3)
    assert all(values.tobytes() == again.columns[name].tobytes() for name, values in one.columns.items())
    busier = make_world(SMALL.model_copy(update={"n_trajectories": 6_000}), 3)
    np.testing.assert_array_equal(one.truth.qualities, busier.truth.qualities)
    assert sorted(set(one.columns["rating"])) == sorted(set(busier.columns["rating"]))


def test_the_log_does_not_lead_to_the_truth() -> None:
    world = make_world(SMALL, 0)
    hidden = _arrays(world.truth)
    table = world.table()
    for values in world.columns.values():
        assert not any(np.shares_memory(values, array) for array in hidden)
    reached = _reachable(table)
    assert id(world.truth) not in reached
    assert not any(id(array) in reached for array in hidden)
    assert set(world.columns) <= set(COLUMNS)


def test_the_log_passes_the_schema_in_the_order_of_the_truth_and_splits_as_it_does() -> None:
    world = make_world(SMALL, 2)
    log = check_log(world.table())
    assert (log.table["trajectory_id"].to_numpy() == world.columns["trajectory_id"]).all()
    assert log.report.rows_kept == log.report.rows_read == len(world.columns["time"])
    late = (time_split(log.table) == TEST).mean()
    assert abs(late - 0.25) < 0.01


def test_a_funnel_has_all_stages_and_advertising_brings_people() -> None:
    world = make_world(SMALL.model_copy(update={"funnel": True}), 1)
    stages, counts = np.unique(world.columns["outcome"], return_counts=True)
    assert set(stages) == {"exposure", "click", "engage", "intent", "order"}
    click, engage = world.truth.reach()
    shown = counts[list(stages).index("exposure")] / counts.sum()
    assert abs(shown - (1 - click.mean())) < 0.03
    assert (world.truth.reach({"ad_level": 1.0})[0] > click).all()
    assert ((engage > 0) & (engage < 1)).all()
    unseen = np.isin(world.columns["outcome"], ("exposure", "click"))
    assert not world.columns["n_view_price"][unseen].any()


def test_a_strategy_and_its_levers_are_the_same_question() -> None:
    truth = make_world(SMALL, 5).truth
    lunch = Strategy("lunch", (Intervention("discount", "set", 0.3, Scope(hours=(11, 13))),))
    deep = truth.rates({"discount": 0.3})
    hours = make_world(SMALL, 5).columns["hour"]
    inside = (hours >= 11) & (hours <= 13)
    np.testing.assert_allclose(truth.rates(lunch), np.where(inside, deep, truth.rates()))
    with pytest.raises(ConfigurationError, match="does not respond"):
        truth.rates(Strategy("menu", (Intervention("menu_size", "set", 9),)))
    with pytest.raises(ConfigurationError, match="discuont"):
        truth.rates({"discuont": 0.1})


def test_a_noiseless_reasoner_knows_the_weights() -> None:
    known = make_world(SMALL, 0).truth.noised_priorities(0.0, np.random.default_rng(0))
    assert known == {mind.name: {name: getattr(mind, name) for name in known[mind.name]} for mind in MINDS}


def _arrays(truth: Truth) -> list[np.ndarray]:
    parts = [truth._market, truth._people]
    return [
        value for part in parts for name in part.__dataclass_fields__
        if isinstance(value := getattr(part, name), np.ndarray)
    ]  # fmt: skip


def _reachable(start: Any) -> set[int]:
    """Ids of everything that can be reached from an object, modules and classes left aside."""
    seen: set[int] = set()
    waiting = [start]
    while waiting:
        item = waiting.pop()
        if id(item) in seen or isinstance(item, type(gc) | type):
            continue
        seen.add(id(item))
        waiting += [found for found in gc.get_referents(item) if not callable(found)]
    return seen
