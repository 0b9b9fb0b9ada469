"""Sweeps of Silo-Bench: the whole preset by scripted agents, and a waiting model beside the ideal schedule."""

from __future__ import annotations

import heapq
import json
import os
import sys
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from subprocess import Popen
from tempfile import TemporaryDirectory, TemporaryFile
from typing import Any, NamedTuple

from fogline.benchmarks.speed.report import QUICK, Effort, Finding, Target
from fogline.benchmarks.speed.timing import MeasurementFailed, Spread

NAME = "sweep"
PRESET_SECONDS = Target("at most", 180.0)
PRESET_MEMORY = Target("at most", 2048.0)
COST_GROWTH = Target("at most", 2.0)
LATENCY_S = 0.2
ROUNDS = 3
SIZES = (2, 5, 10)
_WORKERS = 2


class Width(NamedTuple):
    """A number of calls in flight.

    Attributes:
        calls: That number, and that of episodes in flight.
        target: Share of the ideal throughput that is expected.
        seeds: Instances of each size.
    """

    calls: int
    target: Target
    seeds: int


WIDTHS = (Width(16, Target("at least", 0.95), 24), Width(64, Target("at least", 0.75), 60))


def run(effort: Effort) -> list[Finding]:
    """Measure the preset once, and each width a few times."""
    whole = effort.rounds > QUICK.rounds
    findings = preset(whole)
    for width in WIDTHS:
        findings.append(waiting(width if whole else width._replace(seeds=2), 3 if whole else 1))
    return findings


# The preset


def preset(whole: bool) -> list[Finding]:
    """Every cell of the paper's sweep on two processes; a part of it where not ``whole``."""
    with TemporaryDirectory() as folder:
        store = str(Path(folder) / "runs.db")
        report, peak = _swept("paper" if whole else "quick", store)
        if report["complete"] != report["cells"]:
            raise MeasurementFailed(f"{report['complete']} of {report['cells']} cells of the preset were completed.")
        growth = _cost_growth(store)
    seconds = Spread.of([report["wall_s"]])
    memory = Spread.of([peak * (_WORKERS + 1) / 2**20])
    case = f"{report['cells']} cells, {', '.join(report['config']['agents'])}"
    note = f"{_WORKERS} processes on {os.cpu_count()} CPUs"
    limit = PRESET_SECONDS if whole else None
    bound = "the largest process's peak, times the number of processes"
    return [
        _finding(case, "s", seconds, seconds, "wall clock", "s", limit, note, "(alone)"),
        _finding(f"{case}: memory", "MiB", memory, memory, "at most", "MiB", PRESET_MEMORY, bound, "(alone)"),
        growth,
    ]


def _swept(preset: str, store: str) -> tuple[dict[str, Any], int]:
    """The command's own report, and the peak of the largest of its processes in bytes."""
    words = ["sweep", "silo-bench", "--preset", preset, "--engine", "process", "--workers", str(_WORKERS)]
    with TemporaryFile() as shown:
        command = Popen([sys.executable, "-m", "fogline.cli.main", *words, "--store", store, "--json"], stdout=shown)
        _, status, used = os.wait4(command.pid, 0)
        command.returncode = os.waitstatus_to_exitcode(status)
        if command.returncode != 0:
            raise MeasurementFailed(f"fogline {' '.join(words)} ended with exit code {command.returncode}.")
        shown.seek(0)
        unit = 1 if sys.platform == "darwin" else 1024
        return json.loads(shown.read()), used.ru_maxrss * unit


def _cost_growth(path: str) -> Finding:
    """CPU seconds per message at the largest size beside those at ten seats, flooding mailboxes."""
    from fogline.core.store import RunStore

    per_message: dict[int, list[float]] = {}
    with RunStore(path) as store:
        for stored in store.episodes():
            episode = stored.episode
            if "flood" in episode.agent and episode.metrics["messages"] and len(episode.seats) > 1:
                spent = episode.usage.agent_s + episode.usage.env_s
                per_message.setdefault(len(episode.seats), []).append(1e6 * spent / episode.metrics["messages"])
    sizes = sorted(per_message)
    middle = 10 if 10 in per_message else sizes[0]
    late, early = Spread.of(per_message[sizes[-1]]), Spread.of(per_message[middle])
    seen = Spread.of([late.median / early.median])
    return _finding(
        f"flood: cost of a message, {sizes[-1]} seats beside {middle}",
        "µs",
        late,
        early,
        "growth of the median cost",
        "×",
        COST_GROWTH,
        "all tasks and protocols together; a broadcast counts once",
        f"{middle} seats",
        seen,
    )


# A model that waits


def waiting(width: Width, rounds: int) -> Finding:
    """Throughput against a model server beside what no schedule can beat."""
    from fogline.benchmarks.speed.model_server import MODEL, loopback_server
    from fogline.benchmarks.sweeps.config import SweepConfig
    from fogline.benchmarks.sweeps.running import sweep

    episodes = [seats for seats in SIZES for _ in range(width.seeds)]
    calls = ROUNDS * sum(episodes)
    ideal_s = ideal_seconds(episodes, ROUNDS, width.calls, LATENCY_S)
    rates = []
    with TemporaryDirectory() as folder, loopback_server(LATENCY_S, ROUNDS) as address:
        for number in range(rounds + 1):
            settings: dict[str, Any] = {
                "tasks": ("I-01",),
                "n_agents": SIZES,
                "protocols": ("p2p",),
                "agents": (f"chat:{MODEL}",),
                "agent_options": {"chat": {"base_url": address}},
                "seeds": width.seeds if number else 1,
                "concurrency": width.calls,
                "store": str(Path(folder) / f"{number}.db"),
            }
            report = sweep(SweepConfig(**settings))
            if report.unscored:
                raise MeasurementFailed(f"{report.unscored} episodes failed: {dict(report.failures)}.")
            if number:
                rates.append(calls / report.wall_s)
    ideal = calls / ideal_s
    return _finding(
        f"model of {LATENCY_S * 1e3:.0f} ms, {width.calls} wide",
        "calls/s",
        Spread.of(rates),
        Spread.of([ideal]),
        "share of the ideal throughput",
        "",
        width.target,
        f"{calls} calls of {len(episodes)} episodes with {', '.join(map(str, SIZES))} seats and {ROUNDS} rounds; "
        "the ideal starts a call the moment a place is free and its round has begun; one process, the server another",
        "ideal schedule",
        Spread.of([rate / ideal for rate in rates]),
    )


def ideal_seconds(episodes: Sequence[int], rounds: int, width: int, latency_s: float) -> float:
    """Time of a schedule without any overhead: a call starts as soon as a place is free and its round has begun.

    Args:
        episodes: Seats of each episode; all may begin at once, up to ``width`` of them.
        rounds: Rounds of each; a round begins when all calls of the one before have been answered.
        width: Calls in flight, and episodes in flight.
        latency_s: Seconds of a call.
    """
    waiting: deque[int] = deque()
    rest = deque(range(len(episodes)))
    left = [rounds] * len(episodes)
    open_calls = [0] * len(episodes)
    answers: list[tuple[float, int, int]] = []
    now, busy, number = 0.0, 0, 0

    def begin(episode: int) -> None:
        open_calls[episode] = episodes[episode]
        waiting.extend([episode] * episodes[episode])

    for _ in range(min(width, len(episodes))):
        begin(rest.popleft())
    while waiting or answers:
        while waiting and busy < width:
            number += 1
            busy += 1
            heapq.heappush(answers, (now + latency_s, number, waiting.popleft()))
        now, _, episode = heapq.heappop(answers)
        busy -= 1
        open_calls[episode] -= 1
        if open_calls[episode] == 0:
            left[episode] -= 1
            if left[episode]:
                begin(episode)
            elif rest:
                begin(rest.popleft())
    return now


def _finding(
    case: str,
    unit: str,
    subject: Spread,
    peer_value: Spread,
    quantity: str,
    seen_unit: str,
    target: Target | None,
    note: str,
    peer: str,
    seen: Spread | None = None,
) -> Finding:
    return Finding(
        benchmark=NAME,
        case=case,
        subject="sweep()",
        peer=peer,
        unit=unit,
        subject_value=subject,
        peer_value=peer_value,
        quantity=quantity,
        seen=subject if seen is None else seen,
        seen_unit=seen_unit,
        target=target,
        note=note,
    )
