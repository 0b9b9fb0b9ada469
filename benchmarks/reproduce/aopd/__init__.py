"""AOPD (arXiv 2605.06387) with tiny language models: is imitation better where the teacher disagrees?

In stages, each resumable by arm and seed: the exploration test, a teacher, and for students of two strengths warm
starts, learning rates and the arms of the plan.
"""

from __future__ import annotations

from functools import partial

from fogline.benchmarks.reproduce import ReproduceConfig
from fogline.benchmarks.reproduce.aopd.plan import (
    AOPD,
    BUCKET,
    CLAIMS,
    FULL,
    GKD,
    GRPO,
    METHODS,
    OPD,
    PAPER,
    QUICK,
    RECOVERY,
    RIVALS,
)
from fogline.benchmarks.reproduce.aopd.recovery import recover
from fogline.benchmarks.reproduce.cells import Cell, Progress, run_cells
from fogline.benchmarks.reproduce.distillation import both, claims_at_equal_rates, run_students
from fogline.benchmarks.reproduce.distillation.plan import STRENGTHS
from fogline.benchmarks.reproduce.experiment import ACCURACY, curves_of, described
from fogline.benchmarks.reproduce.math_reasoning.plan import ENTROPY
from fogline.benchmarks.reproduce.math_reasoning.training import IMITATED
from fogline.benchmarks.reproduce.results import Findings, Plot, arms_of, failures_of, judge

_SHOWN = both((GRPO, OPD, GKD, AOPD, BUCKET))


def reproduce(config: ReproduceConfig, progress: Progress) -> Findings:
    """Exploration, teacher, students; verdicts against the published gains.

    Raises:
        InfrastructureError: A warm start or every tuning run of a method failed: nothing can follow.
    """
    plan = QUICK if config.quick else FULL
    if config.seeds:
        plan = plan.model_copy(update={"seeds": config.seeds})
    recovered = run_cells(
        [Cell(name, seed) for name in RECOVERY.values() for seed in plan.recovery_seeds],
        partial(recover, plan),
        config.cells_folder / "recovery",
        config={"limit": plan.recovery_limit, "samples": plan.recovery_samples},
        workers=config.workers,
        resume=config.resume,
        on_progress=progress,
    )
    starts, cells, rates = run_students(plan, METHODS, RIVALS, config, progress)
    arms = (*arms_of(starts), *arms_of(recovered), *arms_of(cells))
    equal = claims_at_equal_rates(CLAIMS, RIVALS, STRENGTHS, arms)
    return Findings(
        system="aopd",
        claim=(
            "Where the teacher likes a token less than the student does, imitating its top tokens teaches more than "
            "pushing the token down, most of all from a weak start"
        ),
        paper=dict(PAPER),
        config={"quick": config.quick, **plan.model_dump(mode="json")},
        plan={"arms": described(METHODS), "rates_chosen": rates, **plan.stated()},
        arms=arms,
        comparisons=judge(arms, (*CLAIMS, *equal)),
        curves=curves_of(cells, (ACCURACY, ENTROPY, IMITATED)),
        plots=(
            Plot(name="accuracy", title="Sampled accuracy on unseen problems", metric=ACCURACY, y_label="share",
                 arms=_SHOWN),
            Plot(name="entropy", title="Entropy during training", metric=ENTROPY, y_label="nats a token", arms=_SHOWN),
        ),
        failures=(*failures_of(recovered), *failures_of(cells)),
        notes=(
            "The models have some 80,000 weights (the teacher more) and are trained from scratch: this is another "
            "world than the paper's. What is left of an earlier skill is another reproduction, aopd-retention.",
        ),
    )  # fmt: skip
