"""The folders of MME: one for each subtask, with a text file of two questions for each picture.

A line is a question, a tab and Yes or No. Pictures lie beside the files, or in ``images`` where the files are in
``questions_answers_YN``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from fogline.core.errors import DataError, suggestion
from fogline.simulators.scenes.mentions import Vocabulary
from fogline.simulators.scenes.reading import by_id, read_text, task_id_of
from fogline.simulators.scenes.records import SceneDataset, SceneTask

HALLUCINATION = ("existence", "count", "position", "color")
"""Subtasks of the hallucination subset."""
PERCEPTION = (*HALLUCINATION, "posters", "celebrity", "scene", "landmark", "artwork", "OCR")
COGNITION = ("commonsense_reasoning", "numerical_calculation", "text_translation", "code_reasoning")
SUBTASKS = (*PERCEPTION, *COGNITION)
QUESTIONS_PER_IMAGE = 2

_QUESTIONS, _IMAGES, _INNER = "questions_answers_YN", "images", "MME_Benchmark"
_SUFFIXES = (".jpg", ".png", ".jpeg", ".bmp")
_LABELS = {"yes": True, "no": False}


def is_mme(folder: Path) -> bool:
    """Whether a folder holds subtasks of MME."""
    return bool(_subtasks(folder))


def load_mme(folder: Path, n_images: int | None = None) -> SceneDataset:
    """Read every subtask that the folder holds.

    Args:
        folder: With a folder for each subtask, or the release around it.
        n_images: Only the first pictures of each subtask; all where None.

    Raises:
        DataError: An unknown subtask, or a file that does not hold two questions with their answers.
    """
    tasks = []
    for name, files in _subtasks(folder).items():
        if name not in SUBTASKS:
            raise DataError(
                f"{folder}: subtask {name!r}: expected one of {', '.join(SUBTASKS)}.{suggestion(name, SUBTASKS)}"
            )
        for file in files[:n_images]:
            tasks += list(_questions(file, name))
    return SceneDataset(folder.name, by_id(tasks, str(folder)), Vocabulary(()))


def _subtasks(folder: Path) -> Mapping[str, list[Path]]:
    """Question files by subtask."""
    root = folder / _INNER if (folder / _INNER).is_dir() else folder
    found = {}
    for place in sorted(root.iterdir()):
        if place.is_dir():
            inner = place / _QUESTIONS
            files = sorted((inner if inner.is_dir() else place).glob("*.txt"))
            if files:
                found[place.name] = files
    return found


def _questions(file: Path, subtask: str) -> Iterator[SceneTask]:
    lines = [line for line in read_text(file).split("\n") if line.strip()]
    if len(lines) != QUESTIONS_PER_IMAGE:
        raise DataError(f"{file}: {len(lines)} questions: expected {QUESTIONS_PER_IMAGE}.")
    place = file.parent.parent / _IMAGES if file.parent.name == _QUESTIONS else file.parent
    picture = next((path for suffix in _SUFFIXES if (path := place / f"{file.stem}{suffix}").is_file()), None)
    image_id = f"{subtask}/{file.stem}"
    for number, line in enumerate(lines, 1):
        question, _, answer = (part.strip() for part in line.rpartition("\t"))
        if not question or answer.lower() not in _LABELS:
            raise DataError(f"{file}, line {number}: {line!r}: expected a question, a tab and Yes or No.")
        yield SceneTask(task_id_of(image_id, question), image_id, picture, question, subtask, _LABELS[answer.lower()])
