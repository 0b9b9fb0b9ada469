"""What is said to a chat model and what it says back, independent of any server library."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from fogline.core.errors import ConfigurationError

Message = Mapping[str, Any]
"""A message in the OpenAI form: ``{"role": …, "content": …}``, or with ``tool_calls``, ``tool_call_id``."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool call as the model wrote it.

    Attributes:
        name: Name of the tool.
        arguments: Its arguments; None where ``raw`` is not a JSON object. That is the model's mistake and
            therefore data for the environment, not an error.
        id: The server's id of the call; the tool's answer refers to it.
        raw: The arguments as text, exactly as received.
    """

    name: str
    arguments: Mapping[str, Any] | None
    id: str
    raw: str


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """Everything that decides a reply, apart from the model and the server.

    Attributes:
        messages: The conversation, oldest first.
        tools: Tool schemas in the OpenAI form; empty for none.
        temperature: Sampling temperature; None leaves the server's default.
        top_p: Nucleus mass in (0, 1]; None leaves the server's default.
        max_tokens: Longest reply in tokens; None leaves the server's default.
        stop: Texts that end the reply.
        seed: Sampling seed, sent as it is; None sends none.
        sample: Which of several draws this is. Never sent: it only keeps draws apart in the cache.
        extra: Further body fields, e.g. ``{"chat_template_kwargs": {"enable_thinking": False}}``.
    """

    messages: tuple[Message, ...]
    tools: tuple[Mapping[str, Any], ...] = ()
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    sample: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse an empty conversation.

        Raises:
            ConfigurationError: If there is no message.
        """
        if not self.messages:
            raise ConfigurationError("messages=() asks a chat model nothing: expected at least one message.")


@dataclass(frozen=True, slots=True)
class ChatReply:
    """A complete answer.

    Attributes:
        text: What the model wrote, inline reasoning such as ``<think>…</think>`` included.
        tool_calls: Its tool calls, in order.
        reasoning: Reasoning that the server returned apart from the text.
        finish_reason: Why it stopped: ``"stop"``, ``"length"``, ``"tool_calls"``, …
        model: Model name as the server reports it.
        prompt_tokens: Tokens of the prompt; None where the server did not say.
        completion_tokens: Tokens of the answer; None where the server did not say.
        cost: Price of this call; 0 from the cache, None where price or usage is unknown.
        retries: Failed attempts before this one.
        cached: Whether it came from the disk cache.
        echo: A copy of the prompt that stood before the answer and was removed.
    """

    text: str
    tool_calls: tuple[ToolCall, ...] = ()
    reasoning: str = ""
    finish_reason: str = ""
    model: str = ""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cost: float | None = None
    retries: int = 0
    cached: bool = False
    echo: str = ""


@dataclass(frozen=True, slots=True)
class ChatPiece:
    """A part of a streamed answer.

    Attributes:
        text: New text, as the server sent it (an echo of the prompt is only removed from ``reply``).
        attempt: Counts from 0. When it rises, the stream was cut and started again as a whole: text of
            lower attempts is void.
        reply: The whole answer, on the last piece only.
    """

    text: str
    attempt: int = 0
    reply: ChatReply | None = None


@runtime_checkable
class ChatModel(Protocol):
    """Anything that answers chat requests.

    Attributes:
        name: Shown in reports and stored with episodes.
    """

    name: str

    async def complete(self, request: ChatRequest) -> ChatReply:
        """Answer a request.

        Raises:
            ChatError: The server or the way to it failed for good.
            ContextLengthExceeded: The conversation does not fit the model.
            ContentRefused: The model declined to answer.
        """
        ...

    def stream(self, request: ChatRequest) -> AsyncIterator[ChatPiece]:
        """Answer piece by piece; the last piece carries the whole reply. Raises as :meth:`complete`."""
        ...
