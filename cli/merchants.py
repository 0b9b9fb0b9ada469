"""``fogline merchants``: what would orders be if a merchant did something else?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from fogline.cli import arguments
from fogline.cli.console import console, print_json, print_note
from fogline.cli.merchants_shown import plain, records, show_answers, show_fit, show_totals
from fogline.core.errors import ConfigurationError, missing_dependency

if TYPE_CHECKING:
    import pandas as pd

    from fogline.simulators.merchants.pghs import PGHS
    from fogline.simulators.merchants.strategies import Strategy
    from fogline.simulators.merchants.what_if import WhatIf

merchants = typer.Typer(
    no_args_is_help=True,
    help="What would orders be if a merchant did something else? Learned from a log.\n\nExample: "
    "fogline merchants world --out runs/log.parquet",
)

Model = Annotated[Path, typer.Argument(metavar="MODEL", help="Folder that `fogline merchants fit` wrote.")]
Strategies = Annotated[
    Path, typer.Option("--strategies", "-s", metavar="FILE", help="Strategies, JSON; see `fogline merchants schema`.")
]
Window = Annotated[
    str, typer.Option(metavar="NAME", help="Which trajectories: recent (the last quarter of the time) or all.")
]
Who = Annotated[
    list[str] | None, typer.Option("--merchant", metavar="ID", help="Only this one. Repeat for more. (default: all)")
]
_STRATEGY_EXAMPLE = (
    '[{"name": "ten off", "interventions": '
    '[{"field": "discount", "op": "set", "value": 0.1, "cost": {"fixed": 5, "per_order": 0}}]}]'
)


@merchants.command()
def schema(as_json: arguments.Json = False) -> None:
    """Show the columns of a log, and how a file of strategies is written.

    Example: fogline merchants schema
    """
    from fogline.cli.tables import table
    from fogline.simulators.merchants.columns import COLUMNS, LEVERS

    if as_json:
        from dataclasses import asdict

        print_json([asdict(column) for column in COLUMNS.values()])
        return
    rows = [
        (
            column.name,
            "required" if column.required else "",
            column.kind,
            "lever" if column.lever else column.role,
            column.meaning + (f" ({', '.join(column.choices)})" if column.choices else ""),
        )
        for column in COLUMNS.values()
    ]
    console().print(table("Columns of a log, one row per trajectory", ["Column", "", "Kind", "Role", "Meaning"], rows))
    console().print(f"Levers: {', '.join(LEVERS)}.\nA file of strategies: {_STRATEGY_EXAMPLE}", soft_wrap=True)


@merchants.command()
def world(
    out: Annotated[Path, typer.Option(metavar="FILE", help="The log: .parquet or .csv.")],
    seed: arguments.Seed = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A knob, such as n_merchants=40. Repeat for more."),
    ] = None,
) -> None:
    """Make the log of a synthetic market, to try things on.

    Example: fogline merchants world --out runs/log.parquet --seed 1
    """
    _needed()
    from fogline.cli.options import build_config, key_values
    from fogline.simulators.merchants.world import WorldConfig, make_world

    config = build_config(WorldConfig, {}, key_values(set_, "--set"))
    table = make_world(config, seed or 0).table()
    out.parent.mkdir(parents=True, exist_ok=True)
    _write(table, out)
    print_note(f"{len(table):,} trajectories of {table['merchant_id'].nunique():,} merchants. Read {out}")


@merchants.command()
def fit(
    log: Annotated[str, typer.Argument(metavar="LOG", help="CSV, Parquet, or the URL of a database.")],
    model: Annotated[Path, typer.Option("--model", "-m", metavar="FOLDER", help="Where the model is written.")],
    table: Annotated[str | None, typer.Option(metavar="NAME", help="Table of a database.")] = None,
    query: Annotated[str | None, typer.Option(metavar="SQL", help="Or what to select from it.")] = None,
    time_zone: Annotated[str, typer.Option(metavar="NAME", help="Of times that name none.")] = "UTC",
    rename: Annotated[
        list[str] | None,
        typer.Option(metavar="YOURS=SCHEMA", help="A column's name in the log, and in the schema. Repeat for more."),
    ] = None,
    events: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="One row per action, where the log lacks what was done."),
    ] = None,
    keep_first: Annotated[bool, typer.Option("--keep-first", help="Of equal trajectory_ids keep the first.")] = False,
    library: Annotated[Path | None, typer.Option(metavar="FILE", help="Policies to use, edited perhaps.")] = None,
    config: arguments.ConfigFile = None,
    seed: arguments.Seed = None,
    as_json: arguments.Json = False,
) -> None:
    """Learn a what-if model from a log.

    Example: fogline merchants fit runs/log.parquet --model runs/model
    """
    _needed()
    from fogline.cli.options import build_config, read_config_file
    from fogline.simulators.merchants.config import PGHSConfig
    from fogline.simulators.merchants.loading import read_log
    from fogline.simulators.merchants.pghs import PGHS
    from fogline.simulators.merchants.policies import PolicyLibrary

    options = build_config(PGHSConfig, read_config_file(config), {"seed": seed})
    checked = read_log(
        log,
        events=events,
        table=table,
        query=query,
        time_zone=time_zone,
        rename=_renamed(rename),
        on_duplicate="keep_first" if keep_first else "error",
    )
    fitted = PGHS.fit(checked, options, library=PolicyLibrary.load(library) if library else None)
    fitted.save(model)
    if as_json:
        from pydantic import TypeAdapter

        print_json(TypeAdapter(type(fitted.report)).dump_python(fitted.report, mode="json"))
        return
    show_fit(checked, fitted, model)


@merchants.command()
def evaluate(model: Model, as_json: arguments.Json = False) -> None:
    """Say how far the model is from what happened in the last quarter of the log, which it has not learned from.

    Example: fogline merchants evaluate runs/model
    """
    from fogline.cli.tables import number, table

    result = _loaded(model).evaluate()
    if as_json:
        print_json(result.to_json())
        return
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


@merchants.command("what-if")
def what_if(
    model: Model,
    strategies: Strategies,
    merchant: Who = None,
    window: Window = "recent",
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Of answers.parquet, totals.parquet and index.html.")
    ] = None,
    engine: Annotated[str, typer.Option(metavar="NAME", help="inline, process or ray.")] = "inline",
    workers: Annotated[int | None, typer.Option(metavar="N", help="Processes at once.")] = None,
    as_json: arguments.Json = False,
) -> None:
    """Answer: orders per merchant under each strategy, and the change, with intervals.

    Example: fogline merchants what-if runs/model --strategies strategies.json --out runs/what-if
    """
    fitted, asked = _loaded(model), _strategies(strategies)
    from fogline.core.engine import make_engine

    with make_engine(engine, workers) as runner:
        answers = fitted.what_if(asked, merchants=merchant or None, window=_window(window), engine=runner)
    if out is not None:
        _write_answers(fitted, answers, out)
    if as_json:
        print_json(records(answers.table))
        return
    show_totals(answers)
    if merchant:
        show_answers(answers)
    if out is not None:
        print_note(f"Read {out / 'index.html'}")


@merchants.command()
def rank(
    model: Model,
    strategies: Strategies,
    objective: Annotated[str, typer.Option(metavar="NAME", help="profit, revenue or orders.")] = "profit",
    budget: Annotated[float | None, typer.Option(metavar="N", help="Most to spend, in price levels.")] = None,
    margin: Annotated[float, typer.Option(metavar="SHARE", help="Share of revenue that is profit.")] = 0.35,
    merchant: Who = None,
    window: Window = "recent",
    as_json: arguments.Json = False,
) -> None:
    """Say which strategy is best for all, and which for whom, within a budget.

    Example: fogline merchants rank runs/model --strategies strategies.json --budget 300
    """
    from fogline.cli.tables import table

    fitted = _loaded(model)
    ranking = fitted.rank(
        _strategies(strategies),
        objective=cast("Literal['orders', 'revenue', 'profit']", objective),
        budget=budget,
        margin=margin,
        merchants=merchant or None,
        window=_window(window),
    )
    if as_json:
        print_json({"for_all": records(ranking.for_all), "by_merchant": records(ranking.by_merchant)})
        return
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


@merchants.command()
def explain(
    model: Model,
    merchant: Annotated[str, typer.Argument(metavar="MERCHANT", help="Which.")],
    strategies: Strategies,
    window: Window = "recent",
) -> None:
    """Say why a merchant's orders would change: which policies move, and on how much evidence.

    Example: fogline merchants explain runs/model m003 --strategies strategies.json
    """
    fitted = _loaded(model)
    for strategy in _strategies(strategies):
        for line in fitted.explain(merchant, strategy, window=_window(window)).lines():
            console().print(line, soft_wrap=True)


@merchants.command()
def diagnose(
    model: Model,
    merchant: Annotated[str, typer.Argument(metavar="MERCHANT", help="Which.")],
    window: Window = "all",
    as_json: arguments.Json = False,
) -> None:
    """Say where a merchant loses people, by stage and policy, beside others of its category.

    Example: fogline merchants diagnose runs/model m003
    """
    found = _loaded(model).diagnose(merchant, window=_window(window))
    if as_json:
        print_json({"peers": found.peers, "gaps": records(found.gaps), "levers": records(found.levers)})
        return
    for line in found.lines():
        console().print(line, soft_wrap=True)
    from fogline.cli.tables import table

    rows = [
        (row["lever"], *(plain(row[key], 3) for key in ("value", "peers_low", "peers_median", "peers_high")))
        for row in found.levers.to_dict("records")
    ]
    console().print(table("Beside its peers", ["Lever", "Here", "25 %", "Median", "75 %"], rows))


def _needed() -> None:
    for package in ("pandas", "lightgbm", "sklearn", "scipy", "pyarrow"):
        try:
            __import__(package)
        except ImportError as error:
            raise missing_dependency(package, "merchant") from error


def _loaded(folder: Path) -> PGHS:
    _needed()
    from fogline.simulators.merchants.pghs import PGHS

    return PGHS.load(folder)


def _strategies(path: Path) -> tuple[Strategy, ...]:
    from fogline.simulators.merchants.strategies import load_strategies

    return load_strategies(path)


def _window(name: str) -> Literal["recent", "all"]:
    return cast("Literal['recent', 'all']", name)


def _renamed(pairs: list[str] | None) -> dict[str, str]:
    found = {}
    for pair in pairs or ():
        yours, equals, ours = pair.partition("=")
        if not equals:
            raise ConfigurationError(f"--rename {pair!r}: expected your name, an equals sign, and the schema's.")
        found[yours] = ours
    return found


def _write(table: pd.DataFrame, path: Path) -> None:
    if path.suffix == ".parquet":
        table.to_parquet(path)
    elif path.suffix == ".csv":
        table.to_csv(path, index=False)
    else:
        raise ConfigurationError(f"--out {str(path)!r}: expected a name that ends in .parquet or .csv.")


def _write_answers(fitted: PGHS, answers: WhatIf, folder: Path) -> None:
    from fogline.benchmarks.merchants.page import page

    folder.mkdir(parents=True, exist_ok=True)
    answers.table.to_parquet(folder / "answers.parquet")
    answers.totals().to_parquet(folder / "totals.parquet")
    (folder / "index.html").write_text(page(fitted, answers), "utf-8")
