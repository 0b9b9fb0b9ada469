"""Tables as images, with the box of every cell: large enough to look at, or as small as patches allow."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fogline.core.errors import ConfigurationError, DataError, check_choice, missing_dependency
from fogline.simulators.tables.glyphs import CHARACTERS, HEIGHT, written
from fogline.simulators.tables.records import HEADER, Box, Cell, Table

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont, ImageFont

    Font: TypeAlias = FreeTypeFont | ImageFont

Size = Literal["pretty", "tiny"]
SIZES = ("pretty", "tiny")

PATCH = 8
"""Edge of a patch of tiny images, in pixels."""
CELL = 16
"""Edge of a cell of tiny images: two patches, two characters."""

_PAPER, _SHADE, _INK, _RULE, _BAR = 255, 236, 20, 150, 214
_FONT_SIZE, _LINE, _ROW, _LEAST, _WIDEST, _MARGIN = 13, 17, 24, 64, 280, 8


@dataclass(frozen=True)
class Picture:
    """A drawn table.

    Attributes:
        image: ``[H, W, 3]`` uint8, RGB.
        boxes: ``[rows + 1, columns, 4]`` int32: left, top, right, bottom of every cell, the header's in row 0. They
            tile the table without overlap.
    """

    image: NDArray[np.uint8]
    boxes: NDArray[np.int32]

    def box(self, cell: Cell) -> Box:
        """Pixels of a cell."""
        return Box(*(int(edge) for edge in self.boxes[cell.row, cell.column - 1]))

    def cell_at(self, left: float, top: float) -> Cell | None:
        """The cell that a pixel lies in; None beside the table."""
        boxes = self.boxes
        held = (boxes[..., 0] <= left) & (left < boxes[..., 2]) & (boxes[..., 1] <= top) & (top < boxes[..., 3])
        rows, columns = np.nonzero(held)
        return Cell(int(rows[0]), int(columns[0]) + 1) if len(rows) else None

    def cell_of(self, box: Box, least: float = 0.5) -> Cell | None:
        """The cell that a box overlaps most, where intersection over union is at least ``least``; None elsewhere."""
        if box.right <= box.left or box.bottom <= box.top:
            return None
        low = np.maximum(self.boxes[..., :2], (box.left, box.top))
        high = np.minimum(self.boxes[..., 2:], (box.right, box.bottom))
        shared = np.clip(high - low, 0, None).prod(-1)
        own = (self.boxes[..., 2:] - self.boxes[..., :2]).prod(-1)
        overlap = shared / (own + (box.right - box.left) * (box.bottom - box.top) - shared)
        row, column = np.unravel_index(int(overlap.argmax()), overlap.shape)
        return Cell(int(row), int(column) + 1) if overlap[row, column] >= least else None


def render(table: Table, size: Size = "pretty") -> Picture:
    """Draw a table; the same table gives the same pixels.

    Args:
        table: What is drawn.
        size: ``pretty`` with Pillow's own font and cells as wide as their text; ``tiny`` with cells of 16 by 16
            pixels, which are two by two patches, and at most two characters in each.

    Raises:
        ConfigurationError: An unknown size.
        DataError: ``tiny`` has no room or no character for a text, or there are names over the header.
        MissingDependencyError: ``pretty`` without Pillow.
    """
    check_choice("size", size, SIZES)
    return _tiny(table) if size == "tiny" else _pretty(table)


def on_canvas(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """The image in the top left corner of a white canvas.

    Raises:
        ConfigurationError: It is no RGB image of whole bytes, or larger than the canvas.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ConfigurationError(
            f"an image of shape {image.shape} and dtype {image.dtype}: expected [height, width, 3] of uint8 (mode RGB)."
        )
    if image.shape[0] > height or image.shape[1] > width:
        raise ConfigurationError(
            f"an image of {image.shape[0]} x {image.shape[1]} pixels does not fit a canvas of {height} x {width}."
        )
    canvas = np.full((height, width, 3), _PAPER, dtype=np.uint8)
    canvas[: image.shape[0], : image.shape[1]] = image
    return canvas


def _tiled(xs: list[int], ys: list[int]) -> NDArray[np.int32]:
    """Boxes of a grid of edges."""
    boxes = np.empty((len(ys) - 1, len(xs) - 1, 4), dtype=np.int32)
    boxes[..., 0], boxes[..., 2] = xs[:-1], xs[1:]
    boxes[..., 1], boxes[..., 3] = (np.array(edges)[:, None] for edges in (ys[:-1], ys[1:]))
    return boxes


def _tiny(table: Table) -> Picture:
    if table.groups:
        raise DataError("size='tiny' has no room for names over the header: expected a table without groups.")
    rows, columns = table.height + 1, table.width
    grey = np.full((rows * CELL, columns * CELL), _PAPER, dtype=np.uint8)
    if table.style.zebra:
        for row in range(2, rows, 2):
            grey[row * CELL : (row + 1) * CELL] = _SHADE
    grey[:CELL] = _BAR
    top = (CELL - HEIGHT) // 2
    for row, texts in enumerate((table.header, *table.rows)):
        for column, text in enumerate(texts):
            mask = _mask(text)
            left = column * CELL + (CELL - mask.shape[1]) // 2
            grey[row * CELL + top : row * CELL + top + HEIGHT, left : left + mask.shape[1]][mask] = _INK
    if table.style.rules:
        # The first line of pixels of every cell; glyphs stay clear of it.
        grey[::CELL] = np.minimum(grey[::CELL], _RULE)
        grey[:, ::CELL] = np.minimum(grey[:, ::CELL], _RULE)
    edges = ([CELL * place for place in range(count + 1)] for count in (columns, rows))
    return Picture(np.repeat(grey[:, :, None], 3, axis=2), _tiled(*edges))


def _mask(text: str) -> NDArray[np.bool_]:
    if len(text) > 2 or not CHARACTERS.issuperset(text):
        raise DataError(
            f"size='tiny' cannot write {text!r}: expected at most two of the characters "
            f"{''.join(sorted(CHARACTERS))!r}; draw tables with names='letters', or use size='pretty'."
        )
    return written(text)


@dataclass(frozen=True)
class _Layout:
    """Where everything of a pretty table goes: wrapped texts, edges of columns and rows, room over the header."""

    grid: list[list[str]]
    xs: list[int]
    ys: list[int]


def picture_size(table: Table, size: Size = "pretty") -> tuple[int, int]:
    """Height and width of a table's picture, in pixels, without drawing it.

    Raises:
        ConfigurationError: An unknown size.
        MissingDependencyError: ``pretty`` without Pillow.
    """
    check_choice("size", size, SIZES)
    if size == "tiny":
        return CELL * (table.height + 1), CELL * table.width
    layout = _layout(table, _font())
    return layout.ys[-1] + 1, layout.xs[-1] + 1


def _layout(table: Table, font: Font) -> _Layout:
    grid = [[_wrapped(font, text) for text in texts] for texts in (table.header, *table.rows)]
    widths = [max(_LEAST, *(_length(font, row[column]) + 2 * _MARGIN for row in grid)) for column in range(table.width)]
    _widen_for_groups(table, widths, font)
    heights = [_ROW + _LINE * max(text.count("\n") for text in row) for row in grid]
    above = _ROW if table.groups else 0
    return _Layout(grid, list(accumulate(widths, initial=0)), list(accumulate(heights, initial=above)))


def _pretty(table: Table) -> Picture:
    font = _font()
    draw_module, image_module = _pillow()
    layout = _layout(table, font)
    xs, ys = layout.xs, layout.ys
    image = image_module.new("RGB", (xs[-1] + 1, ys[-1] + 1), (_PAPER,) * 3)
    draw = draw_module.Draw(image)
    draw.rectangle((0, 0, xs[-1], ys[0]), fill=(_BAR,) * 3)
    shades = [_BAR, *(_SHADE if table.style.zebra and row % 2 == 0 else _PAPER for row in range(1, table.height + 1))]
    for row, shade in enumerate(shades):
        draw.rectangle((0, ys[row], xs[-1], ys[row + 1]), fill=(shade,) * 3)
    for text, left, right in _spans(table, xs):
        _centred(draw, text, (left, right, 0, ys[0]), font, bold=table.style.bold)
        draw.line((left, ys[0], right, ys[0]), fill=(_RULE,) * 3)
    for row, texts in enumerate(layout.grid):
        for column, text in enumerate(texts):
            edges = (xs[column], xs[column + 1], ys[row], ys[row + 1])
            _centred(draw, text, edges, font, bold=table.style.bold and row == HEADER)
    if table.style.rules:
        for x in xs:
            draw.line((x, ys[0], x, ys[-1]), fill=(_RULE,) * 3)
        for y in ys:
            draw.line((0, y, xs[-1], y), fill=(_RULE,) * 3)
    return Picture(np.array(image, dtype=np.uint8), _tiled(xs, ys))


def _wrapped(font: Font, text: str) -> str:
    """Text in lines that are no wider than a column may be; a word that is, is cut."""
    if _length(font, text) <= _WIDEST:
        return text
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".lstrip()
        if _length(font, longer) <= _WIDEST:
            lines[-1] = longer
            continue
        lines.append("")
        for letter in word:
            if _length(font, lines[-1] + letter) > _WIDEST:
                lines.append("")
            lines[-1] += letter
    return "\n".join(line for line in lines if line)


def _spans(table: Table, xs: list[int]) -> list[tuple[str, int, int]]:
    """Names over the header with their left and right edges."""
    ends = list(accumulate((span for _, span in table.groups), initial=0))
    return [(text, xs[start], xs[end]) for (text, _), start, end in zip(table.groups, ends, ends[1:], strict=False)]


def _widen_for_groups(table: Table, widths: list[int], font: Font) -> None:
    """Give the last column of a span what its name needs more."""
    start = 0
    for text, span in table.groups:
        missing = _length(font, text) + 2 * _MARGIN - sum(widths[start : start + span])
        start += span
        widths[start - 1] += max(missing, 0)


def _centred(draw: Any, text: str, edges: tuple[int, int, int, int], font: Font, *, bold: bool) -> None:
    """Text in the middle of left, right, top and bottom; bold is written twice."""
    left, right, top, bottom = edges
    for shift in range(1 + bold):
        place = ((left + right) / 2 + shift, (top + bottom) / 2)
        draw.text(place, text, fill=(_INK,) * 3, font=font, anchor="mm", align="center", spacing=_LINE - _FONT_SIZE)


def _length(font: Font, text: str) -> int:
    return max(int(font.getlength(line)) + 1 for line in text.split("\n"))


def _pillow() -> tuple[Any, Any]:
    try:
        from PIL import Image, ImageDraw
    except ImportError as error:
        raise missing_dependency("Pillow", "vision") from error
    return ImageDraw, Image


@lru_cache(maxsize=1)
def _font() -> Font:
    _pillow()
    from PIL import ImageFont

    font = ImageFont.load_default(size=_FONT_SIZE)
    if not hasattr(font, "getlength"):
        raise ConfigurationError("this Pillow draws no scalable font: install one that was built with FreeType.")
    return font
