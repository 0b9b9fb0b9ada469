"""What both branches say of a strategy, merchant by merchant: the group level at which they are fused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from fogline.simulators.merchants.attributes import attribute_values
from fogline.simulators.merchants.logs import merchant_codes
from fogline.simulators.merchants.reasoning import RuleReasoner
from fogline.simulators.merchants.strategies import LOGGED, Strategy

if TYPE_CHECKING:
    import pandas as pd

    from fogline.simulators.merchants.anchors import Anchors
    from fogline.simulators.merchants.fitting import FittingBranch
    from fogline.simulators.merchants.policies import PolicyLibrary
    from fogline.simulators.merchants.reasoning import Reasoner

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Groups:
    """Rows by merchant.

    Attributes:
        ids: Merchants, in order.
        codes: Of each row, an index into ``ids``; int64 [n].
        count: Rows of each merchant; int64 [M].
    """

    ids: tuple[str, ...]
    codes: NDArray[np.int64]
    count: NDArray[np.int64]

    @classmethod
    def of(cls, table: pd.DataFrame) -> Groups:
        """Group the rows of a table by merchant."""
        codes, ids = merchant_codes(table)
        return cls(tuple(ids), codes, np.bincount(codes, minlength=len(ids)))

    def mean(self, values: Floats) -> Floats:
        """Mean of a row's value over each merchant's rows; float64 [M]."""
        return np.bincount(self.codes, values, minlength=len(self.ids)) / self.count


@dataclass(frozen=True)
class Replicate:
    """One refit behind the intervals: other merchants, and where the reasoner has them, other weights."""

    anchors: Anchors
    reasoner: Reasoner | None


@dataclass(frozen=True)
class Branches:
    """Group values of one strategy.

    Attributes:
        reasoning: Of the reasoning branch; float64 [M].
        fitting: Of the fitting branch; float64 [M].
        by_policy: What each policy adds to ``reasoning``; float64 [M, K].
        replicated: ``reasoning`` under each replicate; float64 [B, M].
    """

    reasoning: Floats
    fitting: Floats
    by_policy: Floats
    replicated: Floats


@dataclass(frozen=True)
class BranchModel:
    """The two fitted branches, and what they share.

    Attributes:
        policy_library: The policies.
        reasoner: Scores what was shown.
        anchors: Turn scores into rates, policy by policy.
        fitting: The fitting branch.
        replicates: Refits of the reasoning branch.
        plain: Whether the reasoning branch answers without anchors.
    """

    policy_library: PolicyLibrary
    reasoner: Reasoner
    anchors: Anchors
    fitting: FittingBranch
    replicates: tuple[Replicate, ...] = ()
    plain: bool = False

    def prepare(self, table: pd.DataFrame) -> Prepared:
        """Compute once what no strategy changes."""
        membership = self.policy_library.membership(table)
        return Prepared(table, Groups.of(table), membership, self.anchors.mixed_rate(membership))

    def answer(self, rows: Prepared, strategy: Strategy = LOGGED, *, replicated: bool = True) -> Branches:
        """What both branches say of a strategy.

        Args:
            rows: Of a log.
            strategy: What is changed.
            replicated: Whether the replicates are asked as well.
        """
        after = strategy.apply(rows.table)
        values: dict[str, Floats] = {}
        if isinstance(self.reasoner, RuleReasoner):
            # What is weighed is told once, for this rule and all its replicates.
            values = attribute_values(rows.table, after)
            scores = self.reasoner.score_values(values, self.policy_library)
        else:
            scores = self.reasoner.score(rows.table, self.policy_library, strategy)
        parts = self._parts(rows.membership, scores, self.anchors)
        by_policy = np.stack([rows.groups.mean(part) for part in parts.T], axis=1)
        fitted = self.fitting.predict(after, rows.membership, rows.anchor_rate)
        return Branches(
            reasoning=by_policy.sum(axis=1),
            fitting=rows.groups.mean(fitted),
            by_policy=by_policy,
            replicated=self._replicated(rows, scores, values if replicated else None),
        )

    def _parts(self, membership: Floats, scores: Floats, anchors: Anchors) -> Floats:
        """Each policy's share of every row's rate; float64 [n, K]."""
        logits = scores if self.plain else anchors.intercept + anchors.sensitivity * (scores - anchors.mean_score)
        parts: Floats = membership * expit(logits)
        return parts

    def _replicated(self, rows: Prepared, scores: Floats, values: dict[str, Floats] | None) -> Floats:
        """The reasoning branch by replicate; none where no values are given."""
        replicates = self.replicates if values is not None else ()
        found = np.empty((len(replicates), len(rows.groups.ids)))
        for index, replicate in enumerate(replicates):
            again = scores
            if values and isinstance(replicate.reasoner, RuleReasoner):
                again = replicate.reasoner.score_values(values, self.policy_library)
            found[index] = rows.groups.mean(self._parts(rows.membership, again, replicate.anchors).sum(axis=1))
        return found


@dataclass(frozen=True)
class Prepared:
    """Rows of a log, with what no strategy changes.

    Attributes:
        table: As logged.
        groups: The rows by merchant.
        membership: Of each row in each policy; float64 [n, K].
        anchor_rate: Of each row; float64 [n].
    """

    table: pd.DataFrame
    groups: Groups
    membership: Floats
    anchor_rate: Floats


def chunks(table: pd.DataFrame, most_rows: int) -> Sequence[pd.DataFrame]:
    """Cut a table, sorted by merchant, into pieces of whole merchants; only a larger merchant makes a larger piece."""
    codes, ids = merchant_codes(table)
    ends = np.cumsum(np.bincount(codes, minlength=len(ids)))
    pieces, start = [], 0
    while start < len(table):
        cut = int(np.searchsorted(ends, start + most_rows, side="right"))
        stop = int(ends[cut - 1]) if cut and ends[cut - 1] > start else int(ends[cut])
        pieces.append(table.iloc[start:stop].reset_index(drop=True))
        start = stop
    return pieces
