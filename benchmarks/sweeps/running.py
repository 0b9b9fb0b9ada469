"""Runs a sweep: plays what the store lacks, here or on an engine, and stores it beside the play."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial
from itertools import islice
from math import ceil
from time import perf_counter
from typing import Any

from fogline.agents.collector import STARTING_S, in_background, tried_again
from fogline.benchmarks.recording import Progress, Recorder
from fogline.benchmarks.sweeps.cells import SweepCell
from fogline.benchmarks.sweeps.config import SWEEP, SweepConfig
from fogline.benchmarks.sweeps.ledger import Ledger, SweepReport
from fogline.benchmarks.sweeps.plan import plan_cells, repeated
from fogline.benchmarks.sweeps.playing import Played, Player, Take, play_bundle
from fogline.core.engine import Engine, make_engine
from fogline.core.episode import Episode, Failure
from fogline.core.errors import InfrastructureError
from fogline.core.store import RunStore
from fogline.envs.silo_bench.parallel import NAME, VERSION

Bundle = tuple[SweepCell, ...]


def sweep(
    config: SweepConfig,
    *,
    progress: Callable[[Progress], None] | None = None,
    command: str = "fogline.benchmarks.sweeps",
) -> SweepReport:
    """Play what the store lacks of a sweep.

    Stopping at any moment loses no more than the episodes in flight: the same configuration finds its own cells again
    and plays what is missing or failed.

    Args:
        config: What to play.
        progress: Called when the total is known and after each episode.
        command: Noted in the store; secrets in it are redacted.

    Raises:
        ConfigurationError: For an unknown task, agent, option or keyword.
        DataError: For a damaged price list.
        StoreError: For a store that cannot be used.
    """
    return asyncio.run(sweep_async(config, progress=progress, command=command))


async def sweep_async(
    config: SweepConfig,
    *,
    progress: Callable[[Progress], None] | None = None,
    command: str = "fogline.benchmarks.sweeps",
) -> SweepReport:
    """As :func:`sweep`, for code that already runs in an event loop, such as a notebook."""
    cells = plan_cells(config)
    player = Player(config)
    with closing(RunStore(config.store)) as store:
        run_id = store.begin_run(command, {**config.model_dump(), "sweep": SWEEP})
        if not config.resume:
            cells = [repeated(cell, run_id) for cell in cells]
        store.add_cells(run_id, [cell.config for cell in cells])
        ledger = Ledger(config, run_id, cells, progress)
        finished = store.finished_in(cell.key for cell in cells)
        ledger.reuse(store.episodes(run_id=run_id, latest_only=False))
        left = [cell.without(finished.get(cell.key, ())) for cell in cells]
        began = perf_counter()
        async with Recorder(partial(store.add_episodes_of_cells, run_id)) as recorder:

            async def take(played: Played) -> None:
                await recorder.add(played)
                ledger.add(*played)

            await _play(config, player, [cell for cell in left if cell.assignments], ledger, take)
        return ledger.report(perf_counter() - began)


async def _play(config: SweepConfig, player: Player, cells: Sequence[SweepCell], ledger: Ledger, take: Take) -> None:
    """Play cells here or on the engine; those whose agents wait first, many at once."""
    waiting = [cell for cell in cells if player.waits(cell)]
    others = [cell for cell in cells if not player.waits(cell)]
    if config.engine != "inline":
        with make_engine(config.engine, config.workers, address=config.address) as engine:
            bundles = [*_bundles(waiting, config, engine), *((cell,) for cell in others)]
            await _spread(config, engine, ledger.admitted(bundles), take)
        return
    await player.play(ledger.admitted(waiting), take, at_once=config.concurrency)
    await player.play(ledger.admitted(others), take)


def _bundles(cells: Sequence[SweepCell], config: SweepConfig, engine: Engine) -> Iterator[Bundle]:
    """Episodes that one worker plays at once: as many as may be in flight, but some for every worker."""
    pieces = [piece for cell in cells for piece in cell.pieces()]
    size = max(1, min(config.concurrency, ceil(len(pieces) / engine.workers)))
    left = iter(pieces)
    while bundle := tuple(islice(left, size)):
        yield bundle


async def _spread(config: SweepConfig, engine: Engine, bundles: Iterator[Bundle], take: Take) -> None:
    """Hand bundles to the engine, and the cells of lost workers again, one by one."""
    play = partial(play_bundle, config)
    attempts = config.retries + 1
    for attempt in range(attempts):
        lost: list[tuple[SweepCell, Exception]] = []
        handed: dict[int, Bundle] = {}
        outcomes = engine.map(play, _remembered(bundles, handed), timeout_s=_limit(config, engine))
        async for outcome in in_background(outcomes):
            cells = handed.pop(outcome.index)
            if isinstance(outcome.error, InfrastructureError):
                lost.extend((cell, outcome.error) for cell in cells)
                continue
            for key, episode in outcome.unwrap():
                await take((key, tried_again(episode, attempt)))
        if not lost:
            return
        bundles = iter([(cell,) for cell, _ in lost])
    for cell, error in lost:
        for episode in _failed(cell, error, attempts):
            await take((cell.key, episode))


def _remembered(bundles: Iterable[Bundle], handed: dict[int, Bundle]) -> Iterator[Bundle]:
    for index, bundle in enumerate(bundles):
        handed[index] = bundle
        yield bundle


def _limit(config: SweepConfig, engine: Engine) -> float | None:
    """Seconds after which a worker counts as hung: for its imports, and all attempts at all episodes of a cell."""
    if config.timeout_s is None or engine.name == "inline":
        return None
    return STARTING_S + config.timeout_s * config.seeds * (config.retries + 1)


def _failed(cell: SweepCell, error: Exception, attempts: int) -> Iterator[Episode]:
    """What stands in the store for a cell that no worker could bring to an end."""
    failure = Failure(type(error).__name__, str(error), attempts)
    unknown: dict[str, Any] = {"turns": (), "status": "infra_error", "failure": failure, "agent": cell.agent}
    for task_id, seed in cell.assignments:
        yield Episode(env_id=NAME, task_id=task_id, seed=seed, simulator_version=VERSION, **unknown)
