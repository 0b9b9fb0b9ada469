"""Many environments that wait at every step, through the collector, beside the bare wait."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter

from fogline.agents.collector import collect
from fogline.agents.rollout import Assignment
from fogline.benchmarks.speed.report import Effort, Finding, Target
from fogline.benchmarks.speed.timing import MeasurementFailed, Spread, alternate
from fogline.benchmarks.speed.trivial import BlockingText, SayTheSame, TrivialText, WaitingText

NAME = "waiting"
STEPS_PER_SECOND = Target("at least", 15_000.0)
ENVIRONMENTS = 256
WAIT_S = 0.010

_TIMES_LONGER = 5
"""A round lasts this much longer than others, so that starting 256 episodes does not count for much."""


def run(effort: Effort) -> list[Finding]:
    """Measure both ways to wait: awaited on the event loop, and blocking in threads."""
    turns = max(5, int(_TIMES_LONGER * effort.seconds / WAIT_S))
    rates = alternate(
        {
            "bare tasks": lambda: _rate(_bare_tasks, turns),
            "awaited": lambda: _rate(lambda count: _collected(lambda: WaitingText(count, WAIT_S), count), turns),
            "bare threads": lambda: _rate(_bare_threads, turns),
            "threads": lambda: _rate(lambda count: _collected(lambda: BlockingText(count, WAIT_S), count), turns),
        },
        max(2, effort.rounds // 2),
    )
    ideal = f"no program can make more than {ENVIRONMENTS / WAIT_S:,.0f} steps/s"
    awaited, threads = rates["awaited"], rates["threads"]
    return [
        _finding("awaited (step_async)", "asyncio.sleep loops", awaited, rates["bare tasks"], STEPS_PER_SECOND, ideal),
        _finding("in threads (blocking)", "time.sleep threads", threads, rates["bare threads"], None, ideal),
    ]


def _finding(case: str, peer: str, rates: list[float], raw: list[float], target: Target | None, note: str) -> Finding:
    seen = Spread.of(rates)
    return Finding(
        benchmark=NAME,
        case=f"{ENVIRONMENTS} × {WAIT_S * 1e3:g} ms {case}",
        subject="collect()",
        peer=peer,
        unit="steps/s",
        subject_value=seen,
        peer_value=Spread.of(raw),
        quantity="rate of one process",
        seen=seen,
        seen_unit="steps/s",
        target=target,
        note=note,
    )


def _rate(loop: Callable[[int], None], turns: int) -> float:
    began = perf_counter()
    loop(turns)
    return ENVIRONMENTS * turns / (perf_counter() - began)


def _collected(make: Callable[[], TrivialText], turns: int) -> None:
    assignments = [Assignment("trivial", seed) for seed in range(ENVIRONMENTS)]

    async def play() -> int:
        played = collect(make, SayTheSame(), assignments, concurrency=ENVIRONMENTS)
        return sum([len(episode.turns) async for episode in played])

    if asyncio.run(play()) != ENVIRONMENTS * turns:
        raise MeasurementFailed(f"the collector did not play {ENVIRONMENTS} episodes of {turns} turns.")


def _bare_tasks(turns: int) -> None:
    async def wait() -> None:
        for _ in range(turns):
            await asyncio.sleep(WAIT_S)

    async def play() -> None:
        await asyncio.gather(*[wait() for _ in range(ENVIRONMENTS)])

    asyncio.run(play())


def _bare_threads(turns: int) -> None:
    def wait() -> None:
        for _ in range(turns):
            time.sleep(WAIT_S)

    with ThreadPoolExecutor(ENVIRONMENTS) as threads:
        for done in [threads.submit(wait) for _ in range(ENVIRONMENTS)]:
            done.result()
