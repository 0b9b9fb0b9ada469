"""Random programs for channels, and what an onlooker sees when they run: who was shown which text, and when."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

from fogline.simulators.channels.channel import Channel, ChannelConfig, make_channel

PROTOCOLS = ("p2p", "broadcast", "files")
WORDS = {"p2p": "send_message", "broadcast": "broadcast_message", "files": "write_file"}
PATHS = ("a", "b", "dir/a")


class Call(NamedTuple):
    agent: int
    tool: str
    arguments: Mapping[str, Any]


class Program(NamedTuple):
    """Calls of each round, in the order in which they are made; who submits at the end of which round."""

    protocol: str
    config: ChannelConfig
    rounds: tuple[tuple[Call, ...], ...]
    submissions: Mapping[int, int]
    seed: int


class Sight(NamedTuple):
    """``agent`` was shown a text of ``writer`` from round ``sent``.

    ``handed`` is the round in which the channel gave it out, ``seen`` the one from whose start the agent has it.
    """

    agent: int
    writer: int
    sent: int
    handed: int
    seen: int
    text: str


@dataclass
class Run:
    channel: Channel
    sights: list[Sight] = field(default_factory=list)
    results: list[tuple[int, Call, dict[str, Any]]] = field(default_factory=list)
    inboxes: dict[tuple[int, int], tuple[Any, ...]] = field(default_factory=dict)
    known: dict[tuple[int, int], int] = field(default_factory=dict)
    active: dict[int, tuple[int, ...]] = field(default_factory=dict)


def texts_in(result: Mapping[str, Any]) -> Iterator[str]:
    """Contents that a result shows."""
    yield from (message["content"] for message in result.get("messages", ()))
    if "content" in result:
        yield result["content"]


def origin(text: str) -> tuple[int, int]:
    """Round and agent that a text of :func:`programs` names."""
    sent, writer, *_ = text.split(".")
    return int(sent), int(writer)


def run(program: Program) -> Run:
    """Play a program, then enough empty rounds for everything under way to arrive."""
    config = program.config
    channel = make_channel(program.protocol, config, np.random.default_rng(program.seed))
    done = Run(channel)
    active = set(range(config.n_agents))
    pending: list[Sight] = []
    rounds = (*program.rounds, *[()] * (config.max_delay + 2))
    for number, calls in enumerate(rounds, start=1):
        channel.begin_round(number)
        done.active[number] = tuple(sorted(active))
        done.sights += [sight for sight in pending if sight.agent in active]
        pending = []
        for agent in range(config.n_agents):
            done.known[agent, number] = channel.provenance.knows(agent)
            done.inboxes[agent, number] = channel.inbox(agent)
            for message in channel.inbox(agent):
                done.sights.append(Sight(agent, message.sender, message.round, number, number, message.content))
        for call in calls:
            if call.agent not in active:
                continue
            result = channel.call(call.agent, call.tool, call.arguments)
            done.results.append((number, call, result))
            for text in texts_in(result):
                sent, writer = origin(text)
                pending.append(Sight(call.agent, writer, sent, number, number + 1, text))
        for agent, last in program.submissions.items():
            if last == number:
                channel.deactivate(agent)
                active.discard(agent)
    return done


def successes(done: Run, *tools: str) -> list[tuple[int, Call]]:
    """Calls of ``tools`` that were carried out, with their rounds."""
    return [(number, call) for number, call, result in done.results if call.tool in tools and result.get("success")]


def neighbours(config: ChannelConfig) -> list[set[int]]:
    """Read off the pairs of :func:`programs`, or all others."""
    everybody = range(config.n_agents)
    if config.topology == "complete":
        return [{other for other in everybody if other != agent} for agent in everybody]
    assert isinstance(config.topology, tuple)
    found: list[set[int]] = [set() for _ in everybody]
    for one, other in config.topology:
        found[one].add(other)
        found[other].add(one)
    return found


def programs(
    protocols: Sequence[str] = PROTOCOLS,
    faults: bool = True,
    modes: Sequence[str] = ("push", "pull"),
    submissions: bool = True,
) -> st.SearchStrategy[Program]:
    """Programs of up to six agents and six rounds, with valid calls and failing ones."""

    def build(protocol: str, options: bytes, calls: bytes) -> Program:
        # Drawn as bytes, since drawing call by call takes hypothesis a hundred times longer than running them.
        read = iter(options)
        n_agents = 1 + next(read) % 6
        chances = [0.4 * (next(read) % 2) if faults else 0.0 for _ in range(3)]
        length = (None, 9)[next(read) % 2]
        slowest, mode, whole, seed = 1 + next(read) % 3, modes[next(read) % len(modes)], next(read) % 2, next(read)
        pairs = {(one % n_agents, other % n_agents) for one, other in zip(read, read, strict=False) if one > 60}
        edges = [pair for pair in pairs if pair[0] != pair[1]]
        config = ChannelConfig(n_agents, length, *chances, slowest, mode, "complete" if whole else edges)  # type: ignore[arg-type]
        last = {options[-1] % n_agents: 1 + options[-2] % 6} if submissions and options[-3] % 2 else {}
        return Program(protocol, config, _rounds(protocol, n_agents, calls), last, seed)

    options = st.binary(min_size=26, max_size=26)
    return st.builds(build, st.sampled_from(protocols), options, st.binary(min_size=80, max_size=200))


def _rounds(protocol: str, n_agents: int, drawn: bytes) -> tuple[tuple[Call, ...], ...]:
    rounds: list[list[Call]] = [[] for _ in range(6)]
    for k, (where, what) in enumerate(zip(drawn[::2], drawn[1::2], strict=False)):
        number, agent = 1 + where % 6, where // 6 % n_agents
        text = f"{number}.{agent}.{k}"
        rounds[number - 1].append(Call(agent, *_call(protocol, n_agents, what, text)))
    return tuple(map(tuple, rounds))


def _call(protocol: str, n_agents: int, what: int, text: str) -> tuple[str, dict[str, Any]]:
    # The long form breaks the bound on the length where there is one.
    content = text + (".....long" if what // 8 % 4 == 0 else "")
    if protocol == "files":
        path = PATHS[what // 32 % 3]
        tool = ("write_file", "read_file", "write_file", "read_file", "read_file", "delete_file")[what % 6]
        return tool, {"path": path, **({"content": content} if tool == "write_file" else {})}
    if what % 8 > 4:
        return "receive_messages", {}
    target = {"target_id": what // 32 % (n_agents + 2) - 1} if protocol == "p2p" else {}
    return WORDS[protocol], {"content": content, **target}
