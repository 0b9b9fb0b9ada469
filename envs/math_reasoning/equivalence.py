"""Whether an answer says the same as the gold one: exact for rational golds, by identity tests for the others."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

from fogline.envs.math_reasoning.answers import boxed_answer
from fogline.envs.math_reasoning.expressions import MAX_CHARACTERS, Expression, ExpressionError, exact_value, parse
from fogline.envs.math_reasoning.identities import letters_of, same_function

MAX_MEMBERS = 24
"""Members of a list, a tuple or a matrix that are compared."""

_WRAPPERS = (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"))
_WORDS = re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mbox|operatorname)\s*\{([^{}]*)\}")
_LAYOUT = re.compile(r"\\(?:left|right|displaystyle|quad|qquad|[!;:])|\\,|\{,\}(?![0-9])")
_DEGREES = re.compile(r"\^\s*(?:\\circ|\{\s*\\circ\s*\})|°|\\degree|\bdegrees?\b")
_NAMED = re.compile(r"[A-Za-z](?:\([a-z]\))?\s*(?:=|\\in\b)\s*([^=]+)")
_UNIT = re.compile(
    r"((?:\\(?:frac|sqrt|pi)|[^A-Za-z\\])*[0-9})])\s*"
    r"(?:(?=[A-Za-z]*[aeiou])[A-Za-z]{3,}|(?:[cmk]?m|[mk]?g|[mcd]?[lL]|ft|in|yds?|mi|oz|lbs?|hrs?|[ap]m|mph|kph|s|h)\b)"
    r"[A-Za-z ./]*(?:\^?\{?[23]\}?)?",
    re.ASCII,
)
"""A number and its unit: a word, or one of the usual short ones, so that ``2x`` and ``2xy`` have none."""
_MATRIX = re.compile(r"\\begin\{([pbvBV]?matrix|array)\}(?:\{[lcr|]*\})?(.*)\\end\{\1\}", re.DOTALL)
_THOUSANDS = re.compile(r"(?<=[0-9]),(?=[0-9]{3}(?![0-9]))")
_JOINED = re.compile(r"\s(?:and|or)\s|\\cup\b|∪")


class _Value(NamedTuple):
    """A single answer, read."""

    expression: Expression
    percent: bool


def equivalent(answer: str, gold: str) -> bool:
    r"""Whether two answers say the same.

    Numbers are compared exactly: ``0.5``, ``1/2`` and ``\frac12`` are one, ``0.33`` and ``1/3`` are not. Units,
    currency and degrees are not compared; where only one side is a percentage, it may be meant as written or as a
    share. Tuples, intervals and matrices are compared member by member, sets and bare lists in any order, words without
    regard to case. A rational gold needs an answer of numbers, ``+ - * /``, whole powers and exact roots; any other
    gold is compared as a function of its letters, which needs
    ``mpmath``.

    Time is bounded: an answer longer than 400 characters is equivalent to nothing but itself.

    Args:
        answer: What was found in a reply.
        gold: The gold answer.

    Raises:
        MissingDependencyError: The gold is not rational, and mpmath is not installed.
    """
    if answer == gold:
        return True
    if max(len(answer), len(gold)) > MAX_CHARACTERS:
        return False
    return _same(_tidy(answer), _tidy(gold), depth=0)


def needs_identities(gold: str) -> bool:
    """Whether comparing with this gold takes mpmath: an expression in it is not rational."""
    _, members = _members(_tidy(gold)) if len(gold) <= MAX_CHARACTERS else ("", ())
    if len(members) > 1:
        return any(map(needs_identities, members))
    value = _read(members[0]) if members else None
    return value is not None and _rational(value.expression) is None


def _tidy(text: str) -> str:
    """Without what only lays it out: math marks, text commands, units of angle and money, a final stop."""
    text = text.strip()
    for opening, closing in _WRAPPERS:
        if len(text) > len(opening) + len(closing) and text.startswith(opening) and text.endswith(closing):
            text = text[len(opening) : -len(closing)].strip()
    boxed = boxed_answer(text)
    text = _WORDS.sub(r" \1 ", text if boxed is None else boxed).replace("\\$", "").replace("\\%", "%")
    text = _DEGREES.sub("", _LAYOUT.sub("", text))
    text = re.sub(r"[$€£]", "", text).replace("−", "-").replace("∞", "\\infty").strip()
    text = text[:-1] if text.endswith(".") else text
    named = _NAMED.fullmatch(text)
    return (named[1] if named else text).strip()


def _same(answer: str, gold: str, depth: int) -> bool:
    if _plain(answer) == _plain(gold) != "":
        return True
    (shape, members), (gold_shape, gold_members) = _members(answer), _members(gold)
    if shape != gold_shape or len(members) != len(gold_members) or len(members) > MAX_MEMBERS:
        return False
    if shape == "single" and members:
        return _same_value(members[0], gold_members[0])
    if depth > 2 or not members:
        return False
    if shape == "list":
        return _same_in_any_order(members, gold_members, depth + 1)
    return all(_same(left, right, depth + 1) for left, right in zip(members, gold_members, strict=True))


def _same_in_any_order(members: Sequence[str], golds: Sequence[str], depth: int) -> bool:
    left = list(golds)
    for member in members:
        found = next((gold for gold in left if _same(member, gold, depth)), None)
        if found is None:
            return False
        left.remove(found)
    return True


def _plain(text: str) -> str:
    """For comparing words: no spaces, no case, no brackets around a single letter."""
    plain = "".join(text.split()).casefold()
    return plain[1:-1] if len(plain) == 3 and plain[0] == "(" and plain[2] == ")" and plain[1].isalpha() else plain


def _members(text: str) -> tuple[str, list[str]]:
    """The shape of an answer and its members; a shape names brackets and rows, since [0, 1) is not (0, 1)."""
    matrix = _MATRIX.fullmatch(text)
    if matrix is not None:
        rows = [row.split("&") for row in matrix[2].strip().removesuffix("\\\\").split("\\\\")]
        return f"matrix {[len(row) for row in rows]}", [cell.strip() for row in rows for cell in row]
    if text.startswith("\\{") and text.endswith("\\}"):
        return _listed(_split(text[2:-2]))
    if text[:1] in ("(", "[") and text[-1:] in (")", "]"):
        inner = _split(text[1:-1])
        if len(inner) > 1 and _balanced(text[1:-1]):
            return text[0] + text[-1], inner
    if "\\pm" in text:
        parts = text.split("\\pm")
        return "list", ["+".join(parts), "-".join(parts)] if len(parts) == 2 else [text]
    parts = [member for part in _JOINED.split(text) for member in _split(part)]
    # "x = 1, x = 2": the name was taken off the front only.
    parts = [named[1].strip() if (named := _NAMED.fullmatch(part)) else part for part in parts]
    return _listed(parts)


def _listed(members: list[str]) -> tuple[str, list[str]]:
    return ("list" if len(members) > 1 else "single"), members


def _split(text: str) -> list[str]:
    """Cut at commas outside brackets, those within a number excepted."""
    text = _THOUSANDS.sub("", text)
    parts, depth, start = [], 0, 0
    for place, character in enumerate(text):
        depth += (character in "([{") - (character in ")]}")
        if character == "," and depth == 0:
            parts.append(text[start:place].strip())
            start = place + 1
    return [part for part in [*parts, text[start:].strip()] if part]


def _balanced(text: str) -> bool:
    """Whether no bracket closes that was not opened: "1, 2) and (3, 4" is not the inside of one pair."""
    depth = 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        if depth < 0:
            return False
    return depth == 0


def _same_value(answer: str, gold: str) -> bool:
    left, right = _read(answer), _read(gold)
    if left is None or right is None:
        return False
    if bool(letters_of(left.expression)) != bool(letters_of(right.expression)):
        # The letters of one side can only be a unit.
        left, right = _without_unit(answer, left), _without_unit(gold, right)
    if left.percent == right.percent:
        return _equal(left.expression, right.expression)
    if _equal(left.expression, right.expression):
        return True
    if left.percent:
        return _equal(_share(left.expression), right.expression)
    return _equal(left.expression, _share(right.expression))


def _share(percentage: Expression) -> Expression:
    return Expression("/", (percentage, Expression("number", value=Fraction(100))))


def _read(text: str) -> _Value | None:
    percent = text.endswith("%")
    bare = text.removesuffix("%").strip()
    try:
        return _Value(parse(bare), percent)
    except ExpressionError:
        unit = _UNIT.fullmatch(bare)
    try:
        return None if unit is None else _Value(parse(unit[1]), percent or unit[0].endswith("percent"))
    except ExpressionError:
        return None


def _without_unit(text: str, value: _Value) -> _Value:
    unit = _UNIT.fullmatch(text) if letters_of(value.expression) else None
    try:
        return value if unit is None else _Value(parse(unit[1]), value.percent)
    except ExpressionError:
        return value


def _equal(answer: Expression, gold: Expression) -> bool:
    wanted = _rational(gold)
    if wanted is not None:
        return _rational(answer) == wanted
    return same_function(answer, gold)


def _rational(expression: Expression) -> Fraction | None:
    try:
        return exact_value(expression)
    except ExpressionError:
        return None
