"""TRUST-SQL (arXiv 2603.16448) with a tiny language model: does a second track beat one, and what does it cost?

In three stages, each resumable by arm and seed: a warm start for each form of the environment, a choice of learning
rates on seeds and databases of their own, and the arms of the plan.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from statistics import fmean

from fogline.benchmarks.reproduce import ReproduceConfig
from fogline.benchmarks.reproduce.cells import Cell, CellResult, Progress, run_cells
from fogline.benchmarks.reproduce.results import Arm, Findings, arms_of, compare, curve_of, failures_of
from fogline.benchmarks.reproduce.trust_sql.plan import ARMS, CLAIMS, FULL, PAPER, QUICK, Plan, tuned_arms
from fogline.benchmarks.reproduce.trust_sql.training import train_arm
from fogline.benchmarks.reproduce.trust_sql.warm_start import warm_start
from fogline.core.errors import InfrastructureError


def reproduce(config: ReproduceConfig, progress: Progress) -> Findings:
    """Warm starts, tuning, arms; verdicts against the published ablations.

    Raises:
        InfrastructureError: A warm start or every tuning run of an arm failed: nothing can follow.
    """
    plan = QUICK if config.quick else FULL
    if config.seeds:
        plan = plan.model_copy(update={"seeds": config.seeds})
    folder = config.cells_folder
    warm = _warm_starts(plan, config, progress)
    rates = _tuned(plan, config, progress)
    cells = run_cells(
        [Cell(arm, seed) for arm in ARMS for seed in plan.seeds],
        partial(train_arm, plan, rates, folder / "warm"),
        folder / "arms",
        config={**plan.shapes(), "rates": rates},
        workers=config.workers,
        resume=config.resume,
        on_progress=progress,
    )
    arms = arms_of(cells)
    ran = {arm.name for arm in arms}
    return Findings(
        system="trust-sql",
        claim=(
            "Dual-Track GRPO answers more questions over unknown schemas than execution-only GRPO and than one summed "
            "reward; the Propose checkpoint lowers hallucination"
        ),
        paper=PAPER,
        config={"quick": config.quick, **plan.model_dump(mode="json")},
        plan={"arms": dict(ARMS), "rates_chosen": rates, **plan.stated()},
        arms=(*arms_of(warm), *arms),
        comparisons=tuple(
            compare(arms, metric, arm, baseline, paper=published, margin=margin)
            for metric, arm, baseline, margin, published in CLAIMS
            if {arm, baseline} <= ran
        ),
        curves=tuple(curve_of(cells, arm.name, "ex", "updates") for arm in arms),
        failures=failures_of(cells),
        notes=_notes(plan, warm, arms),
    )


def _warm_starts(plan: Plan, config: ReproduceConfig, progress: Progress) -> list[CellResult]:
    folder = config.cells_folder / "warm"
    cells = [Cell(form, 0) for form in plan.forms]
    found = run_cells(
        cells,
        partial(warm_start, plan, folder),
        folder,
        config=plan.warm_shapes(),
        workers=config.workers,
        resume=config.resume,
        on_progress=progress,
    )
    for failure in failures_of(found):
        raise InfrastructureError(f"the warm start {failure.arm!r} failed ({failure.error}): see its file in {folder}.")
    return found


def _tuned(plan: Plan, config: ReproduceConfig, progress: Progress) -> dict[str, float]:
    """The learning rate of each tuned arm: best mean reward on the validation databases, over the tuning seeds."""
    candidates = {f"{arm}@{rate:g}": (arm, rate) for arm in tuned_arms() for rate in plan.learning_rates}
    cells = run_cells(
        [Cell(name, seed) for name in candidates for seed in plan.tuning_seeds],
        partial(train_arm, plan, {}, config.cells_folder / "warm"),
        config.cells_folder / "tuning",
        config=plan.shapes(),
        workers=config.workers,
        resume=config.resume,
        on_progress=progress,
    )
    means: dict[str, dict[float, float]] = {}
    for arm in arms_of(cells):
        values = arm.known("reward").values()
        name, rate = candidates[arm.name]
        means.setdefault(name, {})[rate] = sum(values) / len(values)
    missing = sorted(set(tuned_arms()) - set(means))
    if missing:
        folder = config.cells_folder / "tuning"
        raise InfrastructureError(f"every tuning run of {missing[0]!r} failed: see the files in {folder}.")
    return {name: max(found, key=lambda rate: (found[rate], -rate)) for name, found in means.items()}


def _notes(plan: Plan, warm: list[CellResult], arms: Sequence[Arm]) -> tuple[str, ...]:
    wanted = plan.start_between
    notes = []
    for cell in warm:
        start = cell.value["metrics"]["ex"]
        inside = start is not None and wanted[0] <= start <= wanted[1]
        notes.append(
            f"{cell.arm}: greedy execution accuracy after the warm start is {start:.1%}, "
            f"{'inside' if inside else 'OUTSIDE'} the planned {wanted[0]:.0%} to {wanted[1]:.0%}."
        )
    exact = {arm.name: list(arm.known("schema_exact").values()) for arm in arms}
    shares = ", ".join(f"{name} {fmean(values):.0%}" for name, values in exact.items() if values and any(values))
    return (
        *notes,
        "Seen afterwards, not planned: the share of questions whose proposal is exactly the needed schema is "
        f"{shares} after training. The second track does what it is paid for; whether answers follow is what the "
        "comparisons say.",
        "The model has some 300,000 weights and is trained from scratch: this is another world than the paper's.",
        "All arms of one form begin with the same warm start; seeds differ in tasks, their order and sampling.",
    )
