"""The one collector: environment x agent -> episodes, for play, evaluation, sweeps and training alike."""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

from fogline.agents.agent import Agent, Decision, SeatView
from fogline.agents.rollout import Assignment, Rollout, make_rollout

if TYPE_CHECKING:
    from fogline.core.engine import Engine
from fogline.core.episode import Episode, Failure, Status
from fogline.core.errors import AgentError, ConfigurationError, InfrastructureError

EnvFactory = Callable[[], Any]
Agents = Agent | Mapping[str, Agent]


class EpisodeTimeout(InfrastructureError):
    """An episode took longer than ``timeout_s``."""


async def collect(
    env_factory: EnvFactory,
    agent: Agents,
    tasks: Iterable[Assignment],
    engine: Engine | None = None,
    *,
    concurrency: int = 16,
    timeout_s: float | None = None,
    retries: int = 2,
    finished: Collection[tuple[str, int]] = frozenset(),
    chunk: int = 8,
) -> AsyncIterator[Episode]:
    """Play every assignment and yield its episode as soon as it ends.

    Environments are stepped as they become ready, never in lock-step: one that waits holds nobody up.
    An environment with ``step_async`` is awaited; one with ``blocking = True`` is stepped in a thread;
    any other is stepped inline, which is the fastest for steps that compute.

    Args:
        env_factory: Makes one environment (Gymnasium, or PettingZoo Parallel). Picklable if ``engine`` is given.
        agent: One agent for all seats, or one per seat name.
        tasks: What to play; may be an endless iterator.
        engine: Spreads chunks of tasks over processes or machines; None plays all in this process.
        concurrency: Environments in flight in one process.
        timeout_s: Wall-clock bound of one attempt at an episode, for everything that can be interrupted:
            waiting environments and agents, and any work under a process engine.
        retries: Further attempts after a failure that is not the policy's.
        finished: Pairs ``(task_id, seed)`` that are already stored and are not played again.
        chunk: Assignments handed to a worker at once when ``engine`` is given.

    Yields:
        Episodes in the order they end. A failure that outlives its retries is an episode too, unscored.

    Raises:
        ConfigurationError: The environment refuses a task or an option: no retry can help.
    """
    if concurrency < 1 or retries < 0 or chunk < 1:
        raise ConfigurationError(
            f"concurrency={concurrency}, retries={retries}, chunk={chunk}: expected at least 1, 0 and 1."
        )
    wanted = (Assignment(*task) for task in tasks if tuple(task) not in finished)
    if engine is None:
        scheduler = _Scheduler(env_factory, agent, wanted, concurrency, timeout_s, retries)
        async for episode in scheduler.run():
            yield episode
    else:
        options = {"timeout_s": timeout_s, "retries": retries, "concurrency": min(concurrency, chunk)}
        async for episode in _spread(engine, env_factory, agent, wanted, chunk, options):
            yield episode


def collect_all(env_factory: EnvFactory, agent: Agents, tasks: Iterable[Assignment], **options: Any) -> list[Episode]:
    """Run :func:`collect` to its end from ordinary code and return the episodes in the order of ``tasks``."""
    wanted = [Assignment(*task) for task in tasks]
    order = {assignment: index for index, assignment in enumerate(wanted)}

    async def run() -> list[Episode]:
        return [episode async for episode in collect(env_factory, agent, wanted, **options)]

    episodes = asyncio.run(run())
    return sorted(episodes, key=lambda item: order.get(Assignment(item.task_id, item.seed), len(order)))


class _Wait(NamedTuple):
    """What is to happen when a future is done; ``rollout`` is None where several share it."""

    rollout: Rollout | None
    then: Callable[..., None]
    what: Any
    began: float


class _Scheduler:
    """Keeps ``concurrency`` rollouts moving inside one event loop."""

    def __init__(
        self,
        env_factory: EnvFactory,
        agent: Agents,
        tasks: Iterator[Assignment],
        concurrency: int,
        timeout_s: float | None,
        retries: int,
    ) -> None:
        self._factory = env_factory
        self._agents = agent
        self._name = _name_of(agent)
        self._tasks = tasks
        self._concurrency = concurrency
        self._timeout_s = timeout_s
        self._retries = retries
        self._again: deque[tuple[Assignment, int]] = deque()
        self._idle: list[Any] = []
        self._ready: dict[int, tuple[Agent, deque[tuple[Rollout, SeatView]]]] = {}
        self._queues: dict[str, deque[tuple[Rollout, SeatView]]] = {}
        self._answers: dict[Rollout, dict[str, Decision]] = {}
        self._live: dict[Rollout, float] = {}
        self._timers: dict[Rollout, asyncio.TimerHandle] = {}
        self._waits: dict[asyncio.Future[Any], _Wait] = {}
        self._done: list[Episode] = []
        self._fatal: BaseException | None = None
        self._threads: ThreadPoolExecutor | None = None
        self._wake = asyncio.Event()

    async def run(self) -> AsyncIterator[Episode]:
        """Yield episodes until nothing is left to play."""
        try:
            while True:
                self._admit()
                moved = self._decide()
                if self._fatal is not None:
                    raise self._fatal
                if self._done:
                    moved = True
                    done, self._done = self._done, []
                    for episode in done:
                        yield episode
                elif not self._live and not self._again:
                    return
                if self._waits:
                    if moved:
                        await asyncio.sleep(0)
                    else:
                        self._wake.clear()
                        await self._wake.wait()
        finally:
            await self._close()

    # Starting

    def _admit(self) -> None:
        # What failed at once is yielded before more is begun: tasks may be endless.
        while len(self._live) < self._concurrency and not self._done:
            if self._again:
                assignment, attempt = self._again.popleft()
            else:
                following = next(self._tasks, None)
                if following is None:
                    return
                assignment, attempt = following, 1
            self._start(assignment, attempt)

    def _start(self, assignment: Assignment, attempt: int) -> None:
        env = self._idle.pop() if self._idle else self._factory()
        rollout = make_rollout(env, _env_id(env), assignment, attempt)
        self._live[rollout] = perf_counter()
        if self._timeout_s is not None:
            loop = asyncio.get_running_loop()
            self._timers[rollout] = loop.call_later(self._timeout_s, self._expire, rollout)
        if rollout.blocking:
            self._wait_for(self._in_thread(rollout.begin), rollout, self._begun, rollout)
            return
        began = perf_counter()
        try:
            rollout.begin()
        except Exception as error:
            self._fail(rollout, _env_status(error), error)
            return
        rollout.env_s += perf_counter() - began
        self._enqueue(rollout)

    def _begun(self, rollout: Rollout, began: float, future: asyncio.Future[Any]) -> None:
        error = _error_of(future)
        if error is not None:
            self._fail(rollout, _env_status(error), error)
            return
        rollout.env_s += perf_counter() - began
        self._enqueue(rollout)

    # Deciding

    def _enqueue(self, rollout: Rollout) -> None:
        for view in rollout.pending:
            queue = self._queues.get(view.seat)
            if queue is None:
                queue = self._queues[view.seat] = self._queue_of(view.seat)
            queue.append((rollout, view))

    def _queue_of(self, seat: str) -> deque[tuple[Rollout, SeatView]]:
        """The queue of the seat's agent; seats that share an agent share its batches."""
        agent = self._agents
        if isinstance(agent, Mapping):
            if seat not in agent:
                raise ConfigurationError(f"seat {seat!r} has no agent: expected one for each seat, got {sorted(agent)}.")
            agent = agent[seat]
        return self._ready.setdefault(id(agent), (agent, deque()))[1]

    def _decide(self) -> bool:
        """Let every agent act on what is ready; True when anything moved."""
        moved = False
        for agent, queue in list(self._ready.values()):
            waiting = len(queue)
            size = waiting if agent.batch_size is None else agent.batch_size
            if waiting and size < 1:
                raise ConfigurationError(f"batch_size={size} of agent {agent.name!r} is too small: expected at least 1, or None.")
            while waiting > 0:
                batch = [queue.popleft() for _ in range(min(size, waiting))]
                waiting -= len(batch)
                batch = [item for item in batch if item[0] in self._live]
                if batch:
                    moved = True
                    self._act(agent, batch)
        return moved

    def _act(self, agent: Agent, batch: list[tuple[Rollout, SeatView]]) -> None:
        began = perf_counter()
        try:
            decisions = agent.act([view for _, view in batch])
        except Exception as error:
            self._fail_batch(batch, error)
            return
        if inspect.isawaitable(decisions):
            owner = batch[0][0] if len(batch) == 1 else None
            self._wait_for(asyncio.ensure_future(_awaited(decisions)), owner, self._acted, batch)
        else:
            self._deliver(batch, began, decisions)

    def _acted(self, batch: list[tuple[Rollout, SeatView]], began: float, future: asyncio.Future[Any]) -> None:
        error = _error_of(future)
        if error is not None:
            self._fail_batch(batch, error)
        else:
            self._deliver(batch, began, future.result())

    def _deliver(self, batch: list[tuple[Rollout, SeatView]], began: float, decisions: Sequence[Any]) -> None:
        if len(decisions) != len(batch):
            wrong = AgentError(f"{self._name} returned {len(decisions)} decisions for {len(batch)} views: expected one each.")
            self._fail_batch(batch, wrong)
            return
        share = (perf_counter() - began) / len(batch)
        for (rollout, view), decision in zip(batch, decisions, strict=True):
            if rollout not in self._live:
                continue
            rollout.agent_s += share
            if not isinstance(decision, Decision):
                if isinstance(decision, Exception):
                    self._fail(rollout, _agent_status(decision), decision)
                    continue
                decision = Decision(decision)
            if len(rollout.pending) == 1:
                self._step(rollout, (decision,))
                continue
            answers = self._answers.setdefault(rollout, {})
            answers[view.seat] = decision
            if len(answers) == len(rollout.pending):
                del self._answers[rollout]
                self._step(rollout, [answers[item.seat] for item in rollout.pending])

    # Stepping

    def _step(self, rollout: Rollout, decisions: Sequence[Decision]) -> None:
        action = rollout.action(decisions)
        if rollout.step_async is not None:
            task = asyncio.get_running_loop().create_task(rollout.step_async(action))
            self._wait_for(task, rollout, self._stepped, rollout)
            return
        if rollout.blocking:
            step = self._in_thread(partial(rollout.env.step, action))
            self._wait_for(step, rollout, self._stepped, rollout)
            return
        began = perf_counter()
        try:
            result = rollout.env.step(action)
        except Exception as error:
            self._fail(rollout, _env_status(error), error)
            return
        rollout.env_s += perf_counter() - began
        self._record(rollout, result)

    def _stepped(self, rollout: Rollout, began: float, future: asyncio.Future[Any]) -> None:
        error = _error_of(future)
        if error is not None:
            self._fail(rollout, _env_status(error), error)
            return
        rollout.env_s += perf_counter() - began
        self._record(rollout, future.result())

    def _record(self, rollout: Rollout, result: Any) -> None:
        rollout.record(result)
        if rollout.over:
            self._done.append(rollout.episode(self._retire(rollout), self._name))
            self._idle.append(rollout.env)
        else:
            self._enqueue(rollout)

    # Waiting

    def _in_thread(self, function: Callable[[], Any]) -> asyncio.Future[Any]:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(self._concurrency, thread_name_prefix="fogline-env")
        return asyncio.get_running_loop().run_in_executor(self._threads, function)

    def _wait_for(
        self, future: asyncio.Future[Any], rollout: Rollout | None, then: Callable[..., None], what: Any
    ) -> None:
        """Call ``then(what, began, future)`` when ``future`` is done, unless the rollout has ended by then."""
        self._waits[future] = _Wait(rollout, then, what, perf_counter())
        future.add_done_callback(self._waited)

    def _waited(self, future: asyncio.Future[Any]) -> None:
        wait = self._waits.pop(future, None)
        if wait is None:
            # Nobody waits any more: look at its error, or asyncio would report that nobody did.
            _error_of(future)
            return
        self._wake.set()
        try:
            wait.then(wait.what, wait.began, future)
        except BaseException as error:
            self._fatal = error

    # Ending

    def _retire(self, rollout: Rollout) -> float:
        timer = self._timers.pop(rollout, None)
        if timer is not None:
            timer.cancel()
        self._answers.pop(rollout, None)
        return perf_counter() - self._live.pop(rollout)

    def _expire(self, rollout: Rollout) -> None:
        if rollout in self._live:
            for future in [future for future, wait in self._waits.items() if wait.rollout is rollout]:
                del self._waits[future]
                future.cancel()
            if self._threads is not None:
                # A thread cannot be stopped, and nobody else is to wait behind one that hangs.
                self._threads.shutdown(wait=False)
                self._threads = None
            late = EpisodeTimeout(f"no end within timeout_s={self._timeout_s}: raise it, or look for what waits.")
            self._fail(rollout, "infra_error", late)
            self._wake.set()

    def _fail_batch(self, batch: list[tuple[Rollout, SeatView]], error: BaseException) -> None:
        for rollout, _ in batch:
            if rollout in self._live:
                self._fail(rollout, _agent_status(error), error)

    def _fail(self, rollout: Rollout, status: Status, error: BaseException) -> None:
        if isinstance(error, ConfigurationError) or not isinstance(error, Exception):
            raise error
        wall_s = self._retire(rollout)
        # Its state is unknown now, and a thread may still be inside it: it is not used again.
        _close_quietly(rollout.env)
        again = status != "agent_error" and getattr(error, "retryable", True)
        if again and rollout.attempt <= self._retries:
            self._again.append((rollout.assignment, rollout.attempt + 1))
            return
        failure = Failure(type(error).__name__, str(error), rollout.attempt)
        self._done.append(rollout.episode(wall_s, self._name, status, failure))

    async def _close(self) -> None:
        pending = list(self._waits)
        self._waits.clear()
        for future in pending:
            future.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        for timer in self._timers.values():
            timer.cancel()
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
        for env in [*self._idle, *(rollout.env for rollout in self._live)]:
            _close_quietly(env)


def _error_of(future: asyncio.Future[Any]) -> BaseException | None:
    """The error of a future that is done; one that its own side cancelled counts as broken."""
    if future.cancelled():
        return InfrastructureError("what was waited for was cancelled from within.")
    return future.exception()


async def _awaited(awaitable: Any) -> Any:
    return await awaitable


def _close_quietly(env: Any) -> None:
    # The failure that led here is already recorded; a second one from close() would only hide it.
    try:
        env.close()
    except Exception as error:
        import logging

        logging.getLogger("fogline.collector").warning("closing %s failed: %s", _env_id(env), error)


def _env_id(env: Any) -> str:
    spec = getattr(env, "spec", None)
    if spec is not None:
        return str(spec.id)
    unwrapped = getattr(env, "unwrapped", env)
    return str(getattr(unwrapped, "metadata", {}).get("name", type(unwrapped).__name__))


def _name_of(agent: Agents) -> str:
    if isinstance(agent, Mapping):
        return ",".join(f"{seat}={one.name}" for seat, one in sorted(agent.items()))
    return agent.name


def _env_status(error: BaseException) -> Status:
    return "infra_error" if isinstance(error, InfrastructureError) else "env_error"


def _agent_status(error: BaseException) -> Status:
    return "infra_error" if isinstance(error, InfrastructureError) else "agent_error"


async def _spread(
    engine: Engine,
    env_factory: EnvFactory,
    agent: Agents,
    tasks: Iterator[Assignment],
    chunk: int,
    options: Mapping[str, Any],
) -> AsyncIterator[Episode]:
    """Hand chunks of assignments to the engine, and those of lost workers again, one by one."""
    play = partial(_play_chunk, env_factory, agent, dict(options))
    limit = None if engine.name == "inline" or options["timeout_s"] is None else options["timeout_s"] * chunk * 2
    chunks: Iterable[tuple[Assignment, ...]] = _chunked(tasks, chunk)
    for attempt in range(1, options["retries"] + 2):
        lost: list[tuple[Assignment, Exception]] = []
        handed: dict[int, tuple[Assignment, ...]] = {}
        async for outcome in _in_background(engine.map(play, _remembered(chunks, handed), timeout_s=limit)):
            assignments = handed.pop(outcome.index)
            if isinstance(outcome.error, InfrastructureError):
                lost.extend((assignment, outcome.error) for assignment in assignments)
                continue
            for episode in outcome.unwrap():
                yield episode
        if not lost:
            return
        chunks = [(assignment,) for assignment, _ in lost]
    env = env_factory()
    env_id = _env_id(env)
    _close_quietly(env)
    for assignment, error in lost:
        failure = Failure(type(error).__name__, str(error), attempt)
        yield Episode(
            env_id, assignment.task_id, assignment.seed, (), "infra_error", failure=failure, agent=_name_of(agent)
        )


def _play_chunk(
    env_factory: EnvFactory, agent: Agents, options: Mapping[str, Any], tasks: Sequence[Assignment]
) -> list[Episode]:
    return collect_all(env_factory, agent, tasks, **options)


def _chunked(tasks: Iterator[Assignment], size: int) -> Iterator[tuple[Assignment, ...]]:
    while chunk := tuple(islice(tasks, size)):
        yield chunk


def _remembered(
    chunks: Iterable[tuple[Assignment, ...]], handed: dict[int, tuple[Assignment, ...]]
) -> Iterator[tuple[Assignment, ...]]:
    for index, chunk in enumerate(chunks):
        handed[index] = chunk
        yield chunk


async def _in_background(outcomes: Iterator[Any]) -> AsyncIterator[Any]:
    """Iterate over blocking ``outcomes`` in a thread of its own, so that the event loop stays free."""
    loop = asyncio.get_running_loop()
    end = object()
    with ThreadPoolExecutor(1, thread_name_prefix="fogline-engine") as thread:
        while (outcome := await loop.run_in_executor(thread, next, outcomes, end)) is not end:
            yield outcome
