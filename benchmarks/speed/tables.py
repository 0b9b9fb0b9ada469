"""How many tiny tables a core makes and draws in a second, questions and gold traces included, and what a batch weighs.

The peer makes empty pictures of the same size: what no table can be drawn without.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from fogline.benchmarks.speed.report import Effort, Finding, Target, step_rate
from fogline.benchmarks.speed.timing import Spread, alternate, cpu_rate
from fogline.simulators.tables.records import Table
from fogline.simulators.tables.rendering import picture_size, render
from fogline.simulators.tables.sources import TINY, load_tables
from fogline.simulators.tables.worlds import largest_table

NAME = "tables"
TABLES_PER_SECOND = Target("at least", 500.0)
BATCH = 64
_ROUGH_RATE = 2_000
_NOTE = "per second of this process's CPU time"


def run(effort: Effort) -> list[Finding]:
    """Measure rates, and the memory of a batch of pictures."""
    count = max(20, int(effort.seconds * _ROUGH_RATE))
    tables = [task.table for task in _questions(count)]
    rates = alternate(
        {
            "empty": lambda: cpu_rate(lambda: _empty(count)),
            "made": lambda: cpu_rate(lambda: _drawn([task.table for task in _questions(count)])),
            "drawn": lambda: cpu_rate(lambda: _drawn(tables)),
        },
        effort.rounds,
    )
    found = partial(step_rate, NAME, raw=rates["empty"], peer="an empty picture of the same size")
    everything = "table, question, gold trace, picture"
    made = found("tiny, made and drawn", everything, rates["made"], target=TABLES_PER_SECOND, note=_NOTE)
    drawn = found("tiny, drawn again", "picture with boxes", rates["drawn"], target=None, note=_NOTE)
    return [_of_tables(made), _of_tables(drawn), _memory()]


def _of_tables(finding: Finding) -> Finding:
    return replace(finding, unit="tables/s", seen_unit="tables/s")


def _questions(count: int) -> Any:
    return load_tables(level=(1, 2, 3, 4), tasks_per_level=-(-count // 4), size="tiny")


def _drawn(tables: Sequence[Table]) -> int:
    return len([render(table, "tiny") for table in tables])


def _empty(count: int) -> int:
    height, width = picture_size(largest_table(TINY), "tiny")
    return len([np.full((height, width, 3), 255, dtype=np.uint8) for _ in range(count)])


def _memory() -> Finding:
    """Bytes of a batch of pictures, as the environment hands them out and as a model takes them."""
    height, width = picture_size(largest_table(TINY), "tiny")
    shown = BATCH * height * width * 3
    edge = max(height, width)
    taken = BATCH * edge * edge * 3 * 4
    kib = 1 / 1024
    return Finding(
        benchmark=NAME,
        case=f"a batch of {BATCH} tiny pictures, {height} by {width}",
        subject="uint8, as they are observed and stored",
        peer=f"float32 on a square canvas of {edge}, as a tower takes them",
        unit="KiB",
        subject_value=Spread.of([shown], kib),
        peer_value=Spread.of([taken], kib),
        quantity="memory over that of the tower's input",
        seen=Spread.of([shown / taken]),
        seen_unit="×",
        note="by arithmetic, not measured: pictures are arrays of this size and nothing else",
    )
