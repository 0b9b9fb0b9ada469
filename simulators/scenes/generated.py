"""Generated pictures and questions: each is made from its id and the world alone, and no picture is in two splits."""

from __future__ import annotations

import itertools
import re
from functools import lru_cache, partial

import numpy as np

from fogline.core.errors import ConfigurationError, check_choice
from fogline.core.generation import SPLITS, MadeOnDemand, bucket, indices
from fogline.simulators.scenes.frequencies import frequencies
from fogline.simulators.scenes.mentions import Vocabulary
from fogline.simulators.scenes.questions import PAIRS, POPE_SPLITS, Ranking, ask, draw_positives, rank, wording
from fogline.simulators.scenes.records import CAPTION, TASKS, SceneDataset, SceneTask
from fogline.simulators.scenes.worlds import ABSENT, Scene, SceneWorld, draw_scenes

MOST_IMAGES = 90_000
DESCRIBE = "Please describe this image in detail."
"""The field's usual prompt for captions; that of PND is not known (specification 1.5)."""
ONE_WORD = " Please answer this question with one word."
"""What PND adds to questions of POPE (specification 1.5)."""

_ID = re.compile(
    rf"(?:presence-(?P<split>{'|'.join(POPE_SPLITS)})|{CAPTION})-(?P<index>[0-9]{{5,6}})"
    rf"(?:-(?P<number>[1-{2 * PAIRS}]))?"
)
_DRAWN_AT_ONCE, _MOST_DRAWS = 64, 400
_RAREST = 0.01


def generated(world: SceneWorld, task: str, split: str, dataset_split: str, n_images: int) -> SceneDataset:
    """Questions about pictures that are made when they are asked for.

    Args:
        world: What pictures are drawn from.
        task: ``presence``, six questions about each picture, or ``caption``, one.
        split: Of POPE; captions have none.
        dataset_split: Which pictures.
        n_images: How many.

    Raises:
        ConfigurationError: A task, split or number that does not exist, or a world that hardly ever has three objects
            in a picture and three that are not.
    """
    check_choice("task", task, TASKS)
    check_choice("split", split, POPE_SPLITS)
    check_choice("dataset_split", dataset_split, SPLITS)
    if type(n_images) is not int or not 1 <= n_images <= MOST_IMAGES:
        raise ConfigurationError(f"n_images={n_images!r}: expected a whole number from 1 to {MOST_IMAGES}.")
    known = frequencies(world, PAIRS)
    if known.share < _RAREST:
        raise ConfigurationError(
            f"{known.share:.2%} of the pictures have {PAIRS} objects and lack {PAIRS} others: expected at least "
            f"{_RAREST:.0%}; choose a presence nearer to a half."
        )
    chosen = itertools.islice(indices(dataset_split), n_images)
    ids = tuple(
        task_name(task, split, index, number)
        for index in chosen
        for number in (range(1, 2 * PAIRS + 1) if task == "presence" else (0,))
    )
    popularity = dict(zip(world.names, known.single.tolist(), strict=True))
    tasks = MadeOnDemand(ids, partial(make_task, world))
    return SceneDataset("synthetic", tasks, Vocabulary(world.names), popularity, world)


def task_name(task: str, split: str, index: int, number: int) -> str:
    """Id of a generated question, such as ``presence-popular-00007-3`` or ``caption-00007``."""
    return f"{CAPTION}-{index:05d}" if task == CAPTION else f"presence-{split}-{index:05d}-{number}"


def make_task(world: SceneWorld, task_id: str) -> SceneTask:
    """Make a generated question from its id.

    Raises:
        ConfigurationError: It is no id of the generator.
    """
    match = _ID.fullmatch(task_id)
    if match is None or (match["split"] is None) != (match["number"] is None):
        raise ConfigurationError(
            f"task_id={task_id!r}: expected presence-SPLIT-INDEX-NUMBER, such as 'presence-popular-00007-3', or "
            "caption-INDEX."
        )
    scene = make_scene(world, int(match["index"]))
    image_id = f"scene-{scene.number:05d}"
    objects = tuple(world.names[number] for number in scene.present)
    if match["split"] is None:
        return SceneTask(task_id, image_id, scene, DESCRIBE, CAPTION, None, objects, short="objects")
    asked, label = _questions(world, scene, match["split"])[int(match["number"]) - 1]
    return SceneTask(
        task_id, image_id, scene, wording(asked), match["split"], label, objects, asked, f"is {asked}", ONE_WORD
    )


@lru_cache(maxsize=4096)
def make_scene(world: SceneWorld, index: int) -> Scene:
    """The picture of a number: at least three objects, at least three missing, in the split that its digit names."""
    rng = np.random.default_rng([index])
    for _ in range(_MOST_DRAWS):
        drawn = draw_scenes(rng, world, _DRAWN_AT_ONCE)
        counts = (drawn.cells != ABSENT).sum(axis=1)
        for row in np.flatnonzero((counts >= PAIRS) & (counts <= world.n_objects - PAIRS)):
            cells = tuple(drawn.cells[row].tolist())
            if bucket(content_of(cells)) == index % 10:
                return Scene(index, int(drawn.kinds[row]), cells, float(drawn.contrast[row]))
    raise RuntimeError(f"no picture {index} in {_MOST_DRAWS * _DRAWN_AT_ONCE} draws")


def content_of(cells: tuple[int, ...]) -> str:
    """What decides a picture's split: which objects are where, however they are lit."""
    return repr(cells)


@lru_cache(maxsize=16)
def ranking_of(world: SceneWorld) -> Ranking:
    """How frequent a world's objects are, alone and together, in the pictures that are asked about."""
    known = frequencies(world, PAIRS)
    return rank(world.names, known.single, known.together)


@lru_cache(maxsize=4096)
def _questions(world: SceneWorld, scene: Scene, split: str) -> list[tuple[str, bool]]:
    """All questions about a picture; the three splits share those whose answer is yes."""
    present = [world.names[number] for number in scene.present]
    # A seed that ends in 0 would be that of the picture itself.
    positives = draw_positives(np.random.default_rng([scene.number, 1]), present)
    rng = np.random.default_rng([scene.number, 2 + POPE_SPLITS.index(split)])
    asked = ask(rng, present, split, ranking_of(world), positives)
    # POPE asks by turns what is there and what is not: a number that tells the answer would be a leak.
    return [asked[place] for place in rng.permutation(len(asked))]
