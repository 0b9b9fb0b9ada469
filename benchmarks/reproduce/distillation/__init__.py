"""Students of two strengths and their teacher: the stages that the reproductions of AOPD and SCOPE have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from fogline.benchmarks.reproduce import ReproduceConfig
from fogline.benchmarks.reproduce.cells import CellResult, Progress
from fogline.benchmarks.reproduce.distillation.plan import STRENGTHS, TEACHER, DistillationPlan, of
from fogline.benchmarks.reproduce.experiment import Experiment, Method
from fogline.benchmarks.reproduce.math_reasoning import math_experiment
from fogline.benchmarks.reproduce.math_reasoning.training import Measure
from fogline.benchmarks.reproduce.math_reasoning.warm_start import warm_policy
from fogline.benchmarks.reproduce.results import Arm, Claim
from fogline.trainers.teachers import LocalTeacher

TEACHER_SEED = 900

Rivals = Sequence[tuple[str, str]]
"""Pairs of methods that are compared: where tuning gives them different rates, the second runs at the first's too."""


def run_students(
    plan: DistillationPlan,
    methods: Mapping[str, Method],
    rivals: Rivals,
    config: ReproduceConfig,
    progress: Progress,
    *,
    more: Measure | None = None,
    later: Mapping[str, Method] | None = None,
) -> tuple[list[CellResult], list[CellResult], dict[str, float]]:
    """The teacher, then for each strength warm starts, learning rates and arms.

    Returns:
        Starts (the teacher's among them), arms under the names of :func:`~.plan.of`, and the rates that were chosen.

    Raises:
        InfrastructureError: A warm start or every tuning run of a method failed: nothing can follow.
    """
    above = math_experiment(plan.of_teacher(), {}, config, progress, place=TEACHER)
    starts = [replace(cell, arm=TEACHER) for cell in above.warm_starts((TEACHER_SEED,))]
    teacher = partial(open_teacher, plan, above.folder / "warm")
    arms: list[CellResult] = []
    chosen: dict[str, float] = {}
    for strength in STRENGTHS:
        students = math_experiment(
            plan.student(strength), methods, config, progress, place=strength, teacher=teacher, more=more
        )
        begun, cells, rates = run_arms(students, rivals, strength, later)
        starts += begun
        arms += cells
        chosen |= rates
    return starts, arms, chosen


def run_arms(
    students: Experiment, rivals: Rivals, label: str, later: Mapping[str, Method] | None = None
) -> tuple[list[CellResult], list[CellResult], dict[str, float]]:
    """Warm starts, learning rates, arms, rivals at equal rates and what was added later, all named after a label."""
    seeds = students.plan.seeds
    starts = [cell for cell in students.warm_starts() if cell.seed in seeds]
    rates = students.rates()
    cells = students.arms(rates, dict.fromkeys(students.methods, seeds))
    controls = {**at_equal_rates(students.methods, rates, rivals), **(later or {})}
    cells += students.controls(controls, rates, seeds)
    named = {of(name, label): rate for name, rate in rates.items()}
    return _named(starts, label), _named(cells, label), named


def at_equal_rates(methods: Mapping[str, Method], rates: Mapping[str, float], rivals: Rivals) -> dict[str, Method]:
    """The rival of each pair at the first's rate, where tuning has given it another."""
    controls: dict[str, Method] = {}
    for name, rival in rivals:
        rated, against = (methods[each].tuned_as or each for each in (name, rival))
        if rates[rated] != rates[against]:
            controls[_control(name, rival)] = replace(methods[rival], tuned_as=rated)
    return controls


def claims_at_equal_rates(
    claims: Sequence[Claim], rivals: Rivals, labels: Sequence[str], arms: Sequence[Arm]
) -> list[Claim]:
    """The claims once more against each rival at the arm's own rate, where such an arm was run."""
    run = {arm.name for arm in arms}
    controls = {
        (of(name, label), of(rival, label)): control
        for label in labels
        for name, rival in rivals
        if (control := of(_control(name, rival), label)) in run
    }
    again = []
    for claim in claims:
        baseline = controls.get((claim.arm, claim.baseline))
        if baseline is not None:
            paper = claim.paper.model_copy(update={"source": f"{claim.paper.source}; at equal rates"})
            again.append(claim.model_copy(update={"baseline": baseline, "paper": paper}))
    return again


def open_teacher(plan: DistillationPlan, folder: Path) -> LocalTeacher:
    """The teacher of all students."""
    return LocalTeacher(warm_policy(plan, folder, TEACHER_SEED, TEACHER))


def both(methods: Sequence[str]) -> tuple[str, ...]:
    """Names of the arms of these methods, from both strengths."""
    return tuple(of(name, strength) for strength in STRENGTHS for name in methods)


def _control(name: str, rival: str) -> str:
    return f"{rival} at the rate of {name}"


def _named(cells: Sequence[CellResult], label: str) -> list[CellResult]:
    return [replace(cell, arm=of(cell.arm, label)) for cell in cells]
