"""Along the line of agents: chains, the scan of Hillis and Steele, the exchange of halos."""

from __future__ import annotations

from fogline.agents.scripted.silo_bench.knowledge import Span, label, needed_span, shard_spans
from fogline.agents.scripted.silo_bench.schedule import Schedule, steps
from fogline.agents.scripted.silo_bench.seat import Program, Seat
from fogline.envs.silo_bench.tasks.task import SiloTask


class ChainSweep(Schedule):
    """Forward along the line and back: ``2(N-1)`` messages, ``2N - 1`` rounds, one heard at a time.

    What is passed on is what all agents so far hold together, and on the way back everything; where answers need
    their neighbours only, each passes its own shard's summary both ways.
    """

    name = "chain"
    scopes = ("all", "neighbours")

    def program(self, seat: Seat) -> Program:
        """Hear from the seat before, tell the one behind, hear from it, tell the one before."""
        agent, last = seat.agent, seat.n_agents - 1
        whole = seat.task.scope == "all"
        before: Span = (0, agent) if whole else (agent - 1, agent)
        if agent > 0:
            yield from seat.hear([label(before)])
        told = seat.join([before, seat.own]) if whole and agent else seat.own
        if agent < last:
            seat.send(agent + 1, seat.quote([told]))
            behind = (0, seat.n_agents) if whole else (agent + 1, agent + 2)
            yield from seat.hear([label(behind)])
            told = behind if whole else seat.own
        if agent > 0:
            seat.send(agent - 1, seat.quote([told]))
        needed = needed_span(seat.task, agent, seat.n_agents)
        yield from seat.answer([needed] if whole else shard_spans(needed))

    def _messages(self, task: SiloTask, n_agents: int) -> int:
        return 2 * (n_agents - 1)

    def _rounds(self, task: SiloTask, n_agents: int) -> int:
        return 2 * n_agents - 1


class ChainScan(Schedule):
    """Forward along the line once, for answers that need what comes before: ``N-1`` messages, N rounds."""

    name = "scan"
    scopes = ("prefix",)

    def program(self, seat: Seat) -> Program:
        """Hear what comes before, add the own part, tell the next seat."""
        before: list[Span] = [(0, seat.agent)] if seat.agent else []
        yield from seat.hear(map(label, before))
        if seat.agent < seat.n_agents - 1:
            seat.send(seat.agent + 1, seat.quote([seat.join([*before, seat.own])]))
        yield from seat.answer([*before, seat.own])

    def _messages(self, task: SiloTask, n_agents: int) -> int:
        return n_agents - 1

    def _rounds(self, task: SiloTask, n_agents: int) -> int:
        return n_agents


class HillisSteele(Schedule):
    """In step k each tells the seat ``2^k`` on what the last ``2^k`` seats hold together.

    ``N ceil(log2 N) - 2^ceil(log2 N) + 1`` messages in ``ceil(log2 N) + 1`` rounds, one heard at a time (Hillis and
    Steele, Data parallel algorithms, 1986).
    """

    name = "hillis-steele"
    scopes = ("prefix",)

    def program(self, seat: Seat) -> Program:
        """Double the span that ends with this seat until it begins with agent 0."""
        span, stop = seat.own, seat.agent + 1
        for step in range(steps(seat.n_agents)):
            reach = 1 << step
            if seat.agent + reach < seat.n_agents:
                seat.send(seat.agent + reach, seat.quote([span]))
            yield from seat.end_round()
            if span[0] > 0:
                before = max(0, stop - 2 * reach), span[0]
                yield from seat.hear([label(before)])
                span = seat.join([before, span])
        yield from seat.answer([span])

    def _messages(self, task: SiloTask, n_agents: int) -> int:
        return n_agents * steps(n_agents) - (1 << steps(n_agents)) + 1

    def _rounds(self, task: SiloTask, n_agents: int) -> int:
        return steps(n_agents) + 1


class HaloExchange(Schedule):
    """Each tells its two neighbours its own shard's summary: ``2(N-1)`` messages, 2 rounds."""

    name = "halo"
    scopes = ("neighbours",)

    def program(self, seat: Seat) -> Program:
        """Tell both, hear both."""
        needed = shard_spans(needed_span(seat.task, seat.agent, seat.n_agents))
        for neighbour, _ in needed:
            if neighbour != seat.agent:
                seat.send(neighbour, seat.quote([seat.own]))
        yield from seat.hear(map(label, needed))
        yield from seat.answer(needed)

    def _messages(self, task: SiloTask, n_agents: int) -> int:
        return 2 * (n_agents - 1)

    def _rounds(self, task: SiloTask, n_agents: int) -> int:
        return 2
