"""Silo-Bench (arXiv 2603.01045): an illustration of its communication-reasoning gap, without a language model.

Agents are told everything and compute without a mistake, but from what one bounded memory holds. What follows from that
alone for success S, partial correctness P and relative coordination cost RCC is set beside what the paper measured.
"""

from __future__ import annotations

from functools import partial

from fogline.benchmarks.reproduce import ReproduceConfig
from fogline.benchmarks.reproduce.cells import Cell, Progress, run_cells
from fogline.benchmarks.reproduce.results import Findings, compare, failures_of
from fogline.benchmarks.reproduce.silo_bench.figures import arms_of_cells, curves_of, notes_of
from fogline.benchmarks.reproduce.silo_bench.plan import CLAIMS, FULL, PAPER, QUICK
from fogline.benchmarks.reproduce.silo_bench.playing import play_arm


def reproduce(config: ReproduceConfig, progress: Progress) -> Findings:
    """Play every arm on every seed, and set the figures beside the paper's."""
    plan = QUICK if config.quick else FULL
    if config.seeds:
        plan = plan.model_copy(update={"seeds": config.seeds})
    cells = run_cells(
        [Cell(arm, seed) for arm in plan.arms for seed in plan.seeds],
        partial(play_arm, plan),
        config.cells_folder,
        config=plan.shapes(),
        workers=config.workers,
        resume=config.resume,
        on_progress=progress,
    )
    arms = arms_of_cells(plan, cells)
    ran = {arm.name for arm in arms}
    return Findings(
        system="silo-bench",
        claim=(
            "An illustration, not a confirmation: agents without a language model that are told everything, and "
            "integrate it with one bounded memory, succeed (S) less and less as N grows, while partial correctness (P) "
            "falls less. The paper saw such a gap and put it down to reasoning; nothing here shows why models fail"
        ),
        paper=dict(PAPER),
        config={"quick": config.quick, **plan.model_dump(mode="json")},
        plan=plan.stated(),
        arms=arms,
        comparisons=tuple(
            compare(arms, metric, arm, baseline, paper=published, margin=margin)
            for metric, arm, baseline, margin, published in CLAIMS
            if {arm, baseline} <= ran
        ),
        curves=curves_of(plan, cells),
        failures=failures_of(cells),
        notes=notes_of(plan, cells),
    )
