"""Writes episodes to the store beside the event loop that plays them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Generic, NamedTuple, Self, TypeVar

Item = TypeVar("Item")

MOST_WAITING = 8
"""Episodes that may wait for a commit to end; more of them hold the play up."""


class Progress(NamedTuple):
    """How far a run is.

    Attributes:
        done: Episodes that have ended, those of earlier runs included.
        total: Episodes planned.
        unscored: Episodes of this run whose every attempt failed.
    """

    done: int
    total: int
    unscored: int


class Recorder(Generic[Item]):
    """Commits each episode at once, and together with those that ended during the last commit.

    So a kill loses no more than the episodes in flight and the few that a commit is busy with, and a fast run is
    not held up by a commit per episode.

    Args:
        commit: Writes what it is given in one transaction; called in a thread, one call at a time.
    """

    def __init__(self, commit: Callable[[list[Item]], object]) -> None:
        self._commit = commit
        self._waiting: list[Item] = []
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

    async def add(self, item: Item) -> None:
        """Hand an episode over (with its cell, where there are several); wait where the store is slower than the play.

        Raises:
            StoreError: If an earlier commit failed.
            StoreUnavailable: Likewise.
        """
        self._waiting.append(item)
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
                await asyncio.to_thread(self._commit, batch)
            elif self._closing:
                return
            else:
                self._wake.clear()
                await self._wake.wait()
