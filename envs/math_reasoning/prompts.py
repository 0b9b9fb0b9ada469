"""What MathReasoning-v0 says."""

from __future__ import annotations

from typing import Any

TOOL = "calculator"

_RULES = """\
You solve mathematical problems. Reason step by step, then give the final answer between <answer> and </answer>: \
a number (whole, decimal or a fraction such as 7/2) or an expression, without words around it."""

_CALCULATOR = """

You may use a calculator, once in each message:
<tool_call>{{"name": "calculator", "arguments": {{"expression": "(3 + 4) * 12"}}}}</tool_call>
It knows + - * / ** and brackets, and is exact. You have {turns} messages in all; the last must hold the answer."""


def system_prompt(calculator: bool, max_turns: int) -> str:
    """The rules of the game."""
    return _RULES + (_CALCULATOR.format(turns=max_turns) if calculator else "")


def tools() -> tuple[dict[str, Any], ...]:
    """Schema of the calculator."""
    return (
        {
            "type": "function",
            "function": {
                "name": TOOL,
                "description": "Evaluate an arithmetic expression exactly.",
                "parameters": {
                    "type": "object",
                    "properties": {
                        "expression": {"type": "string", "description": "Numbers, + - * / ** and brackets."}
                    },
                    "required": ["expression"],
                },
            },
        },
    )


def complaint(calculator: bool) -> str:
    """Answer to a message that has no answer and no call."""
    also = ", or call the calculator" if calculator else ""
    return f"No answer was found. Give it between <answer> and </answer>{also}."


def result(text: str) -> str:
    """What the calculator shows."""
    return f"<tool_response>{text}</tool_response>"
