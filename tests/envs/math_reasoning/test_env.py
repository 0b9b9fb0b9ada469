from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fogline.core.errors import ConfigurationError
from fogline.envs.math_reasoning.env import MathReasoningEnv
from fogline.envs.math_reasoning.sources import load_problems

TASK = "arithmetic-01-0000"
GOLD = load_problems("arithmetic", difficulty=1).tasks[TASK].answer
WRONG = str(int(GOLD) + 1)


def begun(**options: Any) -> MathReasoningEnv:
    env = MathReasoningEnv(difficulty=1, **options)
    env.reset(seed=0, options={"task_id": TASK})
    return env


def call(expression: Any) -> str:
    return f"<tool_call>{json.dumps({'name': 'calculator', 'arguments': {'expression': expression}})}</tool_call>"


@pytest.mark.parametrize(
    ("reply", "correct", "form"),
    [
        (f"<answer>{GOLD}</answer>", 1.0, 1.0),
        (f"think <answer>{GOLD}.0</answer>", 1.0, 1.0),
        (f"The answer is {GOLD}.", 1.0, 0.0),
        (f"it makes {GOLD}", 1.0, 0.0),
        (f"<answer>{WRONG}</answer>", 0.0, 1.0),
        (f"<answer>{GOLD} or {WRONG}</answer>", 0.0, 1.0),
        (f"{GOLD} <answer>{WRONG}</answer>", 0.0, 1.0),
    ],
)
def test_a_reply_is_paid_for_its_answer_and_its_form(reply: str, correct: float, form: float) -> None:
    env = begun(format_weight=0.25)
    observation, reward, terminated, truncated, info = env.step(reply)
    assert info["outcome"] == {"correct": correct, "format": form}
    assert reward == correct + 0.25 * form
    assert (observation, terminated, truncated) == ("", True, False)
    assert info["metrics"]["correct"] is bool(correct)
    assert info["metrics"]["answered"]
    assert (info["metrics"]["level"], info["metrics"]["kind"]) == (1, "arithmetic")


def test_the_format_is_not_paid_by_default() -> None:
    assert begun().step(f"<answer>{WRONG}</answer>")[1] == 0.0
    assert begun().step(GOLD)[1] == 1.0


def test_a_single_turn_ends_whatever_is_said_in_it() -> None:
    for reply in ("no idea", "", None, "x" * 300_000):
        _, reward, terminated, truncated, info = begun().step(reply)
        assert (reward, terminated, truncated) == (0.0, True, False)
        assert info["malformed"]
        assert info["outcome"] == {"correct": 0.0, "format": 0.0}
        assert info["metrics"]["answered"] is False


def test_a_budget_of_turns_truncates() -> None:
    env = begun(max_turns=3)
    for turn in (1, 2):
        observation, reward, terminated, truncated, info = env.step("hm")
        assert "<answer>" in observation
        assert (reward, terminated, truncated, info["turn"]) == (0.0, False, False, turn)
    assert env.step("hm")[2:4] == (False, True)
    env.reset(seed=0, options={"task_id": TASK})
    env.step("hm")
    assert env.step(f"<answer>{GOLD}</answer>")[1:4] == (1.0, True, False)


def test_the_short_prompt_has_no_rules_and_asks_for_nothing_but_the_answer() -> None:
    env = MathReasoningEnv(difficulty=1, prompt="short")
    observation, _ = env.reset(seed=0, options={"task_id": TASK})
    assert observation == "2+9="
    assert env.system_prompt == ""
    assert env.step("11")[4]["outcome"] == {"correct": 1.0, "format": 1.0}
    env.reset(seed=0, options={"task_id": TASK})
    assert env.step("<answer>11</answer>")[4]["outcome"] == {"correct": 1.0, "format": 0.0}
    words = MathReasoningEnv("words", prompt="short")
    observation, info = words.reset(seed=0)
    assert observation == load_problems("words").tasks[info["task_id"]].question


def test_the_calculator_answers_exactly_and_counts_its_errors() -> None:
    env = begun(tools="calculator", tool_error_weight=0.5)
    observation, reward, _, _, info = env.step(call("1/3 + 1/6"))
    assert observation == "<tool_response>1/2</tool_response>"
    assert (reward, info["terms"], info["phase"]) == (0.0, {"tool_error": 0.0}, "calculator")
    for expression in ("1/0", "9**9**9", "import os", "(" * 10_000, "9" * 100_000, 3, None):
        env.reset(seed=0, options={"task_id": TASK})
        observation, reward, *_, info = env.step(call(expression))
        assert observation.startswith("<tool_response>Error: ")
        assert len(observation) < 500
        assert (reward, info["terms"]) == (-0.5, {"tool_error": -1.0})
        *_, info = env.step(f"<answer>{GOLD}</answer>")
        assert (info["metrics"]["tool_calls"], info["metrics"]["tool_errors"]) == (1, 1)
        assert info["outcome"]["correct"] == 1.0


@pytest.mark.parametrize(
    "reply",
    [
        "<tool_call>",
        "<tool_call>{}</tool_call>",
        "<tool_call>[1]</tool_call>",
        "<tool_call>" + "[" * 100_000 + "</tool_call>",
        '<tool_call>{"name": "abacus", "arguments": {"expression": "1"}}</tool_call>',
        '<tool_call>{"name": "calculator", "arguments": "1"}</tool_call>',
    ],
)
def test_a_call_that_cannot_be_read_is_an_error_of_the_tool(reply: str) -> None:
    env = begun(tools="calculator")
    observation, *_, info = env.step(reply)
    assert observation.startswith("<tool_response>Error: ")
    assert info["terms"] == {"tool_error": -1.0}


def test_a_call_comes_before_an_answer_and_without_a_calculator_is_none() -> None:
    both = call("1+1") + f"<answer>{GOLD}</answer>"
    assert begun(tools="calculator").step(both)[2:4] == (False, False)
    assert begun().step(both)[4]["outcome"]["correct"] == 1.0


def test_calls_alone_spend_the_budget() -> None:
    env = begun(tools="calculator", max_turns=2)
    env.step(call("1"))
    observation, _, terminated, truncated, info = env.step(call("2"))
    assert (observation, terminated, truncated) == ("<tool_response>2</tool_response>", False, True)
    assert info["metrics"]["tool_calls"] == 2


def test_the_tool_is_described_and_its_call_is_an_action() -> None:
    env = begun(tools="calculator")
    (tool,) = env.tools
    assert tool["function"]["name"] == "calculator"
    assert "6 messages" in env.system_prompt
    action = env.tool_action("calculator", {"expression": "2^10"})
    assert env.step(action)[0] == "<tool_response>1024</tool_response>"
    assert begun().tools == ()
    assert "calculator" not in begun().system_prompt


@pytest.mark.parametrize("problems", ["arithmetic", "words", "countdown"])
def test_the_seed_draws_the_wording_and_only_where_it_is_asked_to(problems: str) -> None:
    env = MathReasoningEnv(problems, paraphrase=True, difficulty=2)
    plain = MathReasoningEnv(problems, difficulty=2)
    task_id = env.task_ids[0]
    options = {"task_id": task_id}
    said = [env.reset(seed=seed, options=options)[0] for seed in range(40)]
    assert said == [env.reset(seed=seed, options=options)[0] for seed in range(40)]
    task = load_problems(problems, difficulty=2).tasks[task_id]
    assert set(said) == {task.question, *task.paraphrases}
    assert {plain.reset(seed=seed, options=options)[0] for seed in range(5)} == {task.question}


@settings(max_examples=30)
@given(st.text(max_size=60), st.text(max_size=30))
def test_whatever_is_said_the_metrics_are_plain_and_bounded(reply: str, expression: str) -> None:
    env = begun(tools="calculator", max_turns=2)
    env.step(call(expression))
    *_, info = env.step(reply + "<answer>" + "7" * 5000 + "</answer>")
    assert len(json.dumps(info, allow_nan=False)) < 3000


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"tools": "abacus"}, "tools="),
        ({"prompt": "shor"}, "Did you mean 'short'"),
        ({"max_turns": 0}, "max_turns="),
        ({"max_turns": True}, "max_turns="),
        ({"split": "tran"}, "Did you mean 'train'"),
        ({"format_weight": float("nan")}, "format_weight="),
        ({"tool_error_weight": "much"}, "tool_error_weight="),
    ],
)
def test_options_that_do_not_exist_are_refused(options: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        MathReasoningEnv(**options)
