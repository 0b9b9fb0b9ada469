"""The action grammar of TRUST-SQL: a total parser, tolerant in what runs and exact in what is well formed."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from fogline.simulators.databases.gold_schema import PayloadError, proposal_schema
from fogline.simulators.databases.records import SchemaSubset

Phase = Literal["explore", "propose", "generate", "confirm", "sql", "malformed"]

PHASES: tuple[Phase, ...] = ("explore", "propose", "generate", "confirm")
ACTION_NAMES: dict[str, Phase] = {
    "explore_schema": "explore",
    "propose_schema": "propose",
    "generate_sql": "generate",
    "confirm_answer": "confirm",
}
ACTION_OF_PHASE = {phase: name for name, phase in ACTION_NAMES.items()}
TOOL_NAME = "execute_sql_query"

_THINK = re.compile(r"<(/?)think>")
# Three quotes also occur inside SQL ('''it'''): they fence only where a line begins.
_QUOTE_FENCE = re.compile(r"^[ \t]*'''", re.MULTILINE)
_CALL_TAGS = ("tool_call", "tool", "tools")
_JSON = json.JSONDecoder(strict=False)
"""Tolerates control characters in strings. Kept, because ``json.loads`` would build one for each call."""
_PROTOCOL_TAG = re.compile(r"<(?=/?(?:think|action|schema|answer|tool_call|tools?)>)")


@dataclass(frozen=True, slots=True)
class ParsedTurn:
    """What one assistant turn means.

    Attributes:
        phase: Which of the four actions; ``sql`` for a tool call under no legal action name; ``malformed``
            where nothing can be read.
        sql: Statement of an explore, generate, untyped or confirm turn.
        database: The ``db_id`` that the tool call named, or None.
        schema: Proposed subset of a propose turn.
        well_formed: Passes the exact turn check of the format reward, payload included.
        problem: Why the turn is malformed or not well formed; empty otherwise.
    """

    phase: Phase
    sql: str = ""
    database: str | None = None
    schema: SchemaSubset | None = None
    well_formed: bool = False
    problem: str = ""


def parse_turn(text: Any, propose: bool = True) -> ParsedTurn:
    """Read one assistant turn (TRUST-SQL, action grammar).

    The reasoning block is set aside first, so that tags inside it never act. Then, in this order: an
    answer anywhere, the first schema, the first call of the SQL tool. What can be read is acted on;
    ``well_formed`` says whether the turn also has exactly one reasoning block, exactly one legal action
    tag, and that action's payload.

    Args:
        text: The assistant's words. Anything but a string is malformed.
        propose: Whether proposing is part of the game.
    """
    if not isinstance(text, str):
        return ParsedTurn("malformed", problem=f"expected text, got {type(text).__name__}")
    spoken, thoughts = split_reasoning(text)
    names = [name.strip() for _, name in blocks(spoken, "action")]
    parsed = _read_payload(spoken, names[0] if names else "", propose)
    if not parsed.well_formed:
        return parsed
    problem = _turn_check(parsed.phase, names, thoughts)
    if problem:
        return ParsedTurn(parsed.phase, parsed.sql, parsed.database, parsed.schema, False, problem)
    return parsed


def parse_structured(action: Any, propose: bool = True) -> ParsedTurn:
    """Read an action of the structured form: ``{"phase", "sql", "schema"}``.

    ``phase`` is an index into :data:`PHASES` or its name; ``schema`` is JSON text or a mapping.
    """
    if not isinstance(action, Mapping):
        return ParsedTurn("malformed", problem=f"expected a mapping with 'phase', got {type(action).__name__}")
    phase = _phase_of(action.get("phase"))
    if phase is None or (phase == "propose" and not propose):
        legal = [name for name in PHASES if propose or name != "propose"]
        return ParsedTurn("malformed", problem=f"phase={_shown(action.get('phase'))} is none of {legal}")
    if phase == "propose":
        return _proposal(action.get("schema", ""))
    sql = action.get("sql", "")
    if not isinstance(sql, str) or not sql.strip():
        return ParsedTurn("malformed", problem=f"the {phase} action needs 'sql', a non-empty text")
    return ParsedTurn(phase, sql=sql.strip(), well_formed=True)


def split_reasoning(text: str) -> tuple[str, tuple[int, int]]:
    """Set reasoning aside.

    Returns:
        The text outside ``<think>`` blocks, and how many opening and closing tags there were. An unclosed
        block runs to the end; what stands before a closing tag that nothing opened is reasoning too, as
        with chat templates that write the opening tag themselves.
    """
    outside: list[str] = []
    depth = opened = closed = position = 0
    for match in _THINK.finditer(text):
        if depth == 0:
            outside.append(text[position : match.start()])
        if match.group(1):
            closed += 1
            if depth == 0:
                outside.clear()
            else:
                depth -= 1
        else:
            opened += 1
            depth += 1
        position = match.end()
    if depth == 0:
        outside.append(text[position:])
    return "".join(outside), (opened, closed)


def blocks(text: str, tag: str) -> list[tuple[int, str]]:
    """Bodies of ``<tag>…</tag>`` with their positions, in time linear in the text whatever it holds."""
    found = []
    opening, closing = f"<{tag}>", f"</{tag}>"
    start = text.find(opening)
    while start >= 0:
        begin = start + len(opening)
        end = text.find(closing, begin)
        if end < 0:
            break
        found.append((start, text[begin:end]))
        start = text.find(opening, end + len(closing))
    return found


def answer_sql(body: str) -> str:
    """SQL of an answer: the first fenced block, or the bare text."""
    ticks, quotes = body.find("```"), _QUOTE_FENCE.search(body)
    if quotes is not None and not 0 <= ticks < quotes.start():
        begin = quotes.end()
        closing = _QUOTE_FENCE.search(body, begin)
        end = closing.start() if closing is not None else body.find("'''", begin)
    else:
        begin = ticks + 3
        end = body.find("```", begin) if ticks >= 0 else -1
    if end < 0:
        return body.strip()
    inside = body[begin:end]
    if inside[:3].lower() == "sql" and not inside[3:4].strip():
        inside = inside[3:]
    return inside.strip()


def render_turn(
    phase: Phase, thought: str, *, sql: str = "", database: str = "", schema: Mapping[str, Any] | None = None
) -> str:
    """Write a well-formed turn; :func:`parse_turn` reads it back.

    Tags of the protocol inside a JSON payload are escaped; a thought or a confirmed statement that holds them, or a
    fence, cannot be.
    """
    head = f"<think>{thought}</think>\n<action>{ACTION_OF_PHASE[phase]}</action>\n"
    if phase == "propose":
        return f"{head}<schema>{_payload(schema)}</schema>"
    if phase == "confirm":
        return f"{head}<answer>\n```sql\n{sql}\n```\n</answer>"
    call = {"name": TOOL_NAME, "arguments": {"db_id": database, "sql": sql}}
    return f"{head}<tool_call>{_payload(call)}</tool_call>"


def _payload(value: Any) -> str:
    return _PROTOCOL_TAG.sub(r"\\u003c", json.dumps(value, ensure_ascii=False))


def _read_payload(spoken: str, action: str, propose: bool) -> ParsedTurn:
    answers = blocks(spoken, "answer")
    if answers:
        sql = answer_sql(answers[0][1])
        return ParsedTurn("confirm", sql, well_formed=bool(sql), problem="" if sql else "the answer is empty")
    schemas = blocks(spoken, "schema") if propose else []
    if schemas:
        return _proposal(schemas[0][1])
    problem = "no action with its payload was found"
    for _, body in sorted(call for tag in _CALL_TAGS for call in blocks(spoken, tag)):
        read = _tool_call(body, ACTION_NAMES.get(action, "sql"))
        if isinstance(read, ParsedTurn):
            return read
        problem = read
    return ParsedTurn("malformed", problem=problem)


def _tool_call(body: str, phase: Phase) -> ParsedTurn | str:
    """The turn that a tool call makes, or what is wrong with it."""
    try:
        call = _JSON.decode(body)
        arguments = call.get("arguments") if isinstance(call, dict) else None
        if isinstance(arguments, str):
            arguments = _JSON.decode(arguments)
    except (ValueError, RecursionError):
        return "the tool call is not valid JSON"
    if not isinstance(call, dict) or call.get("name") != TOOL_NAME:
        return f"the tool call does not name {TOOL_NAME!r}"
    sql = arguments.get("sql") if isinstance(arguments, dict) else None
    if not isinstance(arguments, dict) or not isinstance(sql, str) or not sql.strip():
        return "the tool call has no argument 'sql'"
    database = arguments.get("db_id")
    if phase not in ("explore", "generate"):
        phase = "sql"
    return ParsedTurn(phase, sql.strip(), str(database) if database else None, well_formed=True)


def _proposal(payload: Any) -> ParsedTurn:
    try:
        if isinstance(payload, str):
            payload = _JSON.decode(payload)
        return ParsedTurn("propose", schema=proposal_schema(payload), well_formed=True)
    except PayloadError as error:
        return ParsedTurn("malformed", problem=str(error))
    except (ValueError, RecursionError):
        return ParsedTurn(
            "malformed", problem='the schema is not valid JSON: expected {"tables": ["T"], "columns": {"T": ["c"]}}'
        )


def _turn_check(phase: Phase, names: list[str], thoughts: tuple[int, int]) -> str:
    if thoughts != (1, 1):
        return f"expected exactly one reasoning block, found {thoughts[0]} opening and {thoughts[1]} closing tags"
    if len(names) != 1:
        return f"expected exactly one action tag, found {len(names)}"
    if ACTION_NAMES.get(names[0]) != phase:
        return f"the action {names[0]!r} does not match its payload"
    return ""


def _shown(value: Any) -> str:
    """A name or number as written; of anything else only what it is, for its own text may be anything."""
    return repr(value)[:80] if type(value) in (str, int, float, bool, type(None)) else f"({type(value).__name__})"


def _phase_of(value: Any) -> Phase | None:
    if isinstance(value, str):
        return value if value in PHASES else ACTION_NAMES.get(value)
    try:
        index = int(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return PHASES[index] if 0 <= index < len(PHASES) else None
