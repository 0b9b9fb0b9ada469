"""Evaluate an agent: play every task with every seed, store each episode as it ends, and sum up the store.

Stopping at any moment loses at most the episodes in flight: the same configuration finds its own results
again and plays what is missing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import aclosing, closing, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from itertools import count
from time import perf_counter
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from fogline.agents.agent import Agent
from fogline.agents.collector import collect
from fogline.agents.environments import choose_tasks, environment_name, make_environment, task_ids_of
from fogline.agents.registry import SEEING, check_agent, make_agent
from fogline.agents.rollout import Assignment
from fogline.benchmarks.aggregation import Summary, aggregate
from fogline.benchmarks.measures import suite_module, suite_of
from fogline.benchmarks.recording import Progress, Recorder
from fogline.core.engine import Engine, make_engine
from fogline.core.episode import Episode
from fogline.core.errors import ConfigurationError
from fogline.core.redaction import redact
from fogline.core.store import RunStore

_CHAT_ONLY = ("prices", "cache_dir")


class EvalConfig(BaseModel):
    """What ``fogline eval`` does; the command line, a file and Python build the same.

    Attributes:
        env: Registered id of the environment.
        agent: Name of the agent, or ``"module:Class"``.
        env_kwargs: Keywords of the environment.
        agent_options: Keywords of the agent.
        tasks: Only these tasks; all where empty.
        limit: Only so many tasks, the first ones.
        samples: Episodes per task, each with a seed of its own: the k of Avg@k.
        seed: Base seed. The first samples of a larger ``samples`` are those of a smaller one.
        concurrency: Episodes in flight in one process.
        engine: ``inline`` plays in this process, ``process`` in several, ``ray`` on a cluster.
        workers: Processes of the engine; one per CPU by default.
        address: Of a running Ray cluster.
        timeout_s: Wall-clock limit of one attempt at an episode, in seconds.
        retries: Further attempts after a failure that is not the agent's.
        store: Path of the SQLite file, or a database URL, where episodes are kept.
        resume: Use what the store has of the same configuration; False plays everything again.
        prices: Price list of chat models (JSON or TOML).
        cache_dir: Folder in which replies of chat models are kept.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    env: str
    agent: str
    env_kwargs: dict[str, Any] = Field(default_factory=dict)
    agent_options: dict[str, Any] = Field(default_factory=dict)
    tasks: Annotated[tuple[str, ...], Field(strict=False)] = ()
    limit: int | None = Field(default=None, ge=1)
    samples: int = Field(default=1, ge=1)
    seed: int = Field(default=0, ge=0)
    concurrency: int = Field(default=16, ge=1)
    engine: Literal["inline", "process", "ray"] = "inline"
    workers: int | None = Field(default=None, ge=1)
    address: str | None = None
    timeout_s: float | None = Field(default=None, gt=0)
    retries: int = Field(default=2, ge=0)
    store: str = "runs.db"
    resume: bool = True
    prices: str | None = None
    cache_dir: str | None = None


class Plan(NamedTuple):
    """What a configuration amounts to.

    Attributes:
        env_id: The environment's own name.
        task_ids: Tasks in order.
        seeds: One seed per sample, shared by the tasks.
        cell: Everything that decides an episode given its task and seed; its hash names the cell.
    """

    env_id: str
    task_ids: tuple[str, ...]
    seeds: tuple[int, ...]
    cell: Mapping[str, Any]

    def assignments(self) -> Iterator[Assignment]:
        """All first samples, then all second ones: a stopped run has covered as many tasks as it could."""
        return (Assignment(task_id, seed) for seed in self.seeds for task_id in self.task_ids)


@dataclass(frozen=True, slots=True)
class EvalReport:
    """The result of an evaluation.

    Attributes:
        config: What was asked for.
        run_id: The run in the store.
        cell_key: The cell that holds the episodes.
        played: Episodes that this run played.
        reused: Episodes that earlier runs had finished.
        wall_s: Seconds that playing took.
        summary: The numbers.
    """

    config: EvalConfig
    run_id: str
    cell_key: str
    played: int
    reused: int
    wall_s: float
    summary: Summary

    def to_json(self) -> dict[str, Any]:
        """JSON-ready dictionary without secrets; intervals are ``[low, high]`` or null."""
        row = {name: getattr(self, name) for name in self.__slots__}
        config = redact(self.config.model_dump(mode="json"))
        return {**row, "config": config, "summary": asdict(self.summary)}


def evaluate(
    config: EvalConfig,
    *,
    progress: Callable[[Progress], None] | None = None,
    command: str = "fogline.benchmarks.evaluate",
) -> EvalReport:
    """Play what the store lacks of the configuration's episodes, then sum up all of them.

    Args:
        config: What to play.
        progress: Called when the total is known and after each episode.
        command: Noted in the store; secrets in it are redacted.

    Raises:
        ConfigurationError: For an unknown environment, agent, task or option.
        DataError: For a damaged data set.
        StoreError: For a store that cannot be used.
    """
    return asyncio.run(evaluate_async(config, progress=progress, command=command))


async def evaluate_async(
    config: EvalConfig,
    *,
    progress: Callable[[Progress], None] | None = None,
    command: str = "fogline.benchmarks.evaluate",
) -> EvalReport:
    """As :func:`evaluate`, for code that already runs in an event loop, such as a notebook."""
    plan = make_plan(config)
    agent = make_agent(config.agent, plan.env_id, env_kwargs=config.env_kwargs, **_agent_options(config))
    with closing(RunStore(config.store)) as store:
        run_id = store.begin_run(command, {**config.model_dump(), "task_ids": plan.task_ids, "seeds": plan.seeds})
        cell = plan.cell if config.resume else {**plan.cell, "repeated_in_run": run_id}
        cell_key = store.add_cell(run_id, cell)
        finished = store.finished(cell_key).intersection(plan.assignments())
        counter = _Counter(len(finished), len(plan.task_ids) * len(plan.seeds), progress)
        began = perf_counter()
        with _open_engine(config) as engine:
            episodes = _episodes(config, plan, agent, engine, finished)
            commit = partial(store.add_episodes, run_id, cell_key)
            async with aclosing(episodes), Recorder(commit) as recorder:
                async for episode in episodes:
                    await recorder.add(episode)
                    counter.count(episode.scored)
        wall_s = perf_counter() - began
        stored = (item.episode for item in store.episodes(cell_key=cell_key))
        summary = aggregate(stored, suite_of(plan.env_id, config.env_kwargs), plan.task_ids, plan.seeds)
    return EvalReport(config, run_id, cell_key, counter.played, len(finished), wall_s, summary)


def _episodes(
    config: EvalConfig, plan: Plan, agent: Agent, engine: Engine | None, finished: set[tuple[str, int]]
) -> AsyncGenerator[Episode, None]:
    return collect(
        partial(make_environment, config.env, config.env_kwargs),
        agent,
        plan.assignments(),
        engine,
        concurrency=config.concurrency,
        timeout_s=config.timeout_s,
        retries=config.retries,
        finished=finished,
    )


def make_plan(config: EvalConfig) -> Plan:
    """Find out which episodes a configuration asks for, and check its options, without playing or storing.

    Raises:
        ConfigurationError: For an unknown environment, agent, task or option.
        DataError: For a damaged data set.
    """
    env_id = environment_name(config.env)
    with closing(make_environment(config.env, config.env_kwargs)) as env:
        task_ids = choose_tasks(task_ids_of(env), config.tasks, config.limit)
        version = str(getattr(env.unwrapped, "simulator_version", ""))
        check_agent(config.agent, env_id, _agent_options(config))
        weights = _weights(config, env)
    module = suite_module(env_id)
    cell = {
        "env": env_id,
        "env_kwargs": config.env_kwargs,
        "simulator_version": version,
        "data": "" if module is None else module.fingerprint(config.env_kwargs),
        "agent": config.agent,
        "agent_options": config.agent_options,
        **weights,
    }
    return Plan(env_id, task_ids, sample_seeds(config.seed, config.samples), cell)


def _weights(config: EvalConfig, env: Any) -> dict[str, Any]:
    """What decides an episode beside the options of an agent that sees: what is in the folders that they name.

    Raises:
        ConfigurationError: Such an agent, and an environment without pictures.
    """
    if config.agent != SEEING:
        return {}
    from fogline.agents.vision import weights_of
    from fogline.trainers.setup import picture_shape

    if picture_shape(env) is None:
        raise ConfigurationError(
            f"agent={SEEING!r} answers questions about pictures, and {config.env!r} shows none: choose an environment "
            "that does, such as ObjectPresence-v0 or VisualTable-v0 with observation=image."
        )
    found = weights_of(_agent_options(config))
    return {"weights": found} if found else {}


def sample_seeds(base_seed: int, samples: int) -> tuple[int, ...]:
    """One seed per sample, all different, by ``SeedSequence``; a longer list begins with the shorter one.

    Args:
        base_seed: At least 0.
        samples: How many seeds.
    """
    seeds: list[int] = []
    for draw in count():
        if len(seeds) == samples:
            break
        seed = int(np.random.SeedSequence([base_seed, draw]).generate_state(1)[0])
        if seed not in seeds:
            seeds.append(seed)
    return tuple(seeds)


class _Counter:
    """Tells the caller how far it is."""

    def __init__(self, done: int, total: int, report: Callable[[Progress], None] | None) -> None:
        self.played = 0
        self._reused = done
        self._total = total
        self._unscored = 0
        self._report = report
        self._tell()

    def count(self, scored: bool) -> None:
        self.played += 1
        self._unscored += not scored
        self._tell()

    def _tell(self) -> None:
        if self._report is not None:
            self._report(Progress(self._reused + self.played, self._total, self._unscored))


@contextmanager
def _open_engine(config: EvalConfig) -> Iterator[Engine | None]:
    """The configured engine while it is needed; None to play in this process."""
    if config.engine == "inline" and config.workers in (None, 1) and config.address is None:
        yield None
        return
    with make_engine(config.engine, config.workers, address=config.address) as engine:
        yield engine


def _agent_options(config: EvalConfig) -> dict[str, Any]:
    chat = {name: getattr(config, name) for name in _CHAT_ONLY if getattr(config, name) is not None}
    if config.agent == "chat":
        chat.setdefault("concurrency", config.concurrency)
    return {**chat, **config.agent_options}
