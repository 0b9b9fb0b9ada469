"""Schema reward and metrics against the formulas of the TRUST-SQL specification, section 10.3."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fogline.core.errors import ConfigurationError
from fogline.simulators.databases.records import SchemaSubset
from fogline.simulators.databases.schema_scores import SCHEMA_MODES, schema_reward, schema_score

GOLD = SchemaSubset.of(["A", "B"], {"A": ["x", "y"], "B": ["x"]})


def proposal(tables: list[str], **columns: list[str]) -> SchemaSubset:
    return SchemaSubset.of(tables, columns)


def wide(table_count: int, column_count: int) -> SchemaSubset:
    """A proposal that recalls a gold of ten tables and ten columns, with that many entries in all."""
    return SchemaSubset(
        frozenset(f"t{index}" for index in range(table_count)),
        frozenset(f"t0.c{index}" for index in range(column_count)),
    )


@pytest.mark.parametrize("mode", SCHEMA_MODES)
def test_an_exact_proposal_with_a_right_answer_earns_one(mode: str) -> None:
    assert schema_reward(proposal(["a", "B"], a=["X", "y"], b=["x"]), GOLD, True, mode) == 1.0


def test_only_totalmatch_pays_without_a_right_answer() -> None:
    rewards = {mode: schema_reward(GOLD, GOLD, False, mode) for mode in SCHEMA_MODES}
    assert rewards == {"truematch": 0.0, "totalmatch": 1.0, "recall_then_precision_strict": 0.0}


@pytest.mark.parametrize("mode", SCHEMA_MODES)
@pytest.mark.parametrize("proposed", [None, SchemaSubset(), proposal(["a"], a=["x", "y"]), proposal(["a", "b"])])
def test_an_absent_empty_or_partial_proposal_earns_nothing(mode: str, proposed: SchemaSubset | None) -> None:
    assert schema_reward(proposed, GOLD, True, mode) == 0.0


@pytest.mark.parametrize("mode", ["truematch", "totalmatch"])
def test_a_superfluous_column_or_table_spoils_the_match(mode: str) -> None:
    assert schema_reward(proposal(["a", "b"], a=["x", "y", "z"], b=["x"]), GOLD, True, mode) == 0.0
    assert schema_reward(proposal(["a", "b", "c"], a=["x", "y"], b=["x"]), GOLD, True, mode) == 0.0


# Gold has ten tables and ten columns; p = 0.4 · 10 / tables + 0.6 · 10 / columns.
@pytest.mark.parametrize(
    ("tables", "columns", "reward"),
    [
        (10, 10, 1.0),
        (10, 12, 0.8),  # p = 0.9 exactly
        (10, 13, 0.6),  # 0.861…
        (20, 10, 0.6),  # 0.8 exactly
        (10, 20, 0.4),  # 0.7 exactly
        (10, 30, 0.2),  # 0.6 exactly
        (10, 31, 0.1),  # 0.593…
        (100, 100, 0.1),
    ],
)
def test_buckets_of_strict_precision(tables: int, columns: int, reward: float) -> None:
    assert schema_reward(wide(tables, columns), wide(10, 10), True, "recall_then_precision_strict") == reward


def test_strict_precision_needs_full_recall() -> None:
    assert schema_reward(wide(9, 10), wide(10, 10), True, "recall_then_precision_strict") == 0.0
    assert schema_reward(wide(10, 9), wide(10, 10), True, "recall_then_precision_strict") == 0.0


@pytest.mark.parametrize("mode", ["f1", "precision", "recall", "recall_then_precision", "", "TrueMatch"])
def test_modes_that_the_release_leaves_at_zero_are_refused(mode: str) -> None:
    with pytest.raises(ConfigurationError, match="schema_mode"):
        schema_reward(GOLD, GOLD, True, mode)


def test_a_count_needs_no_column() -> None:
    gold = SchemaSubset.of(["a"], {})
    assert schema_reward(proposal(["a"]), gold, True) == 1.0
    score = schema_score(proposal(["a"], a=["x"]), gold)
    assert (score.column_precision, score.column_recall, score.exact) == (0.0, 1.0, False)


def test_weights_are_two_fifths_tables_and_three_fifths_columns() -> None:
    score = schema_score(proposal(["a"], a=["x", "z"], b=["x"]), GOLD)
    assert (score.table_precision, score.table_recall) == (1.0, 0.5)
    assert (score.column_precision, score.column_recall) == pytest.approx((2 / 3, 2 / 3))
    assert score.precision == pytest.approx(0.4 * 1.0 + 0.6 * 2 / 3)
    assert score.recall == pytest.approx(0.4 * 0.5 + 0.6 * 2 / 3)
    assert score.f1 == pytest.approx(0.4 * 2 / 3 + 0.6 * 2 / 3)


NAMES = st.frozensets(st.sampled_from("abcd"))
SUBSETS = st.builds(SchemaSubset, NAMES, st.frozensets(st.sampled_from(["a.x", "a.y", "b.x", "c.z"])))


@given(SUBSETS, SUBSETS)
def test_scores_are_shares_and_perfect_exactly_for_equal_sets(proposed: SchemaSubset, gold: SchemaSubset) -> None:
    score = schema_score(proposed, gold)
    parts = (score.table_precision, score.table_recall, score.column_precision, score.column_recall)
    assert all(0.0 <= part <= 1.0 for part in parts)
    assert score.exact == (proposed == gold) == all(part == 1.0 for part in parts)
