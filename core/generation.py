"""Generated tasks: made from their ids when they are asked for, and split by what they say."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeVar

TaskT = TypeVar("TaskT")

SPLITS: Mapping[str, tuple[int, ...]] = {
    "train": tuple(range(8)),
    "validation": (8,),
    "test": (9,),
    "all": tuple(range(10)),
}
"""Last digits of the tasks of a split. The digit is decided by what a task says, so splits share no task."""


def bucket(content: str) -> int:
    """The digit, 0 to 9, that decides a task's split."""
    return int.from_bytes(hashlib.sha256(content.encode()).digest()[:4], "big") % 10


def indices(split: str) -> Iterator[int]:
    """Indices whose last digit belongs to a split, without end."""
    digits = SPLITS[split]
    return (index for index in itertools.count() if index % 10 in digits)


class MadeOnDemand(Mapping[str, TaskT], Generic[TaskT]):
    """Tasks by id, each made once, when it is asked for.

    Args:
        ids: Ids that exist.
        make: From an id to its task.
    """

    def __init__(self, ids: tuple[str, ...], make: Callable[[str], TaskT]) -> None:
        self._ids = dict.fromkeys(ids)
        self._make = make
        self._made: dict[str, TaskT] = {}

    def __getitem__(self, task_id: str) -> TaskT:
        task = self._made.get(task_id)
        if task is None:
            if task_id not in self._ids:
                raise KeyError(task_id)
            task = self._made[task_id] = self._make(task_id)
        return task

    def __iter__(self) -> Iterator[str]:
        return iter(self._ids)

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, task_id: Any) -> bool:
        return task_id in self._ids
