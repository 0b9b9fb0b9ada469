"""What a chat model must answer about a cell, read strictly: its numbers must agree with one another.

Source: specification of PGHS, section 6 (output schema).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from fogline.core.chat.json_reply import json_object
from fogline.core.errors import FoglineError

_AGREE = 0.05
"""How far share_order may be from the anchor and delta together, and both shares from more than everybody."""
_TEXTS = ("decisive_attributes", "unknowns")
_RANGES = {
    "direction": (-1.0, 1.0),
    "share_order": (0.0, 1.0),
    "share_leave": (0.0, 1.0),
    "delta_vs_anchor": (-1.0, 1.0),
    "confidence": (0.0, 1.0),
}


class AnswerFault(FoglineError):
    """An answer that is none; its text is told to the model that gave it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said of a cell.

    Attributes:
        share_order: Share that orders, 0 to 1.
        share_leave: Share that leaves, 0 to 1.
        delta_vs_anchor: Change against the policy's order rate, -1 to 1.
        direction: Its sign.
        confidence: 0 to 1.
        decisive_attributes: What decided.
        unknowns: What was not known.
    """

    share_order: float
    share_leave: float
    delta_vs_anchor: float
    direction: int
    confidence: float
    decisive_attributes: tuple[str, ...]
    unknowns: tuple[str, ...]


def read_answer(text: str, anchor: float) -> Answer:
    """Read an answer.

    Args:
        text: As the model wrote it; reasoning and code fences are passed over.
        anchor: The policy's order rate, as the model was told it.

    Raises:
        AnswerFault: For anything but one JSON object with the asked fields, in range, that agree with one another.
    """
    try:
        document = json_object(text)
    except ValueError as error:
        raise AnswerFault(str(error)) from error
    numbers = {name: _number(document, name, *bounds) for name, bounds in _RANGES.items()}
    texts = {name: _texts(document, name) for name in _TEXTS}
    if numbers["direction"] not in (-1, 0, 1):
        raise AnswerFault(f"direction={numbers['direction']:g}: expected -1, 0 or 1")
    expected = anchor + numbers["delta_vs_anchor"]
    if abs(numbers["share_order"] - expected) > _AGREE:
        raise AnswerFault(
            f"share_order={numbers['share_order']:g} does not agree with the anchor {anchor:g} and "
            f"delta_vs_anchor={numbers['delta_vs_anchor']:g}: expected about {expected:g}"
        )
    if numbers["share_order"] + numbers["share_leave"] > 1 + _AGREE:
        raise AnswerFault(
            f"share_order={numbers['share_order']:g} and share_leave={numbers['share_leave']:g} are more than everybody"
        )
    if abs(numbers["delta_vs_anchor"]) > _AGREE and numbers["direction"] * numbers["delta_vs_anchor"] <= 0:
        raise AnswerFault(
            f"direction={numbers['direction']:g} does not agree with delta_vs_anchor={numbers['delta_vs_anchor']:g}"
        )
    return Answer(
        share_order=numbers["share_order"],
        share_leave=numbers["share_leave"],
        delta_vs_anchor=numbers["delta_vs_anchor"],
        direction=int(numbers["direction"]),
        confidence=numbers["confidence"],
        **texts,
    )


def _number(document: dict[str, Any], name: str, low: float, high: float) -> float:
    value = document.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise AnswerFault(f"{name}={value!r}: expected a number from {low:g} to {high:g}")
    if not low <= value <= high:
        raise AnswerFault(f"{name}={value:g}: expected a number from {low:g} to {high:g}")
    return float(value)


def _texts(document: dict[str, Any], name: str) -> tuple[str, ...]:
    value = document.get(name)
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise AnswerFault(f"{name}={value!r}: expected a list of texts")
    return tuple(value)
