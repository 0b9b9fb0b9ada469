"""The gold stays hidden: nothing that an agent or a public attribute shows holds it before the end."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import gymnasium
import numpy as np
import pytest

from fogline.envs.math_reasoning.records import MathDataset, MathTask

SECRET = "987654321/1234567"
OPAQUE = (ModuleType, FunctionType, BuiltinFunctionType, MethodType, type, np.random.Generator)


def texts(value: Any, seen: set[int]) -> Iterator[str]:
    """Every text that can be reached through public attributes, keys and elements, and how objects show themselves."""
    if isinstance(value, str):
        yield value
        return
    if value is None or isinstance(value, (int, float, np.ndarray, *OPAQUE)) or id(value) in seen:
        return
    seen.add(id(value))
    yield repr(value)
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from texts(key, seen)
            yield from texts(item, seen)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for item in value:
            yield from texts(item, seen)
    else:
        for name in dir(value):
            if not name.startswith("_"):
                try:
                    found = getattr(value, name)
                except (AttributeError, NotImplementedError):
                    continue
                yield from texts(found, seen)


@pytest.fixture(params=["loaded", "file"])
def env(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    if request.param == "loaded":
        task = MathTask("one", "What is it?", SECRET, "riddle", 1, 1, "it=", ("What may it be?",))
        problems: Any = MathDataset("riddles", {"one": task})
    else:
        problems = str(tmp_path / "riddles.jsonl")
        Path(problems).write_text(json.dumps({"question": "What is it?", "answer": f"So: #### {SECRET}"}))
    return gymnasium.make(
        "fogline.envs:MathReasoning-v0",
        problems=problems,
        tools="calculator",
        max_turns=4,
        paraphrase=True,
        render_mode="ansi",
    )


def assert_hidden(*shown: Any) -> None:
    for value in shown:
        for text in texts(value, set()):
            assert SECRET not in text, text[:200]


def test_the_gold_is_shown_nowhere_before_the_end_or_after_it(env: Any) -> None:
    call = env.unwrapped.tool_action("calculator", {"expression": "1 + 1"})
    assert_hidden(env, env.unwrapped)
    assert_hidden(env.reset(seed=0), env, env.unwrapped, env.render())
    for action in (call, "no idea", env.unwrapped.tool_action("calculator", {"expression": "answer"})):
        assert_hidden(env.step(action), env, env.unwrapped, env.render())
    step = env.step("<answer>3</answer>")
    assert step[4]["outcome"]["correct"] == 0.0
    assert_hidden(step, env, env.unwrapped, env.render())


def test_the_gold_is_the_one_answer_that_is_paid(env: Any) -> None:
    env.reset(seed=0)
    assert env.step(f"<answer>{SECRET}</answer>")[1] == 1.0


def test_records_do_not_show_their_gold() -> None:
    task = MathTask("one", "What is it?", SECRET, "riddle", 1, 1, "it=")
    assert SECRET not in repr(task)
    assert SECRET not in repr(MathDataset("riddles", {"one": task}))
