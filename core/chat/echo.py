"""Find a copy of the prompt at the beginning of a reply.

Some servers return the rendered conversation followed by the answer: `transformers serve` does so when the
model's type has a built-in response parser and the tokenizer's chat template lacks the marker that the
parser looks for. The client does not know the template, but it knows what it said.
"""

from __future__ import annotations

from collections.abc import Sequence

from fogline.core.chat.messages import Message

_LONGEST_GLUE = 48
"""Characters that a template may put between two messages, e.g. ``<|im_end|>\\n<|im_start|>user\\n``."""


def strip_echo(text: str, messages: Sequence[Message]) -> tuple[str, str]:
    """Split ``text`` into ``(echo, answer)``.

    An echo is the contents of the messages, all of them or all from some message on, each verbatim and in
    order. Before each stand at most 48 characters with the message's role in them, and what is between role
    and content is the same everywhere; after the last stands the role ``assistant``, with as much of that
    as follows. Anything less stays as it is, with an empty echo.

    Args:
        text: The reply.
        messages: The conversation that was sent.
    """
    contents = [message.get("content") for message in messages]
    last = contents[-1]
    if not isinstance(last, str) or not last or last not in text:
        return "", text
    for start in range(len(messages)):
        if end := _end_of_echo(text, messages[start:], whole=start == 0):
            return text[:end], text[end:]
    return "", text


def _end_of_echo(text: str, messages: Sequence[Message], whole: bool) -> int:
    """Return where the echo of ``messages`` ends, 0 where there is none."""
    first, *rest = messages
    content = first.get("content")
    if not isinstance(content, str):
        return 0
    # A parser that looked for the assistant's marker starts right behind it, at that message's text.
    if not whole and rest and first.get("role") == "assistant" and text.startswith(content):
        return _end_of_echo_from(text, rest, len(content))
    return _end_of_echo_from(text, messages, 0)


def _end_of_echo_from(text: str, messages: Sequence[Message], position: int) -> int:
    """Try every reading of what the template puts between a role and its text; the longest echo counts."""
    content = messages[0].get("content")
    marked = _behind(str(messages[0].get("role")), text, position)
    if not marked or not isinstance(content, str):
        return 0
    window = text[marked : marked + _LONGEST_GLUE + len(content)]
    gaps = [gap for gap in range(_LONGEST_GLUE + 1) if window.startswith(content, gap)]
    return max((_walk(text, messages, position, window[:gap]) for gap in gaps), default=0)


def _walk(text: str, messages: Sequence[Message], position: int, gap: str) -> int:
    for message in messages:
        marked = _behind(str(message.get("role")), text, position)
        expected = f"{gap}{message.get('content')}"
        if not marked or not text.startswith(expected, marked):
            return 0
        position = marked + len(expected)
    end = _behind("assistant", text, position)
    for letter in gap if end else "":
        if text[end : end + 1] != letter:
            break
        end += 1
    return end


def _behind(role: str, text: str, position: int) -> int:
    """Return where ``role`` ends that stands at most a glue's length behind ``position``, 0 if nowhere."""
    found = text.find(role, position, position + _LONGEST_GLUE)
    return found + len(role) if found >= 0 else 0
