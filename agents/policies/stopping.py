"""When an action is over."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

_REPLACEMENT = "\ufffd"
_MARGIN = 4


class StopRule:
    """Looks at the newest token, and decodes only the tail, and only where that token can complete a stop string.

    Args:
        tokenizer: Decodes ids.
        ends: Ids that end an action by themselves.
        strings: Texts that end it; kept in the action.
    """

    def __init__(self, tokenizer: Any, ends: Collection[int], strings: Sequence[str]) -> None:
        self._tokenizer = tokenizer
        self._ends = frozenset(ends)
        self._strings = tuple(string for string in strings if string)
        self._tail = max((len(string.encode()) for string in self._strings), default=0) + _MARGIN
        self._completing = self._find_completing() if self._strings else frozenset()

    def __call__(self, ids: list[int]) -> bool:
        """Whether these sampled ids end the action, given that fewer of them did not."""
        newest = ids[-1]
        if newest in self._ends:
            return True
        if newest not in self._completing:
            return False
        tail = self._tokenizer.decode(ids[-self._tail :], clean_up_tokenization_spaces=False)
        return any(string in tail for string in self._strings)

    def _find_completing(self) -> frozenset[int]:
        # A token that is part of a character decodes to a replacement sign: it may complete anything.
        wanted = {string[-1] for string in self._strings} | {_REPLACEMENT}
        pieces = self._tokenizer.batch_decode(
            [[index] for index in range(len(self._tokenizer))], clean_up_tokenization_spaces=False
        )
        return frozenset(index for index, piece in enumerate(pieces) if wanted & set(piece))
