from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from fogline.core.errors import ConfigurationError
from fogline.simulators.scenes.frequencies import frequencies
from fogline.simulators.scenes.glyphs import COLOURS, SHAPES, shape_mask
from fogline.simulators.scenes.sources import world_for
from fogline.simulators.scenes.worlds import ABSENT, CELLS, STRONG, SceneWorld, draw_scenes

DRAWN = 40_000


def test_objects_are_there_as_often_as_their_scene_says() -> None:
    world = SceneWorld()
    drawn = draw_scenes(np.random.default_rng(0), world, DRAWN)
    assert drawn.cells.shape == (DRAWN, 12)
    for scene in range(3):
        there = (drawn.cells[drawn.kinds == scene] != ABSENT).mean(axis=0).reshape(3, 4)
        np.testing.assert_allclose(there[scene], [0.9, 0.6, 0.4, 0.25], atol=0.02)
        np.testing.assert_allclose(np.delete(there, scene, axis=0), 0.03, atol=0.01)
    assert np.bincount(drawn.kinds).tolist() == pytest.approx([DRAWN / 3] * 3, rel=0.05)
    assert drawn.contrast.min() >= 0.1 and drawn.contrast.max() <= 0.3
    assert drawn.contrast.mean() == pytest.approx(0.2, abs=0.002)


def test_no_two_objects_share_a_cell_and_every_cell_is_used_alike() -> None:
    drawn = draw_scenes(np.random.default_rng(1), SceneWorld(scenes=4), DRAWN)
    used = np.zeros((DRAWN, CELLS), dtype=int)
    pictures, objects = np.nonzero(drawn.cells != ABSENT)
    np.add.at(used, (pictures, drawn.cells[pictures, objects]), 1)
    assert used.max() == 1
    np.testing.assert_allclose(used.mean(axis=0), used.mean(), rtol=0.05)


def test_pictures_without_a_scene_expect_as_many_objects_all_equally_likely() -> None:
    drawn = draw_scenes(np.random.default_rng(2), STRONG, DRAWN)
    free = drawn.kinds == ABSENT
    assert free.mean() == pytest.approx(0.5, abs=0.02)
    there = drawn.cells != ABSENT
    np.testing.assert_allclose(there[free].mean(axis=0), (0.9 + 0.6 + 0.4 + 0.25 + 8 * 0.03) / 12, atol=0.02)
    assert there[free].sum(axis=1).mean() == pytest.approx(there[~free].sum(axis=1).mean(), rel=0.02)


@pytest.mark.parametrize(
    "world", [SceneWorld(), STRONG, SceneWorld(scenes=2, presence=(0.8, 0.5, 0.5, 0.1), stray=0.2)]
)
def test_exact_frequencies_are_those_of_many_draws(world: SceneWorld) -> None:
    there = draw_scenes(np.random.default_rng(3), world, 8 * DRAWN).cells != ABSENT
    counts = there.sum(axis=1)
    kept = there[(counts >= 3) & (counts <= world.n_objects - 3)].astype(float)
    known = frequencies(world, 3)
    assert known.share == pytest.approx(len(kept) / len(there), abs=0.005)
    np.testing.assert_allclose(known.single, kept.mean(axis=0), atol=0.01)
    np.testing.assert_allclose(known.together, kept.T @ kept / len(kept), atol=0.01)


def test_a_world_that_is_never_asked_about_has_no_frequencies() -> None:
    known = frequencies(SceneWorld(presence=(0.0,) * 4, stray=0.0), 3)
    assert known.share == 0.0 and not known.together.any()


def test_names_are_unique_and_a_colour_tells_an_object_unless_shared() -> None:
    assert SceneWorld().names[:4] == ("red square", "mint cross", "magenta ring", "lime triangle")
    for colours in (1, 4, 12):
        names = SceneWorld(scenes=4, colours=colours).names
        assert len(set(names)) == 16 and len({name.split()[0] for name in names}) == colours
        assert len({name.split()[1] for name in names}) == 16


def test_no_two_shapes_are_nearly_alike() -> None:
    masks = {name: shape_mask(name) for name in SHAPES}
    assert all(mask.shape == (8, 8) and mask.sum() >= 24 for mask in masks.values())
    assert min((masks[one] ^ masks[other]).sum() for one, other in combinations(SHAPES, 2)) >= 8
    assert len(COLOURS) == 12


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scenes": 0}, "scenes=0"),
        ({"scenes": True}, "scenes=True"),
        ({"scenes": 5}, "make 20 objects"),
        ({"scenes": 1}, "make 4 objects"),
        ({"presence": [0.9, 1.6, 0.4, 0.25]}, "presence"),
        ({"presence": 0.9}, "presence"),
        ({"stray": -0.1}, "stray"),
        ({"scene_free": 2}, "scene_free"),
        ({"noise": float("nan")}, "noise"),
        ({"background": "grey"}, "background"),
        ({"contrast": [0.3, 0.1]}, "contrast"),
        ({"contrast": [0.1, 0.2, 0.3]}, "contrast"),
        ({"contrast": 0.3}, "contrast"),
        ({"colours": 13}, "colours"),
        ({"colour": 3}, "Did you mean 'colours'"),
    ],
)
def test_worlds_that_no_picture_has_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        world_for(settings)


def test_a_world_is_what_its_settings_say_and_what_is_no_world_is_refused() -> None:
    assert world_for({"contrast": [0.2, 0.4]}) == SceneWorld(contrast=(0.2, 0.4))
    assert world_for(STRONG) is STRONG
    with pytest.raises(ConfigurationError, match="world="):
        world_for("strong")  # type: ignore[arg-type]
