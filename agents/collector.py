"""The one collector: environment x agent -> episodes, for play, evaluation, sweeps and training alike."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any

from fogline.agents.rollout import Assignment
from fogline.agents.scheduler import (
    Agents,
    EnvFactory,
    EpisodeTimeout,
    Scheduler,
    close_quietly,
    env_id_of,
    name_of,
)
from fogline.core.engine import Engine, WorkerLost
from fogline.core.episode import Episode, Failure
from fogline.core.errors import ConfigurationError, InfrastructureError

__all__ = [
    "STARTING_S",
    "Agents",
    "Assignment",
    "EnvFactory",
    "EpisodeTimeout",
    "collect",
    "collect_all",
    "in_background",
    "tried_again",
]

STARTING_S = 60.0
"""What a worker may take to load everything, in seconds; only then do episodes' own limits count."""


Chunk = tuple[Assignment, ...]
"""What one worker plays at once."""


async def collect(
    env_factory: EnvFactory,
    agent: Agents,
    tasks: Iterable[Assignment],
    engine: Engine | None = None,
    *,
    concurrency: int = 16,
    timeout_s: float | None = None,
    retries: int = 2,
    finished: Collection[tuple[str, int]] = frozenset(),
    chunk: int = 8,
    kept: list[Any] | None = None,
) -> AsyncGenerator[Episode, None]:
    """Play every assignment and yield its episode as soon as it ends.

    Environments are stepped as they become ready, never in lock-step: one that waits holds nobody up.
    An environment with ``step_async`` is awaited; one with ``blocking = True`` is stepped in a thread;
    any other is stepped inline, which is the fastest for steps that compute.

    Args:
        env_factory: Makes one environment (Gymnasium, or PettingZoo Parallel). Picklable if ``engine`` is given.
        agent: One agent for all seats, or one per seat name.
        tasks: What to play; may be an endless iterator.
        engine: Spreads chunks of tasks over processes or machines; None plays all in this process.
        concurrency: Environments in flight in one process.
        timeout_s: Wall-clock bound of one attempt at an episode, for everything that can be interrupted:
            waiting environments and agents, and any work under a process engine.
        retries: Further attempts after a failure that is not the policy's, and after the loss of a worker.
        finished: Pairs ``(task_id, seed)`` that are already stored and are not played again.
        chunk: Assignments handed to a worker at once when ``engine`` is given. An agent that gathers all live views
            (``together``) sees so many: the same chunk gives the same episodes, to the bit, on every engine.
        kept: Environments to use first, and where sound ones are left at the end, for the next call of a caller that
            plays again and again and closes them itself; None closes all. Without ``engine`` only.

    Yields:
        Episodes in the order they end. A failure that outlives its retries is an episode too, unscored.

    Raises:
        ConfigurationError: The environment refuses a task or an option: no retry can help.
    """
    if concurrency < 1 or retries < 0 or chunk < 1:
        raise ConfigurationError(
            f"concurrency={concurrency}, retries={retries}, chunk={chunk}: expected at least 1, 0 and 1."
        )
    if engine is not None and kept is not None:
        raise ConfigurationError(f"kept with engine={engine.name!r}: environments are kept in this process only.")
    wanted = (Assignment(*task) for task in tasks if tuple(task) not in finished)
    if engine is None:
        episodes = Scheduler(env_factory, agent, wanted, concurrency, timeout_s, retries, kept).run()
    else:
        options = {"timeout_s": timeout_s, "retries": retries, "concurrency": min(concurrency, chunk)}
        episodes = _spread(engine, env_factory, agent, wanted, chunk, options)
    # Closed here and now where the caller stops early: left to the event loop's end, environments would stay open.
    async with aclosing(episodes):
        async for episode in episodes:
            yield episode


def collect_all(env_factory: EnvFactory, agent: Agents, tasks: Iterable[Assignment], **options: Any) -> list[Episode]:
    """Run :func:`collect` to its end from ordinary code and return the episodes in the order of ``tasks``."""
    wanted = [Assignment(*task) for task in tasks]
    order = {assignment: index for index, assignment in enumerate(wanted)}

    episodes: list[Episode] = []

    async def run() -> None:
        async for episode in collect(env_factory, agent, wanted, **options):
            episodes.append(episode)

    # What a task returns is spelled out in full, and thrown away, when asyncio gives SIGINT back on Python 3.11.
    asyncio.run(run())
    return sorted(episodes, key=lambda item: order.get(Assignment(item.task_id, item.seed), len(order)))


async def _spread(
    engine: Engine,
    env_factory: EnvFactory,
    agent: Agents,
    tasks: Iterator[Assignment],
    chunk: int,
    options: Mapping[str, Any],
) -> AsyncGenerator[Episode, None]:
    """Hand chunks of assignments to the engine, and those of lost workers again."""
    play = partial(_play_chunk, env_factory, agent, dict(options))
    limit = None
    if engine.name != "inline" and options["timeout_s"] is not None:
        limit = STARTING_S + options["timeout_s"] * chunk * 2
    chunks: Iterable[Chunk] = _chunked(tasks, chunk)
    attempts = options["retries"] + 1
    for attempt in range(attempts):
        lost: list[tuple[Chunk, Exception]] = []
        handed: dict[int, Chunk] = {}
        async for outcome in in_background(engine.map(play, _remembered(chunks, handed), timeout_s=limit)):
            assignments = handed.pop(outcome.index)
            if isinstance(outcome.error, InfrastructureError):
                lost.append((assignments, outcome.error))
                continue
            for episode in outcome.unwrap():
                yield tried_again(episode, attempt)
        if not lost:
            return
        chunks = list(_again(lost, last=attempt + 2 == attempts))
    env = env_factory()
    env_id = env_id_of(env)
    close_quietly(env)
    for (assignment,), error in _singly(lost):
        failure = Failure(type(error).__name__, str(error), attempts)
        yield Episode(
            env_id, assignment.task_id, assignment.seed, (), "infra_error", failure=failure, agent=name_of(agent)
        )


def tried_again(episode: Episode, times: int) -> Episode:
    """The episode, with so many more attempts on its account: those that were lost with their workers."""
    if not times:
        return episode
    return replace(episode, usage=replace(episode.usage, retries=episode.usage.retries + times))


def _again(lost: Iterable[tuple[Chunk, Exception]], *, last: bool) -> Iterator[Chunk]:
    """What was lost, to be played again.

    A chunk stays whole, because the last bits of a model's probabilities depend on what is in its batch; but what took
    too long, and the last attempt at anything, goes one by one, so that what ends its worker takes no other along.
    """
    for assignments, error in lost:
        if last or not isinstance(error, WorkerLost):
            yield from ((assignment,) for assignment in assignments)
        else:
            yield assignments


def _singly(lost: Iterable[tuple[Chunk, Exception]]) -> Iterator[tuple[tuple[Assignment], Exception]]:
    return (((assignment,), error) for assignments, error in lost for assignment in assignments)


def _play_chunk(
    env_factory: EnvFactory, agent: Agents, options: Mapping[str, Any], tasks: Sequence[Assignment]
) -> list[Episode]:
    return collect_all(env_factory, agent, tasks, **options)


def _chunked(tasks: Iterator[Assignment], size: int) -> Iterator[Chunk]:
    while chunk := tuple(islice(tasks, size)):
        yield chunk


def _remembered(chunks: Iterable[Chunk], handed: dict[int, Chunk]) -> Iterator[Chunk]:
    for index, chunk in enumerate(chunks):
        handed[index] = chunk
        yield chunk


async def in_background(outcomes: Iterator[Any]) -> AsyncGenerator[Any, None]:
    """Iterate over blocking ``outcomes`` in a thread of its own, so that the event loop stays free."""
    loop = asyncio.get_running_loop()
    end = object()
    with ThreadPoolExecutor(1, thread_name_prefix="fogline-engine") as thread:
        while (outcome := await loop.run_in_executor(thread, next, outcomes, end)) is not end:
            yield outcome
