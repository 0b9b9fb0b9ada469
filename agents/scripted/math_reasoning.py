"""Scripted players of MathReasoning-v0: one who knows, one who computes, one who errs now and then, one who guesses."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from fogline.agents.agent import SeatView
from fogline.core.errors import AgentError, ConfigurationError
from fogline.envs.math_reasoning.expressions import (
    Expression,
    ExpressionError,
    calculate,
    exact_value,
    parse,
    written,
)
from fogline.envs.math_reasoning.records import MathDataset

_EXPRESSION = re.compile(r"[-(0-9][-+*/() 0-9]*[0-9)]|[0-9]")
_RESULT = re.compile(r"<tool_response>(-?[0-9]+(?:/[0-9]+)?)</tool_response>")


class OracleAgent:
    """Answers with the gold of the data set that is handed to it, never of the environment.

    Args:
        dataset: The data set that the environment plays.
    """

    name = "oracle"
    batch_size: int | None = None

    def __init__(self, dataset: MathDataset) -> None:
        self._tasks = dataset.tasks

    def act(self, views: Sequence[SeatView]) -> list[Any]:
        """Answer each problem.

        Raises:
            ConfigurationError: The data set has no such problem.
        """
        return [_answer(view, self._gold(view.task_id)) for view in views]

    def _gold(self, task_id: str) -> str:
        if task_id not in self._tasks:
            raise ConfigurationError(
                f"the oracle has no task {task_id!r}: hand it the data set that the environment plays."
            )
        return self._tasks[task_id].answer


class CalculatorAgent:
    """Solves arithmetic: by a call of the calculator where there is one, else in its head."""

    name = "calculator"
    batch_size: int | None = None

    def act(self, views: Sequence[SeatView]) -> list[Any]:
        """Call the calculator, then answer.

        Raises:
            AgentError: The problem is not one of plain arithmetic.
        """
        return [self._act(view) for view in views]

    def _act(self, view: SeatView) -> Any:
        shown = _RESULT.search(view.observation)
        if shown is not None:
            return _answer(view, shown[1])
        expression = arithmetic_in(view.observation)
        if view.tools and view.tool_action is not None:
            return view.tool_action(view.tools[0]["function"]["name"], {"expression": expression})
        return _answer(view, written(calculate(expression)))


class NoisyAgent:
    """Solves arithmetic step by step in its head, and errs: a measure of how hard a problem is.

    Args:
        error: Chance to be one off, for each digit of an operation's larger operand; multiplying and dividing count
            twice.
    """

    name = "noisy"
    batch_size: int | None = None

    def __init__(self, error: float = 0.02) -> None:
        if not 0 <= error <= 1:
            raise ConfigurationError(f"error={error!r}: expected a chance, from 0 to 1.")
        self._error = float(error)

    def act(self, views: Sequence[SeatView]) -> list[Any]:
        """Answer each problem.

        Raises:
            AgentError: The problem is not one of plain arithmetic.
        """
        return [self._act(view) for view in views]

    def _act(self, view: SeatView) -> Any:
        try:
            value = self._value(parse(arithmetic_in(view.observation)), view.rng)
        except ExpressionError:
            # An error made a divisor zero: a wrong answer like any other.
            value = Fraction(0)
        return _answer(view, written(value))

    def _value(self, expression: Expression, rng: np.random.Generator) -> Fraction:
        if not expression.parts:
            return exact_value(expression)
        values = [self._value(part, rng) for part in expression.parts]
        known = tuple(Expression("number", value=value) for value in values)
        value = exact_value(expression._replace(parts=known))
        if len(values) == 1:
            return value
        digits = max(len(str(abs(part.numerator))) for part in values) * (2 if expression.operator in "*/" else 1)
        if rng.random() < 1 - (1 - self._error) ** digits:
            value += 1 if rng.random() < 0.5 else -1
        return value


class GuessAgent:
    """Answers with a whole number that it has not thought about.

    Args:
        largest: Largest guess; the smallest is 0.
    """

    name = "guess"
    batch_size: int | None = None

    def __init__(self, largest: int = 20) -> None:
        if type(largest) is not int or largest < 0:
            raise ConfigurationError(f"largest={largest!r}: expected a whole number of at least 0.")
        self._largest = largest

    def act(self, views: Sequence[SeatView]) -> list[Any]:
        """Guess for each problem."""
        return [_answer(view, str(int(view.rng.integers(self._largest + 1)))) for view in views]


def arithmetic_in(observation: str) -> str:
    """The expression of an arithmetic problem.

    Raises:
        AgentError: There is none that can be read.
    """
    found = max(_EXPRESSION.findall(observation), key=len, default="")
    rest = observation.replace(found, "", 1)
    if not found or any(character.isdigit() for character in rest):
        raise AgentError(f"no problem of plain arithmetic in {observation[:80]!r}.")
    return found


def _answer(view: SeatView, text: str) -> str:
    """The answer as the rules ask for it; without rules, nothing else."""
    return f"<answer>{text}</answer>" if view.system_prompt else text
