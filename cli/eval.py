"""``fogline eval``: play every task, store every episode, show the scores."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from fogline.cli import arguments
from fogline.cli.console import clean, console, print_error, print_json

if TYPE_CHECKING:
    from fogline.benchmarks.evaluation import EvalConfig, EvalReport


def evaluate(
    env: arguments.MaybeEnv = None,
    agent: arguments.Agents = None,
    env_kwargs: arguments.EnvKwargs = None,
    agent_options: arguments.AgentOptions = None,
    decoding: arguments.Decoding = None,
    model: arguments.Model = None,
    base_url: arguments.BaseUrl = None,
    task: arguments.Tasks = None,
    limit: arguments.Limit = None,
    samples: arguments.Samples = None,
    seed: arguments.Seed = None,
    concurrency: arguments.Concurrency = None,
    engine: arguments.EngineName = None,
    workers: arguments.Workers = None,
    address: arguments.Address = None,
    timeout: arguments.Timeout = None,
    retries: arguments.Retries = None,
    store: arguments.StoreOption = None,
    resume: arguments.Resume = None,
    prices: arguments.Prices = None,
    cache_dir: arguments.CacheDir = None,
    config: arguments.ConfigFile = None,
    dry_run: arguments.DryRun = False,
    as_json: arguments.Json = False,
) -> None:
    """Evaluate an agent: every task, every sample, scored and stored.

    A run that was stopped goes on where it was: give the same command again.

    Example: fogline eval TrustSQL-v0 --agent heuristic --limit 20 --samples 4 --store runs.db

    With a model that sees: fogline eval ObjectPresence-v0 --model FOLDER --decoding pnd -o saliency=attention
    """
    from fogline.cli.options import key_values

    options = key_values(agent_options, "--agent-option")
    given = (("model", model), ("base_url", base_url), ("decoding", decoding))
    options.update({name: value for name, value in given if value is not None})
    agent = _decoded(agent) if decoding is not None else agent
    flags: dict[str, Any] = {
        "env": env, "env_kwargs": key_values(env_kwargs, "--set"), "agent_options": options,
        "tasks": tuple(task or ()), "limit": limit, "samples": samples, "seed": seed, "concurrency": concurrency,
        "engine": engine, "workers": workers, "address": address, "timeout_s": timeout, "retries": retries,
        "store": store, "resume": resume, "prices": _text(prices), "cache_dir": _text(cache_dir),
    }  # fmt: skip
    all_settings = _settings(config, flags, agent)
    if dry_run:
        _estimate(all_settings, as_json)
        return
    reports = [_play(settings) for settings in all_settings]
    _show(reports, as_json)
    if any(report.summary.scored == 0 for report in reports):
        print_error("no episode was scored: the failures above are the environment's or the infrastructure's.")
        raise typer.Exit(1)


def _decoded(agents: list[str] | None) -> list[str]:
    """Who decodes, where ``--decoding`` is given.

    Raises:
        ConfigurationError: Somebody else was asked for.
    """
    from fogline.agents.registry import SEEING
    from fogline.core.errors import ConfigurationError

    for name in agents or ():
        if name != SEEING:
            raise ConfigurationError(
                f"--decoding with --agent {name!r}: only a model that sees is decoded. Leave --agent out, and name the "
                "model with --model FOLDER."
            )
    return [SEEING]


def _settings(config: Path | None, flags: dict[str, Any], agents: list[str] | None) -> list[EvalConfig]:
    """One configuration per agent, all of them checked before the first one plays."""
    from fogline.benchmarks.evaluation import EvalConfig, make_plan
    from fogline.cli.options import build_config, read_config_file

    file = read_config_file(config)
    names: list[str | None] = [*agents] if agents else [None]
    built = [build_config(EvalConfig, file, {**flags, "agent": name}) for name in names]
    for settings in built[1:]:
        make_plan(settings)
    return built


def _play(settings: EvalConfig) -> EvalReport:
    from fogline.benchmarks.evaluation import evaluate as run
    from fogline.cli.options import command_line
    from fogline.cli.watching import watched

    command = command_line()
    return watched(lambda tell: run(settings, progress=tell, command=command), settings.store, settings.resume)


def _estimate(all_settings: list[EvalConfig], as_json: bool) -> None:
    from dataclasses import asdict

    from fogline.benchmarks.cost import estimate_cost
    from fogline.cli.eval_report import player

    costs = [estimate_cost(settings) for settings in all_settings]
    if as_json:
        print_json(_one_or_all([asdict(cost) for cost in costs]))
        return
    for settings, cost in zip(all_settings, costs, strict=True):
        console().print(clean(f"{settings.env} · {player(settings)}\n{cost}"), soft_wrap=True)


def _show(reports: list[EvalReport], as_json: bool) -> None:
    from fogline.cli.eval_report import show_comparison, show_report

    if as_json:
        print_json(_one_or_all([report.to_json() for report in reports]))
    elif len(reports) == 1:
        show_report(reports[0])
    else:
        show_comparison(reports)


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _one_or_all(items: list[Any]) -> Any:
    """A single agent's result stands alone; several make a list."""
    return items[0] if len(items) == 1 else items
