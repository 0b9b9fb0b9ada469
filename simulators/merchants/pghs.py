"""PGHS: what would this merchant's orders be if it changed the discount, the delivery time, the badge?

Policy-guided hybrid simulation, after arXiv 2604.15190; an implementation of the idea, of which the abstract alone is
known. In the order of the method: decision policies are mined from logged trajectories; a reasoning branch and a
fitting branch both read them; a joint fit anchors the reasoner to what people really did; the two are fused merchant
by merchant, the level from the log and the change from the guided reasoner.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fogline.core.engine import Engine
from fogline.core.errors import ConfigurationError, check_choice, suggestion
from fogline.simulators.merchants.branches import BranchModel
from fogline.simulators.merchants.config import PGHSConfig
from fogline.simulators.merchants.diagnosing import Diagnosis, diagnose
from fogline.simulators.merchants.evaluating import Evaluation, evaluate
from fogline.simulators.merchants.explaining import Explanation, explain
from fogline.simulators.merchants.learning import FitReport, learn, usable
from fogline.simulators.merchants.levels import LevelModel
from fogline.simulators.merchants.logs import (
    TEST,
    Log,
    time_split,
)
from fogline.simulators.merchants.policies import PolicyLibrary
from fogline.simulators.merchants.ranking import Objective, Ranking, rank
from fogline.simulators.merchants.reasoning import Reasoner, RuleReasoner
from fogline.simulators.merchants.saving import load, save
from fogline.simulators.merchants.strategies import LOGGED, Strategy, check_names
from fogline.simulators.merchants.support import SupportReference
from fogline.simulators.merchants.what_if import WhatIf, what_if

if TYPE_CHECKING:
    import pandas as pd


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
        return cls(config, *learn(log, config, reasoner or RuleReasoner(), library))

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
        table = self.rows(window, merchants) if log is None else usable(log, self.config, least=1)
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
