"""AOPD (arXiv 2605.06387): does less of an earlier skill go when a second one is learned?

In stages, each resumable by arm and seed: a specialist of the second skill, who teaches; warm starts with both skills;
the arms of the plan.
"""

from __future__ import annotations

from fogline.benchmarks.reproduce import ReproduceConfig
from fogline.benchmarks.reproduce.aopd_retention.plan import CLAIMS, FIRST, FULL, METHODS, PAPER, QUICK
from fogline.benchmarks.reproduce.aopd_retention.two_skills import adapt
from fogline.benchmarks.reproduce.cells import Progress
from fogline.benchmarks.reproduce.experiment import ACCURACY, curves_of, described
from fogline.benchmarks.reproduce.math_reasoning.plan import ENTROPY
from fogline.benchmarks.reproduce.results import Findings, Plot, arms_of, failures_of, judge


def reproduce(config: ReproduceConfig, progress: Progress) -> Findings:
    """Specialist, students, verdicts.

    Raises:
        InfrastructureError: A warm start failed: nothing can follow.
    """
    plan = QUICK if config.quick else FULL
    if config.seeds:
        plan = plan.model_copy(update={"seeds": config.seeds})
    starts, cells, rates = adapt(plan, METHODS, config, progress)
    arms = arms_of([*starts, *cells])
    return Findings(
        system="aopd-retention",
        claim="Where AOPD teaches a second skill, less of the first is lost than where OPD does",
        paper=dict(PAPER),
        config={"quick": config.quick, **plan.model_dump(mode="json")},
        plan={"arms": described(METHODS), "rates": rates, **plan.stated()},
        arms=arms,
        comparisons=judge(arms, CLAIMS),
        curves=curves_of(cells, (ACCURACY, ENTROPY)),
        plots=(
            Plot(name="accuracy", title="Sampled accuracy at the second skill", metric=ACCURACY, y_label="share",
                 arms=tuple(METHODS)),
        ),
        failures=failures_of(cells),
        notes=(
            f"'{FIRST}' is measured once training of the second has ended. SeqKD imitates the teacher's own answers; "
            "all other methods learn from the student's.",
        ),
    )  # fmt: skip
