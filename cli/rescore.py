"""``fogline rescore``: stored episodes under other rules."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fogline.cli import arguments
from fogline.cli.console import clean, console, print_json
from fogline.core.redaction import redact_text

if TYPE_CHECKING:
    from fogline.benchmarks.rescoring import RescoreReport

_LABELS = {
    "ex": "Execution accuracy",
    "soft_f1": "Soft F1",
    "reward": "Reward",
    "ves": "VES",
    "r_ves": "R-VES",
    "time_ratio": "Gold time / answer's time",
}
_PLAIN = {"reward", "time_ratio"}


def rescore(
    store: arguments.Store,
    run: Annotated[
        str | None, typer.Option(metavar="ID", help="Which run. (default: the latest that can be scored again)")
    ] = None,
    comparator: Annotated[
        str | None, typer.Option("--comparator", "-c", metavar="NAME", help="bird, spider or strict. (default: bird)")
    ] = None,
    timed: Annotated[
        bool, typer.Option("--timed", help="Also measure VES and R-VES; runs each right statement many times.")
    ] = False,
    repeats: Annotated[
        int | None, typer.Option(metavar="N", help="Pairs of runs per statement for --timed. (default: 100)")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(metavar="N", help="Tasks in hand at once. (default: 4; --timed takes 1)")
    ] = None,
    env_kwargs: arguments.EnvKwargs = None,
    as_json: arguments.Json = False,
) -> None:
    """Score stored TrustSQL episodes again, without asking any agent; the scores are added to the store.

    Keywords of the environment are those it was played with. Give what the store does not keep, or what has moved:
    -k engine_url=… for a server with a password, -k dataset=FOLDER.

    Example: fogline rescore runs.db --comparator spider
    """
    from fogline.benchmarks.rescoring import RescoreConfig
    from fogline.benchmarks.rescoring import rescore as judge
    from fogline.cli.options import build_config, command_line, key_values
    from fogline.cli.progress import ProgressBar

    flags: dict[str, Any] = {
        "store": store, "run": run, "comparator": comparator, "timed": timed, "repeats": repeats, "workers": workers,
        "env_kwargs": key_values(env_kwargs, "--set"),
    }  # fmt: skip
    config = build_config(RescoreConfig, {}, flags)
    with ProgressBar("episodes") as bar:
        reports = judge(config, progress=bar.update, command=command_line())
    if as_json:
        print_json([report.to_json() for report in reports])
        return
    for report in reports:
        _show(report)
    kept = shlex.quote(redact_text(store))
    console().print(f"The scores are in {kept}: fogline export {kept} FOLDER", soft_wrap=True)


def _show(report: RescoreReport) -> None:
    from fogline.cli import tables

    right: dict[str, Any] = {"justify": "right", "no_wrap": True}
    rows = [("Execution accuracy as played", *_cells(report.before, percent=True))]
    for name, estimate in report.measures.items():
        label = _LABELS.get(name, name) + (f", {report.comparator}" if name == "ex" else "")
        rows.append((label, *_cells(estimate, percent=name not in _PLAIN)))
    title = f"{report.env_id} · {clean(report.agent)} · run {report.run_id}"
    columns: list[Any] = ["Measure", (f"Avg@{report.samples}", right), ("95 % interval", right), ("Tasks", right)]
    out = console()
    out.print(tables.table(title, columns, rows))
    changed = f"{report.gained} became right, {report.lost} became wrong"
    out.print(f"{report.episodes} episodes judged: {changed}. {report.written} new scores stored.", soft_wrap=True)


def _cells(estimate: Any, *, percent: bool) -> tuple[str, str, str]:
    from fogline.cli import tables

    return tables.number(estimate.value, percent), tables.interval(estimate, percent), str(estimate.tasks)
