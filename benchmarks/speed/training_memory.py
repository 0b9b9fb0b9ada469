"""How much memory a side takes, in a process of its own."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from fogline.benchmarks.speed.timing import MeasurementFailed

if TYPE_CHECKING:
    from fogline.benchmarks.speed.training_task import Work

SIDES = {
    "fogline": ("fogline.benchmarks.speed.training_subject", "FoglineTrainer"),
    "trl": ("fogline.benchmarks.speed.training_peer", "TRLTrainer"),
}
"""Where each side is made; a process loads its own only."""

_UPDATES = 2
_STATUS = Path("/proc/self/status")


class Memory(NamedTuple):
    """Resident bytes of a process.

    Attributes:
        peak: The most there were.
        added: The most there were above what was there before the first update: packages, models.
    """

    peak: float
    added: float


def memory_of(side: str, work: Work) -> Memory:
    """Make two updates in a fresh interpreter and return what they took.

    Raises:
        MeasurementFailed: They cannot be made.
    """
    script = f"from {__name__} import report; report({side!r}, {asdict(work)!r})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    if done.returncode:
        raise MeasurementFailed(f"{side} could not make {_UPDATES} updates: {done.stderr.strip()[-300:]}")
    return Memory(*json.loads(done.stdout.splitlines()[-1]))


def report(side: str, work: dict[str, Any]) -> None:
    """Make the updates in this process and print the figures."""
    module, name = SIDES[side]
    from fogline.benchmarks.speed.training_task import Work

    trainer = getattr(import_module(module), name)(Work(**work))
    before = peak_bytes()
    for _ in range(_UPDATES):
        trainer.update()
    trainer.close()
    peak = peak_bytes()
    print(json.dumps([peak, peak - before]))


def peak_bytes() -> float:
    """The most resident bytes that this process ever had."""
    if _STATUS.exists():
        # Not getrusage: across fork and exec its maximum is the parent's where that was greater.
        found = re.search(r"VmHWM:\s+(\d+) kB", _STATUS.read_text("utf-8"))
        if found is not None:
            return float(found[1]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak if sys.platform == "darwin" else peak * 1024)
