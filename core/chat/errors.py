"""What can go wrong between fogline and a chat server, each with its own type.

Two kinds are the agent's own doing and derive from :class:`AgentError`, so the episode ends as
``agent_error`` and is scored: the agent chose how much history to send, and the model (or the filter that
is part of what is evaluated) declined to answer. Everything else derives from :class:`InfrastructureError`
and never enters an average. No message holds a key, a header or the user part of a URL.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from fogline.core.errors import AgentError, InfrastructureError
from fogline.core.redaction import redact_text

_EXCERPT = 300
_CONTEXT_CODES = frozenset({"context_length_exceeded", "exceed_context_size_error", "string_above_max_length"})
_CONTEXT_TEXT = re.compile(
    r"context (length|window|size)|prompt is too long|longer than the model|input is too long"
    r"|too many (input )?tokens|maximum (sequence|input) length",
    re.IGNORECASE,
)
_REFUSAL_CODES = frozenset({"content_filter", "content_policy_violation", "responsibleaipolicyviolation"})
_EXHAUSTED_CODES = frozenset({"insufficient_quota", "billing_hard_limit_reached"})


class ChatError(InfrastructureError):
    """A chat completion failed for a reason that is not the model's.

    Attributes:
        retryable: Whether another attempt can succeed.
        status: HTTP status, where the server answered at all.
        retry_after_s: How long the server asked to wait, in seconds.
        attempts: How often the request was tried.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        retry_after_s: float | None = None,
        retryable: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after_s = retry_after_s
        self.attempts = 1
        if retryable is not None:
            self.retryable = retryable

    def __str__(self) -> str:
        """The message, with the number of attempts where there was more than one."""
        text = super().__str__()
        return f"{text} (after {self.attempts} attempts)" if self.attempts > 1 else text


class RateLimited(ChatError):
    """The server answered 429; not retryable where it says that the quota is spent."""


class ServerError(ChatError):
    """The server answered 5xx, or reported an error inside an answer."""


class ChatTimeout(ChatError):
    """No complete answer within ``timeout_s``, or the server answered 408."""


class ConnectionFailed(ChatError):
    """The connection could not be made or broke before the answer was complete."""


class MalformedReply(ChatError):
    """The answer is not a chat completion: cut or broken JSON, wrong schema, nothing in it."""


class EmptyReply(MalformedReply):
    """A chat completion in good order with nothing in it: the model ended at once."""


class AuthenticationFailed(ChatError):
    """The server refused the key (401, 403)."""

    retryable = False


class BadRequest(ChatError):
    """The server will never accept this request as configured (400, 404, 422, a redirect)."""

    retryable = False


class ContextLengthExceeded(AgentError):
    """The conversation no longer fits the model: how much history to send is the agent's decision."""


class ContentRefused(AgentError):
    """The model, or the content filter in front of it, declined to answer."""


def excerpt(text: str) -> str:
    """Return the beginning of a server's text on one line, for an error message."""
    line = redact_text(" ".join(text.split()))
    return line if len(line) <= _EXCERPT else line[:_EXCERPT] + "…"


def retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    """Read ``Retry-After-Ms`` or ``Retry-After`` (seconds or a date); None where absent or unreadable."""
    for name, scale in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        try:
            seconds = float(headers[name]) * scale
        except (KeyError, ValueError):
            continue
        if 0 <= seconds < float("inf"):
            return seconds
    try:
        moment = parsedate_to_datetime(headers["retry-after"])
    except (KeyError, ValueError):
        return None
    return max(0.0, (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


def error_detail(document: Any) -> tuple[str, str]:
    """Read ``(code, message)`` from the shapes in which servers report an error.

    Args:
        document: A decoded JSON body: ``{"error": {"code", "type", "message"}}``, ``{"error": "text"}``,
            ``{"detail": …}`` (FastAPI) or ``{"message": …}``.
    """
    if not isinstance(document, Mapping):
        return "", "" if document is None else str(document)
    inner = document.get("error", document)
    if not isinstance(inner, Mapping):
        return "", str(inner)
    code = inner.get("code")
    if not isinstance(code, str):
        code = inner.get("type")
    message = inner.get("message", inner.get("detail", ""))
    return (code if isinstance(code, str) else ""), str(message)


def status_error(
    status: int, headers: Mapping[str, str], document: Any, *, server: str, key_source: str
) -> ChatError | AgentError:
    """Turn an HTTP status with its body into the typed error.

    Args:
        status: HTTP status outside 2xx.
        headers: Response headers with lower-case names (only ``retry-after`` is read).
        document: Decoded JSON body, or the body's text.
        server: Base URL without its user part.
        key_source: Where the key comes from, in words.
    """
    code, message = error_detail(document)
    said = f"{server} answered {status}" + (f": {excerpt(message)}" if message else "")
    if status in (401, 403):
        # The server's own words often quote part of the key, so they are left out.
        return AuthenticationFailed(
            f"{server} answered {status} to the key from {key_source}: set a valid key.", status=status
        )
    if code.lower() in _REFUSAL_CODES:
        return ContentRefused(f"{said}. The content filter declined this conversation.")
    if status in (400, 413, 422) and (code in _CONTEXT_CODES or _CONTEXT_TEXT.search(message)):
        return ContextLengthExceeded(f"{said}. Set the agent's context_limit below the model's, or play fewer turns.")
    wait = retry_after_seconds(headers)
    if status == 429:
        if code in _EXHAUSTED_CODES:
            return RateLimited(f"{said}. The account's quota is spent.", status=status, retryable=False)
        return RateLimited(f"{said}. Lower concurrency or raise max_retries.", status=status, retry_after_s=wait)
    if status == 408:
        return ChatTimeout(f"{said}.", status=status, retry_after_s=wait)
    if status >= 500 or status in (409, 425):
        return ServerError(f"{said}.", status=status, retry_after_s=wait)
    return BadRequest(f"{said}. {_hint(status, message)}", status=status)


def _hint(status: int, message: str) -> str:
    if status in (301, 302, 303, 307, 308):
        return "Redirects are not followed, lest a key reach another host: set base_url to the final address."
    if "stream_options" in message:
        return "Pass stream_usage=False for servers that do not know stream_options."
    if "max_completion_tokens" in message or "max_tokens" in message:
        return "Pass max_tokens_field='max_tokens' or 'max_completion_tokens', whichever this server knows."
    if status == 404:
        return "Check base_url (it usually ends in /v1) and the model's name."
    return "Check the model's name and the request's parameters."
