"""The collector: every assignment becomes one episode, whatever waits, fails or is slow."""

from __future__ import annotations

import asyncio
import functools
import gc
import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest
from echo_game import SEATS, EchoGame, Stubborn, Whisperer, seats_of
from games import AsyncCountEnv, AsyncSeededAgent, BlockingCountEnv, CountEnv, SeededAgent
from hypothesis import given, settings
from hypothesis import strategies as st

from fogline.agents.agent import Decision, SeatView
from fogline.agents.collector import collect, collect_all
from fogline.agents.rollout import Assignment
from fogline.core.engine import Outcome, TaskTimedOut, WorkerLost, make_engine
from fogline.core.episode import Episode, Usage
from fogline.core.errors import AgentError, ConfigurationError, InfrastructureError

TASKS = [Assignment(f"length-{1 + index % 4}", index) for index in range(12)]


def comparable(episodes: Iterable[Episode]) -> list[dict[str, Any]]:
    """What must not depend on how episodes were collected."""
    rows = [replace(episode, usage=Usage()).to_json() for episode in episodes]
    return sorted(rows, key=lambda row: (row["task_id"], row["seed"]))


async def gather(*arguments: Any, **options: Any) -> list[Episode]:
    return [episode async for episode in collect(*arguments, **options)]


EXPECTED = comparable(collect_all(CountEnv, SeededAgent(), TASKS, concurrency=1))

# What is collected


def test_an_episode_says_what_was_played_and_what_happened() -> None:
    (episode,) = collect_all(CountEnv, SeededAgent(), [("length-2", 7)])
    assert (episode.env_id, episode.task_id, episode.seed) == ("Count-v0", "length-2", 7)
    assert (episode.status, episode.failure, episode.agent) == ("terminated", None, "seeded")
    assert (episode.simulator_version, episode.seats) == ("count-1", ("agent",))
    assert (dict(episode.outcome), dict(episode.metrics)) == ({"length": 2.0}, {"turns": 2})
    assert [turn.phase for turn in episode.turns] == ["turn 1", "turn 2"]
    assert all(turn.terms == {"choice": float(turn.action)} for turn in episode.turns)
    env = CountEnv()
    first, _ = env.reset(seed=7, options={"task_id": "length-2"})
    second, reward, *_ = env.step(episode.turns[0].action)
    assert episode.turns[0].observation == first
    assert episode.turns[1].observation == second
    assert episode.turns[0].reward == reward
    assert episode.final_observation == env.step(episode.turns[1].action)[0]


@pytest.mark.parametrize("concurrency", [1, 4, 64])
@pytest.mark.parametrize("factory", [CountEnv, AsyncCountEnv, BlockingCountEnv], ids=["inline", "awaited", "threaded"])
@pytest.mark.parametrize(
    "agent", [SeededAgent, lambda: SeededAgent(3), AsyncSeededAgent, lambda: AsyncSeededAgent(None)]
)
def test_results_depend_on_neither_concurrency_nor_manner(
    factory: Callable[[], Any], agent: Callable[[], Any], concurrency: int
) -> None:
    assert comparable(collect_all(factory, agent(), TASKS, concurrency=concurrency)) == EXPECTED


@settings(max_examples=20)
@given(order=st.permutations(range(len(TASKS))), concurrency=st.integers(1, 13), batch=st.none() | st.integers(1, 5))
def test_results_do_not_depend_on_the_order_of_the_tasks(order: list[int], concurrency: int, batch: int | None) -> None:
    shuffled = [TASKS[index] for index in order]
    episodes = collect_all(CountEnv, SeededAgent(batch), shuffled, concurrency=concurrency)
    assert [(episode.task_id, episode.seed) for episode in episodes] == shuffled
    assert comparable(episodes) == EXPECTED


def test_a_repeated_assignment_is_played_each_time_and_alike() -> None:
    episodes = collect_all(CountEnv, SeededAgent(), [("length-2", 3)] * 3, concurrency=2)
    assert len(episodes) == 3
    assert len({repr(replace(episode, usage=Usage())) for episode in episodes}) == 1


def test_a_task_of_no_name_lets_the_environment_choose() -> None:
    (episode,) = collect_all(CountEnv, SeededAgent(), [("", 0)])
    assert len(episode.turns) == 3


def test_no_tasks_make_no_episodes_and_no_environment() -> None:
    calls: Counter[str] = Counter()
    assert collect_all(lambda: CountEnv(calls), SeededAgent(), []) == []
    assert calls == Counter()


def test_finished_assignments_are_not_played_again() -> None:
    calls: Counter[str] = Counter()
    done = {(task.task_id, task.seed) for task in TASKS[:9]}
    episodes = collect_all(lambda: CountEnv(calls), SeededAgent(), TASKS, finished=done)
    assert [(episode.task_id, episode.seed) for episode in episodes] == TASKS[9:]
    assert calls["reset"] == 3


def test_environments_are_reused_up_to_the_concurrency_and_all_closed() -> None:
    calls: Counter[str] = Counter()
    collect_all(lambda: CountEnv(calls), SeededAgent(), TASKS, concurrency=4)
    assert calls["made"] == 4
    assert calls["closed"] == 4
    assert calls["reset"] == len(TASKS)


@pytest.mark.parametrize("options", [{"concurrency": 0}, {"retries": -1}, {"chunk": 0}])
def test_impossible_options_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        collect_all(CountEnv, SeededAgent(), TASKS, **options)


@pytest.mark.parametrize("size", [0, -1])
def test_an_agent_that_wants_batches_of_nothing_is_refused(size: int) -> None:
    with pytest.raises(ConfigurationError, match="batch_size"):
        collect_all(CountEnv, SeededAgent(size), TASKS)


# Batches


def test_an_agent_without_a_bound_sees_all_that_is_ready() -> None:
    agent = SeededAgent()
    collect_all(CountEnv, agent, [("length-3", seed) for seed in range(8)], concurrency=8)
    assert agent.sizes == [8, 8, 8]


@pytest.mark.parametrize("bound", [1, 3])
def test_no_batch_is_larger_than_the_agent_wants(bound: int) -> None:
    agent = SeededAgent(bound)
    collect_all(CountEnv, agent, TASKS, concurrency=8)
    assert max(agent.sizes) == bound
    assert sum(agent.sizes) == sum(1 + index % 4 for index in range(12))


async def test_agents_of_batch_one_are_asked_side_by_side() -> None:
    active, most = 0, 0

    class Slow(SeededAgent):
        async def act(self, views: Sequence[SeatView]) -> list[Any]:  # type: ignore[override]
            nonlocal active, most
            active += 1
            most = max(most, active)
            await asyncio.sleep(0.02)
            active -= 1
            return super().act(views)

    await gather(CountEnv, Slow(1), [("length-1", seed) for seed in range(6)], concurrency=6)
    assert most == 6


async def test_one_slow_environment_holds_nobody_up() -> None:
    waits = {"length-5": 0.4}
    tasks = [Assignment("length-5", 0), *(Assignment("length-4", seed) for seed in range(20))]
    began = time.perf_counter()
    order = []
    async for episode in collect(lambda: AsyncCountEnv(waits=waits), SeededAgent(), tasks, concurrency=2):
        order.append((episode.task_id, time.perf_counter() - began))
    assert order[-1][0] == "length-5"
    assert order[-2][1] < 5 * 0.4 < order[-1][1]


async def test_one_slow_agent_call_holds_nobody_up() -> None:
    agent = AsyncSeededAgent(1, lambda view: 0.5 if view.task_id == "length-2" else 0.0)
    order = [
        episode.task_id
        async for episode in collect(
            CountEnv, agent, [("length-2", 0), *(("length-3", seed) for seed in range(6))], concurrency=2
        )
    ]
    assert order == ["length-3"] * 6 + ["length-2"]


# Ways of stepping


def test_blocking_environments_run_in_threads_side_by_side() -> None:
    threads: set[int] = set()
    factory = functools.partial(BlockingCountEnv, seconds=0.1, threads=threads)
    tasks = [("length-2", seed) for seed in range(8)]
    began = time.perf_counter()
    collect_all(factory, SeededAgent(), tasks, concurrency=8)
    assert time.perf_counter() - began < 8 * 0.2
    assert threading.get_ident() not in threads
    assert len(threads) > 1


async def test_the_event_loop_goes_on_while_environments_block() -> None:
    beats = 0

    async def heart() -> None:
        nonlocal beats
        while True:
            beats += 1
            await asyncio.sleep(0.01)

    pulse = asyncio.create_task(heart())
    await gather(functools.partial(BlockingCountEnv, seconds=0.1), SeededAgent(), [("length-3", 0)])
    pulse.cancel()
    assert beats > 10


def test_inline_environments_stay_in_the_callers_thread() -> None:
    seen: set[int] = set()

    class Env(CountEnv):
        def on_step(self) -> None:
            seen.add(threading.get_ident())

    collect_all(Env, SeededAgent(), TASKS)
    assert seen == {threading.get_ident()}


# What the trainer and the meter get


def test_tokens_versions_and_usage_of_decisions_are_kept() -> None:
    class Talker:
        name = "talker"
        batch_size = None

        def act(self, views: Sequence[SeatView]) -> list[Decision]:
            usage = Usage(model_calls=1, prompt_tokens=10, completion_tokens=3, cost=0.5, retries=2)
            return [Decision(1, (4, 5), (6,), (-0.5,), 9, usage) for _ in views]

    (episode,) = collect_all(CountEnv, Talker(), [("length-2", 0)])
    turn = episode.turns[1]
    assert turn[7:11] == ((4, 5), (6,), (-0.5,), 9)
    usage = episode.usage
    assert (usage.model_calls, usage.prompt_tokens, usage.completion_tokens) == (2, 20, 6)
    assert (usage.cost, usage.retries) == (1.0, 4)


def test_time_is_split_between_agent_and_environment() -> None:
    class Slow(SeededAgent):
        def act(self, views: Sequence[SeatView]) -> list[Any]:
            time.sleep(0.05)
            return super().act(views)

    (episode,) = collect_all(functools.partial(BlockingCountEnv, seconds=0.1), Slow(), [("length-2", 0)])
    assert episode.usage.env_s >= 0.2
    assert episode.usage.agent_s >= 0.1
    assert episode.usage.wall_s >= 0.3


def test_a_view_remembers_its_own_episode_and_nothing_else() -> None:
    class Rememberer(SeededAgent):
        def act(self, views: Sequence[SeatView]) -> list[Any]:
            for view in views:
                notes = view.memory.setdefault("notes", [])
                assert notes == [(view.task_id, index) for index in range(len(view.turns))]
                notes.append((view.task_id, len(view.turns)))
            return super().act(views)

    assert comparable(collect_all(CountEnv, Rememberer(), TASKS, concurrency=5)) == EXPECTED


# Failures


class Broken(Exception):
    """A bug."""


class Down(InfrastructureError):
    """A server is down."""


class Refused(InfrastructureError):
    """A server refuses, for good."""

    retryable = False


class FailingAgent(SeededAgent):
    """Fails on tasks of ``length-2`` in a given way, the first ``times`` times."""

    def __init__(self, error: Exception, times: int = 1000, *, how: str = "raise", batch_size: int | None = 1) -> None:
        super().__init__(batch_size)
        self.error, self.times, self.how = error, times, how

    def act(self, views: Sequence[SeatView]) -> list[Any]:
        answers = super().act(views)
        for index, view in enumerate(views):
            if view.task_id == "length-2" and len(view.turns) == 1 and self.times > 0:
                self.times -= 1
                if self.how == "raise":
                    raise self.error
                answers[index] = self.error
        return answers


class AsyncFailingAgent(FailingAgent):
    async def act(self, views: Sequence[SeatView]) -> list[Any]:  # type: ignore[override]
        await asyncio.sleep(0)
        return super().act(views)


AGENTS = [FailingAgent, AsyncFailingAgent]


@pytest.mark.parametrize("kind", AGENTS)
@pytest.mark.parametrize("how", ["raise", "return"])
@pytest.mark.parametrize("error", [AgentError("full"), Broken("bug")])
def test_an_agents_failure_ends_its_episode_at_once_and_keeps_its_turns(
    kind: type[FailingAgent], how: str, error: Exception
) -> None:
    batch = 1 if how == "raise" else None
    agent = kind(error, how=how, batch_size=batch)
    episodes = collect_all(CountEnv, agent, [("length-1", 0), ("length-2", 0), ("length-3", 0)])
    assert [episode.status for episode in episodes] == ["terminated", "agent_error", "terminated"]
    failed = episodes[1]
    assert failed.failure is not None
    assert (failed.failure.kind, failed.failure.message) == (type(error).__name__, str(error))
    assert failed.failure.attempts == 1
    assert len(failed.turns) == 1
    assert failed.reward == failed.turns[0].reward


@pytest.mark.parametrize("kind", AGENTS)
@pytest.mark.parametrize("how", ["raise", "return"])
@pytest.mark.parametrize("times", [1, 2])
def test_infrastructure_under_the_agent_is_retried_within_the_budget(
    kind: type[FailingAgent], how: str, times: int
) -> None:
    agent = kind(Down("503"), times, how=how)
    episodes = collect_all(CountEnv, agent, [("length-2", 3)], retries=2)
    assert [episode.status for episode in episodes] == ["terminated"]
    assert episodes[0].usage.retries == times
    assert comparable(episodes) == comparable(collect_all(CountEnv, SeededAgent(), [("length-2", 3)]))


@pytest.mark.parametrize("kind", AGENTS)
def test_infrastructure_that_stays_down_leaves_an_unscored_episode(kind: type[FailingAgent]) -> None:
    episodes = collect_all(CountEnv, kind(Down("503")), [("length-2", 0), ("length-3", 0)], retries=2)
    failed, other = episodes
    assert (failed.status, failed.reward, failed.scored) == ("infra_error", None, False)
    assert failed.failure is not None
    assert (failed.failure.kind, failed.failure.attempts) == ("Down", 3)
    assert other.status == "terminated"


def test_what_cannot_be_retried_is_not() -> None:
    (episode,) = collect_all(CountEnv, FailingAgent(Refused("no")), [("length-2", 0)], retries=5)
    assert episode.failure is not None
    assert (episode.status, episode.failure.attempts) == ("infra_error", 1)


def test_a_batch_that_raises_fails_its_members_only() -> None:
    agent = FailingAgent(AgentError("x"), times=1, batch_size=2)
    tasks = [("length-2", 0), ("length-2", 1), ("length-2", 2), ("length-2", 3)]
    statuses = Counter(episode.status for episode in collect_all(CountEnv, agent, tasks, concurrency=4))
    assert statuses == {"agent_error": 2, "terminated": 2}


def test_the_wrong_number_of_decisions_is_the_agents_failure() -> None:
    class Short(SeededAgent):
        def act(self, views: Sequence[SeatView]) -> list[Any]:
            return super().act(views)[:-1]

    (episode,) = collect_all(CountEnv, Short(), [("length-2", 0)])
    assert episode.status == "agent_error"
    assert episode.failure is not None
    assert "0 decisions for 1 views" in episode.failure.message


@pytest.mark.parametrize("kind", [CountEnv, AsyncCountEnv, BlockingCountEnv])
@pytest.mark.parametrize("where", ["on_step", "on_reset"])
@pytest.mark.parametrize(("error", "status"), [(Broken("bug"), "env_error"), (Down("x"), "infra_error")])
def test_an_environments_failure_is_retried_and_never_scored(
    kind: type[CountEnv], where: str, error: Exception, status: str
) -> None:
    calls: Counter[str] = Counter()

    def fail(self: CountEnv) -> None:
        if self.task_id == "length-2":
            raise error

    failing = type("Failing", (kind,), {where: fail})
    tasks = [("length-1", 0), ("length-2", 0), ("length-3", 0)]
    episodes = collect_all(lambda: failing(calls), SeededAgent(), tasks, retries=1, concurrency=2)
    assert [episode.status for episode in episodes] == ["terminated", status, "terminated"]
    failed = episodes[1]
    assert failed.failure is not None
    assert (failed.reward, failed.failure.kind, failed.failure.attempts) == (None, type(error).__name__, 2)
    assert calls["made"] == calls["closed"], "a failed environment is closed and replaced"


@pytest.mark.parametrize("kind", [CountEnv, AsyncCountEnv, BlockingCountEnv])
@pytest.mark.parametrize("where", ["on_step", "on_reset"])
@pytest.mark.parametrize("concurrency", [1, 3])
def test_an_environment_that_recovers_costs_no_episode(kind: type[CountEnv], where: str, concurrency: int) -> None:
    left = [2]

    def fail(self: CountEnv) -> None:
        if left[0]:
            left[0] -= 1
            raise Broken("once more")

    failing = type("Failing", (kind,), {where: fail})
    tasks = [("length-2", seed) for seed in range(3)]
    episodes = collect_all(failing, SeededAgent(), tasks, retries=2, concurrency=concurrency)
    assert comparable(episodes) == comparable(collect_all(CountEnv, SeededAgent(), tasks))


@pytest.mark.parametrize("kind", [CountEnv, AsyncCountEnv, BlockingCountEnv])
@pytest.mark.parametrize("where", ["on_step", "on_reset"])
def test_a_configuration_error_of_the_environment_reaches_the_caller(kind: type[CountEnv], where: str) -> None:
    calls: Counter[str] = Counter()

    def refuse(self: CountEnv) -> None:
        raise ConfigurationError("no such task")

    failing = type("Failing", (kind,), {where: refuse})
    with pytest.raises(ConfigurationError, match="no such task"):
        collect_all(lambda: failing(calls), SeededAgent(), TASKS, concurrency=3)
    assert calls["made"] == calls["closed"]


@pytest.mark.parametrize("kind", AGENTS)
@pytest.mark.parametrize("how", ["raise", "return"])
def test_a_configuration_error_of_the_agent_reaches_the_caller(kind: type[FailingAgent], how: str) -> None:
    with pytest.raises(ConfigurationError, match="wrong model"):
        collect_all(CountEnv, kind(ConfigurationError("wrong model"), how=how), TASKS)


def test_an_error_in_the_iterator_of_tasks_reaches_the_caller() -> None:
    def tasks() -> Iterable[Assignment]:
        yield TASKS[0]
        raise Broken("no more")

    async def run() -> None:
        await gather(CountEnv, SeededAgent(), tasks(), concurrency=2)

    with pytest.raises(Broken):
        asyncio.run(run())


# Time


async def test_an_episode_that_takes_too_long_fails_alone() -> None:
    waits = {"length-2": 60.0}
    tasks = [("length-1", 0), ("length-2", 0), ("length-3", 0)]
    began = time.perf_counter()
    episodes = await gather(
        lambda: AsyncCountEnv(waits=waits), SeededAgent(), tasks, timeout_s=0.5, retries=1, concurrency=2
    )
    by_task = {episode.task_id: episode for episode in episodes}
    assert time.perf_counter() - began < 5
    assert by_task["length-1"].status == by_task["length-3"].status == "terminated"
    late = by_task["length-2"]
    assert late.failure is not None
    assert (late.status, late.failure.kind, late.failure.attempts) == ("infra_error", "EpisodeTimeout", 2)
    assert "timeout_s=0.5" in late.failure.message


async def test_an_agent_that_hangs_is_timed_out() -> None:
    agent = AsyncSeededAgent(1, lambda view: 60.0 if view.task_id == "length-2" else 0.0)
    tasks = [("length-1", 0), ("length-2", 0), ("length-3", 0)]
    episodes = await gather(CountEnv, agent, tasks, timeout_s=0.5, retries=0, concurrency=1)
    assert {episode.task_id: episode.status for episode in episodes} == {
        "length-1": "terminated",
        "length-2": "infra_error",
        "length-3": "terminated",
    }


async def test_a_thread_that_hangs_takes_no_room_from_later_episodes() -> None:
    release = threading.Event()

    class Hanging(BlockingCountEnv):
        def on_step(self) -> None:
            if self.task_id == "length-2":
                release.wait(20)

    tasks = [("length-2", 0), *(("length-3", seed) for seed in range(4))]
    try:
        episodes = await gather(Hanging, SeededAgent(), tasks, timeout_s=1.0, retries=0, concurrency=1)
    finally:
        release.set()
    assert Counter(episode.status for episode in episodes) == {"infra_error": 1, "terminated": 4}


async def test_quick_episodes_are_never_timed_out() -> None:
    episodes = await gather(AsyncCountEnv, SeededAgent(), TASKS * 5, timeout_s=5.0, concurrency=4)
    assert {episode.status for episode in episodes} == {"terminated"}


# Ending early


def endless() -> Iterable[Assignment]:
    return (Assignment("length-2", seed) for seed in itertools.count())


@pytest.mark.parametrize("factory", [CountEnv, AsyncCountEnv, BlockingCountEnv])
@pytest.mark.parametrize("agent", [SeededAgent, AsyncSeededAgent])
async def test_an_endless_iterator_is_read_no_further_than_needed(
    factory: type[CountEnv], agent: type[SeededAgent]
) -> None:
    calls: Counter[str] = Counter()
    read = 0

    def tasks() -> Iterable[Assignment]:
        nonlocal read
        for assignment in endless():
            read += 1
            yield assignment

    before = asyncio.all_tasks()
    async with aclosing(collect(lambda: factory(calls), agent(), tasks(), concurrency=3)) as episodes:
        seen = [episode async for episode in _first(episodes, 10)]
    assert len(seen) == 10
    assert read <= 10 + 2 * 3 + 1
    await asyncio.sleep(0.05)
    assert calls["closed"] == calls["made"] <= 3
    assert asyncio.all_tasks() == before
    await _until(lambda: not [thread for thread in threading.enumerate() if thread.name.startswith("fogline-env")])


async def _first(episodes: Any, count: int) -> Any:
    for _ in range(count):
        yield await anext(episodes)


async def _until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    deadline = time.perf_counter() + seconds
    while not condition():
        assert time.perf_counter() < deadline, "still not so"
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("where", ["on_reset", "on_step"])
async def test_failures_without_end_are_yielded_as_they_come(where: str) -> None:
    def fail(self: CountEnv) -> None:
        raise Broken("always")

    failing = type("Failing", (CountEnv,), {where: fail})
    async with aclosing(collect(failing, SeededAgent(), endless(), concurrency=2, retries=0)) as episodes:
        seen = [episode async for episode in _first(episodes, 5)]
    assert [episode.status for episode in seen] == ["env_error"] * 5


async def test_cancelling_the_caller_closes_everything() -> None:
    calls: Counter[str] = Counter()
    agent = AsyncSeededAgent(1, lambda view: 60.0)
    before = asyncio.all_tasks()
    running = asyncio.create_task(gather(lambda: CountEnv(calls), agent, TASKS, concurrency=3))
    await asyncio.sleep(0.05)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    gc.collect()
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before
    assert calls["closed"] == calls["made"] == 3


def test_an_environment_that_cannot_close_hides_nothing(caplog: pytest.LogCaptureFixture) -> None:
    class Sticky(CountEnv):
        def close(self) -> None:
            raise Broken("stuck")

    (episode,) = collect_all(Sticky, SeededAgent(), [("length-1", 0)])
    assert episode.status == "terminated"
    assert "closing Count-v0 failed: stuck" in caplog.text


async def test_a_late_failure_of_an_abandoned_call_is_not_reported_as_lost(caplog: pytest.LogCaptureFixture) -> None:
    class LateFailure(SeededAgent):
        async def act(self, views: Sequence[SeatView]) -> list[Any]:  # type: ignore[override]
            try:
                await asyncio.sleep(0.3)
            finally:
                raise Broken("too late to matter")

    await gather(CountEnv, LateFailure(None), [("length-1", 0), ("length-1", 1)], timeout_s=0.05, retries=0)
    gc.collect()
    await asyncio.sleep(0)
    assert "never retrieved" not in caplog.text


# Seats


def test_every_seat_of_a_parallel_game_has_its_turns() -> None:
    episodes = collect_all(EchoGame, Whisperer(), [("", seed) for seed in range(6)], concurrency=3)
    for episode in episodes:
        assert (episode.env_id, episode.seats, episode.status) == ("EchoGame-v0", SEATS, "terminated")
        assert seats_of(episode.turns) == ["left", "right", "left", "right"]
        assert [turn.phase for turn in episode.turns] == ["whisper", "whisper", "guess", "guess"]
        assert (episode.reward, episode.reward_of("left"), episode.reward_of("right")) == (2.0, 1.0, 1.0)
        assert episode.outcome == {"right": 2.0}
        assert "digits" in episode.metrics


def test_each_seat_may_have_its_own_agent() -> None:
    agents = {"left": Whisperer(), "right": Stubborn(1)}
    episodes = collect_all(EchoGame, agents, [("", seed) for seed in range(20)], concurrency=4)
    for episode in episodes:
        assert episode.agent == "left=whisperer,right=stubborn-1"
        turns = [turn for turn in episode.turns if turn.seat == "right"]
        assert [turn.action for turn in turns] == [1, 1]
    assert {turn.action for episode in episodes for turn in episode.turns if turn.seat == "left"} == {0, 1, 2}
    assert {episode.reward_of("right") for episode in episodes} == {0.0, 0.5, 1.0}
    # All that `left` hears and all that `right` says is 1: the seats' digits decide who is right.
    for episode in episodes:
        left, right = (float(turn.observation[1]) for turn in episode.turns[:2])
        assert [turn.terms["right"] for turn in episode.turns] == [1.0, right, right, left]
        assert [turn.reward for turn in episode.turns] == [0.5, right / 2, right / 2, left / 2]


def test_a_shared_agent_sees_both_seats_in_one_batch() -> None:
    agent = SeededAgent()
    collect_all(EchoGame, _Small(agent), [("", seed) for seed in range(4)], concurrency=4)
    assert agent.sizes == [8, 8]


class _Small:
    """Another agent's draws, within the three words of the echo game."""

    name = "small"
    batch_size: int | None = None

    def __init__(self, agent: SeededAgent) -> None:
        self.agent = agent

    def act(self, views: Sequence[SeatView]) -> list[int]:
        return [action % 3 for action in self.agent.act(views)]


def test_seats_draw_differently_and_reproducibly() -> None:
    runs = [
        collect_all(EchoGame, _Small(SeededAgent(size)), [("", seed) for seed in range(20)], concurrency=many)
        for size, many in ((None, 1), (1, 7), (3, 20))
    ]
    assert comparable(runs[0]) == comparable(runs[1]) == comparable(runs[2])
    left, right = ([turn.action for e in runs[0] for turn in e.turns if turn.seat == seat] for seat in SEATS)
    assert left != right


def test_seats_see_their_own_prompt_and_nobody_elses_digit() -> None:
    seen: dict[str, set[str]] = {seat: set() for seat in SEATS}

    class Reader(Whisperer):
        def act(self, views: Any) -> list[int]:
            for view in views:
                seen[view.seat].add(view.system_prompt)
            return super().act(views)

    collect_all(EchoGame, Reader(), [("", 0)])
    assert seen == {"left": {"You are left."}, "right": {"You are right."}}


def test_a_seat_without_an_agent_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError, match="seat 'right' has no agent"):
        collect_all(EchoGame, {"left": Whisperer()}, [("", 0)])


@pytest.mark.parametrize("how", ["raise", "return"])
def test_one_seats_failure_is_the_episodes(how: str) -> None:
    class Moody(Whisperer):
        batch_size = 1

        def act(self, views: Any) -> list[Any]:
            if how == "raise":
                raise AgentError("no mood")
            return [AgentError("no mood")]

    for agents in ({"left": Moody(), "right": Whisperer()}, {"left": Whisperer(), "right": Moody()}):
        episodes = collect_all(EchoGame, agents, [("", seed) for seed in range(5)], concurrency=2)
        assert [episode.status for episode in episodes] == ["agent_error"] * 5
        assert all(episode.turns == () for episode in episodes)


# Engines


def assert_same(engine_name: str, workers: int | None) -> None:
    with make_engine(engine_name, workers) as engine:
        episodes = collect_all(CountEnv, SeededAgent(), TASKS, engine=engine, chunk=5)
        assert comparable(episodes) == EXPECTED
        assert len(episodes) == len(TASKS)


def test_the_inline_engine_gives_the_same_episodes() -> None:
    assert_same("inline", None)


def test_worker_processes_give_the_same_episodes() -> None:
    assert_same("process", 2)


def test_failures_travel_from_worker_processes() -> None:
    with make_engine("process", 1) as engine:
        tasks = [("length-1", 0), ("length-2", 0)]
        episodes = collect_all(CountEnv, FailingAgent(Broken("bug")), tasks, engine=engine)
        assert [episode.status for episode in episodes] == ["terminated", "agent_error"]
        with pytest.raises(ConfigurationError, match="wrong"):
            collect_all(CountEnv, FailingAgent(ConfigurationError("wrong")), tasks, engine=engine)


def test_finished_assignments_are_skipped_by_engines_too() -> None:
    with make_engine("inline") as engine:
        done = {(task.task_id, task.seed) for task in TASKS[2:]}
        assert len(collect_all(CountEnv, SeededAgent(), TASKS, engine=engine, finished=done)) == 2


async def test_an_engine_reads_an_endless_iterator_no_further_than_needed() -> None:
    with make_engine("inline") as engine:
        async with aclosing(collect(CountEnv, SeededAgent(), endless(), engine, chunk=4)) as episodes:
            seen = [episode async for episode in _first(episodes, 10)]
    assert [episode.seed for episode in seen] == list(range(10))


async def test_a_caller_that_stops_early_leaves_no_environment_open() -> None:
    calls: Counter[str] = Counter()
    waits = {"length-1": 0.0, "length-2": 60.0}

    class Stopped(Exception):
        pass

    with pytest.raises(Stopped):
        async with aclosing(
            collect(
                lambda: AsyncCountEnv(calls, waits),
                SeededAgent(),
                [("length-2", 0), ("length-1", 0), ("length-2", 1)],
                concurrency=3,
            )
        ) as episodes:
            async for _ in episodes:
                raise Stopped
    assert calls["closed"] == calls["made"] == 3


class LosesWorkers:
    """Plays here, but says of the first hand-outs that their workers died or were too late."""

    name, workers = "process", 2

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.rounds: list[list[int]] = []

    def map(self, function: Any, items: Any, *, timeout_s: float | None = None) -> Any:
        error = self.errors.pop(0) if self.errors else None
        self.rounds.append([])
        for index, item in enumerate(items):
            self.rounds[-1].append(len(item))
            yield Outcome(index, error=error) if error and index == 0 else Outcome(index, _played_apart(function, item))


def _played_apart(function: Any, item: Any) -> Any:
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(function, item).result()


def test_what_a_dead_worker_had_is_played_again_whole_and_at_last_one_by_one() -> None:
    engine = LosesWorkers(WorkerLost("died"), WorkerLost("died"))
    episodes = collect_all(CountEnv, SeededAgent(), TASKS, engine=engine, chunk=5, retries=2)
    assert comparable(episodes) == EXPECTED
    first, *again = engine.rounds
    assert again == [[5], [1] * 5]
    assert sorted(episode.usage.retries for episode in episodes) == [0] * (sum(first) - 5) + [2] * 5


def test_what_took_too_long_is_played_one_by_one_at_once() -> None:
    engine = LosesWorkers(TaskTimedOut("late"))
    episodes = collect_all(CountEnv, SeededAgent(), TASKS, engine=engine, chunk=5, retries=5)
    assert comparable(episodes) == EXPECTED
    assert engine.rounds[1:] == [[1] * 5]


def test_what_no_worker_brings_to_an_end_is_unscored() -> None:
    engine = LosesWorkers(WorkerLost("died"), WorkerLost("died"))
    episodes = collect_all(CountEnv, SeededAgent(), [("length-1", 0)], engine=engine, chunk=5, retries=1)
    assert [(episode.status, episode.reward) for episode in episodes] == [("infra_error", None)]
    assert episodes[0].failure is not None
    assert (episodes[0].failure.kind, episodes[0].failure.attempts) == ("WorkerLost", 2)
