"""Critics of VisualTable-v0 that know the table: exact, or erring at a rate that is chosen (specification, 6.4)."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np

from fogline.core.episode import Episode
from fogline.core.errors import ConfigurationError
from fogline.envs.visual_table.process import FindRule, Form, score_of, step_validity
from fogline.envs.visual_table.traces import Trace, read_trace
from fogline.simulators.tables.records import Box, TableDataset
from fogline.simulators.tables.rendering import Picture, Size, render
from fogline.trainers.critics import Judgement, StepScore


class OracleCritic:
    """Checks every step against the table, and gives the environment's own process score; never the policy's eyes.

    Args:
        dataset: The data set that the environment plays.
        flip: Chance that the verdict on a step is turned round, which the process score then follows: a critic that
            errs, for robustness. The same episode is always judged the same.
        seed: Of the errors.
        size: Of the pictures that anchors in pixels refer to.
        find_rule: As the environment's.
        form: Of the process score, as the environment's.

    Raises:
        ConfigurationError: ``flip`` is no chance.
    """

    def __init__(
        self,
        dataset: TableDataset,
        *,
        flip: float = 0.0,
        seed: int = 0,
        size: Size = "pretty",
        find_rule: FindRule = "strict",
        form: Form = "product",
    ) -> None:
        if not 0 <= flip <= 1:
            raise ConfigurationError(f"flip={flip!r}: expected a chance, from 0 to 1.")
        self.name = f"oracle, errs in {flip:g}" if flip else "oracle"
        self._tasks = dataset.tasks
        self._flip, self._seed = flip, seed
        self._size: Size = size
        self._find_rule: FindRule = find_rule
        self._form: Form = form

    def judge(self, episodes: Sequence[Episode]) -> list[Judgement]:
        """Judge what was replied to each question.

        Raises:
            ConfigurationError: The data set has no such question.
        """
        return [self._judged(episode) for episode in episodes]

    def _judged(self, episode: Episode) -> Judgement:
        task = self._tasks.get(episode.task_id)
        if task is None:
            raise ConfigurationError(
                f"critic {self.name!r} has no task {episode.task_id!r}: hand it the data set that is played."
            )
        trace = reply_of(episode)
        picture: Picture | None = None
        if any(isinstance(step.anchor, Box) for step in trace.steps):
            picture = render(task.table, self._size)
        valid = step_validity(task.table, trace.steps, picture=picture, find_rule=self._find_rule)
        seen = [holds != turned for holds, turned in zip(valid, self._errors(episode, len(valid)), strict=True)]
        process = score_of(task.table, trace.steps, seen, task.steps, picture=picture, form=self._form)
        scores = tuple(StepScore(float(holds), place) for holds, place in zip(seen, trace.places, strict=True))
        return Judgement(scores, process.anchors > process.misplaced, process.score)

    def _errors(self, episode: Episode, steps: int) -> Sequence[bool]:
        if not self._flip:
            return [False] * steps
        rng = np.random.default_rng([self._seed, zlib.crc32(episode.task_id.encode()), episode.seed])
        return [bool(draw < self._flip) for draw in rng.random(steps)]


def judgement_of(trace: Trace, scores: Sequence[float]) -> Judgement:
    """The judgement of a critic that scores steps and knows no table: what it believes points at something does."""
    points = [step.anchor is not None and score >= 0.5 for step, score in zip(trace.steps, scores, strict=True)]
    steps = (StepScore(score, place) for score, place in zip(scores, trace.places, strict=True))
    return Judgement(tuple(steps), any(points))


def reply_of(episode: Episode) -> Trace:
    """What an episode of VisualTable-v0 says, read as a trace; nothing where nothing was said.

    Raises:
        ConfigurationError: The episode is of another environment.
    """
    if not episode.turns:
        return Trace((), None, False)
    action = episode.turns[-1].action
    if not isinstance(action, str):
        raise ConfigurationError(
            f"an action of {episode.env_id} is a {type(action).__name__}: expected the text of a trace, as "
            "VisualTable-v0 has them."
        )
    return read_trace(action)
