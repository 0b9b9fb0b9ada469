"""One seat while it is played: what it was told, and the calls that it is about to make."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from typing import Any

from fogline.agents.scripted.silo_bench.knowledge import (
    Span,
    answer_of,
    encode,
    label,
    merged,
    needed_span,
    read_lines,
    write_lines,
)
from fogline.core.errors import AgentError
from fogline.envs.silo_bench.calls import SiloView, ToolCall
from fogline.envs.silo_bench.tasks.task import SiloTask

Action = tuple[ToolCall, ...]
Program = Generator[Action, SiloView, None]
"""What a seat does from its first round to its answer: yields an action, is sent what the seat sees next."""

_WAIT = ToolCall("wait", {})
_RECEIVE = ToolCall("receive_messages", {})
_SENDING = frozenset({"send_message", "broadcast_message", "write_file"})


class Seat:
    """A seat's hands and memory: programs send, write, hear and submit through it.

    Calls collect until the program ends the round, hears or submits. Everything that arrives is noted by its label; a
    program asks for labels and waits until they are there, so it does not matter when they come or from whom.

    Args:
        view: What the seat sees in its first round.
        task: What is computed.

    Attributes:
        view: What it sees now.
        task: What is computed.
        agent: Its number.
        n_agents: Number of seats.
        own: The span of this seat alone.
        known: Texts by label, its own summary among them.
    """

    __slots__ = ("_calls", "_peers", "agent", "known", "n_agents", "own", "task", "view")

    def __init__(self, view: SiloView, task: SiloTask) -> None:
        self.view = view
        self.task = task
        self.agent = view.agent
        self.n_agents = view.n_agents
        self.own: Span = (view.agent, view.agent + 1)
        self.known = {label(self.own): encode(task.local(view.shard, view.agent, view.public))}
        self._calls: list[ToolCall] = []
        self._peers = frozenset(view.peers)

    @property
    def others(self) -> list[int]:
        """Numbers of all other seats."""
        return [agent for agent in range(self.n_agents) if agent != self.agent]

    @property
    def hop(self) -> int:
        """Rounds from sending something until it can be used: one, or two where it must be asked for."""
        return 2 if self.view.protocol == "files" or self.view.delivery == "pull" else 1

    def quote(self, spans: Iterable[Span]) -> str:
        """A message that tells the summaries of spans that are known."""
        return write_lines((name, self.known[name]) for name in map(label, spans))

    def join(self, spans: Sequence[Span]) -> Span:
        """Note the summary of adjacent spans that are known, and return the span that they make together."""
        span = spans[0][0], spans[-1][1]
        if label(span) not in self.known:
            self.known[label(span)] = encode(merged(self.task, self._texts(spans)))
        return span

    def send(self, target: int, content: str) -> None:
        """Send a message at the end of this round.

        Raises:
            AgentError: Where the target is out of reach.
        """
        self._check_reach(target)
        self._calls.append(ToolCall("send_message", {"target_id": target, "content": content}))

    def broadcast(self, content: str) -> None:
        """Tell everybody at the end of this round.

        Raises:
            AgentError: Where the log does not reach everybody.
        """
        for target in self.others:
            self._check_reach(target)
        self._calls.append(ToolCall("broadcast_message", {"content": content}))

    def write(self, path: str, content: str) -> None:
        """Write a file at the end of this round."""
        self._calls.append(ToolCall("write_file", {"path": path, "content": content}))

    def end_round(self) -> Program:
        """Make the calls that were collected, and take in what the next round shows."""
        if self.view.protocol != "files" and self.view.delivery == "pull":
            self._calls.append(_RECEIVE)
        calls, self._calls = self._calls, []
        self._take_in((yield tuple(calls) or (_WAIT,)))

    def until(self, round: int) -> Program:
        """Let rounds pass before ``round``, for pace: what matters is waited for by :meth:`hear`."""
        while self.view.round < round:
            yield from self.end_round()

    def hear(self, names: Iterable[str]) -> Program:
        """Wait until all these labels are known."""
        missing = [name for name in names if name not in self.known]
        while missing:
            yield from self.end_round()
            missing = [name for name in missing if name not in self.known]

    def read(self, sources: Iterable[tuple[int, str, Sequence[str]]]) -> Program:
        """Read files of other seats, again in each round, until all have told what is expected of them.

        Args:
            sources: The writer's number, the path, and the labels that the file tells.

        Raises:
            AgentError: Where a writer is out of reach.
        """
        missing = self._untold(sources)
        for writer, _, _ in missing:
            self._check_reach(writer)
        while missing:
            self._calls += [ToolCall("read_file", {"path": path}) for _, path, _ in missing]
            yield from self.end_round()
            missing = self._untold(missing)

    def answer(self, spans: Sequence[Span]) -> Program:
        """Submit what follows from adjacent spans that together are what the answer needs."""
        made = (spans[0][0], spans[-1][1])
        assert made == needed_span(self.task, self.agent, self.n_agents), "these are not the shards of the answer"
        view = self.view
        texts = self._texts(spans)
        return self.submit(answer_of(self.task, texts, view.shard, self.agent, self.n_agents, view.public))

    def submit(self, answer: Any) -> Program:
        """Make the calls that were collected, then submit: again in each round in which the rules still forbid it."""
        calls = (*self._calls, ToolCall("submit_result", {"answer": answer}))
        self._calls = []
        while True:
            yield calls
            calls = calls[-1:]

    def _untold(self, sources: Iterable[tuple[int, str, Sequence[str]]]) -> list[tuple[int, str, Sequence[str]]]:
        return [source for source in sources if any(name not in self.known for name in source[2])]

    def _texts(self, spans: Iterable[Span]) -> tuple[str, ...]:
        return tuple([self.known[label(span)] for span in spans])

    def _check_reach(self, other: int) -> None:
        if other not in self._peers:
            raise AgentError(
                f"seat {self.agent} cannot reach seat {other} in this topology: expected "
                f"{sorted(self._peers)}. Play topology='complete', or a schedule whose pairs it has (agent 'chain')."
            )

    def _take_in(self, view: SiloView) -> None:
        self.view = view
        known = self.known
        for message in view.inbox:
            known.update(read_lines(message.content))
        for tool, result in view.results:
            if tool == "receive_messages":
                for item in result.get("messages", ()):
                    known.update(read_lines(item["content"]))
            elif tool == "read_file" and result.get("success"):
                known.update(read_lines(result["content"]))
            elif tool in _SENDING and not result.get("success", True):
                raise AgentError(
                    f"seat {self.agent} could not send what its schedule needs: {result.get('message')} "
                    "Raise max_message_chars or action_budget, or play a schedule of shorter messages."
                )
            elif not tool:
                raise AgentError(
                    f"what seat {self.agent} did was not understood: {result.get('error')}. "
                    "Play an environment with actions='structured'."
                )
