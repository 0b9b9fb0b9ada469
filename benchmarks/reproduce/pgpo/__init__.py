"""PGPO (V-tableR1, arXiv 2604.20755): what does it change that a critic of steps gates the reward?

A tiny model that sees learns to read tables, from a start that slips, in a world where a shortcut does not pay and in
one where it does. Warm starts and critics, then every method in both worlds, resumable by arm and seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from fogline.benchmarks.reproduce import ReproduceConfig
from fogline.benchmarks.reproduce.cells import CellResult, Progress
from fogline.benchmarks.reproduce.experiment import ACCURACY, WARM, Experiment, curves_of, described
from fogline.benchmarks.reproduce.pgpo.plan import (
    CLAIMS,
    DAPO,
    FULL,
    GREEDY,
    GRPO,
    LEARNED,
    METHODS,
    OUTCOME,
    PAPER,
    PGPO,
    QUICK,
    READS,
    SHORTCUTS,
    TableMethod,
    TablePlan,
    at,
)
from fogline.benchmarks.reproduce.pgpo.training import PROCESS_IN_TRAINING, train_method
from fogline.benchmarks.reproduce.pgpo.warm_start import warm_start
from fogline.benchmarks.reproduce.results import Findings, Plot, arms_of, failures_of, judge


def reproduce(config: ReproduceConfig, progress: Progress) -> Findings:
    """Warm starts with their critics, every method in both worlds, verdicts.

    Raises:
        InfrastructureError: A warm start failed: nothing can follow.
    """
    plan = QUICK if config.quick else FULL
    if config.seeds:
        plan = plan.model_copy(update={"seeds": config.seeds})
    starts, cells = run(plan, config, progress)
    arms = arms_of([*starts, *cells])
    shown = (GRPO, DAPO, OUTCOME, PGPO, LEARNED)
    return Findings(
        system="pgpo",
        claim="A critic that checks every step gates the reward: better founded traces, and more right answers",
        paper=dict(PAPER),
        config={"quick": config.quick, **plan.model_dump(mode="json")},
        plan={"arms": described_with_critics(), **plan.stated()},
        arms=arms,
        comparisons=judge(arms, CLAIMS),
        curves=curves_of(cells, (ACCURACY, PROCESS_IN_TRAINING)),
        plots=tuple(
            Plot(
                name=f"{name}-{shortcut:g}".replace(".", ""),
                title=f"{title}, shortcut {shortcut:g}",
                metric=metric,
                y_label="share",
                arms=tuple(at(arm, shortcut) for arm in shown),
            )
            for name, title, metric in (
                ("accuracy", "Sampled accuracy on tables without a shortcut", ACCURACY),
                ("process", "Exact process score in training", PROCESS_IN_TRAINING),
            )
            for shortcut in SHORTCUTS
        ),
        failures=failures_of(cells),
        notes=unable(starts),
    )


def unable(starts: Sequence[CellResult]) -> tuple[str, ...]:
    """Names the starts that cannot read yet."""
    found = {cell.seed: cell.value["metrics"][GREEDY] for cell in starts if cell.value["metrics"][GREEDY] < READS}
    said = ", ".join(f"{seed} ({share:.2f})" for seed, share in found.items())
    return (f"Starts that cannot read yet, by seed, with their {GREEDY}: {said}.",) if found else ()


def run(plan: TablePlan, config: ReproduceConfig, progress: Progress) -> tuple[list[CellResult], list[CellResult]]:
    """Warm starts, and every method in both worlds, named after its world."""

    def experiment(world: TablePlan, place: str) -> Experiment:
        learn = partial(train_method, config.cells_folder / "warm")
        return Experiment(world, METHODS, config, progress, begin=warm_start, learn=learn, place=place)

    starts = experiment(plan, "").warm_starts()
    cells: list[CellResult] = []
    for shortcut in SHORTCUTS:
        world = plan.model_copy(update={"shortcut": shortcut})
        stage = experiment(world, f"shortcut-{shortcut:g}")
        found = stage.arms(stage.rates(), dict.fromkeys(METHODS, plan.seeds))
        cells += [replace(cell, arm=at(cell.arm, shortcut)) for cell in found]
    return [replace(cell, arm=WARM) for cell in starts], cells


def described_with_critics() -> dict[str, str]:
    """Recipe, settings and critic of each method, in words."""
    return {name: words + _critic(METHODS[name]) for name, words in described(METHODS).items()}


def _critic(method: TableMethod) -> str:
    if method.critic == "learned":
        return "; a learned critic, mean of its steps"
    return f"; verdicts turned round with the chance {method.flip:g}" if method.flip else ""
