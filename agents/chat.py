"""An agent that plays any text environment through a chat model."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from fogline.agents.agent import Decision, SeatView
from fogline.core.chat.errors import ContextLengthExceeded, MalformedReply
from fogline.core.chat.messages import ChatModel, ChatReply, ChatRequest, Message, ToolCall
from fogline.core.chat.prices import approximate_prompt_tokens
from fogline.core.episode import Usage
from fogline.core.errors import ConfigurationError, check_choice
from fogline.core.jsonable import to_jsonable

_REASONING = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL)
_HISTORY = "chat.history"
_ANSWERS = "chat.answers"
_TOKENS = "chat.tokens"


class ChatAgent:
    """Plays with a chat model: rules are the system prompt, observations the user's side, replies actions.

    The conversation lives in the view's memory and only grows. A slow call holds up nobody else's episode.

    Args:
        model: Who answers.
        mode: ``"text"``: a reply's text is the action. ``"tools"``: the first tool call of a reply is turned
            into an action by the environment and the next observation answers it (further calls of the reply
            are dropped from the conversation, since nothing ran them); a reply without a call acts as text.
        temperature: Sampling temperature; None leaves the server's default.
        top_p: Nucleus mass; None leaves the server's default.
        max_tokens: Longest reply in tokens; None leaves the server's default.
        votes: Replies drawn for each turn. The action most of them agree on after ``normalise`` is played,
            in the earliest reply that has it; of several equally frequent ones, the earliest.
        context_limit: Most tokens of conversation and reply together. The server's own counts are used where
            it gives any, else an approximation.
        seeds: Whether to send a sampling seed, drawn from the seat's generator, so that the episodes of a
            group differ and repeat. At ``temperature=0`` none is sent. Cached draws are kept apart anyway.
        reasoning: What to do with reasoning that the server returns apart from the text: ``"inline"`` puts it
            back before the text between ``<think>`` tags, as the model wrote it; ``"drop"`` leaves it out.
        streaming: Whether to ask for streamed answers, for servers that drop long silent connections.
        normalise: Form in which the actions of several votes are compared; by default without reasoning and
            with white space run together.
        render: Turns an observation into text; by default as the environment does, else text stays and anything else
            becomes JSON.
        extra: Further body fields of each request.
        name: Shown in reports; by default made from the model's name.

    Raises:
        ConfigurationError: For options that contradict each other.
    """

    batch_size: int | None = 1

    def __init__(
        self,
        model: ChatModel,
        *,
        mode: Literal["text", "tools"] = "text",
        temperature: float | None = 0.0,
        top_p: float | None = None,
        max_tokens: int | None = None,
        votes: int = 1,
        context_limit: int | None = None,
        seeds: bool = True,
        reasoning: Literal["inline", "drop"] = "inline",
        streaming: bool = False,
        normalise: Callable[[str], str] | None = None,
        render: Callable[[Any], str] | None = None,
        extra: Mapping[str, Any] | None = None,
        name: str | None = None,
    ) -> None:
        check_choice("mode", mode, ("text", "tools"))
        check_choice("reasoning", reasoning, ("inline", "drop"))
        if votes < 1 or (votes > 1 and temperature == 0):
            raise ConfigurationError(
                f"votes={votes} with temperature={temperature}: expected at least 1, and for several "
                "votes a temperature above 0, lest they all be equal."
            )
        self.name = name or f"chat:{model.name}"
        self._model = model
        self._mode = mode
        self._temperature = temperature
        self._top_p = top_p
        self._max_tokens = max_tokens
        self._votes = votes
        self._context_limit = context_limit
        self._seeds = seeds
        self._reasoning = reasoning
        self._streaming = streaming
        self._normalise = normalise or normalised
        self._render = render
        self._extra = dict(extra or {})

    async def act(self, views: Sequence[SeatView]) -> list[Decision]:
        """Ask the model what each view's seat does.

        Raises:
            ContextLengthExceeded: The conversation no longer fits.
            ContentRefused: The model declined to answer.
            ChatError: The server or the way to it failed for good.
        """
        return list(await asyncio.gather(*(self._decide(view) for view in views)))

    async def _decide(self, view: SeatView) -> Decision:
        history = self._observe(view)
        tools = self._tools(view)
        self._check_context(view, history, tools)
        requests = [self._request(view.rng, history, tools) for _ in range(self._votes)]
        outcomes = await asyncio.gather(*map(self._ask, requests), return_exceptions=True)
        replies = [outcome for outcome in outcomes if isinstance(outcome, ChatReply)]
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        texts = [self._text_of(reply) for reply in replies]
        chosen = majority([self._normalise(text) for text in texts])
        reply = replies[chosen]
        call = self._call_of(reply)
        self._remember(view, reply, call)
        return Decision(self._action(view, texts[chosen], call), usage=_usage(replies))

    def _observe(self, view: SeatView) -> list[Message]:
        """Add what the seat sees now to its conversation, and return it."""
        memory = view.memory
        if _HISTORY not in memory:
            rules = view.system_prompt
            memory[_HISTORY] = [{"role": "system", "content": rules}] if rules else []
        history: list[Message] = memory[_HISTORY]
        seen = (self._render or view.render or rendered)(view.observation)
        answers = memory.pop(_ANSWERS, None)
        if answers is None:
            history.append({"role": "user", "content": seen})
        else:
            history.append({"role": "tool", "tool_call_id": answers, "content": seen})
        return history

    def _tools(self, view: SeatView) -> tuple[Mapping[str, Any], ...]:
        if self._mode == "text":
            return ()
        if not view.tools or view.tool_action is None:
            raise ConfigurationError(f"mode='tools', but {view.env_id} offers no tools: use mode='text'.")
        return tuple(tool if "function" in tool else {"type": "function", "function": tool} for tool in view.tools)

    def _check_context(self, view: SeatView, history: Sequence[Message], tools: Sequence[Mapping[str, Any]]) -> None:
        if self._context_limit is None:
            return
        counted: tuple[int, int] | None = view.memory.get(_TOKENS)
        if counted is None:
            tokens = approximate_prompt_tokens(history, tools)
        else:
            tokens = counted[0] + approximate_prompt_tokens(history[counted[1] :])
        if tokens + (self._max_tokens or 0) > self._context_limit:
            raise ContextLengthExceeded(
                f"the conversation has about {tokens} tokens and max_tokens={self._max_tokens}: more than "
                f"context_limit={self._context_limit}. Raise it if the model allows, or play fewer turns."
            )

    def _request(
        self, rng: np.random.Generator, history: Sequence[Message], tools: tuple[Mapping[str, Any], ...]
    ) -> ChatRequest:
        draw = None if self._temperature == 0 else int(rng.integers(2**31))
        return ChatRequest(
            messages=tuple(history),
            tools=tools,
            temperature=self._temperature,
            top_p=self._top_p,
            max_tokens=self._max_tokens,
            seed=draw if self._seeds else None,
            sample="" if draw is None else str(draw),
            extra=self._extra,
        )

    async def _ask(self, request: ChatRequest) -> ChatReply:
        if not self._streaming:
            return await self._model.complete(request)
        reply: ChatReply | None = None
        async for piece in self._model.stream(request):
            reply = piece.reply or reply
        if reply is None:
            raise MalformedReply(f"{self._model.name} ended a stream without a reply: the last piece carries it.")
        return reply

    def _call_of(self, reply: ChatReply) -> ToolCall | None:
        return reply.tool_calls[0] if self._mode == "tools" and reply.tool_calls else None

    def _text_of(self, reply: ChatReply) -> str:
        """The action as text: what votes are compared by, and what is played unless a tool was called."""
        call = self._call_of(reply)
        if call is not None:
            return written_call(call)
        if reply.reasoning and self._reasoning == "inline":
            return f"<think>\n{reply.reasoning.strip()}\n</think>\n\n{reply.text}"
        return reply.text

    def _action(self, view: SeatView, text: str, call: ToolCall | None) -> Any:
        # Arguments that are no JSON object are the model's mistake: the environment is shown what it wrote.
        if call is None or call.arguments is None or view.tool_action is None:
            return text
        return view.tool_action(call.name, call.arguments)

    def _remember(self, view: SeatView, reply: ChatReply, call: ToolCall | None) -> None:
        history: list[Message] = view.memory[_HISTORY]
        if call is None:
            history.append({"role": "assistant", "content": self._text_of(reply)})
        else:
            function = {"name": call.name, "arguments": call.raw}
            calls = [{"id": call.id, "type": "function", "function": function}]
            history.append({"role": "assistant", "content": reply.text or None, "tool_calls": calls})
            view.memory[_ANSWERS] = call.id
        if reply.prompt_tokens is not None and reply.completion_tokens is not None:
            view.memory[_TOKENS] = (reply.prompt_tokens + reply.completion_tokens, len(history))


def majority(keys: Sequence[str]) -> int:
    """Return the index of the first occurrence of the most frequent key; of several, the one seen first.

    Args:
        keys: Normalised actions in the order of their draws; at least one.
    """
    counts: dict[str, int] = {}
    for key in keys:
        counts[key] = counts.get(key, 0) + 1
    # max() and dict order both prefer what came first.
    return keys.index(max(counts, key=lambda key: counts[key]))


def normalised(action: str) -> str:
    """Return ``action`` without ``<think>`` reasoning and with each run of white space as one blank."""
    return " ".join(_REASONING.sub(" ", action).split())


def written_call(call: ToolCall) -> str:
    """Return a tool call as text: keys sorted, malformed arguments exactly as the model wrote them."""
    name = json.dumps(call.name, ensure_ascii=False)
    arguments = call.raw
    if call.arguments is not None:
        arguments = json.dumps(call.arguments, ensure_ascii=False, sort_keys=True)
    return f'<tool_call>{{"name": {name}, "arguments": {arguments}}}</tool_call>'


def rendered(observation: Any) -> str:
    """Return text as it is and anything else as JSON.

    Raises:
        ConfigurationError: For an array: a chat agent reads, it does not see.
    """
    if isinstance(observation, str):
        return observation
    parts = observation.values() if isinstance(observation, Mapping) else [observation]
    if any(isinstance(part, np.ndarray) and part.ndim > 1 for part in parts):
        raise ConfigurationError(
            "the observation holds an image or a table of numbers, which a chat agent cannot read: choose "
            "the environment's text observation, or pass render=…, a function from observation to text."
        )
    return json.dumps(to_jsonable(observation), ensure_ascii=False)


def _usage(replies: Sequence[ChatReply]) -> Usage:
    """Add up what the replies took; what came from the cache cost nothing."""
    paid = [reply for reply in replies if not reply.cached]
    return Usage(
        model_calls=len(replies),
        prompt_tokens=sum(reply.prompt_tokens or 0 for reply in paid),
        completion_tokens=sum(reply.completion_tokens or 0 for reply in paid),
        cost=sum(reply.cost or 0.0 for reply in paid),
        retries=sum(reply.retries for reply in paid),
    )
