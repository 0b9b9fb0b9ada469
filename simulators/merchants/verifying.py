"""Does a policy transfer? Tested on merchants that had no part in it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fogline.simulators.merchants.cards import numeric_fields
from fogline.simulators.merchants.logs import merchant_codes, ordered

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]

FOLDS = 5
LEAST_ROWS = 15
"""Rows on either side of a policy's rule that make a merchant a test of it."""
MOST_ROWS = 200
"""Rows up to which a merchant counts."""
CHANCE = 1.645
"""Standard errors that chance may excuse: one-sided, 95 %."""
_EDGE = 1e-6
_RIDGE = 0.01


@dataclass(frozen=True)
class Verdict:
    """What became of one cluster.

    Attributes:
        cluster: Its number.
        gain: Log-loss of the base rate less that of its rule, on merchants left out, in nats per row.
        gain_error: Its standard error, merchants being the units.
        holds_in: Share of left-out merchants in which those whom the rule favours ordered more; None where no
            merchant has enough rows.
        merchants: How many had enough.
        kept: Whether it stays a policy of its own.
        reason: Why not.
    """

    cluster: int
    gain: float
    gain_error: float
    holds_in: float | None
    merchants: int
    kept: bool
    reason: str = ""


def verify(
    rows: pd.DataFrame,
    membership: Floats,
    labels: NDArray[np.int64],
    least_merchants: float,
    most_correlation: float,
    strict: bool = False,
) -> tuple[list[list[int]], tuple[Verdict, ...]]:
    """Test each cluster's rule on merchants that were left out, and merge clusters that say the same.

    A cluster goes when the data speak against it: its rule predicts worse than the base rate, or holds in too few
    merchants, and chance is no excuse (one-sided, 95 %). With a few dozen merchants the bare numbers scatter so widely
    that they would throw out policies that are true. ``strict`` judges by the bare numbers.

    Args:
        rows: Training rows.
        membership: q; float64 [n, K].
        labels: Cluster of each row; int64 [n].
        least_merchants: Share of merchants in which a rule must hold.
        most_correlation: Correlation of predictions from which two clusters are one.
        strict: Whether chance excuses nothing.

    Returns:
        Groups of clusters that become one policy each; and what became of every cluster. Where no cluster passes, all
        become one.
    """
    predicted = _left_out(rows, labels, membership.shape[1])
    verdicts = []
    for cluster in range(membership.shape[1]):
        gain, error, holds, merchants = _tested(rows, labels == cluster, predicted[:, cluster])
        slack = 0.0 if strict else CHANCE
        reason = ""
        if gain + slack * error <= 0:
            reason = "predicts no better than the base rate on merchants left out"
        elif holds is not None and holds + slack * _share_error(holds, merchants) < least_merchants:
            reason = f"holds in {holds:.0%} of {merchants} merchants left out: expected {least_merchants:.0%}"
        verdicts.append(Verdict(cluster, gain, error, holds, merchants, not reason, reason))
    kept = [entry.cluster for entry in verdicts if entry.kept]
    if not kept:
        everything = list(range(membership.shape[1]))
        return [everything], tuple(verdicts)
    groups = _merge(kept, predicted, labels, most_correlation)
    merged = {member: group[0] for group in groups for member in group[1:]}
    return groups, tuple(
        replace(entry, kept=False, reason=f"says the same as cluster {merged[entry.cluster]}")
        if entry.cluster in merged
        else entry
        for entry in verdicts
    )


def _left_out(rows: pd.DataFrame, labels: NDArray[np.int64], count: int) -> Floats:
    """Every cluster's rule for every row, learned on other merchants; float64 [n, K]."""
    fields, _ = numeric_fields(rows, "merchant", "user", "context")
    orders = ordered(rows)
    codes, _ = merchant_codes(rows)
    fold = codes % FOLDS
    predicted = np.full((len(rows), count), orders.mean())
    for held in range(FOLDS):
        for cluster in range(count):
            learn = (fold != held) & (labels == cluster)
            if learn.any() and not (orders[learn].all() or not orders[learn].any()):
                rule = make_pipeline(StandardScaler(), LogisticRegression(C=_RIDGE, random_state=0))
                predicted[fold == held, cluster] = rule.fit(fields[learn], orders[learn]).predict_proba(
                    fields[fold == held]
                )[:, 1]
    return predicted


def _tested(rows: pd.DataFrame, inside: NDArray[np.bool_], predicted: Floats) -> tuple[float, float, float | None, int]:
    """Gain and its error, share of merchants in which the rule holds, and of how many."""
    orders, (codes, ids) = ordered(rows), merchant_codes(rows)
    fold = codes % FOLDS
    base = np.empty(len(rows))
    for held in range(FOLDS):
        base[fold == held] = orders[fold != held].mean() if (fold != held).any() else orders.mean()
    gained = _loss(orders[inside], base[inside]) - _loss(orders[inside], predicted[inside])
    # No merchant counts for more than some hundred rows: one giant would decide alone.
    count = np.bincount(codes[inside], minlength=len(ids))
    weight = np.minimum(1.0, MOST_ROWS / np.maximum(count, 1))[codes[inside]]
    gain = float(np.average(gained, weights=weight))
    by_merchant = np.bincount(codes[inside], weight * (gained - gain), minlength=len(ids))
    error = float(np.sqrt((by_merchant**2).sum()) / weight.sum())
    favoured = predicted > np.median(predicted[inside])
    sums = [
        (np.bincount(codes[part], orders[part], minlength=len(ids)), np.bincount(codes[part], minlength=len(ids)))
        for part in (inside & favoured, inside & ~favoured)
    ]
    enough = (sums[0][1] >= LEAST_ROWS) & (sums[1][1] >= LEAST_ROWS)
    if not enough.any():
        return gain, error, None, 0
    high, low = (total[enough] / count[enough] for total, count in sums)
    return gain, error, float((high >= low).mean()), int(enough.sum())


def _share_error(share: float, trials: int) -> float:
    """Standard error of a share, one success and one failure added (Agresti and Coull's way)."""
    eased = (share * trials + 1) / (trials + 2)
    return float(np.sqrt(eased * (1 - eased) / trials))


def _loss(orders: NDArray[np.bool_], rate: Floats) -> Floats:
    rate = np.clip(rate, _EDGE, 1 - _EDGE)
    found: Floats = -np.where(orders, np.log(rate), np.log(1 - rate))
    return found


def _merge(kept: list[int], predicted: Floats, labels: NDArray[np.int64], most_correlation: float) -> list[list[int]]:
    """Group clusters whose rules correlate, over the rows of both; each joins the first group that has one like it."""
    groups: list[list[int]] = []
    for cluster in kept:
        for group in groups:
            if any(_alike(predicted, labels, cluster, other) > most_correlation for other in group):
                group.append(cluster)
                break
        else:
            groups.append([cluster])
    return groups


def _alike(predicted: Floats, labels: NDArray[np.int64], one: int, other: int) -> float:
    rows = (labels == one) | (labels == other)
    pair = predicted[rows][:, [one, other]]
    if (pair.std(axis=0) == 0).any():
        return 0.0
    return float(np.corrcoef(pair.T)[0, 1])
