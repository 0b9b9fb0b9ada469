from __future__ import annotations

from time import perf_counter
from typing import Any

import numpy as np
import pytest

from fogline.core.errors import ConfigurationError
from fogline.simulators.scenes.generated import make_scene
from fogline.simulators.scenes.glyphs import deviations, shape_mask
from fogline.simulators.scenes.rendering import SIZE, box_of, boxes, render, saliency
from fogline.simulators.scenes.worlds import ABSENT, CELLS, STRONG, SceneWorld, draw_scenes
from fogline.simulators.tables.records import Box

CLEAR = SceneWorld(noise=0.0)


def test_an_object_is_the_background_and_its_contrast_times_what_differs() -> None:
    cells = np.full((1, 12), ABSENT)
    cells[0, 0], cells[0, 8] = 6, 15
    image = render(np.random.default_rng(0), CLEAR, cells, [0.4])[0]
    box = box_of(6)
    assert box == Box(16, 8, 24, 16)
    tile = image[box.top : box.bottom, box.left : box.right]
    grey = round(0.25 * 255)
    red = [round((0.25 + 0.4 * (level - 0.25)) * 255) for level in (1.0, 0.0, 0.0)]
    assert (tile[shape_mask("square")] == red).all() and (tile[~shape_mask("square")] == grey).all()
    image[box.top : box.bottom, box.left : box.right] = grey
    assert (image[:24] == grey).all() and (image[:, :24] == grey).all()


def test_noise_is_gaussian_in_levels_of_white_and_contrast_scales_alone_what_is_drawn() -> None:
    world = SceneWorld(noise=0.06)
    empty = np.full((200, 12), ABSENT)
    levels = render(np.random.default_rng(0), world, empty, np.full(200, 0.3)) / 255
    assert levels.std() == pytest.approx(0.06, rel=0.01) and levels.mean() == pytest.approx(0.25, abs=1e-3)
    drawn = draw_scenes(np.random.default_rng(1), CLEAR, 50)
    whole = render(np.random.default_rng(0), CLEAR, drawn.cells, np.full(50, 0.8)).astype(int) - 64
    half = render(np.random.default_rng(0), CLEAR, drawn.cells, np.full(50, 0.4)).astype(int) - 64
    assert abs(whole - 2 * half).max() <= 2


def test_the_same_draws_give_the_same_pixels_alone_and_together() -> None:
    drawn = draw_scenes(np.random.default_rng(5), STRONG, 8)
    one, other = (render(np.random.default_rng(6), STRONG, drawn.cells, drawn.contrast) for _ in range(2))
    np.testing.assert_array_equal(one, other)
    rng = np.random.default_rng(6)
    alone = [render(rng, STRONG, drawn.cells[row : row + 1], drawn.contrast[row : row + 1]) for row in range(8)]
    np.testing.assert_array_equal(one, np.concatenate(alone))
    assert one.dtype == np.uint8 and one.shape == (8, SIZE, SIZE, 3)


def test_every_object_can_be_told_from_its_pixels() -> None:
    world = SceneWorld(noise=0.0, scenes=4, colours=3, contrast=(0.1, 1.0))
    bank = deviations(world.n_objects, world.colours, world.background)
    drawn = draw_scenes(np.random.default_rng(7), world, 40)
    images = render(np.random.default_rng(0), world, drawn.cells, drawn.contrast) / 255 - world.background
    for image, cells, contrast in zip(images, drawn.cells, drawn.contrast, strict=True):
        for cell in range(CELLS):
            left, top, right, bottom = box_of(cell)
            distance = abs(image[top:bottom, left:right] - contrast * bank).sum(axis=(1, 2, 3))
            held = np.flatnonzero(cells == cell)
            assert int(distance.argmin()) == (held[0] if len(held) else world.n_objects)


def test_the_oracle_map_covers_exactly_the_cells_of_the_objects() -> None:
    drawn = draw_scenes(np.random.default_rng(8), CLEAR, 60)
    images = render(np.random.default_rng(0), CLEAR, drawn.cells, np.ones(60))
    every = saliency(drawn.cells)
    assert every.shape == (60, 32, 32) and every.dtype == np.float32
    for number in range(12):
        maps = saliency(drawn.cells, np.full(60, number))
        for row in range(60):
            wanted = np.zeros((32, 32))
            cell = int(drawn.cells[row, number])
            if cell != ABSENT:
                box = box_of(cell)
                wanted[box.top : box.bottom, box.left : box.right] = 1
            np.testing.assert_array_equal(maps[row], wanted)
    np.testing.assert_array_equal(every, sum(saliency(drawn.cells, np.full(60, number)) for number in range(12)))
    differs = (images != 64).any(axis=-1)
    assert (every[differs] == 1).all()


def test_boxes_name_what_is_there() -> None:
    world = SceneWorld()
    scene = make_scene(world, 3)
    found = boxes(world, scene)
    assert list(found) == [world.names[number] for number in scene.present]
    whole = saliency([scene.cells])[0]
    for box in found.values():
        assert (whole[box.top : box.bottom, box.left : box.right] == 1).all()
    assert whole.sum() == 64 * len(found)


@pytest.mark.parametrize("cells", [np.full((2, 11), -1), np.full(12, -1), np.full((1, 12), 16), np.full((1, 12), -2)])
def test_cells_that_are_no_places_are_refused(cells: Any) -> None:
    with pytest.raises(ConfigurationError, match="cells"):
        render(np.random.default_rng(0), CLEAR, cells, np.ones(len(cells)))


def test_pictures_a_second_on_one_core(record_property: Any) -> None:
    drawn = draw_scenes(np.random.default_rng(0), STRONG, 64)
    rng = np.random.default_rng(1)
    rendered, start = 0, perf_counter()
    while perf_counter() - start < 0.5:
        rendered += len(render(rng, STRONG, drawn.cells, drawn.contrast))
    record_property("pictures_per_second", round(rendered / (perf_counter() - start)))
    assert rendered
