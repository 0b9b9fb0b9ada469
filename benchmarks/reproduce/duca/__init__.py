"""DuCA (arXiv 2603.01481) with act policies: two horizons normalised apart, against one summed reward at any scale.

In three stages, each resumable by arm and seed: learning rates, and the weight of the honest rival, on seeds and
customers of their own; then the arms of the plan; then verdicts, beside the paper's three figures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from statistics import fmean

from fogline.benchmarks.reproduce import ReproduceConfig
from fogline.benchmarks.reproduce.cells import Cell, CellResult, Progress, run_cells
from fogline.benchmarks.reproduce.duca.plan import (
    ARMS,
    CLAIMS,
    FULL,
    HIAN,
    HIAN_SCALES,
    PAPER,
    QUICK,
    SCALES,
    SUM,
    TUNED,
    Arm,
    Plan,
    hian,
    rival,
    rival_arm,
    scoped,
    summed,
)
from fogline.benchmarks.reproduce.duca.training import train_arm
from fogline.benchmarks.reproduce.results import Arm as Measured
from fogline.benchmarks.reproduce.results import (
    Curve,
    Findings,
    Plot,
    arms_of,
    curve_of,
    failures_of,
    judge,
)
from fogline.core.errors import InfrastructureError
from fogline.core.intervals import student_t
from fogline.trainers.hian import SCOPES

Settings = Mapping[str, tuple[Arm, float]]
"""Arm and learning rate by name."""

SHARE, SCALE = "turn_share", "S, what a conversion pays"
SWEPT = ("conversion", "repetition", "detected", SHARE)


def reproduce(config: ReproduceConfig, progress: Progress) -> Findings:
    """Tuning, arms, verdicts.

    Raises:
        InfrastructureError: Every tuning run of an arm failed: nothing can follow.
    """
    plan = QUICK if config.quick else FULL
    if config.seeds:
        plan = plan.model_copy(update={"seeds": config.seeds, "headline_seeds": ()})
    chosen, scores = _tuned(plan, config, progress)
    cells = run_cells(
        [Cell(name, seed) for name in chosen for seed in plan.seeds_of(name)],
        partial(train_arm, plan, chosen),
        config.cells_folder / "arms",
        config={**plan.shapes(), "arms": _all_described(chosen)},
        workers=config.workers,
        resume=config.resume,
        on_progress=progress,
    )
    arms = arms_of(cells)
    return Findings(
        system="duca",
        claim=(
            "Against GRPO on the summed reward, HIAN converts no fewer customers, repeats itself and is detected far "
            "less, at any scale of the session reward"
        ),
        paper=dict(PAPER),
        config={"quick": config.quick, **plan.model_dump(mode="json")},
        plan={
            "arms": _all_described(chosen),
            "tuning_scores": scores,
            **plan.stated(),
        },
        arms=arms,
        comparisons=judge(arms, CLAIMS),
        curves=(*_over_training(cells, arms), *_over_scales(arms)),
        plots=_PLOTS,
        failures=failures_of(cells),
        notes=_notes(chosen, arms),
    )


def _tuned(
    plan: Plan, config: ReproduceConfig, progress: Progress
) -> tuple[dict[str, tuple[Arm, float]], dict[str, float]]:
    """Every arm with its best learning rate, the tuned rival included; and what each candidate scored."""
    candidates = {**ARMS, **{rival(weight): rival_arm(weight) for weight in plan.weights}}
    trials: Settings = {
        f"{name}@{rate:g}": (arm, rate) for name, arm in candidates.items() for rate in plan.learning_rates
    }
    cells = run_cells(
        [Cell(name, seed) for name in trials for seed in plan.tuning_seeds],
        partial(train_arm, plan, trials),
        config.cells_folder / "tuning",
        config={**plan.shapes(), "arms": _all_described(trials)},
        workers=config.workers,
        resume=config.resume,
        on_progress=progress,
    )
    scores = {arm.name: score for arm in arms_of(cells) if (score := _score(arm)) is not None}
    rates = {name: _best_rate(name, plan, scores, config) for name in candidates}

    def best(name: str) -> float:
        return scores[f"{name}@{rates[name]:g}"]

    # Of equal candidates max() takes the first: the smaller weight, and the earlier scope.
    weight = max(plan.weights, key=lambda weight: best(rival(weight)))
    found = max(map(scoped, SCOPES), key=best)
    chosen = {name: (arm, rates[name]) for name, arm in ARMS.items() if name != found}
    chosen |= {hian(scale): (replace(ARMS[found], scale=scale), rates[found]) for scale in HIAN_SCALES}
    chosen[TUNED] = (rival_arm(weight), rates[rival(weight)])
    return chosen, scores


def _best_rate(name: str, plan: Plan, scores: Mapping[str, float], config: ReproduceConfig) -> float:
    found = {rate: scores[f"{name}@{rate:g}"] for rate in plan.learning_rates if f"{name}@{rate:g}" in scores}
    if not found:
        raise InfrastructureError(
            f"every tuning run of {name!r} failed: see the files in {config.cells_folder / 'tuning'}."
        )
    return max(found, key=lambda rate: (found[rate], -rate))


def _score(arm: Measured) -> float | None:
    """Conversion minus repetition minus detection, mean over the seeds that can say all three."""
    columns = [arm.known(name) for name in ("conversion", "repetition", "detected")]
    seeds = set.intersection(*map(set, columns))
    return fmean(columns[0][seed] - columns[1][seed] - columns[2][seed] for seed in seeds) if seeds else None


def _all_described(settings: Settings) -> dict[str, str]:
    return {name: _described(arm, rate) for name, (arm, rate) in settings.items()}


def _described(arm: Arm, rate: float) -> str:
    paid = f"a conversion pays {arm.scale:g}" + ("" if arm.turns_paid else ", turns pay nothing")
    options = ", ".join(f"{name}={value}" for name, value in arm.options.items())
    return f"{arm.recipe} ({options}); {paid}; learning rate {rate:g}"


def _over_training(cells: Sequence[CellResult], arms: Sequence[Measured]) -> list[Curve]:
    curves = []
    for arm in arms:
        mine = [cell.value["curves"] for cell in cells if (cell.arm, cell.status) == (arm.name, "done")]
        for metric in ("train/conversion", SHARE):
            if all(metric in found for found in mine):
                curves.append(curve_of(cells, arm.name, metric, "updates"))
    return curves


def _over_scales(arms: Sequence[Measured]) -> list[Curve]:
    """The scale sweep: what both methods come to at each S."""
    by_name = {arm.name: arm for arm in arms}
    curves = []
    for label, name_of in ((HIAN, hian), (SUM, summed)):
        for metric in SWEPT:
            found = {
                scale: list(by_name[name_of(scale)].known(metric).values())
                for scale in SCALES
                if name_of(scale) in by_name
            }
            points = {scale: values for scale, values in found.items() if values}
            intervals = [student_t(values) for values in points.values()]
            curves.append(
                Curve(
                    arm=label,
                    metric=f"{metric} over S",
                    x_label=SCALE,
                    x=tuple(points),
                    mean=tuple(fmean(values) for values in points.values()),
                    low=tuple(None if interval is None else interval.low for interval in intervals),
                    high=tuple(None if interval is None else interval.high for interval in intervals),
                )
            )
    return curves


_PLOTS = (
    Plot(
        name="turn-share",
        title="Share of the advantage's variance that comes from the turns, during training",
        metric=SHARE,
        y_label="share",
        arms=(hian(1.0), *(summed(scale) for scale in SCALES)),
    ),
    *(
        Plot(
            name=f"{metric.replace('_', '-')}-over-scale",
            title=title,
            metric=f"{metric} over S",
            y_label="share",
            logarithmic=True,
        )
        for metric, title in (
            ("conversion", "Conversion at each scale of the session reward"),
            ("repetition", "Sentences that repeat earlier ones, at each scale of the session reward"),
            ("detected", "Calls in which the customer notices a machine, at each scale of the session reward"),
            (SHARE, "Turn share of the advantage's variance, at each scale of the session reward"),
        )
    ),
)


def _notes(chosen: Settings, arms: Sequence[Measured]) -> tuple[str, ...]:
    weight = 1.0 / chosen[TUNED][0].scale
    notes = [
        f"HIAN compares turns in the scope {chosen[hian(1.0)][0].options['turn_scope']!r}, chosen once, at S=1; the "
        "paper's is not known. The other scopes are arms of their own.",
        f"The tuned rival weighs the turn rewards {weight:g} times as much as a conversion's 1; it was chosen from "
        "candidates that HIAN did not need.",
        "Percentages beside the paper's are relative to the baseline; its environment, model, rewards and simulator "
        "are not public, so the sizes are not comparable.",
        "In the default world the call is opened by a line that says that an AI is calling: a customer that 'detects' "
        "complains that the caller sounds like a machine. The undisclosed world is the ablation, not the default.",
    ]
    by_name = {arm.name: arm for arm in arms}
    for name in (hian(1.0), summed(1.0), summed(10.0), summed(100.0)):
        shares = list(by_name[name].known(SHARE).values()) if name in by_name else []
        if shares:
            notes.append(f"{name}: {fmean(shares):.1%} of the advantage's variance came from the turns, over training.")
    return tuple(notes)
