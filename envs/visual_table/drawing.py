"""A table with the places that a trace points at drawn into it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fogline.simulators.tables.records import Box, Step, Table
from fogline.simulators.tables.rendering import Picture

HOLDS, FAILS = (20, 140, 60), (200, 40, 40)
"""Colours of anchors that point at what is said, and of those that do not."""
_LINE = 2


def with_anchors(table: Table, picture: Picture, steps: Sequence[Step], valid: Sequence[bool]) -> NDArray[np.uint8]:
    """The picture with a frame around every place that a step points at; places beside the table are left out."""
    image = picture.image.copy()
    # What fails is drawn last: a cell that was read rightly and pointed at wrongly shows both.
    for wanted, colour in ((True, HOLDS), (False, FAILS)):
        for step, held in zip(steps, valid, strict=True):
            if held == wanted and step.anchor is not None:
                box = _box(table, picture, step)
                if box is not None:
                    _frame(image, box, colour)
    return image


def _box(table: Table, picture: Picture, step: Step) -> Box | None:
    if isinstance(step.anchor, Box):
        return step.anchor
    return picture.box(step.anchor) if step.anchor is not None and step.anchor in table else None


def _frame(image: NDArray[np.uint8], box: Box, colour: tuple[int, int, int]) -> None:
    left, top, right, bottom = box
    for rows, columns in (
        (slice(top, top + _LINE), slice(left, right)),
        (slice(max(bottom - _LINE, 0), bottom), slice(left, right)),
        (slice(top, bottom), slice(left, left + _LINE)),
        (slice(top, bottom), slice(max(right - _LINE, 0), right)),
    ):
        image[rows, columns] = colour
