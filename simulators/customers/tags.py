"""The tags in which a model that plays a customer answers: written, and read from whatever a model makes of them."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from fogline.simulators.customers.acts import CUSTOMER_ACTS, TOPICS
from fogline.simulators.customers.chat_side import ReplyFault

SCALES: dict[str, tuple[float, float]] = {"trust": (0, 5), "emotion": (0, 3), "cooperation": (0, 4)}
"""What a model says of its customer's state, with lowest and highest value."""

STATUSES = {"0": 0, "1": 1, "-1": -1}

_REASONING = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL | re.IGNORECASE)
_MINUS = str.maketrans("−–", "--")
_NAMES = ("act", "topic", "step", *SCALES, "status", "say")
_NEXT_TAG = rf"</?\s*(?:{'|'.join(_NAMES)})\b[^>]*>"
_ANY_TAG = re.compile(_NEXT_TAG, re.IGNORECASE)
_VALUE = {name: re.compile(rf"<\s*{name}\b[^>]*>(.*?)(?={_NEXT_TAG}|\Z)", re.DOTALL | re.IGNORECASE) for name in _NAMES}


@dataclass(frozen=True, slots=True)
class Tagged:
    """A reply as a model tagged it.

    Attributes:
        act: One of ``CUSTOMER_ACTS``.
        say: The words; not checked here.
        topic: One of ``TOPICS``; empty for none.
        step: Steps done so far; None where the model does not say.
        trust: 0 to 5; None where the model does not say.
        emotion: 0 to 3, or None.
        cooperation: 0 to 4, or None.
        status: 1: the purchase is complete. -1: hangs up. 0: goes on.
    """

    act: str
    say: str
    topic: str = ""
    step: int | None = None
    trust: float | None = None
    emotion: float | None = None
    cooperation: float | None = None
    status: int = 0

    def text(self) -> str:
        """The reply in tags; :func:`parse` is the inverse."""
        values = [("act", self.act), ("topic", self.topic)]
        numbers = {name: getattr(self, name) for name in ("step", *SCALES)}
        values += [(name, f"{value:g}") for name, value in numbers.items() if value is not None]
        values += [("status", str(self.status)), ("say", self.say)]
        return "".join(f"<{name}>{value}</{name}>" for name, value in values)


def parse(text: str) -> Tagged:
    """Read a reply. Tolerant: order, case, white space, missing closing tags and what stands around do not matter.

    The first of several equal tags counts. A topic that does not exist is none; numbers that are missing are None;
    a missing status is 0.

    Args:
        text: What the model wrote; any string.

    Raises:
        ReplyFault: ``empty``; ``no_say`` where nothing is tagged as said; ``unknown_act``; ``bad_number`` for a state
            or a step that is no number or outside its scale; ``bad_status`` for another status than 1, 0, -1.
    """
    text = _REASONING.sub(" ", text)
    if not text.strip():
        raise ReplyFault("empty")
    found = {name: _value(name, text) for name in _NAMES}
    say = found["say"]
    if say is None:
        raise ReplyFault("no_say", text)
    act = _word(found["act"])
    if act not in CUSTOMER_ACTS:
        raise ReplyFault("unknown_act", found["act"] or "none")
    topic = _word(found["topic"])
    step = _number("step", found["step"], 0, math.inf)
    states = {name: _number(name, found[name], *SCALES[name]) for name in SCALES}
    return Tagged(
        act=act,
        say=say,
        topic=topic if topic in TOPICS else "",
        step=None if step is None else int(step),
        status=_status(found["status"]),
        **states,
    )


def _value(name: str, text: str) -> str | None:
    match = _VALUE[name].search(text)
    return None if match is None else _ANY_TAG.sub(" ", match.group(1)).strip()


def _word(value: str | None) -> str:
    """An identifier as a model may write it: ``Step done`` is ``step_done``."""
    return "_".join(re.findall(r"[a-z]+", (value or "").lower()))


def _number(name: str, value: str | None, low: float, high: float) -> float | None:
    """The number at the beginning of a value, such as ``2``, ``+2.0`` or ``2/5``."""
    if not value:
        return None
    match = re.match(r"[+-]?\d{1,6}(?:[.,]\d{1,6})?(?=\s*(?:/|\(|of\b|$))", value.translate(_MINUS), re.ASCII)
    number = float(match.group().replace(",", ".")) if match is not None else math.nan
    if not low <= number <= high:
        raise ReplyFault("bad_number", f"{name}={value[:40]}")
    return number


def _status(value: str | None) -> int:
    if not value:
        return 0
    written = value.translate(_MINUS).removeprefix("+").removesuffix(".0")
    if written not in STATUSES:
        raise ReplyFault("bad_status", value[:40])
    return STATUSES[written]
