"""One arm from one seed: reinforcement learning from the warm start of its form."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fogline.agents.policies.language import CausalLMPolicy
from fogline.benchmarks.reproduce.cells import Cell
from fogline.benchmarks.reproduce.trust_sql.plan import ARMS, Plan
from fogline.benchmarks.reproduce.trust_sql.warm_start import model_folder
from fogline.benchmarks.reproduce.trust_sql.world import databases, environments, measured
from fogline.trainers.config import RolloutConfig, TrainConfig
from fogline.trainers.learner import LearnerConfig
from fogline.trainers.recipes import make_recipe
from fogline.trainers.trainer import Trainer

RECIPE = "dual-track-grpo"


def train_arm(plan: Plan, rates: Mapping[str, float], warm: Path, cell: Cell) -> Mapping[str, Any]:
    """Train, and measure on databases whose names nobody has seen.

    Args:
        plan: Budgets.
        rates: Learning rate of each tuned arm; while tuning the cell's own name says ``arm@rate``, and the validation
            databases measure.
        warm: Where the warm starts are.
        cell: Arm and seed.
    """
    name, tuning, rate = cell.arm.partition("@")
    arm = ARMS[name]
    policy = CausalLMPolicy(
        str(model_folder(warm, arm["form"])),
        max_new_tokens=plan.max_new_tokens,
        temperature=plan.temperature,
        rules=False,
        name=name,
    )
    train = databases("train", plan.train_databases, plan.train_questions)
    unseen = databases("validation" if tuning else "test", plan.test_databases, plan.test_questions)
    judge = environments(plan, arm["form"], unseen)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            policy,
            make_recipe(RECIPE, **arm["options"]),
            _settings(plan, cell.seed, float(rate) if tuning else rates[arm["tuned_as"]], folder),
            environments(plan, arm["form"], train),
            tuple(train.tasks),
        )
        rows: list[dict[str, Any]] = []
        points: list[list[float | None]] = []
        found: dict[str, float | None] = {}
        for update in range(1, plan.updates + 1):
            rows.append(trainer.step())
            if update * plan.evaluations % plan.updates < plan.evaluations:
                found = measured(policy, judge, unseen)
                points.append([update, found["ex"]])
        trainer.close()
    return {"metrics": {**found, **_of_training(rows)}, "curves": {"ex": points}}


def _settings(plan: Plan, seed: int, rate: float, folder: str) -> TrainConfig:
    return TrainConfig(
        recipe=RECIPE,
        env="TrustSQL-v0",
        updates=plan.updates,
        seed=seed,
        rollout=RolloutConfig(tasks_per_update=plan.tasks_per_update, group_size=plan.group_size),
        learner=LearnerConfig(learning_rate=rate, warmup=plan.warmup, betas=(0.9, 0.98), micro_batch=16),
        out=folder,
        resume=False,
    )


def _of_training(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Means over the updates: how often a group had a schema reward to learn from, what was earned, what it cost."""

    def mean(name: str) -> float:
        return sum(float(row[name]) for row in rows) / len(rows)

    return {
        "schema_reward_density": mean("schema_density"),
        "groups_without_signal": mean("reward_tied"),
        "training_reward": mean("train/reward"),
        "episodes": float(rows[-1]["episodes"]),
        "train_s": float(rows[-1]["wall_s"]),
    }
