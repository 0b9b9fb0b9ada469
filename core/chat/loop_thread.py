"""An event loop in a thread of its own, so that code without one, and code inside another, can wait for a server."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")

_Started = tuple[asyncio.AbstractEventLoop, asyncio.Event]


class LoopThread:
    """Runs coroutines in one event loop of its own, begun when first needed.

    A chat client keeps its connections per loop; callers from anywhere share those of this one. The loop ends with
    :meth:`close`, with the object, or with the interpreter, and closes what still lives in it; it begins anew when
    something is run after that.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._finish: weakref.finalize[Any, Any] | None = None

    def __reduce__(self) -> tuple[type[LoopThread], tuple[()]]:
        """A copy, or one in another process, begins a loop of its own."""
        return LoopThread, ()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Wait for a coroutine; the calling thread may have a running loop, which then stands still."""
        future = self._submit(coroutine)
        try:
            return future.result()
        except BaseException:
            # Whoever stopped waiting (Ctrl-C) does not want it to go on.
            future.cancel()
            raise

    async def await_(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Await a coroutine from another loop; cancelling this cancels it."""
        return await asyncio.wrap_future(self._submit(coroutine))

    def close(self) -> None:
        """End the loop and its thread; what is still running in it is cancelled."""
        with self._lock:
            finish, self._finish, self._loop = self._finish, None, None
        if finish is not None:
            finish()

    def _submit(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        with self._lock:
            return asyncio.run_coroutine_threadsafe(coroutine, self._loop or self._begin())

    def _begin(self) -> asyncio.AbstractEventLoop:
        started: Future[_Started] = Future()
        thread = threading.Thread(target=_serve, args=(started,), name="fogline-chat", daemon=True)
        thread.start()
        loop, stop = started.result()
        self._loop = loop
        self._finish = weakref.finalize(self, _end, loop, stop, thread)
        return loop


def _serve(started: Future[_Started]) -> None:
    async def until_stopped() -> None:
        stop = asyncio.Event()
        started.set_result((asyncio.get_running_loop(), stop))
        await stop.wait()

    asyncio.run(until_stopped())


def _end(loop: asyncio.AbstractEventLoop, stop: asyncio.Event, thread: threading.Thread) -> None:
    loop.call_soon_threadsafe(stop.set)
    if thread is not threading.current_thread():
        thread.join()
