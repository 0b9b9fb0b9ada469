"""One leader gathers, merges and tells: through mailboxes, the log or files."""

from __future__ import annotations

from abc import abstractmethod

from fogline.agents.scripted.silo_bench.knowledge import Span, label, needed_span, shard_spans
from fogline.agents.scripted.silo_bench.schedule import Schedule
from fogline.agents.scripted.silo_bench.seat import Program, Seat
from fogline.core.errors import AgentError, ConfigurationError
from fogline.envs.silo_bench.calls import SiloView
from fogline.envs.silo_bench.tasks.task import SiloTask


class Leader(Schedule):
    """A seat that all others tell their summaries, and that tells each what its answer needs.

    Args:
        leader: Number of that seat.

    Raises:
        ConfigurationError: For a negative number.
    """

    def __init__(self, leader: int = 0) -> None:
        if leader < 0:
            raise ConfigurationError(f"leader={leader} is no seat: expected 0 or more.")
        self.leader = leader

    def program(self, seat: Seat) -> Program:
        """Lead, or tell the leader and answer from what it returns."""
        return self._lead(seat) if seat.agent == self.leader else self._follow(seat)

    @abstractmethod
    def _lead(self, seat: Seat) -> Program: ...

    @abstractmethod
    def _follow(self, seat: Seat) -> Program: ...

    def _check(self, view: SiloView, task: SiloTask) -> None:
        super()._check(view, task)
        if self.leader >= view.n_agents:
            raise AgentError(
                f"leader={self.leader} is no seat of n_agents={view.n_agents}: expected 0 to {view.n_agents - 1}."
            )

    def _listeners(self, task: SiloTask, n_agents: int) -> list[int]:
        """Seats that must be told: not the leader, nor one whose own shard is all that its answer needs."""
        others = [agent for agent in range(n_agents) if agent != self.leader]
        return [agent for agent in others if needed_span(task, agent, n_agents) != (agent, agent + 1)]

    def _messages(self, task: SiloTask, n_agents: int) -> int:
        return n_agents - 1 + len(self._listeners(task, n_agents))


class StarReduce(Leader):
    """``2(N-1)`` messages, the fewest after which all can know all, in 3 rounds; the leader hears N-1 at once."""

    name = "star"

    def _follow(self, seat: Seat) -> Program:
        seat.send(self.leader, seat.quote([seat.own]))
        yield from _answer_when_told(seat)

    def _lead(self, seat: Seat) -> Program:
        yield from seat.hear(map(label, shard_spans((0, seat.n_agents))))
        _merge_needed(seat)
        for target in self._listeners(seat.task, seat.n_agents):
            seat.send(target, seat.quote([_needed(seat, target)]))
        yield from seat.answer([_needed(seat, seat.agent)])

    def _rounds(self, task: SiloTask, n_agents: int) -> int:
        return 3 if self._listeners(task, n_agents) else 2


class LeaderBroadcast(Leader):
    """All but the leader speak once, then the leader speaks for all: N messages on the log, in 3 rounds."""

    name = "leader-broadcast"
    protocols = ("broadcast",)

    def _follow(self, seat: Seat) -> Program:
        seat.broadcast(seat.quote([seat.own]))
        yield from _answer_when_told(seat)

    def _lead(self, seat: Seat) -> Program:
        yield from seat.hear(map(label, shard_spans((0, seat.n_agents))))
        spans = _merge_needed(seat)
        if self._listeners(seat.task, seat.n_agents):
            seat.broadcast(seat.quote(spans))
        yield from seat.answer([_needed(seat, seat.agent)])

    def _messages(self, task: SiloTask, n_agents: int) -> int:
        return n_agents - 1 + bool(self._listeners(task, n_agents))

    def _rounds(self, task: SiloTask, n_agents: int) -> int:
        return 3 if self._listeners(task, n_agents) else 2


class LeaderFiles(Leader):
    """All but the leader write a file, which it reads; it writes one that all read.

    N writes and ``2(N-1)`` reads of another's file, in 5 rounds.
    """

    name = "leader-files"
    protocols = ("files",)
    result = "result.txt"

    def _follow(self, seat: Seat) -> Program:
        seat.write(shard_path(seat.agent), seat.quote([seat.own]))
        needed = _needed(seat, seat.agent)
        if needed != seat.own:
            # Written in round 3 at the earliest: who looks sooner looks in vain.
            yield from seat.until(4)
            yield from seat.read([(self.leader, self.result, [label(needed)])])
        yield from seat.answer([needed])

    def _lead(self, seat: Seat) -> Program:
        yield from seat.until(2)
        yield from seat.read(shard_sources(seat))
        seat.write(self.result, seat.quote(_merge_needed(seat)))
        yield from seat.answer([_needed(seat, seat.agent)])

    def _rounds(self, task: SiloTask, n_agents: int) -> int:
        return 5 if self._listeners(task, n_agents) else 3


def shard_path(agent: int) -> str:
    """File in which a seat tells the summary of its own shard."""
    return f"shards/{agent}.txt"


def shard_sources(seat: Seat) -> list[tuple[int, str, list[str]]]:
    """These files of all other seats, with what each tells."""
    return [(agent, shard_path(agent), [label((agent, agent + 1))]) for agent in seat.others]


def _needed(seat: Seat, agent: int) -> Span:
    return needed_span(seat.task, agent, seat.n_agents)


def _answer_when_told(seat: Seat) -> Program:
    needed = _needed(seat, seat.agent)
    yield from seat.hear([label(needed)])
    yield from seat.answer([needed])


def _merge_needed(seat: Seat) -> list[Span]:
    """Merge what each seat needs; the spans, each once, in order of the seats."""
    spans: dict[Span, None] = {}
    for agent in range(seat.n_agents):
        start, stop = _needed(seat, agent)
        # What an agent needs often is what the one before it needs and one shard more.
        shorter = (start, stop - 1)
        pieces = [shorter, (stop - 1, stop)] if label(shorter) in seat.known else shard_spans((start, stop))
        spans[seat.join(pieces)] = None
    return list(spans)
