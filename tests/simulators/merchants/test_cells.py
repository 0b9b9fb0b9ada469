"""Cells: groups of rows that one question is asked about."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fogline.core.errors import ConfigurationError
from fogline.simulators.merchants.cells import Cells, Contexts
from fogline.simulators.merchants.logs import Log, check_log
from fogline.simulators.merchants.world import WorldConfig, make_world


@pytest.fixture(scope="module")
def log() -> Log:
    return check_log(make_world(WorldConfig(n_merchants=30, n_trajectories=4_500), 0).table())


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), policies=st.integers(1, 6))
def test_rows_have_their_cells_answer_or_their_policys_mean(log: Log, seed: int, policies: int) -> None:
    rng = np.random.default_rng(seed)
    table = log.table.sample(200, random_state=seed % 1000).reset_index(drop=True)
    membership = rng.dirichlet(np.full(policies, 0.2), 200)
    cells = Cells(table, membership, Contexts())
    asked = list(cells)
    assert len(asked) == len(cells)
    answers = rng.normal(size=len(asked))
    found = cells.scatter(answers, np.full(policies, 99.0))
    by_cell = {(cell.group, cell.policy): answer for cell, answer in zip(asked, answers, strict=True)}
    for row in range(0, 200, 17):
        for policy in range(policies):
            of_policy = [(cell, answer) for cell, answer in zip(asked, answers, strict=True) if cell.policy == policy]
            expected = by_cell.get((int(cells.group[row]), policy))
            if expected is None:
                weights = [cell.members for cell, _ in of_policy]
                expected = np.average([answer for _, answer in of_policy], weights=weights) if weights else 99.0
            assert found[row, policy] == pytest.approx(expected)


def test_contexts_are_four_at_most_and_fixed_beforehand(log: Log) -> None:
    contexts = Contexts(far_km=2.0)
    found = contexts.of(log.table)
    far = log.table["distance_km"].to_numpy(dtype=float) >= 2.0
    evening = log.table["hour"].between(17, 22).to_numpy()
    np.testing.assert_array_equal(found, 2 * far + evening)
    assert set(Contexts().of(log.table.drop(columns=["distance_km"]))) <= {0, 1}
    assert contexts.words(3, distance=True, hour=True) == ["They are 2 km or more away.", "It is evening."]
    with pytest.raises(ConfigurationError, match=r"far_km=0"):
        Contexts(far_km=0)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), policies=st.integers(1, 6), spread=st.sampled_from([0.05, 1.0, 50.0]))
def test_a_cell_is_asked_about_where_a_row_is_mostly_its_own(log: Log, seed: int, policies: int, spread: float) -> None:
    table = log.table.sample(200, random_state=seed % 1000).reset_index(drop=True)
    membership = np.random.default_rng(seed).dirichlet(np.full(policies, spread), 200)
    cells = Cells(table, membership, Contexts())
    expected = {(int(group), int(row.argmax())) for group, row in zip(cells.group, membership, strict=True)}
    assert {(cell.group, cell.policy) for cell in cells} == expected
    np.testing.assert_allclose(cells.members.sum(axis=1), cells.visits)


def test_cells_do_not_depend_on_the_order_of_rows(log: Log) -> None:
    membership = np.random.default_rng(0).dirichlet(np.ones(3), len(log.table))
    order = np.random.default_rng(1).permutation(len(log.table))
    plain = list(Cells(log.table, membership, Contexts()))
    shuffled = list(Cells(log.table.iloc[order].reset_index(drop=True), membership[order], Contexts()))
    key = lambda cell: (cell.merchant, cell.context, cell.policy)  # noqa: E731
    assert [(key(cell), cell.visits) for cell in sorted(plain, key=key)] == [
        (key(cell), cell.visits) for cell in sorted(shuffled, key=key)
    ]
