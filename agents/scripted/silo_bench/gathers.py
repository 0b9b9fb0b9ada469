"""Everybody learns every shard's summary as it is, and merges for itself."""

from __future__ import annotations

from fogline.agents.scripted.silo_bench.knowledge import label, needed_span, shard_spans
from fogline.agents.scripted.silo_bench.schedule import Schedule, steps
from fogline.agents.scripted.silo_bench.seat import Program, Seat
from fogline.agents.scripted.silo_bench.stars import shard_path, shard_sources
from fogline.envs.silo_bench.tasks.task import SiloTask


class Flood(Schedule):
    """Everybody tells everybody: ``N(N-1)`` messages, 2 rounds."""

    name = "flood"

    def program(self, seat: Seat) -> Program:
        """Tell all, and answer once all that is needed is there."""
        content = seat.quote([seat.own])
        for target in seat.others:
            seat.send(target, content)
        yield from _answer_from_shards(seat)

    def _messages(self, task: SiloTask, n_agents: int) -> int:
        return n_agents * (n_agents - 1)

    def _rounds(self, task: SiloTask, n_agents: int) -> int:
        return 2


class BroadcastOnce(Schedule):
    """Everybody speaks once on the log: N messages, 2 rounds."""

    name = "broadcast-once"
    protocols = ("broadcast",)

    def program(self, seat: Seat) -> Program:
        """Speak, and answer once all that is needed was said."""
        seat.broadcast(seat.quote([seat.own]))
        yield from _answer_from_shards(seat)

    def _messages(self, task: SiloTask, n_agents: int) -> int:
        return n_agents

    def _rounds(self, task: SiloTask, n_agents: int) -> int:
        return 2


class WriteRead(Schedule):
    """Everybody writes a file and reads all the others: N writes, ``N(N-1)`` reads, 3 rounds."""

    name = "write-read"
    protocols = ("files",)

    def program(self, seat: Seat) -> Program:
        """Write, read, and answer."""
        seat.write(shard_path(seat.agent), seat.quote([seat.own]))
        yield from seat.end_round()
        yield from seat.read(shard_sources(seat))
        yield from _answer_from_shards(seat)

    def _messages(self, task: SiloTask, n_agents: int) -> int:
        return n_agents * (n_agents - 1)

    def _rounds(self, task: SiloTask, n_agents: int) -> int:
        return 3


class RingAllgather(Schedule):
    """Each passes to the next what it has from the one before: ``N(N-1)`` messages, N rounds, one heard at a time."""

    name = "ring"

    def program(self, seat: Seat) -> Program:
        """Send the own summary on its way round, then those that come by, all but the next seat's own."""
        n_agents = seat.n_agents
        target = (seat.agent + 1) % n_agents
        for distance in range(n_agents - 1):
            passed = (seat.agent - distance) % n_agents
            yield from seat.hear([label((passed, passed + 1))])
            seat.send(target, seat.quote([(passed, passed + 1)]))
        yield from _answer_from_shards(seat)

    def _messages(self, task: SiloTask, n_agents: int) -> int:
        return n_agents * (n_agents - 1)

    def _rounds(self, task: SiloTask, n_agents: int) -> int:
        return n_agents


class Dissemination(Schedule):
    """Bruck's all-gather: in step k each tells the seat ``2^k`` on what it knows of the last ``2^k``.

    ``N ceil(log2 N)`` messages in ``ceil(log2 N) + 1`` rounds, one heard at a time. Summaries stay apart, because
    spans overlap in the last step where N is no power of two, and merging would count some shards twice.
    """

    name = "dissemination"

    def program(self, seat: Seat) -> Program:
        """Double what is known, step by step; the last step only fills up."""
        n_agents = seat.n_agents
        for step in range(steps(n_agents)):
            reach = 1 << step
            last = [(agent % n_agents, agent % n_agents + 1) for agent in range(seat.agent, seat.agent - reach, -1)]
            yield from seat.hear(map(label, last))
            seat.send((seat.agent + reach) % n_agents, seat.quote(last[: n_agents - reach]))
        yield from _answer_from_shards(seat)

    def _messages(self, task: SiloTask, n_agents: int) -> int:
        return n_agents * steps(n_agents)

    def _rounds(self, task: SiloTask, n_agents: int) -> int:
        return steps(n_agents) + 1


def _answer_from_shards(seat: Seat) -> Program:
    needed = shard_spans(needed_span(seat.task, seat.agent, seat.n_agents))
    yield from seat.hear(map(label, needed))
    yield from seat.answer(needed)
