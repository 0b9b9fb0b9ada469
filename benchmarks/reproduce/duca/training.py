"""One arm from one seed: an act policy that learns by calling, and what it is worth with customers it never met."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from functools import partial
from typing import Any

from fogline.agents.collector import EnvFactory
from fogline.agents.environments import make_environment, task_ids_of
from fogline.agents.policies.categorical import CategoricalPolicy
from fogline.agents.policies.policy import Policy
from fogline.agents.policies.vector import policy_for
from fogline.agents.rollout import Assignment
from fogline.benchmarks.reproduce.cells import Cell
from fogline.benchmarks.reproduce.duca.plan import ENVIRONMENT, TURN_TERMS, WORLDS, Arm, Plan, metric
from fogline.benchmarks.reproduce.duca.warm_start import imitate
from fogline.trainers.config import RolloutConfig, TrainConfig
from fogline.trainers.learner import LearnerConfig
from fogline.trainers.measuring import measure
from fogline.trainers.recipes import make_recipe
from fogline.trainers.trainer import Trainer

TEST_SEED = 30_000_000
_OF_CALLS = ("conversion", "repetition", "detected", "hung_up", "breached", "turns", "mean_max_similarity", "fluency")
_OF_TURNS = ("repetition_term", "identity", "compliance")
_OF_TRAINING = ("turn_share", "silent_groups", "horizon_correlation")
SILENCED = dict.fromkeys(TURN_TERMS, 0.0)


def train_arm(plan: Plan, settings: Mapping[str, tuple[Arm, float]], cell: Cell) -> Mapping[str, Any]:
    """Train one arm and measure it in every world.

    Args:
        plan: Budgets.
        settings: Arm and learning rate of each name; tuning runs are told by their names' ``@`` and are measured with
            the validation customers of the world they were trained in.
        cell: Name and seed.
    """
    arm, rate = settings[cell.arm]
    recipe = make_recipe(arm.recipe, **arm.options)
    factory = partial(make_environment, ENVIRONMENT, _training_world(plan, arm))
    env = factory()
    policy = policy_for(
        env, hidden=plan.hidden, joint=True, critic="values" in recipe.needs or arm.recipe == "ppo", seed=cell.seed
    )
    tasks = task_ids_of(env)
    env.close()
    assert isinstance(policy, CategoricalPolicy), "acts are choices"
    imitate(policy, plan, cell.seed)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(policy, recipe, _config(plan, arm, cell.seed, rate, folder), factory, tasks)
        rows = [trainer.step() for _ in range(plan.updates)]
        trainer.close()
    metrics = _of_training(rows)
    tuning = "@" in cell.arm
    for name in plan.worlds[:1] if tuning else plan.worlds:
        found = _measured(policy, plan, name, "validation" if tuning else "test")
        metrics |= {metric(key, name): value for key, value in found.items()}
    every = max(len(rows) // 30, 1)
    curves = {
        name: [[row["update"], row[name]] for row in rows[::every] if row.get(name) is not None]
        for name in ("turn_share", "train/conversion")
    }
    return {"metrics": metrics, "curves": {name: points for name, points in curves.items() if points}}


def _training_world(plan: Plan, arm: Arm) -> dict[str, Any]:
    silenced = {} if arm.turns_paid else {"turn_weights": SILENCED}
    return plan.environment("train", session_scale=arm.scale, **silenced)


def environments(plan: Plan, world: str, split: str) -> EnvFactory:
    """Calls in a world that pays 1 for a conversion and the turn terms by their own weights."""
    return partial(make_environment, ENVIRONMENT, plan.environment(split, **WORLDS[world]))


def _measured(policy: Policy, plan: Plan, world: str, split: str) -> dict[str, float | None]:
    factory = environments(plan, world, split)
    env = factory()
    tasks = task_ids_of(env)
    env.close()
    wanted = [Assignment(task, TEST_SEED + sample) for sample in range(plan.test_samples) for task in tasks]
    means = measure(factory, policy, wanted, greedy=False, concurrency=256)
    return {name: means.get(name) for name in (*_OF_CALLS, *_OF_TURNS)}


def _config(plan: Plan, arm: Arm, seed: int, rate: float, folder: str) -> TrainConfig:
    return TrainConfig(
        recipe=arm.recipe,
        env=ENVIRONMENT,
        options=dict(arm.options),
        updates=plan.updates,
        seed=seed,
        rollout=RolloutConfig(tasks_per_update=plan.tasks_per_update, group_size=plan.group_size),
        learner=LearnerConfig(
            learning_rate=rate, epochs=plan.epochs, minibatches=plan.minibatches, max_gradient_norm=0.5
        ),
        out=folder,
        resume=False,
    )


def _of_training(rows: list[dict[str, Any]]) -> dict[str, float | None]:
    """Means over the updates of what the log says of the horizons, and what it took."""
    found: dict[str, float | None] = {}
    for name in _OF_TRAINING:
        values = [float(row[name]) for row in rows if row.get(name) is not None]
        found[name] = sum(values) / len(values) if values else None
    return {**found, "env_steps": float(rows[-1]["env_steps"]), "train_s": float(rows[-1]["wall_s"])}
