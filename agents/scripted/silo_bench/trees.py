"""A binomial tree over contiguous spans of agents: summaries rise to agent 0, and what is needed comes down."""

from __future__ import annotations

from collections.abc import Iterable

from fogline.agents.scripted.silo_bench.gathers import BroadcastOnce
from fogline.agents.scripted.silo_bench.knowledge import Span, label, needed_span, outside, presented, shard_spans
from fogline.agents.scripted.silo_bench.schedule import Schedule, steps
from fogline.agents.scripted.silo_bench.seat import Program, Seat
from fogline.envs.silo_bench.tasks.task import SiloTask


class BinomialTree(Schedule):
    """``2(N-1)`` messages with no seat hearing or telling more than one a round; ``2 ceil(log2 N) + 1`` rounds.

    Agent a stands over the span from a to a plus its lowest set bit; below it stand the agents a + 1, a + 2, a + 4 and
    so on in that span. Where answers need everything, the whole summary comes down; where they need what comes
    before, each span gets that (a prefix scan after Blelloch); where they need their neighbours, the shards beside it.
    """

    name = "tree"
    one_at_a_time = True

    def program(self, seat: Seat) -> Program:
        """Gather the spans below, tell the seat above, hear what is outside, pass it on."""
        scope = seat.task.scope
        below = spans_below(seat.agent, seat.n_agents)
        for span in below:
            yield from self._hear(seat, span[0], presented(scope, span))
        whole = (seat.agent, below[-1][1]) if below else seat.own
        if scope != "neighbours":
            seat.join([seat.own, *below])
        if seat.agent:
            yield from seat.until(1 + height(seat.agent) * seat.hop)
            self._tell(seat, above(seat.agent), presented(scope, whole))
            yield from self._hear(seat, above(seat.agent), outside(scope, whole, seat.n_agents))
        yield from self._pass_down(seat, below)
        yield from seat.answer(_pieces(seat))

    def _pass_down(self, seat: Seat, below: list[Span]) -> Program:
        scope = seat.task.scope
        before = [(0, seat.agent), seat.own] if seat.agent else [seat.own]
        for index in reversed(range(len(below))):
            if scope == "prefix":
                seat.join([*before, *below[:index]])
            self._tell(seat, below[index][0], outside(scope, below[index], seat.n_agents))
            if index and self.one_at_a_time:
                yield from seat.end_round()

    def _tell(self, seat: Seat, target: int, spans: Iterable[Span]) -> None:
        seat.send(target, seat.quote(spans))

    def _hear(self, seat: Seat, source: int, spans: Iterable[Span]) -> Program:
        yield from seat.hear(map(label, spans))

    def _messages(self, task: SiloTask, n_agents: int) -> int:
        return 2 * (n_agents - 1)

    def _rounds(self, task: SiloTask, n_agents: int) -> int:
        return 2 * steps(n_agents) + 1


class FileTree(BinomialTree):
    """The same tree over files, each named after its writer and its one reader: ``2(N-1)`` reads.

    Takes ``2 ceil(log2 N) + 2 d + 1`` rounds, d being the most ones in the binary form of a seat's number: a hop of
    files takes two rounds, and on the way down a seat writes to all below it at once.
    """

    name = "tree-files"
    protocols = ("files",)
    one_at_a_time = False

    def _tell(self, seat: Seat, target: int, spans: Iterable[Span]) -> None:
        seat.write(_path(seat.agent, target), seat.quote(spans))

    def _hear(self, seat: Seat, source: int, spans: Iterable[Span]) -> Program:
        # Who looks before the file can be there looks in vain.
        rising = 2 + 2 * height(source) if source > seat.agent else 0
        falling = 2 * steps(seat.n_agents) + 2 * seat.agent.bit_count()
        yield from seat.until(rising or falling)
        yield from seat.read([(source, _path(source, seat.agent), [label(span) for span in spans])])

    def _rounds(self, task: SiloTask, n_agents: int) -> int:
        return 2 * steps(n_agents) + 2 * max(agent.bit_count() for agent in range(n_agents)) + 1


class BroadcastTree(Schedule):
    """The same tree on the log, where what rises is spoken, and agent 0 then speaks the whole summary: N messages.

    On a log there is no way down to save: all hear agent 0. Where answers need less than everything, all hear each
    shard's summary anyway if everybody speaks once, which is as many messages; then that is what is played.
    """

    name = "tree-broadcast"
    protocols = ("broadcast",)

    def program(self, seat: Seat) -> Program:
        """Gather the spans below, speak, hear the whole."""
        return self._reduce(seat) if seat.task.scope == "all" else BroadcastOnce().program(seat)

    def _reduce(self, seat: Seat) -> Program:
        below = spans_below(seat.agent, seat.n_agents)
        yield from seat.hear(map(label, below))
        yield from seat.until(1 + height(seat.agent) * seat.hop)
        seat.broadcast(seat.quote([seat.join([seat.own, *below])]))
        yield from seat.hear([label((0, seat.n_agents))])
        yield from seat.answer([(0, seat.n_agents)])

    def _messages(self, task: SiloTask, n_agents: int) -> int:
        return n_agents

    def _rounds(self, task: SiloTask, n_agents: int) -> int:
        return steps(n_agents) + 2 if task.scope == "all" else 2


def height(agent: int) -> int:
    """Steps after which the span of an agent is gathered: the number of its lowest set bit; 0 for agent 0."""
    return max(0, (agent & -agent).bit_length() - 1)


def above(agent: int) -> int:
    """The agent above one other than 0: its number without the lowest set bit."""
    return agent & (agent - 1)


def spans_below(agent: int, n_agents: int) -> list[Span]:
    """Spans of the agents below one, which begin with them, in order; together with the agent itself its own span."""
    doublings = height(agent) if agent else steps(n_agents)
    starts = [agent + (1 << step) for step in range(doublings)]
    return [(start, min(2 * start - agent, n_agents)) for start in starts if start < n_agents]


def _path(writer: int, reader: int) -> str:
    return f"{writer}-to-{reader}.txt"


def _pieces(seat: Seat) -> list[Span]:
    """Adjacent known spans that make up what the answer needs."""
    if seat.task.scope == "all":
        return [(0, seat.n_agents)]
    if seat.task.scope == "prefix":
        return [(0, seat.agent), seat.own] if seat.agent else [seat.own]
    return shard_spans(needed_span(seat.task, seat.agent, seat.n_agents))
