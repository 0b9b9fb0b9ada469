"""Chat models for tests of customers: scripted ones, and steps of a server that samples as it likes; and calls."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import numpy as np
from aiohttp import web
from fault_server import completion

from fogline.core.chat.messages import ChatPiece, ChatReply, ChatRequest
from fogline.simulators.customers.acts import SELLER_ACTS
from fogline.simulators.customers.chat_side import Voice
from fogline.simulators.customers.customer import Customer, Reply
from fogline.simulators.customers.scenarios import scenario_of
from fogline.simulators.customers.similarity import prepare
from fogline.simulators.customers.speech import Heard, Utterance
from fogline.simulators.customers.worded import WordedCustomer, worded_customer

Answer = Callable[[ChatRequest], "str | ChatReply | Exception"]


class ScriptedModel:
    """Answers with what a function of the request gives, or with a list's items, the last one for ever.

    Attributes:
        requests: All that was asked, in order.
    """

    name = "scripted"

    def __init__(self, answers: Answer | Iterable[str | ChatReply | Exception], delay_s: float = 0.0) -> None:
        if not callable(answers):
            script = list(answers)
            answers = lambda _: script.pop(0) if len(script) > 1 else script[0]  # noqa: E731
        self._answers = answers
        self._delay_s = delay_s
        self.requests: list[ChatRequest] = []

    async def complete(self, request: ChatRequest) -> ChatReply:
        self.requests.append(request)
        await asyncio.sleep(self._delay_s)
        answer = self._answers(request)
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, ChatReply):
            return answer
        return ChatReply(answer, finish_reason="stop", prompt_tokens=10, completion_tokens=2, cost=0.5)

    def stream(self, request: ChatRequest) -> AsyncIterator[ChatPiece]:
        raise AssertionError("customers do not stream")


def sampler(*, heed_temperature: bool = True, heed_seed: bool = True, always: str | None = None) -> Any:
    """A server's step that samples one of a thousand words: properly, or deaf to the temperature or the seed."""
    deaf = random.Random(7)

    async def step(_: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        temperature = float(body.get("temperature", 1.0)) if heed_temperature else 1.0
        draw = random.Random(body["seed"]) if heed_seed and "seed" in body else deaf
        word = always or ("word" if temperature == 0 else f"word {draw.randrange(1000)}")
        return web.json_response(completion(word))

    return step


def heard(
    text: str, act: str = "pitch", *, turn: int = 0, overlap: float = 0.0, acts: tuple[str, ...] = (), **known: Any
) -> Heard:
    """A seller's turn whose reading is given by hand."""
    whole = prepare(text)
    utterance = Utterance(text, (whole,), whole, len(text.split()), act, acts or (act,), **known)
    return Heard(utterance, overlap, turn, utterance.robotic)


TASK = "home-internet/0003"
FINE = "Well, let me think about that for a moment."


def by_seed(request: ChatRequest) -> str:
    """What a server that honours seeds says."""
    return f"Number {request.seed} is what I think."


def customer(model: Any, seed: int = 0, task: str = TASK, **options: Any) -> WordedCustomer:
    voice = model if isinstance(model, Voice) else Voice(model, check=False, **options)
    return worded_customer(scenario_of(task), np.random.default_rng(seed), model=voice)


def seller(seed: int, turns: int = 12) -> list[Heard]:
    """Turns of all kinds, the steps of the operation included."""
    rng = np.random.default_rng(seed)
    acts = [SELLER_ACTS[index] for index in rng.integers(len(SELLER_ACTS) - 1, size=turns)]
    return [
        heard(f"turn {turn} of the seller", act, turn=turn, step=turn % 3 if act == "guide_step" else -1)
        for turn, act in enumerate(acts)
    ]


def talk(one: Customer, turns: list[Heard]) -> list[Reply]:
    replies = [one.open()]
    for turn in turns:
        if replies[-1].status != "continue":
            break
        replies.append(one.hear(turn))
    return replies
