"""The game of words at a human pace, with a note of every process that plays it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from small_language import WordsEnv


class SlowWords(WordsEnv):
    """Takes its time over a step, which changes nothing of what happens.

    Args:
        notes: Folder in which each process that steps leaves a file of its name.
        step_s: How long a step takes, in seconds.
    """

    def __init__(self, notes: str, step_s: float) -> None:
        super().__init__()
        self._notes, self._step_s = Path(notes), step_s

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        (self._notes / str(os.getpid())).touch()
        time.sleep(self._step_s)
        return super().step(action)
