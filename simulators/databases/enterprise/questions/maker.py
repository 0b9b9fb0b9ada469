"""Draws the building blocks of questions: focus entities, join paths, filters, figures, and words for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from numpy.random import Generator

from fogline.simulators.databases.enterprise.baselines import same_word, split_identifier
from fogline.simulators.databases.enterprise.config import EnterpriseConfig
from fogline.simulators.databases.enterprise.model import Attribute, Entity, Measure
from fogline.simulators.databases.enterprise.questions.filters import draw_filter
from fogline.simulators.databases.enterprise.questions.query import (
    Draft,
    Filter,
    Node,
    Render,
    Renderer,
    Scope,
    Text,
    Unsuitable,
    Value,
    quoted,
)
from fogline.simulators.databases.enterprise.rows import Population
from fogline.simulators.databases.enterprise.schema import DELETED, Edge, Schema

T = TypeVar("T")
_LONG_PATHS = 0.5  # share of questions that prefer the longer of two drawn join paths
DELETED_EVIDENCE = "Records flagged as deleted never count."


class Maker:
    """Building blocks for one question; a new maker for each.

    Args:
        schema: The database.
        population: The first population, which thresholds and values are taken from.
        config: Options that decide on words and evidence.
        rng: Source of choices.
    """

    def __init__(self, schema: Schema, population: Population, config: EnterpriseConfig, rng: Generator) -> None:
        self.schema = schema
        self.population = population
        self.config = config
        self.rng = rng
        self.evidence: list[str] = []
        self.filtered: set[tuple[str, str]] = set()
        self._aliases = 0
        self._nouns: dict[str, tuple[tuple[str, str], tuple[str, str]]] = {}
        self._phrases: dict[tuple[str, str], tuple[str, str]] = {}

    def pick(self, options: Sequence[T]) -> T:
        """One of ``options``; :class:`Unsuitable` when there is none."""
        if not options:
            raise Unsuitable
        return options[int(self.rng.integers(len(options)))]

    def chance(self, share: float) -> bool:
        """True with probability ``share``."""
        return bool(self.rng.random() < share)

    # ------------------------------------------------------------------ entities and paths

    def entity(self, key: str) -> Entity:
        """The logical entity."""
        return self.schema.entities[key].entity

    def node(self, key: str) -> Node:
        """A new use of an entity."""
        self._aliases += 1
        if self.schema.entities[key].table.has(DELETED):
            self.explain(DELETED_EVIDENCE)
        return Node(f"t{self._aliases}", key)

    def explain(self, sentence: str) -> None:
        """Add a sentence to the evidence, once."""
        if sentence not in self.evidence:
            self.evidence.append(sentence)

    def focus(self, suits: Callable[[str], bool]) -> str:
        """Key of a random entity that suits; those with many rows more often."""
        keys = [key for key in self.schema.entities if suits(key)]
        heavy = [key for key in keys if self.entity(key).role in ("event", "detail")]
        return self.pick(heavy if heavy and self.chance(0.5) else keys)

    def named(self, key: str) -> bool:
        """Whether rows of the entity have a name to show."""
        return self.entity(key).label is not None

    def label(self, node: Node) -> Render:
        """The name column of a node."""
        found = self.entity(node.entity).label
        if found is None:
            raise Unsuitable
        source = found.key
        return lambda r: r.column(node, source)

    def climb(self, scope: Scope, hops: int) -> Scope:
        """Lengthen a scope by a chain of ``hops`` parents."""
        for left in range(hops - 1, -1, -1):
            used = {node.entity for node in scope.nodes}
            options = [e for e in self.schema.parents(scope.last.entity) if e.parent not in used]
            edge = self.pick([e for e in options if self.depth(e.parent) >= left])
            scope.links.append((scope.last, edge, self.node(edge.parent)))
        return scope

    def depth(self, key: str) -> int:
        """Length of the longest chain of parents above an entity."""
        return max((1 + self.depth(edge.parent) for edge in self.schema.parents(key)), default=0)

    def filter(self, scope: Scope, node: Node) -> Filter:
        """Draw a filter on a node and add it to the scope."""
        item = draw_filter(self, node)
        scope.filters.append(item)
        return item

    def scope(self, key: str, hops: int = 0, filters: int = 1) -> Scope:
        """A scope on an entity with filters on different nodes, the farthest first."""
        scope = self.climb(Scope(self.node(key)), hops)
        order = [scope.last, *scope.nodes[:-1]]
        for number in range(filters):
            self.filter(scope, order[number % len(order)])
        return scope

    def firm_parents(self, key: str) -> list[Edge]:
        """References that are always filled, to tables without deleted rows: the parent need not be joined."""
        edges = [edge for edge in self.schema.parents(key) if not edge.reference.optional]
        return [edge for edge in edges if not self.schema.entities[edge.parent].table.has(DELETED)]

    def child_edge(self, key: str, suits: Callable[[Edge], bool] = lambda edge: True) -> Edge:
        """A random reference to an entity."""
        return self.pick([edge for edge in self.schema.children(key) if suits(edge)])

    # ------------------------------------------------------------------ words

    def _prefer_gap(self, options: Sequence[T], words: Callable[[T], str], identifier: str) -> list[T]:
        if not self.chance(self.config.lexical_gap):
            return list(options)
        order = [options[i] for i in self.rng.permutation(len(options))]
        parts = split_identifier(identifier)

        def overlap(option: T) -> int:
            return sum(any(same_word(part, word) > 0 for word in words(option).lower().split()) for part in parts)

        return sorted(order, key=overlap)

    def noun(self, key: str, wording: int, plural: bool = True) -> str:
        """What a question calls an entity; two wordings, equal only where there is one noun."""
        if key not in self._nouns:
            placed = self.schema.entities[key]
            order = self._prefer_gap(placed.nouns, lambda pair: pair[1], placed.table.name)
            self._nouns[key] = (order[0], order[1 % len(order)])
        return self._nouns[key][wording][int(plural)]

    def phrase(self, key: str, attribute: Attribute, wording: int) -> str:
        """What a question calls an attribute."""
        if (key, attribute.key) not in self._phrases:
            column = self.schema.entities[key].table.column(attribute.key)
            order = self._prefer_gap(attribute.phrases, lambda phrase: phrase, column)
            self._phrases[key, attribute.key] = (order[0], order[1 % len(order)])
        return self._phrases[key, attribute.key][wording]

    def label_phrase(self, node: Node, wording: int) -> str:
        """What a question calls the name of an entity."""
        found = self.entity(node.entity).label
        if found is None:
            raise Unsuitable
        return self.phrase(node.entity, found, wording)

    def owned_label(self, node: Node, wording: int) -> str:
        """The name of an entity above the focus, with its owner where the phrase alone would not tell."""
        phrase = self.label_phrase(node, wording)
        return (
            phrase
            if len(phrase.split()) > 1 and phrase != "full name"
            else (f"{phrase} of the {self.noun(node.entity, wording, plural=False)}")
        )

    def hops(self, key: str, most: int, least: int = 0) -> int:
        """A number of joins upwards from an entity, as far as the references go."""
        deepest = min(most, self.depth(key))
        if deepest < least:
            raise Unsuitable
        draws = self.rng.integers(least, deepest + 1, 2)
        return int(max(draws) if self.chance(_LONG_PATHS) else draws[0])

    def describe(self, scope: Scope, wording: int, node: Node | None = None, plural: bool = True) -> str:
        """The noun phrase of a scope, seen from ``node`` upwards."""
        node = node or scope.focus
        text = self.noun(node.entity, wording, plural)
        predicates = [item.text(wording) for item in scope.filters if item.node == node]
        if predicates:
            text += " " + " and ".join(predicates)
        links = [
            f"{edge.reference.phrase} {self.describe(scope, wording, parent)}"
            for child, edge, parent in scope.links
            if child == node
        ]
        if links:
            text += (", " if predicates else " ") + ", and also ".join(links)
        return text

    # ------------------------------------------------------------------ values

    def column_values(self, key: str, source: str) -> list[Any]:
        """Values of the first population that are there."""
        return [value for value in self.population.entities[key][source] if value is not None]

    def attributes(self, key: str, *kinds: str, nullable: bool = False) -> list[Attribute]:
        """Attributes of some kinds; those that may be empty only on request."""
        return [a for a in self.entity(key).attributes if a.kind in kinds and (nullable or not a.nullable)]

    def coded(self, key: str, attribute: Attribute, value: Any) -> str:
        """A category or city as an SQL literal, in its stored form; may add the code to the evidence."""
        codes = self.schema.codes.get((key, attribute.key))
        if codes is None:
            return quoted(value)
        if self.chance(self.config.explained_codes):
            self.explain(f"In the {attribute.phrases[0]}, '{value}' is stored as code {codes.codes[value]}.")
        return quoted(codes.codes[value])

    def value(self, node: Node, additive: bool = False) -> Value:
        """A numeric attribute or measure of a node."""
        entity = self.entity(node.entity)
        if entity.measures and self.chance(0.5):
            return self._measure(node, self.pick(entity.measures))
        kinds = ("money",) if additive else ("money", "number", "decimal")
        attribute = self.pick(self.attributes(node.entity, *kinds))
        return Value(
            lambda r: r.column(node, attribute.key),
            lambda w: self.phrase(node.entity, attribute, w),
            attribute.kind == "money",
            attribute.kind == "number",
        )

    def _measure(self, node: Node, measure: Measure) -> Value:
        self.explain(measure.evidence)
        keys = [a.key for a in self.entity(node.entity).attributes if f"{{{a.key}}}" in measure.expression]

        def render(r: Renderer) -> str:
            return "(" + measure.expression.format(**{key: r.column(node, key) for key in keys}) + ")"

        return Value(render, lambda w: measure.phrase, True, False)

    def aggregate(self, value: Value) -> tuple[str, Render, Text]:
        """A random aggregate of a value: function name, SQL and wording."""
        function = self.pick(("SUM", "AVG", "SUM", "MAX") if value.additive else ("AVG", "MAX", "MIN"))
        return function, aggregate_sql(function, value), aggregate_text(function, value)

    def draft(self, template: str, text: Text, render: Render, families: Sequence[str]) -> Draft:
        """Finish a question."""
        return Draft(template, text, render, tuple(dict.fromkeys(families)), tuple(self.evidence))


ROUNDED = " (rounded to two decimals)"
_AGGREGATE_WORDS = {
    "SUM": ("total", "sum of the"),
    "AVG": ("average", "mean"),
    "MIN": ("lowest", "smallest"),
    "MAX": ("highest", "largest"),
}


def aggregate_sql(function: str, value: Value) -> Render:
    """The aggregate, rounded where it is not a plain integer."""
    if function in ("MIN", "MAX") and value.whole:
        return lambda r: r.aggregate(function, value.render(r))
    return lambda r: f"ROUND({r.aggregate(function, value.render(r))}, 2)"


def aggregate_text(function: str, value: Value) -> Text:
    """The aggregate in words."""
    rounding = "" if function in ("MIN", "MAX") and value.whole else ROUNDED
    return lambda w: f"{_AGGREGATE_WORDS[function][w]} {value.text(w)}{rounding}"


def join_words(parts: Sequence[str]) -> str:
    """``a, b and c``."""
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]
