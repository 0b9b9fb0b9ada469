"""Annotations of COCO: what CHAIR reads captions against, and what POPE's questions are built from.

The objects of a picture are those of its instances and those that people's captions mention; synonyms stand for one
object (https://github.com/LALBJ/PAI, ``chair.py``). Words are reduced to their singular by rule, not by a dictionary.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fogline.core.errors import DataError
from fogline.simulators.scenes.generated import DESCRIBE, ONE_WORD
from fogline.simulators.scenes.mentions import Vocabulary
from fogline.simulators.scenes.questions import (
    PAIRS,
    POPE_SPLITS,
    Ranking,
    ask,
    counted,
    draw_positives,
    rank,
    wording,
)
from fogline.simulators.scenes.reading import by_id, field_of, find_picture, read_object, read_text, task_id_of
from fogline.simulators.scenes.records import CAPTION, SceneDataset, SceneTask

SYNONYMS = "synonyms.txt"
_PLACES = (".", "annotations")
_ANIMALS = ("bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe", "animal", "cub")
_VEHICLES = ("jet", "train")


def is_coco(folder: Path) -> bool:
    """Whether a folder holds annotations of COCO."""
    return bool(_files(folder, "instances_*.json"))


def load_coco(folder: Path, task: str, split: str, n_images: int | None = None) -> SceneDataset:
    """Read instances, and of captions also ``captions_*.json`` and ``synonyms.txt``, here or under ``annotations``.

    Args:
        folder: With the annotations; pictures lie in it, or in ``images``, ``val2014`` and the like below it.
        task: ``caption``, or ``presence``: questions that are built from the instances.
        split: Of POPE.
        n_images: Only so many pictures, a sample that the names decide; all where None. POPE asks about pictures with
            three objects at least.

    Raises:
        DataError: A file is missing or not what its format promises, or leaves no question.
    """
    synonyms = _files(folder, SYNONYMS)
    instances = _instances(folder)
    vocabulary = coco_vocabulary(synonyms[0]) if synonyms else Vocabulary(instances.names)
    seen = {image: _known(vocabulary, found, folder) for image, found in instances.objects.items()}
    if task == CAPTION:
        if not synonyms:
            raise DataError(f"{folder}: no {SYNONYMS}: expected a line for each object, its names separated by commas.")
        for image, spoken in _captions(folder, vocabulary):
            seen.setdefault(image, set()).update(spoken)
    present = {
        image: tuple(name for name in vocabulary.objects if name in seen.get(image, ()))
        for image in _sampled(instances.files)
        if task == CAPTION or len(seen.get(image, ())) >= PAIRS
    }
    kept = {instances.files[image]: objects for image, objects in list(present.items())[:n_images]}
    single, together = counted(vocabulary.objects, kept.values())
    popularity = dict(zip(vocabulary.objects, (single / max(len(kept), 1)).tolist(), strict=True))
    if task == CAPTION:
        tasks = [_described(folder, image, objects) for image, objects in kept.items()]
    else:
        ranking = rank(vocabulary.objects, single, together)
        tasks = [
            asked
            for number, (image, objects) in enumerate(kept.items())
            for asked in _asked(folder, image, objects, split, ranking, number)
        ]
    return SceneDataset(folder.name, by_id(tasks, str(folder)), vocabulary, popularity)


def coco_vocabulary(path: Path) -> Vocabulary:
    """Objects and synonyms of a file with a line for each object, and CHAIR's rules for what several words mean.

    Raises:
        DataError: The file names no object.
    """
    objects: list[str] = []
    synonyms: dict[str, str] = {}
    for line in read_text(path).splitlines():
        names = [" ".join(name.split()) for name in line.split(",") if name.strip()]
        if names:
            objects.append(names[0])
            # Of a name on two lines the last one counts, as in CHAIR.
            synonyms.update(dict.fromkeys(names, names[0]))
    if not objects:
        raise DataError(f"{path}: no object: expected a line for each, its names separated by commas.")
    phrases: dict[str, str | None] = {"toilet seat": synonyms.get("toilet"), "home plate": None, "train track": None}
    for animal in _ANIMALS:
        phrases |= {f"{age} {animal}": synonyms.get(animal) for age in ("baby", "adult")}
    phrases |= {f"passenger {vehicle}": synonyms.get(vehicle) for vehicle in _VEHICLES}
    return Vocabulary(tuple(dict.fromkeys(objects)), synonyms, phrases, {"seat": "toilet"})


# Annotations


class _Instances(NamedTuple):
    """Names of the categories, file names by id of the picture, and categories in each picture."""

    names: tuple[str, ...]
    files: dict[int, str]
    objects: dict[int, set[str]]


def _instances(folder: Path) -> _Instances:
    names: dict[int, str] = {}
    found = _Instances((), {}, {})
    for file in _files(folder, "instances_*.json"):
        content = read_object(file)
        for category in field_of(content, "categories", (list,), str(file)):
            where = f"{file}, categories"
            names[field_of(category, "id", (int,), where)] = field_of(category, "name", (str,), where)
        found.files.update(_pictures(content, str(file)))
        for annotation in field_of(content, "annotations", (list,), str(file)):
            where = f"{file}, annotations"
            image, category = (field_of(annotation, name, (int,), where) for name in ("image_id", "category_id"))
            if category not in names or image not in found.files:
                raise DataError(f"{where}: image {image}, category {category}: expected ones that the file lists.")
            found.objects.setdefault(image, set()).add(names[category])
    return found._replace(names=tuple(dict.fromkeys(names.values())))


def _pictures(content: Mapping[str, Any], where: str) -> dict[int, str]:
    entries = field_of(content, "images", (list,), where)
    where = f"{where}, images"
    return {field_of(entry, "id", (int,), where): field_of(entry, "file_name", (str,), where) for entry in entries}


def _captions(folder: Path, vocabulary: Vocabulary) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Pictures and what a caption of each mentions."""
    files = _files(folder, "captions_*.json")
    if not files:
        raise DataError(f"{folder}: no captions_*.json: CHAIR counts what people's captions mention as there.")
    for file in files:
        for annotation in field_of(read_object(file), "annotations", (list,), str(file)):
            where = f"{file}, annotations"
            image = field_of(annotation, "image_id", (int,), where)
            yield image, vocabulary.mentions(field_of(annotation, "caption", (str,), where))


def _known(vocabulary: Vocabulary, categories: set[str], folder: Path) -> set[str]:
    """Objects of the vocabulary that categories stand for."""
    called = {name: vocabulary.synonyms.get(name, name) for name in categories}
    for name, meant in called.items():
        if meant not in vocabulary.objects:
            raise DataError(
                f"{folder}: category {name!r} is in no line of {SYNONYMS}: expected it as one of the names."
            )
    return set(called.values())


def _files(folder: Path, pattern: str) -> list[Path]:
    return [path for place in _PLACES for path in sorted((folder / place).glob(pattern))]


# Questions


def _sampled(files: Mapping[int, str]) -> list[int]:
    """Pictures in an order of no meaning, of which the first few are a sample."""
    return sorted(files, key=lambda image: hashlib.sha256(files[image].encode(errors="replace")).hexdigest())


def _described(folder: Path, image: str, objects: tuple[str, ...]) -> SceneTask:
    picture = find_picture(folder, image, str(folder))
    return SceneTask(task_id_of(image, DESCRIBE), image, picture, DESCRIBE, CAPTION, None, objects)


def _asked(
    folder: Path, image: str, objects: tuple[str, ...], split: str, ranking: Ranking, number: int
) -> Iterator[SceneTask]:
    picture = find_picture(folder, image, str(folder))
    # The three splits share the questions whose answer is yes.
    positives = draw_positives(np.random.default_rng([number, 1]), objects)
    rng = np.random.default_rng([number, 2 + POPE_SPLITS.index(split)])
    for name, label in ask(rng, objects, split, ranking, positives):
        question = wording(name)
        task_id = task_id_of(image, question)
        yield SceneTask(task_id, image, picture, question, split, label, objects, name, f"is {name}", ONE_WORD)
