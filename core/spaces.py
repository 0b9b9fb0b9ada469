"""A text space for any Unicode string."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from gymnasium.spaces import Space

from fogline.core.errors import ConfigurationError

_RANGES = ((0x20, 0x7E), (0xA1, 0x17F), (0x391, 0x3C9), (0x4E00, 0x4FFF), (0x1F600, 0x1F64F))
"""Printable blocks that :meth:`UnicodeText.sample` draws from: ASCII, Latin, Greek, CJK, emoji."""


class UnicodeText(Space[str]):
    """Strings of at most ``max_length`` characters (code points), whatever their script.

    Gymnasium's own ``Text`` checks each character against a charset; membership here is two
    comparisons, so that a 30,000-character observation costs nothing to check.

    Args:
        max_length: Longest member, in characters.
        sample_length: Longest string that :meth:`sample` draws.
        seed: Seed of the space's own generator.
    """

    def __init__(self, max_length: int = 1_000_000, *, sample_length: int = 80, seed: int | None = None) -> None:
        if max_length < 1:
            raise ConfigurationError(f"max_length={max_length} leaves no text: expected at least 1.")
        super().__init__(None, None, seed)
        self.max_length = int(max_length)
        self.sample_length = min(int(sample_length), self.max_length)

    @property
    def is_np_flattenable(self) -> bool:
        """Text has no fixed-size numeric form."""
        return False

    def contains(self, x: Any) -> bool:
        """True for a ``str`` no longer than ``max_length``."""
        return isinstance(x, str) and len(x) <= self.max_length

    def sample(self, mask: Any | None = None, probability: Any | None = None) -> str:
        """Draw a string of random length from several scripts.

        Raises:
            ConfigurationError: If a mask or probability is given; text has neither.
        """
        if mask is not None or probability is not None:
            raise ConfigurationError("UnicodeText.sample takes no mask and no probability: pass None.")
        length = int(self.np_random.integers(0, self.sample_length + 1))
        blocks = self.np_random.integers(0, len(_RANGES), size=length)
        offsets = self.np_random.random(size=length)
        low = np.array([first for first, _ in _RANGES])[blocks]
        high = np.array([last for _, last in _RANGES])[blocks]
        return "".join(map(chr, (low + np.floor(offsets * (high - low + 1))).astype(int).tolist()))

    def to_jsonable(self, sample_n: Iterable[str]) -> list[str]:
        """JSON form of a batch: the strings themselves."""
        return list(sample_n)

    def from_jsonable(self, sample_n: list[Any]) -> list[str]:
        """Inverse of :meth:`to_jsonable`."""
        return [str(item) for item in sample_n]

    def __eq__(self, other: object) -> bool:
        """Equal when the same strings belong to both."""
        return isinstance(other, UnicodeText) and self.max_length == other.max_length

    def __hash__(self) -> int:
        """Consistent with equality."""
        return hash((UnicodeText, self.max_length))

    def __repr__(self) -> str:
        """Name and bound."""
        return f"UnicodeText(max_length={self.max_length})"
