"""Is a simulator fitted on a log good enough to learn a shop's strategy in? PPO in each, tested in the true market."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from statistics import fmean

from fogline.benchmarks.reproduce import ReproduceConfig
from fogline.benchmarks.reproduce.cells import Cell, Progress, run_cells
from fogline.benchmarks.reproduce.pghs_strategy.plan import (
    ARMS,
    CLAIMS,
    CONSTANT_HYBRID,
    CONSTANT_TRUE,
    FULL,
    GAP,
    HYBRID,
    PAPER,
    PROFIT,
    QUICK,
)
from fogline.benchmarks.reproduce.pghs_strategy.running import run_arm
from fogline.benchmarks.reproduce.results import Arm, Findings, Plot, arms_of, curve_of, failures_of, judge
from fogline.simulators.merchants.trading import ACTIONS

PROMISED = "promised"


def reproduce(config: ReproduceConfig, progress: Progress) -> Findings:
    """Markets, arms, verdicts."""
    plan = QUICK if config.quick else FULL
    if config.seeds:
        plan = plan.model_copy(update={"seeds": config.seeds})
    cells = run_cells(
        [Cell(name, seed) for seed in plan.seeds for name in ARMS],
        partial(run_arm, plan),
        config.cells_folder / "arms",
        config={**plan.shapes(), "arms": {name: vars(arm) for name, arm in ARMS.items()}},
        workers=config.workers,
        resume=config.resume,
        on_progress=progress,
    )
    arms = arms_of(cells)
    learners = [name for name, arm in ARMS.items() if arm.kind == "ppo"]
    curves = [curve_of(cells, name, PROMISED, "periods played") for name in learners]
    return Findings(
        system="pghs-strategy",
        claim="PPO trained in the fitted hybrid runs shops better than the best constant, or PPO trained in one branch",
        paper=dict(PAPER),
        config={"quick": config.quick, **plan.model_dump(mode="json")},
        plan={"claims": [claim.model_dump(mode="json", exclude_defaults=True) for claim in CLAIMS], **plan.stated()},
        arms=arms,
        comparisons=judge(arms, CLAIMS),
        curves=tuple(curve for curve in curves if curve.x),
        plots=(Plot(name="learning", title="Profit that a simulator promises its learner", metric=PROMISED,
                    y_label=PROFIT),),
        failures=failures_of(cells),
        notes=tuple(_notes(arms)),
    )  # fmt: skip


def _notes(arms: Sequence[Arm]) -> list[str]:
    """What each simulator promised beyond what the market kept, and by which lever it was exploited."""
    notes = []
    for arm in arms:
        if ARMS[arm.name].kind != "ppo" or ARMS[arm.name].simulator == "world":
            continue
        means = {name: _mean(arm, f"overstated, {name}") for name in ("level", "change", *ACTIONS)}
        levers = {name: value for name in ACTIONS if (value := means[name]) is not None}
        gap = _mean(arm, GAP)
        if gap is None or not levers:
            continue
        worst = max(levers, key=lambda name: levers[name])
        notes.append(
            f"{arm.name}: promised {gap:+.3f} usual profits a period above what the market paid; order rates are "
            f"overstated by {means['level']:+.1f} points at the usual page, and the change to the pages shown by "
            f"{means['change']:+.1f}, most of it by {worst} ({levers[worst]:+.1f} alone)."
        )
    by_name = {arm.name: arm for arm in arms}
    for rival in (CONSTANT_HYBRID, CONSTANT_TRUE):
        if {HYBRID, rival} <= set(by_name):
            ours, theirs = by_name[HYBRID].known(PROFIT), by_name[rival].known(PROFIT)
            better = sum(ours[seed] > theirs[seed] for seed in ours if seed in theirs)
            notes.append(f"{HYBRID} earns more than the {rival} in {better} of {len(ours)} markets.")
    return notes


def _mean(arm: Arm, metric: str) -> float | None:
    values = list(arm.known(metric).values())
    return fmean(values) if values else None
