"""How often objects are there, and how often together: worked out exactly, from every set of objects that can be."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fogline.simulators.scenes.worlds import SceneWorld


class Frequencies(NamedTuple):
    """Of pictures with enough objects, and enough others, to ask about.

    Attributes:
        share: Chance of such a picture.
        single: ``[K]`` float64, chance that an object is in it.
        together: ``[K, K]`` float64, chance that both are in it; the diagonal is ``single``.
    """

    share: float
    single: NDArray[np.float64]
    together: NDArray[np.float64]


@lru_cache(maxsize=16)
def frequencies(world: SceneWorld, least: int) -> Frequencies:
    """Frequencies among pictures with at least ``least`` objects and at least as many that are not there."""
    n_objects = world.n_objects
    sets = (np.arange(2**n_objects)[:, None] >> np.arange(n_objects)) & 1
    weights = np.array([*[(1 - world.scene_free) / world.scenes] * world.scenes, world.scene_free])
    chance = np.zeros(len(sets))
    for weight, row in zip(weights, world.chances(), strict=True):
        chance += weight * np.where(sets, row, 1 - row).prod(axis=1)
    counts = sets.sum(axis=1)
    chance[(counts < least) | (counts > n_objects - least)] = 0.0
    share = float(chance.sum())
    if share == 0.0:
        return Frequencies(0.0, np.zeros(n_objects), np.zeros((n_objects, n_objects)))
    together = (sets * chance[:, None]).T @ sets / share
    return Frequencies(share, together.diagonal().copy(), together)
