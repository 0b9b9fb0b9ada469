"""Whether an answer is the gold one: by the rules of this environment, or by those of WikiTableQuestions."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from fogline.simulators.tables.questions import ENTAILED, REFUTED

SEPARATOR = "|"
"""Between the members of a list."""
Rules = Literal["plain", "wikitablequestions"]

_ALIASES = {"yes": ENTAILED, "true": ENTAILED, "no": REFUTED, "false": REFUTED}
_CURRENCY = str.maketrans("", "", "$€£¥,")
_PLAIN_NUMBER = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[-+]?[0-9]{1,3})?")
_RELATIVE, _ABSOLUTE = 1e-3, 1e-6


def is_right(answer: str | None, golds: Sequence[str], rules: Rules = "plain") -> bool:
    """Whether an answer names the gold ones, each once, in any order.

    Args:
        answer: As it was given; members of a list are separated by ``|``. None is never right.
        golds: The gold list.
        rules: ``plain``: numbers within 1e-6 and a thousandth, per cent kept apart, other text without regard to case.
            ``wikitablequestions``: the data set's own evaluation: text without accents, quotes, citations and trailing
            brackets, numbers within 1e-6, dates by year, month and day.
    """
    if answer is None:
        return False
    given = answer.split(SEPARATOR)
    if len(given) != len(golds):
        return False
    same = _same_by_wikitablequestions if rules == "wikitablequestions" else _same
    return _matched(given, golds, same)


def _matched(given: Sequence[str], golds: Sequence[str], same: Callable[[str, str], bool]) -> bool:
    """Whether each gold has a given answer of its own; a member is taken by the first gold that it fits."""
    left = list(given)
    for gold in golds:
        found = next((place for place, answer in enumerate(left) if same(answer, gold)), None)
        if found is None:
            return False
        left.pop(found)
    return True


# This environment's own rules


def _same(answer: str, gold: str) -> bool:
    one, other = _tidy(answer), _tidy(gold)
    if one == other:
        return True
    first, second = _number(one), _number(other)
    if first is None or second is None or first.percent != second.percent:
        return False
    return abs(first.value - second.value) <= _ABSOLUTE + _RELATIVE * abs(second.value)


def same_value(one: str, other: str) -> bool:
    """Whether two readings of a cell agree: exactly as numbers, else as text without regard to case."""
    first, second = _tidy(one), _tidy(other)
    if first == second:
        return True
    values = _number(first), _number(second)
    return values[0] is not None and values[0] == values[1]


class _Number(NamedTuple):
    value: float
    percent: bool


def _tidy(text: str) -> str:
    tidy = " ".join(text.lower().split()).strip(" .")
    return _ALIASES.get(tidy, tidy)


def _number(text: str) -> _Number | None:
    bare = text.translate(_CURRENCY).strip()
    percent = bare.endswith("%")
    bare = bare.rstrip("% ")
    if not _PLAIN_NUMBER.fullmatch(bare):
        return None
    value = float(bare)
    return _Number(value, percent) if math.isfinite(value) else None


def number_of(text: str) -> float | None:
    """The number that a cell holds, a per cent sign disregarded; None where it is no number."""
    found = _number(_tidy(text))
    return None if found is None else found.value


# WikiTableQuestions' rules

_QUOTES = str.maketrans({**dict.fromkeys("‘’´`", "'"), **dict.fromkeys("“”", '"'), **dict.fromkeys("‐‑‒–—−", "-")})
_CITATIONS = re.compile(r"(?:(?<!^)\[[^\]]*\]|\[[0-9]+\]|[•♦†‡*#+])+$")
_DETAILS = re.compile(r"(?<!^)(?: \([^)]*\))+$")
_QUOTED = re.compile(r'"([^"]*)"')
_DATE = re.compile(r"(xxxx|xx|[0-9]{1,4})-(xx|[0-9]{1,2})-(xx|[0-9]{1,2})")


class _Date(NamedTuple):
    year: int | None
    month: int | None
    day: int | None


def _same_by_wikitablequestions(answer: str, gold: str) -> bool:
    if _normalised(answer) == _normalised(gold):
        return True
    first, second = _typed(answer), _typed(gold)
    if isinstance(first, float) and isinstance(second, float):
        return abs(first - second) < 1e-6
    return isinstance(first, _Date) and first == second


def _normalised(text: str) -> str:
    """Text as it is compared: what decorates it is taken off from outside in, until nothing changes."""
    text = "".join(letter for letter in unicodedata.normalize("NFKD", text) if unicodedata.category(letter) != "Mn")
    text = text.translate(_QUOTES)
    before = None
    while text != before:
        before = text
        text = _CITATIONS.sub("", text.strip())
        text = _DETAILS.sub("", text.strip())
        quoted = _QUOTED.fullmatch(text.strip())
        text = quoted[1] if quoted else text.strip()
    return " ".join(text.removesuffix(".").lower().split())


def _typed(text: str) -> float | _Date | str:
    """A number, a date, or text; a date of a year alone is that number."""
    bare = text.strip().replace(",", "") if _THOUSANDS.fullmatch(text.strip()) else text.strip()
    try:
        value = float(bare)
    except ValueError:
        return _dated(text.strip().lower())
    return value if math.isfinite(value) else text


_THOUSANDS = re.compile(r"[-+]?[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?")


def _dated(text: str) -> float | _Date | str:
    match = _DATE.fullmatch(text)
    if match is None:
        return text
    year, month, day = (None if part.startswith("x") else int(part) for part in match.groups())
    if (month is not None and not 1 <= month <= 12) or (day is not None and not 1 <= day <= 31):
        return text
    if year is not None and month is None and day is None:
        return float(year)
    return text if year is month is day is None else _Date(year, month, day)
