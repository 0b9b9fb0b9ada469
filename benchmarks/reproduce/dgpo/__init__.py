"""DGPO (arXiv 2603.14389) with a tiny language model: does a soft boundary learn more than a hard one, or none?

In three stages, each resumable by arm and seed: warm starts, a choice of learning rates, and the arms of the plan.
"""

from __future__ import annotations

from collections.abc import Sequence

from fogline.benchmarks.reproduce import ReproduceConfig
from fogline.benchmarks.reproduce.cells import Progress
from fogline.benchmarks.reproduce.dgpo.plan import (
    CE_GPPO,
    CISPO,
    CLAIMS,
    DGPO,
    FULL,
    GPPO,
    GRPO,
    HEADLINE,
    METHODS,
    PAPER,
    QUICK,
)
from fogline.benchmarks.reproduce.math_reasoning import Experiment, curves_of, described
from fogline.benchmarks.reproduce.math_reasoning.plan import ACCURACY, ENTROPY
from fogline.benchmarks.reproduce.math_reasoning.training import LARGEST, LEFT, RIGHT, WEIGHT
from fogline.benchmarks.reproduce.results import Arm, Findings, Plot, arms_of, failures_of, judge


def reproduce(config: ReproduceConfig, progress: Progress) -> Findings:
    """Warm starts, tuning, arms; verdicts against the published comparisons.

    Raises:
        InfrastructureError: A warm start or every tuning run of a method failed: nothing can follow.
    """
    plan = QUICK if config.quick else FULL
    if config.seeds:
        plan = plan.model_copy(update={"seeds": config.seeds, "swept_seeds": config.seeds})
    experiment = Experiment(plan, METHODS, config, progress)
    warm = experiment.warm_starts()
    rates = experiment.rates()
    cells = experiment.arms(rates, {name: plan.seeds_of(name) for name in METHODS})
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
        comparisons=judge(arms, CLAIMS),
        curves=curves_of(cells, (ACCURACY, ENTROPY, LEFT, RIGHT, WEIGHT, LARGEST)),
        plots=_PLOTS,
        failures=failures_of(cells),
        notes=_notes(arms),
    )


_PLOTS = (
    Plot(name="accuracy", title="Sampled accuracy on unseen problems", metric=ACCURACY, y_label="share",
         arms=tuple(HEADLINE)),
    Plot(name="entropy", title="Entropy of the policy during training", metric=ENTROPY, y_label="nats a token",
         arms=tuple(HEADLINE)),
    Plot(name="left-weight", title="Mean weight left to tokens that fell below the band (0 where a loss clips)",
         metric=WEIGHT, y_label="w = F(r)/r", arms=(GRPO, CE_GPPO, DGPO)),
    Plot(name="left-weight-unbounded", title="The same, where it is not bounded", metric=WEIGHT,
         y_label="w = F(r)/r", arms=(CISPO, GPPO, CE_GPPO, DGPO)),
)  # fmt: skip


def _notes(arms: Sequence[Arm]) -> tuple[str, ...]:
    largest = {arm.name: max(values.values()) for arm in arms if (values := arm.known(LARGEST))}
    shown = ", ".join(f"{name} {largest[name]:.3g}" for name in HEADLINE if name in largest)
    return (
        f"Largest left weight of any token, over all seeds and updates: {shown}. DGPO's cannot exceed 1 for any n.",
        "The model has some 80,000 weights and is trained from scratch: this is another world than the paper's. An "
        "answer has two to seven tokens; the paper's have thousands, and a trust region that is left token by token "
        "has more to do there.",
        "Bounded weights follow from the closed form and are tested as such; what is measured here is how often and "
        "how far tokens leave the band in training, and whether it matters.",
    )
