"""Writes episodes to the store beside the event loop that plays them."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from fogline.core.episode import Episode
from fogline.core.store import RunStore

MOST_WAITING = 8
"""Episodes that may wait for a commit to end; more of them hold the play up."""


class Recorder:
    """Commits each episode at once, and together with those that ended during the last commit.

    So a kill loses no more than the episodes in flight and the few that a commit is busy with, and a fast run is
    not held up by a commit per episode.

    Args:
        store: Where to.
        run_id: The run that plays.
        cell_key: The cell that the episodes belong to.
    """

    def __init__(self, store: RunStore, run_id: str, cell_key: str) -> None:
        self._store = store
        self._run_id = run_id
        self._cell_key = cell_key
        self._waiting: list[Episode] = []
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._closing = False
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Start writing."""
        self._task = asyncio.create_task(self._write())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write what is left, also when playing was interrupted."""
        self._closing = True
        self._wake.set()
        if self._task is not None:
            await self._task

    async def add(self, episode: Episode) -> None:
        """Hand an episode over, and wait where the store is slower than the play.

        Raises:
            StoreError: If an earlier commit failed.
            StoreUnavailable: Likewise.
        """
        self._waiting.append(episode)
        self._wake.set()
        # An environment that computes never waits: without this, nothing would be written before all is played.
        await asyncio.sleep(0)
        while len(self._waiting) > MOST_WAITING:
            self._room.clear()
            await self._room.wait()
        if self._task is not None and self._task.done():
            self._task.result()

    async def _write(self) -> None:
        try:
            await self._write_all()
        finally:
            # After a failure nobody makes room any more: whoever waits for it is to meet the failure instead.
            self._waiting.clear()
            self._room.set()

    async def _write_all(self) -> None:
        while True:
            if self._waiting:
                batch, self._waiting = self._waiting, []
                self._room.set()
                await asyncio.to_thread(self._store.add_episodes, self._run_id, self._cell_key, batch)
            elif self._closing:
                return
            else:
                self._wake.clear()
                await self._wake.wait()
