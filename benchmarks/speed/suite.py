"""All speed benchmarks in one run."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from importlib import import_module
from time import perf_counter
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from fogline.benchmarks.speed import machine
from fogline.benchmarks.speed.report import FULL, QUICK, Finding, SpeedReport
from fogline.core.errors import FoglineError, check_choice

BENCHMARKS: dict[str, str] = {
    "sql-step": "fogline.benchmarks.speed.sql_step",
    "sql-peer": "fogline.benchmarks.speed.sql_peer",
    "text-step": "fogline.benchmarks.speed.text_steps",
    "sales-dialogue": "fogline.benchmarks.speed.sales_dialogue",
    "merchant-strategy": "fogline.benchmarks.speed.merchant_strategy",
    "merchants": "fogline.benchmarks.speed.merchants",
    "import": "fogline.benchmarks.speed.imports",
    "waiting": "fogline.benchmarks.speed.waiting",
    "training": "fogline.benchmarks.speed.training",
    "optimisers": "fogline.benchmarks.speed.optimisers",
    "distillation": "fogline.benchmarks.speed.distillation",
    "tables": "fogline.benchmarks.speed.tables",
    "decoding": "fogline.benchmarks.speed.decoding",
    "sweep": "fogline.benchmarks.speed.sweeps",
    "scale": "fogline.benchmarks.speed.scale",
}
"""Name of each benchmark and the module whose ``run(effort)`` measures it."""

OnProgress = Callable[[int, int, str], None]


class SpeedConfig(BaseModel):
    """What ``fogline bench`` does.

    Attributes:
        only: Names of the benchmarks to run; all where empty.
        quick: Fewer and shorter rounds, to see that everything runs; its figures are rough.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    only: Annotated[tuple[str, ...], Field(strict=False)] = ()
    quick: bool = False


def run_suite(config: SpeedConfig, on_progress: OnProgress | None = None, command: str = "") -> SpeedReport:
    """Measure, benchmark after benchmark.

    Args:
        config: What to measure.
        on_progress: Called with benchmarks done, benchmarks in all, and the name of the one that begins.
        command: Kept in the report.

    Returns:
        The findings; a benchmark that could not run is among the failures, and the others are measured all the same.

    Raises:
        ConfigurationError: A name in ``only`` is no benchmark.
    """
    for name in config.only:
        check_choice("only", name, BENCHMARKS)
    began = perf_counter()
    started = datetime.now(UTC).isoformat(timespec="seconds")
    hardware = {**machine.hardware(), "load_before": machine.load()}
    names = [name for name in BENCHMARKS if name in config.only or not config.only]
    effort = QUICK if config.quick else FULL
    findings: list[Finding] = []
    failures: dict[str, str] = {}
    for done, name in enumerate(names):
        if on_progress is not None:
            on_progress(done, len(names), name)
        try:
            findings.extend(import_module(BENCHMARKS[name]).run(effort))
        except FoglineError as error:
            failures[name] = f"{type(error).__name__}: {error}"
    return SpeedReport(
        findings=tuple(findings),
        failures=failures,
        config=config.model_dump(mode="json"),
        versions=machine.versions(),
        hardware={**hardware, "load_after": machine.load()},
        started=started,
        wall_clock_s=perf_counter() - began,
        command=command,
    )
