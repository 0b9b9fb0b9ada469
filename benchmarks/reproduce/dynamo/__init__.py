"""DynaMO (arXiv 2602.19208) with a tiny language model: what its allocation saves, and what its two levels teach.

In stages, each resumable by arm and seed: warm starts, a choice of learning rates, the gradient's variance under each
allocation, and learning curves at an equal number of answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from statistics import fmean

from fogline.benchmarks.reproduce import ReproduceConfig
from fogline.benchmarks.reproduce.cells import Cell, CellResult, Progress
from fogline.benchmarks.reproduce.dynamo.plan import (
    AFTERWARDS,
    ALLOCATIONS,
    BEST,
    CLAIMS,
    CONTROLS,
    DYNAMO,
    EFFICIENCY,
    FREE,
    FULL,
    HALF,
    HALF_KNOWN,
    LATER,
    METHODS,
    ONE,
    PAPER,
    QUICK,
    REDUCTION,
    RULE,
    SAME_RATE,
    START,
    UNIFORM,
    at,
)
from fogline.benchmarks.reproduce.dynamo.variance import measure_variance
from fogline.benchmarks.reproduce.experiment import ACCURACY, curves_of, described
from fogline.benchmarks.reproduce.math_reasoning import math_experiment
from fogline.benchmarks.reproduce.math_reasoning.plan import ENTROPY
from fogline.benchmarks.reproduce.math_reasoning.training import REWARD, SPREAD
from fogline.benchmarks.reproduce.results import Arm, Findings, Plot, arms_of, failures_of, judge


def reproduce(config: ReproduceConfig, progress: Progress) -> Findings:
    """Warm starts, tuning, variances, arms; verdicts against the theorem and the published comparisons.

    Raises:
        InfrastructureError: A warm start or every tuning run of a method failed: nothing can follow.
    """
    plan = QUICK if config.quick else FULL
    if config.seeds:
        plan = plan.model_copy(update={"seeds": config.seeds})
    experiment = math_experiment(plan, METHODS, config, progress)
    warm = experiment.warm_starts()
    rates = experiment.rates()
    variances = experiment.stage(
        "variance",
        [Cell(stage, seed) for stage in (START, LATER) for seed in plan.seeds],
        partial(measure_variance, plan, rates, experiment.folder / "warm"),
        {**plan.shapes(), "rate": rates[UNIFORM]},
    )
    cells = experiment.arms(rates, dict.fromkeys(METHODS, plan.seeds))
    cells += experiment.controls(CONTROLS, rates, plan.seeds)
    arms = (*arms_of(by_allocation(variances)), *arms_of(cells))
    return Findings(
        system="dynamo",
        claim=(
            "Answers allotted by the spread of correctness make the gradient vary less than an even share, near the "
            "optimum; allotted so, and modulated by entropy, they teach more"
        ),
        paper=dict(PAPER),
        config={"quick": config.quick, **plan.model_dump(mode="json")},
        plan={
            "arms": described(METHODS),
            "allocations": list(ALLOCATIONS),
            "rates_chosen": rates,
            **plan.stated(),
        },
        arms=(*arms_of([cell for cell in warm if cell.seed in plan.seeds]), *arms),
        comparisons=judge(arms, (*CLAIMS, *AFTERWARDS)),
        curves=curves_of(cells, (ACCURACY, REWARD, ENTROPY, SPREAD)),
        plots=(
            Plot(name="accuracy", title="Sampled accuracy on unseen problems", metric=ACCURACY, y_label="share"),
            Plot(name="entropy", title="Entropy during training", metric=ENTROPY, y_label="nats a token"),
        ),
        failures=(*failures_of(variances), *failures_of(cells)),
        notes=(*_notes(variances, arms), *_of_rates(rates)),
    )


def by_allocation(cells: Sequence[CellResult]) -> list[CellResult]:
    """One result for each allocation at each stage; cells that failed are left out."""
    return [
        replace(cell, arm=at(allocation, cell.arm), value={"metrics": cell.value["allocations"][allocation]})
        for stage in (START, LATER)
        for allocation in ALLOCATIONS
        for cell in cells
        if (cell.arm, cell.status) == (stage, "done")
    ]


def _of_rates(rates: Mapping[str, float]) -> tuple[str, ...]:
    """What unequal learning rates do to a comparison."""
    if rates[DYNAMO] == rates[UNIFORM]:
        return ()
    return (
        f"Tuning on two seeds gave DynaMO the rate {rates[DYNAMO]:g} and '{UNIFORM}' {rates[UNIFORM]:g}, so that the "
        f"planned comparison of the two is also one of rates. '{SAME_RATE}' was added afterwards to tell them apart: "
        "the comparison against it is the one of methods.",
    )


def _notes(variances: Sequence[CellResult], arms: Sequence[Arm]) -> tuple[str, ...]:
    notes = []
    by_name = {arm.name: arm for arm in arms}
    for stage in (START, LATER):
        done = [cell.value["rates"] for cell in variances if (cell.arm, cell.status) == (stage, "done")]
        if not done:
            continue
        everything = [rate for rates in done for rate in rates]
        ends = [sum(rate in (0.0, 1.0) for rate in rates) / len(rates) for rates in done]
        cut = {
            name: fmean(by_name[at(name, stage)].known(REDUCTION).values())
            for name in (FREE, BEST, HALF_KNOWN, HALF, ONE, RULE)
        }
        kept = {name: fmean(by_name[at(name, stage)].known(EFFICIENCY).values()) for name in (HALF_KNOWN, HALF)}
        notes.append(
            f"At the stage '{stage}' the measured pass rates have mean {fmean(everything):.2f}; {fmean(ends):.0%} of "
            f"problems were always or never solved. The variance falls against an even share by {cut[BEST]:.1%} at "
            f"the optimum in the box, by {cut[FREE]:.1%} without one (the most that this mix allows), by "
            f"{cut[HALF_KNOWN]:.1%} with power 0.5 and known rates, {cut[HALF]:.1%} with rates from a few answers, "
            f"{cut[ONE]:.1%} with power 1, {cut[RULE]:.1%} by the released rule. The Bernoulli proxy costs "
            f"{1 / kept[HALF_KNOWN] - 1:.1%} of variance above the optimum in the box, counting "
            f"{kept[HALF_KNOWN] / kept[HALF] - 1:.1%} more."
        )
    return (
        *notes,
        "The theorem is of the mean over problems of (R - p) times the gradient of the log-probability. GRPO divides "
        "by the group's deviation, which takes p(1-p) out of the variance again: the last column says what the "
        "allocations do to that.",
        "The model has some 80,000 weights and is trained from scratch: this is another world than the paper's.",
    )
