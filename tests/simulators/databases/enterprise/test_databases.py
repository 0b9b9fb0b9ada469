"""Schemas and rows: sizes, references, twins, codes, registry, vocabularies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import SeedSequence

from fogline.simulators.databases.enterprise import EnterpriseConfig, enterprise_dataset
from fogline.simulators.databases.enterprise.generate import Built, build_database
from fogline.simulators.databases.enterprise.lexicon import SHARED_IDENTIFIERS, tokens
from fogline.simulators.databases.enterprise.naming import RESERVED
from fogline.simulators.databases.enterprise.noise import build_schema
from fogline.simulators.databases.enterprise.rows import populate
from fogline.simulators.databases.enterprise.schema import IDENTIFIER
from fogline.simulators.databases.records import TextToSQLDataset

Run = Callable[[str, str], list[tuple[object, ...]]]


def _identifiers(vocabulary: str, tables: int, seed: int) -> set[str]:
    config = EnterpriseConfig(vocabulary=vocabulary, tables=tables, seed=seed)  # type: ignore[arg-type]
    names: set[str] = set()
    for index in range(len(config.pool())):
        catalogue = build_schema(config, index, SeedSequence([seed, index])).catalogue()
        for table, columns in catalogue.tables.items():
            names |= {table.lower(), *(column.name.lower() for column in columns)}
    return names


@pytest.mark.parametrize(("tables", "rows"), [(20, 20), (500, 20)])
def test_the_extreme_sizes_have_exactly_so_many_base_tables(tmp_path: Path, run: Run, tables: int, rows: int) -> None:
    config = EnterpriseConfig(databases=1, tables=tables, rows_per_table=rows, questions_per_database=12)
    dataset = enterprise_dataset(config, tmp_path)
    (ref,) = dataset.databases.values()
    for url in (ref.url, *ref.suite):
        kinds = Counter(kind for (kind,) in run(url, "SELECT type FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'"))
        assert kinds["table"] == tables
        assert kinds["view"] == round(config.view_share * tables)
        assert run(url, "PRAGMA foreign_key_check") == []
    assert len(dataset) == 12


def test_declared_references_hold_and_no_table_is_empty(dataset: TextToSQLDataset, run: Run) -> None:
    for ref in dataset.databases.values():
        for url in (ref.url, *ref.suite):
            assert run(url, "PRAGMA foreign_key_check") == []
            assert run(url, "PRAGMA integrity_check") == [("ok",)]
            for name, kind in run(url, "SELECT name, type FROM sqlite_master WHERE type IN ('table', 'view')"):
                (count,) = run(url, f"SELECT COUNT(*) FROM {name}")[0]
                assert count or (kind == "table" and _is_notes(url, str(name), run)), name


def _is_notes(url: str, name: str, run: Run) -> bool:
    """Column notes may be empty: nothing opaque, nothing coded."""
    return len(run(url, f"PRAGMA table_info({name})")) == 4


def test_the_catalogue_is_what_sqlite_reports(built: list[Built], dataset: TextToSQLDataset, run: Run) -> None:
    for item in built:
        catalogue = item.schema.catalogue()
        url = dataset.databases[item.schema.name].url
        reported = {
            str(name): [str(row[1]) for row in run(url, f"PRAGMA table_info({name})")]
            for (name,) in run(url, "SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")
        }
        assert reported == {table: [c.name for c in columns] for table, columns in catalogue.tables.items()}
        for table in catalogue.tables:
            keys = {(str(row[3]), str(row[2]), str(row[4])) for row in run(url, f"PRAGMA foreign_key_list({table})")}
            declared = {(k.column, k.parent_table, k.parent_column) for k in catalogue.foreign_keys if k.table == table}
            assert keys == declared


def test_the_graph_has_chains_hubs_and_self_references(built: list[Built]) -> None:
    for item in built:
        edges = item.schema.edges
        assert max(Counter(edge.parent for edge in edges).values()) >= 3, "a hub"
        parents = {key: [e.parent for e in edges if e.child == key != e.parent] for key in item.schema.entities}

        def depth(key: str, parents: dict[str, list[str]] = parents) -> int:
            return max((1 + depth(parent) for parent in parents[key]), default=0)

        assert max(map(depth, parents)) >= 4, "a chain of four references"
    assert any(edge.parent == edge.child for item in built for edge in item.schema.edges)
    links = [p for item in built for p in item.schema.entities.values() if p.entity.role == "link"]
    assert links and all(len(link.entity.references) == 2 for link in links)


def test_twins_differ_in_rows_from_the_current_table(built: list[Built], dataset: TextToSQLDataset, run: Run) -> None:
    twins = 0
    for item in built:
        url = dataset.databases[item.schema.name].url
        for placed in item.schema.entities.values():
            sources = [IDENTIFIER, *(attribute.key for attribute in placed.entity.attributes)]
            live = _rows(run, url, placed.table.name, [placed.table.column(source) for source in sources])
            for twin in placed.twins:
                twins += 1
                stale = _rows(run, url, twin.name, [twin.column(source) for source in sources])
                assert stale != live
                assert stale & live, "a twin is an old copy, not another table"
    assert twins >= 14 * 5


def _rows(run: Run, url: str, table: str, columns: list[str]) -> set[tuple[object, ...]]:
    return set(run(url, f"SELECT {', '.join(columns)} FROM {table}"))


def test_the_registry_says_which_table_is_current(built: list[Built], dataset: TextToSQLDataset, run: Run) -> None:
    for item in built:
        url = dataset.databases[item.schema.name].url
        (registry,) = (table for table in item.schema.tables if table.role == "registry")
        names = [registry.column(source) for source in ("@object", "@subject", "@status", "@remark")]
        rows = {row[0]: row[1:] for row in run(url, f"SELECT {', '.join(names)} FROM {registry.name}")}
        assert set(rows) == {table.name for table in item.schema.tables}
        for placed in item.schema.entities.values():
            subject, status, _ = rows[placed.table.name]
            assert (subject, status) == (placed.nouns[0][1], "current")
            for twin in placed.twins:
                assert rows[twin.name][:2] == (subject, "superseded")
                assert placed.table.name in str(rows[twin.name][2])


def test_names_alone_do_not_say_which_of_a_family_is_current(built: list[Built]) -> None:
    families = [p for item in built for p in item.schema.entities.values() if p.twins]
    versions = [p for p in families if any(mark in p.table.name.lower()[-5:] for mark in ("v1", "v2", "rev1", "rev2"))]
    highest = [p for p in versions if all(twin.name[-1] < p.table.name[-1] for twin in p.twins)]
    assert len(versions) >= 10
    assert 0 < len(highest) < len(versions)


def test_codes_are_explained_by_rows_and_opaque_columns_by_notes(
    built: list[Built], dataset: TextToSQLDataset, run: Run
) -> None:
    for item in built:
        schema = item.schema
        url = dataset.databases[schema.name].url
        (notes,) = (table for table in schema.tables if table.role == "notes")
        names = [notes.column(source) for source in ("@object", "@column")]
        explained = set(run(url, f"SELECT {', '.join(names)} FROM {notes.name}"))
        for (entity, key), codes in schema.codes.items():
            where = f" WHERE {codes.set_column} = '{codes.selector}'" if codes.selector else ""
            meanings = dict(run(url, f"SELECT {codes.code_column}, {codes.meaning_column} FROM {codes.table}{where}"))
            live = schema.entities[entity].table
            stored = {value for (value,) in run(url, f"SELECT DISTINCT {live.column(key)} FROM {live.name}")}
            assert stored - {None} <= set(meanings)
            assert set(meanings.values()) == set(schema.attribute(entity, key).values)
            assert (live.name, live.column(key)) in explained
        for table in schema.tables:
            for column in table.columns:
                if column.name.lower()[:-2] in ("fld", "attr") and table.role in ("live", "twin"):
                    assert (table.name, column.name) in explained


def test_dates_follow_each_other(built: list[Built]) -> None:
    checked = 0
    for item in built[:4]:
        population = populate(item.schema, 60, SeedSequence(3))
        for key, placed in item.schema.entities.items():
            columns = population.entities[key]
            for attribute in placed.entity.attributes:
                reference, _, earlier = attribute.after.rpartition(".")
                if not earlier or reference:
                    continue
                pairs = zip(columns[earlier], columns[attribute.key], strict=True)
                assert all(a <= b for a, b in pairs if a is not None and b is not None)
                checked += 1
    assert checked


def test_the_two_populations_share_codes_but_not_rows(built: list[Built], dataset: TextToSQLDataset, run: Run) -> None:
    for item in built:
        ref = dataset.databases[item.schema.name]
        for table in item.schema.tables:
            first, second = (run(url, f"SELECT * FROM {table.name}") for url in (ref.url, *ref.suite))
            same = table.role in ("code", "lookup", "registry", "notes")
            assert (first == second) == same, table.name


def test_the_vocabularies_share_no_word_and_only_the_declared_identifiers() -> None:
    assert tokens("a") & tokens("b") == frozenset()
    for tables, seed in ((20, 0), (60, 1), (500, 2)):
        common = _identifiers("a", tables, seed) & _identifiers("b", tables, seed + 10)
        assert common <= SHARED_IDENTIFIERS
        assert common, "both halves are expected to call some key `id`"
    assert set(SHARED_IDENTIFIERS) == {"id"}


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32), tables=st.integers(20, 120), index=st.integers(0, 13))
def test_any_schema_has_unique_bare_names_and_the_right_size(seed: int, tables: int, index: int) -> None:
    schema = build_schema(EnterpriseConfig(tables=tables), index, SeedSequence(seed))
    names = [table.name.lower() for table in schema.tables] + [view.name.lower() for view in schema.views]
    assert len(schema.tables) == tables
    assert len(set(names)) == len(names)
    assert not RESERVED & set(names)
    for table in schema.tables:
        columns = [column.name.lower() for column in table.columns]
        assert len(set(columns)) == len(columns)
        assert not RESERVED & set(columns)


def test_a_lone_domain_grows_into_others_of_its_vocabulary(tmp_path: Path) -> None:
    config = EnterpriseConfig(domains=("hotel",), vocabulary="b", tables=80, questions_per_database=5)
    schema = build_database(config, 0, tmp_path).schema
    domains = {key.partition(".")[0] for key in schema.entities}
    assert {"hotel", "shared"} < domains
    assert domains - {"shared"} <= set(config.pool())
