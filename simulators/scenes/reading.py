"""Files of published sets: text, JSON, pictures, and ids that say nothing of the answer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fogline.core.errors import DataError, missing_dependency
from fogline.simulators.scenes.records import SceneTask

PICTURE_FOLDERS = (".", "images", "val2014", "train2014", "val2017", "train2017", "image")
"""Where pictures are looked for, below the folder of the set."""
_LONGEST_NAME = 200


def read_text(path: Path) -> str:
    """Text of a file.

    Raises:
        DataError: It cannot be read, or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: it could not be read ({error}).") from error


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object that a file holds.

    Raises:
        DataError: It holds none.
    """
    return parsed_object(read_text(path), str(path))


def parsed_object(text: str, where: str) -> dict[str, Any]:
    """A JSON object.

    Raises:
        DataError: The text is none.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: it is no JSON ({error}).") from error
    if not isinstance(found, dict):
        raise DataError(f"{where}: expected an object, not {type(found).__name__}.")
    return found


def field_of(entry: Any, name: str, kinds: tuple[type, ...], where: str) -> Any:
    """A field of a record, of one of some types.

    Raises:
        DataError: The record has no such field, or it is of another type.
    """
    value = entry.get(name) if isinstance(entry, Mapping) else None
    if not isinstance(value, kinds) or isinstance(value, bool):
        expected = " or ".join(kind.__name__ for kind in kinds)
        raise DataError(f"{where}: {name}={value!r}: expected {expected}.")
    return value


def find_picture(folder: Path, name: str, where: str) -> Path | None:
    """The file of a picture in a folder or one of its usual subfolders; None where it is not there.

    Raises:
        DataError: The name leads out of the folder, or no file can have it.
    """
    relative = PurePosixPath(name)
    leads_out = relative.is_absolute() or ".." in relative.parts or not relative.parts
    if leads_out or "\0" in name or len(name.encode(errors="replace")) > _LONGEST_NAME:
        raise DataError(f"{where}: image {name[:80]!r}: expected the name of a file in the folder.")
    return next((path for place in PICTURE_FOLDERS if (path := folder / place / relative).is_file()), None)


def task_id_of(image_id: str, question: str) -> str:
    """Id of a published question.

    Published numbers alternate with the answers; a digest tells nothing.
    """
    stem = PurePosixPath(image_id).with_suffix("").as_posix()
    return f"{stem}-{hashlib.sha256(f'{image_id}|{question}'.encode(errors='replace')).hexdigest()[:8]}"


def by_id(tasks: Iterable[SceneTask], where: str) -> dict[str, SceneTask]:
    """Tasks by id: pictures in their order, the questions of each in the order of their ids.

    Raises:
        DataError: A question is asked twice, or there is none.
    """
    pictures: dict[str, dict[str, SceneTask]] = {}
    for task in tasks:
        asked = pictures.setdefault(task.image_id, {})
        if task.task_id in asked:
            raise DataError(f"{where}: {task.question!r} is asked twice of {task.image_id!r}: expected it once.")
        asked[task.task_id] = task
    if not pictures:
        raise DataError(f"{where}: no question: expected one at least.")
    return {task_id: asked[task_id] for asked in pictures.values() for task_id in sorted(asked)}


def read_picture(path: Path) -> NDArray[np.uint8]:
    """A picture as ``[H, W, 3]`` uint8, RGB.

    Raises:
        DataError: The file holds none that can be read.
        MissingDependencyError: Pillow is not installed.
    """
    with _opened(path) as image:
        try:
            return np.array(image.convert("RGB"), dtype=np.uint8)
        except (OSError, ValueError, SyntaxError) as error:
            raise DataError(f"{path}: the picture is damaged ({error}).") from error


def picture_size(path: Path) -> tuple[int, int]:
    """Height and width of a picture in pixels, from its file's header.

    Raises:
        DataError: The file holds no picture.
        MissingDependencyError: Pillow is not installed.
    """
    with _opened(path) as image:
        return int(image.height), int(image.width)


def _opened(path: Path) -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise missing_dependency("Pillow", "vision") from error
    try:
        return Image.open(path)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: no picture could be read from it ({error}).") from error
