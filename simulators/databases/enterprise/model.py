"""The logical vocabulary: domains, entities, attributes, references and measures, all plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Half = Literal["a", "b"]
Role = Literal["reference", "master", "event", "detail", "link"]
Kind = Literal["label", "city", "category", "number", "money", "decimal", "date", "flag"]


@dataclass(frozen=True, slots=True)
class Attribute:
    """A property of an entity.

    Attributes:
        key: Name within the entity, at the logical level.
        words: Concept words that a column name is rendered from.
        phrases: Business noun phrases used in questions; the first is the plain one. For a flag, the first is the
            affirmative and the second the negative predicate ("is insured", "is not insured").
        kind: What the values are.
        low: Lower end for numbers.
        high: Upper end for numbers.
        values: Values of a category, noun pool of a ``thing`` label.
        style: Style of a label: ``person``, ``company``, ``place``, ``thing`` or ``ref:PREFIX``.
        nullable: Share of rows without a value.
        after: For dates, ``attribute`` of the same row or ``reference.attribute`` that comes earlier.
        gap: Least and greatest number of days after ``after``.
    """

    key: str
    words: tuple[str, ...]
    phrases: tuple[str, ...]
    kind: Kind
    low: float = 0.0
    high: float = 0.0
    values: tuple[str, ...] = ()
    style: str = ""
    nullable: float = 0.0
    after: str = ""
    gap: tuple[int, int] = (0, 0)

    @property
    def numeric(self) -> bool:
        """Whether sums and averages of the attribute make sense."""
        return self.kind in ("number", "money", "decimal")


@dataclass(frozen=True, slots=True)
class Reference:
    """A foreign key at the logical level; ``phrase`` reads "<children> <phrase> <parents>"."""

    key: str
    parent: str
    phrase: str
    words: tuple[str, ...] = ()
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Measure:
    """A business figure computed from numeric attributes; ``expression`` names them in braces."""

    phrase: str
    expression: str
    evidence: str


@dataclass(frozen=True, slots=True)
class Entity:
    """A kind of business object.

    Attributes:
        key: Name within the domain; ``domain.entity`` once placed in a database.
        nouns: (singular, plural) pairs that questions use; the first is the one used in registries.
        forms: Alternatives for the table name, each a tuple of concept words.
        role: Decides the number of rows and the window of dates.
        attributes: Properties, the label first where there is one.
        references: Foreign keys.
        measures: Computed figures.
    """

    key: str
    nouns: tuple[tuple[str, str], ...]
    forms: tuple[tuple[str, ...], ...]
    role: Role
    attributes: tuple[Attribute, ...]
    references: tuple[Reference, ...] = ()
    measures: tuple[Measure, ...] = ()

    @property
    def label(self) -> Attribute | None:
        """The attribute whose values are unique and name a row, if there is one."""
        return next((attribute for attribute in self.attributes if attribute.kind == "label"), None)

    def attribute(self, key: str) -> Attribute:
        """The attribute called ``key``; ``KeyError`` if there is none."""
        for attribute in self.attributes:
            if attribute.key == key:
                return attribute
        raise KeyError(key)


@dataclass(frozen=True, slots=True)
class Domain:
    """A line of business; ``half`` says which of the two disjoint vocabularies names its tables."""

    name: str
    half: Half
    adjective: str
    entities: tuple[Entity, ...] = field(default=())


def _phrases(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(";"))


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _attribute(words: str, phrases: str, kind: Kind, *, nullable: float = 0.0, **more: object) -> Attribute:
    key = words.replace(" ", "_")
    return Attribute(key, _words(words), _phrases(phrases), kind, nullable=nullable, **more)  # type: ignore[arg-type]


def label(phrases: str, style: str, words: str = "name", things: str = "") -> Attribute:
    """A unique name; ``things`` is the noun pool of the style ``thing``."""
    return _attribute(words, phrases, "label", style=style, values=_words(things))


def city(phrases: str = "city; town", words: str = "city") -> Attribute:
    """A city drawn from a shared pool."""
    return _attribute(words, phrases, "city")


def category(words: str, phrases: str, values: str, nullable: float = 0.0) -> Attribute:
    """A category; ``values`` is a comma-separated list, the most frequent ones first."""
    options = tuple(value.strip() for value in values.split(","))
    return _attribute(words, phrases, "category", values=options, nullable=nullable)


def number(words: str, phrases: str, low: int, high: int, nullable: float = 0.0) -> Attribute:
    """An integer between ``low`` and ``high``."""
    return _attribute(words, phrases, "number", low=low, high=high, nullable=nullable)


def money(words: str, phrases: str, low: float, high: float, nullable: float = 0.0) -> Attribute:
    """An amount with two decimals, skewed to the lower end."""
    return _attribute(words, phrases, "money", low=low, high=high, nullable=nullable)


def decimal(words: str, phrases: str, low: float, high: float, nullable: float = 0.0) -> Attribute:
    """A figure with one decimal."""
    return _attribute(words, phrases, "decimal", low=low, high=high, nullable=nullable)


def date(words: str, phrases: str, after: str = "", gap: tuple[int, int] = (1, 40), nullable: float = 0.0) -> Attribute:
    """A day; with ``after`` it comes ``gap`` days after another date."""
    return _attribute(words, phrases, "date", after=after, gap=gap if after else (0, 0), nullable=nullable)


def flag(words: str, affirmative: str, negative: str) -> Attribute:
    """A yes-or-no property, given as two predicates ("is insured", "is not insured")."""
    return _attribute(words, f"{affirmative};{negative}", "flag")


def ref(parent: str, phrase: str, words: str = "", key: str = "", optional: bool = False) -> Reference:
    """A foreign key to ``parent`` of the same domain, or to the shared ``unit`` or ``region``."""
    return Reference(key or (words.replace(" ", "_") or parent), parent, phrase, _words(words), optional)


def measure(phrase: str, expression: str, evidence: str) -> Measure:
    """A computed figure with the sentence that defines it."""
    return Measure(phrase, expression, evidence)


def entity(
    key: str,
    nouns: str,
    forms: str,
    role: Role,
    *attributes: Attribute,
    refs: tuple[Reference, ...] = (),
    measures: tuple[Measure, ...] = (),
) -> Entity:
    """An entity; ``nouns`` is ``"one/many, one/many"`` and ``forms`` a comma-separated list of names."""
    pairs = tuple((one.strip(), many.strip()) for one, _, many in (noun.partition("/") for noun in nouns.split(",")))
    names = tuple(_words(form) for form in forms.split(","))
    return Entity(key, pairs, names, role, attributes, refs, measures)
