"""An agent that wants all live episodes at once gets the same batches whatever the timing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
from echo_game import DIGITS, SEATS, EchoGame
from games import AsyncCountEnv, BlockingCountEnv, CountEnv, SeededAgent

from fogline.agents.agent import SeatView
from fogline.agents.collector import collect_all
from fogline.agents.rollout import Assignment

TASKS = [Assignment(f"length-{1 + index % 4}", index) for index in range(12)]
SHUFFLED = TASKS[5:] + TASKS[:5]
LATE = {"length-1": 0.03, "length-2": 0.0, "length-3": 0.02, "length-4": 0.01}


class Gatherer(SeededAgent):
    """Notes who was in each batch."""

    together = True

    def __init__(self, batch_size: int | None = None) -> None:
        super().__init__(batch_size)
        self.batches: list[list[tuple[str, int, str]]] = []

    def act(self, views: Sequence[SeatView]) -> list[Any]:
        self.batches.append([(view.task_id, len(view.turns), view.seat) for view in views])
        return super().act(views)


class Slowing:
    """Makes awaited environments whose steps take different times."""

    def __init__(self, waits: dict[str, float]) -> None:
        self.waits = waits

    def __call__(self) -> AsyncCountEnv:
        return AsyncCountEnv(waits=self.waits)


def batches(factory: Callable[[], Any], tasks: Sequence[Assignment], concurrency: int) -> list[Any]:
    agent = Gatherer()
    collect_all(factory, agent, tasks, concurrency=concurrency)
    return agent.batches


def test_every_live_episode_is_in_every_batch() -> None:
    sizes = [len(batch) for batch in batches(CountEnv, TASKS, 12)]
    assert sizes == [12, 9, 6, 3]


@pytest.mark.parametrize(
    "factory",
    [CountEnv, Slowing(LATE), Slowing({}), partial(BlockingCountEnv, seconds=0.002)],
    ids=["inline", "slow", "fast", "threads"],
)
def test_batches_do_not_depend_on_who_is_ready_first(factory: Callable[[], Any]) -> None:
    assert batches(factory, TASKS, 12) == batches(CountEnv, SHUFFLED, 12)


def test_a_batch_is_in_the_order_of_task_and_seed() -> None:
    assert all(batch == sorted(batch) for batch in batches(CountEnv, SHUFFLED, 12))


@pytest.mark.parametrize("factory", [CountEnv, Slowing(LATE)], ids=["inline", "slow"])
def test_places_of_finished_episodes_are_filled_before_the_agent_is_asked(factory: Callable[[], Any]) -> None:
    asked = batches(factory, [Assignment("length-2", seed) for seed in range(8)], 4)
    assert [len(batch) for batch in asked] == [4, 4, 4, 4]


def test_a_bound_on_the_batch_still_holds() -> None:
    agent = Gatherer(batch_size=5)
    collect_all(CountEnv, agent, TASKS, concurrency=12)
    assert agent.sizes[:3] == [5, 5, 2]


class Speaker(Gatherer):
    """Says a digit of the game."""

    def act(self, views: Sequence[SeatView]) -> list[Any]:
        return [action % DIGITS for action in super().act(views)]


class ImpatientSpeaker(Speaker):
    """Says a digit as soon as it is asked."""

    together = False


@pytest.mark.parametrize("right", [Speaker, ImpatientSpeaker])
def test_seats_with_agents_of_their_own_wait_for_nobody_in_vain(right: type[Speaker]) -> None:
    agents = {SEATS[0]: Speaker(), SEATS[1]: right()}
    episodes = collect_all(EchoGame, agents, [Assignment("", seed) for seed in range(4)], concurrency=4)
    assert [episode.status for episode in episodes] == ["terminated"] * 4
    assert [len(batch) for batch in agents[SEATS[0]].batches] == [4, 4]


def test_an_agent_shared_by_all_seats_gets_all_seats_of_all_episodes() -> None:
    agent = Speaker()
    collect_all(EchoGame, agent, [Assignment("", seed) for seed in range(3)], concurrency=3)
    assert agent.batches[0] == [("", 0, seat) for seat in SEATS * 3]
