"""Faults: decided by the seed, at the promised rates, and drawn only where there are any."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from channel_programs import PROTOCOLS, WORDS, Program, programs, run
from hypothesis import given, settings

from fogline.core.errors import ConfigurationError
from fogline.simulators.channels.channel import Channel, ChannelConfig, make_channel

ROUNDS, EACH = 25, 60
TOTAL = ROUNDS * EACH


class Scripted:
    """Hands out the draws of each change in turn: lost, late, how late, doubled."""

    def __init__(self, *draws: tuple[float, float, float, float]) -> None:
        self.draws = list(draws)

    def random(self, size: int) -> np.ndarray[Any, Any]:
        assert size == 4
        return np.array(self.draws.pop(0))


def scripted(protocol: str, *draws: tuple[float, float, float, float], n_agents: int = 3) -> Channel:
    config = ChannelConfig(n_agents, drop=0.5, delay=0.5, duplicate=0.5, max_delay=3)
    return make_channel(protocol, config, Scripted(*draws))  # type: ignore[arg-type]


def arrivals(protocol: str, config: ChannelConfig, seed: int) -> tuple[list[list[int]], Channel]:
    """Rounds of lateness (0 for none) of each text that agent 0 sends, seen by the last agent; twice if doubled."""
    channel = make_channel(protocol, config, np.random.default_rng(seed))
    observer = config.n_agents - 1
    found: list[list[int]] = [[] for _ in range(TOTAL)]
    for number in range(1, ROUNDS + config.max_delay + 2):
        channel.begin_round(number)
        for message in channel.inbox(observer):
            found[int(message.content)].append(number - message.round - 1)
        if protocol == "files":
            for file in channel.call(observer, "list_files", {})["files"]:
                if not found[int(file["path"])]:
                    found[int(file["path"])].append(number - file["modified_at_round"] - 1)
        for k in range(EACH if number <= ROUNDS else 0):
            text = str((number - 1) * EACH + k)
            wanted = {"p2p": ["target_id", "content"], "broadcast": ["content"], "files": ["path", "content"]}[protocol]
            given = {"target_id": observer, "content": text, "path": text}
            assert channel.call(0, WORDS[protocol], {name: given[name] for name in wanted})["success"] is True
    return found, channel


def assert_rate(count: int, trials: int, probability: float) -> None:
    """Within five standard deviations of a binomial."""
    spread = 5 * (trials * probability * (1 - probability)) ** 0.5
    assert abs(count - trials * probability) <= spread


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_faults_strike_at_their_rates_and_are_counted(protocol: str) -> None:
    config = ChannelConfig(3, drop=0.2, delay=0.4, duplicate=0.6, max_delay=3)
    found, channel = arrivals(protocol, config, seed=5)
    traffic = channel.traffic
    here = [lateness for lateness in found if lateness]
    assert_rate(TOTAL - len(here), TOTAL, 0.2)
    assert traffic.dropped == TOTAL - len(here)
    late = [lateness[0] for lateness in here if lateness[0]]
    assert_rate(len(late), len(here), 0.4)
    assert traffic.delayed == len(late)
    for rounds in (1, 2, 3):
        assert_rate(late.count(rounds), len(late), 1 / 3)
    assert max(late) == 3
    assert_rate(traffic.duplicated, len(here), 0.6)
    if protocol == "files":
        return
    assert sum(len(lateness) == 2 for lateness in here) == traffic.duplicated
    assert all(len(set(lateness)) == 1 and len(lateness) <= 2 for lateness in here)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_seed_decides_the_faults(protocol: str) -> None:
    config = ChannelConfig(2, drop=0.3, delay=0.3, duplicate=0.3, max_delay=2)
    found = [arrivals(protocol, config, seed)[0] for seed in (1, 1, 2)]
    assert found[0] == found[1] != found[2]


def test_a_further_kind_of_fault_leaves_the_losses_as_they_were() -> None:
    plain, _ = arrivals("p2p", ChannelConfig(2, drop=0.3), 7)
    more, _ = arrivals("p2p", ChannelConfig(2, drop=0.3, delay=0.5, duplicate=0.5, max_delay=2), 7)
    assert [not lateness for lateness in plain] == [not lateness for lateness in more]


@given(programs(faults=False))
@settings(max_examples=40)
def test_without_faults_nothing_is_drawn(program: Program) -> None:
    rng, untouched = np.random.default_rng(program.seed), np.random.default_rng(program.seed)
    channel = make_channel(program.protocol, program.config, rng)
    for number, calls in enumerate(program.rounds, start=1):
        channel.begin_round(number)
        for call in calls:
            channel.call(*call)
    assert rng.bit_generator.state == untouched.bit_generator.state


@given(programs())
@settings(max_examples=60)
def test_the_same_program_with_the_same_seed_runs_the_same(program: Program) -> None:
    one, other = run(program), run(program)
    assert one.results == other.results and one.inboxes == other.inboxes and one.known == other.known
    assert one.channel.provenance.log == other.channel.provenance.log


def test_certain_losses_lose_everything_and_are_sent_all_the_same() -> None:
    found, channel = arrivals("p2p", ChannelConfig(2, drop=1.0), 0)
    assert not any(found)
    assert channel.traffic.sent == [TOTAL, 0] and channel.traffic.dropped == TOTAL
    assert channel.provenance.knows(1) == 0b10


def test_an_entry_of_the_log_has_one_fate_for_all() -> None:
    channel = scripted("broadcast", (0.1, 0, 0, 0), (0.9, 0.9, 0, 0.1), (0.9, 0.1, 0.99, 0.9))
    channel.begin_round(1)
    for content in ("lost", "doubled", "late"):
        channel.call(0, "broadcast_message", {"content": content})
    seen = []
    for number in range(2, 7):
        channel.begin_round(number)
        seen.append([[message.content for message in channel.inbox(agent)] for agent in (1, 2)])
    assert seen == [[["doubled", "doubled"]] * 2, [[], []], [[], []], [["late"]] * 2, [[], []]]
    assert (channel.traffic.dropped, channel.traffic.duplicated, channel.traffic.delayed) == (1, 1, 1)


def test_late_messages_come_before_the_newer_ones_of_the_same_round() -> None:
    channel = scripted("p2p", (0.9, 0.1, 0.0, 0.9), (0.9, 0.9, 0, 0.9))
    channel.begin_round(1)
    channel.call(1, "send_message", {"target_id": 2, "content": "old"})
    channel.begin_round(2)
    channel.call(0, "send_message", {"target_id": 2, "content": "new"})
    channel.begin_round(3)
    assert [(message.content, message.round) for message in channel.inbox(2)] == [("old", 1), ("new", 2)]


def test_a_late_write_lands_on_top_of_newer_ones_and_keeps_its_time() -> None:
    on_time = (0.9, 0.9, 0, 0.9)
    channel = scripted("files", (0.9, 0.1, 0.4, 0.9), on_time)
    channel.begin_round(1)
    channel.call(0, "write_file", {"path": "k", "content": "old"})
    contents = []
    for number in range(2, 6):
        channel.begin_round(number)
        result = channel.call(2, "read_file", {"path": "k"})
        contents.append((result.get("content"), result.get("metadata", {}).get("modified_at_round")))
        if number == 2:
            channel.call(1, "write_file", {"path": "k", "content": "new"})
    assert contents == [(None, None), ("new", 2), ("old", 1), ("old", 1)]


def test_lost_changes_of_files_never_happen_and_doubled_ones_happen_once() -> None:
    lost, doubled = (0.1, 0, 0, 0), (0.9, 0.9, 0, 0.1)
    channel = scripted("files", lost, doubled, lost)
    channel.begin_round(1)
    channel.call(0, "write_file", {"path": "a", "content": "x"})
    channel.call(0, "write_file", {"path": "b", "content": "x"})
    channel.begin_round(2)
    assert channel.call(1, "delete_file", {"path": "b"})["success"] is True
    for number in (3, 4):
        channel.begin_round(number)
        assert [file["path"] for file in channel.call(1, "list_files", {})["files"]] == ["b"]
    assert (channel.traffic.dropped, channel.traffic.duplicated) == (2, 1)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("fault", ["drop", "delay", "duplicate"])
def test_faults_need_a_generator(protocol: str, fault: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"{fault}=0\.1.*pass rng"):
        make_channel(protocol, ChannelConfig(2, **{fault: 0.1}))
