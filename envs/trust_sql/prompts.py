"""What TRUST-SQL tells the agent: the rules, the task block, acknowledgements and complaints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fogline.simulators.databases.records import Catalogue

ENGINE_NAMES = {"sqlite": "SQLite", "duckdb": "DuckDB", "postgresql": "PostgreSQL"}

_ROLE = """You answer questions about a {engine} database by writing one SQL query.
{knowledge}
You act in turns. In every turn, think first, then take exactly one action. The actions are:

{actions}

You may go back to an earlier action whenever you find that something is missing. You have {max_turns} turns."""

_HIDDEN = """Nobody has shown you its schema: you do not know which tables, columns or codes exist. Never guess them.
Everything you use must come from what the database's own catalogue told you in this conversation."""

_PREFILLED = """Its schema is given with the question. Use only tables and columns that it names."""

_EXPLORE = """- explore_schema: query the catalogue ({catalogue}). Metadata only: do not try to answer the question here. Check how tables relate before you join them."""
_PROPOSE = """- propose_schema: commit to the tables and columns that the answer needs, and no others. Name only what you have verified."""
_GENERATE = (
    """- generate_sql: run a candidate query that answers the question{subset}. If something is missing, go back."""
)
_CONFIRM = """- confirm_answer: hand in the final SQL after you have run it successfully. Hand in the query, never its result. This ends the task."""

_FORMAT = """Write each turn in exactly this form, with one reasoning block, one action and its payload:

{forms}

The tool runs one read-only statement on the task's database, for at most {seconds:g} seconds, and shows at most {rows} rows.
Its definition:
{tool}"""

_FORM_EXPLORE = """<think>what you want to find out</think>
<action>explore_schema</action>
<tool_call>{{"name": "execute_sql_query", "arguments": {{"db_id": "DATABASE", "sql": "SQL"}}}}</tool_call>"""
_FORM_PROPOSE = """<think>why these tables and columns suffice</think>
<action>propose_schema</action>
<schema>{{"tables": ["T1"], "columns": {{"T1": ["c1", "c2"]}}}}</schema>
or, with two tables (joins are optional):
<schema>{{"tables": ["T1", "T2"], "columns": {{"T1": ["c1", "c2"], "T2": ["c3"]}}, "joins": [{{"left_table": "T1", "right_table": "T2", "on": "T1.c2 = T2.c3", "type": "inner"}}]}}</schema>"""
_FORM_GENERATE = """<think>how the query answers the question</think>
<action>generate_sql</action>
<tool_call>{{"name": "execute_sql_query", "arguments": {{"db_id": "DATABASE", "sql": "SQL"}}}}</tool_call>"""
_FORM_CONFIRM = """<think>why this is the answer</think>
<action>confirm_answer</action>
<answer>
```sql
SQL
```
</answer>"""

_CATALOGUE_OF = {
    "sqlite": "sqlite_master, PRAGMA table_info(...), PRAGMA foreign_key_list(...) and the like",
    "duckdb": "information_schema, duckdb_tables(), duckdb_columns(), DESCRIBE and the like",
    "postgresql": "information_schema and pg_catalog",
}

COMPLAINT = "Invalid format"
"""How every complaint about an unreadable turn begins."""


def system_prompt(*, engine: str, prefilled: bool, propose: bool, max_turns: int, rows: int, seconds: float) -> str:
    """The rules. They depend on the configuration only, never on the task or its database."""
    actions = [_EXPLORE.format(catalogue=_CATALOGUE_OF[engine])]
    if propose:
        actions.append(_PROPOSE)
    actions.append(_GENERATE.format(subset=", with proposed tables and columns only" if propose else ""))
    actions.append(_CONFIRM)
    role = _ROLE.format(
        engine=ENGINE_NAMES[engine],
        knowledge=_PREFILLED if prefilled else _HIDDEN,
        actions="\n".join(actions),
        max_turns=max_turns,
    )
    layout = _FORMAT.format(forms=formats(propose), rows=rows, seconds=seconds, tool=_tool_text(rows))
    return f"{role}\n\n{layout}"


def formats(propose: bool) -> str:
    """The legal forms of a turn."""
    forms = (
        [_FORM_EXPLORE, _FORM_PROPOSE, _FORM_GENERATE, _FORM_CONFIRM]
        if propose
        else [
            _FORM_EXPLORE,
            _FORM_GENERATE,
            _FORM_CONFIRM,
        ]
    )
    return "\n\n".join(form.format() for form in forms)


def task_block(*, engine: str, database: str, question: str, evidence: str, schema: str = "") -> str:
    """The first observation: the task and nothing else."""
    lines = [
        "## Task",
        f"**Database engine:** {ENGINE_NAMES[engine]}",
        f"**Database:** {database}",
        f"**External knowledge:** {evidence or 'none'}",
        f"**Question:** {question}",
    ]
    if schema:
        lines.append(f"**Schema:**\n{schema}")
    return "\n".join(lines)


def schema_text(catalogue: Catalogue) -> str:
    """The whole schema as text, for ``schema="prefilled"``."""
    lines = []
    for table, columns in catalogue.tables.items():
        kind = "view" if table in catalogue.views else "table"
        listed = ", ".join(f"{column.name} {column.type}".strip() for column in columns)
        lines.append(f"{kind} {table} ({listed})")
    lines.extend(
        f"{key.table}.{key.column} references {key.parent_table}.{key.parent_column}" for key in catalogue.foreign_keys
    )
    return "\n".join(lines)


def acknowledgement(tables: int, columns: int) -> str:
    """Answer to a readable proposal. Says how much was proposed, never whether it is right."""
    return f"Schema recorded: {tables} table(s), {columns} column(s). You may now generate SQL."


def complaint(problem: str, propose: bool) -> str:
    """Answer to a turn that cannot be read."""
    return f"{COMPLAINT}: {problem}. Use one of these forms:\n\n{formats(propose)}"


_REFUSALS = {
    "untyped_tool_call": "a tool call needs the action explore_schema or generate_sql",
    "propose_before_explore": "explore the catalogue successfully before you propose",
    "ungrounded_proposal": "the proposal names tables or columns that no exploration has shown",
    "generate_before_propose": "propose a schema before you generate SQL",
    "generate_outside_proposal": "the SQL uses tables or columns outside the proposed schema",
    "confirm_before_propose": "propose a schema before you confirm",
    "confirm_before_generate": "run the SQL successfully before you confirm it",
    "confirm_differs_from_tested": "confirm exactly the SQL that was last run successfully",
    "explore_not_metadata": "explorations may read the catalogue only",
}


def refusal(violations: Sequence[str], names: Sequence[str] = ()) -> str:
    """Answer to an illegal action under ``protocol="strict"``; names only what the agent itself wrote."""
    reasons = "; ".join(_REFUSALS[name] for name in violations if name in _REFUSALS)
    return f"Refused: {reasons}{': ' + ', '.join(names) if names else ''}."


def turn_notice(turn: int, max_turns: int) -> str:
    """The budget, shown where ``show_turns_left`` is on.

    Args:
        turn: Turns played so far.
        max_turns: The budget.
    """
    left = max_turns - turn
    notice = f"[Turn {turn + 1} of {max_turns}]"
    if left == 1:
        return f"{notice} This is the last turn: you must confirm an answer now."
    if left == 2:
        return f"{notice} Two turns left: prepare to confirm."
    return notice


def _sql_parameters(description: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {"sql": {"type": "string", "description": description}},
        "required": ["sql"],
    }


def tools(propose: bool, rows: int) -> list[Mapping[str, Any]]:
    """The actions as JSON schemas, for agents that call tools."""
    definitions: list[tuple[str, str, dict[str, Any]]] = [
        (
            "explore_schema",
            f"Query the database's catalogue (metadata only). Shows at most {rows} rows.",
            _sql_parameters("One read-only metadata statement."),
        )
    ]
    if propose:
        definitions.append(("propose_schema", "Commit to the tables and columns that the answer needs.", _SCHEMA))
    definitions.append(
        (
            "generate_sql",
            f"Run a candidate query that answers the question. Shows at most {rows} rows.",
            _sql_parameters("One read-only query."),
        )
    )
    definitions.append(("confirm_answer", "Hand in the final SQL; ends the task.", _sql_parameters("The final query.")))
    return [
        {"type": "function", "function": {"name": name, "description": text, "parameters": parameters}}
        for name, text, parameters in definitions
    ]


_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "tables": {"type": "array", "items": {"type": "string"}},
        "columns": {
            "type": "object",
            "description": "Columns needed of each table.",
            "additionalProperties": {"type": "array", "items": {"type": "string"}},
        },
        "joins": {"type": "array", "items": {"type": "object"}, "description": "Optional; never scored."},
    },
    "required": ["tables", "columns"],
}


def _tool_text(rows: int) -> str:
    import json

    tool = {
        "name": "execute_sql_query",
        "description": f"Run one read-only SQL statement and return at most {rows} rows.",
        "parameters": {
            "type": "object",
            "properties": {"db_id": {"type": "string"}, "sql": {"type": "string"}},
            "required": ["db_id", "sql"],
        },
    }
    return json.dumps(tool)
