"""Chat models that answer about cells, for tests: like a rule, turned around, or not at all as asked."""

from __future__ import annotations

import json
import math
import re
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fogline.core.chat import ChatPiece, ChatReply, ChatRequest
from fogline.core.chat.loop_thread import LoopThread

sys.path.insert(0, str(Path(__file__).parent.parent / "core"))

Answer = Callable[["Question"], str]


class Question:
    """What a request asks, read back from its words.

    Args:
        request: Of a :class:`~fogline.simulators.merchants.chat_reasoner.ChatReasoner`.
    """

    def __init__(self, request: ChatRequest) -> None:
        self.rules, self.text = (str(message["content"]) for message in request.messages[:2])
        self.repair = len(request.messages) > 2
        self.anchor = float(re.search(r"this, ([0-9.]+) ordered", self.text)[1])  # type: ignore[index]
        page = self.text.split("PAGE\n")[1].split("\n\n")[0]
        self.page = dict(re.findall(r"- (\w+): (\S+) \(", page))

    def number(self, name: str) -> float:
        """What the page shows of a column."""
        return float(self.page[name])


def answer_json(anchor: float, share: float, **other: Any) -> str:
    """A well-formed answer that some share of a group orders."""
    share = min(max(share, 0.0), 1.0)
    delta = share - anchor
    document = {
        "decisive_attributes": ["discount"],
        "direction": (delta > 0) - (delta < 0),
        "share_order": round(share, 4),
        "share_leave": round(1 - share, 4),
        "delta_vs_anchor": round(delta, 4),
        "unknowns": [],
        "confidence": 0.6,
    }
    return json.dumps({**document, **other})


def sensible(question: Question, sign: float = 1.0) -> str:
    """Discounts, badges and stars bring orders, a dear page loses them; ``sign`` -1 turns that around."""
    judged = (
        5.0 * min(question.number("discount"), 0.35)
        - 0.7 * math.log(question.number("price_level"))
        + 1.2 * (question.number("rating") - 4.3)
        + 0.5 * (question.page.get("badges", "none") != "none")
    )
    logit = math.log(question.anchor / (1 - question.anchor)) + sign * judged
    return answer_json(question.anchor, 1 / (1 + math.exp(-logit)))


class ScriptedReasoner:
    """A chat model that answers by a function of the question, and keeps its requests.

    Args:
        answer: The function.
        name: Of the model.
    """

    def __init__(self, answer: Answer = sensible, name: str = "scripted") -> None:
        self.answer, self.name = answer, name
        self.requests: list[ChatRequest] = []

    async def complete(self, request: ChatRequest) -> ChatReply:
        self.requests.append(request)
        text = self.answer(Question(request))
        return ChatReply(text, prompt_tokens=100, completion_tokens=40)

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatPiece]:
        yield ChatPiece("", reply=await self.complete(request))


@contextmanager
def served(answer: Answer = sensible) -> Iterator[tuple[str, Counter[str]]]:
    """A chat server on loopback that answers about cells; yields its address and the count of its ``requests``."""
    counted: Counter[str] = Counter()

    async def step(_: Any, body: dict[str, Any]) -> Any:
        from aiohttp import web
        from fault_server import completion

        counted["requests"] += 1
        question = Question(ChatRequest(tuple(body["messages"])))
        return web.json_response(completion(answer(question)))

    with serving(step) as url:
        yield url, counted


@contextmanager
def serving(step: Any) -> Iterator[str]:
    """A server on loopback that answers every request by one step; yields its address."""
    from fault_server import FaultServer

    server, thread = FaultServer(otherwise=step), LoopThread()
    thread.run(server.__aenter__())
    try:
        yield server.url
    finally:
        thread.run(server.__aexit__(None, None, None))
        thread.close()
