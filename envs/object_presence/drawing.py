"""A picture as colour blocks of a terminal: what is seen, and nothing of what is true."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_WIDEST = 64
_RESET = "\x1b[0m"


def in_blocks(image: NDArray[np.uint8]) -> str:
    """Two rows of pixels in each line of text, in 24-bit colours; large pictures are thinned out.

    Args:
        image: ``[H, W, 3]`` uint8.
    """
    step = -(-image.shape[1] // _WIDEST)
    pixels = image[::step, ::step]
    if len(pixels) % 2:
        pixels = np.concatenate([pixels, pixels[-1:]])
    return "\n".join(
        "".join(map(_block, upper.tolist(), lower.tolist())) + _RESET
        for upper, lower in zip(pixels[::2], pixels[1::2], strict=True)
    )


def enlarged(image: NDArray[np.uint8], least: int = 256) -> NDArray[np.uint8]:
    """The picture with every pixel as a square of pixels, until it is at least so high."""
    factor = -(-least // image.shape[0])
    return image.repeat(factor, axis=0).repeat(factor, axis=1)


def _block(upper: list[int], lower: list[int]) -> str:
    above, below = (";".join(map(str, colour)) for colour in (upper, lower))
    return f"\x1b[38;2;{above}m\x1b[48;2;{below}m▀"
