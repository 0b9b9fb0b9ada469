"""What is asked about a picture, and what is true."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from fogline.simulators.scenes.mentions import Vocabulary
from fogline.simulators.scenes.worlds import Scene, SceneWorld

Task = Literal["presence", "caption"]
TASKS = ("presence", "caption")
CAPTION = "caption"
"""Kind of tasks that ask for a description."""


@dataclass(frozen=True, slots=True)
class SceneTask:
    """A question about a picture.

    Attributes:
        task_id: Unique within a data set; says nothing of the answer.
        image_id: Of the picture, which other tasks may share.
        picture: What is drawn, or the file that holds it; None where only its question is known.
        question: In words, as it is published.
        kind: Split of POPE, subtask of MME, or ``caption``.
        label: Whether the answer is yes; None of captions.
        objects: What is there, in the order of the vocabulary; empty where nobody says.
        asked: The object that is asked about; empty where the question is of something else.
        short: The question in the fewest words; empty where ``question`` is that.
        suffix: What a benchmark adds to its questions.
    """

    task_id: str
    image_id: str
    picture: Scene | Path | None = field(repr=False)
    question: str
    kind: str
    label: bool | None = field(repr=False)
    objects: tuple[str, ...] = field(default=(), repr=False)
    asked: str = ""
    short: str = ""
    suffix: str = ""


@dataclass(frozen=True)
class SceneDataset:
    """Questions by id.

    Attributes:
        name: Shown in errors and reports.
        tasks: Questions; generated ones are made when they are asked for.
        vocabulary: Objects that there can be.
        popularity: Share of pictures that an object is known to be in; empty where nobody says.
        world: What pictures are drawn from; None of loaded ones.
    """

    name: str
    tasks: Mapping[str, SceneTask] = field(repr=False)
    vocabulary: Vocabulary
    popularity: Mapping[str, float] = field(default_factory=dict, repr=False)
    world: SceneWorld | None = None

    def __len__(self) -> int:
        return len(self.tasks)

    def __iter__(self) -> Iterator[SceneTask]:
        return iter(self.tasks.values())
