"""The funnel: shares of stages, what stands in for memberships that are not known yet, and which logs it refuses."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fogline.core.errors import ConfigurationError, DataError
from fogline.simulators.merchants.columns import STAGES
from fogline.simulators.merchants.fitting import FittingBranch, FittingConfig
from fogline.simulators.merchants.funnel import LEAST_STAGE, check_stages, depth, stage_shares, usual, usual_by_category
from fogline.simulators.merchants.logs import TEST, TRAIN, check_log, high_intent, time_split
from fogline.simulators.merchants.mining import mine
from fogline.simulators.merchants.world import WorldConfig, make_world


def test_depth_is_the_place_among_the_stages():
    assert depth(pd.DataFrame({"outcome": STAGES[::-1]})).tolist() == [4, 3, 2, 1, 0]


def test_shares_are_those_who_reach_a_stage_and_go_no_further():
    chances = [np.array([0.5]), np.array([0.4]), np.array([0.25]), np.array([0.2])]
    assert stage_shares(chances)[0] == pytest.approx([0.5, 0.3, 0.15, 0.04, 0.01])


@given(st.lists(arrays(np.float64, 3, elements=st.floats(0, 1)), min_size=4, max_size=4))
def test_shares_sum_to_one(chances: list[np.ndarray]):
    found = stage_shares(chances)
    assert found.sum(axis=1) == pytest.approx([1, 1, 1]) and (found >= -1e-12).all()


def test_those_who_came_far_stand_in_by_category():
    table = pd.DataFrame({"category": ["tea", "tea", "tea", "noodles", "noodles"]})
    values = np.array([[0.1], [0.3], [0.9], [0.5], [0.7]])
    reached = np.array([4, 3, 0, 3, 2])
    found = usual_by_category(table, values, reached)
    asked = pd.DataFrame({"category": ["noodles", "tea", "grill"]})
    assert usual(asked, found)[:, 0] == pytest.approx([0.5, 0.2, 0.3])
    assert usual(asked.drop(columns="category"), found)[:, 0] == pytest.approx([0.3] * 3)


@pytest.mark.parametrize("lowest", [1, 2])
def test_log_without_a_stage_is_refused_by_name(lowest: int):
    reached = np.repeat(np.arange(lowest, 5), 100)
    with pytest.raises(DataError, match=rf"could reach '{STAGES[1]}', .* and 0 did not: a funnel needs {LEAST_STAGE}"):
        check_stages(reached)


def test_log_with_every_stage_is_taken():
    check_stages(np.repeat(np.arange(5), LEAST_STAGE))


@pytest.fixture(scope="module")
def fitted():
    world = make_world(WorldConfig(n_merchants=60, n_trajectories=24_000, funnel=True), seed=0)
    table = check_log(world.table()).table
    windows = time_split(table)
    library, _ = mine(table[(windows == TRAIN) & high_intent(table)].reset_index(drop=True), seed=0)
    membership = library.membership(table)
    rate = membership @ np.array([policy.anchor for policy in library.policies])
    config = FittingConfig(target="funnel", n_estimators=80)
    branch = FittingBranch.fit(table, membership, rate, windows=windows, config=config, seed=0, library=library)
    test = windows == TEST
    click, engage = world.truth.reach()
    truth = (click * engage * world.truth.rates())[test]
    return branch, table[test].reset_index(drop=True), membership[test], rate[test], truth


def test_each_stage_has_a_model_and_their_product_is_the_order_rate(fitted):
    branch, table, membership, rate, _ = fitted
    assert tuple(branch.stages) == STAGES[1:]
    shares = branch.predict_stages(table, membership, rate)
    assert shares.shape == (len(table), 5) and shares.sum(axis=1) == pytest.approx(np.ones(len(table)))
    assert shares[:, -1] == pytest.approx(branch.predict(table, membership, rate))


def test_orders_are_neither_over_nor_understated(fitted):
    branch, table, membership, rate, truth = fitted
    seen = np.bincount(depth(table), minlength=5) / len(table)
    assert branch.predict_stages(table, membership, rate).mean(axis=0) == pytest.approx(seen, abs=0.015)
    assert branch.predict(table, membership, rate).mean() == pytest.approx(truth.mean(), abs=0.008)


def test_membership_that_is_yet_to_show_changes_nothing(fitted):
    branch, table, membership, rate, _ = fitted
    other = np.roll(membership, 1, axis=1)
    assert (branch.predict(table, membership, rate) == branch.predict(table, other, 1 - rate)).all()


def test_funnel_of_those_who_engaged_alone_is_refused(fitted):
    branch, table, _, rate, _ = fitted
    rows = high_intent(table)
    engaged = table[rows].reset_index(drop=True)
    library = mine(engaged, seed=0)[0]
    with pytest.raises(DataError, match="fit with target='order'"):
        FittingBranch.fit(
            engaged,
            library.membership(engaged),
            rate[rows],
            windows=np.zeros(len(engaged), dtype=np.int8),
            config=branch.config,
            seed=0,
            library=library,
        )


def test_stages_of_a_branch_of_orders_alone_are_refused(fitted):
    branch, table, membership, rate, _ = fitted
    orders = FittingBranch(FittingConfig(), branch.builder, branch.rates, {}, {}, branch.names)
    with pytest.raises(ConfigurationError, match="target='funnel'"):
        orders.predict_stages(table, membership, rate)
