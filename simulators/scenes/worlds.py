"""The world of scenes: which objects go together, how often, and how faintly they are seen (PND specification 7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fogline.core.errors import ConfigurationError
from fogline.simulators.scenes.glyphs import COLOURS, SHAPES, object_names

GRID = 4
"""Cells on an edge of a picture."""
CELLS = GRID * GRID
ABSENT = -1
"""Cell of an object that is not there, and scene of a picture without one."""
FEWEST_OBJECTS = 6
"""A picture is asked about three objects that are there and three that are not."""


def _is_share(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def _is_range(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and all(map(_is_share, value)) and value[0] <= value[1]


@dataclass(frozen=True)
class SceneWorld:
    """What pictures are drawn from.

    Attributes:
        scenes: How many kinds of scene there are; each has objects of its own.
        presence: Chance that each of a scene's objects is there, most frequent first: scenes times these is the number
            of objects, K, from 6 to 16.
        stray: Chance of an object that belongs to another scene.
        scene_free: Chance of a picture without a scene, where every object is equally likely and as many are expected.
        contrast: Least and greatest contrast of a picture, in [0, 1].
        noise: Standard deviation of Gaussian pixel noise, where white is 1.
        background: Grey level in [0, 1].
        colours: How many colours the objects share, 1 to 12; with as many as objects, a colour tells an object.

    Raises:
        ConfigurationError: A setting that no picture can have.
    """

    scenes: int = 3
    presence: tuple[float, ...] = (0.9, 0.6, 0.4, 0.25)
    stray: float = 0.03
    scene_free: float = 0.0
    contrast: tuple[float, float] = (0.1, 0.3)
    noise: float = 0.02
    background: float = 0.25
    colours: int = len(COLOURS)

    def __post_init__(self) -> None:
        if type(self.scenes) is not int or self.scenes < 1:
            raise ConfigurationError(f"scenes={self.scenes!r}: expected a whole number of at least 1.")
        if not isinstance(self.presence, tuple) or not all(map(_is_share, self.presence)):
            raise ConfigurationError(
                f"presence={self.presence!r}: expected chances, from 0 to 1, of a scene's objects."
            )
        if not FEWEST_OBJECTS <= self.n_objects <= len(SHAPES):
            raise ConfigurationError(
                f"scenes={self.scenes} with presence={self.presence} make {self.n_objects} objects: expected "
                f"{FEWEST_OBJECTS} to {len(SHAPES)}."
            )
        for name in ("stray", "scene_free", "noise", "background"):
            if not _is_share(getattr(self, name)):
                raise ConfigurationError(f"{name}={getattr(self, name)!r}: expected a number from 0 to 1.")
        if not _is_range(self.contrast):
            raise ConfigurationError(f"contrast={self.contrast!r}: expected least and greatest, from 0 to 1.")
        if type(self.colours) is not int or not 1 <= self.colours <= len(COLOURS):
            raise ConfigurationError(f"colours={self.colours!r}: expected a whole number from 1 to {len(COLOURS)}.")

    @property
    def n_objects(self) -> int:
        """K."""
        return self.scenes * len(self.presence)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the objects, in the fixed order of captions: scene by scene, most frequent first."""
        return object_names(self.n_objects, self.colours)

    def chances(self) -> NDArray[np.float64]:
        """Chance of every object: ``[scenes + 1, K]``, a row for each scene and the last for pictures without one."""
        per_scene = len(self.presence)
        table = np.full((self.scenes + 1, self.n_objects), self.stray)
        for scene in range(self.scenes):
            table[scene, scene * per_scene : (scene + 1) * per_scene] = self.presence
        table[-1] = table[:-1].mean()
        return table


STRONG = SceneWorld(contrast=(0.35, 1.0), noise=0.06, scene_free=0.5)
"""What a model learns to see from (specification 7.1, phase A); the default world is what it is tested on (7.2)."""


class Scenes(NamedTuple):
    """Pictures, before they are rendered.

    Attributes:
        kinds: ``[N]`` int64, scene of each; -1 without one.
        cells: ``[N, K]`` int64, cell of each object, row by row from 0 to 15; -1 where it is not there.
        contrast: ``[N]`` float64.
    """

    kinds: NDArray[np.int64]
    cells: NDArray[np.int64]
    contrast: NDArray[np.float64]


class Scene(NamedTuple):
    """One picture's ground truth.

    Attributes:
        number: Of the picture.
        kind: Scene; -1 without one.
        cells: Cell of each of the K objects; -1 where it is not there.
        contrast: Of all its objects.
    """

    number: int
    kind: int
    cells: tuple[int, ...]
    contrast: float

    @property
    def present(self) -> tuple[int, ...]:
        """Numbers of the objects that are there, in order."""
        return tuple(number for number, cell in enumerate(self.cells) if cell != ABSENT)


def draw_scenes(rng: np.random.Generator, world: SceneWorld, n_scenes: int) -> Scenes:
    """Draw pictures: a scene, its objects, a cell for each, one contrast for all.

    Args:
        rng: Decides everything.
        world: What is drawn from.
        n_scenes: N.
    """
    kinds = rng.integers(world.scenes, size=n_scenes)
    kinds[rng.random(n_scenes) < world.scene_free] = ABSENT
    # The last row is that of pictures without a scene, which -1 points at.
    there = rng.random((n_scenes, world.n_objects)) < world.chances()[kinds]
    places = rng.random((n_scenes, CELLS)).argsort(axis=1)[:, : world.n_objects]
    contrast = rng.uniform(*world.contrast, size=n_scenes)
    return Scenes(kinds, np.where(there, places, ABSENT), contrast)
