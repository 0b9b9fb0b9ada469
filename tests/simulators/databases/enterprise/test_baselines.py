"""How far names give a schema away: the baselines themselves, and their limit on the default difficulty."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fogline.simulators.databases.enterprise import EnterpriseConfig, keyword_retriever, no_join_heuristic
from fogline.simulators.databases.enterprise.baselines import _freshness, same_word, split_identifier, stem
from fogline.simulators.databases.enterprise.generate import Built, build_database
from fogline.simulators.databases.records import Catalogue, Column, ForeignKey, SchemaSubset

Baseline = Callable[[str, Catalogue], SchemaSubset]
BASELINES: list[Baseline] = [keyword_retriever, no_join_heuristic]
PLAIN = {
    "twin_share": 0.0, "misleading_names": 0.0, "synonyms": 0.0, "abbreviations": 0.0, "lexical_gap": 0.0,
    "coded_categories": 0.0, "audit_columns": 0.0, "soft_delete": 0.0, "opaque_columns": 0.0, "view_share": 0.0,
}  # fmt: skip

SHOP = Catalogue(
    {
        "cust_acct": (Column("cust_id", "INTEGER", True), Column("cust_nm", "TEXT"), Column("city", "TEXT")),
        "cust_acct_old": (Column("cust_id", "INTEGER", True), Column("cust_nm", "TEXT"), Column("city", "TEXT")),
        "salesOrder": (Column("id", "INTEGER", True), Column("cust_id", "INTEGER"), Column("orderDate", "TEXT")),
        "whs": (Column("id", "INTEGER", True), Column("capacity", "REAL")),
    },
    foreign_keys=(ForeignKey("salesOrder", "cust_id", "cust_acct", "cust_id"),),
)


def _rates(built: list[Built], baseline: Baseline) -> tuple[float, float, int]:
    tables = exact = total = 0
    for item in built:
        catalogue = item.schema.catalogue()
        for task in item.tasks:
            guess, gold = baseline(task.question, catalogue), item.gold[task.task_id]
            tables += guess.tables == gold.tables
            exact += guess == gold
            total += 1
    return tables / total, exact / total, total


@pytest.mark.parametrize("baseline", BASELINES, ids=lambda f: f.__name__)
def test_names_give_away_at_most_two_in_five_schemas(built: list[Built], baseline: Baseline) -> None:
    tables, exact, total = _rates(built, baseline)
    assert total >= 200
    assert exact <= tables <= 0.40


def test_knowing_every_synonym_does_not_tell_which_copy_is_current(built: list[Built]) -> None:
    """A guesser that knows what each table is about still has to choose within families, by marks and versions."""
    chances = []
    for item in built:
        families = {placed.table.name.lower(): placed for placed in item.schema.entities.values()}
        for gold in item.gold.values():
            chance = 1.0
            for placed in (families[table] for table in gold.tables if table in families):
                freshness = {table.name: _freshness(split_identifier(table.name)) for table in placed.twins}
                own = _freshness(split_identifier(placed.table.name))
                rivals = sum(other == own for other in freshness.values())
                chance *= 0.0 if max(freshness.values(), default=0.0) > own else 1.0 / (1 + rivals)
            chances.append(chance)
    assert 0.1 < sum(chances) / len(chances) <= 0.40


def test_the_retriever_is_good_where_names_are_plain(tmp_path: Path) -> None:
    config = dataclasses.replace(EnterpriseConfig(databases=6), **PLAIN)  # type: ignore[arg-type]
    plain = []
    for index in range(6):
        folder = tmp_path / str(index)
        folder.mkdir()
        plain.append(build_database(config, index, folder))
    tables, _, _ = _rates(plain, keyword_retriever)
    single, _, _ = _rates(plain, no_join_heuristic)
    assert tables >= 0.45, "without noise the baseline is able, so the noise is what stops it"
    assert tables > single


def test_the_retriever_reads_abbreviations_and_skips_marked_copies() -> None:
    guess = keyword_retriever("In which city does each customer account live, and what is the order date?", SHOP)
    assert "cust_acct" in guess.tables
    assert "cust_acct_old" not in guess.tables
    assert "cust_acct.city" in guess.columns


def test_the_retriever_adds_the_columns_that_link_its_tables() -> None:
    guess = keyword_retriever("List customer accounts with their sales orders", SHOP)
    assert guess.tables == {"cust_acct", "salesorder"}
    assert {"salesorder.cust_id", "cust_acct.cust_id"} <= guess.columns


def test_the_heuristic_picks_one_table() -> None:
    assert no_join_heuristic("What is the capacity of the warehouse?", SHOP).tables == {"whs"}
    assert no_join_heuristic("xyzzy", SHOP) == SchemaSubset()
    assert keyword_retriever("xyzzy", SHOP) == SchemaSubset()


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("cust_acct_dtl", ("cust", "acct", "dtl")),
        ("CustAcctV2", ("cust", "acct", "v", "2")),
        ("ORDER_LN", ("order", "ln")),
        ("salesOrder2019", ("sales", "order", "2019")),
    ],
)
def test_identifiers_are_split(name: str, parts: tuple[str, ...]) -> None:
    assert split_identifier(name) == parts


@pytest.mark.parametrize(
    ("part", "word", "known"),
    [
        ("customers", "customer", True),
        ("cust", "customers", True),
        ("cstmr", "customer", True),
        ("qty", "quantity", True),
        ("ord", "product", False),
        ("no", "north", False),
        ("id", "identity", False),
        ("x", "xylophone", False),
    ],
)
def test_parts_stand_for_words(part: str, word: str, known: bool) -> None:
    assert (same_word(part, word) > 0) == known


@given(st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=12))
def test_a_word_stands_for_itself_and_its_stem_is_stable(word: str) -> None:
    assert same_word(word, word) == 1.0
    assert stem(word) and word.startswith(stem(word)[:2])


def test_importing_the_package_loads_nothing_heavy() -> None:
    script = (
        "import sys, fogline.simulators.databases.enterprise\n"
        "heavy = ('torch', 'duckdb', 'sqlalchemy', 'sqlglot', 'pandas', 'openai', 'ray')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
