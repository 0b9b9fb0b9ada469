"""Looking at this process's workers from outside; needs ``/proc``."""

from __future__ import annotations

import os
import time
from pathlib import Path

others: set[int] = set()
"""Workers that belong to other tests of this process, and are not looked at."""


def worker_processes(parent: int | None = None) -> list[int]:
    """Process ids of the workers of ``parent`` (this process where None) that are alive."""
    found = [
        pid for pid, state, command in _children(parent or os.getpid()) if state != "Z" and b"worker.py" in command
    ]
    return [pid for pid in found if pid not in others]


def alive(process: int) -> bool:
    """Whether a process runs; one that nobody has waited for yet does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def zombies() -> int:
    """Number of children of this process that ended and were not waited for."""
    return sum(state == "Z" for _, state, _ in _children(os.getpid()))


def open_descriptors() -> int:
    """Number of file descriptors this process holds."""
    return len(list(Path("/proc/self/fd").iterdir()))


def eventually(condition: object, seconds: float = 5.0) -> bool:
    """Wait until ``condition()`` is true; return whether it became so."""
    assert callable(condition)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.01)
    return False


def _children(parent: int) -> list[tuple[int, str, bytes]]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if int(fields[1]) == parent:
                found.append((int(entry.name), fields[0], command))
    return found
