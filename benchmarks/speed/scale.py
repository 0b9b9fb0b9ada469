"""Engines of several processes beside one, and the store under a thousand episodes at once."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import TYPE_CHECKING, Any

from fogline.agents.collector import collect, collect_all
from fogline.agents.environments import make_environment
from fogline.agents.registry import make_agent
from fogline.agents.rollout import Assignment
from fogline.benchmarks.recording import Recorder
from fogline.benchmarks.speed.report import QUICK, Effort, Finding
from fogline.benchmarks.speed.timing import MeasurementFailed, Spread, alternate
from fogline.benchmarks.speed.trivial import SayTheSame, WaitingText

if TYPE_CHECKING:
    from fogline.core.engine import Engine

NAME = "scale"
WORKERS = 2
ENVIRONMENT, AGENT = "SiloBench-v0", "tree"
AT_ONCE = 1_000
WAIT_S = 0.010
TURNS = 10
_CHUNK = 8


def run(effort: Effort) -> list[Finding]:
    """Measure the engines that are there, then the store."""
    whole = effort.rounds > QUICK.rounds
    rounds = 5 if whole else 1
    return [*engines(960 if whole else 16, rounds), storing(AT_ONCE * (3 if whole else 1), rounds)]


# Engines


def engines(episodes: int, rounds: int) -> list[Finding]:
    """A small evaluation in one process, in a pool, and on Ray where it is installed."""
    from fogline.core.engine import make_engine

    names = ["process", *(["ray"] if importlib.util.find_spec("ray") is not None else [])]
    factory = partial(make_environment, ENVIRONMENT, {"n_agents": 5})
    env = factory()
    try:
        tasks = env.task_ids
    finally:
        env.close()
    assignments = [Assignment(tasks[seed % len(tasks)], seed) for seed in range(episodes)]
    opened = {name: make_engine(name, WORKERS) for name in names}
    try:
        play = partial(_rate, factory, assignments)
        ways: dict[str, Callable[[], float]] = {"inline": partial(play, None)}
        ways.update({name: partial(play, engine) for name, engine in opened.items()})
        rates = alternate(ways, rounds)
    finally:
        for engine in opened.values():
            engine.close()
    return [_engine_finding(name, rates[name], rates["inline"], episodes) for name in names]


def _rate(factory: Callable[[], Any], assignments: Sequence[Assignment], engine: Engine | None) -> float:
    began = perf_counter()
    played = collect_all(factory, make_agent(AGENT, ENVIRONMENT), assignments, engine=engine, chunk=_CHUNK)
    spent = perf_counter() - began
    if not all(episode.scored for episode in played):
        raise MeasurementFailed(f"not all of {len(assignments)} episodes of {ENVIRONMENT} were scored.")
    return len(assignments) / spent


def _engine_finding(name: str, rates: list[float], inline: list[float], episodes: int) -> Finding:
    return Finding(
        benchmark=NAME,
        case=f"{episodes} episodes, {ENVIRONMENT}, 5 seats, {AGENT}",
        subject=f"engine={name!r}, {WORKERS} workers",
        peer="engine='inline'",
        unit="episodes/s",
        subject_value=Spread.of(rates),
        peer_value=Spread.of(inline),
        quantity="times the rate of one process",
        seen=Spread.of([here / there for here, there in zip(rates, inline, strict=True)]),
        seen_unit="×",
        note=f"workers are up before the clock runs; chunks of {_CHUNK}; at most {WORKERS}, and less on a busy machine",
    )


# The store


def storing(episodes: int, rounds: int) -> Finding:
    """A thousand waiting episodes in flight, each written to SQLite as it ends, beside the same without a store."""
    with TemporaryDirectory() as folder:
        numbers = iter(range(10_000))
        rates = alternate(
            {
                "stored": lambda: _played(episodes, Path(folder) / f"{next(numbers)}.db"),
                "played": lambda: _played(episodes, None),
            },
            rounds,
        )
    seen = Spread.of(rates["stored"])
    return Finding(
        benchmark=NAME,
        case=f"{AT_ONCE:,} episodes in flight, {TURNS} turns of {WAIT_S * 1e3:g} ms",
        subject="collect() into RunStore",
        peer="collect() alone",
        unit="episodes/s",
        subject_value=seen,
        peer_value=Spread.of(rates["played"]),
        quantity="episodes written",
        seen=seen,
        seen_unit="episodes/s",
        note=f"{episodes:,} episodes; one process, an SQLite file; an episode is committed as it ends, or with others",
    )


def _played(episodes: int, store: Path | None) -> float:
    began = perf_counter()
    kept = asyncio.run(_stored(episodes, store) if store is not None else _only_played(episodes))
    spent = perf_counter() - began
    if kept != episodes:
        raise MeasurementFailed(f"{kept} of {episodes} episodes were kept.")
    return episodes / spent


async def _only_played(episodes: int) -> int:
    return len([episode async for episode in _episodes(episodes)])


async def _stored(episodes: int, path: Path) -> int:
    from fogline.core.store import RunStore

    with RunStore(str(path)) as store:
        run_id = store.begin_run("fogline bench", {})
        cell = store.add_cell(run_id, {"bench": NAME})
        async with Recorder(partial(store.add_episodes, run_id, cell)) as recorder:
            async for episode in _episodes(episodes):
                await recorder.add(episode)
        return len(store.finished(cell))


def _episodes(count: int) -> Any:
    assignments = [Assignment("trivial", seed) for seed in range(count)]
    return collect(lambda: WaitingText(TURNS, WAIT_S), SayTheSame(), assignments, concurrency=AT_ONCE)
