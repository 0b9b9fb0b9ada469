"""Reads what a seat did: structured calls in several spellings, or the text of a model. Never raises."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from fogline.core.errors import FoglineError
from fogline.core.jsonable import to_jsonable
from fogline.envs.silo_bench.calls import ToolCall

MOST_CALLS = 10_000
"""Calls of one action that are read; a seat of a hundred needs a hundred."""
MOST_CHARACTERS = 4_000_000
"""Characters of one text action that are read."""

_BLOCK = re.compile(r"<tool_call>(.*?)(?:</tool_call>|(?=<tool_call>)|\Z)", re.DOTALL)
_TOOL = re.compile(r"<tool>(.*?)</tool>", re.DOTALL)
_PARAMETERS = re.compile(r"<parameters>(.*?)(?:</parameters>|\Z)", re.DOTALL)
_PARAMETER = re.compile(r"<([A-Za-z_]\w*)>(.*?)</\1>", re.DOTALL)
_THINKING = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL)
_INTEGERS = frozenset({"target_id"})


class Reading(NamedTuple):
    """What an action means.

    Attributes:
        calls: The calls in order.
        problem: What could not be read; empty where all could.
        characters: Length of what the seat wrote.
    """

    calls: tuple[ToolCall, ...]
    problem: str
    characters: int


def read_calls(action: Any) -> Reading:
    """Read a structured action.

    A call may be a :class:`ToolCall` or another pair ``(tool, arguments)``, or a mapping with ``tool`` (or
    ``name``) and ``arguments``; an action is one call or a sequence of calls.
    """
    if isinstance(action, tuple) and action and type(action[0]) is ToolCall:
        # What scripted agents send; a flood of a hundred seats is ten thousand of these a round.
        good = [call for call in action if type(call) is ToolCall and isinstance(call.arguments, Mapping)]
        if len(good) == len(action) and all(isinstance(call.tool, str) for call in good):
            return Reading(tuple(good[:MOST_CALLS]), "", sum(map(_written, good)))
    items = [action] if _is_call(action) else action
    if not isinstance(items, (list, tuple)):
        return Reading((), f"expected calls (tool, arguments), got {type(action).__name__}", 0)
    calls: list[ToolCall] = []
    problem = ""
    for item in items[:MOST_CALLS]:
        call = _as_call(item)
        if call is None:
            problem = problem or f"expected a call (tool, arguments), got {type(item).__name__}"
        else:
            calls.append(call)
    if not items:
        problem = "the action holds no call: expected at least one, such as wait()"
    return Reading(tuple(calls), problem, sum(map(_written, calls)))


def read_text(action: Any) -> Reading:
    """Read the words of a model: ``<tool_call>`` blocks with XML parameters or JSON inside, or bare JSON.

    Reasoning between ``<think>`` tags never acts. Message content stays the text it is, to the byte; only
    ``answer`` is read as a value, later, by the scorer.
    """
    if not isinstance(action, str):
        return Reading((), f"expected text, got {type(action).__name__}", 0)
    said = _THINKING.sub("", action[:MOST_CHARACTERS])
    calls: list[ToolCall] = []
    problem = ""
    blocks = [match.group(1) for match in _BLOCK.finditer(said)]
    for block in blocks[:MOST_CALLS]:
        found = list(_of_block(block))
        if not found:
            problem = problem or (
                "a tool_call block could not be read: expected <tool>NAME</tool> with <parameters>, or JSON "
                '{"name": ..., "arguments": {...}}'
            )
        calls.extend(found)
    if not blocks:
        calls = list(_of_json(said))
    if not calls and not problem:
        problem = "no tool call found: act by <tool_call>...</tool_call> blocks"
    return Reading(tuple(calls[:MOST_CALLS]), problem, len(action))


def as_value(argument: Any) -> Any:
    """An argument that came as text, as JSON or a Python literal where it is one."""
    if not isinstance(argument, str):
        return argument
    for read in (json.loads, ast.literal_eval):
        try:
            return read(argument.strip())
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
    return argument


def _of_block(block: str) -> Iterator[ToolCall]:
    tool = _TOOL.search(block)
    if tool is None:
        yield from _of_json(block)
        return
    inside = _PARAMETERS.search(block)
    found = _PARAMETER.findall(inside.group(1)) if inside else []
    arguments = {name: _typed(name, value) for name, value in found}
    yield ToolCall(tool.group(1).strip(), arguments)


def _typed(name: str, value: str) -> Any:
    if name == "content":
        return value
    return as_value(value) if name in _INTEGERS else value.strip()


def _of_json(text: str) -> Iterator[ToolCall]:
    start = min((place for place in (text.find("{"), text.find("[")) if place >= 0), default=-1)
    if start < 0:
        return
    try:
        value, _ = json.JSONDecoder(strict=False).raw_decode(text, start)
    except (ValueError, RecursionError):
        return
    for item in value if isinstance(value, list) else [value]:
        call = _as_call(item)
        if call is not None:
            yield call


def _is_call(action: Any) -> bool:
    return isinstance(action, Mapping) or (
        isinstance(action, (tuple, list)) and len(action) == 2 and isinstance(action[0], str)
    )


def _as_call(item: Any) -> ToolCall | None:
    if isinstance(item, Mapping):
        tool = item.get("tool", item.get("name"))
        arguments = item.get("arguments", item.get("parameters", {}))
    elif isinstance(item, (tuple, list)) and len(item) == 2:
        tool, arguments = item
    else:
        return None
    if not isinstance(tool, str) or not isinstance(arguments, Mapping):
        return None
    return ToolCall(tool, {str(name): value for name, value in arguments.items()})


def _written(call: ToolCall) -> int:
    """Length of a call as it would be written: its name, and its arguments as JSON."""
    total = len(call.tool) + 4
    for name, value in call.arguments.items():
        total += len(name) + 6 + (len(value) if type(value) is str else len(_json_of(value)))
    return total


def _json_of(value: Any) -> str:
    try:
        return json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        pass
    try:
        return json.dumps(to_jsonable(value))
    except (FoglineError, TypeError, ValueError, RecursionError):
        return str(type(value))
