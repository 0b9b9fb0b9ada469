"""Builds the schema of a database: live tables, code tables, then noise, then the registry that tells them apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from numpy.random import Generator

from fogline.simulators.databases.enterprise.config import EnterpriseConfig
from fogline.simulators.databases.enterprise.model import Attribute, Entity
from fogline.simulators.databases.enterprise.naming import KEY_WORDS, NEUTRAL_MARKS, Namer
from fogline.simulators.databases.enterprise.schema import (
    DELETED,
    IDENTIFIER,
    CodeSet,
    DeclaredKey,
    Edge,
    PhysicalColumn,
    PhysicalTable,
    PlacedEntity,
    Schema,
)

_TYPES = {"number": "INTEGER", "money": "REAL", "decimal": "REAL"}
_AUDIT: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (("created", "date"), "TEXT", "@created"),
    (("created", "by"), "TEXT", "@author"),
    (("updated", "date"), "TEXT", "@updated"),
    (("version", "number"), "INTEGER", "@version"),
)


@dataclass(slots=True)
class Builder:
    """Carries what is known while a schema grows."""

    config: EnterpriseConfig
    rng: Generator
    namer: Namer
    schema: Schema
    taken: set[str] = field(default_factory=set)
    opaque: int = 0

    def chance(self, share: float) -> bool:
        """True with probability ``share``."""
        return bool(self.rng.random() < share)

    def add(self, table: PhysicalTable) -> PhysicalTable:
        """Enter a table, numbering it."""
        table.serial = len(self.schema.tables)
        self.schema.tables.append(table)
        return table

    def form(self, entity: Entity) -> tuple[str, ...]:
        """One of the entity's table names, as concept words; the first is the plain one."""
        return entity.forms[int(self.rng.integers(1, len(entity.forms))) if self.chance(self.config.synonyms) else 0]

    def forms(self, entity: Entity) -> list[tuple[str, ...]]:
        """All of the entity's table names, the one to prefer first."""
        first = self.form(entity)
        others = [form for form in entity.forms if form != first]
        return [first, *(others[i] for i in self.rng.permutation(len(others)))]

    def edges(self, key: str) -> tuple[Edge, ...]:
        """All references of an entity, self references included."""
        return tuple(edge for edge in self.schema.edges if edge.child == key)


def column_type(builder: Builder, attribute: Attribute) -> str:
    """Declared type of an attribute's column."""
    if attribute.kind == "flag":
        return "INTEGER" if builder.schema.flags[0] == 1 else "TEXT"
    return _TYPES.get(attribute.kind, "TEXT")


def _opaque_name(builder: Builder, taken: set[str]) -> str:
    builder.opaque += 1
    stem = "fld" if builder.schema.half == "a" else "attr"
    return builder.namer.column((f"{stem}{builder.opaque:02d}",), taken)


def entity_columns(
    builder: Builder, placed: PlacedEntity, form: Sequence[str], audited: bool, deletable: bool
) -> tuple[tuple[PhysicalColumn, ...], dict[str, str]]:
    """Columns of an entity's table, and the meanings of those with opaque names."""
    namer, entity = builder.namer, placed.entity
    taken: set[str] = set()
    short = namer.parts(form[:1]) if builder.chance(0.3) else ()
    key_word = namer.pick(KEY_WORDS[builder.schema.half])
    plain = builder.chance(0.4)
    columns = [
        PhysicalColumn(namer.column(("id",) if plain else (*namer.parts(form), key_word), taken), "INTEGER", IDENTIFIER)
    ]
    meanings: dict[str, str] = {}
    for attribute in entity.attributes:
        if builder.chance(builder.config.opaque_columns):
            name = _opaque_name(builder, taken)
            meanings[name] = f"{attribute.phrases[0]} of the {placed.nouns[0][0]}".capitalize()
        else:
            name = namer.column((*short, *namer.parts(attribute.words)), taken)
        columns.append(PhysicalColumn(name, column_type(builder, attribute), attribute.key))
    for edge in builder.edges(placed.key):
        words = edge.reference.words or builder.form(builder.schema.entities[edge.parent].entity)
        columns.append(
            PhysicalColumn(namer.column((*short, *namer.parts(words), key_word), taken), "INTEGER", edge.source)
        )
    if audited:
        columns += [
            PhysicalColumn(namer.column(namer.parts(words), taken), kind, source)
            for words, kind, source in _AUDIT
            if builder.chance(0.7)
        ]
    if deletable:
        columns.append(PhysicalColumn(namer.column(namer.parts(("deleted", "code")), taken), "INTEGER", DELETED))
    return tuple(columns), meanings


def declared_keys(builder: Builder, table: PhysicalTable, share: float, stale: bool) -> tuple[DeclaredKey, ...]:
    """Foreign keys that a table declares; stale tables may point to stale parents that exist already."""
    keys = []
    for edge in builder.edges(table.entity):
        if not builder.chance(share):
            continue
        parent = builder.schema.entities[edge.parent]
        target = table if edge.parent == edge.child else parent.table
        if stale and parent.twins and edge.parent != edge.child and builder.chance(0.6):
            target = parent.twins[0]
        keys.append(DeclaredKey(table.column(edge.source), target.name, target.column(IDENTIFIER)))
    return tuple(keys)


def record_meanings(builder: Builder, table: PhysicalTable, meanings: dict[str, str]) -> None:
    """Put the meanings of opaque columns into the column notes."""
    builder.schema.notes += [(table.name, column, meaning) for column, meaning in meanings.items()]


def build_live(builder: Builder, names: dict[str, tuple[tuple[str, ...], tuple[str, ...]]]) -> None:
    """Create the current table of every entity under the name drawn for it: (form, marks)."""
    config = builder.config
    for placed in builder.schema.entities.values():
        form, marks = names[placed.key]
        name = builder.namer.table(form, marks, builder.taken)
        columns, meanings = entity_columns(
            builder, placed, form, builder.chance(config.audit_columns), builder.chance(config.soft_delete)
        )
        table = PhysicalTable(name, "live", placed.key, columns)
        placed.live = table
        table.keys = declared_keys(builder, table, config.declared_keys, stale=False)
        builder.add(table)
        record_meanings(builder, table, meanings)


def neutral_mark(builder: Builder) -> tuple[str, ...]:
    """A mark that says nothing about age."""
    return (builder.namer.pick(NEUTRAL_MARKS[builder.schema.half]),)


def _code_values(builder: Builder, count: int) -> list[str]:
    style = int(builder.rng.integers(3))
    numbers = builder.rng.permutation(80)[:count] + 10
    letters = "ABCDEFGHJKLMNPQRSTUVWXYZ"
    initial = letters[int(builder.rng.integers(len(letters)))]
    if style == 0:
        return [f"{initial}{number}" for number in numbers]
    if style == 1:
        return [str(number) for number in numbers]
    return [initial + letters[number // 24 + 5] + letters[number % 24] for number in numbers]


def choose_coded(builder: Builder) -> list[tuple[PlacedEntity, Attribute]]:
    """Categories that are stored as codes, in a drawn order."""
    coded = [
        (placed, attribute)
        for placed in builder.schema.entities.values()
        for attribute in placed.entity.attributes
        if attribute.kind == "category" and builder.chance(builder.config.coded_categories)
    ]
    return [coded[i] for i in builder.rng.permutation(len(coded))]


def build_codes(builder: Builder, own_tables: int) -> None:
    """Code tables for some coded categories and one shared lookup for the rest, before the tables that use them."""
    coded = choose_coded(builder)
    shared = coded[own_tables - 1 :] if len(coded) > own_tables else []
    for placed, attribute in coded[: len(coded) - len(shared)]:
        _own_code_table(builder, placed, attribute)
    if shared:
        _lookup_table(builder, shared)


def _own_code_table(builder: Builder, placed: PlacedEntity, attribute: Attribute) -> None:
    namer = builder.namer
    form = builder.form(placed.entity)
    words = (*form, *attribute.words) if builder.chance(0.6) else attribute.words
    taken: set[str] = set()
    columns = (
        PhysicalColumn(namer.column(namer.parts((attribute.words[-1], "code")), taken), "TEXT", "@code"),
        PhysicalColumn(namer.column(namer.parts(("description",)), taken), "TEXT", "@meaning"),
        PhysicalColumn(namer.column(namer.parts(("active", "code")), taken), "INTEGER", "@active"),
    )
    name = namer.table((*words, "code"), (), builder.taken)
    builder.add(PhysicalTable(name, "code", placed.key, columns, status="reference", remark="Explains codes."))
    codes = dict(zip(attribute.values, _code_values(builder, len(attribute.values)), strict=True))
    builder.schema.codes[placed.key, attribute.key] = CodeSet(name, columns[0].name, columns[1].name, codes)


def _lookup_table(builder: Builder, shared: list[tuple[PlacedEntity, Attribute]]) -> None:
    namer = builder.namer
    taken: set[str] = set()
    words = (("code", "set"), ("code",), ("description",))
    sources = ("@set", "@code", "@meaning")
    columns = tuple(
        PhysicalColumn(namer.column(namer.parts(word), taken), "TEXT", source)
        for word, source in zip(words, sources, strict=True)
    )
    name = namer.table(("code", "lookup"), (), builder.taken)
    builder.add(PhysicalTable(name, "lookup", "", columns, status="reference", remark="Explains codes, by set."))
    for number, (placed, attribute) in enumerate(shared):
        codes = dict(zip(attribute.values, _code_values(builder, len(attribute.values)), strict=True))
        builder.schema.codes[placed.key, attribute.key] = CodeSet(
            name, columns[1].name, columns[2].name, codes, columns[0].name, f"S{number + 1:03d}"
        )


def note_codes(builder: Builder) -> None:
    """Say in the column notes where the codes of each coded column are explained."""
    for (entity, key), code_set in builder.schema.codes.items():
        table = builder.schema.entities[entity].table
        place = f"{code_set.table}, set {code_set.selector}" if code_set.selector else code_set.table
        meaning = f"{builder.schema.attribute(entity, key).phrases[0].capitalize()}; codes explained in {place}"
        builder.schema.notes.append((table.name, table.column(key), meaning))


def build_infrastructure(builder: Builder) -> None:
    """The registry of tables and the notes on columns."""
    namer = builder.namer
    for words, columns, role in (
        (
            ("object", namer.pick(("registry", "catalog", "dictionary"))),
            ("object", "subject", "status", "remark"),
            "registry",
        ),
        (("column", namer.pick(("note", "dictionary", "description"))), ("object", "column", "remark"), "notes"),
    ):
        taken: set[str] = set()
        serial = PhysicalColumn(
            namer.column((namer.pick(KEY_WORDS[builder.schema.half]),), taken), "INTEGER", "@serial"
        )
        rest = tuple(
            PhysicalColumn(
                namer.column(namer.parts((word, "name") if word == "object" else (word,)), taken), "TEXT", f"@{word}"
            )
            for word in columns
        )
        name = namer.table(words, (), builder.taken)
        builder.add(PhysicalTable(name, role, "", (serial, *rest), status="reference"))  # type: ignore[arg-type]
