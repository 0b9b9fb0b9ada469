"""The process pool: one item a worker at a time, so a death or a time-out is one item's, not the pool's.

The standard library's executor gives up every pending item when a worker dies, and cannot stop a running one.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from multiprocessing import connection as channels
from multiprocessing.util import Finalize
from types import TracebackType
from typing import Any, Self

from fogline.core.engine import (
    Item,
    NotPicklable,
    Outcome,
    Result,
    TaskTimedOut,
    WorkerLost,
    check_timeout,
    invoke,
    pack,
    unpack,
)

# Spawn on every platform: a fork would copy threads' locks, open connections and half of the caller's state.
_context = multiprocessing.get_context("spawn")


class ProcessEngine:
    """A pool of long-lived processes on this machine.

    A script that uses it needs the usual ``if __name__ == "__main__":`` guard. Idle workers stay until
    :meth:`close`. A worker leads its own process group, which is killed as a whole.

    Args:
        workers: How many processes.
    """

    name = "process"

    def __init__(self, workers: int) -> None:
        """Start nothing yet: workers start when there is work."""
        self.workers = workers
        self._idle: list[_Worker] = []
        # Interpreter exit waits for child processes before it runs atexit functions; a finaliser comes first.
        self._finalise = Finalize(self, _kill_all, args=(self._idle,), exitpriority=10)

    def map(
        self, function: Callable[[Item], Result], items: Iterable[Item], *, timeout_s: float | None = None
    ) -> Iterator[Outcome[Result]]:
        """See :meth:`Engine.map`; an abandoned iterator kills the workers that are busy."""
        check_timeout(timeout_s)
        return self._map(pack("function", function), iter(items), timeout_s)

    def close(self) -> None:
        """End the workers."""
        _kill_all(self._idle)

    def __enter__(self) -> Self:
        """Return the engine."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the workers."""
        self.close()

    def _map(self, function: bytes, items: Iterator[Any], timeout_s: float | None) -> Iterator[Outcome[Any]]:
        busy: dict[int, _Worker] = {}
        finaliser = Finalize(self, _kill_all, args=(busy,), exitpriority=10)
        numbered = enumerate(items)
        more = True
        try:
            while more or busy:
                while more and len(busy) < self.workers:
                    try:
                        index, item = next(numbered)
                    except StopIteration:
                        more = False
                        break
                    try:
                        packed = pack(f"item {index}", item)
                    except NotPicklable as error:
                        yield Outcome(index, error=error)
                        continue
                    busy[index] = self._free_worker()
                    busy[index].assign(index, function, packed, timeout_s)
                for worker in _first_to_report(busy.values()):
                    outcome = worker.collect()
                    if outcome is not None:
                        del busy[outcome.index]
                        self._release(worker)
                        yield outcome
        finally:
            _kill_all(busy)
            finaliser.cancel()

    def _free_worker(self) -> _Worker:
        while self._idle:
            worker = self._idle.pop()
            if worker.running:
                return worker
            worker.kill()
        return _Worker()

    def _release(self, worker: _Worker) -> None:
        if worker.running and len(self._idle) < self.workers:
            self._idle.append(worker)
        else:
            worker.kill()


class _Worker:
    """The parent's side of one process: at most one item, and the time at which it is due."""

    def __init__(self) -> None:
        self._pipe, theirs = _context.Pipe()
        # Not daemonic: daemons may have no children, and environments run killable workers of their own.
        self._process = _context.Process(target=_serve, args=(theirs,), name="fogline-worker")
        try:
            self._process.start()
        finally:
            theirs.close()
        self._ready = False
        self._knows: bytes | None = None
        self._task: tuple[int, bytes, bytes] | None = None
        self._timeout_s: float | None = None
        self._killed = False
        self.due: float | None = None

    @property
    def signals(self) -> list[Any]:
        """What becomes readable when the worker answers or dies."""
        return [self._pipe, self._process.sentinel]

    @property
    def running(self) -> bool:
        """Whether it can take an item."""
        return not self._killed and self._process.is_alive()

    def assign(self, index: int, function: bytes, item: bytes, timeout_s: float | None) -> None:
        """Give it an item; it is sent as soon as the process is up, and its time counts from then."""
        self._task = (index, function, item)
        self._timeout_s = timeout_s
        if self._ready:
            self._send()

    def collect(self) -> Outcome[Any] | None:
        """Take note of what happened; return the outcome once there is one.

        Raises:
            WorkerLost: If the process could not even start.
        """
        assert self._task is not None
        index = self._task[0]
        try:
            if self._pipe.poll():
                reply = self._pipe.recv_bytes()
                if self._ready:
                    self.due = None
                    return unpack(index, reply)
                self._ready = True
                self._send()
                return None
        except (EOFError, OSError):
            return self._lost(index)
        if not self._process.is_alive():
            return self._lost(index)
        if self.due is not None and time.monotonic() >= self.due:
            self.kill()
            message = f"item {index} took longer than timeout_s={self._timeout_s}: its worker was killed."
            return Outcome(index, error=TaskTimedOut(message))
        return None

    def kill(self) -> None:
        """End the process, and what it started, at once."""
        if self._killed:
            return
        self._killed = True
        assert self._process.pid is not None  # it was started: None would mean our own group
        with contextlib.suppress(ProcessLookupError, PermissionError):
            # No such group: the process has not begun to serve, or it ended and left nothing behind.
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        self._process.join()
        self._pipe.close()

    def _send(self) -> None:
        assert self._task is not None
        if self._timeout_s is not None:
            self.due = time.monotonic() + self._timeout_s
        _, function, item = self._task
        try:
            # A function may carry a model's weights: it travels once, and then nothing stands for it.
            self._pipe.send_bytes(b"" if function is self._knows else function)
            self._pipe.send_bytes(item)
            self._knows = function
        except OSError:
            # Dead already: the sentinel says so in the next round.
            return

    def _lost(self, index: int) -> Outcome[Any]:
        started = self._ready
        self._process.join(1.0)
        code = self._process.exitcode
        self.kill()
        if not started:
            raise WorkerLost(
                f"a worker process could not start (exit code {code}): a script needs the guard "
                "`if __name__ == '__main__':` around what it runs, and cannot come from standard input."
            )
        hint = "; often the system was out of memory" if code == -signal.SIGKILL else ""
        return Outcome(index, error=WorkerLost(f"the worker died on item {index} (exit code {code}{hint})."))


def _first_to_report(workers: Iterable[_Worker]) -> list[_Worker]:
    """Wait until a worker answers, dies or is due; return those to look at, oldest item first."""
    waiting = list(workers)
    if not waiting:
        return []
    dues = [worker.due for worker in waiting if worker.due is not None]
    patience = max(0.0, min(dues) - time.monotonic()) if dues else None
    fired = set(channels.wait([signal for worker in waiting for signal in worker.signals], patience))
    now = time.monotonic()
    return [
        worker
        for worker in waiting
        if not fired.isdisjoint(worker.signals) or (worker.due is not None and worker.due <= now)
    ]


def _kill_all(workers: Any) -> None:
    """End every worker of a list or of a dictionary's values, and empty it."""
    for worker in list(workers.values() if isinstance(workers, dict) else workers):
        worker.kill()
    workers.clear()


def _serve(pipe: Any) -> None:
    """A worker's life: say ready, then answer until the parent is gone."""
    os.setsid()  # the terminal's Ctrl-C goes to the parent, which ends its workers itself
    function = b""
    try:
        pipe.send_bytes(b"ready")
        while True:
            function = pipe.recv_bytes() or function
            pipe.send_bytes(invoke(function, pipe.recv_bytes()))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return
