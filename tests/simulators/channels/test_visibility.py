"""Rounds: nothing shows in the round in which it was sent, everything in the next; order, bounds, who hears whom."""

from __future__ import annotations

from collections import Counter

import pytest
from channel_programs import PROTOCOLS, WORDS, Call, Program, neighbours, origin, programs, run, successes
from hypothesis import given, settings

from fogline.core.errors import ConfigurationError
from fogline.simulators.channels.channel import ChannelConfig, make_channel


@given(programs())
def test_nothing_shows_in_the_round_in_which_it_was_sent(program: Program) -> None:
    assert all(sight.sent < sight.handed for sight in run(program).sights)


@given(programs(("p2p", "broadcast"), faults=False, modes=("push",)))
def test_an_inbox_holds_what_the_round_before_sent_in_order_of_sender_and_call(program: Program) -> None:
    done = run(program)
    reach = neighbours(program.config)
    for (agent, number), inbox in done.inboxes.items():
        sent = [call for earlier, call in successes(done, *WORDS.values()) if earlier == number - 1]
        heard = [
            (call.agent, call.arguments["content"], number - 1)
            for call in sorted(sent, key=lambda call: call.agent)
            if call.arguments.get("target_id", agent) == agent and call.agent in reach[agent]
        ]
        assert list(inbox) == (heard if agent in done.active[number] else [])


@given(programs(("p2p", "broadcast"), faults=False, modes=("pull",)))
def test_asking_brings_everything_that_arrived_since_the_last_time_once(program: Program) -> None:
    done = run(program)
    assert not any(done.inboxes.values())
    reach = neighbours(program.config)
    asked: dict[int, int] = {}
    for number, call, result in done.results:
        if call.tool != "receive_messages":
            continue
        after = asked.get(call.agent, 0)
        expected = [
            {"from": other.agent, "content": other.arguments["content"], "timestamp": sent}
            for sent, other in sorted(successes(done, *WORDS.values()), key=lambda row: (row[0], row[1].agent))
            if after <= sent < number
            and other.arguments.get("target_id", call.agent) == call.agent
            and other.agent in reach[call.agent]
        ]
        assert result == {"messages": expected}
        asked[call.agent] = number


@given(programs(("p2p", "broadcast"), modes=("push",)))
def test_asking_where_messages_are_pushed_returns_the_inbox_again(program: Program) -> None:
    done = run(program)
    for number, call, result in done.results:
        if call.tool == "receive_messages":
            inbox = done.inboxes[call.agent, number]
            told = [
                {"from": message.sender, "content": message.content, "timestamp": message.round} for message in inbox
            ]
            assert result == {"messages": told}


@given(programs(("p2p", "broadcast")))
def test_messages_between_two_agents_keep_their_order_within_a_round(program: Program) -> None:
    done = run(program)
    places = {call.arguments["content"]: place for place, (_, call) in enumerate(successes(done, *WORDS.values()))}
    for inbox in done.inboxes.values():
        keys = [(message.round, message.sender, places[message.content]) for message in inbox]
        assert keys == sorted(keys)


@given(programs(faults=False))
@settings(max_examples=60)
def test_the_order_in_which_agents_are_called_decides_nothing(program: Program) -> None:
    # A stable sort keeps each agent's own calls in order.
    backwards = tuple(tuple(sorted(calls, key=lambda call: -call.agent)) for calls in program.rounds)
    one, other = run(program), run(program._replace(rounds=backwards))
    assert one.inboxes == other.inboxes
    assert one.known == other.known
    assert one.channel.traffic.pairs == other.channel.traffic.pairs
    assert one.channel.traffic.writes == other.channel.traffic.writes
    assert Counter(one.sights) == Counter(other.sights)


@given(programs())
def test_only_neighbours_reach_each_other_and_nobody_hears_itself(program: Program) -> None:
    done = run(program)
    reach = neighbours(program.config)
    for sight in done.sights:
        assert origin(sight.text) == (sight.sent, sight.writer)
        own_file = program.protocol == "files" and sight.writer == sight.agent
        assert own_file or sight.writer in reach[sight.agent]
    assert [set(done.channel.peers(agent)) for agent in range(program.config.n_agents)] == reach


@given(programs())
def test_nothing_reaches_an_agent_after_its_submission(program: Program) -> None:
    done = run(program)
    for agent, last in program.submissions.items():
        assert all(sight.seen <= last for sight in done.sights if sight.agent == agent)
        assert all(not inbox for (whose, number), inbox in done.inboxes.items() if whose == agent and number > last)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_after_its_submission_an_agent_can_do_nothing(protocol: str) -> None:
    channel = make_channel(protocol, ChannelConfig(2))
    channel.begin_round(1)
    channel.deactivate(0)
    result = channel.call(0, WORDS[protocol], {"target_id": 1, "path": "a", "content": "late"})
    channel.begin_round(2)
    assert result["success"] is False and "submitted" in result["message"]
    assert channel.inbox(1) == () and channel.traffic.sent == [0, 0] and channel.traffic.writes == [0, 0]


def test_an_inbox_is_empty_from_the_submission_on() -> None:
    channel = make_channel("p2p", ChannelConfig(2))
    channel.begin_round(1)
    channel.call(0, "send_message", {"target_id": 1, "content": "x"})
    channel.begin_round(2)
    assert len(channel.inbox(1)) == 1
    channel.deactivate(1)
    assert channel.inbox(1) == ()


def test_a_mailbox_that_nobody_empties_goes_with_the_submission() -> None:
    channel = make_channel("p2p", ChannelConfig(2, delivery="pull"))
    channel.begin_round(1)
    channel.call(0, "send_message", {"target_id": 1, "content": "x"})
    channel.begin_round(2)
    channel.deactivate(1)
    assert channel.call(1, "receive_messages", {})["success"] is False
    assert channel.traffic.delivered == [0, 0]


@given(programs(faults=False))
def test_contents_up_to_the_bound_pass_and_longer_ones_fail(program: Program) -> None:
    longest = program.config.max_message_chars
    for _, call, result in run(program).results:
        content = call.arguments.get("content")
        if content is not None and longest is not None and len(content) > longest:
            assert result["success"] is False
        if call.tool in ("broadcast_message", "write_file") and (longest is None or len(content or "") <= longest):
            assert result["success"] is True


def test_the_bound_is_told_when_it_is_broken() -> None:
    channel = make_channel("broadcast", ChannelConfig(2, max_message_chars=3))
    channel.begin_round(1)
    assert channel.call(0, "broadcast_message", {"content": "äöü"})["success"] is True
    result = channel.call(0, "broadcast_message", {"content": "four"})
    assert result["success"] is False and "4" in result["message"] and "at most 3" in result["message"]


def test_contents_pass_unchanged_to_the_last_character() -> None:
    channel = make_channel("p2p", ChannelConfig(2))
    contents = ["", ' {"a": [1, 2.50]} \n', "007", "True", "\x00\ud800é"]
    channel.begin_round(1)
    for content in contents:
        channel.call(0, "send_message", {"target_id": 1, "content": content})
    channel.begin_round(2)
    assert [message.content for message in channel.inbox(1)] == contents


def test_the_log_tells_who_takes_part() -> None:
    channel = make_channel("broadcast", ChannelConfig(4, topology="chain"))
    channel.begin_round(1)
    assert channel.call(2, "list_agents", {}) == {"agent_ids": [0, 1, 2, 3], "total": 4}


@pytest.mark.parametrize(
    ("protocol", "tools"),
    [
        ("p2p", ("send_message", "receive_messages")),
        ("broadcast", ("broadcast_message", "receive_messages", "list_agents")),
        ("files", ("list_files", "read_file", "write_file", "delete_file")),
    ],
)
def test_each_protocol_has_the_published_tools(protocol: str, tools: tuple[str, ...]) -> None:
    assert make_channel(protocol, ChannelConfig(2)).tools == tools


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_rounds_come_one_after_the_other(protocol: str) -> None:
    channel = make_channel(protocol, ChannelConfig(2))
    with pytest.raises(ConfigurationError, match=r"begin_round\(1\)"):
        channel.call(0, channel.tools[0], {})
    with pytest.raises(ConfigurationError, match="round=2 is out of turn: expected 1"):
        channel.begin_round(2)
    channel.begin_round(1)
    with pytest.raises(ConfigurationError, match="expected 2"):
        channel.begin_round(1)
    with pytest.raises(ConfigurationError, match="agent=2 does not exist: expected 0 to 1"):
        channel.call(2, channel.tools[0], {})


@pytest.mark.parametrize("protocol", ["p2p", "broadcast"])
def test_a_hop_takes_one_round_when_pushed_and_two_when_pulled(protocol: str) -> None:
    def rounds(delivery: str, n_agents: int) -> int:
        """Round in which the last of a chain has heard, each passing on what it sees as soon as it sees it."""
        config = ChannelConfig(n_agents, delivery=delivery, topology="chain")  # type: ignore[arg-type]
        channel = make_channel(protocol, config)
        seen = {0}
        for number in range(1, 50):
            channel.begin_round(number)
            seen |= {agent for agent in range(n_agents) if channel.provenance.knows(agent) & 1}
            if n_agents - 1 in seen:
                return number
            for agent in range(n_agents):
                channel.call(agent, "receive_messages", {})
                if agent in seen and agent + 1 < n_agents and agent + 1 not in seen:
                    word = Call(agent, WORDS[protocol], {"content": "x"})
                    extra = {"target_id": agent + 1} if protocol == "p2p" else {}
                    channel.call(word.agent, word.tool, {**word.arguments, **extra})
        raise AssertionError("it never arrived")

    for n_agents in (2, 3, 6):
        assert rounds("push", n_agents) == (n_agents - 1) + 1
        assert rounds("pull", n_agents) == 2 * (n_agents - 1) + 1
