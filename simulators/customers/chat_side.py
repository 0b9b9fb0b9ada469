"""What customers with a chat model behind them share: pinned sampling, one event loop, faults that are counted."""

from __future__ import annotations

import asyncio
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NoReturn, TypeVar

import numpy as np

from fogline.core.chat.errors import ChatError, ContentRefused, ContextLengthExceeded, MalformedReply, excerpt
from fogline.core.chat.loop_thread import LoopThread
from fogline.core.chat.messages import ChatModel, ChatReply, ChatRequest, Message
from fogline.core.episode import Usage
from fogline.core.errors import ConfigurationError
from fogline.simulators.customers.customer import Reply, SimulatorFault
from fogline.simulators.customers.inversion import inverted
from fogline.simulators.customers.sampling import SamplingReport, check_sampling
from fogline.simulators.customers.speech import Heard

T = TypeVar("T")

LONGEST_HEARD = 1200
"""Characters of a seller's turn that a model is shown; the middle of a longer one is left out."""

_REASONING = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL)
_CUSTOMER_LABEL = re.compile(r"^\s*(?:the )?customer\s*:\s*", re.IGNORECASE)
_SENTENCE_END = re.compile(r"[.!?…][\"'”’)]*(?=\s|$)")
_QUOTES = {'"': '"', "“": "”", "'": "'", "‘": "’"}
_RUN = 8
"""Words in a row that nobody says by chance."""


class ReplyFault(Exception):
    """A reply that the customer cannot have said; asked for again with another seed.

    Attributes:
        kind: Which fault, as it is counted.
        detail: What was wrong, free of secrets.
    """

    def __init__(self, kind: str, detail: str = "") -> None:
        super().__init__(f"{kind}: {detail}" if detail else kind)
        self.kind = kind
        self.detail = detail


class Voice:
    """A chat model as customers use it; one for all the customers of an environment.

    Model and sampling arguments are pinned here and sent with every request. Everything runs in one event loop of
    its own, whoever calls: the model's connections are opened once.

    Args:
        model: Who answers.
        temperature: Sampling temperature. At 0 a faulty reply is asked for again in vain.
        top_p: Nucleus mass; None leaves the server's default.
        max_tokens: Longest reply in tokens.
        max_faults: Faulty replies in one turn that are asked for again; one more is a :class:`SimulatorFault`.
        check: Whether to make sure, before the first dialogue, that the server honours the temperature.
        extra: Further body fields of each request.

    Attributes:
        name: The model's name.
        temperature: Sampling temperature.
        sampling: What the check found; None before it.

    Raises:
        ConfigurationError: For an option out of its range.
    """

    def __init__(
        self,
        model: ChatModel,
        *,
        temperature: float = 0.7,
        top_p: float | None = None,
        max_tokens: int = 160,
        max_faults: int = 3,
        check: bool = True,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        if not 0 <= temperature <= 2 or max_tokens < 1 or max_faults < 0 or not (top_p is None or 0 < top_p <= 1):
            raise ConfigurationError(
                f"temperature={temperature}, top_p={top_p}, max_tokens={max_tokens}, max_faults={max_faults}: expected "
                "0 to 2, more than 0 up to 1, at least 1 and at least 0."
            )
        self.name = model.name
        self.temperature = temperature
        self.max_faults = max_faults
        self.sampling: SamplingReport | None = None
        self._model = model
        self._top_p = top_p
        self._max_tokens = max_tokens
        self._check = check
        self._extra = dict(extra or {})
        self._thread = LoopThread()
        self._checking: asyncio.Task[SamplingReport] | None = None

    async def ready(self) -> None:
        """Check the server's sampling, once.

        Raises:
            SamplingIgnored: The server does not honour the temperature.
            ChatError: The server or the way to it failed.
        """
        if not self._check or self.sampling is not None:
            return
        loop, checking = asyncio.get_running_loop(), self._checking
        if checking is None or checking.done() or checking.get_loop() is not loop:
            checking = self._checking = loop.create_task(check_sampling(self._model))
        # Shielded: who gives up waiting does not take the answer from the others.
        self.sampling = await asyncio.shield(checking)

    async def answer(self, messages: Sequence[Message], seed: int) -> ChatReply:
        """Ask the model."""
        request = ChatRequest(
            tuple(messages),
            temperature=self.temperature,
            top_p=self._top_p,
            max_tokens=self._max_tokens,
            seed=seed,
            extra=self._extra,
        )
        return await self._model.complete(request)

    def __getstate__(self) -> dict[str, Any]:
        """State for another process: the check under way stays here."""
        return {**self.__dict__, "_checking": None}

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Wait for ``coroutine`` in the voice's loop, from any thread, with or without a running loop."""
        return self._thread.run(coroutine)

    async def await_(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Await ``coroutine`` in the voice's loop."""
        return await self._thread.await_(coroutine)

    def close(self) -> None:
        """Close the connections; the next request opens new ones."""
        self._thread.close()


def voice_of(model: ChatModel | Voice, options: Mapping[str, Any]) -> Voice:
    """Return a voice as it is, or make one of a model.

    Args:
        model: Which.
        options: Keywords of :class:`Voice` for a model.

    Raises:
        ConfigurationError: For options beside a voice, which has its own.
    """
    if not isinstance(model, Voice):
        return Voice(model, **options)
    if options:
        raise ConfigurationError(
            f"options {sorted(options)} beside a Voice, which has its own: give them where the Voice is made."
        )
    return model


class Line:
    """One customer's line to the model: seeds, faults and counts of one call.

    Args:
        voice: The model.
        rng: Decides the seeds: ``max_faults + 1`` are drawn each turn, so that a turn's seeds do not depend on the
            faults of earlier ones.
    """

    def __init__(self, voice: Voice, rng: np.random.Generator) -> None:
        self._voice = voice
        self._rng = rng
        self._faults: Counter[str] = Counter()
        self._usage = Usage()

    @property
    def faults(self) -> Mapping[str, int]:
        """Faulty replies so far, by kind."""
        return MappingProxyType(dict(sorted(self._faults.items())))

    def usage(self) -> Usage:
        """Tokens and calls so far; a faulty reply that was asked for again is a retry."""
        return self._usage

    async def say(self, messages: Sequence[Message], read: Callable[[ChatReply], T]) -> T:
        """Ask until a reply can be read.

        Args:
            messages: The conversation.
            read: Reads a reply, or raises :class:`ReplyFault`.

        Raises:
            SimulatorFault: More than ``max_faults`` replies of this turn were faulty, or the call is too long.
            SamplingIgnored: The server does not honour the temperature.
            ChatError: The server or the way to it failed.
        """
        await self._voice.ready()
        seeds = self._rng.integers(2**31, size=self._voice.max_faults + 1).tolist()
        last = ReplyFault("none")
        for attempt, seed in enumerate(seeds):
            try:
                return read(await self._ask(messages, seed, repeated=attempt > 0))
            except ReplyFault as fault:
                self._faults[fault.kind] += 1
                last = fault
        self._give_up(len(seeds), last)

    async def _ask(self, messages: Sequence[Message], seed: int, repeated: bool) -> ChatReply:
        retries = int(repeated)
        try:
            reply = await self._voice.answer(messages, seed)
        except ContextLengthExceeded as error:
            self._count(None, retries)
            raise SimulatorFault(
                f"the customer's side of the call no longer fits {self._voice.name}: {error}"
            ) from error
        except ContentRefused as error:
            self._count(None, retries)
            raise ReplyFault("declined", str(error)) from error
        except MalformedReply as error:
            # An empty answer is one too; with another seed the model may find words.
            self._count(None, retries + error.attempts - 1)
            raise ReplyFault("unreadable", str(error)) from error
        except ChatError as error:
            self._count(None, retries + error.attempts - 1)
            raise
        self._count(reply, retries + (0 if reply.cached else reply.retries))
        return reply

    def _count(self, reply: ChatReply | None, retries: int) -> None:
        """Add one call; what came from the cache cost nothing."""
        used, paid = self._usage, reply if reply is not None and not reply.cached else None
        self._usage = Usage(
            model_calls=used.model_calls + 1,
            prompt_tokens=used.prompt_tokens + ((paid and paid.prompt_tokens) or 0),
            completion_tokens=used.completion_tokens + ((paid and paid.completion_tokens) or 0),
            cost=used.cost + ((paid and paid.cost) or 0.0),
            retries=used.retries + retries,
        )

    def _give_up(self, replies: int, fault: ReplyFault) -> NoReturn:
        detail = f" ({excerpt(fault.detail)})" if fault.detail else ""
        raise SimulatorFault(
            f"{self._voice.name} gave {replies} replies in one turn that no customer gives, the last one "
            f"{fault.kind}{detail}: raise max_faults={self._voice.max_faults}, or choose a model that keeps its part."
        )


def heard_text(text: str) -> str:
    """A seller's turn as a model is shown it: on one line, not too long, and unable to pose as tags."""
    line = " ".join(text.split()).replace("<", "(").replace(">", ")")
    if len(line) <= LONGEST_HEARD:
        return line
    half = LONGEST_HEARD // 2
    return f"{line[:half]} ... {line[-half:]}"


def spoken(text: str, *, cut: bool, most_words: int, company: str, prompt: Sequence[Message], heard: str) -> str:
    """What a customer says, made of what a model wrote.

    Reasoning, quotes around the whole and a leading ``Customer:`` are taken off; what is longer than ``most_words``
    ends at the last sentence that fits.

    Args:
        text: What the model wrote.
        cut: Whether the server cut it at the token limit.
        most_words: Longest reply.
        company: Who calls.
        prompt: What the model was told; its words are nobody's reply.
        heard: The seller's turn; it is nobody's reply either.

    Raises:
        ReplyFault: ``empty``, ``role_inversion``, ``echo`` or ``too_long``.
    """
    line = _bare(_REASONING.sub(" ", text))
    if not any(letter.isalnum() for letter in line):
        raise ReplyFault("empty")
    # Before anything is cut off: a reply that goes on as the seller is faulty as a whole.
    if found := inverted(line, company):
        raise ReplyFault("role_inversion", found)
    line = " ".join(line.split())
    if _repeats(line, prompt, heard):
        raise ReplyFault("echo", line)
    return _whole_sentences(line, cut, most_words)


def _bare(text: str) -> str:
    line = _CUSTOMER_LABEL.sub("", text.strip()).strip()
    while len(line) > 1 and _QUOTES.get(line[0]) == line[-1] and line[0] not in line[1:-1]:
        line = line[1:-1].strip()
    return line


def _repeats(line: str, prompt: Sequence[Message], heard: str) -> bool:
    """Whether a reply says a stretch of its instructions, or nothing but what the seller said."""
    said = _words(line)
    runs = {tuple(said[start : start + _RUN]) for start in range(len(said) - _RUN + 1)}
    for message in prompt:
        told = _words(str(message.get("content") or ""))
        if any(tuple(told[start : start + _RUN]) in runs for start in range(len(told) - _RUN + 1)):
            return True
    return len(said) >= _RUN // 2 and f" {' '.join(said)} " in f" {' '.join(_words(heard))} "


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


def _whole_sentences(line: str, cut: bool, most_words: int) -> str:
    if not cut and len(line.split()) <= most_words:
        return line
    for end in reversed([match.end() for match in _SENTENCE_END.finditer(line)]):
        if len(line[:end].split()) <= most_words:
            return line[:end]
    raise ReplyFault("too_long", line)


class ChatCustomer(ABC):
    """A customer whose words come from a chat model: sync and async faces of the same two answers.

    Args:
        voice: The model.
        rng: Decides the sampling seeds of the call.
    """

    def __init__(self, voice: Voice, rng: np.random.Generator) -> None:
        self._voice = voice
        self._line = Line(voice, rng)

    @property
    def faults(self) -> Mapping[str, int]:
        """Faulty replies that were asked for again, by kind. They say nothing of the mind."""
        return self._line.faults

    def usage(self) -> Usage:
        """Tokens and calls so far."""
        return self._line.usage()

    def open(self) -> Reply:
        """Pick up the phone. Works with and without a running event loop."""
        return self._voice.run(self._open())

    def hear(self, heard: Heard) -> Reply:
        """Answer a turn of the seller. Works with and without a running event loop."""
        return self._voice.run(self._hear(heard))

    async def open_async(self) -> Reply:
        """As :meth:`open`, without holding up the caller's loop."""
        return await self._voice.await_(self._open())

    async def hear_async(self, heard: Heard) -> Reply:
        """As :meth:`hear`, without holding up the caller's loop."""
        return await self._voice.await_(self._hear(heard))

    @abstractmethod
    async def _open(self) -> Reply: ...

    @abstractmethod
    async def _hear(self, heard: Heard) -> Reply: ...
