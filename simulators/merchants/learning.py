"""Learning a what-if model from a log, in the order of the method.

Mine the policies; let the reasoner score what was shown; anchor its scores to what people did; fit the other branch on
the same policies; see how the two are best mixed, and how sure one can be of the level.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fogline.core.errors import DataError
from fogline.simulators.merchants.anchors import Anchors, fit_anchors, overall_slope
from fogline.simulators.merchants.branches import BranchModel, Floats, Groups, Replicate
from fogline.simulators.merchants.config import PGHSConfig
from fogline.simulators.merchants.fitting import FittingBranch
from fogline.simulators.merchants.levels import LevelModel, between_merchants
from fogline.simulators.merchants.logs import (
    CALIBRATE,
    TEST,
    TRAIN,
    Log,
    high_intent,
    merchant_codes,
    ordered,
    time_split,
)
from fogline.simulators.merchants.mining import MiningReport, mine
from fogline.simulators.merchants.policies import PolicyLibrary
from fogline.simulators.merchants.reasoning import Reasoner, RuleReasoner
from fogline.simulators.merchants.resampling import cluster_weights
from fogline.simulators.merchants.strategies import LOGGED
from fogline.simulators.merchants.support import SupportReference

if TYPE_CHECKING:
    import pandas as pd

LEAST_TRAJECTORIES = 200
"""Fewer training rows are no log to learn policies from."""


@dataclass(frozen=True)
class FitReport:
    """What fitting found, for a reader.

    Attributes:
        merchants: In the log.
        rows: Used, by window.
        mining: How the policies were found.
        sensitivity: λ of each policy by name: 1 believes the reasoner, 0 is pure habit.
        silent: Whether no policy follows the reasoner at all.
        slope: How far people follow the reasoner altogether; may be negative.
        slope_error: Its standard error.
        pool_alpha: Weight of the fitting branch in the pool.
        optimal_alpha: The same by Bates and Granger; None where the errors say nothing.
        between: What merchants differ by, unexplained by the reasoning branch: standard deviation in logits.
        log: Notes of the log's loading.
    """

    merchants: int
    rows: Mapping[str, int]
    mining: MiningReport
    sensitivity: Mapping[str, float]
    silent: bool
    slope: float
    slope_error: float
    pool_alpha: float
    optimal_alpha: float | None
    between: float
    log: tuple[str, ...]

    @property
    def doubtful(self) -> bool:
        """Whether the slope is not above 0 beyond chance (one-sided, 95 %): the reasoner may point the wrong way."""
        return self.slope - 1.645 * self.slope_error <= 0


class Learned(NamedTuple):
    """Everything that a log teaches; see :class:`~fogline.simulators.merchants.pghs.PGHS`."""

    log: Log
    branches: BranchModel
    levels: LevelModel
    support: SupportReference
    report: FitReport


def learn(log: Log, config: PGHSConfig, reasoner: Reasoner, given: PolicyLibrary | None) -> Learned:
    """Learn; see :meth:`~fogline.simulators.merchants.pghs.PGHS.fit`.

    Args:
        log: Checked trajectories.
        config: Options.
        reasoner: Who reasons.
        given: Policies to use instead of mining them.

    Raises:
        DataError: For a log that is too small, or has no orders, or nothing but orders.
    """
    table = usable(log, config)
    windows = time_split(table)
    library, mining = _policies(table[windows == TRAIN].reset_index(drop=True), config, given)
    learned, compared = learning_rows(table, windows)
    rows = _Rows.of(learned, library, reasoner)
    anchors = rows.anchors(config)
    library = library.with_sensitivity(anchors.sensitivity)
    membership = library.membership(table)
    fitting = FittingBranch.fit(
        table,
        membership,
        anchors.mixed_rate(membership),
        windows=windows,
        config=config.fitting,
        seed=config.seed,
        library=library,
    )
    replicates = rows.replicates(config, reasoner, library, anchors)
    branches = BranchModel(library, reasoner, anchors, fitting, replicates, plain=not config.guided)
    levels = _levels(table[windows == TRAIN], compared, branches, rows)
    report = _report(log, table, windows, mining, rows, branches, levels)
    return Learned(replace(log, table=table), branches, levels, SupportReference.of(rows.table), report)


def learning_rows(table: pd.DataFrame, windows: NDArray[np.int8]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows on which the reasoner is anchored, and of them those on which the branches are mixed."""
    learned, compared = table[windows != TEST], table[windows == CALIBRATE]
    return learned.reset_index(drop=True), compared.reset_index(drop=True)


def _levels(train: pd.DataFrame, compared: pd.DataFrame, branches: BranchModel, rows: _Rows) -> LevelModel:
    """How the branches are mixed, on the calibration window; and what merchants differ by."""
    calibration = branches.prepare(compared)
    learned = Groups.of(rows.table)
    trained = Groups.of(train)
    return LevelModel.fit(
        branches.answer(calibration, replicated=False),
        calibration.groups.mean(ordered(calibration.table).astype(np.float64)),
        calibration.groups.count,
        between_merchants(
            learned.mean(branches.anchors.predict(rows.membership, rows.scores)),
            learned.mean(rows.orders.astype(np.float64)),
            learned.count,
        ),
        dict(zip(trained.ids, trained.count.tolist(), strict=True)),
    )


def _report(
    log: Log,
    table: pd.DataFrame,
    windows: NDArray[np.int8],
    mining: MiningReport,
    rows: _Rows,
    branches: BranchModel,
    levels: LevelModel,
) -> FitReport:
    slope, slope_error = rows.slope()
    sensitivity = branches.anchors.sensitivity.tolist()
    return FitReport(
        merchants=table["merchant_id"].nunique(),
        rows={name: int((windows == code).sum()) for name, code in _WINDOWS.items()},
        mining=mining,
        sensitivity=dict(zip(branches.policy_library.names, sensitivity, strict=True)),
        silent=branches.anchors.silent,
        slope=slope,
        slope_error=slope_error,
        pool_alpha=levels.pool_alpha,
        optimal_alpha=levels.optimal_alpha,
        between=levels.between,
        log=tuple(log.report.lines()),
    )


_WINDOWS = {"train": TRAIN, "calibrate": CALIBRATE, "test": TEST}


@dataclass(frozen=True)
class _Rows:
    """The rows that anchors are fitted on, those of the training and the calibration window."""

    table: pd.DataFrame
    membership: Floats
    scores: Floats
    orders: NDArray[np.bool_]
    codes: NDArray[np.int64]
    merchants: int

    @classmethod
    def of(cls, table: pd.DataFrame, library: PolicyLibrary, reasoner: Reasoner) -> _Rows:
        codes, ids = merchant_codes(table)
        scores = reasoner.score(table, library, LOGGED)
        return cls(table, library.membership(table), scores, ordered(table), codes, len(ids))

    def anchors(self, config: PGHSConfig) -> Anchors:
        return self._fit(config, self.scores)

    def slope(self) -> tuple[float, float]:
        return overall_slope(self.membership, self.scores, self.orders, self.codes, self.merchants)

    def replicates(
        self, config: PGHSConfig, reasoner: Reasoner, library: PolicyLibrary, start: Anchors
    ) -> tuple[Replicate, ...]:
        """Refits: merchants resampled, and where the reasoner has weights, those drawn anew."""
        if not config.replicates:
            return ()
        drawn = cluster_weights(self.merchants, config.replicates, config.seed)
        seeds = np.random.SeedSequence(config.seed, spawn_key=(1,)).spawn(config.replicates)
        values = reasoner.values(self.table, LOGGED) if isinstance(reasoner, RuleReasoner) else None
        found = []
        for weights, seed in zip(drawn, seeds, strict=True):
            other = reasoner.perturbed(np.random.default_rng(seed))
            scores = self.scores
            if values is not None and isinstance(other, RuleReasoner):
                scores = other.score_values(values, library)
            found.append(Replicate(self._fit(config, scores, weights[self.codes], start), other))
        return tuple(found)

    def _fit(
        self, config: PGHSConfig, scores: Floats, weights: Floats | None = None, start: Anchors | None = None
    ) -> Anchors:
        return fit_anchors(
            self.membership,
            scores,
            self.orders,
            self.codes,
            self.merchants,
            merchant_effects=config.merchant_effects,
            weights=weights,
            start=start,
        )


def usable(log: Log, config: PGHSConfig, least: int = LEAST_TRAJECTORIES) -> pd.DataFrame:
    """Rows of a log that a model is about.

    Raises:
        DataError: For fewer than ``least``; and of a log to learn from, for no orders or nothing but orders.
    """
    table = log.table
    if config.high_intent and config.fitting.target != "funnel":
        table = table[high_intent(table)].reset_index(drop=True)
    if len(table) < least:
        raise DataError(
            f"the log has {len(table)} trajectories that reached 'engage': expected at least {least}; "
            "log more, or fit with high_intent=False."
        )
    orders = int(ordered(table).sum())
    if least == LEAST_TRAJECTORIES and orders in (0, len(table)):
        raise DataError(
            f"{orders} of {len(table)} trajectories ended in an order: expected some that did and some that did not; "
            "check the column 'outcome'."
        )
    return table


def _policies(
    table: pd.DataFrame, config: PGHSConfig, library: PolicyLibrary | None
) -> tuple[PolicyLibrary, MiningReport]:
    if library is None:
        library, report = mine(table, seed=config.seed, config=config.mining)
    else:
        report = MiningReport(given=True)
    if config.policies == "pooled":
        return library.pooled(), report
    return (library.shuffled(config.seed) if config.policies == "shuffled" else library), report
