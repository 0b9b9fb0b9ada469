"""Students of two strengths and their teacher: the stages that the reproductions of AOPD and SCOPE have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from fogline.benchmarks.reproduce import ReproduceConfig
from fogline.benchmarks.reproduce.cells import CellResult, Progress
from fogline.benchmarks.reproduce.distillation.plan import STRENGTHS, TEACHER, DistillationPlan, of
from fogline.benchmarks.reproduce.math_reasoning import Experiment
from fogline.benchmarks.reproduce.math_reasoning.plan import Method
from fogline.benchmarks.reproduce.math_reasoning.training import Measure
from fogline.benchmarks.reproduce.math_reasoning.warm_start import warm_policy
from fogline.trainers.teachers import LocalTeacher

TEACHER_SEED = 900


def run_students(
    plan: DistillationPlan,
    methods: Mapping[str, Method],
    config: ReproduceConfig,
    progress: Progress,
    more: Measure | None = None,
) -> tuple[list[CellResult], list[CellResult], dict[str, float]]:
    """The teacher, then for each strength warm starts, learning rates and arms.

    Returns:
        Starts (the teacher's among them), arms under the names of :func:`~.plan.of`, and the rates that were chosen.

    Raises:
        InfrastructureError: A warm start or every tuning run of a method failed: nothing can follow.
    """
    above = Experiment(plan.of_teacher(), {}, config, progress, place=TEACHER)
    starts = [replace(cell, arm=TEACHER) for cell in above.warm_starts((TEACHER_SEED,))]
    teacher = partial(open_teacher, above.folder / "warm")
    arms: list[CellResult] = []
    chosen: dict[str, float] = {}
    for strength in STRENGTHS:
        students = Experiment(
            plan.student(strength), methods, config, progress, place=strength, teacher=teacher, more=more
        )
        found = [cell for cell in students.warm_starts() if cell.seed in plan.seeds]
        starts += [replace(cell, arm=of(cell.arm, strength)) for cell in found]
        rates = students.rates()
        cells = students.arms(rates, dict.fromkeys(methods, plan.seeds))
        arms += [replace(cell, arm=of(cell.arm, strength)) for cell in cells]
        chosen |= {of(name, strength): rate for name, rate in rates.items()}
    return starts, arms, chosen


def open_teacher(folder: Path) -> LocalTeacher:
    """The teacher of all students."""
    return LocalTeacher(warm_policy(folder, TEACHER_SEED, TEACHER))


def both(methods: Sequence[str]) -> tuple[str, ...]:
    """Names of the arms of these methods, from both strengths."""
    return tuple(of(name, strength) for strength in STRENGTHS for name in methods)
