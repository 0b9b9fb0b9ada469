"""What ``fogline merchants`` shows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fogline.cli.console import console, print_note
from fogline.cli.tables import table

if TYPE_CHECKING:
    import pandas as pd

    from fogline.simulators.merchants.logs import Log
    from fogline.simulators.merchants.pghs import PGHS
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
