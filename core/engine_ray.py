"""The Ray engine: the process pool's rules on a Ray cluster, one actor a worker."""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from operator import length_hint
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
from fogline.core.errors import ConfigurationError, missing_dependency

REACHING_S = 10.0
"""What the head of a cluster may take to accept a connection, in seconds: Ray itself would ask for five minutes."""
STARTING_S = 300.0
"""How long nothing may run because no worker has started, in seconds: a cluster that grows takes minutes."""
FAILED_STARTS = 3
"""Failed starts in a row, for each worker that is wanted, after which the fault is not one machine's."""


class RayEngine:
    """Workers that are Ray actors of one CPU each, on this machine or on a running cluster.

    Every machine of the cluster needs fogline and the module of the mapped function. Actors that the cluster
    has no room for yet wait, and the work goes to those that run.

    Args:
        workers: How many actors; None for one a CPU of the cluster.
        address: Of a running cluster (``"auto"``, ``"HOST:PORT"`` of its head, or ``"ray://HOST:PORT"``, for which
            Ray needs its own extra ``ray[client]``); None uses the one that this process is connected to, or else
            starts one on this machine and ends it with :meth:`close`.

    Raises:
        MissingDependencyError: When Ray is absent.
        ConfigurationError: When the address is none, or this process is connected to another cluster.
        WorkerLost: When the cluster cannot be reached, within seconds.
    """

    name = "ray"

    def __init__(self, workers: int | None = None, address: str | None = None) -> None:
        """Connect to Ray, or start it; actors start when there is work."""
        try:
            self._ray: Any = importlib.import_module("ray")
        except ImportError as error:
            raise missing_dependency("ray", "scale") from error
        self._owns_ray = not self._ray.is_initialized()
        if self._owns_ray:
            self._connect(workers, address)
        elif address is not None:
            raise ConfigurationError(
                f"address={address!r}: this process is connected to Ray already; call ray.shutdown() first."
            )
        self.workers = workers or max(1, int(self._ray.cluster_resources().get("CPU", 1)))
        # No restarts and no retries: a lost worker is the caller's to see, not to be hidden by a second run.
        self._actor: Any = self._ray.remote(num_cpus=1, max_restarts=0, max_task_retries=0)(_Actor)
        self._idle: list[Any] = []

    def map(
        self, function: Callable[[Item], Result], items: Iterable[Item], *, timeout_s: float | None = None
    ) -> Iterator[Outcome[Result]]:
        """See :meth:`Engine.map`; an abandoned iterator kills the actors that are busy."""
        check_timeout(timeout_s)
        return self._map(self._ray.put(pack("function", function)), iter(items), timeout_s)

    def close(self) -> None:
        """End the actors, and Ray if this engine started it."""
        for actor in self._idle:
            self._ray.kill(actor)
        self._idle.clear()
        if self._owns_ray:
            self._owns_ray = False
            self._ray.shutdown()

    def __enter__(self) -> Self:
        """Return the engine."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the actors."""
        self.close()

    def _connect(self, workers: int | None, address: str | None) -> None:
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": "warning"}
        if address is None and "RAY_ADDRESS" not in os.environ:
            # A cluster of our own: on loopback, without dashboard and usage reports.
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
            options.update(num_cpus=workers, include_dashboard=False, _node_ip_address="127.0.0.1")
        elif address is not None:
            _check_reachable(address)
            options["address"] = address
        try:
            self._ray.init(**options)
        except ValueError as error:
            raise ConfigurationError(
                f"address={address!r} is no address of a Ray cluster ({error}): expected 'auto' or 'HOST:PORT'."
            ) from error
        except (ConnectionError, RuntimeError, OSError) as error:
            raise WorkerLost(f"Ray at address={address!r} cannot be reached or started: {error}.") from error

    def _map(self, function: Any, items: Iterator[Any], timeout_s: float | None) -> Iterator[Outcome[Any]]:
        needed = max(1, min(self.workers, length_hint(items, self.workers)))
        workers = _Round(self._ray, self._actor, self._idle, needed)
        numbered = enumerate(items)
        more = True
        try:
            while more or workers.busy:
                while more and workers.has_room():
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
                    workers.start(index, function, packed, timeout_s)
                if workers.busy or more:
                    yield from workers.wait()
        finally:
            workers.close()


def _check_reachable(address: str) -> None:
    """Raise :class:`WorkerLost` if nobody listens at ``HOST:PORT``; any other form of address is Ray's to read."""
    place = re.fullmatch(r"(?:ray://)?\[?([^\[\]/]+?)\]?:(\d+)", address)
    if place is None:
        return
    try:
        with socket.create_connection((place[1], int(place[2])), timeout=REACHING_S):
            return
    except (OSError, OverflowError) as error:
        raise WorkerLost(
            f"no Ray cluster can be reached at address={address!r} ({error}): expected the head of a running one, as "
            "`ray start --head` names it."
        ) from error


class _Actor:
    """Runs in a Ray worker."""

    def ready(self) -> None:
        """Answer once the process is up."""

    def run(self, function: bytes, item: bytes) -> bytes:
        """Answer one item."""
        return invoke(function, item)


class _Round:
    """The actors of one ``map``: starting, free, or busy with one item that may be due at a time.

    Actors that an earlier ``map`` left idle are asked first whether they still live, so that no item is lost to one
    whose machine has gone meanwhile.
    """

    def __init__(self, ray: Any, actor: Any, idle: list[Any], workers: int) -> None:
        self._ray, self._actor, self._idle, self._workers = ray, actor, idle, workers
        self._free: list[Any] = []
        self._known = {(known := idle.pop()).ready.remote(): known for _ in range(min(workers, len(idle)))}
        self._starting: dict[Any, Any] = {}
        self._failed = 0
        self._moved = time.monotonic()
        self.busy: dict[Any, tuple[int, Any, float | None, float | None]] = {}

    def has_room(self) -> bool:
        """Whether an item can start now; begins to start the missing actors when none is free."""
        if self._free:
            return True
        for _ in range(self._workers - len(self.busy) - len(self._starting) - len(self._known)):
            actor = self._actor.remote()
            self._starting[actor.ready.remote()] = actor
        return False

    def start(self, index: int, function: Any, item: bytes, timeout_s: float | None) -> None:
        """Give an item to a free actor."""
        actor = self._free.pop()
        due = None if timeout_s is None else time.monotonic() + timeout_s
        self.busy[actor.run.remote(function, item)] = (index, actor, due, timeout_s)

    def wait(self) -> Iterator[Outcome[Any]]:
        """Wait until an actor starts, answers, dies or is due; yield the outcomes that this brings.

        Raises:
            WorkerLost: If workers cannot start, again and again, or none has for :data:`STARTING_S`.
        """
        dues = [due for _, _, due, _ in self.busy.values() if due is not None]
        if not self.busy:
            dues.append(self._moved + STARTING_S)
        patience = max(0.0, min(dues) - time.monotonic()) if dues else None
        pending = [*self.busy, *self._known, *self._starting]
        done, _ = self._ray.wait(pending, num_returns=1, timeout=patience)
        for reference in done:
            if reference in self.busy:
                yield self._collect(reference)
            else:
                self._started(reference)
        now = time.monotonic()
        if done or self.busy:
            self._moved = now
        elif now >= self._moved + STARTING_S:
            raise WorkerLost(
                f"no Ray worker could start for {STARTING_S:g} s: the cluster has no machine with a free CPU."
            )
        late = [reference for reference, (_, _, due, _) in self.busy.items() if due is not None and due <= now]
        for reference in late:
            index, actor, _, timeout_s = self.busy.pop(reference)
            self._ray.kill(actor)
            message = f"item {index} took longer than timeout_s={timeout_s}: its worker was killed."
            yield Outcome(index, error=TaskTimedOut(message))

    def close(self) -> None:
        """Kill what is busy or starting; free actors stay for the next ``map``."""
        for actor in [*(entry[1] for entry in self.busy.values()), *self._starting.values()]:
            self._ray.kill(actor)
        self._idle.extend([*self._free, *self._known.values()])
        for actors in (self.busy, self._starting, self._known):
            actors.clear()
        self._free.clear()

    def _started(self, reference: Any) -> None:
        """Take an actor that is up; one that is not costs a start, and only many of them in a row cost the work."""
        known = self._known.pop(reference, None)
        actor = self._starting.pop(reference) if known is None else known
        try:
            self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            self._failed += known is None
            if self._failed >= FAILED_STARTS * self._workers:
                raise WorkerLost(f"no Ray worker could start, {self._failed} times in a row: {error}.") from error
            with contextlib.suppress(self._ray.exceptions.RayError):
                self._ray.kill(actor)
            return
        self._failed = 0
        self._free.append(actor)

    def _collect(self, reference: Any) -> Outcome[Any]:
        index, actor, _, _ = self.busy.pop(reference)
        try:
            reply = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            return Outcome(index, error=WorkerLost(f"the worker died on item {index}: {error}."))
        self._free.append(actor)
        return unpack(index, reply)
