"""A progress bar that appears only where somebody waits and watches."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import TYPE_CHECKING, Self

from fogline.cli.console import console

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

SHOWN_AFTER_S = 2.0


class ProgressBar:
    """Shows done of total with the time left, from two seconds on, and only on a terminal.

    Args:
        label: What is being counted.
        after_s: How long to wait before it is shown, in seconds.
    """

    def __init__(self, label: str, after_s: float = SHOWN_AFTER_S) -> None:
        self._label = label
        self._after_s = after_s
        self._bar: RichProgress | None = None
        self._task: TaskID | None = None
        self._started = False
        self._timer: threading.Timer | None = None
        self._lock = threading.Lock()
        self._closed = False

    def __enter__(self) -> Self:
        """Begin to wait."""
        screen = console(stderr=True)
        if screen.is_terminal:
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._bar = Progress(*columns, TextColumn("{task.fields[note]}"), console=screen, transient=True)
            self._task = self._bar.add_task(self._label, total=None, note="")
            self._timer = threading.Timer(self._after_s, self._show)
            self._timer.daemon = True
            self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the bar."""
        if self._timer is not None:
            self._timer.cancel()
        with self._lock:
            self._closed = True
            if self._bar is not None:
                self._bar.stop()

    def update(self, done: int, total: int, note: str = "") -> None:
        """Say how far it is."""
        if self._bar is None or self._task is None:
            return
        if not self._started:
            # What was done before this run began says nothing about its speed.
            self._bar.reset(self._task, total=total, completed=done)
            self._started = True
        self._bar.update(self._task, completed=done, total=total, note=note)

    def _show(self) -> None:
        with self._lock:
            if not self._closed and self._bar is not None:
                self._bar.start()
