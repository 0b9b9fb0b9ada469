from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fogline.core.errors import ConfigurationError, DataError, MissingDependencyError
from fogline.simulators.tables.files import BUNDLED, load_folder
from fogline.simulators.tables.glyphs import CHARACTERS, HEIGHT, written
from fogline.simulators.tables.records import Box, Cell, Style, Table
from fogline.simulators.tables.rendering import CELL, PATCH, Picture, on_canvas, picture_size, render
from fogline.simulators.tables.sources import load_tables, world_for
from fogline.simulators.tables.worlds import largest_table

LETTERS = [*"ABCDEFGHIJKLMNOPQRSTUVWXYZ", *map(str, range(100))]


def pictures(size: str) -> list[tuple[Table, Picture]]:
    tables = [task.table for task in load_tables(size=size, level=[1, 3], tasks_per_level=25)]
    if size == "pretty":
        tables += list({id(task.table): task.table for task in load_folder(BUNDLED)}.values())[:10]
    return [(table, render(table, size)) for table in tables]  # type: ignore[arg-type]


@pytest.mark.parametrize("size", ["pretty", "tiny"])
def test_boxes_tile_the_table_and_every_pixel_leads_back_to_its_cell(size: str) -> None:
    for table, picture in pictures(size):
        height, width, _ = picture.image.shape
        assert (height, width) == picture_size(table, size)  # type: ignore[arg-type]
        covered = np.zeros((height, width), dtype=int)
        for cell in table.cells():
            box = picture.box(cell)
            covered[box.top : box.bottom, box.left : box.right] += 1
            assert picture.cell_of(box) == cell
            assert picture.cell_at(box.left, box.top) == picture.cell_at(box.right - 1, box.bottom - 1) == cell
        assert covered.max() == 1
        top, right, bottom = int(picture.boxes[0, 0, 1]), int(picture.boxes[0, -1, 2]), int(picture.boxes[-1, 0, 3])
        assert covered[top:bottom, :right].min() == 1
        assert picture.cell_at(right, top) is None and picture.cell_at(0, bottom) is None


def test_a_box_that_overlaps_less_than_half_is_no_cell() -> None:
    picture = render(Table(("a", "b"), (("1", "2"),)), "pretty")
    left, top, right, bottom = picture.box(Cell(1, 2))
    width = right - left
    assert picture.cell_of(Box(left + width // 4, top, right + width // 4, bottom)) == Cell(1, 2)
    assert picture.cell_of(Box(left + width // 2, top, right + width // 2, bottom)) is None
    assert picture.cell_of(Box(left, top, left, bottom)) is None
    assert picture.cell_of(Box(right, bottom, left, top)) is None


@pytest.mark.parametrize("size", ["pretty", "tiny"])
def test_the_same_table_gives_the_same_pixels(size: str) -> None:
    for (_, first), (_, second) in zip(pictures(size)[:5], pictures(size)[:5], strict=True):
        np.testing.assert_array_equal(first.image, second.image)


def read_tiny(picture: Picture, cell: Cell) -> str:
    """The text of a tiny cell by comparing its ink with that of every text."""
    box = picture.box(cell)
    ink = picture.image[box.top : box.bottom, box.left : box.right, 0] < 100
    return next(text for text in LETTERS if np.array_equal(ink, centred(text)))


def centred(text: str) -> NDArray[np.bool_]:
    mask = written(text)
    ink = np.zeros((CELL, CELL), dtype=bool)
    top, left = (CELL - HEIGHT) // 2, (CELL - mask.shape[1]) // 2
    ink[top : top + HEIGHT, left : left + mask.shape[1]] = mask
    return ink


def test_tiny_cells_can_be_read_back_from_their_pixels() -> None:
    world = {"rows": [2, 6], "columns": [3, 5], "largest": 99, "styled": True}
    for task in load_tables(size="tiny", world=world, tasks_per_level=12):
        picture = render(task.table, "tiny")
        for cell in task.table.cells():
            assert read_tiny(picture, cell) == task.table.text(cell)


def test_pretty_cells_that_say_the_same_look_the_same_and_others_do_not() -> None:
    table = Table(("Team", "Points"), (("Otters", "12"), ("Otters", "21"), ("Ravens", "12")), style=Style(rules=False))
    picture = render(table)

    def ink(cell: Cell) -> NDArray[np.uint8]:
        box = picture.box(cell)
        return picture.image[box.top : box.bottom, box.left : box.right]

    np.testing.assert_array_equal(ink(Cell(1, 2)), ink(Cell(3, 2)))
    np.testing.assert_array_equal(ink(Cell(1, 1)), ink(Cell(2, 1)))
    assert not np.array_equal(ink(Cell(1, 2)), ink(Cell(2, 2)))


def test_no_two_glyphs_look_alike_and_patches_fill_a_cell() -> None:
    masks = {written(character).tobytes() for character in CHARACTERS}
    assert len(masks) == len(CHARACTERS)
    assert CELL % PATCH == 0


def test_styles_and_groups_are_seen() -> None:
    rows = tuple((str(row), "x") for row in range(4))
    plain = render(Table(("a", "b"), rows, style=Style(False, False, False))).image
    for style in (Style(True, False, False), Style(False, True, False), Style(False, False, True)):
        assert not np.array_equal(plain, render(Table(("a", "b"), rows, style=style)).image)
    grouped = render(Table(("a", "b"), rows, (("both of them", 2),)))
    assert grouped.image.shape[0] > plain.shape[0]
    assert grouped.boxes[0, 0, 1] > 0


def test_long_text_is_wrapped_and_every_letter_kept_in_its_cell() -> None:
    table = Table(("a", "b"), (("word " * 60, "x" * 400), ("short", "y")))
    picture = render(table)
    assert picture.image.shape[1] < 640
    assert picture.box(Cell(1, 1)).bottom - picture.box(Cell(1, 1)).top > 4 * 17
    assert picture.box(Cell(2, 1)).bottom - picture.box(Cell(2, 1)).top == 24


def test_the_largest_table_of_a_world_bounds_them_all() -> None:
    for size, world in (("pretty", {"rows": [2, 10], "columns": [3, 8], "merged": 1.0}), ("tiny", {})):
        height, width = picture_size(largest_table(world_for(size, world)), size)  # type: ignore[arg-type]
        for task in load_tables(size=size, world=world, tasks_per_level=30):
            found = picture_size(task.table, size)  # type: ignore[arg-type]
            assert found[0] <= height and found[1] <= width


def test_what_tiny_cannot_write_is_refused_with_the_fix() -> None:
    for table in (
        Table(("A", "Points"), (("B", "1"),)),
        Table(("A", "b"), (("B", "1"),)),
        Table(("A", "B"), (("C", "100"),)),
        Table(("A", "B"), (("C", "1"),), (("G", 2),)),
    ):
        with pytest.raises(DataError, match="tiny"):
            render(table, "tiny")
    with pytest.raises(ConfigurationError, match="size"):
        render(Table(("A",), (("B",),)), "huge")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4), dtype=np.uint8),
        np.zeros((4, 4, 4), dtype=np.uint8),
        np.zeros((4, 4, 3), dtype=np.float32),
        np.zeros((9, 4, 3), dtype=np.uint8),
        np.zeros((4, 9, 3), dtype=np.uint8),
    ],
)
def test_images_of_another_mode_or_size_are_refused(image: Any) -> None:
    with pytest.raises(ConfigurationError, match="an image of"):
        on_canvas(image, 8, 8)
    assert on_canvas(np.zeros((4, 4, 3), dtype=np.uint8), 8, 8)[5, 5].tolist() == [255, 255, 255]


def test_without_pillow_pretty_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingDependencyError, match="vision"):
        render(Table(("a",), (("b",),)))
    render(Table(("A",), (("B",),)), "tiny")
