"""The rules: seats act in synchronous rounds until all have submitted or the rounds are over (section 3.4)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from fogline.envs.silo_bench.calls import SiloView, ToolCall, ToolResult
from fogline.envs.silo_bench.config import SiloConfig
from fogline.envs.silo_bench.instances import make_problem, split_id
from fogline.envs.silo_bench.reading import Reading, read_calls, read_text
from fogline.envs.silo_bench.scoring import AnswerScorer, AnswerScores
from fogline.envs.silo_bench.tasks.catalogue import silo_task
from fogline.envs.silo_bench.tasks.task import Problem, SiloTask
from fogline.simulators.channels.channel import Channel, ChannelConfig, make_channel
from fogline.simulators.channels.messages import Message

Phase = Literal["exchange", "wait", "submit", "malformed", "submitted"]
MESSAGE_TOOLS = frozenset({"send_message", "broadcast_message", "write_file"})
_WAITING: Mapping[str, Any] = {"status": "waiting"}
_SUBMITTED: Mapping[str, Any] = {"status": "submitted"}


@dataclass(slots=True)
class Seat:
    """What is kept of one seat during a game.

    Attributes:
        submitted: Whether it has submitted.
        answer: What it submitted.
        round: Round of its submission; 0 for none.
        known: Shards that can have reached it when it last acted, as a bit mask.
        characters: Length of all that it wrote.
        words: Scalars in all the messages and files that it sent.
        calls: Calls that were carried out.
        malformed: Rounds in which nothing could be read.
        results: Of its last round's calls.
    """

    submitted: bool = False
    answer: Any = None
    round: int = 0
    known: int = 0
    characters: int = 0
    words: int = 0
    calls: int = 0
    malformed: int = 0
    results: tuple[ToolResult, ...] = ()


@dataclass(frozen=True, slots=True)
class Played:
    """What a seat's action came to in one round.

    Attributes:
        phase: What kind of turn it was.
        malformed: Whether it could not be read.
        messages: Messages that it sent, files that it wrote.
        tokens: Tokens that it wrote, four characters counted as one.
    """

    phase: Phase
    malformed: bool = False
    messages: int = 0
    tokens: int = 0


@dataclass(slots=True)
class Game:
    """One game from its first round to its last. Plain Python: the environments give it Gymnasium's faces.

    Attributes:
        config: The rules.
        instance_id: Which data.
        rng: Draws the channel's faults and nothing else.
        task: What is computed.
        problem: The data and what all are told.
        shards: What each seat is given of it.
        channel: How seats exchange.
        seats: One record per seat.
        round: The round that is being played, from 1.
    """

    config: SiloConfig
    instance_id: str
    rng: np.random.Generator
    task: SiloTask = field(init=False)
    problem: Problem = field(init=False)
    shards: list[Any] = field(init=False)
    channel: Channel = field(init=False)
    seats: list[Seat] = field(init=False)
    round: int = 1
    _read: Callable[[Any], Reading] = field(init=False)
    _scorer: AnswerScorer | None = None

    def __post_init__(self) -> None:
        """Deal the shards and open the channel."""
        config = self.config
        self.task = silo_task(split_id(self.instance_id)[0])
        self.problem = make_problem(config, self.instance_id)
        # Copies, so that a seat that sorts its data does not change the truth.
        self.shards = [json.loads(json.dumps(shard)) for shard in self.problem.shards]
        rules = ChannelConfig(
            n_agents=config.n_agents,
            max_message_chars=config.max_message_chars,
            drop=config.drop,
            delay=config.delay,
            duplicate=config.duplicate,
            max_delay=config.max_delay,
            delivery=config.delivery,
            topology=config.topology,
        )
        self.channel = make_channel(config.protocol, rules, self.rng)
        self.seats = [Seat() for _ in range(config.n_agents)]
        self._read = read_text if config.actions == "text" else read_calls
        self.channel.begin_round(1)

    @property
    def over(self) -> bool:
        """Whether no seat may act any more."""
        return self.round > self.config.max_rounds or all(seat.submitted for seat in self.seats)

    @property
    def planning(self) -> bool:
        """Whether this round is for talk about the strategy only."""
        return self.config.scaffold == "planning" and self.round == 1

    def view(self, agent: int) -> SiloView:
        """What a seat may know now."""
        config = self.config
        return SiloView(
            agent,
            config.n_agents,
            config.protocol,
            self.round,
            config.max_rounds,
            self.task.task_id,
            self.shards[agent],
            self.problem.public,
            self.inbox(agent),
            self.seats[agent].results,
            self.channel.peers(agent),
            config.delivery,
        )

    def inbox(self, agent: int) -> tuple[Message, ...]:
        """What arrived for a seat at the start of this round; nothing once it takes no part any more."""
        return () if self.seats[agent].submitted or self.over else self.channel.inbox(agent)

    def correct(self, agent: int) -> bool:
        """Whether a seat has submitted the right answer."""
        return self._scored().score(agent, self._answer(agent)).correct

    def partial(self, agent: int) -> float:
        """Partial correctness of a seat's answer, 0 to 1 (section 3.3, repaired)."""
        return self._scored().score(agent, self._answer(agent)).partial

    def scores(self) -> AnswerScores:
        """Score of all answers."""
        return self._scored().scores([self._answer(agent) for agent in range(len(self.seats))])

    def play(self, actions: Mapping[int, Any]) -> dict[int, Played]:
        """Play one round; seats that are missing or have submitted do nothing."""
        played = {agent: self._turn(agent, actions[agent]) for agent in sorted(actions)}
        self.round += 1
        if not self.over:
            self.channel.begin_round(self.round)
        return played

    def _answer(self, agent: int) -> Any:
        seat = self.seats[agent]
        return seat.answer if seat.submitted else None

    def _scored(self) -> AnswerScorer:
        if self._scorer is None:
            self._scorer = AnswerScorer(self.task.solve(self.problem), self.task)
        return self._scorer

    def _turn(self, agent: int, action: Any) -> Played:
        seat = self.seats[agent]
        if seat.submitted:
            return Played("submitted")
        # What it asks for in this turn it reads in the next one.
        seat.known = self.channel.provenance.knows(agent)
        calls, problem, characters = self._read(action)
        seat.characters += characters
        tokens = -(-characters // 4)
        if not calls:
            seat.malformed += 1
            seat.results = (ToolResult("", {"error": problem}),)
            return Played("malformed", True, 0, tokens)
        results: list[ToolResult] = []
        phase, sent = self._carry_out(agent, calls, results)
        if problem:
            results.append(ToolResult("", {"error": problem}))
        seat.results = tuple(results)
        return Played(phase, bool(problem), sent, tokens)

    def _carry_out(self, agent: int, calls: Iterable[ToolCall], results: list[ToolResult]) -> tuple[Phase, int]:
        seat, call_channel = self.seats[agent], self.channel.call
        budget = self.config.action_budget
        sent = 0
        for number, (tool, arguments) in enumerate(calls):
            if budget is not None and number >= budget:
                text = f"action_budget={budget} is used up: the calls after it were not run"
                results.append(ToolResult(tool, {"success": False, "message": text}))
                break
            seat.calls += 1
            if tool == "submit_result" and not self.planning:
                self._submit(agent, arguments.get("answer"))
                results.append(ToolResult(tool, _SUBMITTED))
                return "submit", sent
            if tool == "submit_result":
                text = "this round is for planning: submit from the next one on"
                results.append(ToolResult(tool, {"success": False, "message": text}))
                continue
            if tool == "wait":
                results.append(ToolResult(tool, _WAITING))
                return "wait", sent
            result = call_channel(agent, tool, arguments)
            if tool in MESSAGE_TOOLS and result.get("success"):
                sent += 1
                seat.words += _words(arguments["content"])
            results.append(ToolResult(tool, result))
        return "exchange", sent

    def _submit(self, agent: int, answer: Any) -> None:
        seat = self.seats[agent]
        seat.submitted, seat.answer, seat.round = True, answer, self.round
        self.channel.deactivate(agent)


@lru_cache(maxsize=4096)
def _words(content: str) -> int:
    """Scalars in a message: numbers and words between white space, brackets, commas, colons and quotes."""
    for mark in '[]{},:"':
        content = content.replace(mark, " ")
    return len(content.split())
