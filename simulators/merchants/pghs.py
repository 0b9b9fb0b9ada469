"""PGHS: what would this merchant's orders be if it changed the discount, the delivery time, the badge?

Policy-guided hybrid simulation, after arXiv 2604.15190; an implementation of the idea, of which the abstract alone is
known. In the order of the method: decision policies are mined from logged trajectories; a reasoning branch and a
fitting branch both read them; a joint fit anchors the reasoner to what people really did; the two are fused merchant
by merchant, the level from the log and the change from the guided reasoner.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fogline.core.engine import Engine
from fogline.core.errors import ConfigurationError, DataError, check_choice, suggestion
from fogline.simulators.merchants.anchors import Anchors, fit_anchors, overall_slope
from fogline.simulators.merchants.branches import BranchModel, Floats, Groups, Replicate
from fogline.simulators.merchants.config import PGHSConfig
from fogline.simulators.merchants.diagnosing import Diagnosis, diagnose
from fogline.simulators.merchants.evaluating import Evaluation, evaluate
from fogline.simulators.merchants.explaining import Explanation, explain
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
from fogline.simulators.merchants.ranking import Objective, Ranking, rank
from fogline.simulators.merchants.reasoning import Reasoner, RuleReasoner
from fogline.simulators.merchants.resampling import cluster_weights
from fogline.simulators.merchants.saving import load, save
from fogline.simulators.merchants.strategies import LOGGED, Strategy, check_names
from fogline.simulators.merchants.support import SupportReference
from fogline.simulators.merchants.what_if import WhatIf, what_if

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


@dataclass(frozen=True)
class PGHS:
    """A fitted what-if model.

    Make one with :meth:`fit` or :meth:`load`.

    Attributes:
        config: Options it was fitted with.
        log: The trajectories it was fitted on.
        branches: Both branches and the policies that they share.
        levels: How the branches are mixed.
        support: What the log has seen of each lever.
        report: What fitting found.
    """

    config: PGHSConfig
    log: Log
    branches: BranchModel
    levels: LevelModel
    support: SupportReference
    report: FitReport

    @property
    def policy_library(self) -> PolicyLibrary:
        """The mined policies."""
        return self.branches.policy_library

    @classmethod
    def fit(
        cls,
        log: Log,
        config: PGHSConfig | None = None,
        *,
        reasoner: Reasoner | None = None,
        library: PolicyLibrary | None = None,
    ) -> PGHS:
        """Fit on a log: 60 % of each merchant's time to train, 15 % to calibrate, the rest is kept for evaluation.

        Args:
            log: Checked trajectories.
            config: Options.
            reasoner: Who reasons; a :class:`~fogline.simulators.merchants.reasoning.RuleReasoner` by default.
            library: Policies to use instead of mining them, an edited library for one.

        Raises:
            ConfigurationError: For options that do not go together.
            DataError: For a log that is too small, or has no orders, or nothing but orders.
        """
        config = config or PGHSConfig()
        table = _usable(log, config)
        windows = time_split(table)
        learning = windows != TEST
        library, mining = _policies(table[windows == TRAIN].reset_index(drop=True), config, library)
        reasoner = reasoner or RuleReasoner()
        membership = library.membership(table)
        scores = reasoner.score(table, library, LOGGED)
        codes, ids = merchant_codes(table)
        orders = ordered(table)
        fit = _AnchorFit(config, membership[learning], scores[learning], orders[learning], codes[learning], len(ids))
        anchors = fit.all()
        library = library.with_sensitivity(anchors.sensitivity)
        rate = BranchModel(library, reasoner, anchors, None).anchor_rate(membership)  # type: ignore[arg-type]
        fitting = FittingBranch.fit(
            table, membership, rate, windows=windows, config=config.fitting, seed=config.seed, library=library
        )
        branches = BranchModel(
            library,
            reasoner,
            anchors,
            fitting,
            fit.replicates(reasoner, table[learning].reset_index(drop=True), library, anchors),
            plain=not config.guided,
        )
        calibration = branches.prepare(table[windows == CALIBRATE].reset_index(drop=True))
        observed = calibration.groups.mean(ordered(calibration.table).astype(np.float64))
        learned = Groups.of(table[learning].reset_index(drop=True))
        levels = LevelModel.fit(
            branches.answer(calibration, replicated=False),
            observed,
            calibration.groups.count,
            between_merchants(
                learned.mean(anchors.predict(membership[learning], scores[learning])),
                learned.mean(orders[learning].astype(np.float64)),
                learned.count,
            ),
            dict(zip(ids, np.bincount(codes[windows == TRAIN], minlength=len(ids)).tolist(), strict=True)),
        )
        slope, slope_error = overall_slope(
            membership[learning], scores[learning], orders[learning], codes[learning], len(ids)
        )
        report = FitReport(
            merchants=len(ids),
            rows={name: int((windows == code).sum()) for name, code in _WINDOWS.items()},
            mining=mining,
            sensitivity=dict(
                zip((policy.name for policy in library.policies), anchors.sensitivity.tolist(), strict=True)
            ),
            silent=anchors.silent,
            slope=slope,
            slope_error=slope_error,
            pool_alpha=levels.pool_alpha,
            optimal_alpha=levels.optimal_alpha,
            between=levels.between,
            log=tuple(log.report.lines()),
        )
        return cls(config, replace(log, table=table), branches, levels, SupportReference.of(table[learning]), report)

    # Questions

    def rows(self, window: Window = "recent", merchants: Sequence[str] | None = None) -> pd.DataFrame:
        """Trajectories of the log that answers are about.

        Args:
            window: ``recent`` (the last quarter of each merchant's time) or ``all``.
            merchants: Which; all by default.

        Raises:
            ConfigurationError: For an unknown window or merchant.
        """
        check_choice("window", window, ("recent", "all"))
        table = self.log.table
        keep = time_split(table) == TEST if window == "recent" else np.ones(len(table), dtype=bool)
        if merchants is not None:
            known = set(table["merchant_id"])
            for name in merchants:
                if name not in known:
                    raise ConfigurationError(
                        f"merchant {name!r} is not in the log of {len(known):,}.{suggestion(name, sorted(known))}"
                    )
            keep &= table["merchant_id"].isin(merchants).to_numpy()
        return table[keep].reset_index(drop=True)

    def what_if(
        self,
        strategies: Sequence[Strategy],
        *,
        merchants: Sequence[str] | None = None,
        baseline: Strategy = LOGGED,
        window: Window = "recent",
        log: Log | None = None,
        engine: Engine | None = None,
    ) -> WhatIf:
        """What would orders be under each strategy, and how do they differ from the baseline?

        Args:
            strategies: At least one, each with its own name.
            merchants: Which; all by default.
            baseline: What changes are counted from; as logged by default.
            window: Which trajectories: ``recent`` or ``all``.
            log: Other trajectories than those of the fit; merchants may be new. ``window`` does not apply.
            engine: Where to work; here by default.

        Raises:
            ConfigurationError: For strategies that do not fit the log, or unknown merchants.
        """
        check_names(strategies)
        table = self.rows(window, merchants) if log is None else _usable(log, self.config, least=1)
        return what_if(self, table, strategies, baseline, engine=engine)

    def rank(
        self,
        strategies: Sequence[Strategy],
        *,
        objective: Objective = "profit",
        budget: float | None = None,
        margin: float = 0.35,
        **options: Any,
    ) -> Ranking:
        """Which strategy for all, and which for whom, within a budget.

        Args:
            strategies: Candidates; doing nothing is always one.
            objective: ``orders``, ``revenue`` or ``profit`` (margin on revenue, less costs), over the window.
            budget: Most that all merchants together may spend, in price levels; None for no limit.
            margin: Share of revenue that is profit.
            options: Of :meth:`what_if`.
        """
        return rank(self.what_if(strategies, **options), objective, budget, margin)

    def explain(self, merchant: str, strategy: Strategy, *, window: Window = "recent") -> Explanation:
        """Why a merchant's orders would change: policies, what they weigh, and how much evidence each has."""
        return explain(self, self.rows(window, [merchant]), strategy)

    def diagnose(self, merchant: str, *, window: Window = "all") -> Diagnosis:
        """Where a merchant loses people, by stage and policy, beside others of its category."""
        return diagnose(self, self.rows(window), merchant)

    def evaluate(self, *, seed: int = 0) -> Evaluation:
        """How far the simulation is from what happened in the recent window, which no part of it was fitted on."""
        return evaluate(self, seed=seed)

    # As a folder

    def save(self, folder: str | Path) -> None:
        """Write the model: options, policies, anchors, trees, and the log."""
        save(self, Path(folder))

    @classmethod
    def load(cls, folder: str | Path, *, reasoner: Reasoner | None = None) -> PGHS:
        """Read a model.

        Args:
            folder: That :meth:`save` wrote.
            reasoner: The one that it was fitted with, if that was no rule.

        Raises:
            DataError: For a folder that holds no model, or a model of another reasoner.
        """
        return load(Path(folder), reasoner)


Window = Literal["recent", "all"]

_WINDOWS = {"train": TRAIN, "calibrate": CALIBRATE, "test": TEST}


@dataclass(frozen=True)
class _AnchorFit:
    """The joint fit of anchors and sensitivities, and its refits on resampled merchants."""

    config: PGHSConfig
    membership: Floats
    scores: Floats
    orders: np.ndarray[Any, np.dtype[np.bool_]]
    codes: np.ndarray[Any, np.dtype[np.int64]]
    merchants: int

    def all(self) -> Anchors:
        return self._fit(self.scores)

    def replicates(
        self, reasoner: Reasoner, table: pd.DataFrame, library: PolicyLibrary, start: Anchors
    ) -> tuple[Replicate, ...]:
        if not self.config.replicates or not self.config.anchors:
            return ()
        drawn = cluster_weights(self.merchants, self.config.replicates, self.config.seed)
        seeds = np.random.SeedSequence(self.config.seed, spawn_key=(1,)).spawn(self.config.replicates)
        values = reasoner.values(table, LOGGED) if isinstance(reasoner, RuleReasoner) else None
        found = []
        for weights, seed in zip(drawn, seeds, strict=True):
            other = reasoner.perturbed(np.random.default_rng(seed))
            scores = self.scores
            if values is not None and isinstance(other, RuleReasoner):
                scores = other.score_values(values, library)
            found.append(Replicate(self._fit(scores, weights[self.codes], start), other))
        return tuple(found)

    def _fit(self, scores: Floats, weights: Floats | None = None, start: Anchors | None = None) -> Anchors:
        return fit_anchors(
            self.membership,
            scores,
            self.orders,
            self.codes,
            self.merchants,
            merchant_effects=self.config.merchant_effects,
            weights=weights,
            start=start,
        )


def _usable(log: Log, config: PGHSConfig, least: int = LEAST_TRAJECTORIES) -> pd.DataFrame:
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
