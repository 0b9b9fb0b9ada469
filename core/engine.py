"""Where work runs: in this process, in a pool of processes, or on Ray, behind one small interface.

``engine.map(function, items)`` yields one :class:`Outcome` an item, as they complete. Items are taken from
their iterator only when a worker is free, so an endless one works. An item that raises, outlasts its time or
loses its worker yields an error; the others go on. What a function returns is the same on every engine.
"""

from __future__ import annotations

import os
import pickle
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar, cast

from fogline.core.errors import ConfigurationError, FoglineError, InfrastructureError, check_choice

ENGINES = ("inline", "process", "ray")

Item = TypeVar("Item")
Result = TypeVar("Result")
Result_co = TypeVar("Result_co", covariant=True)


class WorkerLost(InfrastructureError):
    """The worker died (killed, out of memory, crashed library) while it had the item."""


class TaskTimedOut(InfrastructureError):
    """The item took longer than ``timeout_s``; its worker was killed."""


class NotPicklable(ConfigurationError):
    """A function, an item or a result cannot travel between processes."""


class RemoteError(FoglineError):
    """Stands for an error of a worker that cannot itself travel between processes; the text names it."""


@dataclass(frozen=True, slots=True)
class Outcome(Generic[Result_co]):
    """What became of one item.

    Attributes:
        index: The item's place in the input, from 0.
        value: What the function returned; None when there is an error.
        error: What it raised, or why it could not finish: :class:`WorkerLost`, :class:`TaskTimedOut`,
            :class:`NotPicklable`. A worker's traceback is attached as a note.
    """

    index: int
    value: Result_co | None = None
    error: Exception | None = None

    def unwrap(self) -> Result_co:
        """Return the value, or raise the error."""
        if self.error is not None:
            raise self.error
        return cast("Result_co", self.value)


class Engine(Protocol):
    """Runs a function over items.

    Attributes:
        name: One of :data:`ENGINES`.
        workers: How many items are worked on at once.
    """

    name: str
    workers: int

    def map(
        self, function: Callable[[Item], Result], items: Iterable[Item], *, timeout_s: float | None = None
    ) -> Iterator[Outcome[Result]]:
        """Yield one outcome an item as they complete; :func:`ordered` restores the order of the input.

        Workers get their next item while the caller waits for an outcome: between two outcomes each finishes
        what it has, and no more.

        Args:
            function: What to do; on other engines than inline, defined at the top level of a module.
            items: Its arguments, as many as there are; read no faster than workers are free.
            timeout_s: Longest time for one item, counted from when its worker begins, in seconds.

        Raises:
            NotPicklable: If the function cannot travel to another process.
            ConfigurationError: If ``timeout_s`` is not positive, or the engine cannot enforce one.
        """
        ...

    def close(self) -> None:
        """End the workers."""
        ...

    def __enter__(self) -> Self:
        """Return the engine."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        ...


class InlineEngine:
    """One item after the other, in the calling process: easiest to debug, and the default."""

    name = "inline"
    workers = 1

    def map(
        self, function: Callable[[Item], Result], items: Iterable[Item], *, timeout_s: float | None = None
    ) -> Iterator[Outcome[Result]]:
        """See :meth:`Engine.map`; refuses ``timeout_s``, because nothing can stop the calling process."""
        check_timeout(timeout_s)
        if timeout_s is not None:
            raise ConfigurationError(
                f"timeout_s={timeout_s} cannot be enforced by engine='inline': use engine='process', or None."
            )
        return self._map(function, items)

    def close(self) -> None:
        """Nothing to end."""

    def __enter__(self) -> Self:
        """Return the engine."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to end."""

    def _map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Outcome[Result]]:
        for index, item in enumerate(items):
            outcome: Outcome[Result]
            try:
                outcome = Outcome(index, function(item))
            except Exception as error:
                outcome = Outcome(index, error=error)
            yield outcome


def make_engine(name: str = "inline", workers: int | None = None, *, address: str | None = None) -> Engine:
    """Build an engine by name.

    Args:
        name: ``"inline"``, ``"process"`` or ``"ray"``.
        workers: How many items at once; None for the number of CPUs (of the cluster, with Ray).
        address: Of a running Ray cluster; None starts one on this machine. Only with ``"ray"``.

    Raises:
        ConfigurationError: For an unknown name or an option that does not fit it.
        MissingDependencyError: For ``"ray"`` without Ray.
    """
    check_choice("engine", name, ENGINES)
    if workers is not None and workers < 1:
        raise ConfigurationError(f"workers={workers} is too few: expected at least 1.")
    if address is not None and name != "ray":
        raise ConfigurationError(f"address={address!r} means nothing to engine={name!r}: expected engine='ray'.")
    if name == "process":
        from fogline.core.engine_process import ProcessEngine

        return ProcessEngine(workers or os.cpu_count() or 1)
    if name == "ray":
        from fogline.core.engine_ray import RayEngine

        return RayEngine(workers, address)
    if workers not in (None, 1):
        raise ConfigurationError(f"workers={workers} means nothing to engine='inline': use engine='process'.")
    return InlineEngine()


def ordered(outcomes: Iterable[Outcome[Result]]) -> Iterator[Outcome[Result]]:
    """Yield outcomes in the order of the input, holding back those that are early."""
    early: dict[int, Outcome[Result]] = {}
    due = 0
    for outcome in outcomes:
        early[outcome.index] = outcome
        while due in early:
            yield early.pop(due)
            due += 1


def check_timeout(timeout_s: float | None) -> None:
    """Refuse a limit that no work could keep."""
    if timeout_s is not None and not timeout_s > 0:
        raise ConfigurationError(f"timeout_s={timeout_s} is no time limit: expected seconds above 0, or None.")


def pack(what: str, value: object) -> bytes:
    """Pickle something for another process.

    Raises:
        NotPicklable: Naming what it was, and why it cannot travel.
    """
    try:
        return pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
    except Exception as error:  # pickling runs the value's own code, which may raise anything
        raise NotPicklable(
            f"{what} {_short(value)} cannot be sent to another process ({error}): expected a function at the "
            "top level of a module and plain data; engine='inline' takes anything."
        ) from error


def unpack(index: int, reply: bytes) -> Outcome[Any]:
    """Turn a worker's reply to :func:`invoke` back into an outcome."""
    try:
        value, error = pickle.loads(reply)
    except Exception as failure:  # unpickling runs the value's own code, which may raise anything
        return Outcome(index, error=RemoteError(f"the result of item {index} cannot be read: {failure!r}."))
    return Outcome(index, value, error)


def invoke(function: bytes, item: bytes) -> bytes:
    """Run a pickled function on a pickled item, in a worker; return the pickled pair of value and error."""
    try:
        called: Callable[[Any], Any] = pickle.loads(function)
        return pack("result", (called(pickle.loads(item)), None))
    except Exception as error:
        error.add_note("In the worker:\n" + "".join(traceback.format_exception(error)).rstrip())
        return _pack_error(error)


def _pack_error(error: Exception) -> bytes:
    try:
        packed = pickle.dumps((None, error), protocol=pickle.HIGHEST_PROTOCOL)
        pickle.loads(packed)
    except Exception:  # an error class whose arguments do not survive the journey may raise anything
        substitute = RemoteError(f"{type(error).__module__}.{type(error).__qualname__}: {error}")
        substitute.__notes__ = error.__notes__
        return pickle.dumps((None, substitute), protocol=pickle.HIGHEST_PROTOCOL)
    return packed


def _short(value: object, limit: int = 80) -> str:
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"
