"""What generators draw before it has an id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

ItemT = TypeVar("ItemT")


@dataclass(frozen=True, slots=True)
class Draft:
    """A drawn problem.

    Attributes:
        kind: Family.
        content: What makes it this problem, whatever its wording: decides the split.
        answer: The gold answer.
        steps: Operations that solve it.
        tellings: The problem in words, in one or more ways.
        short: In the fewest characters; empty where the first telling is that.
        numbers: What the answer must be made of; empty where its value alone counts.
    """

    kind: str
    content: str
    answer: str
    steps: int
    tellings: tuple[str, ...]
    short: str
    numbers: tuple[int, ...] = ()


def pick(rng: np.random.Generator, items: Sequence[ItemT]) -> ItemT:
    """Draw one of several."""
    return items[int(rng.integers(len(items)))]
