"""Read what OpenAI-compatible servers send: whole answers, streamed chunks, tool calls, token counts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from fogline.core.chat.errors import (
    ChatError,
    ContentRefused,
    EmptyReply,
    MalformedReply,
    ServerError,
    error_detail,
    excerpt,
    status_error,
)
from fogline.core.chat.messages import ChatReply, ChatRequest, ToolCall
from fogline.core.errors import AgentError

_REASONING_FIELDS = ("reasoning_content", "reasoning")
"""Names under which servers with a reasoning parser return what the model wrote between its think tags."""


def request_body(request: ChatRequest, model: str, max_tokens_field: str) -> dict[str, Any]:
    """Return the JSON body of a chat completion; fields that are None are left to the server."""
    body: dict[str, Any] = {"model": model, "messages": _sendable(request.messages)}
    optional = {
        "temperature": request.temperature,
        "top_p": request.top_p,
        max_tokens_field: request.max_tokens,
        "seed": request.seed,
        "tools": list(request.tools) or None,
        "stop": list(request.stop) or None,
    }
    body.update({name: value for name, value in optional.items() if value is not None})
    body.update(request.extra)
    return body


def _sendable(value: Any) -> Any:
    """Copy what a message holds, lone surrogates replaced: no server can be sent one, and data may hold any."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    if isinstance(value, Mapping):
        return {key: _sendable(item) for key, item in value.items()}
    return [_sendable(item) for item in value] if isinstance(value, (list, tuple)) else value


def decode(payload: bytes) -> dict[str, Any]:
    """Parse an answer's body.

    Raises:
        MalformedReply: It is not a JSON object (cut in the middle, an HTML page, …).
    """
    try:
        document = json.loads(payload)
    except ValueError as error:
        problem = f"{type(error).__name__} at byte {getattr(error, 'pos', '?')} of {len(payload)}"
    else:
        if isinstance(document, dict):
            return document
        problem = f"a JSON {type(document).__name__}"
    raise MalformedReply(f"the answer is not a JSON object ({problem}): expected a chat completion.")


def usage_of(document: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """Return ``(prompt tokens, completion tokens)``, each None where the server does not say."""
    usage = document.get("usage")
    if not isinstance(usage, Mapping):
        return None, None
    return _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))


def reported_error(document: Mapping[str, Any], server: str, key_source: str) -> ChatError | AgentError | None:
    """Return the error that a server put into an answer with status 200, or None."""
    error = document.get("error")
    if not error:
        return None
    status = error.get("code") if isinstance(error, Mapping) else None
    if isinstance(status, int) and 400 <= status < 600:
        return status_error(status, {}, document, server=server, key_source=key_source)
    code, message = error_detail(document)
    said = f"{server} reported an error inside its answer: {excerpt(message or code)}"
    known = status_error(400, {}, document, server=server, key_source=key_source)
    return known if isinstance(known, AgentError) else ServerError(said, status=200)


def parse_reply(document: Mapping[str, Any]) -> ChatReply:
    """Turn a chat completion into a :class:`ChatReply`.

    An empty text is an answer when the token limit cut it (``finish_reason="length"``) or when the server
    returned reasoning apart from it; otherwise nothing was said, which is an error.

    Raises:
        MalformedReply: A field is missing or of the wrong type.
        EmptyReply: There is nothing in the answer.
        ContentRefused: The model refused, or the content filter stopped the answer.
    """
    choices = document.get("choices")
    if not isinstance(choices, list) or not choices:
        _wrong("choices", choices, "a non-empty list")
    choice = choices[0]
    message = choice.get("message") if isinstance(choice, Mapping) else None
    if not isinstance(message, Mapping):
        _wrong("choices[0].message", message, "an object")
    finish = choice.get("finish_reason") or ""
    if message.get("refusal"):
        raise ContentRefused(f"the model refused: {excerpt(str(message['refusal']))}")
    if finish == "content_filter":
        raise ContentRefused("the content filter stopped the answer (finish_reason='content_filter').")
    text = _text(message.get("content"))
    reasoning = next((str(message[name]) for name in _REASONING_FIELDS if message.get(name)), "")
    calls = _tool_calls(message.get("tool_calls"))
    if not text and not calls and not reasoning and finish != "length":
        raise EmptyReply(
            f"the answer holds neither text nor tool calls (finish_reason={finish!r}): expected one of them."
        )
    prompt_tokens, completion_tokens = usage_of(document)
    return ChatReply(
        text=text,
        tool_calls=calls,
        reasoning=reasoning,
        finish_reason=str(finish),
        model=str(document.get("model") or ""),
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
    )


class StreamAssembler:
    """Adds up the chunks of a streamed answer until they make a whole chat completion.

    A stream is whole when a chunk named the reason for its end: not every server sends ``[DONE]``.
    """

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._reasoning: list[str] = []
        self._refusal: list[str] = []
        self._calls: dict[int, dict[str, str]] = {}
        self._finish: str | None = None
        self._model: Any = None
        self._usage: Any = None

    def feed(self, chunk: Mapping[str, Any]) -> str:
        """Take in one chunk and return the text that it adds.

        Raises:
            MalformedReply: The chunk has the wrong schema.
        """
        self._model = chunk.get("model") or self._model
        self._usage = chunk.get("usage") or self._usage
        choices = chunk.get("choices", [])
        if not isinstance(choices, list):
            _wrong("choices", choices, "a list")
        if not choices:
            return ""
        choice = choices[0]
        delta = choice.get("delta") if isinstance(choice, Mapping) else None
        if not isinstance(delta, Mapping):
            _wrong("choices[0].delta", delta, "an object")
        self._finish = choice.get("finish_reason") or self._finish
        text = _text(delta.get("content"))
        self._texts.append(text)
        self._reasoning.extend(str(delta[name]) for name in _REASONING_FIELDS if delta.get(name))
        if delta.get("refusal"):
            self._refusal.append(str(delta["refusal"]))
        self._feed_calls(delta.get("tool_calls") or [])
        return text

    def document(self) -> dict[str, Any]:
        """Return the chat completion that the chunks make.

        Raises:
            MalformedReply: The stream ended before the answer did.
        """
        if self._finish is None:
            raise MalformedReply("the stream ended without a finish_reason: the answer was cut.")
        calls = [
            {"id": call["id"], "function": {"name": call["name"], "arguments": call["arguments"]}}
            for _, call in sorted(self._calls.items())
        ]
        message = {
            "content": "".join(self._texts),
            "reasoning_content": "".join(self._reasoning),
            "refusal": "".join(self._refusal),
            "tool_calls": calls,
        }
        choice = {"message": message, "finish_reason": self._finish}
        return {"choices": [choice], "model": self._model, "usage": self._usage}

    def _feed_calls(self, fragments: Any) -> None:
        if not isinstance(fragments, list):
            _wrong("tool_calls", fragments, "a list")
        for position, fragment in enumerate(fragments):
            if not isinstance(fragment, Mapping):
                _wrong(f"tool_calls[{position}]", fragment, "an object")
            index = fragment.get("index")
            call = self._calls.setdefault(
                index if isinstance(index, int) else position, {"id": "", "name": "", "arguments": ""}
            )
            function = fragment.get("function") or {}
            call["id"] = call["id"] or str(fragment.get("id") or "")
            call["name"] += str(function.get("name") or "")
            call["arguments"] += str(function.get("arguments") or "")


def _text(content: Any) -> str:
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, list) and all(isinstance(part, Mapping) for part in content):
        return "".join(str(part.get("text") or "") for part in content)
    return _wrong("content", content, "text, a list of text parts, or null")


def _tool_calls(calls: Any) -> tuple[ToolCall, ...]:
    if not calls:
        return ()
    if not isinstance(calls, list):
        _wrong("tool_calls", calls, "a list")
    parsed = []
    for position, call in enumerate(calls):
        function = call.get("function") if isinstance(call, Mapping) else None
        if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
            _wrong(f"tool_calls[{position}].function", function, "an object with a name")
        given = function.get("arguments")
        raw = given if isinstance(given, str) else json.dumps({} if given is None else given)
        identity = str(call.get("id") or f"call_{position}")
        parsed.append(ToolCall(function["name"], _arguments(raw), identity, raw))
    return tuple(parsed)


def _arguments(raw: str) -> dict[str, Any] | None:
    try:
        arguments = json.loads(raw or "{}")
    except ValueError:
        return None
    return arguments if isinstance(arguments, dict) else None


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _wrong(name: str, value: Any, expected: str) -> NoReturn:
    got = "nothing" if value is None else type(value).__name__
    raise MalformedReply(f"{name} of the answer is {got}: expected {expected}.")
