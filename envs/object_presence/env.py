"""ObjectPresence-v0: is an object in the picture, or what is; every mention is checked exactly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from numpy.typing import NDArray

from fogline.core.errors import ConfigurationError, DataError, check_choice
from fogline.core.rewards import RewardScheme
from fogline.core.spaces import UnicodeText
from fogline.envs.object_presence import prompts
from fogline.envs.object_presence.answers import MAX_REPLY, mme_answer, pope_answer, read_answer, written
from fogline.envs.object_presence.drawing import enlarged, in_blocks
from fogline.envs.object_presence.scores import caption_counts
from fogline.envs.text import Response, TurnEnv
from fogline.simulators.scenes.mme import SUBTASKS
from fogline.simulators.scenes.reading import picture_size, read_picture
from fogline.simulators.scenes.records import CAPTION, SceneDataset, SceneTask, Task
from fogline.simulators.scenes.rendering import SIZE, render
from fogline.simulators.scenes.sources import SYNTHETIC, load_scenes
from fogline.simulators.scenes.worlds import Scene, SceneWorld
from fogline.simulators.tables.rendering import on_canvas

PRESENCE_WEIGHTS: Mapping[str, float] = {"correct": 1.0, "readable": 0.0}
CAPTION_WEIGHTS: Mapping[str, float] = {"found": 1.0, "hallucinated": -1.0, "exact": 0.0}
_MAX_TEXT = 200_000
_MOST_SHOWN = 300
_MOST_NAMED = 50


@dataclass(slots=True)
class _Session:
    """One episode's hidden side."""

    task: SceneTask
    image: NDArray[np.uint8]
    reply: str | None = None
    verdict: str = ""


class ObjectPresenceEnv(TurnEnv[Any, Any]):
    """A picture and a question; one reply.

    Asked about presence, the reward is ``1·correct``: 1 for the right one of yes and no, 0 otherwise, an answer that
    cannot be read included; ``readable`` is reported and not paid. Asked for a caption, it is
    ``1·found − 1·hallucinated``: ``found`` is the share of the objects in the picture that are named, ``hallucinated``
    the share of the mentions that name what is not there (CHAIR_i of the one caption; 0 without a mention); ``exact``,
    1 where all objects are named in the fixed order, once each and no others, is reported and not paid.

    What POPE, CHAIR and MME are computed from is in ``metrics``; :mod:`fogline.envs.object_presence.scores` does it.

    Args:
        scenes: ``"synthetic"``, a folder with question files of POPE, annotations of COCO or subtasks of MME and their
            pictures, or a loaded :class:`SceneDataset`.
        task: ``"presence"``: is it there; ``"caption"``: what is there.
        split: How objects that are not there are chosen: ``"random"``, ``"popular"`` (most frequent) or
            ``"adversarial"`` (most often seen with one that is there). Captions and MME have none.
        dataset_split: Of generated pictures: ``"train"``, ``"validation"``, ``"test"`` or ``"all"``; no picture is in
            two of the first three.
        n_images: How many pictures; by default 100 generated ones, and all of a folder.
        world: What generated pictures are drawn from, or its settings by name.
        prompt: ``"full"``, or ``"short"`` (no rules, the fewest words) for tiny language models.
        render_mode: ``"ansi"`` (the picture in coloured blocks), ``"rgb_array"`` or None.

    The observation is ``{"image": [H, W, 3] uint8, "question": text}``; pictures of a folder lie in the top left corner
    of a white canvas that holds the largest, and ``info["size"]`` of ``reset`` is their height and width. The seed
    decides the pixel noise of generated pictures.

    Raises:
        ConfigurationError: For an unknown choice.
        DataError: For a file that is not what its format promises, or a picture that is not there.
        MissingDependencyError: For pictures of a folder without Pillow.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012
        **TurnEnv.metadata,
        "name": "ObjectPresence-v0",
        "render_modes": ["ansi", "rgb_array"],
    }
    simulator_version: ClassVar[str] = "object-presence-1"

    def __init__(
        self,
        scenes: str | Path | SceneDataset = SYNTHETIC,
        *,
        task: Task = "presence",
        split: Literal["random", "popular", "adversarial"] = "random",
        dataset_split: Literal["train", "validation", "test", "all"] | None = None,
        n_images: int | None = None,
        world: SceneWorld | Mapping[str, Any] | None = None,
        prompt: Literal["full", "short"] = "full",
        render_mode: str | None = None,
    ) -> None:
        check_choice("prompt", prompt, ("full", "short"))
        self._dataset = load_scenes(
            scenes, task=task, split=split, dataset_split=dataset_split, n_images=n_images, world=world
        )
        super().__init__(tuple(self._dataset.tasks), render_mode)
        self._short = prompt == "short"
        self._session: _Session | None = None
        self._spec: EnvSpec | None = None
        self._canvas = _canvas(self._dataset)
        asks_for_captions = self._dataset.tasks[self.task_ids[0]].kind == CAPTION
        self.reward_scheme = RewardScheme(session=CAPTION_WEIGHTS if asks_for_captions else PRESENCE_WEIGHTS)
        if not self._short:
            self.system_prompt = prompts.rules(self._dataset, CAPTION if asks_for_captions else "presence")
        self.action_space = UnicodeText(_MAX_TEXT)
        image = spaces.Box(0, 255, (*self._canvas, 3), np.uint8)
        self.observation_space = spaces.Dict({"image": image, "question": UnicodeText(_MAX_TEXT)})

    @property
    def spec(self) -> EnvSpec | None:
        """How the environment was made; a loaded data set is named only, since it holds the truth."""
        return self._spec

    @spec.setter
    def spec(self, value: EnvSpec | None) -> None:
        if value is not None and isinstance(value.kwargs.get("scenes"), SceneDataset):
            value = replace(value, kwargs={**value.kwargs, "scenes": value.kwargs["scenes"].name})
        self._spec = value

    def begin(self, task_id: str) -> tuple[Any, dict[str, Any]]:
        """Show the picture and the question."""
        task = self._dataset.tasks[task_id]
        # At one seed, all questions about a picture see it with the same noise, and no two pictures share theirs.
        number = task.picture.number if isinstance(task.picture, Scene) else 0
        noise = np.random.default_rng([int(self.np_random.integers(2**63)), 1 + number])
        image = picture_of(self._dataset, task, noise)
        self._session = _Session(task, image)
        shown = {"image": on_canvas(image, *self._canvas), "question": prompts.asked(task, short=self._short)}
        return shown, {"kind": task.kind, "image_id": task.image_id, "size": list(image.shape[:2])}

    def respond(self, action: Any) -> Response:
        """Check the reply; whatever is said ends the episode."""
        session = self._session
        if session is None:
            raise ConfigurationError("no episode is running: call reset() first.")
        reply = str.__str__(action) if isinstance(action, str) and len(action) <= MAX_REPLY else ""
        session.reply = reply
        outcome, metrics, malformed = (
            self._described(session.task, reply) if session.task.label is None else self._answered(session.task, reply)
        )
        session.verdict = ", ".join(f"{name} {value:.2f}" for name, value in outcome.items())
        common = {"kind": session.task.kind, "image_id": session.task.image_id, "given": reply[:_MOST_SHOWN]}
        phase = CAPTION if session.task.label is None else "answer"
        return Response(self._nothing(), phase, {}, malformed, outcome, {**common, **metrics})

    def render(self) -> Any:
        """The picture, as text with the last reply and what came of it, or as pixels, small ones enlarged."""
        if self.render_mode is None or self._session is None:
            return None
        session = self._session
        if self.render_mode == "rgb_array":
            return enlarged(session.image)
        lines = [in_blocks(session.image), prompts.asked(session.task, short=self._short)]
        if session.reply is not None:
            lines += [f"> {session.reply[:_MOST_SHOWN]}", f"= {session.verdict}"]
        return "\n".join(lines)

    def _answered(self, task: SceneTask, reply: str) -> tuple[dict[str, float], dict[str, Any], bool]:
        answer = read_answer(reply)
        published = mme_answer(reply) if task.kind in SUBTASKS else pope_answer(reply)
        correct = answer is task.label
        metrics = {
            "correct": correct,
            "said_yes": answer is True,
            "readable": answer is not None,
            "answer": written(answer),
            "published_answer": written(published),
            "label": written(task.label),
            "asked": task.asked,
        }
        outcome = {"correct": float(correct), "readable": float(answer is not None)}
        return outcome, metrics, answer is None

    def _described(self, task: SceneTask, reply: str) -> tuple[dict[str, float], dict[str, Any], bool]:
        mentioned = self._dataset.vocabulary.mentions(reply)
        counts = caption_counts(mentioned, task.objects)
        exact = mentioned == task.objects
        outcome = {
            "found": counts.found / counts.objects if counts.objects else 0.0,
            "hallucinated": counts.hallucinated / counts.mentions if counts.mentions else 0.0,
            "exact": float(exact),
        }
        wrong = [name for name in dict.fromkeys(mentioned) if name not in task.objects]
        metrics = {
            **counts._asdict(),
            "exact": exact,
            "hallucinates": counts.hallucinated > 0,
            "mentioned": list(mentioned[:_MOST_NAMED]),
            "wrongly_mentioned": wrong[:_MOST_NAMED],
        }
        return outcome, metrics, not reply.strip()

    def _nothing(self) -> Any:
        """The observation after the end."""
        return {"image": np.full((*self._canvas, 3), 255, dtype=np.uint8), "question": ""}


def picture_of(dataset: SceneDataset, task: SceneTask, rng: np.random.Generator) -> NDArray[np.uint8]:
    """The picture of a task.

    Args:
        dataset: That the task is in.
        task: Whose picture.
        rng: Decides the pixel noise of a generated one.

    Returns:
        ``[H, W, 3]`` uint8, RGB.

    Raises:
        DataError: There is none, or it is damaged.
        MissingDependencyError: A file without Pillow.
    """
    if isinstance(task.picture, Scene) and dataset.world is not None:
        cells, contrast = [task.picture.cells], [task.picture.contrast]
        image: NDArray[np.uint8] = render(rng, dataset.world, cells, contrast)[0]
        return image
    return read_picture(_file_of(dataset, task))


def _canvas(dataset: SceneDataset) -> tuple[int, int]:
    """Height and width of the largest picture, every one of which must be there."""
    if dataset.world is not None:
        return SIZE, SIZE
    files = {task.image_id: _file_of(dataset, task) for task in dataset}
    heights, widths = zip(*map(picture_size, files.values()), strict=True)
    return max(heights), max(widths)


def _file_of(dataset: SceneDataset, task: SceneTask) -> Path:
    if isinstance(task.picture, Path):
        return task.picture
    raise DataError(
        f"{dataset.name}: no picture {task.image_id!r}: expected it in the folder, or in 'images' or 'val2014' below."
    )
