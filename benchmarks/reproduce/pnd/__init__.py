"""PND (arXiv 2605.06679) on faint pictures: does contrasting views of a picture mend what a prior spoils?

A start for every seed, a choice of settings on some seeds, every method on the others; resumable by method and seed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from statistics import fmean
from typing import Any

from fogline.benchmarks.reproduce import ReproduceConfig
from fogline.benchmarks.reproduce.cells import Cell, CellFunction, CellResult, Progress, run_cells
from fogline.benchmarks.reproduce.pnd.measuring import begin, play, tune
from fogline.benchmarks.reproduce.pnd.plan import (
    ACCURACY,
    BOTH,
    CHAIR_I,
    CLAIMS,
    FOUND,
    FULL,
    GREEDY,
    LEANS,
    METHODS,
    OUTSIDER,
    PAPER,
    PND,
    QUICK,
    SEES,
    SIGHT,
    WITHOUT,
    YES_RATE,
    PresencePlan,
    loosely,
)
from fogline.benchmarks.reproduce.results import Comparison, Findings, arms_of, failures_of, judge
from fogline.core.errors import InfrastructureError

START = "start"
Stage = Callable[[str, Sequence[Cell], CellFunction, Mapping[str, Any]], list[CellResult]]


def reproduce(config: ReproduceConfig, progress: Progress) -> Findings:
    """Starts, settings, methods; verdicts.

    Raises:
        InfrastructureError: A start, or the tuning of a method, failed: nothing can follow.
    """
    plan = QUICK if config.quick else FULL
    if config.seeds:
        plan = plan.model_copy(update={"seeds": config.seeds})
    starts, chosen, cells = run(plan, config, progress)
    arms = arms_of([*starts, *cells])
    comparisons = judge(arms, CLAIMS)
    return Findings(
        system="pnd",
        claim="Amplified evidence added, destroyed evidence taken away: fewer objects are seen that are not there",
        paper=dict(PAPER),
        config={"quick": config.quick, **plan.model_dump(mode="json")},
        plan={
            "arms": {name: described(name) for name in METHODS},
            "settings chosen": {name: dict(options) for name, options in chosen.items()},
            **plan.stated(),
        },
        arms=arms,
        comparisons=comparisons,
        failures=failures_of(cells),
        notes=(*unable(starts), *negative_path(comparisons), *about_evidence(starts)),
    )


def run(
    plan: PresencePlan, config: ReproduceConfig, progress: Progress
) -> tuple[list[CellResult], dict[str, Mapping[str, Any]], list[CellResult]]:
    """Starts, the chosen setting of each method, and what came of it."""
    folder = config.cells_folder / "starts"

    def stage(name: str, cells: Sequence[Cell], function: CellFunction, shapes: Mapping[str, Any]) -> list[CellResult]:
        found = run_cells(
            cells,
            function,
            config.cells_folder / name,
            config=shapes,
            workers=config.workers,
            resume=config.resume,
            on_progress=progress,
        )
        for failure in failures_of(found) if name != "methods" else ():
            raise InfrastructureError(
                f"{failure.arm!r} of seed {failure.seed} failed ({failure.error}): see its file in "
                f"{config.cells_folder / name}."
            )
        return found

    all_seeds = dict.fromkeys((*plan.tuning_seeds, *plan.seeds))
    starts = stage("starts", [Cell(START, seed) for seed in all_seeds], partial(begin, plan, folder), plan.shapes())
    chosen = choose(plan, folder, stage)
    cells = stage(
        "methods",
        [Cell(name, seed) for name in METHODS for seed in plan.seeds],
        partial(play, plan, chosen, folder),
        {**plan.shapes(), "chosen": {name: dict(options) for name, options in chosen.items()}},
    )
    return starts, chosen, cells


def choose(plan: PresencePlan, folder: Any, stage: Stage) -> dict[str, Mapping[str, Any]]:
    """The setting of each method that is best on the tuning seeds; of equals the first."""
    tuned = [name for name, method in METHODS.items() if len(method.settings) > 1]
    cells = stage(
        "tuning",
        [Cell(name, seed) for name in tuned for seed in plan.tuning_seeds],
        partial(tune, plan, folder),
        {**plan.shapes(), "settings": {name: described(name) for name in tuned}},
    )
    chosen = {name: method.settings[0] for name, method in METHODS.items()}
    for name in tuned:
        mine = [cell.value["metrics"] for cell in cells if cell.arm == name]
        score = {number: fmean(found[str(number)] for found in mine) for number in range(len(METHODS[name].settings))}
        chosen[name] = METHODS[name].settings[max(score, key=lambda number: (score[number], -number))]
    for name, method in METHODS.items():
        if method.tuned_as:
            chosen[name] = {**chosen[method.tuned_as], "gamma": 0.0}
    return chosen


def described(name: str) -> str:
    """Decoder, settings and candidates of a method, in words."""
    method = METHODS[name]

    def said(options: Mapping[str, Any]) -> str:
        return ", ".join(f"{option}={value}" for option, value in options.items())

    if method.tuned_as:
        return f"{method.decoder}; {said(method.fixed)}; as chosen for '{method.tuned_as}', with gamma=0"
    where = f"; evidence: {method.evidence}" if method.decoder in ("pnd", "agla") else ""
    fixed = f"; {said(method.fixed)}" if method.fixed else ""
    candidates = "; one of: " + " | ".join(map(said, method.settings)) if len(method.settings) > 1 else ""
    return method.decoder + fixed + where + candidates


# Notes


def unable(starts: Sequence[CellResult]) -> tuple[str, ...]:
    """Names the starts that do not see, or do not lean on their prior; none is left out."""
    notes = []
    for metric, least, what in (
        (SIGHT, SEES, "do not see well at high contrast"),
        (YES_RATE, LEANS, "lean less on their prior than wanted"),
    ):
        found = {cell.seed: cell.value["metrics"][metric] for cell in starts}
        short = ", ".join(f"{seed} ({value:.2f})" for seed, value in found.items() if value < least)
        if short:
            notes.append(f"Starts that {what} ({metric} below {least:g}), by seed: {short}.")
    return tuple(notes)


def negative_path(comparisons: Sequence[Comparison]) -> tuple[str, ...]:
    """What the negative path adds, also when it is nothing."""
    notes = []
    for pnd, without, both in ((PND, WITHOUT, BOTH), (loosely(PND), loosely(WITHOUT), loosely(BOTH))):
        for metric, baseline, what in (
            (ACCURACY, without, "the same settings without it"),
            (ACCURACY, both, f"'{both}' with settings of its own"),
            (CHAIR_I, without, "the same settings without it"),
        ):
            for item in comparisons:
                if (item.metric, item.arm, item.baseline) == (metric, pnd, baseline) and item.difference is not None:
                    notes.append(f"What the negative path adds to '{pnd}' beside {what}, {metric}: {in_words(item)}.")
    return tuple(notes)


def in_words(item: Comparison) -> str:
    """A difference with its interval, and whether it is anything."""
    assert item.difference is not None
    if item.ci95 is None:
        return f"{item.difference:+.4f}, without an interval: nothing is shown"
    low, high = item.ci95
    beyond = low > 0 or high < 0
    said = "nothing that can be told from chance"
    if beyond:
        said = "little, below the margin" if abs(item.difference) < item.margin else "more than chance and the margin"
    return f"{item.difference:+.4f}, interval {low:+.4f} to {high:+.4f}: {said}"


def about_evidence(starts: Sequence[CellResult]) -> tuple[str, ...]:
    """How good the outsider is, and what it is not."""

    def mean(metric: str) -> float:
        return fmean(cell.value["metrics"][metric] for cell in starts)

    return (
        f"The outsider's most similar cell holds the object for {mean(FOUND):.0%} of those that are there; its own "
        f"answers would be right in {mean(OUTSIDER):.2f}, '{GREEDY}' in {mean(ACCURACY):.2f}. It is a tower with "
        "weights and words of its own whose cell features are compared with the object's word, not Grad-CAM of a "
        "matcher as published. Where an object is not there its map is that of chance and of what is alike.",
        "The model has some 170,000 weights and is trained from scratch: this is another world than the paper's.",
    )
