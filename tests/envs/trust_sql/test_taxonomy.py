"""The error classes are exclusive and the first that matches wins (TRUST-SQL specification, section 17)."""

from __future__ import annotations

import pytest

from fogline.envs.trust_sql.taxonomy import ERROR_CLASSES, error_class
from fogline.simulators.databases.gold_schema import IdentifiersUsed
from fogline.simulators.databases.records import QueryResult, SchemaSubset

GOLD = SchemaSubset.of(["customer"], {"customer": ["name"]})
SAME = IdentifiersUsed(known=GOLD)
OTHER = IdentifiersUsed(known=SchemaSubset.of(["customer"], {"customer": ["age"]}))
INVENTED = IdentifiersUsed(unknown_columns=frozenset({"nme"}))
UNREAD = IdentifiersUsed(unparseable=True)
RAN = QueryResult("ok", ("name",), (("ann",),), tables=frozenset({"customer"}))


@pytest.mark.parametrize(
    ("expected", "result", "correct", "used", "malformed", "ran_out"),
    [
        ("no_answer", RAN, True, SAME, True, True),
        ("no_answer", None, False, None, False, False),
        ("format", None, False, None, True, False),
        ("format", RAN, True, SAME, True, False),
        ("timeout", QueryResult("timeout"), False, INVENTED, False, False),
        ("hallucination", QueryResult("error", error_class="runtime"), False, INVENTED, False, False),
        ("hallucination", QueryResult("error", error_class="missing_table"), False, UNREAD, False, False),
        ("hallucination", QueryResult("error", error_class="missing_column"), False, SAME, False, False),
        ("syntax/runtime", QueryResult("error", error_class="syntax"), False, UNREAD, False, False),
        ("syntax/runtime", QueryResult("error", error_class="runtime"), False, SAME, False, False),
        ("syntax/runtime", QueryResult("forbidden"), False, UNREAD, False, False),
        ("syntax/runtime", QueryResult("too_large"), False, SAME, False, False),
        ("schema_linking", RAN, False, OTHER, False, False),
        ("schema_linking", QueryResult("empty", tables=frozenset({"orders"})), False, UNREAD, False, False),
        ("logic", RAN, False, SAME, False, False),
        ("logic", RAN, False, UNREAD, False, False),
        ("correct", RAN, True, OTHER, False, False),
    ],
)
def test_classes(
    expected: str,
    result: QueryResult | None,
    correct: bool,
    used: IdentifiersUsed | None,
    malformed: bool,
    ran_out: bool,
) -> None:
    found = error_class(
        result=result, correct=correct, used=used, gold=GOLD, last_turn_malformed=malformed, ran_out=ran_out
    )
    assert found == expected
    assert found in ERROR_CLASSES
