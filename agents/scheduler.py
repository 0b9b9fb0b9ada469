"""What keeps many rollouts moving inside one event loop."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from time import perf_counter
from typing import Any, NamedTuple

from fogline.agents.agent import Agent, Decision, SeatView
from fogline.agents.rollout import Assignment, Rollout, make_rollout
from fogline.core.episode import Episode, Failure, Status
from fogline.core.errors import AgentError, ConfigurationError, InfrastructureError

EnvFactory = Callable[[], Any]
Agents = Agent | Mapping[str, Agent]


class EpisodeTimeout(InfrastructureError):
    """An episode took longer than ``timeout_s``."""


class _Wait(NamedTuple):
    """What is to happen when a future is done; ``rollout`` is None where several share it."""

    rollout: Rollout | None
    then: Callable[..., None]
    what: Any
    began: float


class Scheduler:
    """Keeps ``concurrency`` rollouts moving inside one event loop."""

    def __init__(
        self,
        env_factory: EnvFactory,
        agent: Agents,
        tasks: Iterator[Assignment],
        concurrency: int,
        timeout_s: float | None,
        retries: int,
        kept: list[Any] | None = None,
    ) -> None:
        self._factory = env_factory
        self._agents = agent
        self._name = name_of(agent)
        self._tasks = tasks
        self._concurrency = concurrency
        self._timeout_s = timeout_s
        self._retries = retries
        self._again: deque[tuple[Assignment, int]] = deque()
        self._kept = kept
        self._idle: list[Any] = [] if kept is None else kept
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

    async def run(self) -> AsyncGenerator[Episode, None]:
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
        rollout = make_rollout(env, env_id_of(env), assignment, attempt)
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
                raise ConfigurationError(
                    f"seat {seat!r} has no agent: expected one for each seat, got {sorted(agent)}."
                )
            agent = agent[seat]
        return self._ready.setdefault(id(agent), (agent, deque()))[1]

    def _decide(self) -> bool:
        """Let every agent act on what is ready; True when anything moved."""
        moved = False
        for agent, queue in list(self._ready.values()):
            waiting = len(queue)
            size = waiting if agent.batch_size is None else agent.batch_size
            if waiting and size < 1:
                raise ConfigurationError(
                    f"batch_size={size} of agent {agent.name!r} is too small: expected at least 1, or None."
                )
            if waiting and getattr(agent, "together", False):
                if not self._gathered():
                    continue
                _in_order(queue)
            while waiting > 0:
                batch = [queue.popleft() for _ in range(min(size, waiting))]
                waiting -= len(batch)
                batch = [item for item in batch if item[0] in self._live]
                if batch:
                    moved = True
                    self._act(agent, batch)
        return moved

    def _gathered(self) -> bool:
        """Whether every live rollout waits for an agent that wants all of them at once, and all places are taken."""
        others = any(queue for agent, queue in self._ready.values() if not getattr(agent, "together", False))
        return not (self._waits or self._done or others)

    def _act(self, agent: Agent, batch: list[tuple[Rollout, SeatView]]) -> None:
        began = perf_counter()
        try:
            decisions = agent.act([view for _, view in batch])
        except Exception as error:
            self._fail_batch(batch, error)
            return
        if inspect.isawaitable(decisions):
            owner = batch[0][0] if len(batch) == 1 else None
            self._wait_for(asyncio.ensure_future(decisions), owner, self._acted, batch)
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
            wrong = AgentError(
                f"{self._name} returned {len(decisions)} decisions for {len(batch)} views: expected one each."
            )
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
        close_quietly(rollout.env)
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
        idle = self._idle if self._kept is None else []
        for env in [*idle, *(rollout.env for rollout in self._live)]:
            close_quietly(env)


def _in_order(queue: deque[tuple[Rollout, SeatView]]) -> None:
    """Sort what waits by task, seed and seat, so that a batch does not depend on who was ready first."""
    ordered = sorted(queue, key=lambda item: (*item[0].assignment, item[1].seat))
    queue.clear()
    queue.extend(ordered)


def _error_of(future: asyncio.Future[Any]) -> BaseException | None:
    """The error of a future that is done; one that its own side cancelled counts as broken."""
    if future.cancelled():
        return InfrastructureError("what was waited for was cancelled from within.")
    return future.exception()


def close_quietly(env: Any) -> None:
    """Close an environment; an error of closing is logged only."""
    # The failure that led here is already recorded; a second one from close() would only hide it.
    try:
        env.close()
    except Exception as error:
        logging.getLogger("fogline.collector").warning("closing %s failed: %s", env_id_of(env), error)


def env_id_of(env: Any) -> str:
    """The registered id, else the name in the metadata, else the class's."""
    spec = getattr(env, "spec", None)
    if spec is not None:
        return str(spec.id)
    unwrapped = getattr(env, "unwrapped", env)
    return str(getattr(unwrapped, "metadata", {}).get("name", type(unwrapped).__name__))


def name_of(agent: Agents) -> str:
    """The agent's name, or every seat's."""
    if isinstance(agent, Mapping):
        return ",".join(f"{seat}={one.name}" for seat, one in sorted(agent.items()))
    return agent.name


def _env_status(error: BaseException) -> Status:
    return "infra_error" if isinstance(error, InfrastructureError) else "env_error"


def _agent_status(error: BaseException) -> Status:
    return "infra_error" if isinstance(error, InfrastructureError) else "agent_error"
