"""Explanation: which policies moved, what they weigh, and on how much evidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fogline.simulators.merchants.attributes import attribute_values
from fogline.simulators.merchants.policies import Policy
from fogline.simulators.merchants.strategies import LOGGED, Strategy
from fogline.simulators.merchants.what_if import what_if

if TYPE_CHECKING:
    from fogline.simulators.merchants.pghs import PGHS


@dataclass(frozen=True)
class PolicyMove:
    """What one policy has to do with a change.

    Attributes:
        policy: The policy.
        share: Of the merchant's trajectories that follow it.
        uplift: Its part of the change, in orders per trajectory; None where there is no answer.
        weighed: Attributes that the strategy moves and this policy weighs: name, mean change in its unit, weight.
    """

    policy: Policy
    share: float
    uplift: float | None
    weighed: tuple[tuple[str, float, float], ...]


@dataclass(frozen=True)
class Explanation:
    """Why a merchant's orders would change.

    Attributes:
        merchant: Which.
        strategy: What is changed.
        level: Orders per trajectory under it; None where there is no answer.
        uplift: Change from what was logged.
        interval: Of the change.
        support: Share of changed rows that the log has seen the like of.
        moves: Policies, the one that moves most first.
        warnings: What to know before believing it.
    """

    merchant: str
    strategy: Strategy
    level: float | None
    uplift: float | None
    interval: tuple[float, float] | None
    support: float
    moves: tuple[PolicyMove, ...]
    warnings: str

    def lines(self) -> list[str]:
        """For a reader."""
        if self.level is None or self.uplift is None or self.interval is None:
            return [f"{self.merchant}, {self.strategy.name}: cannot say; {self.warnings}"]
        low, high = self.interval
        head = (
            f"{self.merchant}, {self.strategy.name}: {self.level:.1%} order, {100 * self.uplift:+.1f} points "
            f"({100 * low:+.1f} … {100 * high:+.1f}); support {self.support:.0%}"
        )
        return [head, *([f"  {self.warnings}"] if self.warnings else []), *map(_line, self.moves)]


def _line(move: PolicyMove) -> str:
    policy = move.policy
    weighed = ", ".join(f"{name} {change:+.2g} at weight {weight:+.2g}" for name, change, weight in move.weighed)
    follows = "not fitted" if policy.sensitivity is None else f"{policy.sensitivity:.2f}"
    part = 0.0 if move.uplift is None else move.uplift
    return (
        f"  {policy.name}: {100 * part:+.2f} points; {move.share:.0%} of trajectories, follows the reasoner {follows}, "
        f"evidence n = {policy.support_n:,.0f} at {policy.merchants_n} merchants"
        + (f"; weighs {weighed}" if weighed else "; weighs nothing of this")
    )


def explain(model: PGHS, table: pd.DataFrame, strategy: Strategy) -> Explanation:
    """Explain one merchant's rows; see :meth:`~fogline.simulators.merchants.pghs.PGHS.explain`."""
    answer = what_if(model, table, [strategy], baseline=LOGGED).table.iloc[0]
    known = answer["answer"] == "estimate"
    share = model.policy_library.membership(table).mean(axis=0)
    before, after = (attribute_values(table, view) for view in (table, strategy.apply(table)))
    changes = {name: float((after[name] - before[name]).mean()) for name in after if name in before}
    changes |= {name: float(after[name].mean()) for name in after if name not in before}
    moves = [
        PolicyMove(
            policy,
            float(part),
            float(answer[f"policy:{policy.name}"]) if known else None,
            tuple(
                (item.attribute, changes[item.attribute], item.direction * item.weight)
                for item in policy.priorities
                if abs(changes.get(item.attribute, 0.0)) > 1e-12
            ),
        )
        for policy, part in zip(model.policy_library.policies, share, strict=True)
    ]
    moves.sort(key=lambda move: -abs(move.uplift or 0.0))
    interval = (float(answer["uplift_low"]), float(answer["uplift_high"]))
    return Explanation(
        merchant=str(answer["merchant_id"]),
        strategy=strategy,
        level=float(answer["level"]) if known else None,
        uplift=float(answer["uplift"]) if known else None,
        interval=interval if known and not np.isnan(interval[0]) else ((np.nan, np.nan) if known else None),
        support=float(answer["support"]),
        moves=tuple(moves),
        warnings=str(answer["warnings"]),
    )
