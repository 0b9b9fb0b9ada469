"""MathReasoning-v0: solve a problem, alone or with a calculator; the answer is verified exactly."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

from gymnasium.envs.registration import EnvSpec

from fogline.core.errors import ConfigurationError, check_choice
from fogline.core.rewards import RewardScheme
from fogline.core.spaces import UnicodeText
from fogline.envs.math_reasoning import prompts
from fogline.envs.math_reasoning.answers import Extracted, extract_answer
from fogline.envs.math_reasoning.countdown import makes
from fogline.envs.math_reasoning.equivalence import equivalent
from fogline.envs.math_reasoning.expressions import ExpressionError, calculate, written
from fogline.envs.math_reasoning.records import MathDataset, MathTask
from fogline.envs.math_reasoning.sources import load_problems
from fogline.envs.text import Response, TurnEnv

_MAX_TEXT = 200_000
_MOST_SHOWN = 300
_CALL_OPEN, _CALL_CLOSE = "<tool_call>", "</tool_call>"


@dataclass(slots=True)
class _Session:
    """One episode's hidden side."""

    task: MathTask
    turn: int = 0
    calls: int = 0
    call_errors: int = 0


class MathReasoningEnv(TurnEnv[str, Any]):
    """Mathematical problems with an exact verifier: the test bed of the policy optimisers.

    The reward is ``1·correct + format_weight·format`` at the end, and ``tool_error_weight·tool_error`` on a turn whose
    calculator call failed. ``correct`` is 1 or 0, ``format`` is 1 where the reply marks its answer as the rules ask
    (``<answer>`` tags; with ``prompt="short"`` nothing but the answer) and 0 otherwise, ``tool_error`` is -1 or 0.

    Args:
        problems: ``"arithmetic"``, ``"words"`` or ``"countdown"`` (generated; the last has many right answers: make a
            number of others, each used once), ``"gsm8k"`` (the bundled first 1,000 training problems), the path of a
            GSM8K or MATH file or folder, or a loaded :class:`MathDataset`.
        difficulty: A level from 1 to 10, or the lowest and the highest as ``[1, 3]``; None for all.
        split: ``"train"``, ``"validation"``, ``"test"`` or ``"all"``; no problem is in two of the first three.
            By default ``"train"`` of what is generated, all of what is loaded.
        tasks_per_level: Generated problems of each level.
        tools: ``"calculator"`` plays several turns with an exact calculator.
        max_turns: Budget of turns, by default 1, with a calculator 6. Reaching it without an answer truncates; a single
            turn is no budget, and whatever is said in it ends the episode.
        prompt: ``"full"``, or ``"short"`` (no rules, ``7+5=``) for tiny language models.
        paraphrase: Ask each problem in other words where it has them; the seed decides.
        format_weight: Weight of ``format``.
        tool_error_weight: Weight of ``tool_error``.
        render_mode: ``"ansi"`` or None.

    Raises:
        ConfigurationError: For an unknown choice, or a choice that leaves no problem.
        DataError: For a file that is not what its format promises.
        MissingDependencyError: Golds are expressions with roots or letters, and mpmath is not installed.
    """

    metadata: dict[str, Any] = {**TurnEnv.metadata, "name": "MathReasoning-v0"}  # noqa: RUF012
    simulator_version: ClassVar[str] = "math-reasoning-1"

    def __init__(
        self,
        problems: str | Path | MathDataset = "arithmetic",
        *,
        difficulty: int | Sequence[int] | None = None,
        split: Literal["train", "validation", "test", "all"] | None = None,
        tasks_per_level: int = 100,
        tools: Literal["calculator"] | None = None,
        max_turns: int | None = None,
        prompt: Literal["full", "short"] = "full",
        paraphrase: bool = False,
        format_weight: float = 0.0,
        tool_error_weight: float = 0.0,
        render_mode: str | None = None,
    ) -> None:
        if tools is not None:
            check_choice("tools", tools, (prompts.TOOL,))
        check_choice("prompt", prompt, ("full", "short"))
        if max_turns is not None and (type(max_turns) is not int or max_turns < 1):
            raise ConfigurationError(f"max_turns={max_turns!r}: expected a whole number of at least 1.")
        for name, weight in (("format_weight", format_weight), ("tool_error_weight", tool_error_weight)):
            if isinstance(weight, bool) or not isinstance(weight, int | float) or not math.isfinite(weight):
                raise ConfigurationError(f"{name}={weight!r}: expected a finite number.")
        self._dataset = load_problems(problems, difficulty=difficulty, split=split, tasks_per_level=tasks_per_level)
        super().__init__(tuple(self._dataset.tasks), render_mode)
        self.reward_scheme = RewardScheme(
            turn={"tool_error": float(tool_error_weight)}, session={"correct": 1.0, "format": float(format_weight)}
        )
        self._calculator = tools is not None
        self._max_turns = max_turns or (6 if self._calculator else 1)
        self._short = prompt == "short"
        self._paraphrase = paraphrase
        self._spec: EnvSpec | None = None
        self._session: _Session | None = None
        if not self._short:
            self.system_prompt = prompts.system_prompt(self._calculator, self._max_turns)
        self.tools = prompts.tools() if self._calculator else ()
        self.observation_space = UnicodeText(_MAX_TEXT)
        self.action_space = UnicodeText(_MAX_TEXT)

    @property
    def spec(self) -> EnvSpec | None:
        """How the environment was made; a loaded data set is named only, since it holds the golds."""
        return self._spec

    @spec.setter
    def spec(self, value: EnvSpec | None) -> None:
        if value is not None and isinstance(value.kwargs.get("problems"), MathDataset):
            value = replace(value, kwargs={**value.kwargs, "problems": value.kwargs["problems"].name})
        self._spec = value

    def begin(self, task_id: str) -> tuple[str, dict[str, Any]]:
        """Show the problem."""
        task = self._dataset.tasks[task_id]
        self._session = _Session(task)
        return self._wording(task), {"level": task.level, "kind": task.kind}

    def respond(self, action: Any) -> Response:
        """Take the answer, or run the calculator."""
        session = self._session
        if session is None:
            raise ConfigurationError("no episode is running: call reset() first.")
        session.turn += 1
        # Plain text, whatever a subclass makes of itself.
        reply = str.__str__(action) if isinstance(action, str) and len(action) <= _MAX_TEXT else ""
        expression = self._called(reply)
        if expression is not None:
            return self._calculated(session, expression)
        found = extract_answer(reply)
        if found is not None:
            return self._ended(session, "answer", found)
        return self._went_on(session, "malformed", prompts.complaint(self._calculator), malformed=True)

    # One turn

    def _called(self, reply: str) -> str | None:
        """The expression of the first call; an empty one where the call cannot be read; None without a call."""
        start = reply.find(_CALL_OPEN) if self._calculator else -1
        if start < 0:
            return None
        body = reply[start + len(_CALL_OPEN) :].partition(_CALL_CLOSE)[0]
        try:
            call = json.loads(body)
            expression = call["arguments"]["expression"] if call["name"] == prompts.TOOL else ""
        except (ValueError, TypeError, KeyError, RecursionError):
            return ""
        return expression if isinstance(expression, str) else ""

    def _calculated(self, session: _Session, expression: str) -> Response:
        session.calls += 1
        try:
            text, error = written(calculate(expression)), 0.0
        except ExpressionError as problem:
            text, error = f"Error: {problem}"[:_MOST_SHOWN], -1.0
            session.call_errors += 1
        return self._went_on(session, "calculator", prompts.result(text), terms={"tool_error": error})

    def _went_on(
        self,
        session: _Session,
        phase: str,
        text: str,
        *,
        terms: dict[str, float] | None = None,
        malformed: bool = False,
    ) -> Response:
        """Show ``text``, or end where the budget is spent."""
        if session.turn >= self._max_turns:
            return self._ended(session, phase, None, text, terms, malformed)
        return Response(text, phase, terms or {}, malformed, extra={"turn": session.turn})

    def _ended(
        self,
        session: _Session,
        phase: str,
        found: Extracted | None,
        text: str = "",
        terms: dict[str, float] | None = None,
        malformed: bool = False,
    ) -> Response:
        correct = found is not None and _is_right(found.text, session.task)
        asked = "plain" if self._short else "tags"
        outcome = {"correct": float(correct), "format": float(found is not None and found.form == asked)}
        metrics = {
            "correct": correct,
            "answered": found is not None,
            "extracted": "" if found is None else found.text[:_MOST_SHOWN],
            "form": "" if found is None else found.form,
            "level": session.task.level,
            "kind": session.task.kind,
            "tool_calls": session.calls,
            "tool_errors": session.call_errors,
        }
        return Response(
            text,
            phase,
            terms or {},
            malformed,
            outcome,
            metrics,
            truncated=found is None and self._max_turns > 1,
            extra={"turn": session.turn},
        )

    def _wording(self, task: MathTask) -> str:
        if self._short and task.short:
            return task.short
        ways = (task.question, *task.paraphrases)
        return ways[int(self.np_random.integers(len(ways)))] if self._paraphrase else task.question


def _is_right(answer: str, task: MathTask) -> bool:
    if task.numbers:
        return makes(answer, task.numbers, calculate(task.answer))
    return equivalent(answer, task.answer)
