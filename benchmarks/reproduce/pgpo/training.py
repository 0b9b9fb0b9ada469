"""One method from one seed: reinforcement learning from the seed's warm start, and what came of it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from fogline.benchmarks.reproduce.cells import Cell
from fogline.benchmarks.reproduce.experiment import ACCURACY
from fogline.benchmarks.reproduce.pgpo.plan import JUDGE, TableMethod, TablePlan
from fogline.benchmarks.reproduce.pgpo.warm_start import TAUGHT, model_folder, warm_policy
from fogline.benchmarks.reproduce.pgpo.world import accuracy, environments, measured, questions
from fogline.simulators.tables.records import TableDataset
from fogline.trainers.config import RolloutConfig, TrainConfig
from fogline.trainers.critics import Critic
from fogline.trainers.learned_critics import LearnedCritic
from fogline.trainers.learner import LearnerConfig
from fogline.trainers.recipes import make_recipe
from fogline.trainers.table_critics import OracleCritic
from fogline.trainers.trainer import Trainer

PROCESS_IN_TRAINING = "process in training"
_LOGGED: Mapping[str, str] = {
    "entropy": "entropy_mean",
    "correct in training": "train/correct",
    PROCESS_IN_TRAINING: "train/process",
}
"""Curves, and the columns of the log that they show."""


def train_method(
    warm: Path,
    plan: TablePlan,
    methods: Mapping[str, TableMethod],
    rates: Mapping[str, float],
    own: Path,
    cell: Cell,
) -> Mapping[str, Any]:
    """Train, and measure on tables that nobody has seen.

    Args:
        warm: Where the warm starts and critics of all worlds are.
        plan: Budgets.
        methods: By name.
        rates: Learning rate of each.
        own: Where those of this world would be; there are none.
        cell: Name of the method, and seed.
    """
    method = methods[cell.arm]
    dataset = questions("train", plan.tables, plan.shortcut)
    policy = warm_policy(plan, warm, cell.seed, cell.arm)
    points = [[0.0, accuracy(plan, policy)]]
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            policy,
            make_recipe(method.recipe, **method.options),
            _settings(plan, method, cell.seed, rates[method.tuned_as or cell.arm], folder),
            environments(plan, dataset),
            tuple(dataset.tasks),
            critic=_critic(method, dataset, warm, cell.seed),
        )
        for update in range(1, plan.updates + 1):
            rows.append(trainer.step())
            if update * plan.evaluations % plan.updates < plan.evaluations:
                points.append([float(update), accuracy(plan, policy)])
        trainer.close()
    judge = LearnedCritic.load(model_folder(warm, cell.seed, JUDGE))
    metrics = {**measured(plan, policy, judge), **_of_training(rows)}
    return {"metrics": metrics, "curves": {ACCURACY: points, **_curves(rows)}}


def _critic(method: TableMethod, dataset: TableDataset, warm: Path, seed: int) -> Critic | None:
    if method.critic == "learned":
        return LearnedCritic.load(model_folder(warm, seed, TAUGHT))
    return OracleCritic(dataset, flip=method.flip, seed=seed) if method.critic else None


def _of_training(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    last = rows[-max(len(rows) // 10, 1) :]
    return {
        "entropy": fmean(row["entropy_mean"] for row in last),
        "episodes": float(rows[-1]["episodes"]),
        "share kept": fmean(row["kept"] for row in rows),
        "train_s": float(rows[-1]["wall_s"]),
    }


def _curves(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[list[float]]]:
    return {
        name: [[row["update"], row[column]] for row in rows if row.get(column) is not None]
        for name, column in _LOGGED.items()
    }


def _settings(plan: TablePlan, method: TableMethod, seed: int, rate: float, folder: str) -> TrainConfig:
    return TrainConfig(
        recipe=method.recipe,
        env="VisualTable-v0",
        updates=plan.updates,
        seed=seed,
        rollout=RolloutConfig(tasks_per_update=plan.tasks_per_update, group_size=plan.group_size),
        learner=LearnerConfig(
            learning_rate=rate,
            warmup=plan.warmup,
            betas=(0.9, 0.98),
            minibatches=plan.minibatches,
            log_entropy=True,
        ),
        out=folder,
        resume=False,
    )
