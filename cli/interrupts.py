"""Ctrl-C that lets work in hand come to its end."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Any, Self

from fogline.cli.console import print_note


class Interrupts:
    """Within it, the first Ctrl-C only asks for an end, and the second one interrupts.

    Args:
        doing: What is brought to its end.
    """

    def __init__(self, doing: str) -> None:
        self._doing = doing
        self._before: Any = None
        self._asked = False

    def __enter__(self) -> Self:
        """Take the signal over."""
        self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give it back."""
        signal.signal(signal.SIGINT, self._before)

    def asked(self) -> bool:
        """Whether somebody asked for an end."""
        return self._asked

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True
        print_note(f"Stopping after the {self._doing} in hand; Ctrl-C again stops at once.")
