"""``fogline customers``: the simulated customer, validated and shown."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fogline.cli import arguments
from fogline.cli.console import clean, console, print_error, print_json, print_note

if TYPE_CHECKING:
    from fogline.benchmarks.customers.config import ValidationConfig
    from fogline.benchmarks.customers.report import ValidationReport
    from fogline.benchmarks.customers.showing import Call

customers = typer.Typer(
    no_args_is_help=True,
    help="The simulated customers: is what they do believable?\n\nExample: fogline customers show --seed 3 --reveal",
)

_STYLES = {"holds": "green", "does not hold": "red", "cannot say": "yellow"}
_COUNTED = {"holds": "hold", "does not hold": "do not", "cannot say": "cannot say"}

Variant = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Mix of customers: default, sceptical, impulsive or analytical."),
]
Kind = Annotated[str | None, typer.Option(metavar="KIND", help="rules, worded or model. (default: rules)")]
Domain = Annotated[str | None, typer.Option(metavar="NAME", help="Only this product. (default: all)")]


@customers.command()
def validate(
    variant: Variant = None,
    customer: Kind = None,
    domain: Domain = None,
    env_kwargs: arguments.EnvKwargs = None,
    sessions: Annotated[
        int | None, typer.Option(metavar="N", help="Calls per seller. (default: 1000; 200 with --quick)")
    ] = None,
    seed: arguments.Seed = None,
    policy: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="A trained policy, the top of the ladder. (default: the matrix's own)"),
    ] = None,
    matrix_variant: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Train and test on this variant. Repeat for more. (default: all four)"),
    ] = None,
    matrix_updates: Annotated[
        int | None,
        typer.Option(metavar="N", help="Updates of each policy; 0 for no matrix. (default: 250; 8 with --quick)"),
    ] = None,
    matrix_seeds: Annotated[
        int | None, typer.Option(metavar="N", help="Policies per variant. (default: 5; 2 with --quick)")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A small budget, to see that everything runs.")] = False,
    workers: Annotated[int | None, typer.Option(metavar="N", help="Processes at once. (default: 2)")] = None,
    concurrency: arguments.Concurrency = None,
    retries: arguments.Retries = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Of the report. (default: docs/results; runs/results with --quick)"),
    ] = None,
    runs: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Of the policies. (default: runs/customers)")
    ] = None,
    resume: Annotated[
        bool | None, typer.Option("--resume/--no-resume", help="Take over policies that are trained. (default: resume)")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 when a statement does not hold.")] = False,
    as_json: arguments.Json = False,
) -> None:
    """Check the customer before trusting what is measured on it, and write customers.json and customers.md.

    Persona, people who never buy, what follows what, faults, sellers that cheat, policies on customers that they were
    not trained on: each statement with an interval, a bound and a verdict.

    Example: fogline customers validate --quick --variant sceptical --out report
    """
    from fogline.benchmarks.customers.config import ValidationConfig
    from fogline.cli.options import build_config, key_values

    flags: dict[str, Any] = {
        "variant": variant, "customer": customer, "domain": domain, "env_kwargs": key_values(env_kwargs, "--set"),
        "sessions": sessions, "seed": seed, "policy": _text(policy), "matrix_variants": tuple(matrix_variant or ()),
        "matrix_updates": matrix_updates, "matrix_seeds": matrix_seeds, "quick": quick, "workers": workers,
        "concurrency": concurrency, "retries": retries, "out": _text(out), "runs": _text(runs), "resume": resume,
    }  # fmt: skip
    report, files = _validated(build_config(ValidationConfig, {}, flags))
    if as_json:
        print_json(report.to_json())
    else:
        _show_report(report, files)
    if strict and report.refuted:
        raise typer.Exit(1)


@customers.command()
def show(
    variant: Variant = None,
    customer: Kind = None,
    domain: Domain = None,
    task: Annotated[str | None, typer.Option(metavar="ID", help="Which customer. (default: the seed decides)")] = None,
    seed: arguments.Seed = None,
    agent: Annotated[
        str | None, typer.Option("--agent", "-a", metavar="NAME", help="Who sells. (default: scripted)")
    ] = None,
    env_kwargs: arguments.EnvKwargs = None,
    reveal: Annotated[
        bool, typer.Option("--reveal", help="Say afterwards who the customer was, which no seller is told.")
    ] = False,
    as_json: arguments.Json = False,
) -> None:
    """Listen to one call.

    Example: fogline customers show --variant impulsive --domain mobile-plan --seed 3 --reveal
    """
    from fogline.benchmarks.customers.showing import ShowConfig, play_call
    from fogline.cli.options import build_config, key_values

    flags: dict[str, Any] = {
        "variant": variant, "customer": customer, "domain": domain, "task": task, "seed": seed, "agent": agent,
        "env_kwargs": key_values(env_kwargs, "--set"),
    }  # fmt: skip
    call = play_call(build_config(ShowConfig, {}, flags))
    if as_json:
        print_json(call.to_json(reveal=reveal))
    else:
        _show_call(call, reveal)
    if call.failure is not None:
        print_error(call.failure)
        raise typer.Exit(1)


def _validated(config: ValidationConfig) -> tuple[ValidationReport, list[Path]]:
    from fogline.benchmarks.customers.report import write_report
    from fogline.benchmarks.customers.validation import validate as run
    from fogline.cli.options import command_line
    from fogline.cli.progress import ProgressBar

    with ProgressBar("calls") as bar:
        try:
            report = run(config, progress=bar.update, command=command_line())
        except KeyboardInterrupt:
            if config.budget.matrix_updates:
                print_note(f"Policies that are trained stay in {config.policies_folder}; the same command takes them.")
            raise
    return report, write_report(report)


def _show_report(report: ValidationReport, files: list[Path]) -> None:
    from rich.text import Text

    from fogline.benchmarks.customers.report import interval_of, value_of
    from fogline.benchmarks.reproduce.report import duration
    from fogline.cli.tables import NOTHING, table

    out = console()
    columns: list[Any] = [("Measured", {"justify": "right", "no_wrap": True}), ("Verdict", {"no_wrap": True})]
    for section in dict.fromkeys(item.section for item in report.checks):
        rows = []
        for item in report.checks:
            if item.section == section:
                bounds = "" if item.measured.interval is None else f" [{interval_of(item).replace(' ', '')}]"
                measured = NOTHING if item.measured.value is None else value_of(item) + bounds
                rows.append((item.statement, measured, Text(item.verdict, style=_STYLES[item.verdict])))
        out.print(table("", [section, *columns], rows))
    counted = ", ".join(
        f"{sum(item.verdict == verdict for item in report.checks)} {words}" for verdict, words in _COUNTED.items()
    )
    lines = [f"{len(report.checks)} statements: {counted}. {duration(report.wall_clock_s)} in all."]
    for line in [*lines, *report.notes, *(f"Written: {file}" for file in files)]:
        out.print(clean(line), soft_wrap=True)


def _show_call(call: Call, reveal: bool) -> None:
    from rich.text import Text

    out = console()

    def say(text: str, style: str = "") -> None:
        out.print(Text(clean(text), style=style))

    say(f"{call.company} sells {call.product} · customer {call.task_id}, seed {call.seed}", "bold")
    for turn in call.spoken:
        if turn.act or turn.words:
            costs = ", ".join(f"{name} {value:.2f}" for name, value in turn.costs.items())
            out.print()
            say(f"Seller ({turn.act}): {turn.words or '(nothing)'}", "cyan")
            if costs:
                say(f"  costs: {costs}", "red")
        say(f"Customer ({turn.customer_act.replace('_', ' ')}): {turn.reply}", "yellow")
    out.print()
    if call.failure is None:
        won = "converted" if call.metrics["converted"] else "not converted"
        say(f"{won} after {call.metrics['turns']} turns ({call.status}), reward {call.reward:.3f}", "bold")
    if reveal:
        shown = ", ".join(f"{name} {_plain(value)}" for name, value in call.latent.items())
        say(f"The customer was: {shown}", "dim")


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.2f}"
    return ", ".join(value) or "none" if isinstance(value, tuple | list) else str(value)


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
