"""Where pictures and their questions come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from functools import lru_cache
from pathlib import Path
from typing import Any

from fogline.core.errors import ConfigurationError, check_choice, check_keys
from fogline.simulators.scenes.coco import is_coco, load_coco
from fogline.simulators.scenes.generated import generated
from fogline.simulators.scenes.mme import is_mme, load_mme
from fogline.simulators.scenes.pope import is_pope, load_pope
from fogline.simulators.scenes.questions import POPE_SPLITS
from fogline.simulators.scenes.records import CAPTION, TASKS, SceneDataset
from fogline.simulators.scenes.worlds import SceneWorld

SYNTHETIC = "synthetic"
IMAGES = 100
"""Generated pictures where nobody says how many."""


def load_scenes(
    scenes: str | Path | SceneDataset = SYNTHETIC,
    *,
    task: str = "presence",
    split: str = "random",
    dataset_split: str | None = None,
    n_images: int | None = None,
    world: SceneWorld | Mapping[str, Any] | None = None,
) -> SceneDataset:
    """Generate or load pictures with their questions.

    Args:
        scenes: ``"synthetic"``, a folder with question files of POPE, with annotations of COCO or with subtasks of MME,
            or a loaded set, which is returned as it is.
        task: ``presence``, questions with the answer yes or no, or ``caption``, a description.
        split: Of POPE: how what is not there was chosen. Captions and MME have none.
        dataset_split: Of generated pictures; by default ``train``. No picture is in two of train, validation and test.
        n_images: How many pictures; by default 100 generated ones, and all of a folder.
        world: What generated pictures are drawn from, or its settings by name.

    Raises:
        ConfigurationError: An unknown choice, or one that the set does not have.
        DataError: A file is not what its format promises.
    """
    if isinstance(scenes, SceneDataset):
        return scenes
    check_choice("task", task, TASKS)
    check_choice("split", split, POPE_SPLITS)
    if scenes == SYNTHETIC:
        n_drawn = IMAGES if n_images is None else n_images
        return generated(world_for(world), task, split, dataset_split or "train", n_drawn)
    if dataset_split is not None or world is not None:
        raise ConfigurationError(
            f"dataset_split={dataset_split!r}, world={world!r} with scenes={str(scenes)!r}: only generated pictures "
            "have them; leave both out."
        )
    if n_images is not None and (type(n_images) is not int or n_images < 1):
        raise ConfigurationError(f"n_images={n_images!r}: expected a whole number of at least 1.")
    return _loaded(str(scenes), task, split, n_images)


def world_for(world: SceneWorld | Mapping[str, Any] | None = None) -> SceneWorld:
    """What pictures are drawn from.

    Raises:
        ConfigurationError: An unknown setting, or one that no picture can have.
    """
    if isinstance(world, SceneWorld):
        return world
    if world is not None and not isinstance(world, Mapping):
        raise ConfigurationError(f"world={world!r}: expected a SceneWorld, or its settings by name.")
    asked: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in (world or {}).items()
    }
    check_keys("world", asked, [field.name for field in fields(SceneWorld)])
    return SceneWorld(**asked)


@lru_cache(maxsize=4)
def _loaded(path: str, task: str, split: str, n_images: int | None) -> SceneDataset:
    folder = Path(path)
    if not folder.is_dir():
        raise ConfigurationError(f"scenes={path!r}: expected 'synthetic' or a folder.")
    if is_coco(folder):
        return load_coco(folder, task, split, n_images)
    if not is_pope(folder) and not is_mme(folder):
        raise ConfigurationError(
            f"scenes={path!r} holds nothing that can be read: expected question files of POPE (coco_pope_random.json), "
            "annotations of COCO (instances_val2014.json) or subtasks of MME (existence/)."
        )
    if task == CAPTION:
        raise ConfigurationError(f"task='caption': scenes={path!r} holds questions with the answer yes or no only.")
    return load_pope(folder, split, n_images) if is_pope(folder) else load_mme(folder, n_images)
