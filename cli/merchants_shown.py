"""What ``fogline merchants`` shows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fogline.cli.console import console, print_note
from fogline.cli.tables import number, table

if TYPE_CHECKING:
    import pandas as pd

    from fogline.simulators.merchants.evaluating import Evaluation
    from fogline.simulators.merchants.logs import Log
    from fogline.simulators.merchants.pghs import PGHS
    from fogline.simulators.merchants.ranking import Ranking
    from fogline.simulators.merchants.what_if import WhatIf


def records(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as JSON; what cannot be said is null."""
    known = rows.astype(object).where(rows.notna(), None)
    return [{key: _python(value) for key, value in row.items()} for row in known.to_dict("records")]


def _python(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


def plain(value: Any, digits: int = 1) -> str:
    """A number for a table; a dash for what cannot be said."""
    return "–" if value != value else f"{value:,.{digits}f}"


def show_fit(log: Log, fitted: PGHS, folder: Path) -> None:
    """What fitting found."""
    for line in log.report.lines():
        console().print(line, soft_wrap=True)
    rows = [
        (policy.name, f"{policy.anchor:.1%}", f"{policy.sensitivity:.2f}", f"{policy.support_n:,.0f}", policy.text)
        for policy in fitted.policy_library.policies
    ]
    console().print(table("Policies", ["Name", "Order rate", "λ", "Rows", "In words"], rows))
    if fitted.report.silent:
        console().print("The reasoner carries no signal: every change is 0 by construction.", style="yellow")
    elif fitted.report.doubtful:
        console().print("What people did does not go with the reasoner's word: do not believe it.", style="yellow")
    print_note(f"Read {folder}; next: fogline merchants evaluate {folder}")


def show_totals(answers: WhatIf) -> None:
    """All merchants together."""
    rows = [
        (
            row["strategy"],
            plain(100 * row["baseline"]),
            plain(100 * row["level"]),
            plain(100 * row["uplift"]),
            f"{plain(100 * row['uplift_low'])} … {plain(100 * row['uplift_high'])}",
            plain(row["extra_orders"]),
            plain(row["cost"]),
            plain(row["return_on_cost"], 2),
            row["cannot_say"],
        )
        for row in answers.totals().to_dict("records")
    ]
    interval = f"{answers.confidence:.0%} interval"
    names = ["Strategy", "Baseline %", "Level %", "Change", interval, "Extra orders", "Cost", "Return", "Cannot say"]
    console().print(table("All merchants, orders per trajectory", names, rows))
    for note in answers.notes:
        print_note(str(note))


def show_answers(answers: WhatIf) -> None:
    """Merchant by merchant."""
    rows = [
        (
            row["merchant_id"],
            row["strategy"],
            plain(100 * row["level"]),
            plain(100 * row["uplift"]),
            f"{plain(100 * row['uplift_low'])} … {plain(100 * row['uplift_high'])}",
            f"{row['support']:.0%}",
            row["warnings"],
        )
        for row in answers.table.to_dict("records")
    ]
    names = ["Merchant", "Strategy", "Level %", "Change", "Interval", "Support", "To know"]
    console().print(table("By merchant", names, rows))


def show_ranking(ranking: Ranking, objective: str) -> None:
    """One strategy for all, and the merchants that gain most by one of their own."""
    rows = [
        (
            row["strategy"],
            plain(row["gain"]),
            plain(row["cost"]),
            "yes" if row["affordable"] else "no",
            row["cannot_say"],
        )
        for row in ranking.for_all.to_dict("records")
    ]
    names = ["Strategy", f"Gain, {objective}", "Cost", "Affordable", "Cannot say"]
    console().print(table("One strategy for all", names, rows))
    chosen = ranking.by_merchant
    own = [
        (row["merchant_id"], row["strategy"], plain(row["gain"]), plain(row["cost"]))
        for row in chosen.sort_values("gain", ascending=False, kind="stable").head(20).to_dict("records")
    ]
    title = (
        f"Each its own: gain {plain(chosen['gain'].sum())}, cost {plain(chosen['cost'].sum())}; "
        f"the first {len(own)} of {len(chosen):,} merchants"
    )
    console().print(table(title, ["Merchant", "Strategy", f"Gain, {objective}", "Cost"], own))


def show_evaluation(result: Evaluation) -> None:
    """Errors beside their floors, the checks, the verdict."""
    rows = [
        (
            name,
            number(error.absolute, True),
            f"{100 * error.interval.low:.1f} … {100 * error.interval.high:.1f}" if error.interval else "–",
            number(error.floors["absolute"], True),
            number(error.weighted, True),
            number(error.floors["weighted"], True),
            number(error.relative, True),
            number(error.floors["relative"], True),
        )
        for name, error in {**result.errors, **result.strata}.items()
    ]
    heading = f"Group simulation error on {result.merchants} merchants, {result.rows:,} trajectories"
    names = ["", "GSE_abs", "95 % interval", "floor", "GSE_w", "floor", "GSE_rel", "floor"]
    console().print(table(heading, names, rows))
    correlation = "cannot say" if result.correlation is None else f"{result.correlation:+.2f}"
    console().print(f"Correlation of both branches' errors: {correlation} (near +1, fusion cannot help).")
    for check in result.checks:
        console().print(
            f"{'passed' if check.passed else 'FAILED'}: {check.meaning} ({check.value:.4g}, bound {check.bound:g})"
        )
    console().print(f"Verdict: {result.verdict}.")
