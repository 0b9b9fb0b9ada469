"""What if: the level and the change of every merchant under every strategy, with intervals, support and cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.special import ndtri

from fogline.core.engine import Engine, InlineEngine
from fogline.core.engine import ordered as in_order
from fogline.simulators.merchants.branches import Branches, Floats, Prepared, chunks
from fogline.simulators.merchants.levels import shifted
from fogline.simulators.merchants.logs import Note
from fogline.simulators.merchants.strategies import LOGGED, Strategy, effective_price
from fogline.simulators.merchants.support import cannot_say, support

if TYPE_CHECKING:
    from fogline.simulators.merchants.pghs import PGHS

MOST_ROWS = 100_000
"""Trajectories that are worked on at once, to bound memory."""

LEAST_ROWS = 5_000
"""Trajectories for which another worker is worth its while."""
_NOISE = 9
"""Points of the normal distribution that stand for the level's error."""
SILENT = "the reasoner carries no signal: the change is 0 by construction"
DOUBTFUL = "what people did does not go with the reasoner's word: do not believe the change"


@dataclass(frozen=True)
class WhatIf:
    """Answers, one row per merchant and strategy.

    Attributes:
        table: Columns ``merchant_id, strategy, trajectories, price, level, level_low, level_high, baseline, uplift,
            uplift_low, uplift_high, reasoning, reasoning_baseline, fitting, fitting_baseline, policy:NAME … (share of
            the change), support, extra_orders, extra_revenue, cost, return_on_cost, answer, warnings``. Rates are
            orders per trajectory; revenue and cost are in price levels, over the trajectories of the window; numbers
            are NaN where ``answer`` is ``cannot say``.
        strategies: That were asked about.
        baseline: What they are compared with.
        confidence: Coverage that the intervals aim at.
        changes: Change over all trajectories with an answer, by strategy and replicate; float64 [S, B].
        notes: What of the trajectories the model had to treat as missing, since it was not there at fit.
    """

    table: pd.DataFrame
    strategies: tuple[Strategy, ...]
    baseline: Strategy
    confidence: float
    changes: Floats
    notes: tuple[Note, ...] = ()

    def totals(self) -> pd.DataFrame:
        """All merchants together: one row per strategy, of those merchants for which there is an answer."""
        tail = (1 - self.confidence) / 2
        found = []
        for strategy, changes in zip(self.strategies, self.changes, strict=True):
            total = _total(strategy.name, self.table[self.table["strategy"] == strategy.name])
            bounds = np.quantile(changes, [tail, 1 - tail]) if len(changes) and total["merchants"] else [np.nan] * 2
            found.append({**total, "uplift_low": float(bounds[0]), "uplift_high": float(bounds[1])})
        return pd.DataFrame(found)


def what_if(
    model: PGHS,
    table: pd.DataFrame,
    strategies: Sequence[Strategy],
    baseline: Strategy,
    *,
    engine: Engine | None = None,
    most_rows: int = MOST_ROWS,
) -> WhatIf:
    """Answer for all merchants of a table; see :meth:`~fogline.simulators.merchants.pghs.PGHS.what_if`."""
    runner = engine or InlineEngine()
    # Answers need no log but the rows that they are about: a model travels to workers without its own.
    light = replace(model, log=replace(model.log, table=model.log.table.iloc[:0]))
    function = partial(_answer_piece, light, tuple(strategies), baseline)
    pieces = [
        outcome.unwrap()
        for outcome in in_order(runner.map(function, chunks(table, _share(len(table), runner.workers, most_rows))))
    ]
    order = {strategy.name: place for place, strategy in enumerate(strategies)}
    found = pd.concat([piece.table for piece in pieces], ignore_index=True)
    found = found.sort_values(
        ["merchant_id", "strategy"], key=lambda column: column.map(order) if column.name == "strategy" else column
    )
    trajectories = sum(piece.trajectories for piece in pieces)
    changes = sum(piece.changes for piece in pieces) / np.maximum(trajectories, 1)[:, None]
    return WhatIf(
        found.reset_index(drop=True),
        tuple(strategies),
        baseline,
        model.config.confidence,
        changes,
        model.branches.fitting.notes(table),
    )


def _share(rows: int, workers: int, most_rows: int) -> int:
    """Rows of a piece: as few pieces as memory allows, as many for one worker as for the other."""
    rounds = max(1, -(-rows // (workers * most_rows)))
    return min(most_rows, max(LEAST_ROWS, -(-rows // (workers * rounds))))


@dataclass(frozen=True)
class _Piece:
    """Answers about some merchants, and what their totals need.

    Attributes:
        table: One row per merchant and strategy.
        trajectories: Of the merchants with an answer, by strategy; float64 [S].
        changes: Changes summed over trajectories, by strategy and replicate; float64 [S, B].
    """

    table: pd.DataFrame
    trajectories: Floats
    changes: Floats


def _answer_piece(model: PGHS, strategies: tuple[Strategy, ...], baseline: Strategy, table: pd.DataFrame) -> _Piece:
    rows = model.branches.prepare(table)
    logged = model.branches.answer(rows, LOGGED)
    base = logged if baseline == LOGGED else model.branches.answer(rows, baseline)
    question = _Question(model, rows, logged, base, baseline)
    answers = [question.about(strategy) for strategy in strategies]
    known = np.stack([(frame["answer"] == "estimate").to_numpy(dtype=np.float64) for frame, _ in answers])
    weight = known * rows.groups.count
    return _Piece(
        pd.concat([frame for frame, _ in answers], ignore_index=True),
        weight.sum(axis=1),
        np.stack([changes @ part for (_, changes), part in zip(answers, weight, strict=True)]),
    )


@dataclass(frozen=True)
class _Question:
    """Everything that the answers about one piece of the log share."""

    model: PGHS
    rows: Prepared
    logged: Branches
    base: Branches
    baseline: Strategy

    def about(self, strategy: Strategy) -> tuple[pd.DataFrame, Floats]:
        """One row per merchant; and the change under each replicate, float64 [B, M]."""
        answered = self.base if strategy == self.baseline else self.model.branches.answer(self.rows, strategy)
        after = strategy.apply(self.rows.table)
        level, base = self._fused(answered, answered.reasoning), self._fused(self.base, self.base.reasoning)
        levels, bases = self._replicated(answered)
        price = self.rows.groups.mean(effective_price(after))
        frame = {
            "merchant_id": list(self.rows.groups.ids),
            "strategy": strategy.name,
            "trajectories": self.rows.groups.count,
            "price": price,
            "level": level,
            **self._intervals(levels, bases, base),
            "baseline": base,
            "uplift": level - base,
            "reasoning": answered.reasoning,
            "reasoning_baseline": self.base.reasoning,
            "fitting": answered.fitting,
            "fitting_baseline": self.base.fitting,
            **self._by_policy(answered, level - base),
            **self._money(strategy, price, level, base),
        }
        return self._judged(pd.DataFrame(frame), strategy, after), levels - bases

    def _fused(self, branches: Branches, reasoning: Floats) -> Floats:
        return self.model.levels.fuse(self.model.config, branches, self.logged, self.rows.groups.ids, reasoning)

    def _replicated(self, answered: Branches) -> tuple[Floats, Floats]:
        """Level under the strategy and at the baseline, by replicate; float64 [B, M] each."""
        config, ids = self.model.config, self.rows.groups.ids
        levels, bases = [], []
        for new, old, there in zip(answered.replicated, self.base.replicated, self.logged.replicated, strict=True):
            known = Branches(there, self.logged.fitting, self.logged.by_policy, self.logged.replicated)
            fused = partial(self.model.levels.fuse, config, logged=known, ids=ids)
            levels.append(fused(answered, reasoning=new))
            bases.append(fused(self.base, reasoning=old))
        shape = (len(levels), len(ids))
        return np.reshape(levels, shape), np.reshape(bases, shape)

    def _intervals(self, levels: Floats, bases: Floats, base: Floats) -> dict[str, Floats]:
        """Percentiles over refits, crossed with the level's own error in logits."""
        if not len(levels):
            nothing = np.full(levels.shape[1], np.nan)
            return {name: nothing for name in ("level_low", "level_high", "uplift_low", "uplift_high")}
        tail = (1 - self.model.config.confidence) / 2
        spread = self.model.levels.error(base, self.rows.groups.ids)
        noise = spread * ndtri((np.arange(_NOISE)[:, None] + 0.5) / _NOISE)
        # The level's error moves both sides alike, so it hardly touches the change.
        noisy = [np.concatenate([shifted(side, shift) for shift in noise]) for side in (levels, bases)]
        wide = np.quantile(noisy[0], [tail, 1 - tail], axis=0)
        change = np.quantile(noisy[0] - noisy[1], [tail, 1 - tail], axis=0)
        return {"level_low": wide[0], "level_high": wide[1], "uplift_low": change[0], "uplift_high": change[1]}

    def _by_policy(self, answered: Branches, uplift: Floats) -> dict[str, Floats]:
        """The fused change, split as the reasoning branch's change splits."""
        change = answered.by_policy - self.base.by_policy
        total = change.sum(axis=1)
        known = np.abs(total) > 1e-12
        share = np.divide(change, total[:, None], out=np.zeros_like(change), where=known[:, None])
        names = [policy.name for policy in self.model.policy_library.policies]
        return {f"policy:{name}": share[:, index] * uplift for index, name in enumerate(names)}

    def _money(self, strategy: Strategy, price: Floats, level: Floats, base: Floats) -> dict[str, Floats]:
        groups = self.rows.groups
        count = groups.count.astype(np.float64)
        price_before = groups.mean(effective_price(self.baseline.apply(self.rows.table)))
        cost = strategy.cost(level * count)
        earned = count * (level * price - base * price_before)
        return {
            "extra_orders": count * (level - base),
            "extra_revenue": earned,
            "cost": cost,
            "return_on_cost": np.divide(earned - cost, cost, out=np.full(len(level), np.nan), where=cost > 0),
        }

    def _is_new(self, merchant: str) -> bool:
        """Whether the level is the reasoner's, for want of history."""
        return self.model.config.kappa > 0 and merchant not in self.model.levels.history

    def _judged(self, frame: pd.DataFrame, strategy: Strategy, after: pd.DataFrame) -> pd.DataFrame:
        """Add support and warnings, and take numbers away where there is no evidence."""
        frame["support"] = support(self.model.support, self.rows.table, after, strategy)
        reasons = [
            cannot_say(share, self.model.policy_library, strategy, funnel=self.model.config.fitting.target == "funnel")
            for share in frame["support"]
        ]
        refused = np.array([reason is not None for reason in reasons])
        frame["answer"] = np.where(refused, "cannot say", "estimate")
        common = _about_the_reasoner(self.model) if strategy != self.baseline else []
        frame["warnings"] = [
            "; ".join(_warnings(reason, share, self._is_new(merchant)) + common)
            for reason, share, merchant in zip(reasons, frame["support"], frame["merchant_id"], strict=True)
        ]
        numbers = [name for name in frame.columns if frame[name].dtype == np.float64 and name != "support"]
        keep = ("baseline", "reasoning_baseline", "fitting_baseline")
        frame.loc[refused, [name for name in numbers if name not in keep]] = np.nan
        return frame


def _about_the_reasoner(model: PGHS) -> list[str]:
    if model.report.silent:
        return [SILENT]
    return [DOUBTFUL] if model.report.doubtful else []


def _warnings(reason: Any, share: float, new: bool) -> list[str]:
    found = [str(reason)] if reason is not None else []
    if reason is None and share < 0.5:
        found.append("outside what the log has seen: the change is the reasoner's word")
    if new:
        found.append("no history: the level is the reasoner's")
    return found


def _total(name: object, rows: pd.DataFrame) -> dict[str, Any]:
    known = rows[rows["answer"] == "estimate"]
    count = known["trajectories"].to_numpy(dtype=np.float64)
    weights = count / count.sum() if len(known) else count
    columns = {
        key: float((known[key] * weights).sum()) if len(known) else np.nan for key in ("level", "baseline", "uplift")
    }
    sums = {key: float(known[key].sum()) if len(known) else np.nan for key in ("extra_orders", "extra_revenue", "cost")}
    gained = sums["extra_revenue"] - sums["cost"]
    return {
        "strategy": name,
        "merchants": len(known),
        "cannot_say": len(rows) - len(known),
        "trajectories": int(count.sum()),
        **columns,
        **sums,
        "return_on_cost": gained / sums["cost"] if sums["cost"] > 0 else np.nan,
    }
