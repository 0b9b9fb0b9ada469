"""A rollout: what is recorded of one episode, for one seat and for several."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from echo_game import EchoGame
from games import CountEnv, SeededAgent
from hypothesis import given
from hypothesis import strategies as st

from fogline.agents.agent import Agent, Decision, SeatView
from fogline.agents.collector import collect_all
from fogline.agents.rollout import Assignment, ParallelRollout, Rollout, make_rollout
from fogline.agents.scripted.baselines import RandomAgent
from fogline.core.episode import Failure, Usage
from fogline.core.errors import InfrastructureError


def rolled(actions: list[Any]) -> Rollout:
    rollout = make_rollout(CountEnv(), "Count-v0", Assignment("length-2", 5), 1)
    rollout.begin()
    for action in actions:
        taken = rollout.action([action if isinstance(action, Decision) else Decision(action)])
        rollout.record(rollout.env.step(taken))
    return rollout


def test_the_kind_of_environment_decides_the_kind_of_rollout() -> None:
    assert type(make_rollout(CountEnv(), "C", Assignment("", 0), 1)) is Rollout
    assert type(make_rollout(EchoGame(), "E", Assignment("", 0), 1)) is ParallelRollout


def test_a_rollout_is_over_exactly_when_the_environment_is() -> None:
    rollout = rolled([1])
    assert not rollout.over
    assert [view.seat for view in rollout.pending] == ["agent"]
    rollout = rolled([1, 2])
    assert rollout.over
    assert rollout.pending == []


def test_a_turn_holds_what_was_seen_before_it_and_what_came_of_it() -> None:
    rollout = rolled([1])
    (view,) = rollout.pending
    (turn,) = view.turns
    env = CountEnv()
    first, _ = env.reset(seed=5, options={"task_id": "length-2"})
    second, reward, *_, info = env.step(1)
    assert turn.observation == first
    assert (turn.action, turn.reward, turn.phase, turn.terms) == (1, reward, "turn 1", {"choice": 1.0})
    assert view.observation == second
    assert view.info == info


def test_an_unfinished_rollout_can_be_told_as_a_failure() -> None:
    failure = Failure("Down", "503", 2)
    episode = rolled([1]).episode(1.5, "me", "infra_error", failure)
    assert (episode.status, episode.failure, len(episode.turns), episode.reward) == ("infra_error", failure, 1, None)
    assert episode.outcome == {}
    assert episode.usage.wall_s == 1.5


def test_a_truncated_episode_says_so() -> None:
    class Cut(CountEnv):
        def result(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
            observation, reward, over, _, info = super().result(action)
            return observation, reward, False, over, info

    (episode,) = collect_all(Cut, SeededAgent(), [("length-2", 0)])
    assert episode.status == "truncated"
    assert episode.outcome == {"length": 2.0}


def test_an_environment_of_gymnasium_that_reports_no_terms_is_collected_too() -> None:
    (episode,) = collect_all(lambda: gymnasium.make("CartPole-v1"), RandomAgent(), [("", 3)])
    assert (episode.env_id, episode.status, episode.outcome) == ("CartPole-v1", "terminated", {})
    assert episode.reward == len(episode.turns)
    assert all(turn.terms == {} and turn.phase == "" for turn in episode.turns)
    assert isinstance(episode.final_observation, np.ndarray)


def test_attempts_count_as_retries_beside_the_agents_own() -> None:
    rollout = make_rollout(CountEnv(), "Count-v0", Assignment("length-1", 0), 3)
    rollout.begin()
    rollout.record(rollout.env.step(rollout.action([Decision(1, usage=Usage(retries=4, cost=0.25))])))
    usage = rollout.episode(0.0, "me").usage
    assert (usage.retries, usage.cost) == (6, 0.25)


# Seats


class Elimination(EchoGame):
    """``left`` leaves after the first turn, ``right`` after the third; with ``cut``, by truncation."""

    cut = False

    def step(self, actions: dict[str, int]) -> tuple[Any, Any, Any, Any, Any]:
        assert set(actions) == set(self.agents)
        self._turn += 1
        acting = list(self.agents)
        leaving = {"left": self._turn == 1, "right": self._turn == 3}
        observations = {seat: np.zeros(4, np.float32) for seat in acting}
        infos: dict[str, dict[str, Any]] = {seat: {} for seat in acting}
        if self._turn == 3:
            infos["right"]["outcome"] = {"turns": 3.0}
        self.agents = [seat for seat in acting if not leaving[seat]]
        ended = {seat: leaving[seat] and not self.cut for seat in acting}
        cut = {seat: leaving[seat] and self.cut for seat in acting}
        return observations, {seat: 1.0 for seat in acting}, ended, cut, infos


@pytest.mark.parametrize(("cut", "status"), [(False, "terminated"), (True, "truncated")])
def test_a_seat_that_leaves_takes_no_further_turn(cut: bool, status: str) -> None:
    kind = type("Kind", (Elimination,), {"cut": cut})
    (episode,) = collect_all(kind, RandomAgent(), [("", 0)])
    assert [turn.seat for turn in episode.turns] == ["left", "right", "right", "right"]
    assert (episode.status, episode.outcome) == (status, {"turns": 3.0})
    assert (episode.reward_of("left"), episode.reward_of("right")) == (1.0, 3.0)
    assert episode.seats == ("left", "right")


# Views


@given(st.integers(0, 2**40), st.text(max_size=8), st.integers(0, 3))
def test_a_seats_generator_depends_on_seed_seat_and_task_alone(seed: int, task_id: str, seat: int) -> None:
    def view(*entropy: int) -> SeatView:
        return SeatView("E", task_id, "s", None, entropy=entropy)

    own = (seed, seat, *task_id.encode())
    draw = view(*own).rng.integers(2**63)
    assert view(*own).rng.integers(2**63) == draw
    for other in ((seed + 1, *own[1:]), (seed, seat + 1, *own[2:]), (*own, 1)):
        assert view(*other).rng.integers(2**63) != draw


def test_a_view_is_one_generator_for_the_whole_episode() -> None:
    view = SeatView("E", "t", "s", None)
    assert view.rng is view.rng


@pytest.mark.parametrize("agent", [RandomAgent(), SeededAgent()])
def test_agents_satisfy_the_protocol(agent: Any) -> None:
    assert isinstance(agent, Agent)


# Usage


class Metered(CountEnv):
    """Pays two calls for picking up and one a step, and forgets them at the next reset."""

    def on_reset(self) -> None:
        self.spent = Usage(model_calls=2, prompt_tokens=20)

    def on_step(self) -> None:
        spent = self.spent
        self.spent = Usage(
            model_calls=spent.model_calls + 1, prompt_tokens=spent.prompt_tokens + 10, cost=spent.cost + 0.5, retries=1
        )
        if getattr(self, "broken", False):
            raise InfrastructureError("the customer's server is down")

    def usage(self) -> Usage:
        return self.spent


def test_what_the_environment_spent_itself_is_added_to_what_the_agent_spent() -> None:
    rollout = make_rollout(gymnasium.Wrapper(Metered()), "Metered-v0", Assignment("length-2", 0), 1)
    rollout.begin()
    for _ in range(2):
        spent = Usage(model_calls=1, prompt_tokens=7, completion_tokens=3, cost=0.25)
        rollout.record(rollout.env.step(rollout.action([Decision(1, usage=spent)])))
    usage = rollout.episode(2.5, "me").usage
    assert (usage.model_calls, usage.prompt_tokens, usage.completion_tokens) == (2 + 2 + 2, 40 + 14, 6)
    assert (usage.cost, usage.retries, usage.wall_s) == (1.5, 1, 2.5)


def test_what_a_broken_episode_has_spent_is_told_too() -> None:
    class Broken(Metered):
        broken = True

    (episode,) = collect_all(Broken, SeededAgent(), [("length-3", 0)], retries=0)
    assert episode.status == "infra_error"
    assert (episode.usage.model_calls, episode.usage.prompt_tokens) == (3, 30)


def test_an_environment_that_is_used_again_tells_of_its_last_episode_only() -> None:
    episodes = collect_all(Metered, SeededAgent(), [("length-1", 0), ("length-2", 0)], concurrency=1)
    assert [episode.usage.model_calls for episode in episodes] == [3, 4]
