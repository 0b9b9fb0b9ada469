"""A chat model as the reasoner: asked cell by cell, its answers checked, repaired once, metered and kept.

A model that cannot answer is not believed: the policy's order rate stands in, and is counted. A server that fails is an
error, after the client's own retries, and never an answer.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fogline.core.chat.errors import ContentRefused, EmptyReply
from fogline.core.chat.loop_thread import LoopThread
from fogline.core.chat.messages import ChatModel, ChatReply, ChatRequest, Message
from fogline.core.chat.prices import Estimate, estimate_requests
from fogline.core.errors import ConfigurationError
from fogline.simulators.merchants.cells import Cell, Cells, Contexts
from fogline.simulators.merchants.chat_answers import Answer, AnswerFault, read_answer
from fogline.simulators.merchants.chat_prompts import REPAIR, VERSION, Pages, cell_messages
from fogline.simulators.merchants.strategies import LOGGED, Strategy

if TYPE_CHECKING:
    import pandas as pd

    from fogline.simulators.merchants.policies import Policy, PolicyLibrary

Floats = NDArray[np.float64]

_EDGE = 0.01
"""Shares are taken this far from 0 and 1 before their logits are."""
_AT_ONCE = 256
"""Cells in the air; how many requests are is the client's own limit."""


@dataclass
class ReasonerReport:
    """What asking has taken so far.

    Attributes:
        cells: Questions.
        calls: Completions asked for, repairs included; those that a cache answered too.
        cached: Of them, answered by the client's cache.
        attempts: Requests on the wire, those that the client repeated included.
        repairs: Answers that were asked for again.
        fallbacks: Questions for which the policy's order rate stands in, by reason.
        prompt_tokens: Tokens sent, as the server counts them.
        completion_tokens: Tokens received.
        cost: Price of the answers that could be priced.
        unpriced: Answers without a price: none was given, or the server did not count tokens.
    """

    cells: int = 0
    calls: int = 0
    cached: int = 0
    attempts: int = 0
    repairs: int = 0
    fallbacks: Counter[str] = field(default_factory=Counter)
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0
    unpriced: int = 0

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {**asdict(self), "fallbacks": dict(self.fallbacks)}


@dataclass(frozen=True, slots=True)
class Asked:
    """One cell with what was said of it.

    Attributes:
        share: Share that orders, the median over draws; the policy's own rate where no draw could be used.
        said: Every text of the model, in order.
        faults: Why one was not used, in order.
        used: The answers that were.
    """

    share: float
    said: tuple[str, ...]
    faults: tuple[str, ...]
    used: tuple[Answer, ...]


class ChatReasoner:
    """Scores what was shown by asking a chat model about groups.

    At 101 merchants, 5 policies and 4 contexts a strategy takes at most 2,020 calls. Asking again takes none: this
    object remembers, and a client with a ``cache_dir`` remembers across processes.

    Args:
        model: Who answers.
        temperature: Of the sampling: 0 by default, for repeatability; 0.7 with several draws.
        draws: Answers to each question; their median counts.
        max_tokens: Longest answer.
        contexts: How contexts are told apart.
        transcript: File to which every question is added with its answers, one JSON line each; None for none.

    Attributes:
        report: What asking has taken so far.

    Raises:
        ConfigurationError: For a number out of range.
    """

    def __init__(
        self,
        model: ChatModel,
        *,
        temperature: float = 0.0,
        draws: int = 1,
        max_tokens: int = 400,
        contexts: Contexts | None = None,
        transcript: str | Path | None = None,
    ) -> None:
        for name, number, least in (("draws", draws, 1), ("max_tokens", max_tokens, 1)):
            if isinstance(number, bool) or not isinstance(number, int) or number < least:
                raise ConfigurationError(f"{name}={number!r}: expected a whole number of at least {least}.")
        if not 0 <= temperature <= 2:
            raise ConfigurationError(f"temperature={temperature!r}: expected a number from 0 to 2.")
        if draws > 1 and not temperature:
            raise ConfigurationError(f"draws={draws} at temperature 0 are the same answer: use temperature=0.7.")
        self.model, self.temperature, self.draws, self.max_tokens = model, temperature, draws, max_tokens
        self.contexts = contexts or Contexts()
        self.transcript = None if transcript is None else Path(transcript)
        self.report = ReasonerReport()
        self._known: dict[str, Asked] = {}
        self._thread = LoopThread()

    @property
    def name(self) -> str:
        """With everything that shapes its scores."""
        return (
            f"chat-{self.model.name}-v{VERSION}-t{self.temperature:g}-n{self.draws}-m{self.max_tokens}"
            f"-far{self.contexts.far_km:g}"
        )

    def score(self, table: pd.DataFrame, library: PolicyLibrary, strategy: Strategy) -> Floats:
        """Logits of an order, for each row and policy; float64 [n, K].

        Raises:
            ChatError: The server or the way to it failed, after the client's retries. What was answered is kept.
            ContextLengthExceeded: A question is too long for the model.
        """
        cells, questions = self._questions(table, library, strategy)
        found = self._thread.run(self._ask_all(list(cells), questions, library, strategy))
        shares = np.clip([asked.share for asked in found], _EDGE, 1 - _EDGE)
        anchors = np.clip([policy.anchor for policy in library.policies], _EDGE, 1 - _EDGE)
        return cells.scatter(_logit(shares), _logit(anchors))

    def perturbed(self, rng: np.random.Generator) -> None:
        """None: there is no telling what a model might have said instead."""
        return None

    def estimate(
        self, table: pd.DataFrame, library: PolicyLibrary, strategies: Sequence[Strategy] = (LOGGED,)
    ) -> Estimate:
        """What asking about strategies would take at most, repairs left out, without asking.

        Args:
            table: A log's rows.
            library: The policies.
            strategies: What is asked about.
        """
        requests = []
        for strategy in strategies:
            for messages in self._questions(table, library, strategy)[1]:
                requests += [self._request(messages, draw) for draw in range(self.draws)]
        of_client = getattr(self.model, "estimate", None)
        found: Estimate = of_client(requests) if of_client else estimate_requests(requests, None)
        return found

    def close(self) -> None:
        """End the thread in which the model is called; it begins anew when something is asked after that."""
        self._thread.close()

    def __getstate__(self) -> dict[str, Any]:
        """What another process needs; what was answered stays with the client's cache."""
        return {**self.__dict__, "_known": {}, "report": ReasonerReport()}

    # Asking

    def _questions(
        self, table: pd.DataFrame, library: PolicyLibrary, strategy: Strategy
    ) -> tuple[Cells, list[tuple[Message, ...]]]:
        cells = Cells(table, library.membership(table), self.contexts)
        pages = Pages(table, strategy, cells)
        return cells, [cell_messages(cell, library.policies[cell.policy], pages, self.contexts) for cell in cells]

    async def _ask_all(
        self,
        cells: Sequence[Cell],
        questions: Sequence[tuple[Message, ...]],
        library: PolicyLibrary,
        strategy: Strategy,
    ) -> list[Asked]:
        """Ask about every cell that is not known yet, many at once; a failure ends it, and what is known stays."""
        slots = asyncio.Semaphore(_AT_ONCE)

        async def one(cell: Cell, messages: tuple[Message, ...]) -> Asked:
            policy = library.policies[cell.policy]
            key = json.dumps([messages, policy.anchor], sort_keys=True)
            if key not in self._known:
                async with slots:
                    self._known[key] = await self._ask(messages, policy)
                self._write(cell, policy, strategy, messages, self._known[key])
            return self._known[key]

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(*pair)) for pair in zip(cells, questions, strict=True)]
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return [task.result() for task in tasks]

    async def _ask(self, messages: tuple[Message, ...], policy: Policy) -> Asked:
        """All draws of one question."""
        self.report.cells += 1
        said: list[str] = []
        faults: list[str] = []
        used: list[Answer] = []
        for draw in range(self.draws):
            answer = await self._draw(messages, policy, draw, said, faults)
            if answer is not None:
                used.append(answer)
        if not used:
            self.report.fallbacks[faults[-1].split(":")[0].split("=")[0]] += 1
        share = median(answer.share_order for answer in used) if used else policy.anchor
        return Asked(share, tuple(said), tuple(faults), tuple(used))

    async def _draw(
        self, messages: tuple[Message, ...], policy: Policy, draw: int, said: list[str], faults: list[str]
    ) -> Answer | None:
        """One answer, asked for once more where it cannot be used; None where that does not help."""
        for attempt in range(2):
            self.report.calls += 1
            try:
                reply = await self.model.complete(self._request(messages, draw))
            except ContentRefused:
                self.report.attempts += 1
                faults.append("refused")
                return None
            except EmptyReply as error:
                # The client has asked more than once, and the model had nothing to say each time.
                self.report.attempts += error.attempts
                faults.append("empty")
                return None
            self._count(reply)
            said.append(reply.text)
            try:
                return read_answer(reply.text, round(policy.anchor, 3))
            except AnswerFault as fault:
                faults.append(str(fault))
            if not attempt:
                self.report.repairs += 1
                again = {"role": "user", "content": REPAIR.format(fault=faults[-1])}
                messages = (*messages, {"role": "assistant", "content": reply.text}, again)
        return None

    def _request(self, messages: tuple[Message, ...], draw: int) -> ChatRequest:
        sample = str(draw) if draw else ""
        return ChatRequest(messages, temperature=self.temperature, max_tokens=self.max_tokens, sample=sample)

    def _count(self, reply: ChatReply) -> None:
        self.report.cached += reply.cached
        if reply.cached:
            return
        self.report.attempts += 1 + reply.retries
        self.report.prompt_tokens += reply.prompt_tokens or 0
        self.report.completion_tokens += reply.completion_tokens or 0
        self.report.cost += reply.cost or 0.0
        self.report.unpriced += reply.cost is None

    def _write(
        self, cell: Cell, policy: Policy, strategy: Strategy, messages: tuple[Message, ...], asked: Asked
    ) -> None:
        """Add one line to the transcript."""
        if self.transcript is None:
            return
        line = {
            "merchant": cell.merchant,
            "context": cell.context,
            "policy": policy.name,
            "strategy": strategy.name,
            "members": cell.members,
            "messages": [dict(message) for message in messages],
            "said": list(asked.said),
            "faults": list(asked.faults),
            "share_order": asked.share,
            "fallback": not asked.used,
        }
        self.transcript.parent.mkdir(parents=True, exist_ok=True)
        # Unbuffered: a line is one write, which those of other processes do not cut.
        with self.transcript.open("ab", buffering=0) as file:
            file.write((json.dumps(line, ensure_ascii=False) + "\n").encode("utf-8", "replace"))


def _logit(shares: Floats) -> Floats:
    logits: Floats = np.log(shares / (1 - shares))
    return logits
