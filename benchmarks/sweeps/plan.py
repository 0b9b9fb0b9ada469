"""From a configuration to cells, all of them checked before the first one plays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import product
from typing import Any

from fogline.agents.registry import check_agent
from fogline.agents.rollout import Assignment
from fogline.benchmarks.evaluation import sample_seeds
from fogline.benchmarks.sweeps.cells import TEAM, SweepCell
from fogline.benchmarks.sweeps.config import SweepConfig
from fogline.benchmarks.sweeps.teams import is_chat, options_of, registered_name
from fogline.core.errors import ConfigurationError, suggestion
from fogline.core.store import cell_key
from fogline.envs.silo_bench.config import SiloConfig, read_config
from fogline.envs.silo_bench.parallel import NAME, VERSION
from fogline.envs.silo_bench.tasks.catalogue import TASKS

BASELINE_PROTOCOL = "p2p"
"""Of the single-agent oracle, which has nobody to talk to."""
_SET_BY_THE_SWEEP = ("task", "n_agents", "protocol", "scale", "instances")


def plan_cells(config: SweepConfig) -> list[SweepCell]:
    """Lay a sweep out, without playing or storing.

    Returns:
        The cells in the order in which they are played: by their keys. That is a random order which is the same every
        time, so the time left is foretold well, and a sweep that is stopped has played a fair sample of all.

    Raises:
        ConfigurationError: For an unknown task, agent, option or keyword.
    """
    _check(config)
    seeds = sample_seeds(config.seed, config.seeds)
    cells = [_cell(config, members, keywords, seeds) for members, keywords in _combinations(config)]
    return sorted({cell.key: cell for cell in cells}.values(), key=lambda cell: cell.key)


def repeated(cell: SweepCell, run_id: str) -> SweepCell:
    """The same cell under a key of the run's own: nothing that is stored counts as done."""
    config = {**cell.config, "repeated_in_run": run_id}
    return replace(cell, key=cell_key(config), config=config)


def _combinations(config: SweepConfig) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """Members of the team and keywords of the environment of every cell."""
    tasks = config.tasks or tuple(TASKS)
    teams = [tuple(team.split(TEAM)) for team in config.agents]
    for members, task, size, protocol in product(teams, tasks, config.n_agents, config.protocols):
        yield members, {"task": task, "n_agents": size, "protocol": protocol}
    if config.baseline:
        for members, task, size in product(teams, tasks, config.n_agents):
            yield members[:1], {"task": task, "n_agents": 1, "protocol": BASELINE_PROTOCOL, "scale": size}


def _cell(
    config: SweepConfig, members: tuple[str, ...], keywords: Mapping[str, Any], seeds: tuple[int, ...]
) -> SweepCell:
    env_kwargs = {**config.env_kwargs, **keywords}
    if any(map(is_chat, members)):
        env_kwargs.setdefault("actions", "text")
    rules = _rules({**env_kwargs, "instances": max(config.seeds, _default("instances"))})
    options = {name: chosen for name in members if (chosen := options_of(config, name))}
    content = {
        "env": NAME,
        "env_kwargs": env_kwargs,
        "simulator_version": VERSION,
        "agents": list(members),
        "agent_options": options,
    }
    assignments = tuple(Assignment(f"{rules.task[0]}/{number}", seed) for number, seed in enumerate(seeds))
    return SweepCell(cell_key(content), content, members, {**env_kwargs, "instances": rules.instances}, assignments)


def _check(config: SweepConfig) -> None:
    """Refuse what no cell could be made of."""
    if config.address is not None and config.engine != "ray":
        raise ConfigurationError(f"address={config.address!r} with engine={config.engine!r}: expected engine='ray'.")
    if config.engine == "inline" and config.workers not in (None, 1):
        raise ConfigurationError(f"workers={config.workers} with engine='inline': expected engine='process'.")
    if config.max_cost is not None and config.prices is None:
        raise ConfigurationError(f"max_cost={config.max_cost} without prices: expected a price list to reckon with.")
    for name in _SET_BY_THE_SWEEP:
        if name in config.env_kwargs:
            raise ConfigurationError(f"env_kwargs names {name!r}, which the sweep sets itself: use its own option.")
    named = dict.fromkeys(member for team in config.agents for member in team.split(TEAM))
    for name in config.agent_options:
        if name not in named and not (name == "chat" and any(map(is_chat, named))):
            raise ConfigurationError(
                f"agent_options names {name!r}, who does not play: expected {', '.join(map(repr, named))}."
                f"{suggestion(name, named)}"
            )
    for name in named:
        check_agent(registered_name(name), NAME, options_of(config, name))


def _rules(keywords: Mapping[str, Any]) -> SiloConfig:
    try:
        return read_config(keywords)
    except TypeError as error:
        raise ConfigurationError(str(error)) from error


def _default(name: str) -> Any:
    return SiloConfig.model_fields[name].default
