"""Generated problems: each is made from its id alone, and no problem is in two splits."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping

import numpy as np

from fogline.core.errors import ConfigurationError, check_choice
from fogline.core.generation import MadeOnDemand, bucket, indices
from fogline.envs.math_reasoning.arithmetic import draw_arithmetic
from fogline.envs.math_reasoning.countdown import draw_countdown
from fogline.envs.math_reasoning.draft import Draft
from fogline.envs.math_reasoning.records import MathDataset, MathTask
from fogline.envs.math_reasoning.stories import draw_story

LEVELS = range(1, 11)

MOST_TASKS_PER_LEVEL = 100_000

_DRAW: Mapping[str, Callable[[np.random.Generator, int], Draft | None]] = {
    "arithmetic": draw_arithmetic,
    "words": draw_story,
    "countdown": draw_countdown,
}
GENERATED = tuple(_DRAW)
_ID = re.compile(r"(?P<kind>[a-z]+)-(?P<level>[0-9]{2})-(?P<index>[0-9]{4,6})")
_MOST_DRAWS = 10_000


def generated(kind: str, levels: range, split: str, tasks_per_level: int) -> MathDataset:
    """Problems of one generator, made when they are asked for.

    Args:
        kind: One of :data:`GENERATED`.
        levels: Consecutive levels within :data:`LEVELS`.
        split: One of :data:`SPLITS`.
        tasks_per_level: How many of each level.
    """
    ids = tuple(
        task_name(kind, level, index) for level in levels for index in itertools.islice(indices(split), tasks_per_level)
    )
    return MathDataset(kind, MadeOnDemand(ids, make_task))


def task_name(kind: str, level: int, index: int) -> str:
    """Id of a generated problem, such as ``arithmetic-03-0007``."""
    return f"{kind}-{level:02d}-{index:04d}"


def make_task(task_id: str) -> MathTask:
    """Make a generated problem from its id.

    At the lowest levels there are fewer problems than ids, and some ids say the same.

    Raises:
        ConfigurationError: It is no id of a generator.
    """
    match = _ID.fullmatch(task_id)
    if match is None:
        raise ConfigurationError(f"task_id={task_id!r}: expected GENERATOR-LEVEL-INDEX, such as 'arithmetic-03-0007'.")
    kind, level, index = match["kind"], int(match["level"]), int(match["index"])
    check_choice("the generator in task_id", kind, GENERATED)
    if level not in LEVELS:
        raise ConfigurationError(f"task_id={task_id!r}: level {level} does not exist: expected 1 to {LEVELS[-1]}.")
    rng = np.random.default_rng([GENERATED.index(kind), level, index])
    for _ in range(_MOST_DRAWS):
        draft = _DRAW[kind](rng, level)
        if draft is not None and bucket(draft.content) == index % 10:
            return MathTask(
                task_id,
                draft.tellings[0],
                draft.answer,
                draft.kind,
                level,
                draft.steps,
                draft.short,
                draft.tellings[1:],
                draft.numbers,
            )
    raise RuntimeError(f"no problem for {task_id!r} in {_MOST_DRAWS} draws")
