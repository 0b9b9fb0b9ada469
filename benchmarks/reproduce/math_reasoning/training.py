"""One method from one seed: reinforcement learning from the seed's warm start."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from time import perf_counter
from typing import Any

import numpy as np

from fogline.agents.collector import collect_all
from fogline.agents.policies.language import CausalLMPolicy
from fogline.agents.rollout import Assignment
from fogline.benchmarks.reproduce.cells import Cell
from fogline.benchmarks.reproduce.experiment import ACCURACY, Method
from fogline.benchmarks.reproduce.math_reasoning.plan import ENTROPY, MathPlan
from fogline.benchmarks.reproduce.math_reasoning.warm_start import accuracy, measured, warm_policy
from fogline.trainers.config import RolloutConfig, TrainConfig
from fogline.trainers.learner import LearnerConfig
from fogline.trainers.recipe import Recipe
from fogline.trainers.recipes import make_recipe
from fogline.trainers.sft import SFT, fine_tune, transcribe
from fogline.trainers.teachers import LocalTeacher, Teacher
from fogline.trainers.trainer import Trainer

LEFT, RIGHT = "share left of the band", "share right of the band"
WEIGHT, LARGEST = "left weight", "largest left weight"
REWARD = "training reward"
IMITATED = "share imitated"
"""Tokens that AOPD's gate hands to imitation."""
FACTOR, DAMPED, SPREAD = "factor on gains", "factor on losses", "spread of answers a problem"
"""What DynaMO does: mean factor of its modulation on advantages of either sign, deviation of the group sizes."""

_LOGGED: Mapping[str, str] = {
    ENTROPY: "entropy_mean",
    LEFT: "clip_left_negative",
    RIGHT: "clip_right_positive",
    WEIGHT: "weight_left_negative",
    LARGEST: "weight_left_negative_max",
    REWARD: "train/reward",
    FACTOR: "modulation_positive",
    DAMPED: "modulation_negative",
    SPREAD: "group_rows_std",
    IMITATED: "imitated",
}
"""Curves, and the columns of the log that they show."""


MakeTeacher = Callable[[], Teacher]
"""Opens a teacher in the process that listens to it."""

Measure = Callable[[CausalLMPolicy, MathPlan, str], Mapping[str, float | None]]
"""From a policy, budgets and a split to what else is measured at the end."""


def train_method(
    plan: MathPlan,
    methods: Mapping[str, Method],
    rates: Mapping[str, float],
    warm: Path,
    cell: Cell,
    *,
    teacher: MakeTeacher | None = None,
    more: Measure | None = None,
) -> Mapping[str, Any]:
    """Train, and measure on problems that nobody has seen.

    Args:
        plan: Budgets.
        methods: By name.
        rates: Learning rate of each tuned method; while tuning the cell's own name says ``method@rate``, and the
            problems of validation measure.
        warm: Where the warm starts are.
        cell: Name of the method, and seed.
        teacher: Of methods that distil.
        more: What else is measured at the end.
    """
    name, tuning, rate = cell.arm.partition("@")
    method = methods[name]
    policy = warm_policy(plan, warm, cell.seed, name)
    points: list[list[float]] = [] if tuning else [[0, accuracy(policy, plan)]]

    def look(update: int) -> None:
        if not tuning and update * plan.evaluations % plan.updates < plan.evaluations:
            points.append([update, accuracy(policy, plan)])

    chosen = float(rate) if tuning else rates[method.tuned_as or name]
    rows = learn(plan, method, chosen, policy, cell.seed, look, teacher)
    split = "validation" if tuning else "test"
    metrics = {**measured(policy, plan, split), **({} if more is None else more(policy, plan, split))}
    return {"metrics": {**metrics, **of_training(rows)}, "curves": {ACCURACY: points, **_curves(rows)}}


def learn(
    plan: MathPlan,
    method: Method,
    rate: float,
    policy: CausalLMPolicy,
    seed: int,
    look: Callable[[int], None] = lambda update: None,
    teacher: MakeTeacher | None = None,
) -> list[dict[str, Any]]:
    """Train a policy by a method; ``look`` is told after which update it may look at it. The rows of the log."""
    if method.recipe == SFT:
        assert teacher is not None, "whoever imitates has somebody to imitate"
        return _imitate(plan, rate, policy, seed, look, teacher())
    recipe = make_recipe(method.recipe, **method.options)
    dataset = plan.dataset("train", plan.problems)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            policy,
            recipe,
            _settings(plan, method, seed, rate, folder),
            plan.environments(dataset),
            tuple(dataset.tasks),
            reference=policy.reference() if "reference" in recipe.needs | _needs(recipe) else None,
            teacher=None if teacher is None or recipe.teaching is None else teacher(),
        )
        for update in range(1, plan.updates + 1):
            rows.append(trainer.step())
            look(update)
        trainer.close()
    return rows


def _imitate(
    plan: MathPlan, rate: float, policy: CausalLMPolicy, seed: int, look: Callable[[int], None], teacher: Teacher
) -> list[dict[str, Any]]:
    """Off-policy: as many answers as other methods play, but sampled by the teacher, and as many steps on them."""
    assert isinstance(teacher, LocalTeacher) and isinstance(teacher.model, CausalLMPolicy), "it can speak for itself"
    dataset = plan.dataset("train", plan.problems)
    tasks = list(dataset.tasks)
    drawn = np.random.default_rng(seed).integers(len(tasks), size=plan.updates * plan.tasks_per_update)
    wanted = [Assignment(tasks[index], number) for number, index in enumerate(np.repeat(drawn, plan.group_size))]
    began = perf_counter()
    shown = collect_all(plan.environments(dataset), teacher.model, wanted, concurrency=512)
    settings = LearnerConfig(learning_rate=rate, warmup=plan.warmup * plan.minibatches, betas=(0.9, 0.98))
    steps = plan.epochs * plan.minibatches

    def on_update(row: Mapping[str, Any]) -> None:
        if row["update"] % steps == 0:
            look(row["update"] // steps)

    logged = fine_tune(
        policy,
        transcribe(policy, shown),
        learner=settings,
        epochs=plan.epochs,
        rows=plan.tasks_per_update * plan.group_size // plan.minibatches,
        seed=seed,
        on_update=on_update,
    )
    return [{**row, "episodes": len(shown), "wall_s": perf_counter() - began} for row in logged[steps - 1 :: steps]]


def _needs(recipe: Recipe) -> frozenset[str]:
    return frozenset().union(*(term.needs for term in recipe.terms))


def of_training(rows: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """What the log says: entropy and reward at the end, the rest over all of training; None where nothing was seen."""
    last = rows[-max(len(rows) // 10, 1) :]
    of_method = {name: _mean(rows, name) for name in (FACTOR, DAMPED, SPREAD, IMITATED) if _seen(rows, name)}
    return {
        **of_method,
        ENTROPY: _mean(last, ENTROPY),
        REWARD: _mean(last, REWARD),
        LEFT: _mean(rows, LEFT),
        RIGHT: _mean(rows, RIGHT),
        WEIGHT: _mean(rows, WEIGHT),
        LARGEST: max(_seen(rows, LARGEST), default=None),
        "episodes": float(rows[-1]["episodes"]),
        "train_s": float(rows[-1]["wall_s"]),
    }


def _curves(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[list[float]]]:
    return {
        name: [[row["update"], row[column]] for row in rows if row.get(column) is not None]
        for name, column in _LOGGED.items()
    }


def _seen(rows: Sequence[Mapping[str, Any]], name: str) -> list[float]:
    return [float(row[_LOGGED[name]]) for row in rows if row.get(_LOGGED[name]) is not None]


def _mean(rows: Sequence[Mapping[str, Any]], name: str) -> float | None:
    values = _seen(rows, name)
    return fmean(values) if values else None


def _settings(plan: MathPlan, method: Method, seed: int, rate: float, folder: str) -> TrainConfig:
    return TrainConfig(
        recipe=method.recipe,
        env="MathReasoning-v0",
        updates=plan.updates,
        seed=seed,
        rollout=RolloutConfig(tasks_per_update=plan.tasks_per_update, group_size=plan.group_size),
        learner=LearnerConfig(
            learning_rate=rate,
            warmup=plan.warmup,
            betas=(0.9, 0.98),
            epochs=plan.epochs,
            minibatches=plan.minibatches,
            log_entropy=True,
        ),
        out=folder,
        resume=False,
    )
