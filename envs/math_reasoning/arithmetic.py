"""Arithmetic in ten levels: more operations, larger numbers, precedence, brackets, negative numbers, fractions."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from fogline.envs.math_reasoning.draft import Draft, pick
from fogline.envs.math_reasoning.expressions import written

MOST = 10**6
"""Largest numerator of an answer."""
LARGEST_DENOMINATOR = 1000

WORDINGS = (
    "What is {}?",
    "Calculate {}.",
    "Work out the value of {}.",
    "Find the exact value of {}.",
)


@dataclass(frozen=True)
class Grade:
    """What one level draws from.

    Attributes:
        operations: How many.
        largest: Largest operand.
        signs: Operators.
        brackets: Whether operands group in any way, and not only as precedence reads them.
        negative: Whether operands may be negative.
    """

    operations: int
    largest: int
    signs: str
    brackets: bool = False
    negative: bool = False


GRADES = (
    Grade(1, 9, "+"),
    Grade(1, 20, "+-"),
    Grade(2, 20, "+-"),
    Grade(2, 20, "+-*"),
    Grade(3, 50, "+-*", brackets=True),
    Grade(3, 100, "+-*", brackets=True, negative=True),
    Grade(4, 100, "+-*", brackets=True, negative=True),
    Grade(4, 100, "+-*/", brackets=True, negative=True),
    Grade(5, 100, "+-*/", brackets=True, negative=True),
    Grade(6, 1000, "+-*/", brackets=True, negative=True),
)
"""Level 1 first. Answers may be negative from level 2 on and fractions from level 8 on."""

_PRECEDENCE = {"+": 1, "-": 1, "*": 2, "/": 2}


@dataclass(frozen=True)
class Piece:
    """A part of an expression.

    Attributes:
        text: As it is written, with the brackets that it needs.
        value: Exact.
        binding: How tightly its outermost operator binds: 1 for sums, 2 for products, 3 for a number.
        divisions: How many are in it.
    """

    text: str
    value: Fraction
    binding: int
    divisions: int = 0


def number(value: int) -> Piece:
    """A number that is not negative."""
    return Piece(str(value), Fraction(value), 3)


def draw_arithmetic(rng: np.random.Generator, level: int) -> Draft | None:
    """Draw a problem of a level, 1 to 10; None where the draw divides by zero or outgrows the bounds.

    Levels 8 and above have at least one division.
    """
    grade = GRADES[level - 1]
    piece = _grouped(rng, grade, grade.operations) if grade.brackets else _flat(rng, grade)
    if piece is None or abs(piece.value.numerator) > MOST or piece.value.denominator > LARGEST_DENOMINATOR:
        return None
    if "/" in grade.signs and not piece.divisions:
        return None
    return Draft(
        kind="arithmetic",
        content=piece.text,
        answer=written(piece.value),
        steps=grade.operations,
        tellings=tuple(wording.format(piece.text) for wording in WORDINGS),
        short=piece.text.replace(" ", "") + "=",
    )


def _operand(rng: np.random.Generator, grade: Grade) -> Piece:
    value = int(rng.integers(0 if grade.largest < 10 else 1, grade.largest + 1))
    if grade.negative and rng.random() < 0.25:
        return Piece(f"(-{value})", Fraction(-value), 3)
    return number(value)


def _flat(rng: np.random.Generator, grade: Grade) -> Piece | None:
    """Operands in a row, grouped as precedence groups them."""
    operands = [_operand(rng, grade) for _ in range(grade.operations + 1)]
    signs = [pick(rng, grade.signs) for _ in range(grade.operations)]
    for binding in (2, 1):
        place = 0
        while place < len(signs):
            if _PRECEDENCE[signs[place]] == binding:
                both = joined(operands[place], signs.pop(place), operands.pop(place + 1))
                if both is None:
                    return None
                operands[place] = both
            else:
                place += 1
    return operands[0]


def _grouped(rng: np.random.Generator, grade: Grade, operations: int) -> Piece | None:
    """A random tree of operations, written with the brackets that it needs."""
    if operations == 0:
        return _operand(rng, grade)
    before = int(rng.integers(operations))
    left, right = _grouped(rng, grade, before), _grouped(rng, grade, operations - 1 - before)
    if left is None or right is None:
        return None
    return joined(left, pick(rng, grade.signs), right)


def joined(left: Piece, sign: str, right: Piece) -> Piece | None:
    """Two pieces under an operator; None where it divides by zero."""
    if sign == "/" and right.value == 0:
        return None
    binding = _PRECEDENCE[sign]
    first = left.text if left.binding >= binding else f"({left.text})"
    # What stands after a minus or a division sign keeps its brackets at equal binding: a - (b + c).
    tight = right.binding > binding or (right.binding == binding and sign in "+*")
    second = right.text if tight and not (sign == "*" and right.binding == 2) else f"({right.text})"
    value = {
        "+": lambda: left.value + right.value,
        "-": lambda: left.value - right.value,
        "*": lambda: left.value * right.value,
        "/": lambda: left.value / right.value,
    }[sign]()
    return Piece(f"{first} {sign} {second}", value, binding, left.divisions + right.divisions + (sign == "/"))
