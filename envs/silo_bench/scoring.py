"""What submitted answers are worth: success S, partial correctness P, and both as the published scorer counts them.

Whatever an agent submits can be scored: text, JSON values or neither, deep, huge or none at all; nothing here raises
for an answer. Source: Silo-Bench, arXiv 2603.01045, section 3.3, and for what the release does, its scorer's rules.
"""

from __future__ import annotations

import ast
import json
import marshal
import math
import re
import sys
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from statistics import fmean
from typing import Any, Final, NamedTuple, TypeAlias, cast

from fogline.core.errors import ConfigurationError
from fogline.envs.silo_bench.tasks.task import SiloTask

Canonical: TypeAlias = "bool | int | float | str | list[Canonical | None] | dict[str, Canonical | None]"


class NotParsed(Enum):
    """The one value that stands for an answer which is null or cannot be read."""

    NOT_PARSED = "not parsed"


NOT_PARSED: Final = NotParsed.NOT_PARSED

# The longest honest answer has 10,000 numbers (III-30 as published, N = 100): some 150,000 characters when indented.
LONGEST_TEXT = 2**18
MOST_VALUES = 2**15
DEEPEST = 16
# Python's own parser takes far longer than JSON's; the longest honest dictionary has some 15,000 characters.
LONGEST_LITERAL = 2**16
_LARGEST_INTEGER = int(sys.float_info.max)

# What a Python literal of JSON-like values is made of. Operators could nest without brackets, deeper than Python's
# parser can bear: hence what has to follow a number. The possessive quantifiers keep the match linear.
_PYTHON_LITERAL = re.compile(
    r"""(?:\s++|[\[\](){}:,]|(?:True|False|None)\b"""
    r"""|[+-]?(?:\d++\.?+\d*+|\.\d++)(?:[eE][+-]?\d++)?+(?=\s*+(?:[\])}:,]|\Z))"""
    r"""|'(?:[^'\\\n]|\\[\\'"nrtbf])*+'|"(?:[^"\\\n]|\\[\\'"nrtbf])*+")*+"""
)


class _UnreadableError(Exception):
    """No canonical form."""


def canonical(answer: object) -> Canonical | NotParsed:
    """Bring an answer into the one form in which answers are compared.

    Text is stripped and read as JSON, else as a Python literal, else it stays the text that it is. Tuples become
    lists, keys of dictionaries strings (as JSON writes them), floats without a fractional part integers.

    Args:
        answer: Text, or a value as ``json.loads`` gives it; anything else is allowed, too.

    Returns:
        The value; ``NOT_PARSED`` for null, blank text, what JSON does not have (sets, bytes, …), more than
        ``DEEPEST`` levels of nesting, ``MOST_VALUES`` values or ``LONGEST_TEXT`` characters, and for integers beyond
        all floats.
    """
    return _canonical(_read(answer) if isinstance(answer, str) else answer)


def correct(answer: object, expected: Any, tolerance: float = 0.0) -> bool:
    """Whether an answer is right.

    Args:
        answer: As submitted.
        expected: The JSON-ready truth.
        tolerance: Largest absolute difference for numbers, at any depth, that ``expected`` gives as floats. All else
            is exact: integers, texts, lengths and keys. A truth value is no number.
    """
    return _matches(canonical(answer), expected, tolerance)


def partial_correctness(answer: object, expected: Any, task: SiloTask) -> float:
    """Partial correctness q of one agent, repaired: a correct answer is always worth 1.

    Level I: 1 for a number within 1 % of the truth (exactly 0 where that is 0), else all or nothing. Levels II and
    III: the share of the elements of ``expected`` that stand at their place, or under their key; nested lists and
    dictionaries are averages of averages. A flat list on level III: the longest subsequence whose order is right, over
    the length of ``expected``, where the j-th copy of a value stands for the j-th copy in ``expected``.

    Returns:
        From 0 to 1; 0 for an answer that is null or cannot be read.
    """
    return _partial(canonical(answer), expected, task)


def strict_correct(answer: object, expected: Any) -> bool:
    """Equality as in the released code: Python's ``==`` after JSON has been read, without tolerance.

    A Python literal that is no JSON, such as a dictionary with integer keys, stays text and is wrong.
    """
    value = _as_published(answer)
    return value is not NOT_PARSED and bool(value == expected)


def published_partial(answer: object, expected: Any, task: SiloTask) -> float | None:
    """Partial correctness as published, defects included, for comparison with published numbers.

    On level III, positions of values come from a dictionary and must increase strictly: repeated values collapse,
    so that a perfect answer can get less than 1.

    Returns:
        From 0 to 1, or ``None`` where the published scorer would have crashed: on lists of lists at level III.
    """
    value = _as_published(answer)
    if value is NOT_PARSED:
        return 0.0
    if task.level == "I" and _is_number(expected) and _is_number(value):
        return float(_within_one_per_cent(value, expected))
    if task.level == "I" or not expected or not (isinstance(expected, list) and isinstance(value, list)):
        return float(value == expected)
    if task.level == "II":
        equal: int = sum(one == other for one, other in zip(value, expected, strict=False))
        return equal / len(expected)
    try:
        place = {element: index for index, element in enumerate(expected)}
        return _longest_increasing(place[element] for element in value if element in place) / len(expected)
    except TypeError:
        return None


@dataclass(frozen=True, slots=True)
class AnswerScores:
    """Scores of all agents of an episode.

    Attributes:
        correct: Per agent, with tolerance.
        partial: Per agent, repaired, from 0 to 1.
        strict: Per agent, as in the released code.
        published: Per agent, as published; ``None`` where undefined.
        parse_failures: Agents whose answer is null, cannot be read, or is plain words where no text is expected.
    """

    correct: tuple[bool, ...]
    partial: tuple[float, ...]
    strict: tuple[bool, ...]
    published: tuple[float | None, ...]
    parse_failures: int

    @property
    def success_rate(self) -> float:
        """S, the share of agents whose answer is right."""
        return fmean(self.correct)

    @property
    def partial_correctness(self) -> float:
        """P, the mean of ``partial``."""
        return fmean(self.partial)

    @property
    def strict_success_rate(self) -> float:
        """S_strict, the mean of ``strict``."""
        return fmean(self.strict)

    @property
    def published_partial_correctness(self) -> float | None:
        """P_repo, the mean of ``published``; ``None`` if one of them is, since the published run had ended there."""
        values = [value for value in self.published if value is not None]
        return fmean(values) if len(values) == len(self.published) else None


class AnswerScore(NamedTuple):
    """Score of one agent's answer; fields as in :class:`AnswerScores`."""

    correct: bool
    partial: float
    strict: bool
    published: float | None
    parse_failure: bool


class AnswerScorer:
    """Scores the answers of one episode; equal answers to the same truth are scored once.

    Args:
        expected: What :meth:`SiloTask.solve` gives.
        task: For its level and tolerance.
    """

    def __init__(self, expected: Sequence[Any], task: SiloTask) -> None:
        self._expected = expected
        self._task = task
        self._known: dict[tuple[int, str | bytes], AnswerScore] = {}

    def score(self, agent: int, answer: object) -> AnswerScore:
        """Score what one agent submitted; ``None`` for nothing."""
        truth, identity = self._expected[agent], _identity_of(answer)
        if identity is None:
            return _score(answer, truth, self._task)
        # Each truth lives as long as this scorer, so that its id is its own.
        place = id(truth), identity
        if place not in self._known:
            self._known[place] = _score(answer, truth, self._task)
        return self._known[place]

    def scores(self, answers: Sequence[object]) -> AnswerScores:
        """Score all answers.

        Raises:
            ConfigurationError: If the lengths differ, or there is no agent.
        """
        if not self._expected or len(answers) != len(self._expected):
            raise ConfigurationError(
                f"{len(answers)} answers cannot be scored against {len(self._expected)} expected ones: "
                "pass one answer per agent (None for an agent that submitted nothing), and at least one."
            )
        scores = [self.score(agent, answer) for agent, answer in enumerate(answers)]
        correct_, partial, strict, published, failures = zip(*scores, strict=True)
        return AnswerScores(correct_, partial, strict, published, sum(failures))


def score_answers(answers: Sequence[object], expected: Sequence[Any], task: SiloTask) -> AnswerScores:
    """Score an episode.

    Args:
        answers: What each agent submitted; ``None`` for nothing.
        expected: What :meth:`SiloTask.solve` gives.
        task: For its level and tolerance.

    Raises:
        ConfigurationError: If the lengths differ, or there is no agent.
    """
    return AnswerScorer(expected, task).scores(answers)


def _score(answer: object, expected: Any, task: SiloTask) -> AnswerScore:
    value = canonical(answer)
    unreadable = value is NOT_PARSED or (isinstance(value, str) and not isinstance(expected, str))
    return AnswerScore(
        _matches(value, expected, task.tolerance),
        _partial(value, expected, task),
        strict_correct(answer, expected),
        published_partial(answer, expected, task),
        unreadable,
    )


def _identity_of(answer: object) -> str | bytes | None:
    """What two answers share only if they are scored alike: the text, or the value in bytes; ``None`` if unsure."""
    if isinstance(answer, str):
        return answer
    if not _bounded(answer):
        return b""
    try:
        # Version 2 writes equal values alike, whoever else refers to their parts, and tells True from 1.
        return marshal.dumps(cast(Any, answer), 2)
    except ValueError:
        return None


def _read(text: str) -> object:
    """JSON, else a Python literal, else the stripped text; null for no text or too long a one."""
    if len(text) > LONGEST_TEXT or not (text := text.strip()):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    if len(text) <= LONGEST_LITERAL and _PYTHON_LITERAL.fullmatch(text):
        try:
            return ast.literal_eval(text)
        # Whatever the parser says of text that is no literal, or too deep a one.
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            pass
    return text


def _canonical(value: object) -> Canonical | NotParsed:
    try:
        plain = _plain(value) if _bounded(value) else None
    except _UnreadableError:
        return NOT_PARSED
    return NOT_PARSED if plain is None else plain


def _as_published(answer: object) -> Any:
    """The released tool-call parser's reading: truth values, JSON, else text."""
    if not isinstance(answer, str):
        return _canonical(answer)
    if len(answer) > LONGEST_TEXT or not (text := answer.strip()):
        return NOT_PARSED
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return _canonical(json.loads(text))
    except (ValueError, RecursionError):
        return text


def _bounded(value: object) -> bool:
    """Whether a value is neither too deep nor too large; decided for circular ones, too."""
    left, level = MOST_VALUES, [value]
    for _ in range(DEEPEST + 1):
        containers = [item for item in level if isinstance(item, list | tuple | dict)]
        if not containers:
            return True
        left -= sum(map(len, containers))
        if left < 0:
            return False
        level = [item for held in containers for item in (held.values() if isinstance(held, dict) else held)]
    return False


def _plain(value: object) -> Canonical | None:
    """Copy a bounded value into plain JSON values."""
    # The frequent kinds first: answers have up to 10,000 numbers.
    if isinstance(value, float):
        return int(value) if value.is_integer() else float(value)
    if isinstance(value, int):
        # Beyond all floats, comparing with one would overflow.
        if abs(value) > _LARGEST_INTEGER:
            raise _UnreadableError
        return value if isinstance(value, bool) else int(value)
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, dict):
        return {_key(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    raise _UnreadableError


def _key(key: object) -> str:
    if isinstance(key, str):
        return key
    if key is None or isinstance(key, int | float):
        # As JSON writes it: a float stays one, and integers must not be too large to write.
        return json.dumps(key if isinstance(key, float) else _plain(key))
    raise _UnreadableError


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _within_one_per_cent(value: Any, expected: Any) -> bool:
    return bool(abs(value - expected) <= 0.01 * abs(expected))


def _matches(value: object, expected: Any, tolerance: float) -> bool:
    if isinstance(expected, list):
        if not isinstance(value, list) or len(value) != len(expected):
            return False
        return all(_matches(one, other, tolerance) for one, other in zip(value, expected, strict=True))
    if isinstance(expected, dict):
        if not isinstance(value, dict) or value.keys() != expected.keys():
            return False
        return all(_matches(value[key], other, tolerance) for key, other in expected.items())
    if isinstance(expected, bool) or not _is_number(expected):
        return type(value) is type(expected) and value == expected
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        return False
    if isinstance(expected, int):
        return value == expected
    # 0.13 - 0.12 is a little more than 0.01 in binary: the bound gives way by that much.
    return bool(abs(value - expected) <= tolerance * (1 + 1e-9))


def _partial(value: Canonical | NotParsed, expected: Any, task: SiloTask) -> float:
    if value is NOT_PARSED:
        return 0.0
    if _matches(value, expected, task.tolerance):
        return 1.0
    if task.level == "I":
        return float(_is_number(value) and _is_number(expected) and _within_one_per_cent(value, expected))
    if task.level == "III" and isinstance(expected, list) and not any(isinstance(e, list | dict) for e in expected):
        return _share_in_order(value, expected) if isinstance(value, list) else 0.0
    return _share_in_place(value, expected, task.tolerance)


def _share_in_place(value: object, expected: Any, tolerance: float) -> float:
    if isinstance(expected, list) and expected:
        if not isinstance(value, list):
            return 0.0
        pairs = zip(value, expected, strict=False)
        return sum(_share_in_place(one, other, tolerance) for one, other in pairs) / len(expected)
    if isinstance(expected, dict) and expected:
        if not isinstance(value, dict):
            return 0.0
        shared = (key for key in expected if key in value)
        return sum(_share_in_place(value[key], expected[key], tolerance) for key in shared) / len(expected)
    return float(_matches(value, expected, tolerance))


def _share_in_order(value: list[Any], expected: list[Any]) -> float:
    """Longest subsequence in the order of ``expected``, the j-th copy of a value standing for its j-th copy there."""
    places: dict[tuple[bool, Any], list[int]] = {}
    for index in reversed(range(len(expected))):
        places.setdefault(_identity(expected[index]), []).append(index)
    scalars = (element for element in value if not isinstance(element, list | dict))
    matched = [copies.pop() for element in scalars if (copies := places.get(_identity(element)))]
    # Every place is matched once at most, so that "not decreasing" and "increasing" are the same here.
    return _longest_increasing(matched) / len(expected) if expected else 0.0


def _identity(element: Any) -> tuple[bool, Any]:
    """Python takes True and 1 for equal keys."""
    return isinstance(element, bool), element


def _longest_increasing(places: Iterable[int]) -> int:
    """Length of the longest strictly increasing subsequence, in O(n log n)."""
    ends: list[int] = []
    for place in places:
        index = bisect_left(ends, place)
        ends[index : index + 1] = [place]
    return len(ends)
