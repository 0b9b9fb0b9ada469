"""Text-to-SQL metrics exactly as their evaluators compute them. Source: TRUST-SQL specification, section 20.

All functions over questions take one entry per question and return a percentage (0 to 100, VES above it when
predictions are faster than gold) or a share in [0, 1], as each says. Confidence intervals are the benchmarks'
business.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from fogline.core.errors import ConfigurationError
from fogline.simulators.databases.comparators import compare, complete
from fogline.simulators.databases.gold_schema import IdentifiersUsed
from fogline.simulators.databases.records import QueryLimits, QueryResult, Row, SchemaSubset
from fogline.simulators.databases.schema_scores import harmonic_mean, schema_score

_OUTLIER_DEVIATIONS = 3.0
_R_VES_POINTS = ((2.0, 1.25), (1.0, 1.0), (0.5, 0.75), (0.25, 0.5))
_R_VES_LOWEST = 0.25


class Executor(Protocol):
    """What this module needs of ``Database``."""

    def execute(self, sql: str, limits: QueryLimits | None = None) -> QueryResult:
        """Run one statement."""
        ...


def _percentage(values: Sequence[float], what: str) -> float:
    if not values:
        raise ConfigurationError(f"{what} of no questions is undefined: expected at least one.")
    return 100.0 * math.fsum(values) / len(values)


def execution_accuracy(correct: Sequence[bool]) -> float:
    """EX in percent: share of right answers, by ``compare(…, "bird")`` for the EX of BIRD."""
    return _percentage([float(value) for value in correct], "execution accuracy")


def _paired(correct: Sequence[bool], ratios: Sequence[float | None], points: bool) -> list[float]:
    if len(correct) != len(ratios):
        raise ConfigurationError(
            f"{len(correct)} verdicts and {len(ratios)} time ratios: expected one ratio per question."
        )
    values = []
    for position, (right, ratio) in enumerate(zip(correct, ratios, strict=True)):
        if not right:
            values.append(0.0)
            continue
        if ratio is None or not ratio > 0:
            raise ConfigurationError(
                f"question {position} is right but its time ratio is {ratio!r}: "
                "expected gold time / predicted time > 0."
            )
        values.append(math.sqrt(r_ves_points(ratio) if points else ratio))
    return values


def ves(correct: Sequence[bool], ratios: Sequence[float | None]) -> float:
    """Valid efficiency score of BIRD: ``100/N · Σ sqrt(τ)`` over right answers, wrong ones counting 0.

    Args:
        correct: Whether each prediction is right by set equality.
        ratios: ``τ`` = gold time / predicted time of each (:func:`measure_time_ratio`); ignored where wrong.

    Raises:
        ConfigurationError: When lengths differ, or a right answer has no positive ratio.
    """
    return _percentage(_paired(correct, ratios, points=False), "VES")


def r_ves(correct: Sequence[bool], ratios: Sequence[float | None]) -> float:
    """Reward-based VES of BIRD mini-dev: ``100/N · Σ sqrt(points(τ))``; arguments as in :func:`ves`."""
    return _percentage(_paired(correct, ratios, points=True), "R-VES")


def r_ves_points(ratio: float) -> float:
    """Points of a time ratio: ≥ 2 → 1.25, [1, 2) → 1, [.5, 1) → .75, [.25, .5) → .5, below → .25."""
    return next((points for bound, points in _R_VES_POINTS if ratio >= bound), _R_VES_LOWEST)


def measure_time_ratio(
    database: Executor,
    predicted_sql: str,
    gold_sql: str,
    repeats: int = 100,
    limits: QueryLimits | None = None,
) -> float | None:
    """Measure ``τ``: mean of gold time / predicted time over alternating runs, outliers removed.

    Args:
        database: Where both run; the engine's own seconds are compared, the transport is not.
        predicted_sql: A statement already known to be right.
        gold_sql: The gold statement.
        repeats: Pairs of runs; BIRD takes 100.
        limits: Limits per statement; ``None`` for the database's own.

    Returns:
        The ratio, or ``None`` when a run failed, or the results are not set-equal: such a prediction has no
        ratio.
    """
    if repeats < 1:
        raise ConfigurationError(f"repeats={repeats} measures nothing: expected at least 1.")
    ratios = []
    for repeat in range(repeats):
        predicted = database.execute(predicted_sql, limits)
        gold = database.execute(gold_sql, limits)
        if not predicted.ran or not gold.ran or (repeat == 0 and not compare(predicted, gold, "bird")):
            return None
        ratios.append(gold.seconds / max(predicted.seconds, 1e-9))
    return mean_without_outliers(ratios)


def mean_without_outliers(values: Sequence[float]) -> float:
    """Mean of the values within three (population) standard deviations of the mean, bounds included."""
    mean = math.fsum(values) / len(values)
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / len(values))
    kept = [value for value in values if abs(value - mean) <= _OUTLIER_DEVIATIONS * deviation * (1 + 1e-12)]
    return math.fsum(kept) / len(kept)


def soft_f1(predicted: Sequence[Row], gold: Sequence[Row]) -> float:
    """Soft F1 of BIRD mini-dev for one question, in [0, 1].

    Duplicate rows are dropped keeping order and row i is paired with row i. Per gold row: values of the
    predicted row that occur in it, predicted values that do not, and gold values missing from the predicted
    row, each over the gold column count. An unpaired gold row adds 1 to the missing, an unpaired predicted
    row 1 to the superfluous. Both empty gives 1. For a prediction that failed the score is 0: pass no rows
    only where it ran.
    """
    left, right = list(dict.fromkeys(predicted)), list(dict.fromkeys(gold))
    if not left and not right:
        return 1.0
    matched = superfluous = missing = 0.0
    for guess, truth in zip(left, right, strict=False):
        width = len(truth)
        matched += sum(value in truth for value in guess) / width
        superfluous += sum(value not in truth for value in guess) / width
        missing += sum(value not in guess for value in truth) / width
    missing += max(0, len(right) - len(left))
    superfluous += max(0, len(left) - len(right))
    precision = matched / (matched + superfluous) if matched + superfluous else 0.0
    recall = matched / (matched + missing) if matched + missing else 0.0
    return harmonic_mean(precision, recall)


def soft_f1_of(predicted: QueryResult, gold: QueryResult) -> float:
    """:func:`soft_f1` of two results; 0 when either failed, timed out or was truncated."""
    if not (complete(predicted) and complete(gold)):
        return 0.0
    return soft_f1(predicted.rows, gold.rows)


@dataclass(frozen=True, slots=True)
class SchemaMetrics:
    """Means over questions, in [0, 1]; a question without a proposal counts as an empty one.

    Attributes:
        table_precision: Mean table precision.
        table_recall: Mean table recall.
        column_precision: Mean column precision.
        column_recall: Mean column recall.
        precision: Mean of ``0.4 · table + 0.6 · column`` precision.
        recall: The same for recall.
        f1: The same for F1.
        exact: Share of exact matches.
    """

    table_precision: float
    table_recall: float
    column_precision: float
    column_recall: float
    precision: float
    recall: float
    f1: float
    exact: float


def schema_metrics(pairs: Iterable[tuple[SchemaSubset | None, SchemaSubset]]) -> SchemaMetrics:
    """Average the schema scores of (proposed, gold) pairs.

    Raises:
        ConfigurationError: When there is no pair.
    """
    scores = [schema_score(proposed, gold) for proposed, gold in pairs]
    names = SchemaMetrics.__dataclass_fields__
    return SchemaMetrics(
        **{
            name: _percentage([float(getattr(score, name)) for score in scores], "a schema metric") / 100.0
            for name in names
        }
    )


def hallucination_rate(statements: Sequence[IdentifiersUsed]) -> float:
    """Share of readable statements that name a table or column which does not exist.

    Statements that cannot be parsed are left out: they say nothing about names. Their number is the caller's
    to report.

    Raises:
        ConfigurationError: When no statement can be read.
    """
    readable = [float(used.hallucinated) for used in statements if not used.unparseable]
    return _percentage(readable, "the hallucination rate") / 100.0


def ungrounded_rate(ungrounded_names: Sequence[Iterable[str]]) -> float:
    """Share of statements with at least one name never shown to the agent (see ``taxonomy.ungrounded``)."""
    return _percentage([float(any(True for _ in names)) for names in ungrounded_names], "the ungrounded rate") / 100.0
