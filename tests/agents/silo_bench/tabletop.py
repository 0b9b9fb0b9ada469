"""The game without its faces: plays an agent by the real rules, fast; a test can stand between seats and channel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fogline.agents.agent import SeatView
from fogline.agents.scripted.silo_bench.gathers import (
    BroadcastOnce,
    Dissemination,
    Flood,
    RingAllgather,
    WriteRead,
)
from fogline.agents.scripted.silo_bench.sample_sort import SampleSort
from fogline.agents.scripted.silo_bench.scans import ChainScan, ChainSweep, HaloExchange, HillisSteele
from fogline.agents.scripted.silo_bench.schedule import Schedule
from fogline.agents.scripted.silo_bench.stars import LeaderBroadcast, LeaderFiles, StarReduce
from fogline.agents.scripted.silo_bench.trees import BinomialTree, BroadcastTree, FileTree
from fogline.envs.silo_bench.calls import SiloView
from fogline.envs.silo_bench.config import read_config
from fogline.envs.silo_bench.game import Game
from fogline.envs.silo_bench.tasks.task import Problem

Between = Callable[[SiloView], SiloView]

SCHEDULES: tuple[Schedule, ...] = (
    StarReduce(),
    LeaderBroadcast(),
    LeaderFiles(),
    BinomialTree(),
    BroadcastTree(),
    FileTree(),
    Flood(),
    BroadcastOnce(),
    WriteRead(),
    RingAllgather(),
    Dissemination(),
    ChainSweep(),
    ChainScan(),
    HillisSteele(),
    HaloExchange(),
    SampleSort(),
)


def play(
    agent: Any,
    instance_id: str,
    n_agents: int,
    protocol: str = "p2p",
    *,
    problem: Problem | None = None,
    between: Between = lambda view: view,
    **keywords: Any,
) -> Game:
    """Play one game to its end.

    Args:
        agent: Plays all seats.
        instance_id: Such as ``"I-01/0"``.
        n_agents: Seats.
        protocol: The channel.
        problem: Other data than the instance's.
        between: Changes what a seat is shown.
        keywords: Further fields of the configuration.

    Raises:
        AgentError: What the agent returned in place of an action.
    """
    task_id = instance_id.partition("/")[0]
    config = read_config({"task": task_id, "n_agents": n_agents, "protocol": protocol, **keywords})
    game = Game(config, instance_id, np.random.default_rng(0))
    if problem is not None:
        game.problem, game.shards = problem, list(problem.shards)
    views = [SeatView("SiloBench-v0", instance_id, f"agent_{i}", None, entropy=(0, i)) for i in range(n_agents)]
    while not game.over:
        live = [agent for agent in range(n_agents) if not game.seats[agent].submitted]
        for number in live:
            views[number].info = {"view": between(game.view(number))}
        actions = agent.act([views[number] for number in live])
        for action in actions:
            if isinstance(action, Exception):
                raise action
        game.play(dict(zip(live, actions, strict=True)))
    return game


def measured(game: Game) -> int:
    """Messages as schedules promise them: sent, or reads of another's file."""
    traffic = game.channel.traffic
    return sum(traffic.cross_reads if game.config.protocol == "files" else traffic.sent)


def answers(game: Game) -> list[Any]:
    """What each seat submitted."""
    return [seat.answer for seat in game.seats]
