"""What ``fogline sweep`` and ``fogline report`` show when they are done."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fogline.cli import tables
from fogline.cli.console import clean, console
from fogline.core.redaction import redact_text

if TYPE_CHECKING:
    from fogline.benchmarks.sweeps.ledger import SweepReport
    from fogline.benchmarks.sweeps.silo_report import SiloReport
    from fogline.benchmarks.sweeps.tables import Table

_COLUMNS = 7
"""The first ones, which a terminal has room for; the report has all."""


def show_sweep(report: SweepReport) -> None:
    """Print how the teams did, what was played and what it took, and where everything is kept."""
    if report.table.lines:
        _show_table(f"{report.cells} cells, means over tasks", report.table)
    store = shlex.quote(redact_text(report.config.store))
    again = " The same command plays what is missing or failed, and nothing twice." if report.config.resume else ""
    for line in [
        *_counts(report),
        *_usage(report),
        f"Kept in {store} as run {report.run_id}.{again}",
        f"Tables and figures: fogline report silo-bench --store {store} --out report",
    ]:
        console().print(clean(line), soft_wrap=True)


def show_report(report: SiloReport) -> None:
    """Print the numbers of episodes and the scores by team, and where the rest is."""
    for table in report.tables[:2]:
        _show_table(table.title, table)
    for line in [*report.introduction[1:], *(f"Written: {file}" for file in report.files)]:
        console().print(clean(line), soft_wrap=True)


def _show_table(title: str, table: Table) -> None:
    from fogline.benchmarks.sweeps.tables import shown

    columns: list[Any] = [(key.capitalize(), {"no_wrap": True}) for key in table.keys]
    columns += [
        (column.label + (", %" if column.percent else ""), {"justify": "right"}) for column in table.columns[:_COLUMNS]
    ]
    rows = []
    for line in table.lines:
        cells = []
        for column in table.columns[:_COLUMNS]:
            value = line.numbers[column.key].value
            cells.append(tables.NOTHING if value is None else shown(value, column).removesuffix(" %"))
        rows.append([*line.labels, *cells])
    console().print(tables.table(title, columns, rows))


def _counts(report: SweepReport) -> Sequence[str]:
    speed = f", {report.played / report.wall_s:.1f} a second" if report.played and report.wall_s > 0 else ""
    lines = [
        f"{report.complete} of {report.cells} cells complete. {report.episodes} episodes: {report.played} played in "
        f"{report.wall_s:.1f} s{speed}; {report.reused} reused."
    ]
    if report.unscored or report.missing:
        kinds = ", ".join(f"{kind} {count}" for kind, count in report.failures.items())
        failed = f"{report.unscored} failed" + (f" ({kinds})" if kinds else "")
        lines.append(f"Not scored: {failed}, {report.missing} not played; they enter no average.")
    return lines


def _usage(report: SweepReport) -> Sequence[str]:
    usage = report.usage
    if not usage["model_calls"]:
        return []
    price = f"{usage['cost']:.4f} by the price list" if report.config.prices else "price unknown (--prices)"
    tokens = f"{usage['prompt_tokens']:.0f} prompt and {usage['completion_tokens']:.0f} completion tokens"
    return [f"Model: {usage['model_calls']:.0f} calls, {tokens}, {usage['retries']:.0f} retries, {price}."]
