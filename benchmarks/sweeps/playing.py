"""Plays cells in one process, many at once where their agents wait."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from functools import partial

from fogline.agents.agent import Agent
from fogline.agents.collector import collect
from fogline.benchmarks.sweeps.cells import SweepCell
from fogline.benchmarks.sweeps.config import SweepConfig
from fogline.benchmarks.sweeps.keeping import kept
from fogline.benchmarks.sweeps.teams import InWords, is_scripted, make_member, seated, waits
from fogline.core.episode import Episode
from fogline.envs.silo_bench import parallel_env

Played = tuple[str, Episode]
"""Key of the cell, and an episode of it as it is to be stored."""
Take = Callable[[Played], Awaitable[None]]


class Player:
    """Makes every agent once and plays cell after cell with them.

    Args:
        config: How cells are played.
    """

    def __init__(self, config: SweepConfig) -> None:
        self._config = config
        self._members: dict[str, Agent] = {}

    def waits(self, cell: SweepCell) -> bool:
        """Whether a member of the cell's team waits, so that other cells can be played meanwhile."""
        return any(waits(self._member(name)) for name in cell.members)

    async def play(self, cells: Iterable[SweepCell], take: Take, *, at_once: int = 1) -> None:
        """Play cells to the last.

        Args:
            cells: Read no faster than they are begun.
            take: Given each episode as it ends.
            at_once: Episodes in flight, of whichever cells; 1 plays cell after cell.
        """
        left = iter(cells) if at_once == 1 else (piece for cell in cells for piece in cell.pieces())

        async def work() -> None:
            for cell in left:
                await self._play(cell, take)

        workers = [asyncio.create_task(work()) for _ in range(at_once)]
        try:
            await asyncio.gather(*workers)
        finally:
            # After a failure or an interruption the others are not to go on by themselves.
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    async def _play(self, cell: SweepCell, take: Take) -> None:
        config = self._config
        members = {name: self._member(name) for name in cell.members}
        if cell.env_kwargs.get("actions") == "text":
            members = {name: InWords(one) if is_scripted(name) else one for name, one in members.items()}
        episodes = collect(
            partial(parallel_env, **cell.env_kwargs),
            seated(members, cell.members, cell.seats),
            cell.assignments,
            concurrency=1,
            timeout_s=config.timeout_s,
            retries=config.retries,
        )
        async with aclosing(episodes):
            async for episode in episodes:
                await take((cell.key, kept(episode, config.keep, cell.agent)))

    def _member(self, name: str) -> Agent:
        if name not in self._members:
            self._members[name] = make_member(self._config, name)
        return self._members[name]


def play_bundle(config: SweepConfig, cells: Sequence[SweepCell]) -> list[Played]:
    """Play some cells in a worker process; what an engine maps over bundles."""
    played: list[Played] = []

    async def take(item: Played) -> None:
        played.append(item)

    asyncio.run(Player(config).play(cells, take, at_once=len(cells)))
    return played
