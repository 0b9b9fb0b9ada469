"""What makes an unknown schema hard: stale twins, former versions, staging copies, archives, logs, narrow views."""

from __future__ import annotations

from numpy.random import Generator, SeedSequence, default_rng

from fogline.simulators.databases.enterprise.assemble import (
    Builder,
    build_codes,
    build_infrastructure,
    build_live,
    declared_keys,
    entity_columns,
    neutral_mark,
    note_codes,
    record_meanings,
)
from fogline.simulators.databases.enterprise.config import EnterpriseConfig
from fogline.simulators.databases.enterprise.naming import STALE_MARKS, VERSION_MARKS, Namer
from fogline.simulators.databases.enterprise.schema import (
    DELETED,
    IDENTIFIER,
    DeclaredKey,
    PhysicalColumn,
    PhysicalTable,
    PlacedEntity,
    Schema,
    TableRole,
    View,
)
from fogline.simulators.databases.enterprise.selection import INFRASTRUCTURE, Budget, choose_entities

Name = tuple[tuple[str, ...], tuple[str, ...]]

_SATELLITES: tuple[TableRole, ...] = ("history", "log", "document", "summary", "staging", "archive")
_MOST_TWINS = 2
_STALE_REMARKS = (
    "Frozen after the migration, no longer maintained; use {live}.",
    "Kept for audits only. Replaced by {live}.",
    "Former system, partly out of date; {live} took over.",
)
_CURRENT_REMARK = "Maintained daily; the figures of record."
_SATELLITE_WORDS: dict[TableRole, tuple[tuple[tuple[str, ...], str, str], ...]] = {
    "history": (
        (("updated", "date"), "TEXT", "@day"),
        (("column",), "TEXT", "@field"),
        (("previous", "value"), "TEXT", "@before"),
        (("value",), "TEXT", "@after"),
    ),
    "log": ((("record", "date"), "TEXT", "@day"), (("action",), "TEXT", "@action"), (("by",), "TEXT", "@author")),
    "document": (
        (("title",), "TEXT", "@title"),
        (("created", "date"), "TEXT", "@day"),
        (("size",), "INTEGER", "@bytes"),
    ),
    "summary": (
        (("period",), "TEXT", "@period"),
        (("count",), "INTEGER", "@tally"),
        (("total", "amount"), "REAL", "@total"),
    ),
}


def _family_names(builder: Builder, placed: PlacedEntity, twins: int) -> tuple[Name, list[Name]]:
    """Names of the live table and its twins: plainly marked, or as versions, or as synonyms of each other."""
    order = builder.forms(placed.entity)
    half = builder.schema.half
    stale = STALE_MARKS[half]
    marks = [stale[i] for i in builder.rng.permutation(len(stale))[:twins]]
    if not builder.chance(builder.config.misleading_names):
        return (order[0], neutral_mark(builder)), [(order[0], (mark,)) for mark in marks]
    if builder.chance(0.5):
        numbers = [int(number) + 1 for number in builder.rng.permutation(twins + 1)]
        versions: list[Name] = [(order[0], (f"{VERSION_MARKS[half]}{number}",)) for number in numbers]
        return versions[0], versions[1:]
    names: list[Name] = [(order[i % len(order)], neutral_mark(builder)) for i in range(twins + 1)]
    return names[0], names[1:]


def _twin(builder: Builder, placed: PlacedEntity, name: Name, role: TableRole, year: int = 0) -> PhysicalTable:
    live = placed.table
    columns = live.columns
    meanings: dict[str, str] = {}
    if role == "twin" and builder.chance(0.5):
        columns, meanings = entity_columns(builder, placed, name[0], builder.chance(0.4), live.has(DELETED))
    elif role == "twin":
        meanings = {column: meaning for table, column, meaning in builder.schema.notes if table == live.name}
    table = PhysicalTable(builder.namer.table(*name, builder.taken), role, placed.key, columns, year=year)
    table.keys = declared_keys(builder, table, builder.config.declared_keys if role == "twin" else 0.0, stale=True)
    record_meanings(builder, table, meanings)
    return builder.add(table)


def _build_twins(builder: Builder, families: dict[str, list[Name]]) -> None:
    for key, names in families.items():
        placed = builder.schema.entities[key]
        for name in names:
            table = _twin(builder, placed, name, "twin")
            placed.twins.append(table)
            table.status = "superseded"
            table.remark = builder.namer.pick(_STALE_REMARKS).format(live=placed.table.name)


def _plan_families(builder: Builder, room: int) -> dict[str, int]:
    counts: dict[str, int] = {}
    keys = list(builder.schema.entities)
    for position in builder.rng.permutation(len(keys)):
        wanted = int(builder.rng.integers(1, _MOST_TWINS + 1)) if builder.chance(builder.config.twin_share) else 0
        granted = min(wanted, room)
        if granted:
            counts[keys[position]] = granted
            room -= granted
    return {key: counts[key] for key in keys if key in counts}


def _satellite(builder: Builder, placed: PlacedEntity, role: TableRole) -> None:
    half = builder.schema.half
    form = builder.form(placed.entity)
    if role in ("staging", "archive"):
        year = int(builder.rng.integers(2015, 2024))
        mark = str(year) if role == "archive" else {"a": "stg", "b": "feed"}[half]
        table = _twin(builder, placed, (form, (mark,)), role, year)
        remark = f"Snapshot as of the end of {year}." if role == "archive" else "Raw load, not yet checked."
        table.status, table.remark = role, remark
        placed.copies.append(table)
        return
    namer = builder.namer
    taken: set[str] = set()
    columns = [PhysicalColumn(namer.column(("id",), taken), "INTEGER", "@serial")]
    if role != "summary":
        columns.append(
            PhysicalColumn(
                namer.column((*namer.parts(form), "id" if half == "a" else "ref"), taken), "INTEGER", "@owner"
            )
        )
    columns += [
        PhysicalColumn(namer.column(namer.parts(words), taken), kind, source)
        for words, kind, source in _SATELLITE_WORDS[role]
    ]
    table = PhysicalTable(namer.table((*form, role), (), builder.taken), role, placed.key, tuple(columns), status=role)
    if role != "summary":
        table.keys = (DeclaredKey(columns[1].name, placed.table.name, placed.table.column(IDENTIFIER)),)
    else:
        table.remark = "Computed once from a former system, not refreshed."
    builder.add(table)


def _build_satellites(builder: Builder, count: int) -> None:
    placed = list(builder.schema.entities.values())
    while count > 0:
        for position in builder.rng.permutation(len(placed))[:count]:
            role = _SATELLITES[int(builder.rng.integers(len(_SATELLITES)))]
            _satellite(builder, placed[position], role)
            count -= 1


def _build_views(builder: Builder, count: int) -> None:
    """Views that show fewer rows than the table they read: convenient, and wrong for questions on all rows."""
    schema, namer = builder.schema, builder.namer
    sources = [table for table in schema.tables if table.role in ("live", "twin")]
    for position in builder.rng.permutation(len(sources))[:count]:
        table = sources[position]
        kept = [column for column in table.columns if column.source != DELETED]
        identifier = table.column(IDENTIFIER)
        listing = ", ".join(column.name for column in kept)
        form = builder.form(schema.entities[table.entity].entity)
        marks = ("vw",) if schema.half == "a" else ("look",)
        name = namer.table((namer.pick(("active", "recent")), *form), marks, builder.taken)
        body = f"SELECT {listing} FROM {table.name} WHERE {identifier} % 3 <> 0"
        schema.views.append(View(name, f"CREATE VIEW {name} AS {body}", tuple(kept)))


def build_schema(config: EnterpriseConfig, index: int, seeds: SeedSequence) -> Schema:
    """Build the schema of database ``index``: exactly ``config.tables`` base tables, and views.

    Args:
        config: What to generate.
        index: Position of the database in the data set.
        seeds: Source of randomness.

    Returns:
        The schema; no rows.
    """
    rng: Generator = default_rng(seeds)
    budget = Budget.of(config.tables)
    half = config.half(index)
    entities, edges = choose_entities(config, index, budget, rng)
    namer = Namer.draw(half, rng, config.abbreviations)
    flags: tuple[int | str, int | str] = (1, 0) if rng.random() < 0.6 else ("Y", "N")
    name = f"enterprise_s{config.seed}_d{index:02d}_{config.main_domain(index)}"
    schema = Schema(name, half, entities, edges, [], {}, [], flags)
    builder = Builder(config, rng, namer, schema)

    build_codes(builder, budget.code)
    room = config.tables - INFRASTRUCTURE - len(schema.tables) - len(entities)
    counts = _plan_families(builder, room)
    live: dict[str, Name] = {}
    families: dict[str, list[Name]] = {}
    for key, placed in entities.items():
        live[key], others = _family_names(builder, placed, counts.get(key, 0))
        if others:
            families[key] = others
    build_live(builder, live)
    note_codes(builder)
    _build_twins(builder, families)
    _build_satellites(builder, config.tables - INFRASTRUCTURE - len(schema.tables))
    build_infrastructure(builder)
    for table in schema.tables:
        if table.role == "live":
            table.status, table.remark = "current", _CURRENT_REMARK
    _build_views(builder, round(config.view_share * config.tables))
    return schema
