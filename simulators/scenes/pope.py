"""Question files of POPE: a JSON object a line with question_id, image, text and label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from fogline.core.errors import ConfigurationError, DataError
from fogline.simulators.scenes.generated import ONE_WORD
from fogline.simulators.scenes.mentions import Vocabulary
from fogline.simulators.scenes.questions import object_of
from fogline.simulators.scenes.reading import by_id, field_of, find_picture, parsed_object, read_text, task_id_of
from fogline.simulators.scenes.records import SceneDataset, SceneTask

PATTERN = "*pope_*.json*"
_LABELS = {"yes": True, "no": False}


def is_pope(folder: Path) -> bool:
    """Whether a folder holds question files of POPE."""
    return any(folder.glob(PATTERN))


def load_pope(folder: Path, split: str, n_images: int | None = None) -> SceneDataset:
    """Read the questions of a split; pictures lie in the folder, or in ``images`` or ``val2014`` below it.

    Args:
        folder: With one file for each split, such as ``coco_pope_popular.json``.
        split: Of POPE.
        n_images: Only the first pictures; all where None.

    Raises:
        ConfigurationError: There is no file of the split.
        DataError: There are several, or one is not what its format promises.
    """
    files = sorted({*folder.glob(f"*pope_{split}.json"), *folder.glob(f"*pope_{split}.jsonl")})
    if not files:
        raise ConfigurationError(
            f"split={split!r}: {folder} holds {', '.join(sorted(path.name for path in folder.glob(PATTERN)))}: "
            f"expected a file such as 'coco_pope_{split}.json'."
        )
    if len(files) > 1:
        raise DataError(f"{folder}: {', '.join(path.name for path in files)}: expected one set of files in a folder.")
    tasks = list(_questions(folder, files[0], split))
    kept = set(list(dict.fromkeys(task.image_id for task in tasks))[:n_images])
    tasks = [task for task in tasks if task.image_id in kept]
    there = Counter(task.asked for task in tasks if task.label)
    popularity = {name: there[name] / len(kept) for name in sorted({task.asked for task in tasks} - {""})}
    return SceneDataset(folder.name, by_id(tasks, str(files[0])), Vocabulary(tuple(popularity)), popularity)


def _questions(folder: Path, file: Path, split: str) -> Iterator[SceneTask]:
    for number, line in enumerate(read_text(file).split("\n"), 1):
        if not line.strip():
            continue
        where = f"{file}, line {number}"
        entry = parsed_object(line, where)
        field_of(entry, "question_id", (int, str), where)
        image, text, label = (field_of(entry, name, (str,), where) for name in ("image", "text", "label"))
        if label.lower() not in _LABELS:
            raise DataError(f"{where}: label={label!r}: expected 'yes' or 'no'.")
        picture = find_picture(folder, image, where)
        yield SceneTask(
            task_id_of(image, text),
            image,
            picture,
            text,
            split,
            _LABELS[label.lower()],
            asked=object_of(text),
            suffix=ONE_WORD,
        )
