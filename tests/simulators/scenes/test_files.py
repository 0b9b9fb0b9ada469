"""Question files of POPE, annotations of COCO and folders of MME, in the shape of their releases."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fogline.core.errors import ConfigurationError, DataError, MissingDependencyError
from fogline.simulators.scenes.coco import load_coco
from fogline.simulators.scenes.mme import load_mme
from fogline.simulators.scenes.pope import load_pope
from fogline.simulators.scenes.reading import picture_size, read_picture
from fogline.simulators.scenes.sources import load_scenes


def put(folder: Path, name: str, content: Any) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def paint(path: Path, colour: tuple[int, int, int], size: tuple[int, int] = (6, 4), mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).convert(mode).save(path)


QUESTIONS = [
    {"question_id": 1, "image": "one.png", "text": "Is there a cup in the image?", "label": "yes"},
    {"question_id": 2, "image": "one.png", "text": "Is there an apple in the imange?", "label": "no"},
    {"question_id": 3, "image": "two.png", "text": "Is there a cup in the image?", "label": "no"},
    {"question_id": 4, "image": "two.png", "text": "Is there a fork in the image?", "label": "yes"},
]


def pope(folder: Path, rows: Any = QUESTIONS, name: str = "coco_pope_popular.json") -> Path:
    put(folder, name, rows if isinstance(rows, str) else "\n".join(map(json.dumps, rows)) + "\n")
    return folder


def test_pope_files(tmp_path: Path) -> None:
    paint(tmp_path / "val2014" / "one.png", (9, 8, 7))
    dataset = load_scenes(pope(tmp_path), split="popular")
    tasks = {(task.image_id, task.asked): task for task in dataset}
    assert {key: task.label for key, task in tasks.items()} == {
        ("one.png", "cup"): True,
        ("one.png", "apple"): False,
        ("two.png", "cup"): False,
        ("two.png", "fork"): True,
    }
    assert {task.kind for task in dataset} == {"popular"}
    assert tasks["one.png", "apple"].question == "Is there an apple in the imange?"
    assert tasks["one.png", "cup"].picture == tmp_path / "val2014" / "one.png"
    assert tasks["two.png", "cup"].picture is None
    assert dataset.popularity == {"apple": 0.0, "cup": 0.5, "fork": 0.5}
    assert len(load_pope(tmp_path, "popular", 1)) == 2


def test_ids_of_published_questions_do_not_follow_the_answers(tmp_path: Path) -> None:
    names = [f"thing{number}" for number in range(60)]
    rows = [
        {"question_id": number, "image": "a.png", "text": f"Is there a {name} in the image?", "label": label}
        for number, (name, label) in enumerate(zip(names, ["yes", "no"] * 30, strict=True), 1)
    ]
    dataset = load_pope(pope(tmp_path, rows), "popular")
    labels = [task.label for task in dataset]
    assert list(dataset.tasks) == sorted(dataset.tasks)
    assert labels != [True, False] * 30 and 10 < sum(map(bool, labels[::2])) < 20


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("{", "line 1: it is no JSON"),
        ("[" * 100_000, "line 1: it is no JSON"),
        ("[1]", "expected an object"),
        ([{**QUESTIONS[0], "label": "maybe"}], "label='maybe'"),
        ([{**QUESTIONS[0], "label": True}], "label=True"),
        ([QUESTIONS[0], {"image": "one.png"}], "line 2: question_id=None"),
        ([{**QUESTIONS[0], "question_id": True}], "question_id=True"),
        ([{**QUESTIONS[0], "image": 3}], "image=3"),
        ([{**QUESTIONS[0], "image": "../one.png"}], "the name of a file in the folder"),
        ([{**QUESTIONS[0], "image": "/one.png"}], "the name of a file in the folder"),
        ([{**QUESTIONS[0], "image": ""}], "the name of a file in the folder"),
        ([{**QUESTIONS[0], "image": "a" * 5000}], "the name of a file in the folder"),
        ([{**QUESTIONS[0], "image": "a\0b"}], "the name of a file in the folder"),
        ([QUESTIONS[0], QUESTIONS[0]], "asked twice"),
        ("\n", "no question"),
    ],
)
def test_damaged_pope_files_are_refused(tmp_path: Path, rows: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_pope(pope(tmp_path, rows), "popular")


def test_pope_files_of_another_split_or_of_two_sets_are_refused(tmp_path: Path) -> None:
    pope(tmp_path)
    with pytest.raises(ConfigurationError, match=r"coco_pope_popular\.json"):
        load_pope(tmp_path, "random")
    pope(tmp_path, name="gqa_pope_popular.jsonl")
    with pytest.raises(DataError, match="one set"):
        load_pope(tmp_path, "popular")
    (tmp_path / "gqa_pope_popular.jsonl").unlink()
    (tmp_path / "coco_pope_popular.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="could not be read"):
        load_pope(tmp_path, "popular")
    with pytest.raises(ConfigurationError, match="yes or no only"):
        load_scenes(tmp_path, task="caption")


SYNONYMS = "person, man, woman\ncup,  mug\nfork\ndining table, table\ndog, puppy\nspoon\nbus\n"
CATEGORIES = ["person", "cup", "fork", "dining table", "dog", "spoon", "bus"]
HELD = {1: [0, 1, 2, 3], 2: [0, 4], 3: [1, 2, 3, 5], 4: [0, 0, 1, 2]}
CAPTIONS = {1: "A woman with a mug.", 2: "A man and his puppies at a table.", 3: "Cups.", 4: "A man with a mug."}


def coco(folder: Path, **changed: Any) -> Path:
    content: dict[str, Any] = {
        "categories": [{"id": number + 10, "name": name} for number, name in enumerate(CATEGORIES)],
        "images": [{"id": image, "file_name": f"{image:03d}.png"} for image in HELD],
        "annotations": [
            {"image_id": image, "category_id": number + 10} for image, held in HELD.items() for number in held
        ],
    }
    put(folder, "annotations/instances_val2014.json", {**content, **changed})
    spoken = [{"image_id": image, "caption": caption} for image, caption in CAPTIONS.items()]
    put(folder, "annotations/captions_val2014.json", {"annotations": spoken})
    put(folder, "annotations/synonyms.txt", SYNONYMS)
    return folder


def test_captions_of_coco_are_checked_against_instances_and_what_people_said(tmp_path: Path) -> None:
    paint(tmp_path / "images" / "002.png", (1, 2, 3))
    dataset = load_scenes(coco(tmp_path), task="caption")
    there = {task.image_id: task.objects for task in dataset}
    assert there == {
        "001.png": ("person", "cup", "fork", "dining table"),
        "002.png": ("person", "dining table", "dog"),
        "003.png": ("cup", "fork", "dining table", "spoon"),
        "004.png": ("person", "cup", "fork"),
    }
    assert {task.question for task in dataset} == {"Please describe this image in detail."}
    assert {task.image_id for task in dataset if task.picture is not None} == {"002.png"}
    assert dataset.vocabulary.mentions("two puppies under the table") == ("dog", "dining table")
    assert dataset.popularity["dining table"] == 0.75
    assert len(load_coco(tmp_path, "caption", "random", 2)) == 2


@pytest.mark.parametrize("split", ["random", "popular", "adversarial"])
def test_questions_of_pope_are_built_from_pictures_with_three_objects(tmp_path: Path, split: str) -> None:
    dataset = load_scenes(coco(tmp_path), split=split)
    assert {task.image_id for task in dataset} == {"001.png", "003.png", "004.png"}
    assert len(dataset) == 18 and sum(bool(task.label) for task in dataset) == 9
    assert all(task.label == (task.asked in task.objects) for task in dataset)
    negatives = {
        image: {task.asked for task in dataset if task.image_id == image and not task.label}
        for image in ("001.png", "003.png", "004.png")
    }
    assert negatives["001.png"] == {"dog", "spoon", "bus"}
    if split == "popular":
        assert negatives["004.png"] == {"dining table", "spoon", "dog"}
    if split == "adversarial":
        assert {"dining table", "spoon"} <= negatives["004.png"]
    assert list(dataset.tasks) == list(load_coco(tmp_path, "presence", split).tasks)


def test_without_synonyms_categories_are_asked_about_and_captions_refused(tmp_path: Path) -> None:
    (coco(tmp_path) / "annotations" / "synonyms.txt").unlink()
    assert load_coco(tmp_path, "presence", "random").vocabulary.objects == tuple(CATEGORIES)
    with pytest.raises(DataError, match=r"synonyms\.txt"):
        load_coco(tmp_path, "caption", "random")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"images": None}, "images=None"),
        ({"images": [{"id": 1}]}, "file_name=None"),
        ({"images": [{"id": "1", "file_name": "x.png"}]}, "id='1'"),
        ({"categories": {}}, "categories"),
        ({"categories": [3]}, "name=None"),
        ({"annotations": [{"image_id": 1, "category_id": 99}]}, "category 99"),
        ({"annotations": [{"image_id": 77, "category_id": 10}]}, "image 77"),
        ({"annotations": [{"image_id": 1.5, "category_id": 10}]}, r"image_id=1\.5"),
        ({"categories": [{"id": number + 10, "name": f"x{number}"} for number in range(7)]}, r"in no line of synonyms"),
        ({"images": [], "annotations": []}, "no question"),
        ({"images": [{"id": image, "file_name": f"../{image}.png"} for image in HELD]}, "name of a file in the folder"),
    ],
)
def test_damaged_annotations_are_refused(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_coco(coco(tmp_path, **changed), "presence", "random")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("captions_val2014.json", {"annotations": [{"image_id": 1}]}, "caption=None"),
        ("captions_val2014.json", "[]", "expected an object"),
        ("synonyms.txt", "\n , \n", "no object"),
    ],
)
def test_damaged_captions_are_refused(tmp_path: Path, name: str, content: Any, message: str) -> None:
    put(coco(tmp_path), f"annotations/{name}", content)
    with pytest.raises(DataError, match=message):
        load_coco(tmp_path, "caption", "random")


def test_captions_need_what_people_said(tmp_path: Path) -> None:
    (coco(tmp_path) / "annotations" / "captions_val2014.json").unlink()
    with pytest.raises(DataError, match="captions_"):
        load_coco(tmp_path, "caption", "random")


TWO = "Is there a cup? Please answer yes or no.\tYes\nIs there a dog? Please answer yes or no.\tNo\n\n"


def test_mme_in_both_of_its_shapes(tmp_path: Path) -> None:
    for number in (1, 2):
        put(tmp_path, f"existence/{number:04d}.txt", TWO)
        put(tmp_path, f"artwork/questions_answers_YN/{number:04d}.txt", TWO)
        paint(tmp_path / "existence" / f"{number:04d}.jpg", (1, 2, 3))
        paint(tmp_path / "artwork" / "images" / f"{number:04d}.png", (1, 2, 3))
    (tmp_path / "eval_tool").mkdir()
    dataset = load_scenes(tmp_path)
    assert {(task.kind, task.image_id) for task in dataset} == {
        (name, f"{name}/{number:04d}") for name in ("existence", "artwork") for number in (1, 2)
    }
    assert len(dataset) == 8 and all(task.label == ("cup" in task.question) for task in dataset)
    assert all(isinstance(task.picture, Path) and task.picture.is_file() for task in dataset)
    assert all(task.suffix == "" for task in dataset)
    assert len(load_mme(tmp_path, 1)) == 4
    inner = tmp_path / "release" / "MME_Benchmark"
    put(inner, "count/a.txt", TWO)
    assert {task.kind for task in load_mme(tmp_path / "release")} == {"count"}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("existance", TWO, "Did you mean 'existence'"),
        ("count", "One?\tYes\n", "1 questions"),
        ("count", "One?\tYes\nTwo?\tPerhaps\n", "line 2"),
        ("count", "One? Yes\nTwo?\tNo\n", "line 1"),
        ("count", "\tYes\nTwo?\tNo\n", "line 1"),
        ("count", "One?\tYes\nOne?\tNo\n", "asked twice"),
    ],
)
def test_damaged_mme_folders_are_refused(tmp_path: Path, name: str, content: str, message: str) -> None:
    put(tmp_path, f"{name}/0001.txt", content)
    with pytest.raises(DataError, match=message):
        load_mme(tmp_path)


def test_a_folder_without_any_of_them_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="nothing that can be read"):
        load_scenes(tmp_path)


def test_pictures_are_read_as_rgb_whatever_their_mode(tmp_path: Path) -> None:
    for mode, shown in (("RGB", (200, 30, 40)), ("RGBA", (200, 30, 40)), ("L", (84, 84, 84))):
        paint(tmp_path / f"{mode}.png", (200, 30, 40) if mode != "L" else (84, 84, 84), mode=mode)
        image = read_picture(tmp_path / f"{mode}.png")
        assert image.shape == (4, 6, 3) and image.dtype == np.uint8 and image[0, 0].tolist() == list(shown)
        assert picture_size(tmp_path / f"{mode}.png") == (4, 6)


def test_damaged_pictures_are_refused(tmp_path: Path) -> None:
    put(tmp_path, "text.png", "no picture")
    paint(tmp_path / "cut.png", (1, 2, 3), size=(300, 300))
    whole = (tmp_path / "cut.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    for name in ("text.png", "cut.png", "none.png"):
        with pytest.raises(DataError, match=name):
            read_picture(tmp_path / name)


def test_without_pillow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paint(tmp_path / "a.png", (1, 2, 3))
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingDependencyError, match="vision"):
        read_picture(tmp_path / "a.png")
