"""What ``import fogline.envs`` costs beside ``import gymnasium``, each in a fresh interpreter."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial
from typing import NamedTuple

from fogline.benchmarks.speed.report import Effort, Finding, Target
from fogline.benchmarks.speed.timing import MILLISECONDS, MeasurementFailed, Spread, alternate

NAME = "import"
RATIO = Target("at most", 1.5)
NO_MODULES = Target("at most", 0.0)
HEAVY = ("torch", "transformers", "openai", "sqlalchemy", "sqlglot", "duckdb", "pandas", "lightgbm", "ray", "plotly")
"""Packages that importing the environments must not load."""

_SCRIPT = """
import json, sys, time
user_and_system = time.process_time()
import {package}
user_and_system = time.process_time() - user_and_system
print(json.dumps([user_and_system, [name for name in {heavy!r} if name in sys.modules]]))
"""


class Import(NamedTuple):
    """One import: its CPU seconds without the interpreter's own start, and the heavy packages that came along."""

    seconds: float
    loaded: list[str]


def run(effort: Effort) -> list[Finding]:
    """Measure both imports in turn."""
    imports = alternate({name: partial(fresh_import, name) for name in ("gymnasium", "fogline.envs")}, effort.rounds)
    ours, theirs = imports["fogline.envs"], imports["gymnasium"]
    mine, his = [item.seconds for item in ours], [item.seconds for item in theirs]
    loaded = sorted({name for item in ours for name in item.loaded})
    ratio, count = Spread.of([a / b for a, b in zip(mine, his, strict=True)]), Spread.of([len(loaded)])
    return [
        _finding("time", "CPU time ratio", mine, his, ratio, "×", RATIO),
        _finding("heavy packages loaded", "packages", mine, his, count, "", NO_MODULES, ", ".join(loaded)),
    ]


def fresh_import(package: str) -> Import:
    """Import ``package`` in an interpreter of its own.

    Raises:
        MeasurementFailed: It does not import.
    """
    script = _SCRIPT.format(package=package, heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    if done.returncode:
        raise MeasurementFailed(f"import {package} failed: {done.stderr.strip()[-300:]}")
    return Import(*json.loads(done.stdout))


def _finding(
    case: str,
    quantity: str,
    mine: list[float],
    his: list[float],
    seen: Spread,
    unit: str,
    target: Target,
    note: str = "",
) -> Finding:
    return Finding(
        benchmark=NAME,
        case=case,
        subject="import fogline.envs",
        peer="import gymnasium",
        unit="ms",
        subject_value=Spread.of(mine, MILLISECONDS),
        peer_value=Spread.of(his, MILLISECONDS),
        quantity=quantity,
        seen=seen,
        seen_unit=unit,
        target=target,
        note=note,
    )
