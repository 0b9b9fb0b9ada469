"""``fogline sweep``: every task with every size, protocol and team."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fogline.cli import arguments
from fogline.cli.console import clean, console, print_error, print_json, print_note
from fogline.core.errors import ConfigurationError, check_choice

if TYPE_CHECKING:
    from fogline.benchmarks.sweeps.config import SweepConfig
    from fogline.benchmarks.sweeps.ledger import SweepReport

STOPPED_AT_A_LIMIT = 3
_WHAT, _WHO, _LIMITS = "What is swept", "Who plays", "When to stop"

Names = Annotated[str, typer.Argument(help="Which sweep: silo-bench.", show_default=False)]
Preset = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="paper (30 tasks × 6 sizes × 3 protocols × 3 agents) or quick. Other options win over it.",
        rich_help_panel=_WHAT,
    ),
]
Teams = Annotated[
    list[str] | None,
    typer.Option(
        "--agent",
        "-a",
        metavar="NAME",
        help="An agent, module:Class, chat:MODEL, or a mixed team such as tree+silent. Repeat for more. "
        "(default: tree, flood, leader)",
        rich_help_panel=_WHO,
    ),
]
Models = Annotated[
    list[str] | None,
    typer.Option("--model", "-m", metavar="NAME", help="Adds the agent chat:NAME. Repeat.", rich_help_panel=_WHO),
]
TeamOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--agent-option",
        "-o",
        metavar="[AGENT.]KEY=VALUE",
        help="Option of an agent; without a name of the chat agents. JSON, else text. Repeat for more.",
        rich_help_panel=_WHO,
    ),
]
Sizes = Annotated[
    list[int] | None,
    typer.Option("--n-agents", "-N", metavar="N", help="A size. Repeat for more.", rich_help_panel=_WHAT),
]
Protocols = Annotated[
    list[str] | None,
    typer.Option("--protocol", metavar="NAME", help="p2p, broadcast or files. Repeat.", rich_help_panel=_WHAT),
]
Instances = Annotated[
    int | None, typer.Option("--seeds", metavar="N", help="Instances per cell. (default: 1)", rich_help_panel=_WHAT)
]
Baseline = Annotated[
    bool | None,
    typer.Option(
        "--baseline/--no-baseline",
        help="Also play the single-agent oracle, for relative coordination cost. (default: no)",
        rich_help_panel=_WHAT,
    ),
]
Keep = Annotated[
    str | None,
    typer.Option(metavar="WHAT", help="answers, or all for whole transcripts. (default: answers)"),
]
MaxTokens = Annotated[
    int | None,
    typer.Option(metavar="N", help="Begin no cell after so many tokens in all.", rich_help_panel=_LIMITS),
]
MaxCost = Annotated[
    float | None,
    typer.Option(metavar="PRICE", help="Begin no cell after so much was spent.", rich_help_panel=_LIMITS),
]


def sweep(
    name: Names,
    preset: Preset = None,
    agent: Teams = None,
    model: Models = None,
    base_url: arguments.BaseUrl = None,
    agent_options: TeamOptions = None,
    task: arguments.Tasks = None,
    n_agents: Sizes = None,
    protocol: Protocols = None,
    seeds: Instances = None,
    seed: arguments.Seed = None,
    env_kwargs: arguments.EnvKwargs = None,
    baseline: Baseline = None,
    engine: arguments.EngineName = None,
    workers: arguments.Workers = None,
    address: arguments.Address = None,
    concurrency: arguments.Concurrency = None,
    timeout: arguments.Timeout = None,
    retries: arguments.Retries = None,
    store: arguments.StoreOption = None,
    resume: arguments.Resume = None,
    keep: Keep = None,
    prices: arguments.Prices = None,
    cache_dir: arguments.CacheDir = None,
    max_tokens: MaxTokens = None,
    max_cost: MaxCost = None,
    config: arguments.ConfigFile = None,
    dry_run: arguments.DryRun = False,
    as_json: arguments.Json = False,
) -> None:
    """Play every cell of a sweep and store it; give the same command again to go on where it stopped.

    Exit status: 0 when every cell was played, 3 when a limit stopped it before, 1 when nothing was scored.

    Example: fogline sweep silo-bench --preset paper --engine process --store runs.db
    """
    from fogline.cli.sweep_report import show_sweep

    _check_name(name)
    options = _agent_options(agent_options, base_url)
    flags: dict[str, Any] = {
        "agents": _teams(agent, model, options), "agent_options": options, "tasks": tuple(task or ()),
        "n_agents": tuple(n_agents or ()), "protocols": tuple(protocol or ()), "seeds": seeds, "seed": seed,
        "env_kwargs": _pairs(env_kwargs), "baseline": baseline, "engine": engine, "workers": workers,
        "address": address, "concurrency": concurrency, "timeout_s": timeout, "retries": retries, "store": store,
        "resume": resume, "keep": keep, "prices": _text(prices), "cache_dir": _text(cache_dir),
        "max_tokens": max_tokens, "max_cost": max_cost,
    }  # fmt: skip
    settings = _settings(preset, config, flags)
    if dry_run:
        _estimate(settings, as_json)
        return
    report = _play(settings)
    if as_json:
        print_json(report.to_json())
    else:
        show_sweep(report)
    if report.stopped:
        print_note(f"Stopped: {report.stopped}. {report.missing} episodes are left; raise the limit to go on.")
        raise typer.Exit(STOPPED_AT_A_LIMIT)
    if report.unscored and report.scored == 0:
        print_error("nothing was scored: the failures above are the environment's or the infrastructure's.")
        raise typer.Exit(1)


def _check_name(name: str) -> None:
    from fogline.benchmarks.sweeps.config import SWEEP

    check_choice("name", name, (SWEEP,))


def _settings(preset_name: str | None, config: Path | None, flags: dict[str, Any]) -> SweepConfig:
    """The preset, under what the file says, under what the command line says."""
    from fogline.benchmarks.sweeps.config import SweepConfig, preset
    from fogline.cli.options import build_config, read_config_file

    chosen = {} if preset_name is None else preset(preset_name)
    return build_config(SweepConfig, {**chosen, **read_config_file(config)}, flags)


def _pairs(pairs: list[str] | None) -> dict[str, Any]:
    from fogline.cli.options import key_values

    return key_values(pairs, "--set")


def _agent_options(pairs: list[str] | None, base_url: str | None) -> dict[str, dict[str, Any]]:
    """Options by agent. A name may hold dots and colons, an option neither: the last dot divides them."""
    from fogline.cli.options import key_values

    options: dict[str, dict[str, Any]] = {} if base_url is None else {"chat": {"base_url": base_url}}
    by_agent: dict[str, list[str]] = {}
    for pair in pairs or ():
        key, equals, text = pair.partition("=")
        agent, _, option = key.strip().rpartition(".")
        by_agent.setdefault(agent or "chat", []).append(f"{option}{equals}{text}")
    for agent, own in by_agent.items():
        options.setdefault(agent, {}).update(key_values(own, f"--agent-option ({agent})"))
    return options


def _teams(agents: list[str] | None, models: list[str] | None, options: dict[str, dict[str, Any]]) -> tuple[str, ...]:
    """The teams. Where ``chat`` plays by its bare name, the one model given is its own."""
    named = tuple(agents or ())
    if models and any("chat" in team.split("+") for team in named):
        if len(models) > 1:
            raise ConfigurationError(
                f"--agent chat with {len(models)} of --model: expected one, or each as --agent chat:MODEL."
            )
        options.setdefault("chat", {})["model"] = models[0]
        return named
    return named + tuple(f"chat:{model}" for model in models or ())


def _play(settings: SweepConfig) -> SweepReport:
    from fogline.benchmarks.sweeps.running import sweep as run
    from fogline.cli.options import command_line
    from fogline.cli.watching import watched

    command = command_line()
    return watched(lambda tell: run(settings, progress=tell, command=command), settings.store, settings.resume)


def _estimate(settings: SweepConfig, as_json: bool) -> None:
    from dataclasses import asdict

    from fogline.benchmarks.sweeps.cost import estimate_sweep

    estimate = estimate_sweep(settings)
    if as_json:
        print_json(asdict(estimate))
    else:
        console().print(clean(str(estimate)), soft_wrap=True)


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
