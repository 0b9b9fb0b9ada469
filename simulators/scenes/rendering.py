"""Pictures of scenes, many at once, with the box of every object and the map of where to look."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fogline.core.errors import ConfigurationError
from fogline.simulators.scenes.glyphs import CELL, deviations
from fogline.simulators.scenes.worlds import ABSENT, CELLS, GRID, Scene, SceneWorld
from fogline.simulators.tables.records import Box

SIZE = GRID * CELL
"""Edge of a picture, in pixels."""


def render(rng: np.random.Generator, world: SceneWorld, cells: ArrayLike, contrast: ArrayLike) -> NDArray[np.uint8]:
    """Draw pictures: background + contrast · (glyph − background) + noise, cut to what a byte holds.

    Args:
        rng: Decides the noise.
        world: Its objects, background and noise.
        cells: ``[N, K]`` integers, cell of each object, -1 where it is not there.
        contrast: ``[N]``, in [0, 1].

    Returns:
        ``[N, 32, 32, 3]`` uint8, RGB.

    Raises:
        ConfigurationError: Cells that are no places of the world's objects.
    """
    content = _content(world, np.asarray(cells))
    tiles = deviations(world.n_objects, world.colours, world.background)[content]
    tiles *= np.asarray(contrast, dtype=np.float32)[:, None, None, None, None]
    image = tiles.reshape(-1, GRID, GRID, CELL, CELL, 3).swapaxes(2, 3).reshape(-1, SIZE, SIZE, 3)
    if world.noise:
        noise = rng.standard_normal(image.shape, dtype=np.float32)
        noise *= world.noise
        image += noise
    # From here on in levels of a byte, in place: the sum is what rounding and cutting are done to.
    image += world.background
    image *= 255
    np.rint(image, out=image)
    np.clip(image, 0, 255, out=image)
    return image.astype(np.uint8)


def box_of(cell: int) -> Box:
    """Pixels of a cell."""
    row, column = divmod(cell, GRID)
    return Box(column * CELL, row * CELL, (column + 1) * CELL, (row + 1) * CELL)


def boxes(world: SceneWorld, scene: Scene) -> dict[str, Box]:
    """Where each object of a scene is, by name."""
    return {world.names[number]: box_of(scene.cells[number]) for number in scene.present}


def saliency(cells: ArrayLike, objects: ArrayLike | None = None) -> NDArray[np.float32]:
    """Where the evidence is: 1 in an object's cell, 0 elsewhere.

    Args:
        cells: ``[N, K]`` integers, cell of each object, -1 where it is not there.
        objects: ``[N]`` integers, the object that is asked about in each picture; all objects where None.

    Returns:
        ``[N, 32, 32]`` float32; all 0 where there is nothing to see.
    """
    places = np.asarray(cells)
    if objects is not None:
        places = np.take_along_axis(places, np.asarray(objects)[:, None], axis=1)
    marked = np.zeros((len(places), CELLS), dtype=np.float32)
    rows, columns = np.nonzero(places != ABSENT)
    marked[rows, places[rows, columns]] = 1.0
    return marked.reshape(-1, GRID, GRID).repeat(CELL, axis=1).repeat(CELL, axis=2)


def _content(world: SceneWorld, cells: NDArray[np.int64]) -> NDArray[np.int64]:
    """Which object is in each cell, ``[N, 16]``; K where it is empty."""
    if cells.ndim != 2 or cells.shape[1] != world.n_objects:
        raise ConfigurationError(f"cells of shape {cells.shape}: expected [N, {world.n_objects}].")
    pictures, objects = np.nonzero(cells != ABSENT)
    places = cells[pictures, objects]
    if len(places) and not 0 <= places.min() <= places.max() < CELLS:
        raise ConfigurationError(f"cells from {places.min()} to {places.max()}: expected -1 (absent) to {CELLS - 1}.")
    content = np.full((len(cells), CELLS), world.n_objects)
    content[pictures, places] = objects
    return content
