"""Ranking: the best strategy for all merchants, and the best for each, within one budget."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fogline.core.errors import ConfigurationError, check_choice
from fogline.simulators.merchants.what_if import WhatIf

Floats = NDArray[np.float64]
Objective = Literal["orders", "revenue", "profit"]
OBJECTIVES = ("orders", "revenue", "profit")
NOTHING = "do nothing"


@dataclass(frozen=True)
class Ranking:
    """What to do.

    Attributes:
        objective: What is gained, over the trajectories of the window: orders, or price levels.
        budget: Most that may be spent, in price levels; None for no limit.
        for_all: One row per strategy, best first: ``strategy, gain, cost, affordable, merchants, cannot_say``. Gain
            and cost are of all merchants together, where there is an answer.
        by_merchant: One row per merchant: ``merchant_id, strategy, gain, gain_low, gain_high, cost``; the choice that
            gains most within the budget, doing nothing included.
    """

    objective: str
    budget: float | None
    for_all: pd.DataFrame
    by_merchant: pd.DataFrame


def rank(answers: WhatIf, objective: Objective, budget: float | None, margin: float) -> Ranking:
    """Rank the strategies of an answer.

    Within a budget the choice for each merchant solves the linear relaxation of the multiple-choice knapsack: steps
    along each merchant's frontier in the order of what they gain per cost. It is exact but for the one merchant at
    which the money runs out.

    Args:
        answers: To be ranked.
        objective: What counts.
        budget: Most that may be spent; None for no limit.
        margin: Share of revenue that is profit.

    Raises:
        ConfigurationError: For an unknown objective, a negative budget, or a margin outside 0 to 1.
    """
    check_choice("objective", objective, OBJECTIVES)
    if budget is not None and not budget >= 0:
        raise ConfigurationError(f"budget={budget}: expected at least 0 price levels, or None.")
    if not 0 <= margin <= 1:
        raise ConfigurationError(f"margin={margin}: expected a share of the revenue, 0 to 1.")
    slope = _slope(answers, objective, margin)
    table = answers.table.assign(gain=_gain(answers.table, objective, margin))
    table["gain_low"] = table["gain"] + slope * (table["uplift_low"] - table["uplift"])
    table["gain_high"] = table["gain"] + slope * (table["uplift_high"] - table["uplift"])
    return Ranking(objective, budget, _for_all(table, budget), _by_merchant(table, objective, budget))


def _gain(table: pd.DataFrame, objective: str, margin: float) -> pd.Series:
    if objective == "orders":
        return table["extra_orders"]
    if objective == "revenue":
        return table["extra_revenue"]
    return margin * table["extra_revenue"] - table["cost"]


def _slope(answers: WhatIf, objective: str, margin: float) -> pd.Series:
    """What one more order per trajectory gains."""
    table = answers.table
    if objective == "orders":
        return table["trajectories"].astype(np.float64)
    if objective == "revenue":
        return table["trajectories"] * table["price"]
    per_order = {item.name: float(item.cost(1.0) - item.cost(0.0)) for item in answers.strategies}
    return table["trajectories"] * (margin * table["price"] - table["strategy"].map(per_order))


def _for_all(table: pd.DataFrame, budget: float | None) -> pd.DataFrame:
    known = table[table["answer"] == "estimate"]
    found = known.groupby("strategy", sort=False).agg(
        gain=("gain", "sum"), cost=("cost", "sum"), merchants=("merchant_id", "size")
    )
    asked = table.groupby("strategy", sort=False).size()
    found = found.reindex(asked.index)
    found["merchants"] = found["merchants"].fillna(0).astype(np.int64)
    found["cannot_say"] = asked - found["merchants"]
    found["affordable"] = True if budget is None else found["cost"] <= budget
    found = found.reset_index().sort_values(
        ["affordable", "gain"], ascending=False, kind="stable", na_position="last", ignore_index=True
    )
    return found[["strategy", "gain", "cost", "affordable", "merchants", "cannot_say"]]


def _by_merchant(table: pd.DataFrame, objective: str, budget: float | None) -> pd.DataFrame:
    options = {str(name): _frontier(rows) for name, rows in table.groupby("merchant_id", sort=True)}
    chosen = dict.fromkeys(options, 0)
    left = np.inf if budget is None else budget
    steps = [(_efficiency(rows, step), name, step) for name, rows in options.items() for step in range(1, len(rows))]
    for _, name, step in sorted(steps, key=lambda entry: (-entry[0], entry[1], entry[2])):
        rows = options[name]
        more = rows["cost"].iloc[step] - rows["cost"].iloc[chosen[name]]
        if step == chosen[name] + 1 and more <= left:
            chosen[name], left = step, left - more
    picked = [rows.iloc[chosen[name]] for name, rows in options.items()]
    found = pd.DataFrame(picked, columns=["merchant_id", "strategy", "gain", "gain_low", "gain_high", "cost"])
    return found.reset_index(drop=True)


def _efficiency(rows: pd.DataFrame, step: int) -> float:
    gain = rows["gain"].iloc[step] - rows["gain"].iloc[step - 1]
    cost = rows["cost"].iloc[step] - rows["cost"].iloc[step - 1]
    return float(gain / cost) if cost > 0 else np.inf


def _frontier(rows: pd.DataFrame) -> pd.DataFrame:
    """A merchant's options that are worth their cost: doing nothing first, then the upper hull of gain over cost."""
    known = rows[(rows["answer"] == "estimate") & (rows["gain"] > 0)]
    options = known[["merchant_id", "strategy", "gain", "gain_low", "gain_high", "cost"]].copy()
    options["cost"] = options["cost"].clip(lower=0)
    nothing = {"merchant_id": rows["merchant_id"].iloc[0], "strategy": NOTHING, "gain": 0.0, "gain_low": 0.0,
               "gain_high": 0.0, "cost": 0.0}  # fmt: skip
    options = pd.concat([pd.DataFrame([nothing]), options], ignore_index=True)
    options = options.sort_values(["cost", "gain"], ascending=[True, False], kind="stable", ignore_index=True)
    return options.iloc[_hull(options["cost"].to_numpy(), options["gain"].to_numpy())].reset_index(drop=True)


def _hull(cost: Floats, gain: Floats) -> list[int]:
    """Indices of the upper hull from the first point on, rising; points in order of cost."""
    hull: list[int] = []
    for index in range(len(cost)):
        if hull and gain[index] <= gain[hull[-1]]:
            continue
        while hull and cost[index] <= cost[hull[-1]] and len(hull) > 1:
            hull.pop()
        while len(hull) > 1 and _turns_up(cost, gain, hull[-2], hull[-1], index):
            hull.pop()
        hull.append(index)
    return hull


def _turns_up(cost: Floats, gain: Floats, first: int, middle: int, last: int) -> bool:
    left = (gain[middle] - gain[first]) * (cost[last] - cost[first])
    return bool(left <= (gain[last] - gain[first]) * (cost[middle] - cost[first]))
