"""Question templates, and the check that a gold statement is told apart from its wrong variants."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from numpy.random import Generator

from fogline.simulators.databases.pocket.schema import Attribute, PocketDatabase, PocketTable

MOST_ROWS = 6
LONGEST_CELL = 6
_FUNCTIONS = (("highest", "MAX"), ("lowest", "MIN"), ("total", "SUM"), ("average", "AVG"))
Rows = list[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Template:
    """A question with its statement; both are format strings over the slots.

    Slots: ``t`` a table, ``p`` the table that it refers to by ``k``; columns ``c`` and ``d`` (text), ``n`` (number)
    of ``t`` and ``e`` (text) of ``p``; a value ``v`` of the last text column that the statement names.

    Attributes:
        family: Structural family.
        difficulty: ``easy``, ``medium`` or ``hard``.
        question: The words.
        sql: The gold statement.
        wrong: Statements that must give something else.
    """

    family: str
    difficulty: str
    question: str
    sql: str
    wrong: tuple[str, ...] = ()


def _aggregates() -> Iterator[Template]:
    for word, function in _FUNCTIONS:
        plain = f"SELECT {function}({{n}}) FROM {{t}}"
        others = tuple(f"SELECT {other}({{n}}) FROM {{t}}" for _, other in _FUNCTIONS if other != function)
        yield Template("aggregate", "easy", f"What is the {word} {{n}} of {{t}}?", plain, others)
        where = " WHERE {d} = '{v}'"
        yield Template(
            "aggregate_filter",
            "medium",
            f"What is the {word} {{n}} of {{t}} with {{d}} {{v}}?",
            plain + where,
            (plain, *(other + where for other in others)),
        )


_HIGHEST = "SELECT {c} FROM {t} ORDER BY {n} DESC LIMIT 1"
_LOWEST = "SELECT {c} FROM {t} ORDER BY {n} LIMIT 1"
_JOIN = "{p} JOIN {t} ON {k} = {p}.id"
_JOIN_COUNT = "SELECT COUNT(*) FROM {t} JOIN {p} ON {k} = {p}.id"
TEMPLATES: tuple[Template, ...] = (
    Template("count", "easy", "How many {t} are there?", "SELECT COUNT(*) FROM {t}"),
    Template("distinct", "easy", "Which different {c} do {t} have?", "SELECT DISTINCT {c} FROM {t}"),
    Template(
        "count_filter",
        "easy",
        "How many {t} have {d} {v}?",
        "SELECT COUNT(*) FROM {t} WHERE {d} = '{v}'",
        ("SELECT COUNT(*) FROM {t}",),
    ),
    Template(
        "filter",
        "medium",
        "Which {n} do {t} with {d} {v} have?",
        "SELECT {n} FROM {t} WHERE {d} = '{v}'",
        ("SELECT {n} FROM {t}",),
    ),
    *_aggregates(),
    Template("superlative", "medium", "Which {c} has the {t} with the highest {n}?", _HIGHEST, (_LOWEST,)),
    Template("superlative", "medium", "Which {c} has the {t} with the lowest {n}?", _LOWEST, (_HIGHEST,)),
    Template("group", "medium", "How many {t} are there per {c}?", "SELECT {c}, COUNT(*) FROM {t} GROUP BY {c}"),
    Template(
        "join_filter",
        "hard",
        "Which different {e} have {p} of {t} with {d} {v}?",
        f"SELECT DISTINCT {{e}} FROM {_JOIN} WHERE {{d}} = '{{v}}'",
        ("SELECT {e} FROM {p}", f"SELECT DISTINCT {{e}} FROM {_JOIN}"),
    ),
    Template(
        "join_aggregate",
        "hard",
        "What is the highest {n} of {t} whose {p} has {e} {v}?",
        f"SELECT MAX({{n}}) FROM {_JOIN} WHERE {{e}} = '{{v}}'",
        ("SELECT MAX({n}) FROM {t}", f"SELECT MIN({{n}}) FROM {_JOIN} WHERE {{e}} = '{{v}}'"),
    ),
    Template(
        "join_count",
        "hard",
        "How many {t} have a {p} with {e} {v}?",
        f"{_JOIN_COUNT} WHERE {{e}} = '{{v}}'",
        ("SELECT COUNT(*) FROM {t}", "SELECT COUNT(*) FROM {p} WHERE {e} = '{v}'"),
    ),
)
_BY_FAMILY: Mapping[str, tuple[Template, ...]] = {
    family: tuple(template for template in TEMPLATES if template.family == family)
    for family in dict.fromkeys(template.family for template in TEMPLATES)
}
FAMILIES: tuple[str, ...] = tuple(_BY_FAMILY)
"""Structural families; each is tried equally often."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A template with its slots filled: what questions call each slot, what the database calls it."""

    template: Template
    phrases: Mapping[str, str]
    names: Mapping[str, str]
    alternatives: Mapping[str, tuple[str, ...]]

    @property
    def question(self) -> str:
        """The question's words."""
        return self.template.question.format_map(self.phrases)

    @property
    def sql(self) -> str:
        """The gold statement."""
        return self.template.sql.format_map(self.names)

    def variants(self) -> Iterator[str]:
        """Statements that answer another question: a wrong name in one slot, or another shape."""
        for slot, names in self.alternatives.items():
            for name in names:
                yield self.template.sql.format_map({**self.names, slot: name})
        for sql in self.template.wrong:
            yield sql.format_map(self.names)


def draw(database: PocketDatabase, rng: Generator, family: str) -> Draft | None:
    """Draw a template of a family and fill its slots; None where the drawn table lacks what the template needs."""
    templates = _BY_FAMILY[family]
    template = templates[int(rng.integers(len(templates)))]
    table = database.tables[int(rng.integers(len(database.tables)))]
    parent = None if table.parent is None else database.tables[table.parent]
    phrases, names = {"t": table.phrase}, {"t": table.name}
    alternatives = {"t": _other_tables(database, table, every=template.family == "count")}
    taken: set[str] = set()
    if "{p}" in template.sql:
        if parent is None:
            return None
        phrases["p"], names["p"], names["k"] = parent.phrase, parent.name, table.reference
        alternatives["p"] = _other_tables(database, parent, every=False)
    for slot, owner, text in (("c", table, True), ("d", table, True), ("n", table, False), ("e", parent, True)):
        if f"{{{slot}}}" not in template.sql or owner is None:
            continue
        fitting = [one for one in owner.attributes if (one.type == "TEXT") == text and one.name not in taken]
        if not fitting:
            return None
        chosen = fitting[int(rng.integers(len(fitting)))]
        taken.add(chosen.name)
        phrases[slot], names[slot] = chosen.word, chosen.name
        alternatives[slot] = tuple(one.name for one in owner.attributes if one != chosen)
        if f"{{{slot}}} = '{{v}}'" in template.sql:
            phrases["v"] = names["v"] = _value(chosen, rng)
    return Draft(template, phrases, names, alternatives)


def _other_tables(database: PocketDatabase, table: PocketTable, every: bool) -> tuple[str, ...]:
    if every:
        return tuple(other.name for other in database.tables if other != table)
    return () if table.twin is None else (database.tables[table.twin].name,)


def _value(attribute: Attribute, rng: Generator) -> str:
    return attribute.values[int(rng.integers(len(attribute.values)))]


def objection(draft: Draft, connection: sqlite3.Connection) -> str:
    """Why a draft is no good question; empty where it is one.

    Reasons: ``empty``, ``too_long`` (many or long cells, which a small context cannot hold), ``trivial`` (nothing but
    zeros), ``variant_agrees`` (a wrong statement gives the same set of rows).
    """
    gold = connection.execute(draft.sql).fetchall()
    if not gold:
        return "empty"
    if len(gold) > MOST_ROWS or any(len(str(cell)) > LONGEST_CELL for row in gold for cell in row):
        return "too_long"
    if all(cell in (None, 0) for row in gold for cell in row):
        return "trivial"
    return "variant_agrees" if any(_agrees(sql, gold, connection) for sql in draft.variants()) else ""


def _agrees(sql: str, gold: Rows, connection: sqlite3.Connection) -> bool:
    try:
        return set(connection.execute(sql).fetchall()) == set(gold)
    except sqlite3.OperationalError:
        return False
