"""What went wrong in an episode: exclusive classes, decided mechanically.

Source: TRUST-SQL specification, section 17.
"""

from __future__ import annotations

from typing import Literal, get_args

from fogline.simulators.databases.gold_schema import IdentifiersUsed
from fogline.simulators.databases.records import QueryResult, SchemaSubset

ErrorClass = Literal[
    "no_answer", "format", "timeout", "hallucination", "syntax/runtime", "schema_linking", "logic", "correct"
]
ERROR_CLASSES: tuple[ErrorClass, ...] = get_args(ErrorClass)


def error_class(
    *,
    result: QueryResult | None,
    correct: bool,
    used: IdentifiersUsed | None,
    gold: SchemaSubset,
    last_turn_malformed: bool = False,
    ran_out: bool = False,
) -> ErrorClass:
    """Classify an episode; the first matching class wins, in the order of :data:`ERROR_CLASSES`.

    1. ``no_answer``: the turn or context budget ended the episode. 2. ``format``: the last turn could not be
    parsed. 3. ``timeout``: the final SQL timed out. 4. ``hallucination``: it failed and names a table or
    column that the database lacks, by the engine's error or by its text. 5. ``syntax/runtime``: any other
    failure, refusals included. 6. ``schema_linking``: it ran, is wrong, and uses other tables or columns than
    the gold statement. 7. ``logic``: wrong with the same ones. 8. ``correct``.

    Where a statement ran but cannot be analysed, the tables that the engine really read stand in for its
    names.

    Args:
        result: What the final SQL gave, ``None`` where there was none.
        correct: Whether its result equals the gold result.
        used: Names in the final SQL.
        gold: Tables and columns of the gold statement.
        last_turn_malformed: Whether the last turn could not be parsed.
        ran_out: Whether the budget or the context ended the episode.
    """
    if ran_out:
        return "no_answer"
    if last_turn_malformed:
        return "format"
    if result is None:
        return "no_answer"
    if result.status == "timeout":
        return "timeout"
    if not result.ran:
        absent = result.error_class in ("missing_table", "missing_column")
        return "hallucination" if absent or (used is not None and used.hallucinated) else "syntax/runtime"
    if correct:
        return "correct"
    if used is None or used.unparseable:
        return "logic" if result.tables == gold.tables else "schema_linking"
    return "logic" if used.known == gold else "schema_linking"
