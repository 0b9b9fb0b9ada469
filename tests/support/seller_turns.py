"""Turns of a seller as a customer hears them, made by hand."""

from __future__ import annotations

from typing import Any

from fogline.simulators.customers.similarity import prepare
from fogline.simulators.customers.speech import Heard, Utterance


def turn(act: str, number: int = 0, *, overlap: float = 0.0, robotic: float = 0.0, **known: Any) -> Heard:
    """A turn of one act; ``known`` replaces what reading it would have found."""
    known.setdefault("tokens", 20)
    known.setdefault("acts", (act,))
    for name in ("facts", "topics"):
        known[name] = frozenset(known.get(name, ()))
    return Heard(Utterance(act, (), prepare(act), act=act, **known), overlap, number, robotic)
