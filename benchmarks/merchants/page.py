"""The page of a what-if: totals, levels and changes with intervals, branches, policies, support, return on cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fogline.benchmarks.pages import COLOURS, Figure, render
from fogline.simulators.merchants.pghs import PGHS
from fogline.simulators.merchants.what_if import WhatIf

TITLE = "What if"
_TEMPLATE = "page.html.jinja"
_SHOWN = 200
"""Rows of the longest table on the page; the Parquet file beside it has them all."""
_PANEL, _ROW = 320, 18


@dataclass(frozen=True)
class Column:
    """A column of a table on the page.

    Attributes:
        key: In the data.
        label: Heading.
        scale: What a number is multiplied by.
        digits: Behind the point.
        bounds: Keys of an interval.
        sign: Whether a plus is written.
    """

    key: str
    label: str
    scale: float = 1.0
    digits: int = 1
    bounds: tuple[str, str] | None = None
    sign: bool = False

    def text(self, row: Mapping[str, Any]) -> str:
        """The cell."""
        value = row[self.key]
        if isinstance(value, str):
            return value
        if value is None or pd.isna(value):
            return "–"
        return f"{self.scale * float(value):{'+' if self.sign else ''},.{self.digits}f}"

    def interval(self, row: Mapping[str, Any]) -> str:
        """The interval below it."""
        if self.bounds is None or any(pd.isna(row[key]) for key in self.bounds):
            return ""
        low, high = (f"{self.scale * float(row[key]):,.{self.digits}f}" for key in self.bounds)
        return f"{low} … {high}"


_UPLIFT = Column("uplift", "Change, points", 100, 1, ("uplift_low", "uplift_high"), True)
_MONEY = (
    Column("extra_orders", "Extra orders", digits=1, sign=True),
    Column("extra_revenue", "Extra revenue", digits=1, sign=True),
    Column("cost", "Cost"),
    Column("return_on_cost", "Return on cost", digits=2),
)
TOTALS = (
    Column("strategy", "Strategy"),
    Column("merchants", "Merchants", digits=0),
    Column("cannot_say", "Cannot say", digits=0),
    Column("baseline", "Baseline, %", 100),
    Column("level", "Level, %", 100),
    _UPLIFT,
    *_MONEY,
)
ANSWERS = (
    Column("merchant_id", "Merchant"),
    Column("strategy", "Strategy"),
    Column("trajectories", "Trajectories", digits=0),
    Column("baseline", "Baseline, %", 100),
    Column("level", "Level, %", 100, 1, ("level_low", "level_high")),
    _UPLIFT,
    Column("reasoning", "Reasoning, %", 100),
    Column("fitting", "Fitting, %", 100),
    Column("support", "Support, %", 100, 0),
    *_MONEY,
    Column("warnings", "To know"),
)


def page(model: PGHS, answers: WhatIf) -> str:
    """Everything on one page that needs no network.

    Raises:
        MissingDependencyError: Without plotly or jinja2.
    """
    table = answers.table
    return render(
        Path(__file__).parent / _TEMPLATE,
        figures(model, answers),
        title=TITLE,
        introduction=_introduction(model, answers),
        tables=[
            ("totals", "All merchants", "", TOTALS, answers.totals().to_dict("records")),
            ("policies", "Policies", _POLICIES_NOTE, _POLICY_COLUMNS, _policies(model)),
            ("answers", "By merchant", _cut(table), ANSWERS, table.head(_SHOWN).to_dict("records")),
        ],
    )


def _introduction(model: PGHS, answers: WhatIf) -> list[str]:
    report = model.report
    lines = [
        f"Orders per trajectory of {report.merchants:,} merchants, had they done something else; changes are counted "
        f"from “{answers.baseline.name}”. Intervals aim at {answers.confidence:.0%}: merchants resampled, the "
        "reasoner's weights drawn anew, and the error of the level. They do not cover what the reasoner gets wrong in "
        "kind.",
        "Money is in price levels (1 = the category's median price), over the trajectories of the window.",
    ]
    if report.silent:
        lines.append("The reasoner carries no signal: every change is 0 by construction.")
    elif report.doubtful:
        lines.append("What people did does not go with the reasoner's word: do not believe the changes.")
    return lines


_POLICIES_NOTE = "How customers decide, as mined from the log, and how far each kind follows the reasoner (λ)."
_POLICY_COLUMNS = (
    Column("name", "Policy"),
    Column("anchor", "Order rate, %", 100, 1, ("low", "high")),
    Column("sensitivity", "λ", digits=2),
    Column("support", "Training rows", digits=0),
    Column("merchants", "Merchants", digits=0),
    Column("text", "In words"),
)


def _policies(model: PGHS) -> list[dict[str, Any]]:
    return [
        {
            "name": policy.name,
            "anchor": policy.anchor,
            "low": policy.anchor_interval[0],
            "high": policy.anchor_interval[1],
            "sensitivity": policy.sensitivity,
            "support": policy.support_n,
            "merchants": policy.merchants_n,
            "text": policy.text,
        }
        for policy in model.policy_library.policies
    ]


def _cut(table: pd.DataFrame) -> str:
    more = len(table) - _SHOWN
    return f"The first {_SHOWN} of {len(table):,} rows; all are in the Parquet file." if more > 0 else ""


def figures(model: PGHS, answers: WhatIf) -> list[Figure]:
    """The plots of a page."""
    known = answers.table[answers.table["answer"] == "estimate"]
    if known.empty:
        return []
    totals = answers.totals().dropna(subset=["uplift"])
    found = [
        Figure("totals-plot", "Change over all merchants", "", _totals(totals)),
        Figure("merchants", "Change by merchant", "Each dot is a merchant; bars are intervals.", _by_merchant(known)),
        Figure("branches", "Both branches", "On the line they agree; colour is the strategy.", _branches(known)),
        Figure("policy", "Who moves", "The change over all merchants, by policy.", _by_policy(model, known)),
        Figure("support", "Support", "Share of changed rows that the log has seen the like of.", _support(known)),
    ]
    spent = totals[totals["cost"] > 0]
    if len(spent):
        found.append(Figure("return", "Return on cost", "Extra revenue less cost, over cost.", _return(spent)))
    return found


def _plot(height: int) -> Any:
    import plotly.graph_objects as go

    plot = go.Figure()
    plot.update_layout(height=height, template="plotly_white", margin={"t": 20, "b": 50, "l": 140})
    return plot


def _bars(plot: Any, names: Sequence[str], values: Any, low: Any = None, high: Any = None) -> Any:
    error = None if low is None else {"array": high - values, "arrayminus": values - low, "type": "data", "width": 4}
    plot.add_bar(y=list(names), x=values, error_x=error, orientation="h", marker_color=COLOURS[0], width=0.6)
    return plot


def _totals(totals: pd.DataFrame) -> Any:
    values, low, high = (100 * totals[key].to_numpy() for key in ("uplift", "uplift_low", "uplift_high"))
    plot = _bars(_plot(90 + 40 * len(totals)), totals["strategy"], values, low, high)
    return plot.update_xaxes(title="points of orders per trajectory")


def _by_merchant(known: pd.DataFrame) -> Any:
    plot = _plot(_PANEL + 100)
    for index, (name, rows) in enumerate(known.groupby("strategy", sort=False)):
        rows = rows.sort_values("uplift", kind="stable")
        uplift = 100 * rows["uplift"]
        bounds = None
        if rows["uplift_low"].notna().any():
            bounds = {
                "type": "data",
                "array": 100 * rows["uplift_high"] - uplift,
                "arrayminus": uplift - 100 * rows["uplift_low"],
                "thickness": 0.6,
                "width": 0,
            }
        plot.add_scatter(
            x=np.arange(1, len(rows) + 1), y=uplift, error_y=bounds, mode="markers", name=str(name),
            text=rows["merchant_id"], marker={"size": 5, "color": COLOURS[index % len(COLOURS)]},
        )  # fmt: skip
    return plot.update_xaxes(title="merchants, by change").update_yaxes(title="points")


def _branches(known: pd.DataFrame) -> Any:
    plot = _plot(_PANEL + 100)
    for index, (name, rows) in enumerate(known.groupby("strategy", sort=False)):
        plot.add_scatter(
            x=100 * rows["fitting"], y=100 * rows["reasoning"], mode="markers", name=str(name),
            text=rows["merchant_id"], marker={"size": 6, "color": COLOURS[index % len(COLOURS)]},
        )  # fmt: skip
    plot.add_scatter(x=[0, 100], y=[0, 100], mode="lines", line={"color": "#999", "width": 1}, showlegend=False)
    return plot.update_xaxes(title="fitting branch, % order").update_yaxes(title="reasoning branch, % order")


def _by_policy(model: PGHS, known: pd.DataFrame) -> Any:
    names = list(dict.fromkeys(known["strategy"]))
    plot = _plot(90 + 40 * len(names))
    for index, policy in enumerate(model.policy_library.names):
        parts = [
            float(np.average(rows[f"policy:{policy}"], weights=rows["trajectories"]))
            for rows in (known[known["strategy"] == name] for name in names)
        ]
        plot.add_bar(
            y=names, x=100 * np.array(parts), name=policy, orientation="h", marker_color=COLOURS[index % len(COLOURS)]
        )
    return plot.update_layout(barmode="relative").update_xaxes(title="points of orders per trajectory")


def _support(known: pd.DataFrame) -> Any:
    means = known.groupby("strategy", sort=False)["support"].mean()
    plot = _bars(_plot(90 + 40 * len(means)), list(means.index), 100 * means.to_numpy())
    return plot.update_xaxes(title="% of changed rows", range=[0, 100])


def _return(spent: pd.DataFrame) -> Any:
    plot = _bars(_plot(90 + 40 * len(spent)), spent["strategy"], spent["return_on_cost"].to_numpy())
    return plot.update_xaxes(title="price levels gained per price level spent")
