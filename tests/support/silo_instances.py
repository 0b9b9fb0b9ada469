"""Instances of Silo-Bench tasks, and answers put together from summaries in any way that the contract allows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

import numpy as np

from fogline.envs.silo_bench.tasks.task import DataMode, Problem, SiloTask

SIZES = (1, 2, 3, 5, 10, 20)
PREFIX = ("II-11", "II-20")
NEIGHBOURS = ("II-14",)
SEGMENTED = (*PREFIX, *NEIGHBOURS)
TALK = ("leader", "coordinator", "star", "tree", "chain", "ring", "topology", "broadcast", "message", "send", "collect")
"""Words that would tell agents whom to talk to."""


def instance(task: SiloTask, n_agents: int, seed: int = 0, data: DataMode = "fixed") -> Problem:
    return task.generate(np.random.default_rng([seed, task.index, n_agents]), n_agents, data)


def instances(task: SiloTask, data: DataMode = "fixed", seeds: int = 3) -> Iterator[Problem]:
    for n_agents in SIZES:
        for seed in range(seeds):
            yield instance(task, n_agents, seed, data)


def flat(problem: Problem) -> list[Any]:
    """All items in the order of agents; a text letter by letter."""
    return [item for shard in problem.shards for item in shard]


def wired(value: Any) -> Any:
    """What arrives when ``value`` is sent as JSON."""
    return json.loads(json.dumps(value))


def same(one: Any, other: Any, tolerance: float) -> bool:
    """Equality of JSON values, with a tolerance for numbers where there is one."""
    if tolerance and isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(same(*pair, tolerance) for pair in zip(one, other, strict=True))
    if tolerance and isinstance(one, float):
        return bool(abs(one - other) <= tolerance + 1e-9)
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def needed(task: SiloTask, agent: int, n_agents: int) -> range:
    """Shards that an answer depends on, from the published table."""
    if task.task_id in PREFIX:
        return range(agent + 1)
    if task.task_id in NEIGHBOURS:
        return range(max(agent - 1, 0), min(agent + 1, n_agents - 1) + 1)
    return range(n_agents)


def merged(task: SiloTask, summaries: Sequence[Any], order: Random | None, as_json: bool) -> Any:
    """Merge adjacent summaries: from the left, or where ``order`` says."""
    waiting = [wired(summary) if as_json else summary for summary in summaries]
    while len(waiting) > 1:
        place = order.randrange(len(waiting) - 1) if order else 0
        both = task.merge(waiting[place], waiting[place + 1])
        waiting[place : place + 2] = [wired(both) if as_json else both]
    return waiting[0]


def answers(task: SiloTask, problem: Problem, order: Random | None = None, as_json: bool = False) -> list[Any]:
    """Every agent's answer from the summaries of the shards that it depends on."""
    n_agents = len(problem.shards)
    summaries = [task.local(shard, agent, problem.public) for agent, shard in enumerate(problem.shards)]
    found = []
    for agent, shard in enumerate(problem.shards):
        span = needed(task, agent, n_agents)
        assert task.required(agent, n_agents) == span
        summary = merged(task, summaries[span.start : span.stop], order, as_json)
        found.append(task.finalise(summary, shard, agent, n_agents, problem.public))
    return found
