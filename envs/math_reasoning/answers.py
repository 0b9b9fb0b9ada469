"""Where a reply says its answer, and whether that is the gold one."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import NamedTuple

from fogline.envs.math_reasoning.expressions import MAX_CHARACTERS, ExpressionError, calculate

MAX_REPLY = 200_000
"""Characters of a reply that are read, from its end."""

_OPEN, _CLOSE = "<answer>", "</answer>"
_HASHES = re.compile(r"####[ \t]*([^\n]*)")
_SAID = re.compile(r"\banswer[ \t]{0,4}(?:is|=|:)[ \t]{0,4}:?[ \t]{0,4}([^\n]*)", re.IGNORECASE)
_NUMBER = re.compile(r"(?:(?<![0-9A-Za-z)\]}])[-−])?[$€£]?(?:[0-9]+(?:,[0-9]{3})*(?:\.[0-9]+)?|\.[0-9]+)(?:/[0-9]+)?%?")
_STOP = re.compile(r"\.(?:\s|$)|[;!?]")
_BOXED = re.compile(r"\\f?boxed[ ]?\{|\\framebox[ ]?\{")


class Extracted(NamedTuple):
    """An answer as a reply gives it.

    Attributes:
        text: The answer's text.
        form: ``tags``, ``boxed``, ``hashes``, ``said``, ``number`` or ``plain``: how it was marked.
    """

    text: str
    form: str


def extract_answer(reply: str) -> Extracted | None:
    r"""Find the answer in a reply; the last of a form counts.

    In this order: ``<answer>…</answer>``; ``\boxed{…}``; ``#### …``; "the answer is …"; a reply that is nothing but
    a short answer; the last number. Time is linear in the reply.

    Args:
        reply: The reply; of a longer one, the last :data:`MAX_REPLY` characters.
    """
    reply = reply[-MAX_REPLY:]
    for form, find in (("tags", _tagged), ("boxed", _boxed), ("hashes", _hashed), ("said", _said)):
        found = find(reply)
        if found is not None and found.strip():
            return Extracted(found.strip(), form)
    plain = reply.strip()
    if 0 < len(plain) <= MAX_CHARACTERS and exact(plain) is not None:
        return Extracted(plain, "plain")
    numbers = _NUMBER.findall(reply)
    return Extracted(numbers[-1], "number") if numbers else None


def equivalent(answer: str, gold: str) -> bool:
    """Whether two answers say the same."""
    left, right = exact(answer), exact(gold)
    return answer == gold if left is None or right is None else left == right


def exact(text: str) -> Fraction | None:
    """The rational number that a text denotes; None where it is none."""
    try:
        return calculate(text)
    except ExpressionError:
        return None


def _tagged(reply: str) -> str | None:
    end = reply.rfind(_CLOSE)
    start = reply.rfind(_OPEN, 0, end) if end >= 0 else -1
    return reply[start + len(_OPEN) : end] if start >= 0 else None


def _boxed(reply: str) -> str | None:
    """What the last box holds, braces within it balanced."""
    opened = [match.end() for match in _BOXED.finditer(reply)]
    if not opened:
        return None
    depth = 1
    for place in range(opened[-1], len(reply)):
        depth += {"{": 1, "}": -1}.get(reply[place], 0)
        if depth == 0:
            return reply[opened[-1] : place]
    return None


def _hashed(reply: str) -> str | None:
    found = _HASHES.findall(reply)
    return found[-1] if found else None


def _said(reply: str) -> str | None:
    found = _SAID.findall(reply)
    return _STOP.split(found[-1], maxsplit=1)[0].strip(" *:") if found else None
