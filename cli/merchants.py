"""``fogline merchants``: what would orders be if a merchant did something else?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from fogline.cli import arguments
from fogline.cli.console import console, print_json, print_note
from fogline.cli.merchants_chat import (
    BaseUrl,
    CacheDir,
    Chat,
    Draws,
    DryRun,
    Prices,
    Transcript,
    chat_reasoner,
    show_estimate,
    show_report,
)
from fogline.cli.merchants_shown import (
    plain,
    records,
    show_answers,
    show_evaluation,
    show_fit,
    show_ranking,
    show_totals,
)
from fogline.core.errors import ConfigurationError, missing_dependency

if TYPE_CHECKING:
    import pandas as pd

    from fogline.simulators.merchants.pghs import PGHS
    from fogline.simulators.merchants.reasoning import Reasoner
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
    chat: Chat = None,
    base_url: BaseUrl = None,
    cache_dir: CacheDir = None,
    draws: Draws = 1,
    prices: Prices = None,
    transcript: Transcript = None,
    dry_run: DryRun = False,
    as_json: arguments.Json = False,
) -> None:
    """Learn a what-if model from a log.

    Example: fogline merchants fit runs/log.parquet --model runs/model
    """
    _needed()
    from fogline.cli.options import build_config, read_config_file
    from fogline.simulators.merchants.config import PGHSConfig
    from fogline.simulators.merchants.learning import learning_rows
    from fogline.simulators.merchants.loading import read_log
    from fogline.simulators.merchants.logs import time_split
    from fogline.simulators.merchants.pghs import PGHS
    from fogline.simulators.merchants.policies import PolicyLibrary
    from fogline.simulators.merchants.strategies import LOGGED

    reasoner = chat_reasoner(
        chat, base_url, cache_dir, draws=draws, prices=prices, transcript=transcript, dry_run=dry_run
    )
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
    policies = PolicyLibrary.load(library) if library else None
    if reasoner is not None and dry_run:
        by_rules = PGHS.fit(checked, options.model_copy(update={"replicates": 0}), library=policies)
        learned, compared = learning_rows(by_rules.log.table, time_split(by_rules.log.table))
        show_estimate(reasoner, [(learned, [LOGGED]), (compared, [LOGGED])], by_rules.policy_library, as_json)
        return
    fitted = PGHS.fit(checked, options, reasoner=reasoner, library=policies)
    fitted.save(model)
    if as_json:
        from pydantic import TypeAdapter

        print_json(TypeAdapter(type(fitted.report)).dump_python(fitted.report, mode="json"))
        return
    show_fit(checked, fitted, model)
    if reasoner is not None:
        show_report(reasoner)


@merchants.command()
def evaluate(
    model: Model,
    chat: Chat = None,
    base_url: BaseUrl = None,
    cache_dir: CacheDir = None,
    draws: Draws = 1,
    as_json: arguments.Json = False,
) -> None:
    """Say how far the model is from what happened in the last quarter of the log, which it has not learned from.

    Example: fogline merchants evaluate runs/model
    """
    result = _loaded(model, chat_reasoner(chat, base_url, cache_dir, draws=draws)).evaluate()
    if as_json:
        print_json(result.to_json())
        return
    show_evaluation(result)


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
    address: arguments.Address = None,
    chat: Chat = None,
    base_url: BaseUrl = None,
    cache_dir: CacheDir = None,
    draws: Draws = 1,
    prices: Prices = None,
    transcript: Transcript = None,
    dry_run: DryRun = False,
    as_json: arguments.Json = False,
) -> None:
    """Answer: orders per merchant under each strategy, and the change, with intervals.

    Example: fogline merchants what-if runs/model --strategies strategies.json --out runs/what-if
    """
    from fogline.core.engine import make_engine

    reasoner = chat_reasoner(
        chat, base_url, cache_dir, draws=draws, prices=prices, transcript=transcript, dry_run=dry_run
    )
    fitted, asked = _loaded(model, reasoner), _strategies(strategies)
    if reasoner is not None and dry_run:
        from fogline.simulators.merchants.strategies import LOGGED

        rows = fitted.rows(_window(window), merchant or None)
        show_estimate(reasoner, [(rows, [LOGGED, *asked])], fitted.policy_library, as_json)
        return
    with make_engine(engine, workers, address=address) as runner:
        answers = fitted.what_if(asked, merchants=merchant or None, window=_window(window), engine=runner)
    if out is not None:
        _write_answers(fitted, answers, out)
    if as_json:
        print_json(records(answers.table))
        return
    show_totals(answers)
    if merchant:
        show_answers(answers)
    if reasoner is not None and engine == "inline":
        show_report(reasoner)
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
    chat: Chat = None,
    base_url: BaseUrl = None,
    cache_dir: CacheDir = None,
    draws: Draws = 1,
    as_json: arguments.Json = False,
) -> None:
    """Say which strategy is best for all, and which for whom, within a budget.

    Example: fogline merchants rank runs/model --strategies strategies.json --budget 300
    """
    fitted = _loaded(model, chat_reasoner(chat, base_url, cache_dir, draws=draws))
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
    show_ranking(ranking, objective)


@merchants.command()
def explain(
    model: Model,
    merchant: Annotated[str, typer.Argument(metavar="MERCHANT", help="Which.")],
    strategies: Strategies,
    window: Window = "recent",
    chat: Chat = None,
    base_url: BaseUrl = None,
    cache_dir: CacheDir = None,
    draws: Draws = 1,
) -> None:
    """Say why a merchant's orders would change: which policies move, and on how much evidence.

    Example: fogline merchants explain runs/model m003 --strategies strategies.json
    """
    fitted = _loaded(model, chat_reasoner(chat, base_url, cache_dir, draws=draws))
    for strategy in _strategies(strategies):
        for line in fitted.explain(merchant, strategy, window=_window(window)).lines():
            console().print(line, soft_wrap=True)


@merchants.command()
def diagnose(
    model: Model,
    merchant: Annotated[str, typer.Argument(metavar="MERCHANT", help="Which.")],
    window: Window = "all",
    chat: Chat = None,
    base_url: BaseUrl = None,
    cache_dir: CacheDir = None,
    draws: Draws = 1,
    as_json: arguments.Json = False,
) -> None:
    """Say where a merchant loses people, by stage and policy, beside others of its category.

    Example: fogline merchants diagnose runs/model m003
    """
    found = _loaded(model, chat_reasoner(chat, base_url, cache_dir, draws=draws)).diagnose(
        merchant, window=_window(window)
    )
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


def _loaded(folder: Path, reasoner: Reasoner | None) -> PGHS:
    """A model; one that was fitted with a chat model wants the same one again."""
    _needed()
    from fogline.simulators.merchants.pghs import PGHS

    return PGHS.load(folder, reasoner=reasoner)


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
