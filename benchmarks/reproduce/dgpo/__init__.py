"""DGPO (arXiv 2603.14389) with a tiny language model: does a soft boundary learn more than a hard one, or none?

In three stages, each resumable by arm and seed: warm starts, a choice of learning rates, and the arms of the plan.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from fogline.benchmarks.reproduce import ReproduceConfig
from fogline.benchmarks.reproduce.cells import CellResult, Progress
from fogline.benchmarks.reproduce.dgpo.plan import (
    AFTERWARDS,
    CE_GPPO,
    CISPO,
    CLAIMS,
    DGPO,
    FULL,
    GPPO,
    GRPO,
    HEADLINE,
    LOG_LARGEST,
    LOG_WEIGHT,
    METHODS,
    PAPER,
    QUICK,
    SWEPT,
)
from fogline.benchmarks.reproduce.experiment import ACCURACY, curves_of, described
from fogline.benchmarks.reproduce.math_reasoning import math_experiment
from fogline.benchmarks.reproduce.math_reasoning.plan import ENTROPY
from fogline.benchmarks.reproduce.math_reasoning.training import LARGEST, LEFT, RIGHT, WEIGHT
from fogline.benchmarks.reproduce.results import (
    Arm,
    Findings,
    Plot,
    Published,
    arms_of,
    compare,
    failures_of,
    judge,
)


def reproduce(config: ReproduceConfig, progress: Progress) -> Findings:
    """Warm starts, tuning, arms; verdicts against the published comparisons.

    Raises:
        InfrastructureError: A warm start or every tuning run of a method failed: nothing can follow.
    """
    plan = QUICK if config.quick else FULL
    if config.seeds:
        plan = plan.model_copy(update={"seeds": config.seeds, "swept_seeds": config.seeds})
    experiment = math_experiment(plan, METHODS, config, progress)
    warm = experiment.warm_starts()
    rates = experiment.rates()
    cells = with_logarithms(experiment.arms(rates, {name: plan.seeds_of(name) for name in METHODS}))
    arms = arms_of(cells)
    return Findings(
        system="dgpo",
        claim=(
            "With a gradient that fades outside the trust region DGPO learns no less than GRPO, and what it lets "
            "through at the left boundary stays bounded, where GPPO's and CISPO's grows as tokens die"
        ),
        paper=dict(PAPER),
        config={"quick": config.quick, **plan.model_dump(mode="json")},
        plan={"arms": described(METHODS), "rates_chosen": rates, **plan.stated()},
        arms=(*arms_of([cell for cell in warm if cell.seed in plan.seeds]), *arms),
        comparisons=judge(arms, (*CLAIMS, *AFTERWARDS)),
        curves=curves_of(cells, (ACCURACY, ENTROPY, LEFT, RIGHT, WEIGHT, LARGEST, LOG_WEIGHT)),
        plots=_PLOTS,
        failures=failures_of(cells),
        notes=_notes(arms),
    )


def with_logarithms(cells: Sequence[CellResult]) -> list[CellResult]:
    """Cells with the logarithms of their weights beside them, where there are any and a loss lets something through."""
    return [_with_logarithms(cell) if cell.status == "done" else cell for cell in cells]


def _with_logarithms(cell: CellResult) -> CellResult:
    metrics: dict[str, Any] = dict(cell.value["metrics"])
    for name, logarithm in ((WEIGHT, LOG_WEIGHT), (LARGEST, LOG_LARGEST)):
        weight = metrics[name]
        metrics[logarithm] = math.log10(weight) if weight else None
    curves: dict[str, Any] = dict(cell.value["curves"])
    curves[LOG_WEIGHT] = [[x, math.log10(weight)] for x, weight in curves[WEIGHT] if weight > 0]
    value: Mapping[str, Any] = {**cell.value, "metrics": metrics, "curves": curves}
    return replace(cell, value=value)


_PLOTS = (
    Plot(name="accuracy", title="Sampled accuracy on unseen problems", metric=ACCURACY, y_label="share",
         arms=tuple(HEADLINE)),
    Plot(name="entropy", title="Entropy of the policy during training", metric=ENTROPY, y_label="nats a token",
         arms=tuple(HEADLINE)),
    Plot(name="left-weight", title="Mean weight left to tokens that fell below the band (GRPO, DAPO, ASPO: 0)",
         metric=LOG_WEIGHT, y_label="log10 of w = F(r)/r", arms=(CISPO, GPPO, CE_GPPO, DGPO)),
)  # fmt: skip


def _against_grpo(arms: Sequence[Arm], name: str) -> str:
    """Difference in accuracy on the seeds that both have; empty where one is missing."""
    if not {name, GRPO} <= {arm.name for arm in arms}:
        return ""
    found = compare(arms, ACCURACY, name, GRPO, paper=Published(direction="higher"), margin=0.0)
    return "" if found.difference is None else f"{name} {found.difference:+.3f}"


def _notes(arms: Sequence[Arm]) -> tuple[str, ...]:
    largest = {arm.name: max(values.values()) for arm in arms if (values := arm.known(LARGEST))}
    shown = ", ".join(f"{name} {largest[name]:.3g}" for name in HEADLINE if name in largest)
    notes = [f"Largest left weight of a token, over all seeds and updates: {shown}. DGPO's cannot exceed 1 for any n."]
    swept = [_against_grpo(arms, name) for name in SWEPT]
    if any(swept):
        notes.append(
            "What was tried for an accuracy above GRPO's: every n and m. Against GRPO on the seeds of the sweep: "
            f"{', '.join(filter(None, swept))}."
        )
    return (
        *notes,
        "Weights of CISPO, GPPO and CE-GPPO have tails such that a mean over seeds is that of its largest, and the "
        "planned comparisons of means show nothing. Their logarithms were compared afterwards; the plan did not name "
        "them.",
        "The model has some 80,000 weights and is trained from scratch: this is another world than the paper's. An "
        "answer has two to seven tokens; the paper's have thousands, and a trust region that is left token by token "
        "has more to do there.",
        "Bounded weights follow from the closed form and are tested as such; what is measured here is how often and "
        "how far tokens leave the band in training, and whether it matters.",
    )
