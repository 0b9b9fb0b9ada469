"""Schema reward and schema metrics. Source: TRUST-SQL specification, section 10.3."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from fogline.core.errors import check_choice
from fogline.simulators.databases.records import SchemaSubset

SchemaMode = Literal["truematch", "totalmatch", "recall_then_precision_strict"]
SCHEMA_MODES: tuple[SchemaMode, ...] = get_args(SchemaMode)

TABLE_WEIGHT = 0.4
COLUMN_WEIGHT = 0.6
_PRECISION_BUCKETS = ((1.0, 1.0), (0.9, 0.8), (0.8, 0.6), (0.7, 0.4), (0.6, 0.2))
_LOWEST_BUCKET = 0.1


@dataclass(frozen=True, slots=True)
class SchemaScore:
    """How a proposed schema compares with the gold one; every number is in [0, 1].

    Attributes:
        table_precision: Share of the proposed tables that are gold.
        table_recall: Share of the gold tables that were proposed.
        column_precision: Share of the proposed columns that are gold.
        column_recall: Share of the gold columns that were proposed.
        exact: Whether both sets are equal.
    """

    table_precision: float
    table_recall: float
    column_precision: float
    column_recall: float
    exact: bool

    @property
    def precision(self) -> float:
        """``0.4 · table precision + 0.6 · column precision``."""
        return TABLE_WEIGHT * self.table_precision + COLUMN_WEIGHT * self.column_precision

    @property
    def recall(self) -> float:
        """``0.4 · table recall + 0.6 · column recall``."""
        return TABLE_WEIGHT * self.table_recall + COLUMN_WEIGHT * self.column_recall

    @property
    def f1(self) -> float:
        """``0.4 · table F1 + 0.6 · column F1``."""
        tables = harmonic_mean(self.table_precision, self.table_recall)
        return TABLE_WEIGHT * tables + COLUMN_WEIGHT * harmonic_mean(self.column_precision, self.column_recall)


def harmonic_mean(precision: float, recall: float) -> float:
    """F1 of a precision and a recall; 0 when both are 0."""
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def schema_score(proposed: SchemaSubset | None, gold: SchemaSubset) -> SchemaScore:
    """Compare a proposal with the gold schema.

    An empty gold set is fully recalled, and only an empty proposal is precise about it (``COUNT(*)`` needs no
    column); an empty proposal for a non-empty gold set has precision 0. No proposal scores like an empty one
    but is never exact.

    Args:
        proposed: The last proposal, or ``None`` where there was none.
        gold: Gold schema.
    """
    given = proposed or SchemaSubset()
    return SchemaScore(
        table_precision=_share(given.tables & gold.tables, given.tables, gold.tables),
        table_recall=_share(given.tables & gold.tables, gold.tables, frozenset()),
        column_precision=_share(given.columns & gold.columns, given.columns, gold.columns),
        column_recall=_share(given.columns & gold.columns, gold.columns, frozenset()),
        exact=proposed is not None and proposed == gold,
    )


def _share(shared: frozenset[str], whole: frozenset[str], other: frozenset[str]) -> float:
    if whole:
        return len(shared) / len(whole)
    return 0.0 if other else 1.0


def schema_reward(
    proposed: SchemaSubset | None, gold: SchemaSubset, executed_right: bool, mode: str = "truematch"
) -> float:
    """Schema-track reward of an episode, in [0, 1].

    * ``truematch`` (the paper's setting): 1 iff tables and columns both match exactly and the final result
      was right.
    * ``totalmatch``: 1 iff both match exactly.
    * ``recall_then_precision_strict``: for a right final result and full recall of tables and columns, the
      weighted precision ``0.4 · tables + 0.6 · columns`` in buckets (≥ 1 → 1, ≥ .9 → .8, ≥ .8 → .6, ≥ .7 →
      .4, ≥ .6 → .2, else .1); otherwise 0.

    Args:
        proposed: The last valid proposal, or ``None``.
        gold: Gold schema.
        executed_right: Whether ``R_exec = 1``.
        mode: One of :data:`SCHEMA_MODES`.

    Raises:
        ConfigurationError: For any other mode; the published code silently gives zero there.
    """
    check_choice("schema_mode", mode, SCHEMA_MODES)
    if proposed is None or (not executed_right and mode != "totalmatch"):
        return 0.0
    score = schema_score(proposed, gold)
    if mode != "recall_then_precision_strict":
        return float(score.exact)
    if score.table_recall < 1.0 or score.column_recall < 1.0:
        return 0.0
    # 0.4 · 1 + 0.6 · 1 must reach the bucket of 1, which the sum in floating point may miss by one unit.
    precision = round(score.precision, 12)
    return next((reward for bound, reward in _PRECISION_BUCKETS if precision >= bound), _LOWEST_BUCKET)
