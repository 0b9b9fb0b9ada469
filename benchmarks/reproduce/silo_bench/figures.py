"""From games to figures: arms at each size, curves beside the paper's, and what a reader must know."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from fogline.benchmarks.reproduce.cells import CellResult
from fogline.benchmarks.reproduce.results import Arm, Curve
from fogline.benchmarks.reproduce.silo_bench.plan import ARMS, IN_USE, PAPER, SWEEP, Plan, arm_at
from fogline.benchmarks.reproduce.silo_bench.playing import Game
from fogline.core.intervals import student_t
from fogline.envs.silo_bench.tasks.catalogue import silo_task

LEVELS = ("I", "II", "III")
SUCCESS, PARTIAL, GAP, SINGLE, COST = "S", "P", "P - S", "S of one agent", "RCC"
PREMATURE, COMPUTATION = "premature", "computation error"
METRICS = (SUCCESS, PARTIAL, GAP, SINGLE, COST, PREMATURE, COMPUTATION)
DEEPSEEK, GPT_OSS = "DeepSeek-V3.1, published", "GPT-OSS-120B, published"

Figures = Mapping[str, float | None]
Points = Sequence[tuple[float, Sequence[float | None]]]


def figures(games: Sequence[Game]) -> Figures:
    """Means over games, one of each task.

    Returns:
        S, P, P - S, S of the one agent that holds all the data, RCC = 1 - S / S of one agent (Silo-Bench, section 4.1;
        None where that one never succeeds), and the shares of seats that answered too early or were told enough
        and are wrong.
    """
    success, partial, single = (_mean(games, name) for name in ("success", "partial", "single_success"))
    return {
        SUCCESS: success,
        PARTIAL: partial,
        GAP: partial - success,
        SINGLE: single,
        COST: 1 - success / single if single else None,
        PREMATURE: _mean(games, "premature"),
        COMPUTATION: _mean(games, "computation_error"),
    }


def arms_of_cells(plan: Plan, cells: Sequence[CellResult]) -> tuple[Arm, ...]:
    """Every arm at every size, and level by level the one that is judged; a value per seed."""
    wanted = [(arm, size, "") for arm in plan.arms for size in plan.sizes]
    wanted += [(IN_USE, size, level) for level in levels_of(plan) for size in plan.sizes]
    arms = []
    for arm, size, level in wanted:
        found = {cell.seed: _of_cell(cell, size, level) for cell in _done(cells, arm)}
        metrics = {metric: tuple(one[metric] for one in found.values()) for metric in METRICS}
        arms.append(Arm(name=arm_at(arm, size, level), seeds=tuple(found), metrics=metrics))
    return tuple(arm for arm in arms if arm.seeds)


def curves_of(plan: Plan, cells: Sequence[CellResult]) -> tuple[Curve, ...]:
    """Against N: all arms, then level by level the one that is judged, beside the paper's; then against capacity."""
    arms = [arm for arm in plan.arms if _done(cells, arm)]
    curves: list[Curve] = []
    for metric in (SUCCESS, PARTIAL, GAP):
        curves += [_published(plan, metric, DEEPSEEK, _paper(metric))]
        curves += [_against_size(plan, cells, arm, metric) for arm in arms]
    for level in levels_of(plan) if IN_USE in arms else ():
        curves += [
            _published(plan, _at_level(SUCCESS, level), DEEPSEEK, PAPER[f"S, level {level}"]),
            *(_against_size(plan, cells, IN_USE, metric, level) for metric in (SUCCESS, PARTIAL)),
        ]
        for metric, figure in ((SINGLE, "S of one GPT-OSS-120B"), (COST, "RCC of GPT-OSS-120B")):
            curves += [
                _published(plan, _at_level(metric, level), GPT_OSS, PAPER[f"{figure}, level {level}"]),
                _against_size(plan, cells, IN_USE, metric, level),
            ]
    sweep = [arm for arm in SWEEP if arm in arms]
    curves += [_against_capacity(cells, sweep, size, metric) for metric in (SUCCESS, PARTIAL) for size in plan.sizes]
    return tuple(curve for curve in curves if curve.x)


def notes_of(plan: Plan, cells: Sequence[CellResult]) -> tuple[str, ...]:
    """What must be known to read the figures."""
    notes = [
        "An illustration: no language model plays. That agents integrate with a bounded memory is put in, not found; "
        "that S and P fall where it is too small follows. It says nothing about why models fail.",
        "P is the repaired partial correctness, which gives every right answer 1; the paper's P follows its own rule.",
        "RCC compares N agents with one agent that holds the same data and has the same memory.",
        "Agents submit what follows from the data they hold as if it were all there is, and null where that makes no "
        "sense; a model might rather guess.",
    ]
    early = [game["premature"] for cell in cells if cell.status == "done" for game in cell.value["games"]]
    if early:
        notes.append(
            f"Over all {len(early):,} games of teams the largest share of seats that answered before all that their "
            f"answer needs had reached them is {max(early):.0%}: what is lost is lost at integration."
        )
    return (*notes, *_outcome(plan, cells))


def levels_of(plan: Plan) -> tuple[str, ...]:
    """Levels of which the plan has tasks."""
    return tuple(level for level in LEVELS if any(silo_task(task).level == level for task in plan.tasks))


def _outcome(plan: Plan, cells: Sequence[CellResult]) -> list[str]:
    """What the illustration is about, in sentences."""
    curves = {(curve.metric, curve.arm): curve for curve in curves_of(plan, cells) if curve.x_label == "N"}
    gaps = {
        (curve.arm, size): mean
        for (metric, arm), curve in curves.items()
        if metric == GAP and arm != DEEPSEEK
        for size, mean in zip(curve.x, curve.mean, strict=True)
    }
    if (SUCCESS, IN_USE) not in curves:
        return []
    arm, size = max(gaps, key=lambda place: gaps[place])
    judged, paper = ([curves[metric, who].mean[-1] for metric in (SUCCESS, PARTIAL)] for who in (IN_USE, DEEPSEEK))
    return [
        f"At N={plan.sizes[-1]} the arm '{IN_USE}' has S {judged[0]:.1%} and P {judged[1]:.1%}; DeepSeek-V3.1 was "
        f"published with {paper[0]:.1%} and {paper[1]:.1%}.",
        f"The largest P - S of any arm and size is {gaps[arm, size]:.1%} ({arm}, N={size:g}); the paper's lie between "
        f"{min(_paper(GAP)):.1%} and {max(_paper(GAP)):.1%}.",
    ]


def _paper(metric: str) -> Sequence[float]:
    if metric == GAP:
        return [round(partial - success, 3) for partial, success in zip(PAPER[PARTIAL], PAPER[SUCCESS], strict=True)]
    found: Sequence[float] = PAPER[metric]
    return found


def _published(plan: Plan, metric: str, source: str, values: Sequence[float]) -> Curve:
    points = {size: value for size, value in zip(PAPER["sizes"], values, strict=True) if size in plan.sizes}
    return Curve(arm=source, metric=metric, x_label="N", x=tuple(points), mean=tuple(points.values()))


def _against_size(plan: Plan, cells: Sequence[CellResult], arm: str, metric: str, level: str = "") -> Curve:
    points = [(size, _by_seed(cells, arm, size, metric, level)) for size in plan.sizes]
    return _curve(arm, _at_level(metric, level), "N", points)


def _against_capacity(cells: Sequence[CellResult], sweep: Sequence[str], size: int, metric: str) -> Curve:
    points = [(round(ARMS[arm].shards, 1), _by_seed(cells, arm, size, metric)) for arm in sweep]
    return _curve(f"N={size}", f"{metric} against capacity", "mean shards", points)


def _curve(arm: str, metric: str, x_label: str, points: Points) -> Curve:
    """Mean and interval over seeds; a point that a seed has no value for is left out."""
    known = [(x, [value for value in values if value is not None]) for x, values in points if None not in values]
    intervals = [student_t(values) for _, values in known]
    return Curve(
        arm=arm,
        metric=metric,
        x_label=x_label,
        x=tuple(x for x, _ in known),
        mean=tuple(math.fsum(values) / len(values) for _, values in known),
        low=tuple(None if interval is None else interval.low for interval in intervals),
        high=tuple(None if interval is None else interval.high for interval in intervals),
    )


def _by_seed(cells: Sequence[CellResult], arm: str, size: int, metric: str, level: str = "") -> list[float | None]:
    return [_of_cell(cell, size, level)[metric] for cell in _done(cells, arm)]


def _of_cell(cell: CellResult, size: int, level: str) -> Figures:
    return figures(
        [
            game
            for game in cell.value["games"]
            if game["n_agents"] == size and level in ("", silo_task(game["task"]).level)
        ]
    )


def _done(cells: Sequence[CellResult], arm: str) -> list[CellResult]:
    return [cell for cell in cells if (cell.arm, cell.status) == (arm, "done")]


def _at_level(metric: str, level: str) -> str:
    return f"{metric}, level {level}" if level else metric


def _mean(games: Sequence[Game], name: str) -> float:
    return math.fsum(game[name] for game in games) / len(games)
