"""Countdown in ten levels: make a number of others, each used once. Most problems have many right answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from fogline.envs.math_reasoning.arithmetic import Piece, joined, number
from fogline.envs.math_reasoning.draft import Draft, pick
from fogline.envs.math_reasoning.expressions import Expression, ExpressionError, exact_value, parse

MOST = 999
"""Largest number that is to be made; the smallest is 1."""

WORDINGS = (
    "With {numbers}, each used exactly once, and + - * / and brackets, write an expression that is worth {target}.",
    "Combine {numbers} by + - * / and brackets, using every number once, so that the result is {target}.",
    "The numbers are {numbers}. Use each of them once, with + - * / and brackets, to make {target}.",
)


@dataclass(frozen=True)
class Grade:
    """What one level draws from.

    Attributes:
        count: How many numbers.
        largest: Of them; the smallest is 1.
        signs: Operators of the solution that is drawn. A player may use all four.
    """

    count: int
    largest: int
    signs: str


GRADES = (
    Grade(2, 9, "+-"),
    Grade(3, 9, "+-"),
    Grade(3, 9, "+-*"),
    Grade(3, 20, "+-*"),
    Grade(4, 20, "+-"),
    Grade(4, 20, "+-*"),
    Grade(4, 50, "+-*/"),
    Grade(5, 50, "+-*/"),
    Grade(5, 100, "+-*/"),
    Grade(6, 100, "+-*/"),
)
"""Level 1 first."""


def draw_countdown(rng: np.random.Generator, level: int) -> Draft | None:
    """Draw a problem of a level, 1 to 10, from a solution; None where the draw divides by zero or is out of bounds."""
    grade = GRADES[level - 1]
    numbers = tuple(int(value) for value in rng.integers(1, grade.largest + 1, grade.count))
    piece = _combined(rng, [number(value) for value in numbers], grade.signs)
    if piece is None or piece.value.denominator != 1 or not 1 <= piece.value <= MOST:
        return None
    target = int(piece.value)
    shown = f"{', '.join(map(str, numbers[:-1]))} and {numbers[-1]}"
    return Draft(
        kind="countdown",
        content=f"countdown {sorted(numbers)} {target}",
        answer=piece.text,
        steps=grade.count - 1,
        tellings=tuple(wording.format(numbers=shown, target=target) for wording in WORDINGS),
        short=f"{' '.join(map(str, numbers))}={target}:",
        numbers=numbers,
    )


def makes(answer: str, numbers: Sequence[int], target: Fraction) -> bool:
    """Whether an answer is worth the target and uses each number once, and nothing else.

    Numbers are joined by ``+ - * /`` and brackets; what stands behind an equals sign is the player's own check.
    """
    try:
        expression = parse(answer.partition("=")[0])
        return sorted(_leaves(expression)) == sorted(numbers) and exact_value(expression) == target
    except ExpressionError:
        return False


def _leaves(expression: Expression) -> Iterator[Fraction]:
    """Numbers of an expression.

    Raises:
        ExpressionError: It holds something else than numbers under the four operators.
    """
    if expression.operator == "number":
        yield expression.value
    elif expression.operator in ("+", "-", "*", "/"):
        for part in expression.parts:
            yield from _leaves(part)
    else:
        raise ExpressionError(f"{expression.name or expression.operator!r} is none of + - * /.")


def _combined(rng: np.random.Generator, pieces: list[Piece], signs: str) -> Piece | None:
    """All pieces in one, joined in a random order."""
    while len(pieces) > 1:
        first, second = (int(index) for index in rng.permutation(len(pieces))[:2])
        both = joined(pieces[first], pick(rng, signs), pieces[second])
        if both is None:
            return None
        pieces = [*(piece for index, piece in enumerate(pieces) if index not in (first, second)), both]
    return pieces[0]
