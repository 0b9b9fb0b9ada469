"""Whether a server does what a request's sampling arguments say, asked before the first dialogue.

Source: DuCA specification, section 13, defect 7: a temperature that is dropped on the way makes another customer.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from fogline.core.chat.errors import MalformedReply, excerpt
from fogline.core.chat.messages import ChatModel, ChatRequest, Message
from fogline.simulators.customers.customer import SamplingIgnored

_ASK: tuple[Message, ...] = (
    {"role": "system", "content": "You are a customer on the phone. Make something up, in a few words."},
    {"role": "user", "content": "Tell me about something that happened to you this week."},
)
HOT = 1.5
"""Temperature at which draws must differ; every server known takes values up to 2."""


@dataclass(frozen=True, slots=True)
class SamplingReport:
    """How a server samples.

    Attributes:
        greedy: What it answered at temperature 0, twice.
        distinct: How many different texts the seeds gave at the high temperature.
        draws: How many seeds those were.
        seed_honoured: Whether the same seed gave the same text again: only then does a transcript repeat without a
            cache. Many servers take a seed and ignore it.
    """

    greedy: str
    distinct: int
    draws: int
    seed_honoured: bool


async def check_sampling(
    model: ChatModel, *, temperature: float = HOT, draws: int = 4, max_tokens: int = 16
) -> SamplingReport:
    """Ask a server the same twice at temperature 0, and with several seeds at a high one.

    Answers may come from the model's cache: they say what the server did when it was asked.

    Args:
        model: Who is asked; ``draws + 3`` short requests.
        temperature: The high one.
        draws: Different seeds at the high temperature, at least 2.
        max_tokens: Longest answer.

    Raises:
        SamplingIgnored: The two texts at temperature 0 differ, or all seeds gave one text at the high temperature.
        ChatError: The server or the way to it failed.
    """
    first, again = [await _ask(model, 0.0, None, f"check {turn}", max_tokens) for turn in (1, 2)]
    if first != again:
        raise SamplingIgnored(
            f"{model.name} was sent the same request twice with temperature=0.0 and answered {excerpt(first)!r}, then "
            f"{excerpt(again)!r}: expected the same text. Its server ignores the temperature; choose one that does "
            "not, or pass check=False to do without knowing who the customers are."
        )
    seeds = [*range(1, draws + 1), 1]
    names = [*(f"check {seed}" for seed in seeds[:-1]), "check again"]
    asked = (_drawn(model, temperature, seed, name, max_tokens) for seed, name in zip(seeds, names, strict=True))
    *texts, repeated = await asyncio.gather(*asked)
    distinct = len(set(texts))
    if distinct == 1:
        raise SamplingIgnored(
            f"{model.name} was sent one request with temperature={temperature} and seeds {seeds[:-1]} and always "
            f"answered {excerpt(texts[0])!r}: expected different texts. Its server ignores the temperature; choose "
            "one that does not, or pass check=False to do without knowing who the customers are."
        )
    return SamplingReport(first, distinct, draws, texts[0] == repeated)


async def _ask(model: ChatModel, temperature: float, seed: int | None, sample: str, max_tokens: int) -> str:
    request = ChatRequest(_ASK, temperature=temperature, max_tokens=max_tokens, seed=seed, sample=sample)
    return (await model.complete(request)).text


async def _drawn(model: ChatModel, temperature: float, seed: int, sample: str, max_tokens: int) -> str:
    """A draw that may have ended before its first word; a server that only talks nonsense failed before."""
    try:
        return await _ask(model, temperature, seed, sample, max_tokens)
    except MalformedReply:
        return ""
