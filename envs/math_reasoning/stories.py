"""Word problems in ten levels: a quantity that changes step by step, told in five kinds of story.

A story of level L has L steps. What happens and with which numbers is the problem; names, things and turns of
phrase are only its telling, and a problem has several tellings.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from fogline.envs.math_reasoning.draft import Draft, pick
from fogline.envs.math_reasoning.expressions import written
from fogline.envs.math_reasoning.story_words import NAMES, OPENINGS, QUESTIONS, SENTENCES, THINGS

TELLINGS = 3
LARGEST_DENOMINATOR = 60
"""Of a quantity that is not counted in whole things."""
_TRIES = 12
"""Draws of one event until it fits the story."""
_PARTS = ((1, 2), (1, 3), (1, 4), (2, 3), (3, 4), (1, 5), (2, 5))


@dataclass(frozen=True)
class Step:
    """What happens to the quantity.

    Attributes:
        event: Name of the event, which has its sentences in the family's words.
        numbers: Numbers that its sentence tells.
        value: The quantity afterwards.
    """

    event: str
    numbers: tuple[int, ...]
    value: Fraction


Change = Callable[[np.random.Generator, Fraction], "Step | None"]


@dataclass(frozen=True)
class Family:
    """A kind of story.

    Attributes:
        largest: Largest number that it begins with.
        most: Largest value that the quantity may reach.
        whole: Whether the quantity is counted in whole things.
        changes: What may happen.
    """

    largest: int
    most: int
    whole: bool
    changes: tuple[Change, ...]


def _add(event: str, largest: int) -> Change:
    def change(rng: np.random.Generator, value: Fraction) -> Step:
        number = int(rng.integers(2, largest + 1))
        return Step(event, (number,), value + number)

    return change


def _take(event: str, largest: int) -> Change:
    def change(rng: np.random.Generator, value: Fraction) -> Step | None:
        most = min(largest, -(-value.numerator // value.denominator) - 1)
        if most < 2:
            return None
        number = int(rng.integers(2, most + 1))
        return Step(event, (number,), value - number)

    return change


def _multiply(event: str, largest: int) -> Change:
    def change(rng: np.random.Generator, value: Fraction) -> Step:
        number = int(rng.integers(2, largest + 1))
        return Step(event, (number,), value * number)

    return change


def _divide(event: str, largest: int) -> Change:
    def change(rng: np.random.Generator, value: Fraction) -> Step:
        number = int(rng.integers(2, largest + 1))
        return Step(event, (number,), value / number)

    return change


def _lose_part(event: str) -> Change:
    """A part of the quantity goes: one step, what is left of the whole."""

    def change(rng: np.random.Generator, value: Fraction) -> Step:
        top, bottom = pick(rng, _PARTS)
        return Step(event, (top, bottom), value * (1 - Fraction(top, bottom)))

    return change


FAMILIES = {
    "shopping": Family(
        40,
        2_000,
        False,
        (_add("also", 30), _take("voucher", 12), _multiply("repeat", 4), _divide("split", 4), _lose_part("sale")),
    ),
    "sharing": Family(
        60,
        2_000,
        True,
        (_add("gets", 40), _take("gives", 30), _multiply("times", 4), _divide("boxes", 6), _lose_part("loses")),
    ),
    "rates": Family(
        90,
        2_000,
        False,
        (_add("poured", 40), _take("leaks", 30), _multiply("longer", 4), _divide("barrels", 5), _lose_part("used")),
    ),
    "ages": Family(
        30,
        100,
        True,
        (_add("older", 20), _take("younger", 15), _multiply("times", 3), _divide("fraction", 4)),
    ),
    "mixtures": Family(
        40,
        2_000,
        False,
        (_add("stirred", 25), _take("skimmed", 12), _multiply("batches", 4), _divide("jars", 5), _lose_part("spilt")),
    ),
}


def draw_story(rng: np.random.Generator, level: int) -> Draft | None:
    """Draw a word problem of a level, 1 to 10; None where no fitting event is found."""
    kind = pick(rng, tuple(FAMILIES))
    family = FAMILIES[kind]
    start = int(rng.integers(4, family.largest + 1))
    steps = _events(rng, family, Fraction(start), level)
    if steps is None:
        return None
    content = f"{kind} {start} " + " ".join(f"{step.event}{step.numbers}" for step in steps)
    return Draft(
        kind=kind,
        content=content,
        answer=written(steps[-1].value),
        steps=level,
        tellings=tuple(_told(rng, kind, start, steps) for _ in range(TELLINGS)),
        short="",
    )


def _events(rng: np.random.Generator, family: Family, value: Fraction, count: int) -> list[Step] | None:
    steps: list[Step] = []
    for _ in range(count):
        step = _event(rng, family, value, steps[-1].event if steps else "")
        if step is None:
            return None
        value = step.value
        steps.append(step)
    return steps


def _event(rng: np.random.Generator, family: Family, value: Fraction, last: str) -> Step | None:
    """An event that fits; never the last one again, which would read as the same thing told twice."""
    for _ in range(_TRIES):
        step = pick(rng, family.changes)(rng, value)
        if step is None or step.event == last or not 0 < step.value <= family.most:
            continue
        if step.value.denominator <= (1 if family.whole else LARGEST_DENOMINATOR):
            return step
    return None


def _told(rng: np.random.Generator, kind: str, start: int, steps: Sequence[Step]) -> str:
    """One telling: the names of the people, the thing and the sentences are drawn."""
    people = [NAMES[int(index)] for index in rng.permutation(len(NAMES))[: len(steps) + 1]]
    words = {"thing": pick(rng, THINGS[kind])}
    sentences = [pick(rng, OPENINGS[kind]).format(who=people[0], a=start, **words)]
    for place, step in enumerate(steps):
        numbers = dict(zip("ab", step.numbers, strict=False))
        before, after = (people[place], people[place + 1]) if kind == "ages" else (people[0], people[0])
        sentences.append(pick(rng, SENTENCES[kind][step.event]).format(who=before, next=after, **numbers, **words))
    last = people[len(steps)] if kind == "ages" else people[0]
    return " ".join([*sentences, pick(rng, QUESTIONS[kind]).format(who=last, **words)])
