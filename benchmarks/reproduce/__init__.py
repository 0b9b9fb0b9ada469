"""Published systems, run again: ``fogline reproduce NAME``.

A reproduction is a function of a :class:`ReproduceConfig` and a progress callback to
:class:`~fogline.benchmarks.reproduce.results.Findings`; a new one adds its line to :data:`REPRODUCTIONS`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field

from fogline.core.errors import check_choice

if TYPE_CHECKING:
    from fogline.benchmarks.reproduce.cells import Progress
    from fogline.benchmarks.reproduce.results import Findings, Results

REPRODUCTIONS: Mapping[str, str] = {
    "aopd": "fogline.benchmarks.reproduce.aopd:reproduce",
    "aopd-retention": "fogline.benchmarks.reproduce.aopd_retention:reproduce",
    "dgpo": "fogline.benchmarks.reproduce.dgpo:reproduce",
    "duca": "fogline.benchmarks.reproduce.duca:reproduce",
    "duca-text": "fogline.benchmarks.reproduce.duca.text:reproduce",
    "dynamo": "fogline.benchmarks.reproduce.dynamo:reproduce",
    "learning-curves": "fogline.benchmarks.reproduce.learning_curves:reproduce",
    "pghs": "fogline.benchmarks.reproduce.pghs:reproduce",
    "pghs-scale": "fogline.benchmarks.reproduce.pghs_scale:reproduce",
    "pghs-strategy": "fogline.benchmarks.reproduce.pghs_strategy:reproduce",
    "pgpo": "fogline.benchmarks.reproduce.pgpo:reproduce",
    "pnd": "fogline.benchmarks.reproduce.pnd:reproduce",
    "scope": "fogline.benchmarks.reproduce.scope:reproduce",
    "silo-bench": "fogline.benchmarks.reproduce.silo_bench:reproduce",
    "silo-bench-learning": "fogline.benchmarks.reproduce.silo_bench.learning:reproduce",
    "trust-sql": "fogline.benchmarks.reproduce.trust_sql:reproduce",
}
"""Name of each system, and the function that runs it again."""


class ReproduceConfig(BaseModel):
    """What ``fogline reproduce`` does.

    Attributes:
        name: One of :data:`REPRODUCTIONS`.
        quick: A small budget, to see that everything runs; the plan is otherwise the same.
        out: Folder of ``NAME.json`` and ``NAME.md``. By default ``docs/results``; of a quick run ``runs/results``, so
            that it replaces no full result.
        runs: Folder of the cells that are done.
        seeds: Instead of the plan's.
        workers: Processes at once.
        resume: Take over the cells that are done.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    name: str
    quick: bool = False
    out: str | None = None
    runs: str = "runs/reproduce"
    seeds: Annotated[tuple[int, ...], Field(strict=False)] = ()
    workers: int = Field(default=2, ge=1)
    resume: bool = True

    @property
    def results_folder(self) -> Path:
        """Where the result is written."""
        return Path(self.out or ("runs/results" if self.quick else "docs/results"))

    @property
    def cells_folder(self) -> Path:
        """Where this system's cells are kept, apart for quick and full runs."""
        return Path(self.runs) / (f"{self.name}-quick" if self.quick else self.name)


def reproduce(config: ReproduceConfig, progress: Progress, command: str) -> Results:
    """Run a system again, and write ``NAME.json`` and ``NAME.md``.

    Args:
        config: What is run.
        progress: Told how many cells are done, of how many.
        command: That was given, for the record.

    Raises:
        ConfigurationError: For a system that is not there.
    """
    from fogline.benchmarks.reproduce.cells import wall_clock, write_whole
    from fogline.benchmarks.reproduce.report import markdown, plot_file

    check_choice("reproduction", config.name, REPRODUCTIONS)
    module, _, function = REPRODUCTIONS[config.name].partition(":")
    earlier = wall_clock(config.cells_folder) if config.resume else 0.0
    began = perf_counter()
    findings: Findings = getattr(import_module(module), function)(config, progress)
    results = _completed(findings, command, earlier + perf_counter() - began)
    folder = config.results_folder
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / f"{config.name}.json", json.dumps(results.to_json(), indent=2, allow_nan=False) + "\n")
    write_whole(folder / f"{config.name}.md", markdown(results, config.name))
    if results.plots:
        from fogline.benchmarks.reproduce.plots import draw

        for plot in results.plots:
            draw(plot, results.curves, folder / plot_file(config.name, plot))
    return results


def _completed(findings: Findings, command: str, seconds: float) -> Results:
    from fogline.benchmarks.reproduce.results import Results
    from fogline.benchmarks.speed import machine
    from fogline.core.store import installed_versions

    return Results(
        **dict(findings),
        command=command,
        versions=installed_versions(),
        hardware=machine.hardware(),
        wall_clock_s=seconds,
    )
