"""Filters: a condition drawn from the values that are there, said in two wordings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import date
from typing import TYPE_CHECKING

import numpy as np

from fogline.simulators.databases.enterprise.model import Attribute
from fogline.simulators.databases.enterprise.questions.query import Filter, Node, Unsuitable, plain, quoted

if TYPE_CHECKING:
    from fogline.simulators.databases.enterprise.questions.maker import Maker

_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip


def say_day(iso: str) -> str:
    """``2021-03-05`` as ``5 March 2021``."""
    day = date.fromisoformat(iso)
    return f"{day.day} {_MONTHS[day.month - 1]} {day.year}"


def _subject(maker: Maker, node: Node, attribute: Attribute, w: int) -> str:
    """``whose <phrase>`` for short phrases, ``where the <phrase>`` for those that ``whose`` would trip over."""
    phrase = maker.phrase(node.entity, attribute, w)
    words = phrase.split()
    clumsy = len(words) > 3 or "it" in words or "they" in words or "'s" in phrase
    return f"where the {phrase}" if clumsy else f"whose {phrase}"


def _frequent(maker: Maker, node: Node, attribute: Attribute) -> list[str]:
    values = maker.column_values(node.entity, attribute.key)
    return [value for value, count in Counter(values).most_common(4) if count >= max(2, len(values) // 20)]


def _category(maker: Maker, node: Node, attribute: Attribute) -> Filter:
    options = _frequent(maker, node, attribute)
    families = ("coded",) if (node.entity, attribute.key) in maker.schema.codes else ()
    if len(options) > 2 and maker.chance(0.3):
        first, second = (options[i] for i in maker.rng.permutation(len(options))[:2])
        literals = f"{maker.coded(node.entity, attribute, first)}, {maker.coded(node.entity, attribute, second)}"
        return Filter(
            node,
            lambda r: f"{r.column(node, attribute.key)} IN ({literals})",
            lambda w: f"{_subject(maker, node, attribute, w)} is {('either ', '')[w]}{first} or {second}",
            families,
        )
    value = maker.pick(options)
    literal = maker.coded(node.entity, attribute, value)
    if len(options) > 2 and not attribute.nullable and maker.chance(0.2):
        return Filter(
            node,
            lambda r: f"{r.column(node, attribute.key)} <> {literal}",
            lambda w: f"{_subject(maker, node, attribute, w)} is {('not', 'anything but')[w]} {value}",
            families,
        )
    return Filter(
        node,
        lambda r: f"{r.column(node, attribute.key)} = {literal}",
        lambda w: f"{_subject(maker, node, attribute, w)} is {value}",
        families,
    )


def _threshold(value: float, whole: bool) -> float:
    if abs(value) >= 1000:
        return float(round(value, -2))
    if abs(value) >= 100:
        return float(round(value, -1))
    return float(round(value)) if whole or abs(value) >= 10 else round(value, 1)


def _number(maker: Maker, node: Node, attribute: Attribute) -> Filter:
    values = np.array(maker.column_values(node.entity, attribute.key), dtype=float)
    share = float(maker.rng.uniform(0.3, 0.7))
    limit = _threshold(float(np.quantile(values, share)), attribute.kind == "number")
    shown = plain(limit)

    def subject(w: int) -> str:
        return _subject(maker, node, attribute, w)

    if maker.chance(0.25):
        low = plain(_threshold(float(np.quantile(values, 0.2)), attribute.kind == "number"))
        high = plain(_threshold(float(np.quantile(values, 0.75)), attribute.kind == "number"))
        return Filter(
            node,
            lambda r: f"{r.column(node, attribute.key)} BETWEEN {low} AND {high}",
            lambda w: (
                f"{subject(w)} {('lies between', 'is in the range from')[w]} {low} {('and', 'to')[w]} {high} inclusive"
            ),
            ("between",),
        )
    if maker.chance(0.5):
        return Filter(
            node,
            lambda r: f"{r.column(node, attribute.key)} > {shown}",
            lambda w: f"{subject(w)} is {('above', 'greater than')[w]} {shown}",
            (),
        )
    return Filter(
        node,
        lambda r: f"{r.column(node, attribute.key)} <= {shown}",
        lambda w: f"{subject(w)} is {('at most', 'no more than')[w]} {shown}",
        (),
    )


def _date(maker: Maker, node: Node, attribute: Attribute) -> Filter:
    values = sorted(maker.column_values(node.entity, attribute.key))

    def subject(w: int) -> str:
        return _subject(maker, node, attribute, w)

    style = int(maker.rng.integers(3))
    if style == 0:
        years = Counter(value[:4] for value in values)
        year = maker.pick([year for year, count in years.most_common(4) if count >= max(2, len(values) // 15)])
        return Filter(
            node,
            lambda r: f"SUBSTR({r.column(node, attribute.key)}, 1, 4) = {quoted(year)}",
            lambda w: f"{subject(w)} {('falls in', 'is in the year')[w]} {year}",
            ("date", "string"),
        )
    pivot = values[int(len(values) * maker.rng.uniform(0.3, 0.7))][:7] + "-01"
    if style == 1:
        return Filter(
            node,
            lambda r: f"{r.column(node, attribute.key)} >= {quoted(pivot)}",
            lambda w: f"{subject(w)} is {('on or after', 'not earlier than')[w]} {say_day(pivot)}",
            ("date",),
        )
    return Filter(
        node,
        lambda r: f"{r.column(node, attribute.key)} < {quoted(pivot)}",
        lambda w: f"{subject(w)} is {('before', 'earlier than')[w]} {say_day(pivot)}",
        ("date",),
    )


def _flag(maker: Maker, node: Node, attribute: Attribute) -> Filter:
    yes = maker.chance(0.5)
    stored = maker.schema.flags[0 if yes else 1]
    literal = str(stored) if isinstance(stored, int) else quoted(stored)
    predicate = attribute.phrases[0 if yes else 1]
    return Filter(
        node,
        lambda r: f"{r.column(node, attribute.key)} = {literal}",
        lambda w: f"{('that', 'which')[w]} {predicate}",
        ("flag",),
    )


def _missing(maker: Maker, node: Node, attribute: Attribute) -> Filter:
    absent = maker.chance(0.6)
    operator = "IS NULL" if absent else "IS NOT NULL"
    words = (
        ("for which no {} is recorded", "without a recorded {}")
        if absent
        else ("for which the {} is recorded", "with a recorded {}")
    )
    return Filter(
        node,
        lambda r: f"{r.column(node, attribute.key)} {operator}",
        lambda w: words[w].format(maker.phrase(node.entity, attribute, w)),
        ("null",),
    )


def _initial(maker: Maker, node: Node, attribute: Attribute) -> Filter:
    letters = Counter(value[0] for value in maker.column_values(node.entity, attribute.key))
    letter = maker.pick([letter for letter, count in letters.most_common(5) if count >= 3])
    return Filter(
        node,
        lambda r: f"SUBSTR({r.column(node, attribute.key)}, 1, 1) = {quoted(letter)}",
        lambda w: f"{_subject(maker, node, attribute, w)} {('begins', 'starts')[w]} with the letter {letter}",
        ("string",),
    )


_BUILDERS: dict[str, Callable[[Maker, Node, Attribute], Filter]] = {
    "category": _category,
    "city": _category,
    "number": _number,
    "money": _number,
    "decimal": _number,
    "date": _date,
    "flag": _flag,
}


def draw_filter(maker: Maker, node: Node) -> Filter:
    """A filter on a random attribute of a node; no attribute is used twice in a question.

    Raises:
        Unsuitable: When the entity has nothing to filter by.
    """
    entity = maker.entity(node.entity)
    free = [a for a in entity.attributes if (node.entity, a.key) not in maker.filtered]
    attribute = maker.pick([a for a in free if a.kind != "label" or not a.style.startswith("ref:")])
    maker.filtered.add((node.entity, attribute.key))
    if attribute.nullable and maker.chance(0.6):
        return _missing(maker, node, attribute)
    if attribute.kind == "label":
        return _initial(maker, node, attribute)
    builder = _BUILDERS.get(attribute.kind)
    if builder is None:
        raise Unsuitable
    return builder(maker, node, attribute)
