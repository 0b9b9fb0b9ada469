"""Traffic: every count is recounted from what was called and what was shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import pytest
from channel_programs import WORDS, Program, Run, neighbours, programs, run, successes
from hypothesis import given

from fogline.simulators.channels.channel import ChannelConfig, make_channel


def per_agent(done: Run, agents: Iterable[tuple[int, int]]) -> list[int]:
    """Sums by agent of pairs (agent, amount)."""
    totals = [0] * done.channel.config.n_agents
    for agent, amount in agents:
        totals[agent] += amount
    return totals


def received(done: Run) -> list[tuple[int, int, int, int]]:
    """(receiver, round, sender, characters) of each message that was handed over, or read of another's file."""
    rows = []
    for (agent, number), inbox in done.inboxes.items():
        rows += [(agent, number, message.sender, len(message.content)) for message in inbox]
    for number, call, result in done.results:
        if done.channel.config.delivery == "pull" or "content" in result:
            for message in result.get("messages", ()):
                rows.append((call.agent, number, message["from"], len(message["content"])))
        if "content" in result and result["metadata"]["modified_by"] != call.agent:
            rows.append((call.agent, number, result["metadata"]["modified_by"], len(result["content"])))
    return rows


@given(programs())
def test_what_was_sent_is_counted_by_successful_calls(program: Program) -> None:
    done = run(program)
    traffic = done.channel.traffic
    sent = [call for _, call in successes(done, *WORDS.values())]
    assert traffic.characters_sent == per_agent(done, ((call.agent, len(call.arguments["content"])) for call in sent))
    if program.protocol == "files":
        assert traffic.sent == [0] * program.config.n_agents
        return
    assert traffic.sent == per_agent(done, ((call.agent, 1) for call in sent))
    reach = neighbours(program.config)
    pairs = Counter(
        (call.agent, receiver)
        for call in sent
        for receiver in reach[call.agent]
        if call.arguments.get("target_id", receiver) == receiver
    )
    assert traffic.pairs == pairs
    assert list(traffic.pairs) == sorted(pairs)


@given(programs())
def test_what_was_received_is_counted_by_what_was_handed_over(program: Program) -> None:
    done = run(program)
    traffic, rows = done.channel.traffic, received(done)
    assert traffic.delivered == per_agent(done, ((receiver, 1) for receiver, *_ in rows))
    assert traffic.characters_delivered == per_agent(done, ((receiver, size) for receiver, _, _, size in rows))
    messages = Counter((receiver, number) for receiver, number, _, _ in rows)
    characters: Counter[tuple[int, int]] = Counter()
    for receiver, number, _, size in rows:
        characters[receiver, number] += size
    assert traffic.max_in_degree == max(messages.values(), default=0)
    assert traffic.max_characters_received == max(characters.values(), default=0)


@given(programs(("files",)))
def test_reads_and_writes_of_files_are_counted_by_reader_and_writer(program: Program) -> None:
    done = run(program)
    traffic, rows = done.channel.traffic, received(done)
    assert traffic.reads == per_agent(done, ((call.agent, 1) for _, call in successes(done, "read_file")))
    assert traffic.cross_reads == per_agent(done, ((writer, 1) for _, _, writer, _ in rows))
    assert traffic.pairs == Counter((writer, reader) for reader, _, writer, _ in rows)
    last: dict[tuple[int, str], int] = {}
    for number, call in successes(done, "write_file"):
        key = number, call.arguments["path"]
        last[key] = max(call.agent, last.get(key, 0))
    assert traffic.writes == per_agent(done, ((agent, 1) for agent in last.values()))


@given(programs(("p2p", "broadcast"), faults=False, modes=("push",), submissions=False))
def test_without_faults_every_message_is_received_once_by_each_that_it_is_for(program: Program) -> None:
    traffic = run(program).channel.traffic
    assert sum(traffic.delivered) == sum(traffic.pairs.values())
    assert (traffic.dropped, traffic.delayed, traffic.duplicated) == (0, 0, 0)


@pytest.mark.parametrize("n_agents", [2, 5, 20])
def test_a_star_loads_its_leader_with_all_others(n_agents: int) -> None:
    channel = make_channel("p2p", ChannelConfig(n_agents))
    channel.begin_round(1)
    for agent in range(1, n_agents):
        channel.call(agent, "send_message", {"target_id": 0, "content": "four"})
    channel.begin_round(2)
    for agent in range(1, n_agents):
        channel.call(0, "send_message", {"target_id": agent, "content": "twelve chars"})
    channel.begin_round(3)
    traffic = channel.traffic
    assert traffic.max_in_degree == n_agents - 1
    assert traffic.max_characters_received == max(4 * (n_agents - 1), 12)
    assert sum(traffic.sent) == 2 * (n_agents - 1) and traffic.sent[0] == n_agents - 1
