"""Schedules keep their promises: every answer right, so many messages, so many rounds, knowledge before answers."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tabletop import SCHEDULES, measured, play

from fogline.agents.scripted.silo_bench.gathers import Dissemination, Flood, RingAllgather, WriteRead
from fogline.agents.scripted.silo_bench.knowledge import read_lines
from fogline.agents.scripted.silo_bench.sample_sort import SampleSort
from fogline.agents.scripted.silo_bench.scans import ChainScan, ChainSweep, HaloExchange, HillisSteele
from fogline.agents.scripted.silo_bench.schedule import Schedule
from fogline.agents.scripted.silo_bench.stars import Leader, LeaderBroadcast, LeaderFiles, StarReduce
from fogline.agents.scripted.silo_bench.trees import BinomialTree, FileTree, above, spans_below
from fogline.core.errors import AgentError, ConfigurationError
from fogline.envs.silo_bench.calls import SiloView
from fogline.envs.silo_bench.game import Game
from fogline.envs.silo_bench.optimum import fewest_messages
from fogline.envs.silo_bench.tasks.catalogue import TASKS, silo_task

SIZES = (1, 2, 3, 5, 10, 20)
PUBLISHED_SIZES = (2, 5, 10, 20, 50, 100)
EXACT = [schedule for schedule in SCHEDULES if not isinstance(schedule, SampleSort)]
ONE_AT_A_TIME = (BinomialTree, Dissemination, RingAllgather, ChainSweep, ChainScan, HillisSteele)
named = pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda schedule: schedule.name)


def fitting(schedule: Schedule, n_agents: int) -> list[str]:
    return [task_id for task_id, task in TASKS.items() if schedule.fits(task, n_agents, 100)]


def check_sound(game: Game) -> None:
    """All right, and nobody before the shards of its answer could have reached it."""
    for agent, seat in enumerate(game.seats):
        assert game.task.sufficient(game.problem, agent, seat.known), (game.instance_id, agent)
        assert game.correct(agent), (game.instance_id, agent)


# Promises


@pytest.mark.parametrize("schedule", EXACT, ids=lambda schedule: schedule.name)
def test_every_answer_is_right_after_exactly_the_promised_messages_and_rounds(schedule: Schedule) -> None:
    for n_agents in SIZES:
        for task_id in fitting(schedule, n_agents):
            task = silo_task(task_id)
            game = play(schedule, f"{task_id}/{n_agents}", n_agents, schedule.protocols[0])
            check_sound(game)
            assert measured(game) == schedule.messages(task, n_agents), (task_id, n_agents)
            assert game.round - 1 == schedule.rounds(task, n_agents), (task_id, n_agents)
            if isinstance(schedule, ONE_AT_A_TIME):
                assert game.channel.traffic.max_in_degree <= 1, (task_id, n_agents)


OPTIMAL = (StarReduce, LeaderBroadcast, LeaderFiles, BinomialTree, FileTree, ChainScan, HaloExchange)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("n_agents", [1, 2, 3, 5, 10, 20, 50, 100])
@named
def test_every_schedule_solves_every_task_it_fits_at_every_published_size(schedule: Schedule, n_agents: int) -> None:
    for task_id in fitting(schedule, n_agents):
        game = play(schedule, f"{task_id}/7", n_agents, schedule.protocols[0])
        scores = game.scores()
        assert scores.success_rate == scores.partial_correctness == 1.0, task_id
        assert game.round - 1 <= 100
        # Whoever tells everybody everything sends more than a prefix needs; the chain does not.
        if isinstance(schedule, OPTIMAL) and (game.task.scope != "prefix" or isinstance(schedule, ChainScan)):
            assert measured(game) == fewest_messages(game.task, n_agents, game.config.protocol), task_id


@named
@pytest.mark.parametrize("n_agents", [2, 6, 9])
def test_where_messages_must_be_asked_for_the_same_messages_take_at_most_twice_the_rounds(
    schedule: Schedule, n_agents: int
) -> None:
    for task_id in fitting(schedule, n_agents)[::2]:
        task = silo_task(task_id)
        game = play(schedule, f"{task_id}/1", n_agents, schedule.protocols[0], delivery="pull")
        check_sound(game)
        assert measured(game) <= schedule.messages(task, n_agents)
        if not isinstance(schedule, SampleSort):
            assert measured(game) == schedule.messages(task, n_agents)
        assert game.round - 1 <= 2 * schedule.rounds(task, n_agents) - 1


def test_sample_sort_needs_at_most_two_messages_a_seat_to_put_numbers_at_their_exact_ranks() -> None:
    schedule, task = SampleSort(), silo_task("III-21")
    for n_agents in (2, 3, 5, 10, 20, 50):
        for instance in range(3):
            game = play(schedule, f"III-21/{instance}", n_agents)
            check_sound(game)
            assert (n_agents - 1) * (n_agents + 2) <= measured(game) <= schedule.messages(task, n_agents)
            assert game.round - 1 <= schedule.rounds(task, n_agents)
    # Its point: a seat hears about its own segment, where a star tells it the whole order.
    heard, told = (
        sum(play(each, "III-21/0", 50).channel.traffic.characters_delivered) for each in (schedule, StarReduce())
    )
    assert heard < told / 2


def test_the_counts_are_those_of_the_paper_sizes() -> None:
    task = silo_task("I-01")

    def messages(schedule: Schedule) -> list[int]:
        return [schedule.messages(task, size) for size in PUBLISHED_SIZES]

    def rounds_of_talk(schedule: Schedule) -> list[int]:
        return [schedule.rounds(task, size) - 1 for size in PUBLISHED_SIZES]

    for optimal in (StarReduce(), BinomialTree(), ChainSweep()):
        assert messages(optimal) == [2, 8, 18, 38, 98, 198]
    assert messages(Dissemination()) == [2, 15, 40, 100, 300, 700]
    assert messages(Flood()) == messages(RingAllgather()) == [2, 20, 90, 380, 2450, 9900]
    assert rounds_of_talk(BinomialTree()) == [2, 6, 8, 10, 12, 14]
    assert rounds_of_talk(Dissemination()) == [1, 3, 4, 5, 6, 7]


@pytest.mark.parametrize(("task_id", "n_agents"), [("I-10", 50), ("II-20", 50), ("II-14", 50), ("I-08", 100)])
def test_the_promises_hold_at_large_sizes(task_id: str, n_agents: int) -> None:
    task = silo_task(task_id)
    for schedule in EXACT:
        if schedule.fits(task, n_agents, 100) and schedule.messages(task, n_agents) < 3000:
            game = play(schedule, f"{task_id}/0", n_agents, schedule.protocols[0])
            check_sound(game)
            assert measured(game) == schedule.messages(task, n_agents), schedule.name
            assert game.round - 1 == schedule.rounds(task, n_agents), schedule.name


@pytest.mark.parametrize("kind", [StarReduce, LeaderBroadcast, LeaderFiles])
@pytest.mark.parametrize(("leader", "n_agents"), [(1, 2), (1, 5), (4, 5)])
def test_any_seat_can_lead_and_seat_0_needs_nothing_for_a_prefix(
    kind: type[Leader], leader: int, n_agents: int
) -> None:
    schedule = kind(leader)
    for task_id, task in TASKS.items():
        game = play(schedule, f"{task_id}/0", n_agents, schedule.protocols[0])
        check_sound(game)
        assert measured(game) == schedule.messages(task, n_agents)
        assert game.round - 1 == schedule.rounds(task, n_agents)
    if kind is not LeaderBroadcast:
        assert schedule.messages(silo_task("I-01"), n_agents) == 2 * (n_agents - 1)
        assert schedule.messages(silo_task("II-11"), n_agents) == 2 * (n_agents - 1) - 1


def test_the_leader_of_a_star_is_its_hot_spot_and_a_tree_has_none() -> None:
    assert play(StarReduce(), "I-01/0", 20).channel.traffic.max_in_degree == 19
    assert play(BinomialTree(), "I-01/0", 20).channel.traffic.max_in_degree == 1


@named
@settings(max_examples=8)
@given(data=st.data())
def test_messages_that_come_late_or_twice_do_no_harm(schedule: Schedule, data: st.DataObject) -> None:
    n_agents = data.draw(st.integers(2, 9))
    task_ids = fitting(schedule, n_agents)
    task_id = data.draw(st.sampled_from(task_ids))
    game = play(
        schedule,
        f"{task_id}/{data.draw(st.integers(0, 99))}",
        n_agents,
        schedule.protocols[0],
        delay=0.5,
        duplicate=0.5,
        max_rounds=200,
        delivery=data.draw(st.sampled_from(["push", "pull"])),
    )
    check_sound(game)


@pytest.mark.parametrize("task_id", ["II-20", "III-30", "II-13", "III-29"])
def test_published_generators_are_solved_too(task_id: str) -> None:
    for schedule in SCHEDULES:
        if schedule.fits(silo_task(task_id), 6, 100):
            check_sound(play(schedule, f"{task_id}/0", 6, schedule.protocols[0], data="repo"))


def test_one_seat_with_the_data_of_many_answers_at_once() -> None:
    for task_id in TASKS:
        game = play(BinomialTree(), f"{task_id}/0", 1, scale=7)
        assert game.correct(0)
        assert game.round - 1 == 1


# The tree


@given(n_agents=st.integers(1, 200))
def test_the_tree_cuts_the_line_of_agents_into_adjacent_spans(n_agents: int) -> None:
    for agent in range(n_agents):
        below = spans_below(agent, n_agents)
        ends = [agent + 1, *(stop for _, stop in below)]
        assert [start for start, _ in below] == ends[:-1]
        assert all(above(start) == agent for start, _ in below)
        own_end = min(agent + (agent & -agent), n_agents) if agent else n_agents
        assert ends[-1] == own_end
    assert sum(len(spans_below(agent, n_agents)) for agent in range(n_agents)) == n_agents - 1


@pytest.mark.parametrize("schedule", [FileTree(), LeaderFiles(), WriteRead()], ids=lambda schedule: schedule.name)
def test_nobody_looks_for_a_file_before_it_can_be_there(schedule: Schedule) -> None:
    vain: list[str] = []

    def watch(view: SiloView) -> SiloView:
        vain.extend(result["message"] for tool, result in view.results if tool == "read_file" and not result["success"])
        return view

    for n_agents in (2, 7, 20):
        for task_id in ("I-01", "II-11", "II-14"):
            play(schedule, f"{task_id}/0", n_agents, "files", between=watch)
    assert vain == []


@pytest.mark.parametrize("schedule", [Dissemination(), RingAllgather(), Flood()], ids=lambda schedule: schedule.name)
def test_everybody_is_told_each_summary_once_whatever_the_number_of_seats(schedule: Schedule) -> None:
    for n_agents in (2, 5, 8, 11):
        told: list[tuple[int, str]] = []

        def watch(view: SiloView, told: list[tuple[int, str]] = told) -> SiloView:
            told.extend((view.agent, name) for item in view.inbox for name, _ in read_lines(item.content))
            return view

        play(schedule, "I-06/0", n_agents, between=watch)
        assert len(told) == len(set(told)) == n_agents * (n_agents - 1)


# Fit


def test_chains_fit_only_where_the_rounds_are_enough() -> None:
    glob, prefix = silo_task("I-01"), silo_task("II-11")
    assert ChainSweep().fits(glob, 50, 100)
    assert not ChainSweep().fits(glob, 51, 100)
    assert ChainSweep().rounds(glob, 100) == 199
    assert ChainScan().fits(prefix, 100, 100)
    assert ChainScan().fits(prefix, 50, 100, "pull")
    assert not ChainScan().fits(prefix, 51, 100, "pull")
    assert HillisSteele().fits(prefix, 100, 8)
    assert not HillisSteele().fits(prefix, 100, 7)


def test_schedules_fit_the_scopes_that_they_serve() -> None:
    scoped = {
        name: [task_id for task_id, task in TASKS.items() if task.scope == name] for name in ("prefix", "neighbours")
    }
    assert fitting(ChainScan(), 10) == fitting(HillisSteele(), 10) == scoped["prefix"] == ["II-11", "II-20"]
    assert fitting(HaloExchange(), 10) == scoped["neighbours"] == ["II-14"]
    assert fitting(SampleSort(), 10) == ["III-21"]
    assert set(TASKS) - set(fitting(ChainSweep(), 10)) == set(scoped["prefix"])
    for schedule in (StarReduce(), BinomialTree(), Dissemination(), RingAllgather(), Flood()):
        assert fitting(schedule, 10) == list(TASKS)


@pytest.mark.parametrize(
    ("schedule", "task_id", "protocol", "keywords", "message"),
    [
        (BinomialTree(), "I-01", "files", {}, "'tree' cannot play protocol='files': expected protocol='p2p'"),
        (Flood(), "I-01", "broadcast", {}, "'tree', 'flood' and 'leader' play all three"),
        (LeaderFiles(), "I-01", "p2p", {}, "expected protocol='files'"),
        (ChainScan(), "I-01", "p2p", {}, "does not solve I-01 .*'tree', 'flood' and 'leader' solve all"),
        (ChainSweep(), "II-11", "p2p", {}, "does not solve II-11 .scope 'prefix'"),
        (SampleSort(), "III-22", "p2p", {}, "does not solve III-22"),
        (ChainSweep(), "I-01", "p2p", {"max_rounds": 8}, "needs 9 rounds with n_agents=5.*max_rounds=8: raise"),
        (ChainScan(), "II-11", "p2p", {"max_rounds": 8, "delivery": "pull"}, "needs 9 rounds .*delivery='pull'"),
        (StarReduce(5), "I-01", "p2p", {}, "leader=5 is no seat of n_agents=5: expected 0 to 4"),
        (Flood(), "I-01", "p2p", {"topology": "chain"}, "cannot reach seat 2 .*topology='complete'"),
        (StarReduce(), "II-12", "p2p", {"max_message_chars": 20}, "could not send.*at most 20.*max_message_chars"),
    ],
)
def test_a_game_that_a_schedule_is_not_made_for_is_refused_with_the_fix(
    schedule: Schedule, task_id: str, protocol: str, keywords: dict[str, Any], message: str
) -> None:
    with pytest.raises(AgentError, match=message):
        play(schedule, f"{task_id}/0", 5, protocol, **keywords)


def test_a_negative_leader_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="leader=-1 is no seat"):
        StarReduce(-1)


@pytest.mark.parametrize(
    ("schedule", "topology", "task_id"),
    [
        (ChainSweep(), "chain", "I-01"),
        (ChainScan(), "chain", "II-20"),
        (HaloExchange(), "chain", "II-14"),
        (RingAllgather(), "ring", "III-21"),
        (StarReduce(), "star", "II-18"),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_schedules_play_on_topologies_that_have_their_pairs(schedule: Schedule, topology: str, task_id: str) -> None:
    check_sound(play(schedule, f"{task_id}/0", 7, topology=topology))


def test_a_budget_of_calls_that_lets_one_seat_answer_all_is_enough() -> None:
    for schedule in SCHEDULES:
        for task_id in fitting(schedule, 6)[-1:]:
            for delivery in ("push", "pull"):
                check_sound(
                    play(schedule, f"{task_id}/0", 6, schedule.protocols[0], action_budget=7, delivery=delivery)
                )
