"""Cells of a toy experiment, importable by the processes that run them."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fogline.benchmarks.reproduce import ReproduceConfig
from fogline.benchmarks.reproduce.cells import Cell, Progress, run_cells
from fogline.benchmarks.reproduce.results import Findings, Published, arms_of, compare, curve_of, failures_of

GAIN = {"base": 0.0, "better": 1.0, "broken": 0.0, "killed": 0.0}


def play(cell: Cell, *, diary: str = "") -> Mapping[str, Any]:
    """Score the seed plus the arm's gain; ``broken`` raises, ``killed`` dies."""
    if diary:
        with Path(diary).open("a", encoding="utf-8") as file:
            file.write(f"{cell.arm}-{cell.seed}\n")
    if cell.arm == "broken":
        raise ValueError(f"seed {cell.seed} is unlucky")
    if cell.arm == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    score = cell.seed + GAIN[cell.arm]
    return {
        "metrics": {"score": score, "threads": int(os.environ["OMP_NUM_THREADS"])},
        "curves": {"score": [[0, 0], [1, score]]},
    }


def reproduce(config: ReproduceConfig, progress: Progress) -> Findings:
    """A whole reproduction: ``better`` beside ``base``."""
    seeds = config.seeds or ((0, 1) if config.quick else (0, 1, 2))
    arms = ("base", "better", "broken") if 13 in seeds else ("base", "better")
    cells = [Cell(arm, seed) for arm in arms for seed in seeds]
    done = run_cells(
        cells, play, config.cells_folder, config={"seeds": seeds}, workers=config.workers, resume=config.resume,
        on_progress=progress,
    )  # fmt: skip
    found = arms_of(done)
    return Findings(
        system="Toy",
        claim="Better is better.",
        paper={"better": 3, "base": 1},
        config={"quick": config.quick},
        plan={"arms": list(arms), "seeds": list(seeds), "margins": {"score": 0.5}},
        arms=found,
        comparisons=(
            compare(found, "score", "better", "base", paper=Published(direction="higher", difference=2), margin=0.5),
        ),
        curves=(curve_of(done, "better", "score", "update"),),
        failures=failures_of(done),
    )
