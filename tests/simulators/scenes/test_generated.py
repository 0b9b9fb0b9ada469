from __future__ import annotations

from collections import Counter

import pytest

from fogline.core.errors import ConfigurationError
from fogline.core.generation import bucket
from fogline.simulators.scenes.generated import content_of, make_scene, make_task, ranking_of
from fogline.simulators.scenes.questions import POPE_SPLITS
from fogline.simulators.scenes.records import SceneTask
from fogline.simulators.scenes.sources import load_scenes
from fogline.simulators.scenes.worlds import STRONG, Scene, SceneWorld

WORLD = SceneWorld()


def scene_of(task: SceneTask) -> Scene:
    assert isinstance(task.picture, Scene)
    return task.picture


def by_image(split: str, n_images: int = 60) -> dict[str, list[SceneTask]]:
    grouped: dict[str, list[SceneTask]] = {}
    for task in load_scenes(split=split, n_images=n_images):
        grouped.setdefault(task.image_id, []).append(task)
    return grouped


@pytest.mark.parametrize("split", POPE_SPLITS)
def test_each_picture_is_asked_three_times_yes_and_three_times_no_and_labels_are_true(split: str) -> None:
    for tasks in by_image(split).values():
        assert [task.label for task in tasks].count(True) == [task.label for task in tasks].count(False) == 3
        assert len({task.asked for task in tasks}) == 6
        for task in tasks:
            scene = scene_of(task)
            there = tuple(name for name, cell in zip(WORLD.names, scene.cells, strict=True) if cell >= 0)
            assert task.objects == there and 3 <= len(there) <= 9
            assert task.label == (task.asked in there)
            assert task.question == f"Is there {'an' if task.asked[0] in 'oa' else 'a'} {task.asked} in the image?"


def test_the_splits_share_pictures_and_what_is_there_and_differ_in_what_is_not() -> None:
    asked = {split: by_image(split) for split in POPE_SPLITS}
    differing = 0
    for image in asked["random"]:
        positives = [{task.asked for task in asked[split][image] if task.label} for split in POPE_SPLITS]
        negatives = [frozenset(task.asked for task in asked[split][image] if not task.label) for split in POPE_SPLITS]
        assert positives[0] == positives[1] == positives[2]
        assert len({scene_of(asked[split][image][0]) for split in POPE_SPLITS}) == 1
        differing += len(set(negatives)) > 1
    assert differing > 50


def test_popular_negatives_are_the_most_frequent_that_are_not_there() -> None:
    popular = ranking_of(WORLD).popular
    assert set(popular[:3]) == {WORLD.names[0], WORLD.names[4], WORLD.names[8]}
    for tasks in by_image("popular").values():
        free = [name for name in popular if name not in tasks[0].objects]
        assert {task.asked for task in tasks if not task.label} == set(free[:3])


def test_adversarial_negatives_come_from_the_scene_and_others_seldom_do() -> None:
    def share(split: str) -> float:
        """Of negatives that belong to the picture's scene, where it lacks any of its objects."""
        hits = wanted = 0
        for tasks in by_image(split).values():
            scene = scene_of(tasks[0])
            own = set(WORLD.names[4 * scene.kind : 4 * scene.kind + 4])
            missing = own - set(tasks[0].objects)
            hits += len(missing & {task.asked for task in tasks if not task.label})
            wanted += min(len(missing), 3)
        return hits / wanted

    assert share("adversarial") == 1.0
    assert share("random") < 0.6


def test_nothing_but_looking_tells_yes_from_no() -> None:
    tasks = list(load_scenes(split="random", n_images=400))
    numbers = Counter((task.task_id[-1], task.label) for task in tasks)
    assert all(numbers[number, True] / 400 == pytest.approx(0.5, abs=0.1) for number in "123456")


@pytest.mark.parametrize("task", ["presence", "caption"])
def test_a_task_is_made_from_its_id_alone_in_any_order(task: str) -> None:
    dataset = load_scenes(task=task, split="adversarial", n_images=8)
    make_scene.cache_clear()
    backwards = {name: make_task(WORLD, name) for name in reversed(list(dataset.tasks))}
    make_scene.cache_clear()
    assert {name: dataset.tasks[name] for name in dataset.tasks} == backwards
    assert make_scene(WORLD, 3) != make_scene(STRONG, 3)


def test_no_picture_is_in_two_splits() -> None:
    held = [
        {bucket(content_of(scene_of(task).cells)) for task in load_scenes(dataset_split=split, n_images=40)}
        for split in ("train", "validation", "test")
    ]
    assert held[1] == {8} and held[2] == {9} and held[0] <= set(range(8))


def test_a_caption_lists_what_is_there_in_the_fixed_order() -> None:
    for task in load_scenes(task="caption", n_images=30):
        assert task.label is None and task.kind == "caption"
        assert list(task.objects) == sorted(task.objects, key=WORLD.names.index)


def test_popularity_is_the_share_of_pictures() -> None:
    dataset = load_scenes(task="caption", n_images=2000, dataset_split="all")
    counts = Counter(name for task in dataset for name in task.objects)
    assert dataset.popularity == pytest.approx({name: counts[name] / 2000 for name in WORLD.names}, abs=0.04)


def test_records_do_not_show_what_is_true() -> None:
    dataset = load_scenes(n_images=2)
    one, other = next(task for task in dataset if task.label), next(task for task in dataset if not task.label)
    for task in (one, other):
        assert "True" not in repr(task) and "False" not in repr(task) and "cells" not in repr(task)
    assert "0.36" not in repr(dataset)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"task": "captions"}, "Did you mean 'caption'"),
        ({"split": "hard"}, "split"),
        ({"dataset_split": "dev"}, "dataset_split"),
        ({"n_images": 0}, "n_images"),
        ({"n_images": 1.5}, "n_images"),
        ({"n_images": True}, "n_images"),
        ({"world": {"presence": [0.01] * 4, "stray": 0.01}}, "presence nearer to a half"),
        ({"scenes": "/nowhere/at/all"}, "a folder"),
        ({"scenes": "/nowhere", "dataset_split": "test"}, "only generated"),
        ({"scenes": "/nowhere", "world": {}}, "only generated"),
        ({"scenes": "/nowhere", "n_images": 0}, "n_images"),
    ],
)
def test_choices_that_do_not_exist_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        load_scenes(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "task_id", ["presence-random-00001-7", "presence-00001-1", "caption-00001-2", "presence-hard-00001-1", "caption-1"]
)
def test_other_ids_are_refused(task_id: str) -> None:
    with pytest.raises(ConfigurationError, match="task_id="):
        make_task(WORLD, task_id)
