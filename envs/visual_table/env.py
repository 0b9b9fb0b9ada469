"""VisualTable-v0: read a table step by step, point at each cell, answer; every step is checked exactly."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from numpy.typing import NDArray

from fogline.core.errors import ConfigurationError, check_choice
from fogline.core.rewards import RewardScheme
from fogline.core.spaces import UnicodeText
from fogline.envs.text import Response, TurnEnv
from fogline.envs.visual_table import prompts
from fogline.envs.visual_table.answers import is_right
from fogline.envs.visual_table.drawing import with_anchors
from fogline.envs.visual_table.process import FindRule, Form, Process, check
from fogline.envs.visual_table.traces import MAX_REPLY, Trace, read_trace, written_step
from fogline.simulators.tables.files import WIKITABLEQUESTIONS
from fogline.simulators.tables.records import Table, TableDataset, TableTask
from fogline.simulators.tables.rendering import SIZES, Picture, Size, on_canvas, picture_size, render
from fogline.simulators.tables.sources import SYNTHETIC, load_tables, world_for
from fogline.simulators.tables.worlds import TableWorld, largest_table

Observation = Literal["image", "symbols"]
Gate = Literal["soft", "hard", "off"]

ANSWER_WEIGHT, FORMAT_WEIGHT, THRESHOLD = 0.9, 0.1, 0.5
"""Weights and threshold of the gated reward (specification 5.5; the published ones are not known)."""
_MAX_TEXT = 200_000
_MOST_SHOWN = 300


@dataclass(slots=True)
class _Session:
    """One episode's hidden side."""

    task: TableTask
    picture: Picture | None
    trace: Trace | None = None
    process: Process | None = None


class VisualTableEnv(TurnEnv[Any, Any]):
    """A table and a question; one reply with steps that point at cells, and the answer.

    The reward is ``0.9·answer + 0.1·format``, both gated: ``answer`` is the gate times 1 for a right answer, ``format``
    the gate times 1 for a reply of the grammar. The gate is the process score (``soft``), 1 where it is at least 0.5
    (``hard``), or always 1 (``off``). Further terms of the outcome are reported and not paid: ``correct`` and
    ``well_formed`` before the gate, ``process``, the score itself.

    Args:
        tables: ``"synthetic"``, ``"wikitablequestions"`` for the bundled part of it, the folder of a release of
            WikiTableQuestions, TabFact, TabMWP or HiTab, or a loaded :class:`TableDataset`.
        observation: ``"image"`` shows ``{"image": [H, W, 3] uint8, "question": text}``, ``"symbols"`` the table as
            text.
        level: Of generated questions: 1 to 4, or several; None for all.
        shortcut: Chance that the answer of a search stands in the first row on purpose, of generated questions.
        kinds: Kinds of generated questions; all of the levels where empty.
        split: Of generated questions: ``"train"``, ``"validation"``, ``"test"`` or ``"all"``; no table is in two of
            the first three.
        tasks_per_level: Of generated questions.
        world: What generated tables are drawn from, or its settings by name; by default 2 to 6 rows and 3 to 5
            columns of two digits, with ``size="tiny"`` 3 rows and 3 columns of single digits under letters.
        size: ``"pretty"``, or ``"tiny"``: 16 by 16 pixels a cell, for tiny models.
        prompt: ``"full"``, or ``"short"`` (no rules, the fewest words) for tiny language models.
        gate: How the process score gates the reward.
        form: Of the process score: ``"product"`` or ``"prefix"``.
        find_rule: Which cell ``find`` must point at: ``"strict"`` or ``"row_or_column"``.
        render_mode: ``"ansi"``, ``"rgb_array"`` (the table with the anchors of the last reply drawn in) or None.

    Raises:
        ConfigurationError: For an unknown choice.
        DataError: For a file that is not what its format promises, or a table that ``tiny`` cannot write.
        MissingDependencyError: ``pretty`` images without Pillow.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012
        **TurnEnv.metadata,
        "name": "VisualTable-v0",
        "render_modes": ["ansi", "rgb_array"],
    }
    simulator_version: ClassVar[str] = "visual-table-1"

    def __init__(
        self,
        tables: str | Path | TableDataset = SYNTHETIC,
        *,
        observation: Observation = "image",
        level: int | Sequence[int] | None = None,
        shortcut: float = 0.0,
        kinds: Sequence[str] = (),
        split: Literal["train", "validation", "test", "all"] | None = None,
        tasks_per_level: int = 100,
        world: TableWorld | Mapping[str, Any] | None = None,
        size: Size = "pretty",
        prompt: Literal["full", "short"] = "full",
        gate: Gate = "soft",
        form: Form = "product",
        find_rule: FindRule = "strict",
        render_mode: str | None = None,
    ) -> None:
        for name, value, known in (
            ("observation", observation, ("image", "symbols")),
            ("size", size, SIZES),
            ("prompt", prompt, ("full", "short")),
            ("gate", gate, ("soft", "hard", "off")),
            ("form", form, ("product", "prefix")),
            ("find_rule", find_rule, ("strict", "row_or_column")),
        ):
            check_choice(name, value, known)
        if isinstance(shortcut, bool) or not isinstance(shortcut, int | float) or not math.isfinite(shortcut):
            raise ConfigurationError(f"shortcut={shortcut!r}: expected a chance, from 0 to 1.")
        self._dataset = load_tables(
            tables,
            level=level,
            split=split,
            tasks_per_level=tasks_per_level,
            world=world,
            kinds=kinds,
            shortcut=shortcut,
            size=size,
        )
        super().__init__(tuple(self._dataset.tasks), render_mode)
        self.reward_scheme = RewardScheme(
            session={
                "answer": ANSWER_WEIGHT,
                "format": FORMAT_WEIGHT,
                "correct": 0.0,
                "well_formed": 0.0,
                "process": 0.0,
            }
        )
        self._image = observation == "image"
        self._size: Size = size
        self._short = prompt == "short"
        self._gate, self._form, self._find_rule = gate, form, find_rule
        self._session: _Session | None = None
        self._spec: EnvSpec | None = None
        if not self._short:
            self.system_prompt = prompts.RULES
        self.action_space = UnicodeText(_MAX_TEXT)
        self.observation_space = UnicodeText(_MAX_TEXT)
        if self._image:
            largest = (
                [largest_table(world_for(size, world))] if tables == SYNTHETIC else _distinct_tables(self._dataset)
            )
            heights, widths = zip(*(picture_size(table, size) for table in largest), strict=True)
            self._canvas = (max(heights), max(widths))
            image = spaces.Box(0, 255, (*self._canvas, 3), np.uint8)
            self.observation_space = spaces.Dict({"image": image, "question": UnicodeText(_MAX_TEXT)})

    @property
    def spec(self) -> EnvSpec | None:
        """How the environment was made; a loaded data set is named only, since it holds the golds."""
        return self._spec

    @spec.setter
    def spec(self, value: EnvSpec | None) -> None:
        if value is not None and isinstance(value.kwargs.get("tables"), TableDataset):
            value = replace(value, kwargs={**value.kwargs, "tables": value.kwargs["tables"].name})
        self._spec = value

    def begin(self, task_id: str) -> tuple[Any, dict[str, Any]]:
        """Show the table and the question."""
        task = self._dataset.tasks[task_id]
        picture = render(task.table, self._size) if self._image else None
        self._session = _Session(task, picture)
        return self._shown(task, picture), {"level": task.level, "kind": task.kind}

    def respond(self, action: Any) -> Response:
        """Check the steps and the answer; whatever is said ends the episode."""
        session = self._session
        if session is None:
            raise ConfigurationError("no episode is running: call reset() first.")
        reply = str.__str__(action) if isinstance(action, str) and len(action) <= MAX_REPLY else ""
        task = session.task
        trace = session.trace = read_trace(reply)
        process = session.process = check(
            task.table,
            trace.steps,
            task.steps,
            picture=session.picture,
            find_rule=self._find_rule,
            form=self._form,
        )
        rules: Literal["plain", "wikitablequestions"] = (
            "wikitablequestions" if task.kind == WIKITABLEQUESTIONS else "plain"
        )
        correct = float(is_right(trace.answer, task.answers, rules))
        gate = self._gated(process.score)
        outcome = {
            "answer": gate * correct,
            "format": gate * trace.well_formed,
            "correct": correct,
            "well_formed": float(trace.well_formed),
            "process": process.score,
        }
        return Response(
            self._nothing(),
            "answer",
            {},
            not trace.well_formed,
            outcome,
            self._metrics(task, trace, process, bool(correct)),
        )

    def render(self) -> Any:
        """The last reply and what came of it: as text, or as the table with its anchors drawn in."""
        if self.render_mode is None or self._session is None:
            return None
        session = self._session
        if self.render_mode == "rgb_array":
            return self._drawn(session)
        lines = [prompts.asked(session.task.table, session.task.question)]
        if session.trace is not None and session.process is not None:
            marks = zip(session.trace.steps, session.process.valid, strict=True)
            lines += [f"{'+' if holds else '-'} {written_step(step)}" for step, holds in marks]
            lines.append(f"= {session.trace.answer}   (process {session.process.score:.2f})")
        return "\n".join(lines)

    def _drawn(self, session: _Session) -> NDArray[np.uint8]:
        picture = session.picture or render(session.task.table, self._size)
        if session.trace is None or session.process is None:
            return picture.image
        return with_anchors(session.task.table, picture, session.trace.steps, session.process.valid)

    def _gated(self, score: float) -> float:
        if self._gate == "off":
            return 1.0
        return score if self._gate == "soft" else float(score >= THRESHOLD)

    def _shown(self, task: TableTask, picture: Picture | None) -> Any:
        question = task.short if self._short and task.short else task.question
        if picture is not None:
            return {"image": on_canvas(picture.image, *self._canvas), "question": question}
        asked = prompts.asked_shortly if self._short else prompts.asked
        return asked(task.table, question)

    def _nothing(self) -> Any:
        """The observation after the end."""
        if self._image:
            return {"image": np.full((*self._canvas, 3), 255, dtype=np.uint8), "question": ""}
        return ""

    def _metrics(self, task: TableTask, trace: Trace, process: Process, correct: bool) -> dict[str, Any]:
        return {
            "correct": correct,
            "answered": trace.answer is not None,
            "given": (trace.answer or "")[:_MOST_SHOWN],
            "steps": len(trace.steps),
            "anchors": process.anchors,
            "misplaced": process.misplaced,
            "precision": process.precision,
            "coverage": process.coverage,
            "redundancy": process.redundancy,
            "shortcut": task.shortcut,
            "level": task.level,
            "kind": task.kind,
        }


def _distinct_tables(dataset: TableDataset) -> list[Table]:
    return list({id(task.table): task.table for task in dataset}.values())
