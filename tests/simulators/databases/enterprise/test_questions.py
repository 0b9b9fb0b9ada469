"""Questions: golds that run and say something, wording, families, and the checks that refuse the rest."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from fogline.core.errors import DataError
from fogline.simulators.databases.enterprise import EnterpriseConfig, enterprise_dataset
from fogline.simulators.databases.enterprise.generate import FIRST, SECOND, Built, build_database
from fogline.simulators.databases.enterprise.questions.catalogue import TEMPLATES
from fogline.simulators.databases.enterprise.questions.query import Draft, Node, Render, Renderer
from fogline.simulators.databases.enterprise.validate import Checker, Verdict
from fogline.simulators.databases.gold_schema import gold_schema
from fogline.simulators.databases.records import TextToSQLDataset

Run = Callable[[str, str], list[tuple[object, ...]]]
FAMILIES = {
    "filter", "projection", "order_limit", "join_1", "join_2", "join_3plus", "left_join", "aggregate", "group_by",
    "having", "distinct", "subquery_scalar", "subquery_in", "exists", "correlated", "set_operation", "window", "cte",
    "case", "self_join", "string", "date", "null", "arithmetic", "derived_table", "many_to_many", "code_table", "coded",
}  # fmt: skip


def test_every_gold_runs_and_answers_on_both_populations(dataset: TextToSQLDataset, run: Run) -> None:
    assert len(dataset) == 350
    for task in dataset:
        ref = dataset.databases[task.database]
        first, second = (run(url, task.gold_sql) for url in (ref.url, *ref.suite))
        assert first and second, task.task_id
        assert set(first) != set(second), f"{task.task_id} is answered without looking"
        assert max(len(first), len(second)) <= 200


def test_task_ids_and_databases_are_named_after_their_place(dataset: TextToSQLDataset) -> None:
    for position, (task_id, task) in enumerate(dataset.tasks.items()):
        assert task_id == task.task_id == f"enterprise-s0-d{position // 25:02d}-q{position % 25:03d}"
        assert task.database in dataset.databases
    assert len({task.question for task in dataset}) == len(dataset)


def test_no_text_quotes_a_compound_identifier(dataset: TextToSQLDataset, built: list[Built]) -> None:
    compounds = {}
    for item in built:
        catalogue = item.schema.catalogue()
        names = {*catalogue.tables, *(c.name for columns in catalogue.tables.values() for c in columns)}
        compounds[item.schema.name] = {name.lower() for name in names if "_" in name or re.search("[a-z][A-Z]", name)}
        assert len(compounds[item.schema.name]) > 100
    for task in dataset:
        for text in (task.question, *task.paraphrases, task.evidence):
            assert "_" not in text
            words = set(re.findall(r"[a-z0-9]+", text.lower()))
            assert not words & compounds[task.database], text


def test_each_question_has_a_paraphrase_in_other_words(dataset: TextToSQLDataset) -> None:
    for task in dataset:
        (paraphrase,) = task.paraphrases
        words, others = set(task.question.lower().split()), set(paraphrase.lower().split())
        assert len(words & others) / len(words | others) < 0.85, task.question
        assert "  " not in task.question + paraphrase
        assert not re.search(r"\be[+-]?\d|\{|\}", task.question + paraphrase), "no exponents, no template braces"


def test_all_families_templates_and_levels_are_covered(dataset: TextToSQLDataset) -> None:
    counts = Counter(family for task in dataset for family in task.families)
    assert {family: counts[family] for family in FAMILIES if counts[family] < 5} == {}
    names = [template.__name__ for template in TEMPLATES]
    assert {name: counts[name] for name in names if counts[name] < 4} == {}
    levels = Counter(task.difficulty for task in dataset)
    assert set(levels) == {"easy", "medium", "hard", "extra"}
    assert min(levels.values()) >= 20


def test_joins_go_from_none_to_four(built: list[Built]) -> None:
    sizes = Counter(len(gold.tables) for item in built for gold in item.gold.values())
    assert {1, 2, 3, 4, 5} <= set(sizes)
    assert sizes[1] < 0.4 * sizes.total()


def test_skeletons_vary(dataset: TextToSQLDataset) -> None:
    skeletons = Counter(
        re.sub(r"'[^']*'|\b\d[\d.]*\b|\b\w+\.\w+\b|(?<=FROM )\w+|(?<=JOIN )\w+", "_", t.gold_sql) for t in dataset
    )
    assert len(skeletons) > 0.7 * len(dataset)
    assert max(skeletons.values()) <= 8


def test_the_derived_gold_schema_is_what_the_template_recorded(built: list[Built]) -> None:
    for item in built:
        catalogue = item.schema.catalogue()
        for task in item.tasks:
            assert gold_schema(task.gold_sql, catalogue) == item.gold[task.task_id], task.gold_sql


def test_a_gold_on_a_twin_gives_a_wrong_answer(built: list[Built], dataset: TextToSQLDataset, run: Run) -> None:
    swapped = 0
    for item in built:
        ref = dataset.databases[item.schema.name]
        families = {placed.table.name.lower(): placed for placed in item.schema.entities.values() if placed.twins}
        for task in item.tasks:
            for name in item.gold[task.task_id].tables & families.keys():
                placed = families[name]
                for twin in (t for t in placed.twins if t.columns == placed.table.columns):
                    wrong = re.sub(rf"\b{placed.table.name}\b", twin.name, task.gold_sql)
                    assert wrong != task.gold_sql
                    differs = [set(run(u, wrong)) != set(run(u, task.gold_sql)) for u in (ref.url, *ref.suite)]
                    assert any(differs), task.task_id
                    swapped += 1
    assert swapped >= 30


def test_deleted_rows_are_left_out_wherever_a_table_flags_them(built: list[Built]) -> None:
    flagged = 0
    for item in built:
        columns = {
            f"{table.name}.{column.name}".lower(): table.name.lower()
            for table in item.schema.tables if table.role == "live"
            for column in table.columns if column.source == "@deleted"
        }  # fmt: skip
        for task in item.tasks:
            gold = item.gold[task.task_id]
            used = {column for column, table in columns.items() if table in gold.tables}
            assert used <= gold.columns
            assert bool(used) == ("flagged as deleted" in task.evidence)
            flagged += bool(used)
    assert flagged >= 20


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[Built, Path]:
    """A small database to offer crafted drafts on; no soft deletion."""
    folder = tmp_path_factory.mktemp("shop")
    config = EnterpriseConfig(
        domains=("retail",), databases=1, tables=30, questions_per_database=1, soft_delete=0.0, twin_share=1.0
    )
    return build_database(config, 0, folder), folder


def _verdict(shop: tuple[Built, Path], render: Render) -> Verdict:
    built, folder = shop
    checker = Checker(built.schema, (folder / FIRST, folder / SECOND))
    try:
        return checker.check(Draft("crafted", lambda w: "", render, (), ()))
    finally:
        checker.close()


def _unit(shop: tuple[Built, Path]) -> Node:
    return Node("t1", "shared.unit")


def test_a_filter_that_changes_nothing_is_caught(shop: tuple[Built, Path]) -> None:
    node = _unit(shop)

    def render(r: Renderer) -> str:
        test = r.condition(f"{r.identifier(node)} > 0")
        return f"SELECT {r.column(node, 'name')} FROM {r.table(node)} WHERE {test}"

    assert (_verdict(shop, render).reason, _verdict(shop, render).detail) == ("variant_agrees", "filter")


def test_a_query_that_a_stale_twin_answers_as_well_is_caught(shop: tuple[Built, Path]) -> None:
    node = _unit(shop)
    placed = shop[0].schema.entities[node.entity]
    assert placed.twins
    live = placed.table

    def render(r: Renderer) -> str:
        # Reads the table of the node, which may be a twin, but takes its answer from the current one.
        return f"SELECT {live.column('name')} FROM {live.name} WHERE EXISTS (SELECT 1 FROM {r.table(node)})"

    verdict = _verdict(shop, render)
    assert (verdict.reason, verdict.detail) == ("variant_agrees", "twin")


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("SELECT 1 WHERE 1 = 0", "empty"),
        ("SELECT 7", "constant"),
        ("SELECT 0, NULL", "trivial"),
        ("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 500) SELECT i FROM n", "too_long"),
        ("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT COUNT(*) FROM n", "gold_slow"),
        ("SELECT nothing FROM nowhere", "gold_error"),
    ],
)
def test_a_gold_that_says_nothing_is_refused(shop: tuple[Built, Path], sql: str, reason: str) -> None:
    assert _verdict(shop, lambda r: sql).reason == reason


def test_no_gold_of_a_template_fails_to_run(dataset: TextToSQLDataset) -> None:
    reasons = Counter(item.reason for item in dataset.dropped)
    assert reasons["gold_error"] == reasons["gold_slow"] == 0
    assert reasons["variant_agrees"] > 0, "the second population and the wrong variants are at work"


def test_too_many_questions_end_in_an_error_that_says_so(tmp_path: Path) -> None:
    config = EnterpriseConfig(databases=1, tables=20, rows_per_table=20, questions_per_database=500)
    from fogline.simulators.databases.enterprise import generate

    with pytest.MonkeyPatch.context() as patch, pytest.raises(DataError, match="questions_per_database=500"):
        patch.setattr(generate, "TEMPLATES", TEMPLATES[:1])
        patch.setattr(generate, "_TRIES_PER_TEMPLATE", 1)
        patch.setattr(generate._Collector, "offer", lambda self, draft: False)
        enterprise_dataset(config, tmp_path)
