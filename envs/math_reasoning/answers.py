"""Where a reply says its answer: five ways to mark it, and the bare end of a text."""

from __future__ import annotations

import re
from typing import NamedTuple

from fogline.envs.math_reasoning.expressions import MAX_CHARACTERS, ExpressionError, parse

MAX_REPLY = 200_000
"""Characters of a reply that are read, from its end."""

_OPEN, _CLOSE = "<answer>", "</answer>"
_HASHES = re.compile(r"####[ \t]*([^\n]*)")
_SAID = re.compile(r"\banswer[ \t]{0,4}(?:is|=|:)[ \t]{0,4}:?[ \t]{0,4}([^\n]*)", re.IGNORECASE)
_STOP = re.compile(r"\.(?:\s|$)|[;!?]")
_BOXED = re.compile(r"\\f?boxed[ ]?\{")
_NUMBER = re.compile(r"(?:(?<![0-9A-Za-z)\]}])[-−])?[$€£]?(?:[0-9]+(?:,[0-9]{3})*(?:\.[0-9]+)?|\.[0-9]+)(?:/[0-9]+)?%?")


class Extracted(NamedTuple):
    """An answer as a reply gives it.

    Attributes:
        text: The answer's text.
        form: ``tags``, ``boxed``, ``hashes``, ``said``, ``plain`` or ``number``: how it was marked.
    """

    text: str
    form: str


def extract_answer(reply: str) -> Extracted | None:
    r"""Find the answer in a reply; the last of a form counts.

    In this order: ``<answer>…</answer>``; ``\boxed{…}``; ``#### …``; "the answer is …"; a reply that is nothing but
    an expression with a digit or a command in it; the last number. Time is linear in the reply.

    Args:
        reply: The reply; of a longer one, the last :data:`MAX_REPLY` characters.
    """
    reply = reply[-MAX_REPLY:]
    for form, find in (("tags", _tagged), ("boxed", boxed_answer), ("hashes", marked_answer), ("said", _said)):
        found = find(reply)
        if found:
            return Extracted(found, form)
    plain = reply.strip()
    if 0 < len(plain) <= MAX_CHARACTERS and _is_expression(plain):
        return Extracted(plain, "plain")
    numbers = _NUMBER.findall(reply)
    return Extracted(numbers[-1], "number") if numbers else None


def boxed_answer(text: str) -> str | None:
    r"""What the last ``\boxed{…}`` holds, braces within it balanced; None without one that is closed."""
    opened = [match.end() for match in _BOXED.finditer(text)]
    if not opened:
        return None
    depth = 1
    for place in range(opened[-1], len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if depth == 0:
            return text[opened[-1] : place].strip()
    return None


def marked_answer(text: str) -> str | None:
    """What follows the last ``####`` on its line; None without one."""
    found = _HASHES.findall(text)
    return found[-1].strip() if found else None


def _tagged(reply: str) -> str | None:
    end = reply.rfind(_CLOSE)
    start = reply.rfind(_OPEN, 0, end) if end >= 0 else -1
    return reply[start + len(_OPEN) : end].strip() if start >= 0 else None


def _said(reply: str) -> str | None:
    found = _SAID.findall(reply)
    return _STOP.split(found[-1], maxsplit=1)[0].strip(" *:") if found else None


def _is_expression(text: str) -> bool:
    # "no" and "hm" would be products of letters.
    if not any(character in "0123456789\\" for character in text):
        return False
    try:
        parse(text)
    except ExpressionError:
        return False
    return True
