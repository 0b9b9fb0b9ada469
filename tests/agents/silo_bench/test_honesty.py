"""A seat's answer follows from its shard and from what it was shown, and from nothing else that its agent plays."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tabletop import SCHEDULES, answers, play

from fogline.agents.scripted.silo_bench import knowledge
from fogline.agents.scripted.silo_bench.gathers import Flood
from fogline.agents.scripted.silo_bench.schedule import Schedule
from fogline.agents.scripted.silo_bench.stars import StarReduce
from fogline.core.errors import AgentError
from fogline.envs.silo_bench.calls import SiloView, ToolResult
from fogline.envs.silo_bench.config import read_config
from fogline.envs.silo_bench.instances import make_problem
from fogline.envs.silo_bench.scoring import correct
from fogline.envs.silo_bench.tasks.catalogue import TASKS, silo_task
from fogline.envs.silo_bench.tasks.task import Problem
from fogline.simulators.channels.messages import Message

# Tasks whose shards can be combined freely into an instance.
FREE = ("I-01", "I-06", "I-10", "II-11", "II-12", "II-14", "II-20", "III-21", "III-22")
N_AGENTS = 6
named = pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda schedule: schedule.name)


def problem_of(task_id: str, instance: int) -> Problem:
    return make_problem(read_config({"task": task_id, "n_agents": N_AGENTS}), f"{task_id}/{instance}")


@named
@settings(max_examples=12)
@given(data=st.data())
def test_a_seat_that_hears_another_world_answers_for_that_world(schedule: Schedule, data: st.DataObject) -> None:
    task_id = data.draw(st.sampled_from([task_id for task_id in FREE if schedule.fits(TASKS[task_id], N_AGENTS, 100)]))
    deaf, delivery = data.draw(st.integers(0, N_AGENTS - 1)), data.draw(st.sampled_from(["push", "pull"]))
    task, protocol = silo_task(task_id), schedule.protocols[0]
    here, there = problem_of(task_id, 0), problem_of(task_id, 1)
    # The same shard in both worlds: only what the seat hears tells them apart.
    there = Problem((*there.shards[:deaf], here.shards[deaf], *there.shards[deaf + 1 :]), there.public)
    heard: dict[int, SiloView] = {}

    def listen(view: SiloView) -> SiloView:
        if view.agent == deaf:
            heard[view.round] = view
        return view

    def swap(view: SiloView) -> SiloView:
        other = heard.get(view.round)
        return view if view.agent != deaf or other is None else view._replace(inbox=other.inbox, results=other.results)

    play(schedule, f"{task_id}/0", N_AGENTS, protocol, problem=there, between=listen, delivery=delivery)
    # Both worlds have been played by now, so whatever the agent remembers, it remembers of both.
    play(schedule, f"{task_id}/0", N_AGENTS, protocol, problem=here, delivery=delivery)
    mixed = play(schedule, f"{task_id}/0", N_AGENTS, protocol, problem=here, between=swap, delivery=delivery)
    assert correct(mixed.seats[deaf].answer, task.solve(there)[deaf], task.tolerance)


@named
def test_a_seat_that_hears_nothing_never_answers_unless_it_needs_nobody(schedule: Schedule) -> None:
    for task_id in FREE:
        task = silo_task(task_id)
        if not schedule.fits(task, N_AGENTS, 20):
            continue
        play(schedule, f"{task_id}/0", N_AGENTS, schedule.protocols[0], max_rounds=20)
        for deaf in (0, 3, N_AGENTS - 1):

            def mute(view: SiloView, deaf: int = deaf) -> SiloView:
                return view._replace(inbox=(), results=()) if view.agent == deaf else view

            game = play(schedule, f"{task_id}/0", N_AGENTS, schedule.protocols[0], between=mute, max_rounds=20)
            assert not game.seats[deaf].submitted or task.required(deaf, N_AGENTS) == range(deaf, deaf + 1), task_id


def test_a_forged_summary_misleads_exactly_the_seat_that_was_told() -> None:
    def forge(view: SiloView) -> SiloView:
        if view.agent != 2:
            return view
        inbox = [Message(0, "0:1 5000", view.round) if item.sender == 0 else item for item in view.inbox]
        return view._replace(inbox=tuple(inbox))

    play(Flood(), "I-01/0", N_AGENTS)
    game = play(Flood(), "I-01/0", N_AGENTS, between=forge)
    assert game.seats[2].answer == 5000
    assert [game.correct(agent) for agent in range(N_AGENTS)] == [agent != 2 for agent in range(N_AGENTS)]


def test_public_facts_are_part_of_what_an_answer_follows_from() -> None:
    # Two games with the same shards but another number of bins must not share an answer.
    problem = problem_of("III-29", 0)
    fewer = Problem(problem.shards, {**problem.public, "bins": 2})
    task = silo_task("III-29")
    first, second = (answers(play(Flood(), "III-29/0", N_AGENTS, problem=each)) for each in (problem, fewer))
    assert first == list(task.solve(problem))
    assert second == list(task.solve(fewer)) != first


@pytest.mark.parametrize("task_id", [task_id for task_id, task in TASKS.items() if not task.segmented])
def test_tasks_that_share_one_answer_compute_it_without_regard_to_who_asks(task_id: str) -> None:
    # What _common_answer rests on.
    task, problem = silo_task(task_id), problem_of(task_id, 0)
    texts = tuple(knowledge.encode(task.local(shard, i, problem.public)) for i, shard in enumerate(problem.shards))
    summary = knowledge.merged(task, texts)
    before = knowledge.encode(summary)
    asked = [task.finalise(summary, None, agent, N_AGENTS, problem.public) for agent in (0, 3)]
    assert asked[0] == asked[1]
    assert correct(asked[0], task.solve(problem)[0], task.tolerance)
    assert knowledge.encode(summary) == before, "summaries are shared: nobody may change them"


def test_strangers_are_passed_over_until_they_speak_in_summaries() -> None:
    chatter = Message(3, "Hello!\nI hold 20 numbers.\n\n", 1)

    def interrupt(view: SiloView) -> SiloView:
        return view._replace(inbox=(chatter, *view.inbox))

    assert play(StarReduce(), "I-01/0", N_AGENTS, between=interrupt).correct(5)

    def lie(view: SiloView) -> SiloView:
        told = tuple(Message(item.sender, "0:6 {", item.round) for item in view.inbox)
        return view._replace(inbox=told) if view.agent == 5 else view

    with pytest.raises(AgentError, match=r"'\{' is no summary: expected JSON"):
        play(StarReduce(), "I-01/0", N_AGENTS, between=lie)


def test_an_action_that_was_not_understood_ends_the_game() -> None:
    def garble(view: SiloView) -> SiloView:
        return view._replace(results=(ToolResult("", {"error": "no call found"}),)) if view.round == 2 else view

    with pytest.raises(AgentError, match=r"not understood: no call found.*actions='structured'"):
        play(StarReduce(), "I-01/0", N_AGENTS, between=garble)


@settings(max_examples=50)
@given(value=st.recursive(st.integers() | st.text() | st.none() | st.floats(allow_nan=False), st.lists))
def test_any_summary_survives_a_message(value: Any) -> None:
    lines = [("0:4", knowledge.encode(value)), ("4:5", "1")]
    read = knowledge.read_lines(knowledge.write_lines(lines))
    assert list(read) == lines
    assert knowledge.decode(read[0][1]) == value
