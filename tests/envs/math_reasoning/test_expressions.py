from __future__ import annotations

import ast
import operator
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fogline.envs.math_reasoning.expressions import (
    MAX_CHARACTERS,
    MAX_EXPONENT,
    ExpressionError,
    calculate,
    parse,
)

OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}


def by_python(text: str) -> Fraction:
    """The value as Python's own grammar reads it, walked without running anything."""

    def value(node: ast.AST) -> Fraction:
        if isinstance(node, ast.Constant):
            return Fraction(node.value)
        if isinstance(node, ast.UnaryOp):
            return -value(node.operand)
        assert isinstance(node, ast.BinOp)
        if isinstance(node.op, ast.Pow):
            return value(node.left) ** int(value(node.right))
        return OPERATORS[type(node.op)](value(node.left), value(node.right))  # type: ignore[no-any-return]

    return value(ast.parse(text, mode="eval").body)


NUMBERS = st.integers(0, 99).map(str)
TEXTS = st.recursive(
    NUMBERS,
    lambda inner: (
        st.tuples(inner, st.sampled_from(["+", "-", "*", " / ", " + ", " - "]), inner).map("".join)
        | inner.map(lambda text: f"({text})")
        | inner.map(lambda text: f"-({text})")
        | st.tuples(NUMBERS, st.sampled_from(["**2", "**3", "**0"])).map("".join)
    ),
    max_leaves=12,
)


@given(TEXTS)
def test_precedence_and_values_are_those_of_pythons_grammar(text: str) -> None:
    try:
        expected = by_python(text)
    except ZeroDivisionError:
        with pytest.raises(ExpressionError, match="division by zero"):
            calculate(text)
        return
    assert calculate(text) == expected


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("-2^2", -4),
        ("2^3^2", 512),
        ("2^-2", Fraction(1, 4)),
        ("2(3)", 6),
        ("(1+2)(3+4)", 21),
        ("1,234,567", 1_234_567),
        ("0.1 + 0.2", Fraction(3, 10)),
        (".5", Fraction(1, 2)),
        ("3 1/2", Fraction(7, 2)),
        ("3\\frac{1}{2}", Fraction(7, 2)),
        ("\\frac12 \\times 4", 2),
        ("\\dfrac{3}{4} \\div 3", Fraction(1, 4)),
        ("\\sqrt{9/4}", Fraction(3, 2)),
        ("\\sqrt[3]{27}", 3),
        ("|2 - 5|", 3),
        ("7 − 9", -2),
        ("--3", 3),
    ],
)
def test_notation_is_read_as_it_is_written(text: str, value: Fraction | int) -> None:
    assert calculate(text) == value


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "text ends"),
        ("3 +", "text ends"),
        ("(3", "text ends"),
        ("3)", "the end"),
        ("1/0", "division by zero"),
        ("0^-1", "division by zero"),
        ("3 4", "the end"),
        ("2^0.5", "exponent"),
        ("\\sqrt{2}", "no exact"),
        ("pi", "no exact"),
        ("__import__('os')", "is not part"),
        ("nan", "is not part"),
        ("Infinity", "is not part"),
        ("5!", "is not part"),
        ("٣", "U\\+0663"),
        ("３", "U\\+FF13"),
        ("²", "U\\+00B2"),
        ("\\input{x}", "command"),
    ],
)
def test_anything_else_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(ExpressionError, match=why):
        calculate(text)


@pytest.mark.parametrize(
    "text",
    [
        "9**9**9",
        "9^9^9^9",
        "((2^64)^64)^64",
        "2^" + "9" * 300,
        "(" * 200 + "1" + ")" * 200,
        "(" * 10_000,
        "-" * 300 + "1",
        "2^" * 100 + "1",
        "\\frac" * 60,
        "\\sqrt" * 60 + "4",
        "1+" * 150 + "1",
        "1" * 1_000_000,
        " " * 1_000_000,
        "9" * (MAX_CHARACTERS + 1),
        "\\sqrt[" + "9" * 30 + "]{4}",
        "|" * 300,
    ],
)
def test_bombs_are_refused_before_they_are_worked_out(text: str) -> None:
    with pytest.raises(ExpressionError):
        calculate(text)


@given(st.text(max_size=60) | st.text(alphabet="0123456789+-*/^()., \\fracsqt{}[]|xyi", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse(text)
        calculate(text)
    except ExpressionError:
        pass


@given(st.integers(2, 9), st.integers(MAX_EXPONENT + 1, 10**30))
def test_no_exponent_above_the_bound_is_taken(base: int, exponent: int) -> None:
    with pytest.raises(ExpressionError):
        calculate(f"{base}^{exponent}")


@given(st.integers(0, 10**12), st.integers(1, 10**6), st.integers(2, 5))
def test_roots_are_exact_or_refused(top: int, bottom: int, degree: int) -> None:
    fraction = Fraction(top, bottom)
    power = fraction**degree
    assert calculate(f"\\sqrt[{degree}]{{{power.numerator}/{power.denominator}}}") == fraction
    if power.denominator == 1 and power > 1:
        with pytest.raises(ExpressionError):
            calculate(f"\\sqrt[{degree}]{{{power + 1}}}")
