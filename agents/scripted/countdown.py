"""A scripted player of MathReasoning-v0's countdown: searches for any way to make the number, and errs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from numpy.random import Generator

from fogline.agents.agent import SeatView
from fogline.core.errors import AgentError, ConfigurationError
from fogline.envs.math_reasoning.arithmetic import Piece, joined, number

SIGNS = "+-*/"
_NUMBERS = re.compile(r"[0-9]+")
_MOST_NUMBERS = 6


class CountdownAgent:
    """Makes a number of others in one of the ways that are right, drawn by the seat's generator, and errs.

    Args:
        error: Chance of each operator to be another one.
        signs: Operators that it knows.

    Raises:
        ConfigurationError: For an error that is no chance, and for no or unknown operators.
    """

    name = "countdown"
    batch_size: int | None = None

    def __init__(self, error: float = 0.0, signs: str = SIGNS) -> None:
        if not 0 <= error <= 1:
            raise ConfigurationError(f"error={error!r}: expected a chance, from 0 to 1.")
        if not signs or not set(signs) <= set(SIGNS):
            raise ConfigurationError(f"signs={signs!r}: expected one or more of {SIGNS!r}.")
        self._error = float(error)
        self._signs = signs

    def act(self, views: Sequence[SeatView]) -> list[Any]:
        """Answer each problem.

        Raises:
            AgentError: It is no problem of countdown, or none that the operators solve.
        """
        return [self._answer(view) for view in views]

    def _answer(self, view: SeatView) -> str:
        *numbers, target = [int(digits) for digits in _NUMBERS.findall(view.observation)] or [0]
        if not 2 <= len(numbers) <= _MOST_NUMBERS:
            raise AgentError(f"no problem of countdown in {view.observation[:80]!r}.")
        way = _way([_Way(value) for value in numbers], target, self._signs, view.rng, set())
        if way is None:
            raise AgentError(f"{numbers} do not make {target} by {self._signs!r}.")
        text = self._written(way, view.rng).text.replace(" ", "")
        return f"<answer>{text}</answer>" if view.system_prompt else text

    def _written(self, way: _Way, rng: Generator) -> Piece:
        """A way in writing, its operators confused now and then."""
        if not way.parts:
            return number(int(way.value))
        left, right = (self._written(part, rng) for part in way.parts)
        sign = way.sign
        if rng.random() < self._error:
            others = [other for other in self._signs if other != sign] or ["+"]
            sign = others[int(rng.integers(len(others)))]
        piece = joined(left, sign, right) or joined(left, "+", right)
        assert piece is not None, "a sum has no divisor"
        return piece


class _Way(NamedTuple):
    """A number, or two ways under an operator."""

    value: int | Fraction
    sign: str = ""
    parts: tuple[_Way, ...] = ()


def _way(
    ways: list[_Way], target: int, signs: str, rng: Generator, dead: set[tuple[int | Fraction, ...]]
) -> _Way | None:
    """All of these joined into the target, the first that a search in random order finds; None where there is none."""
    if len(ways) == 1:
        return ways[0] if ways[0].value == target else None
    state = tuple(sorted(way.value for way in ways))
    if state in dead:
        return None
    pairs = [(first, second) for first in range(len(ways)) for second in range(len(ways)) if first != second]
    moves = [(pair, sign) for pair in pairs for sign in signs]
    for index in rng.permutation(len(moves)):
        (first, second), sign = moves[index]
        rest = [way for place, way in enumerate(ways) if place not in (first, second)]
        both = _joined(ways[first], sign, ways[second])
        found = None if both is None else _way([*rest, both], target, signs, rng, dead)
        if found is not None:
            return found
    dead.add(state)
    return None


def _joined(left: _Way, sign: str, right: _Way) -> _Way | None:
    """The two under an operator; None where it divides by zero."""
    if sign == "+":
        return _Way(left.value + right.value, sign, (left, right))
    if sign == "-":
        return _Way(left.value - right.value, sign, (left, right))
    if sign == "*":
        return _Way(left.value * right.value, sign, (left, right))
    if right.value == 0:
        return None
    quotient = Fraction(left.value, right.value)
    # Whole numbers as such: most are, and they are many times faster.
    return _Way(quotient.numerator if quotient.denominator == 1 else quotient, sign, (left, right))
