"""The funnel: shares of stages, what stands in for memberships that are not known yet, and which logs it refuses."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

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
from fogline.simulators.merchants.policies import PolicyLibrary
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


CONFIG = FittingConfig(target="funnel", n_estimators=80)


@dataclass(frozen=True)
class Case:
    table: pd.DataFrame
    windows: np.ndarray
    policy_library: PolicyLibrary
    membership: np.ndarray
    rate: np.ndarray
    truth: np.ndarray

    def fit(self, membership: np.ndarray, rate: np.ndarray) -> FittingBranch:
        return FittingBranch.fit(
            self.table, membership, rate, windows=self.windows, config=CONFIG, seed=0, library=self.policy_library
        )

    @property
    def tested(self) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
        rows = self.windows == TEST
        return self.table[rows].reset_index(drop=True), self.membership[rows], self.rate[rows]


@pytest.fixture(scope="module")
def case() -> Case:
    world = make_world(WorldConfig(n_merchants=60, n_trajectories=24_000, funnel=True), seed=0)
    table = check_log(world.table()).table
    windows = time_split(table)
    library, _ = mine(table[(windows == TRAIN) & high_intent(table)].reset_index(drop=True), seed=0)
    membership = library.membership(table)
    rate = membership @ np.array([policy.anchor for policy in library.policies])
    click, engage = world.truth.reach()
    return Case(table, windows, library, membership, rate, click * engage * world.truth.rates())


@pytest.fixture(scope="module")
def branch(case: Case) -> FittingBranch:
    return case.fit(case.membership, case.rate)


def test_each_stage_has_a_model_and_their_product_is_the_order_rate(case: Case, branch: FittingBranch):
    assert tuple(branch.stages) == STAGES[1:]
    shares = branch.predict_stages(*case.tested)
    assert shares.shape == (len(case.tested[0]), 5) and shares.sum(axis=1) == pytest.approx(np.ones(len(shares)))
    assert shares[:, -1] == pytest.approx(branch.predict(*case.tested))


def test_orders_are_neither_over_nor_understated(case: Case, branch: FittingBranch):
    seen = np.bincount(depth(case.tested[0]), minlength=5) / len(case.tested[0])
    assert branch.predict_stages(*case.tested).mean(axis=0) == pytest.approx(seen, abs=0.015)
    assert branch.predict(*case.tested).mean() == pytest.approx(case.truth[case.windows == TEST].mean(), abs=0.008)


def test_membership_that_is_yet_to_show_changes_no_prediction(case: Case, branch: FittingBranch):
    table, membership, rate = case.tested
    other = branch.predict(table, np.roll(membership, 1, axis=1), 1 - rate)
    assert (other == branch.predict(table, membership, rate)).all()


def test_membership_of_those_who_left_early_changes_no_tree(case: Case, branch: FittingBranch):
    """What they did not do tells that they left, which is the very thing to be foretold."""
    early = depth(case.table) < STAGES.index("intent")
    membership = np.where(early[:, None], np.roll(case.membership, 1, axis=1), case.membership)
    other = case.fit(membership, np.where(early, 0.0, case.rate))
    for name, stage in branch.stages.items():
        assert other.stages[name].estimator.model_to_string() == stage.estimator.model_to_string()
    whole = case.fit(np.roll(case.membership, 1, axis=1), case.rate)
    assert whole.stages["order"].estimator.model_to_string() != branch.stages["order"].estimator.model_to_string()


def test_funnel_of_those_who_engaged_alone_is_refused(case: Case):
    rows = high_intent(case.table)
    engaged = replace(
        case,
        table=case.table[rows].reset_index(drop=True),
        windows=case.windows[rows],
        membership=case.membership[rows],
        rate=case.rate[rows],
    )
    with pytest.raises(DataError, match="fit with target='order'"):
        engaged.fit(engaged.membership, engaged.rate)


def test_stages_of_a_branch_of_orders_alone_are_refused(case: Case, branch: FittingBranch):
    orders = replace(branch, config=FittingConfig(), typical={})
    with pytest.raises(ConfigurationError, match="target='funnel'"):
        orders.predict_stages(*case.tested)


def test_funnel_comes_back_from_its_file_to_the_bit(case: Case, branch: FittingBranch, tmp_path: Path):
    branch.save(tmp_path / "funnel.json")
    again = FittingBranch.load(tmp_path / "funnel.json")
    assert (again.predict_stages(*case.tested) == branch.predict_stages(*case.tested)).all()
