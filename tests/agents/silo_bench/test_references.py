"""Agents that fail on purpose fail in the way that they promise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from tabletop import answers, measured, play

from fogline.agents.agent import SeatView
from fogline.agents.scripted.silo_bench.references import Premature, RandomGossip, SilentLocal
from fogline.core.errors import AgentError, ConfigurationError
from fogline.envs.silo_bench.calls import ToolCall
from fogline.envs.silo_bench.config import read_config
from fogline.envs.silo_bench.game import Game
from fogline.envs.silo_bench.instances import make_problem
from fogline.envs.silo_bench.metrics import game_metrics
from fogline.envs.silo_bench.tasks.catalogue import TASKS


class Cheat:
    """Submits the truth without a word: knows the generator, as no agent may."""

    name = "cheat"
    batch_size: int | None = None

    def act(self, views: Sequence[SeatView]) -> list[Any]:
        """Submit what the generator says."""
        actions = []
        for view in views:
            seat = view.info["view"]
            config = read_config({"task": seat.task_id, "n_agents": seat.n_agents})
            truth = TASKS[seat.task_id].solve(make_problem(config, view.task_id))
            actions.append((ToolCall("submit_result", {"answer": truth[seat.agent]}),))
        return actions


def success_rate(game: Game) -> float:
    return sum(map(game.correct, range(game.config.n_agents))) / game.config.n_agents


@pytest.mark.parametrize("protocol", ["p2p", "broadcast", "files"])
def test_silent_seats_say_nothing_and_are_wrong_on_nearly_all_tasks(protocol: str) -> None:
    solved = []
    for task_id in TASKS:
        game = play(SilentLocal(), f"{task_id}/0", 10, protocol)
        assert measured(game) == 0
        assert game.round - 1 == 1
        assert all(seat.submitted for seat in game.seats)
        if success_rate(game) == 1.0:
            solved.append(task_id)
    # Where a shard alone may happen to show the answer: is there an error, which vote wins.
    assert set(solved) <= {"I-03", "I-04"}


def test_a_silent_seat_is_right_where_it_is_alone_or_needs_nobody() -> None:
    assert all(play(SilentLocal(), f"{task_id}/0", 1).correct(0) for task_id in TASKS)
    for task_id in ("II-11", "II-20"):
        game = play(SilentLocal(), f"{task_id}/0", 6)
        assert [game.correct(agent) for agent in range(6)] == [True] + [False] * 5


def test_a_silent_seat_has_no_answer_where_its_shard_makes_none() -> None:
    assert None in answers(play(SilentLocal(), "II-18/0", 6))


def test_gossip_sends_one_message_a_round_and_knows_too_little_in_a_large_team() -> None:
    for rounds in (1, 4):
        game = play(RandomGossip(rounds), "I-01/0", 20)
        assert measured(game) == 20 * rounds
        assert game.round - 1 == rounds + 1
    short = game_metrics(play(RandomGossip(2), "III-26/0", 20))
    assert short["premature"] == 1.0
    assert short["success_rate"] == 0.0
    assert game_metrics(play(RandomGossip(60), "III-26/0", 20, max_rounds=100))["success_rate"] == 1.0
    assert success_rate(play(RandomGossip(1), "I-08/0", 2)) == 1.0
    assert success_rate(play(RandomGossip(), "I-08/0", 1)) == 1.0


def test_gossip_follows_each_seats_own_generator() -> None:
    first, second = (play(RandomGossip(), "I-01/0", 10) for _ in range(2))
    assert first.channel.traffic.pairs == second.channel.traffic.pairs
    assert len(first.channel.traffic.pairs) > 10


def test_gossip_reaches_only_peers_and_no_round_is_too_few() -> None:
    talked = play(RandomGossip(5), "I-01/0", 9, topology="chain").channel.traffic.pairs
    assert all(abs(sender - receiver) == 1 for sender, receiver in talked)
    with pytest.raises(ConfigurationError, match="rounds=0 is too few"):
        RandomGossip(0)


def test_premature_seats_submit_before_the_leader_can_have_answered() -> None:
    game = play(Premature(), "I-08/0", 8)
    metrics = game_metrics(game)
    assert measured(game) == 7
    assert game.round - 1 == 2
    assert [game.correct(agent) for agent in range(8)] == [True] + [False] * 7
    assert metrics["premature"] == 7 / 8
    assert metrics["consensus_failure"]
    assert metrics["computation_error"] == metrics["no_submission"] == 0


def test_premature_seats_that_must_ask_for_messages_know_nothing_yet() -> None:
    game = play(Premature(), "I-08/0", 8, delivery="pull")
    assert success_rate(game) == 0
    assert game_metrics(game)["premature"] == 1.0


@pytest.mark.parametrize("agent", [Premature(), RandomGossip()], ids=lambda agent: agent.name)
@pytest.mark.parametrize("protocol", ["broadcast", "files"])
def test_references_that_need_mailboxes_refuse_other_protocols(agent: Any, protocol: str) -> None:
    with pytest.raises(AgentError, match=f"protocol='{protocol}': expected protocol='p2p'"):
        play(agent, "I-01/0", 4, protocol)


def test_references_get_through_every_task() -> None:
    for task_id in TASKS:
        for agent in (RandomGossip(1), Premature()):
            assert all(seat.submitted for seat in play(agent, f"{task_id}/0", 5).seats)


def test_being_handed_the_truth_counts_as_right_and_premature() -> None:
    for task_id in TASKS:
        metrics = game_metrics(play(Cheat(), f"{task_id}/0", 5))
        assert metrics["success_rate"] == metrics["partial_correctness"] == 1.0
        assert metrics["messages"] == 0
    assert game_metrics(play(Cheat(), "I-08/0", 5))["premature"] == 1.0
