"""How many trivial text steps a core makes in a second, with what fogline records of each."""

from __future__ import annotations

import asyncio
from functools import partial

from fogline.agents.collector import collect
from fogline.agents.rollout import Assignment
from fogline.benchmarks.speed.report import Effort, Finding, Target, step_rate
from fogline.benchmarks.speed.timing import alternate, cpu_rate
from fogline.benchmarks.speed.trivial import ACTION, NoOperation, SayTheSame, TrivialText
from fogline.core.episode import Turn

NAME = "text-step"
STEPS_PER_SECOND = Target("at least", 200_000.0)

_TURNS = 200
_CONCURRENCY = 16
_ROUGH_RATE = 250_000
_PER_CPU_SECOND = "per second of this process's CPU time, so that a busy machine does not count"


def run(effort: Effort) -> list[Finding]:
    """Measure the environment alone, and the same through the whole collector."""
    episodes = max(_CONCURRENCY, int(effort.seconds * _ROUGH_RATE / _TURNS))
    rates = alternate(
        {
            "raw": lambda: cpu_rate(partial(_bare, episodes)),
            "environment": lambda: cpu_rate(partial(_environment, episodes)),
            "collector": lambda: cpu_rate(partial(_collector, episodes)),
        },
        effort.rounds,
    )
    found = partial(step_rate, NAME, raw=rates["raw"], target=STEPS_PER_SECOND, note=_PER_CPU_SECOND)
    return [
        found("step, Turn and info", "TrivialText.step + Turn", rates["environment"]),
        found("through the collector", "collect()", rates["collector"]),
    ]


def _bare(episodes: int) -> int:
    env = NoOperation()
    for seed in range(episodes):
        env.reset(seed=seed)
        for _ in range(_TURNS):
            env.step(ACTION)
    return episodes * _TURNS


def _environment(episodes: int) -> int:
    env = TrivialText(_TURNS)
    for seed in range(episodes):
        observation, _ = env.reset(seed=seed)
        turns: list[Turn] = []
        over = False
        while not over:
            following, reward, terminated, truncated, info = env.step(ACTION)
            turns.append(Turn("agent", observation, ACTION, reward, info["terms"], info["phase"], info["malformed"]))
            observation = following
            over = terminated or truncated
    return episodes * _TURNS


def _collector(episodes: int) -> int:
    assignments = [Assignment("trivial", seed) for seed in range(episodes)]

    async def play() -> int:
        played = collect(lambda: TrivialText(_TURNS), SayTheSame(), assignments, concurrency=_CONCURRENCY)
        return sum([len(episode.turns) async for episode in played])

    return asyncio.run(play())
