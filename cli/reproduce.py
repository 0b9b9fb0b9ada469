"""``fogline reproduce``: a published system, run again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fogline.cli import arguments
from fogline.cli.console import clean, console, print_error, print_json, print_note

if TYPE_CHECKING:
    from fogline.benchmarks.reproduce import ReproduceConfig
    from fogline.benchmarks.reproduce.results import Results

_STYLES = {"same direction": "green", "opposite": "red", "not shown": ""}


def reproduce(
    name: Annotated[str, typer.Argument(help="System, such as trust-sql.", show_default=False, metavar="NAME")],
    quick: Annotated[bool, typer.Option("--quick", help="A small budget, to see that everything runs.")] = False,
    seeds: Annotated[
        str | None, typer.Option(metavar="N,N,…", help="Seeds of every arm. (default: the plan's)")
    ] = None,
    workers: Annotated[int | None, typer.Option(metavar="N", help="Processes at once. (default: 2)")] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Of NAME.json and NAME.md. (default: docs/results; runs/results with --quick)"
        ),
    ] = None,
    runs: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Of the runs that are done. (default: runs/reproduce)")
    ] = None,
    resume: Annotated[
        bool | None, typer.Option("--resume/--no-resume", help="Take over the runs that are done. (default: resume)")
    ] = None,
    as_json: arguments.Json = False,
) -> None:
    """Run a published system again, arm by arm and seed by seed, and judge its claim.

    A run that was stopped goes on where it was: give the same command again. A claim that is "not shown" is a result
    like any other.

    Example: fogline reproduce trust-sql --quick
    """
    from fogline.benchmarks.reproduce import ReproduceConfig
    from fogline.cli.options import build_config

    flags: dict[str, Any] = {
        "name": name, "quick": quick, "seeds": _numbers(seeds), "workers": workers, "resume": resume,
        "out": None if out is None else str(out), "runs": None if runs is None else str(runs),
    }  # fmt: skip
    config = build_config(ReproduceConfig, {}, flags)
    results = _run(config)
    if as_json:
        print_json(results.to_json())
    else:
        _show(config, results)
    for failure in results.failures:
        print_error(f"{failure.arm}, seed {failure.seed}: {failure.error}")
    if results.failures:
        raise typer.Exit(1)


def _run(config: ReproduceConfig) -> Results:
    from fogline.benchmarks.reproduce import reproduce as run
    from fogline.cli.options import command_line
    from fogline.cli.progress import ProgressBar

    with ProgressBar("runs") as bar:
        try:
            return run(config, bar.update, command_line())
        except KeyboardInterrupt:
            print_note(f"Runs that are done stay in {config.cells_folder}; the same command goes on from there.")
            raise


def _show(config: ReproduceConfig, results: Results) -> None:
    from rich.text import Text

    from fogline.benchmarks.reproduce.report import NOTHING, compared, duration
    from fogline.cli.tables import table

    right: dict[str, Any] = {"justify": "right", "no_wrap": True}
    columns: list[Any] = ["Metric", "Arm", "Baseline", ("Difference", right), ("95 % interval", right)]
    rows = [
        (
            item.metric,
            item.arm,
            item.baseline,
            compared(item, item.difference),
            NOTHING if item.ci95 is None else f"{compared(item, item.ci95[0])} … {compared(item, item.ci95[1])}",
            compared(item, item.margin),
            Text(item.verdict, style=_STYLES[item.verdict]),
        )
        for item in results.comparisons
    ]
    out = console()
    out.print(clean(results.claim), soft_wrap=True)
    out.print(table(results.system, [*columns, ("Margin", right), "Verdict"], rows))
    page = config.results_folder / f"{config.name}.md"
    out.print(clean(f"{duration(results.wall_clock_s)} in all. Read {page}"), soft_wrap=True)


def _numbers(text: str | None) -> tuple[int, ...]:
    from fogline.core.errors import ConfigurationError

    if text is None:
        return ()
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigurationError(
            f"--seeds {text!r}: expected whole numbers with commas between, as in 0,1,2."
        ) from error
