"""``fogline report``: tables and figures of a sweep."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fogline.cli import arguments
from fogline.cli.console import print_json
from fogline.core.errors import check_choice

Names = Annotated[str, typer.Argument(help="What about: silo-bench.", show_default=False)]


def report(
    name: Names,
    store: arguments.StoreOption = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where to write; made when missing. (default: report)")
    ] = None,
    run: Annotated[str | None, typer.Option(metavar="ID", help="Which sweep. (default: the latest)")] = None,
    heatmap_agents: Annotated[
        int | None, typer.Option(metavar="N", help="Size of the games in the heat-maps. (default: 20, or the nearest)")
    ] = None,
    as_json: arguments.Json = False,
) -> None:
    """Write a sweep's tables and figures, each number with its interval: report.md, report.html, tables.json and .csv.

    Example: fogline report silo-bench --store runs.db --out report
    """
    from fogline.benchmarks.sweeps.config import SWEEP
    from fogline.benchmarks.sweeps.silo_report import ReportConfig, write_report
    from fogline.cli.options import build_config
    from fogline.cli.sweep_report import show_report

    check_choice("name", name, (SWEEP,))
    flags = {
        "store": store or "runs.db", "out": str(out or "report"), "run": run, "heatmap_agents": heatmap_agents,
    }  # fmt: skip
    written = write_report(build_config(ReportConfig, {}, flags))
    if as_json:
        print_json(written.to_json())
        return
    show_report(written)
