"""Equality of expressions with roots, functions and letters.

Two expressions are the same function where they agree, to 25 digits, at fixed points that no exercise singles out
(identity testing after Schwartz, J. ACM 27, 1980). The numbers are mpmath's, sympy's own arithmetic. Nothing is
simplified, for simplifying has no bound in time, and building a sympy expression has none either: it factors whole
numbers, and its ``evalf`` visits products within one another exponentially often. Here each operation of a read
expression is done once, on numbers of bounded size.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fogline.core.errors import missing_dependency
from fogline.envs.math_reasoning.expressions import CONSTANTS, Expression, ExpressionError

MAX_LETTERS = 6
MAX_MAGNITUDE = 1 << 14
"""Largest binary exponent of a number on the way; larger numbers cannot be told apart."""

_DIGITS = 60
_AGREE = "1e-25"
_POINTS = (
    ("1.3717", "0.6241", "2.1193", "0.8327", "1.7411", "0.3931"),
    ("-0.7193", "1.9377", "0.4519", "-1.2713", "0.9137", "2.3177"),
    ("0.2377", "-1.4591", "-0.8731", "1.1519", "-2.0713", "-0.5477"),
)
"""Values of the letters in the order of the alphabet; of either sign, so that a root of a square is no letter."""
_RECIPROCALS = {"sec": "cos", "csc": "sin", "cot": "tan"}
_INVERSES = {"arcsin": "asin", "arccos": "acos", "arctan": "atan"}
_CIRCULAR = frozenset({"sin", "cos", "tan", *_RECIPROCALS})
_LARGEST_ANGLE = 16
"""Binary exponent; digits grow with what an imaginary angle measures, and would fill all memory."""


def same_function(left: Expression, right: Expression) -> bool:
    """Whether two expressions agree wherever their letters stand; False where that cannot be told.

    Raises:
        MissingDependencyError: mpmath is not installed.
    """
    try:
        from mpmath import MPContext
    except ImportError as error:
        raise missing_dependency("mpmath", "math") from error

    # One for each call: a context that threads share would share its precision.
    context = MPContext()
    context.dps = _DIGITS
    letters = sorted({*letters_of(left), *letters_of(right)})
    if len(letters) > MAX_LETTERS:
        return False
    points = _POINTS if letters else _POINTS[:1]
    try:
        return all(
            _agree(left, right, {name: context.mpc(text) for name, text in zip(letters, point, strict=False)}, context)
            for point in points
        )
    except (ExpressionError, ArithmeticError, ValueError):
        return False


def letters_of(expression: Expression) -> frozenset[str]:
    """Names in an expression that are no constants."""
    own = {expression.name} if expression.operator == "name" and expression.name not in CONSTANTS else set()
    return frozenset(own.union(*map(letters_of, expression.parts)))


def _agree(left: Expression, right: Expression, point: Mapping[str, Any], context: Any) -> bool:
    one, other = (_value(expression, point, context) for expression in (left, right))
    return bool(abs(one - other) <= context.mpf(_AGREE) * max(1, abs(other)))


def _value(expression: Expression, point: Mapping[str, Any], context: Any) -> Any:
    """Complex value at a point.

    Raises:
        ExpressionError: A number on the way outgrows :data:`MAX_MAGNITUDE`.
        ArithmeticError, ValueError: A division by zero, the logarithm of zero.
    """
    if expression.operator == "number":
        made = context.mpc(expression.value.numerator) / expression.value.denominator
    elif expression.operator == "name":
        constants = {"pi": context.pi, "e": context.e, "i": context.mpc(0, 1)}
        made = point[expression.name] if expression.name in point else context.mpc(constants[expression.name])
    else:
        made = _operated(expression.operator, [_value(part, point, context) for part in expression.parts], context)
    return _bounded(made, MAX_MAGNITUDE, context)


def _operated(operator: str, values: list[Any], context: Any) -> Any:
    first, last = values[0], values[-1]
    if operator in _CIRCULAR:
        first = _bounded(first, _LARGEST_ANGLE, context)
    match operator:
        case "negative":
            return -first
        case "absolute":
            return context.mpc(abs(first))
        case "+":
            return first + last
        case "-":
            return first - last
        case "*":
            return first * last
        case "/":
            return first / last
        case "root":
            return first ** _bounded(1 / last, 16, context)
        case "^":
            # Before the power is taken: the size of its result is the size of this.
            return first ** _bounded(last, 16, context)
        case _ if operator in _RECIPROCALS:
            return 1 / getattr(context, _RECIPROCALS[operator])(first)
    return getattr(context, _INVERSES.get(operator, operator))(first)


def _bounded(value: Any, magnitude: int, context: Any) -> Any:
    if not context.isfinite(value) or (value != 0 and context.mag(value) > magnitude):
        raise ExpressionError(f"a number above 2^{magnitude}.")
    return value
