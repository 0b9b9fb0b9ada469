"""Provenance: what an agent is said to know is what a causal chain of shown texts can have brought it."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise

import pytest
from channel_programs import Program, Run, programs, run
from hypothesis import given

from fogline.simulators.channels.channel import Channel, ChannelConfig, make_channel
from fogline.simulators.channels.provenance import facts_of

Place = tuple[int, int]


def closure(done: Run) -> dict[Place, set[int]]:
    """Facts by (agent, round), by walking from each fact along time and along shown texts."""
    last = done.channel.round
    onward: dict[Place, list[Place]] = defaultdict(list)
    for agent in range(done.channel.config.n_agents):
        for number in range(last):
            onward[agent, number].append((agent, number + 1))
    for sight in done.sights:
        onward[sight.writer, sight.sent].append((sight.agent, sight.seen))
    reached: dict[Place, set[int]] = defaultdict(set)
    for fact in range(done.channel.config.n_agents):
        frontier = [(fact, 0)]
        while frontier:
            place = frontier.pop()
            if fact not in reached[place]:
                reached[place].add(fact)
                frontier += onward[place]
    return reached


@given(programs())
def test_knowledge_is_the_causal_closure_of_what_was_shown(program: Program) -> None:
    done = run(program)
    reached = closure(done)
    for place, known in done.known.items():
        assert set(facts_of(known)) == reached[place]
    for agent in range(program.config.n_agents):
        expected = len(reached[agent, done.channel.round]) / program.config.n_agents
        assert done.channel.provenance.coverage(agent) == expected


@given(programs())
def test_the_log_holds_each_text_that_an_agent_was_shown_of_another(program: Program) -> None:
    done = run(program)
    pushed = program.protocol != "files" and program.config.delivery == "push"
    # Asking again where messages are pushed shows nothing new.
    shown = [sight for sight in done.sights if sight.writer != sight.agent and (sight.handed == sight.seen) == pushed]
    expected = Counter((sight.writer, sight.agent, sight.sent, sight.seen, len(sight.text)) for sight in shown)
    log = done.channel.provenance.log
    assert Counter(delivery[:5] for delivery in log) == expected
    assert [delivery.delivered for delivery in log] == sorted(delivery.delivered for delivery in log)


@given(programs())
def test_a_fact_is_gained_once_and_by_its_first_way(program: Program) -> None:
    done = run(program)
    provenance, reached = done.channel.provenance, closure(done)
    for agent in range(program.config.n_agents):
        gains = [fact for row in provenance.log if row.receiver == agent for fact in facts_of(row.gained)]
        assert sorted([*gains, agent]) == list(facts_of(provenance.knows(agent)))
        for fact in range(program.config.n_agents):
            path = provenance.path_of(fact, agent)
            if path is None:
                assert fact not in reached[agent, done.channel.round]
                continue
            senders, receivers = [row.sender for row in path], [row.receiver for row in path]
            assert [fact, *receivers] == [*senders, agent]
            assert all(row in provenance.log and row.gained >> fact & 1 for row in path)
            assert all(one.delivered <= other.sent for one, other in pairwise(path))
            first = min(number for number in range(done.channel.round + 1) if fact in reached[agent, number])
            assert (path[-1].delivered if path else 0) == first


def open_channel(protocol: str, n_agents: int, delivery: str = "push") -> Channel:
    channel = make_channel(protocol, ChannelConfig(n_agents, delivery=delivery))  # type: ignore[arg-type]
    channel.begin_round(1)
    return channel


def test_a_chain_carries_the_first_fact_to_its_end() -> None:
    channel = open_channel("p2p", 4)
    for agent in range(3):
        channel.call(agent, "send_message", {"target_id": agent + 1, "content": "so far"})
        channel.begin_round(agent + 2)
    assert [facts_of(channel.provenance.knows(agent)) for agent in range(4)] == [(0,), (0, 1), (0, 1, 2), (0, 1, 2, 3)]
    assert channel.provenance.path_of(0, 3) == tuple(channel.provenance.log)
    assert channel.provenance.path_of(3, 0) is None and channel.provenance.path_of(2, 2) == ()


def test_two_messages_that_cross_carry_what_their_senders_knew_before() -> None:
    channel = open_channel("p2p", 3)
    channel.call(0, "send_message", {"target_id": 1, "content": "x"})
    channel.call(1, "send_message", {"target_id": 2, "content": "x"})
    channel.begin_round(2)
    assert facts_of(channel.provenance.knows(2)) == (1, 2)


@pytest.mark.parametrize("protocol", ["p2p", "files"])
def test_what_an_agent_fetches_it_cannot_pass_on_in_the_same_round(protocol: str) -> None:
    channel = open_channel(protocol, 3, "pull")
    write, read = (
        (("send_message", {"target_id": 1, "content": "x"}), ("receive_messages", {}))
        if protocol == "p2p"
        else (("write_file", {"path": "k", "content": "x"}), ("read_file", {"path": "k"}))
    )
    pass_on = ("send_message", {"target_id": 2, "content": "y"}) if protocol == "p2p" else write
    channel.call(0, *write)
    channel.begin_round(2)
    channel.call(1, *read)
    channel.call(1, *pass_on)
    assert facts_of(channel.provenance.knows(1)) == (1,)
    channel.begin_round(3)
    assert facts_of(channel.provenance.knows(1)) == (0, 1)
    channel.call(2, *read)
    channel.begin_round(4)
    assert facts_of(channel.provenance.knows(2)) == (1, 2)


def test_who_submits_in_the_round_of_its_reading_never_saw_what_it_read() -> None:
    channel = open_channel("files", 2)
    channel.call(0, "write_file", {"path": "k", "content": "x"})
    channel.begin_round(2)
    assert channel.call(1, "read_file", {"path": "k"})["content"] == "x"
    channel.deactivate(1)
    channel.begin_round(3)
    assert facts_of(channel.provenance.knows(1)) == (1,) and channel.provenance.log == []


def test_a_file_carries_what_its_last_writer_knew_when_it_wrote() -> None:
    channel = open_channel("files", 4)
    channel.call(0, "write_file", {"path": "k", "content": "x"})
    channel.call(1, "write_file", {"path": "k", "content": "y"})
    channel.begin_round(2)
    channel.call(2, "write_file", {"path": "mine", "content": "z"})
    channel.call(2, "read_file", {"path": "k"})
    channel.begin_round(3)
    channel.call(3, "read_file", {"path": "mine"})
    channel.begin_round(4)
    assert facts_of(channel.provenance.knows(2)) == (1, 2) and facts_of(channel.provenance.knows(3)) == (2, 3)


@pytest.mark.parametrize("n_agents", [1, 2, 7, 100])
def test_a_flood_tells_everybody_everything_in_one_round(n_agents: int) -> None:
    channel = open_channel("broadcast", n_agents)
    for agent in range(n_agents):
        channel.call(agent, "broadcast_message", {"content": "x"})
    channel.begin_round(2)
    assert {channel.provenance.coverage(agent) for agent in range(n_agents)} == {1.0}
    assert len(channel.provenance.log) == n_agents * (n_agents - 1)
