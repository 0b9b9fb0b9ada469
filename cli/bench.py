"""``fogline bench``: every speed claim, measured in one run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fogline.cli import arguments
from fogline.cli.console import console, print_error, print_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fogline.benchmarks.speed.report import Finding, SpeedReport

_SIGNS = {"at least": "≥", "at most": "≤"}
_STYLES = {"PASS": "green", "FAIL": "red", "": ""}


def bench(
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="sql-step, sql-peer, text-step, sales-dialogue, merchant-strategy, merchants, import, waiting, "
            "training, optimisers, distillation, tables, sweep, scale or decoding. Repeat for more. (default: all)",
        ),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Short rounds, to see that everything runs; figures are rough.")
    ] = False,
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write the result here, as JSON.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 when a target is missed.")] = False,
    as_json: arguments.Json = False,
) -> None:
    """Measure fogline's speed against named peers and raw costs, side by side on this machine.

    Every figure is a median over rounds in which fogline and its peer took turns, with the least and the
    greatest round. Close other programs first: a busy machine widens the range.

    Example: fogline bench --only sql-step --quick
    """
    from fogline.benchmarks.speed.suite import SpeedConfig, run_suite
    from fogline.cli.options import build_config, command_line
    from fogline.cli.progress import ProgressBar

    config = build_config(SpeedConfig, {}, {"only": tuple(only or ()), "quick": quick})
    with ProgressBar("benchmarks") as bar:
        report = run_suite(config, bar.update, command_line())
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(json.dumps(report.to_json(), indent=2) + "\n", "utf-8")
    if as_json:
        print_json(report.to_json())
    else:
        _show(report)
    for name, reason in report.failures.items():
        print_error(f"{name} could not run: {reason}")
    if report.failures or (strict and report.missed):
        raise typer.Exit(1)


def _show(report: SpeedReport) -> None:
    out = console()
    for name in dict.fromkeys(finding.benchmark for finding in report.findings):
        findings = [finding for finding in report.findings if finding.benchmark == name]
        out.print(_table(name, findings))
        for note in dict.fromkeys(finding.note for finding in findings if finding.note):
            out.print(f"  {note}", style="dim", soft_wrap=True)
    hardware = report.hardware
    out.print(
        f"{hardware['processor']}, {hardware['cores']} cores, load {hardware['load_before']:.1f} before and "
        f"{hardware['load_after']:.1f} after; {report.wall_clock_s:.0f} s.",
        soft_wrap=True,
    )
    judged = [finding for finding in report.findings if finding.target is not None]
    if judged:
        out.print(f"{len(judged) - len(report.missed)} of {len(judged)} targets met.")


def _table(name: str, findings: Sequence[Finding]) -> Any:
    from rich.text import Text

    from fogline.cli.tables import table

    first = findings[0]
    right = {"justify": "right"}
    columns: list[Any] = ["Case", (f"fogline, {first.unit}", right), (f"Peer, {first.unit}", right), ("Ratio", right)]
    columns += ["Seen", "Expected", ""]
    peers = " or ".join(dict.fromkeys(finding.peer for finding in findings))
    seen = " or ".join(dict.fromkeys(finding.quantity for finding in findings))
    title = f"{name}: {first.subject} beside {peers}; seen: {seen}"
    rows = [(*_cells(finding), Text(finding.verdict, style=_STYLES[finding.verdict])) for finding in findings]
    return table(title, columns, rows)


def _cells(finding: Finding) -> tuple[str, ...]:
    unit = "" if finding.seen_unit == finding.unit != "µs" else f" {finding.seen_unit}".rstrip()
    seen, target = finding.seen, finding.target
    spread = "" if seen.low == seen.high else f" ({_figure(seen.low)}–{_figure(seen.high)})"
    return (
        finding.case,
        _figure(finding.subject_value.median),
        _figure(finding.peer_value.median),
        f"{finding.ratio:.3g}",
        f"{_figure(seen.median)}{spread}{unit}",
        "" if target is None else f"{_SIGNS[target.sense]} {_figure(target.bound)}{unit}",
    )


def _figure(value: float) -> str:
    """Three or four figures that count."""
    if abs(value) >= 100_000:
        return f"{value / 1000:,.0f}k"
    if abs(value) >= 100 or value == 0:
        return f"{value:,.0f}"
    return f"{value:.3g}"
