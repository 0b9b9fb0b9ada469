"""Killable worker processes, shared by every :class:`Database` of the same engine and memory limit."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import importlib.util
import marshal
import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fogline.core.errors import InfrastructureError
from fogline.simulators.databases.wire import HEADER_BYTES, LINGER_SECONDS, encode, linger

START_SECONDS = 60.0
"""How long a worker may take to start: generous, since a loaded machine is not an error."""

MAX_SHARED_WORKERS = 4
KEPT_FREE_BYTES = 32 * 2**20
"""Freed memory that a worker keeps at most for its next statement."""

OPEN_DATABASES = {"sqlite": 16, "duckdb": 4, "postgresql": 4}
"""Connections that one worker keeps open."""

ENGINE_PACKAGES = {
    "sqlite": (),
    "duckdb": ("duckdb", "_duckdb"),
    "postgresql": ("psycopg", "psycopg_binary", "psycopg_c", "typing_extensions"),
}
"""What a worker imports beyond the standard library."""

_FIRST_READ_BYTES = 65536


class WorkerStartError(InfrastructureError):
    """A worker process did not start."""


class WorkerTimedOutError(Exception):
    """The worker did not answer in time."""


class WorkerDiedError(Exception):
    """The worker ended; ``started`` tells whether it had read the request by then."""

    def __init__(self, started: bool) -> None:
        super().__init__("the worker ended")
        self.started = started


class Worker:
    """One worker process and the socket to it. Not thread-safe: the pool lends it to one caller at a time."""

    def __init__(self, engine: str, memory_bytes: int, directory: Path) -> None:
        """Start the process; it becomes ready while the caller goes on."""
        self.socket, child_end = socket.socketpair()
        with child_end:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-I", "-S", "-X", "utf8", str(Path(__file__).with_name("worker.py"))),
                    *(engine, str(memory_bytes), str(os.getpid()), *_import_folders(engine)),
                ],
                stdin=child_end.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd=directory,
                env=_environment(engine),
                start_new_session=True,
            )
        self.ready = False
        self.retired = False
        self.slots: OrderedDict[tuple[str, ...], int] = OrderedDict()
        self.next_slot = 0
        self._buffer = bytearray(_FIRST_READ_BYTES)
        self._view = memoryview(self._buffer)
        self._early = bytearray()
        poller = select.poll()
        poller.register(self.socket, select.POLLIN)
        self._poll = poller.poll
        self._receive_seconds = 0.0

    def send(self, message: Any) -> None:
        """Send one message.

        Raises:
            WorkerDiedError: The process is gone; it did not read the message.
        """
        try:
            self.socket.sendall(encode(message))
        except OSError:
            raise WorkerDiedError(started=False) from None

    def receive(self, seconds: float) -> Any:
        """Wait for one message.

        Raises:
            WorkerTimedOutError: Nothing came within ``seconds``.
            WorkerDiedError: The process ended.
        """
        if seconds != self._receive_seconds:
            self._receive_seconds = seconds
            whole, fraction = divmod(max(seconds, 0.001), 1.0)
            value = struct.pack("@ll", int(whole), int(fraction * 1e6))
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, value)
        try:
            if not self._early:
                linger(self._poll, min(seconds, LINGER_SECONDS["parent"]))
                count = self.socket.recv_into(self._buffer)
                if count >= HEADER_BYTES and count == self._length(self._view):
                    return marshal.loads(self._view[HEADER_BYTES:count])
                if not count:
                    raise WorkerDiedError(started=True)
                self._early += self._view[:count]
            while len(self._early) < HEADER_BYTES or len(self._early) < self._length(self._early):
                more = self.socket.recv(2**20)
                if not more:
                    raise WorkerDiedError(started=True)
                self._early += more
            # A socket is a stream: the beginning of the next message may have come along.
            length = self._length(self._early)
            message = marshal.loads(self._early[HEADER_BYTES:length])
            del self._early[:length]
            return message
        except BlockingIOError:
            raise WorkerTimedOutError from None
        except ConnectionResetError:
            # The kernel reports a reset, not an end of file, when the request was still unread.
            raise WorkerDiedError(started=False) from None

    @staticmethod
    def _length(frame: bytearray | memoryview) -> int:
        """Length of the frame that begins here, its header included."""
        return int.from_bytes(frame[:HEADER_BYTES], "little") + HEADER_BYTES

    async def receive_async(self, seconds: float) -> Any:
        """Wait for one message without blocking the event loop; raises as :meth:`receive` does."""
        if self._early:
            return self.receive(seconds)
        loop = asyncio.get_running_loop()
        readable = loop.create_future()
        loop.add_reader(self.socket.fileno(), _resolve, readable)
        timer = loop.call_later(seconds, _fail, readable)
        try:
            await readable
        finally:
            timer.cancel()
            loop.remove_reader(self.socket.fileno())
        return self.receive(seconds)

    def kill(self) -> None:
        """End the process at once; another thread waits for it, so that no zombie stays."""
        self.socket.close()
        if self.process.poll() is None:
            self.process.kill()
            threading.Thread(target=self.process.wait, name="fogline-reaper", daemon=True).start()

    def stop(self) -> None:
        """End the process and wait until it is gone."""
        self.socket.close()
        self.process.kill()
        self.process.wait()

    def forget(self) -> None:
        """Drop a worker that belongs to the process this one was forked from."""
        self.socket.close()
        self.process.returncode = -signal.SIGKILL


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _fail(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_exception(WorkerTimedOutError())


class WorkerPool:
    """Workers of one engine: at most ``size`` lent at a time, with one more kept warm as a spare."""

    def __init__(self, engine: str, memory_bytes: int, size: int) -> None:
        self.engine, self.memory_bytes, self.size = engine, memory_bytes, size
        self.process_id = os.getpid()
        self.users = 0
        self.closed = False
        self._lock = threading.Lock()
        self._idle: list[Worker] = []
        self._lent: set[Worker] = set()
        self._waiting: deque[Callable[[], bool]] = deque()
        self._directory = Path(tempfile.mkdtemp(prefix="fogline-worker-"))
        self._directory.chmod(0o500)

    def acquire(self) -> Worker:
        """Borrow a worker, the most recently used first; blocks while all are lent.

        Inside a running event loop it does not wait: those who hold the workers may need this very thread to give
        them back. A worker beyond the size is started instead, and ended when it comes back.
        """
        worker = self._try_acquire() or self._try_acquire(beyond_size=_in_event_loop())
        while worker is None:
            turn = threading.Event()
            worker = self._try_acquire(waiter=lambda turn=turn: turn.set() or True)  # type: ignore[misc]
            if worker is None:
                turn.wait()
                worker = self._try_acquire()
        return worker

    async def acquire_async(self) -> Worker:
        """As :meth:`acquire`, without blocking the event loop."""
        loop = asyncio.get_running_loop()
        worker = self._try_acquire()
        while worker is None:
            turn = loop.create_future()
            worker = self._try_acquire(waiter=_wake_in(loop, turn))
            if worker is None:
                try:
                    await turn
                except asyncio.CancelledError:
                    self._wake_next()
                    raise
                worker = self._try_acquire()
        return worker

    def release(self, worker: Worker) -> None:
        """Give a worker back, fit for the next statement."""
        if worker.retired:
            self.discard(worker)
            return
        with self._lock:
            self._lent.discard(worker)
            if self.closed or len(self._lent) + len(self._idle) > self.size:
                worker.kill()
            else:
                self._idle.append(worker)
        if self._waiting:
            self._wake_next()

    def discard(self, worker: Worker) -> None:
        """Kill a worker; a new one is started in its place."""
        worker.kill()
        with self._lock:
            self._lent.discard(worker)
            if not self.closed:
                self._keep_spare()
        self._wake_next()

    def close(self) -> None:
        """End every worker and wait for them; statements still running end as dead workers do."""
        with self._lock:
            self.closed = True
            workers = [*self._idle, *self._lent]
            self._idle.clear()
        for worker in workers:
            if worker in self._lent:
                worker.process.kill()
                worker.process.wait()
            else:
                worker.stop()
        shutil.rmtree(self._directory, ignore_errors=True)
        while self._waiting:
            self._wake_next()

    def forget(self) -> None:
        """Drop everything in a forked child, which must not touch its parent's workers."""
        for worker in [*self._idle, *self._lent]:
            worker.forget()

    def _try_acquire(self, waiter: Callable[[], bool] | None = None, beyond_size: bool = False) -> Worker | None:
        with self._lock:
            if self.closed:
                raise InfrastructureError("the database was closed while a statement was waiting for a worker")
            if len(self._lent) < self.size or beyond_size:
                worker = self._idle.pop() if self._idle else self._start()
                self._lent.add(worker)
                self._keep_spare()
                return worker
            if waiter is not None:
                self._waiting.append(waiter)
            return None

    def _keep_spare(self) -> None:
        """Start a worker when none is idle: it gets ready while the lent ones work."""
        if not self._idle:
            self._idle.append(self._start())

    def _start(self) -> Worker:
        return Worker(self.engine, self.memory_bytes, self._directory)

    def _wake_next(self) -> None:
        while True:
            try:
                wake = self._waiting.popleft()
            except IndexError:
                return
            if wake():
                return


def _in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _wake_in(loop: asyncio.AbstractEventLoop, turn: asyncio.Future[None]) -> Callable[[], bool]:
    def wake() -> bool:
        if turn.cancelled() or loop.is_closed():
            return False
        loop.call_soon_threadsafe(_resolve, turn)
        return True

    return wake


def _environment(engine: str) -> dict[str, str]:
    """Return the little of the environment that a worker may see; PostgreSQL's own variables reach only its worker."""
    # glibc would give the memory of each sort back to the system and fault it in again for the next one.
    allocator = {"MALLOC_ARENA_MAX": "1", "MALLOC_TRIM_THRESHOLD_": str(KEPT_FREE_BYTES)}
    kept = {"LC_ALL": "C.UTF-8", "TZ": "UTC", **allocator}
    prefixes: tuple[str, ...] = ("LD_LIBRARY_PATH", "DYLD_", "SYSTEMROOT")
    if engine == "postgresql":
        prefixes = (*prefixes, "PG", "HOME")
    return kept | {name: value for name, value in os.environ.items() if name.startswith(prefixes)}


def _import_folders(engine: str) -> list[str]:
    folders: list[str] = []
    for package in ENGINE_PACKAGES[engine]:
        found = importlib.util.find_spec(package)
        if found is not None and found.origin is not None:
            origin = Path(found.origin)
            folder = str(origin.parent.parent if found.submodule_search_locations else origin.parent)
            if folder not in folders:
                folders.append(folder)
    return folders


_pools: dict[tuple[str, int, int], WorkerPool] = {}
_pools_lock = threading.Lock()


def join_pool(engine: str, memory_bytes: int, workers: int | None) -> WorkerPool:
    """Return the process-wide pool of this engine, memory limit and size, counting one more user."""
    size = workers if workers is not None else min(MAX_SHARED_WORKERS, os.cpu_count() or 1)
    key = (engine, memory_bytes, size)
    with _pools_lock:
        pool = _pools.get(key)
        if pool is None:
            pool = _pools[key] = WorkerPool(*key)
        pool.users += 1
        return pool


def leave_pool(pool: WorkerPool) -> None:
    """Count one user less; the last one ends the workers."""
    with _pools_lock:
        if pool.process_id != os.getpid():
            return
        pool.users -= 1
        if pool.users > 0:
            return
        key = (pool.engine, pool.memory_bytes, pool.size)
        if _pools.get(key) is pool:
            del _pools[key]
    pool.close()


def _close_all() -> None:
    for pool in list(_pools.values()):
        if pool.process_id == os.getpid():
            with contextlib.suppress(OSError):
                pool.close()
    _pools.clear()


def _after_fork() -> None:
    global _pools_lock
    _pools_lock = threading.Lock()
    for pool in _pools.values():
        pool.forget()
    _pools.clear()


atexit.register(_close_all)
os.register_at_fork(after_in_child=_after_fork)
