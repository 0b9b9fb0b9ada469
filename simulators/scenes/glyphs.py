"""What objects look like: a colour and a shape of 8 by 8 pixels each."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

CELL = 8
"""Edge of a cell, and so of a shape, in pixels."""

# Twelve hues of equal distance, five steps apart from one to the next, so that neighbours in the list, which share a
# scene, are far from alike.
_COLOURS = {
    "red": (1.0, 0.0, 0.0),
    "mint": (0.0, 1.0, 0.5),
    "magenta": (1.0, 0.0, 1.0),
    "lime": (0.5, 1.0, 0.0),
    "blue": (0.0, 0.0, 1.0),
    "orange": (1.0, 0.5, 0.0),
    "cyan": (0.0, 1.0, 1.0),
    "rose": (1.0, 0.0, 0.5),
    "green": (0.0, 1.0, 0.0),
    "violet": (0.5, 0.0, 1.0),
    "yellow": (1.0, 1.0, 0.0),
    "azure": (0.0, 0.5, 1.0),
}

_SHAPES = {
    "square": "00000000 01111110 01111110 01111110 01111110 01111110 01111110 00000000",
    "cross": "00011000 00011000 00011000 11111111 11111111 00011000 00011000 00011000",
    "ring": "00111100 01111110 11100111 11000011 11000011 11100111 01111110 00111100",
    "triangle": "00011000 00011000 00111100 00111100 01111110 01111110 11111111 11111111",
    "disc": "00111100 01111110 11111111 11111111 11111111 11111111 01111110 00111100",
    "saltire": "11000011 11100111 01111110 00111100 00111100 01111110 11100111 11000011",
    "bar": "00000000 00000000 11111111 11111111 11111111 11111111 00000000 00000000",
    "frame": "11111111 11111111 11000011 11000011 11000011 11000011 11111111 11111111",
    "heart": "01100110 11111111 11111111 11111111 01111110 00111100 00011000 00000000",
    "post": "00111100 00111100 00111100 00111100 00111100 00111100 00111100 00111100",
    "moon": "00111100 01111000 11110000 11100000 11100000 11110000 01111000 00111100",
    "wedge": "10000000 11000000 11100000 11110000 11111000 11111100 11111110 11111111",
    "arrow": "00010000 00011000 11111100 11111110 11111110 11111100 00011000 00010000",
    "hourglass": "11111111 01111110 00111100 00011000 00011000 00111100 01111110 11111111",
    "diamond": "00011000 00111100 01111110 11111111 11111111 01111110 00111100 00011000",
    "chessboard": "11001100 11001100 00110011 00110011 11001100 11001100 00110011 00110011",
}

COLOURS: tuple[str, ...] = tuple(_COLOURS)
SHAPES: tuple[str, ...] = tuple(_SHAPES)


def shape_mask(name: str) -> NDArray[np.bool_]:
    """Ink of a shape: ``[8, 8]`` bool."""
    return np.array([[pixel == "1" for pixel in row] for row in _SHAPES[name].split()])


@lru_cache(maxsize=16)
def object_names(n_objects: int, n_colours: int) -> tuple[str, ...]:
    """Colour and shape of each object; no two have the same shape, and none the same colour until colours run out."""
    return tuple(f"{COLOURS[number % n_colours]} {SHAPES[number]}" for number in range(n_objects))


@lru_cache(maxsize=16)
def deviations(n_objects: int, n_colours: int, background: float) -> NDArray[np.float32]:
    """How far objects differ from the background at full contrast.

    Args:
        n_objects: K.
        n_colours: How many colours they share.
        background: Grey level in [0, 1].

    Returns:
        ``[K + 1, 8, 8, 3]`` float32, read only: a glyph less the background, which shows where a shape has no ink; the
        last is an empty cell, all 0.
    """
    made = np.zeros((n_objects + 1, CELL, CELL, 3), dtype=np.float32)
    for number in range(n_objects):
        made[number][shape_mask(SHAPES[number])] = np.array(_COLOURS[COLOURS[number % n_colours]]) - background
    made.flags.writeable = False
    return made
