"""How fast the trainer learns the classic worlds: settings, step budgets and thresholds in one place."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from fogline.agents.environments import NO_TASK, make_environment
from fogline.agents.rollout import Assignment
from fogline.core.errors import check_choice
from fogline.trainers.config import EvaluationConfig, PolicyConfig, RolloutConfig, TrainConfig
from fogline.trainers.learner import LearnerConfig
from fogline.trainers.measuring import measure
from fogline.trainers.setup import make_trainer

FINAL_EPISODES = 100
FINAL_SEED = 20_000_000


@dataclass(frozen=True)
class Curve:
    """A world, a method and what is expected of them.

    Attributes:
        config: All settings but seed and folder.
        threshold: Mean reward of the greedy policy over :data:`FINAL_EPISODES` episodes that the median of seeds must
            reach.
        step_budget: Most environment steps that training can take.
    """

    config: Mapping[str, Any]
    threshold: float
    step_budget: int


CURVES: Mapping[str, Curve] = {
    "cartpole-ppo": Curve(
        {
            "recipe": "ppo",
            "env": "CartPole-v1",
            "updates": 25,
            "rollout": RolloutConfig(tasks_per_update=1, group_size=32),
            "learner": LearnerConfig(
                learning_rate=3e-3, schedule="linear", epochs=10, minibatches=4, max_gradient_norm=0.5
            ),
        },
        threshold=475,
        step_budget=400_000,
    ),
    "cartpole-grpo": Curve(
        {
            "recipe": "grpo",
            "env": "CartPole-v1",
            "options": {"aggregation": "token-mean"},
            "updates": 60,
            "rollout": RolloutConfig(tasks_per_update=1, group_size=32),
            "learner": LearnerConfig(
                learning_rate=3e-3, schedule="linear", epochs=4, minibatches=2, max_gradient_norm=0.5
            ),
        },
        threshold=450,
        step_budget=960_000,
    ),
    "pendulum-ppo": Curve(
        {
            "recipe": "ppo",
            "env": "Pendulum-v1",
            "options": {"discount": 0.9},
            "updates": 100,
            "policy": PolicyConfig(normalise_observations=True),
            "rollout": RolloutConfig(tasks_per_update=1, group_size=16),
            "learner": LearnerConfig(
                learning_rate=1e-3, schedule="linear", epochs=20, minibatches=16, max_gradient_norm=0.5
            ),
        },
        threshold=-250,
        step_budget=320_000,
    ),
}
"""Each has one nameless task, so a group is the whole batch. Rewards are the environment's own, unscaled."""


def run_curve(
    name: str,
    seed: int,
    *,
    every: int = 5,
    samples: int = 20,
    on_update: Callable[[Mapping[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Train from one seed and measure on the way.

    Args:
        name: One of :data:`CURVES`.
        seed: Of the run.
        every: Updates between measurements.
        samples: Episodes of a measurement.
        on_update: Told each row of the log.

    Returns:
        ``name``, ``seed``, ``settings``, ``threshold``, ``step_budget``; ``points``, a list of ``update``,
        ``env_steps``, ``wall_s`` (playing and learning, in seconds) and the greedy mean ``reward``; ``reward``, the
        greedy mean over :data:`FINAL_EPISODES` episodes that nothing was chosen by; ``env_steps`` and ``wall_s`` of
        the whole.

    Raises:
        ConfigurationError: For an unknown name.
    """
    check_choice("curve", name, CURVES)
    curve = CURVES[name]
    with tempfile.TemporaryDirectory() as folder:
        config = TrainConfig(
            **curve.config, seed=seed, out=folder, evaluation=EvaluationConfig(every=every, samples=samples)
        )
        trainer = make_trainer(config, on_update=on_update)
        rows = trainer.train()
    final = measure(
        partial(make_environment, config.env, config.env_kwargs),
        trainer.policy,
        [Assignment(NO_TASK, FINAL_SEED + episode) for episode in range(FINAL_EPISODES)],
    )
    points = [
        {"reward": row["evaluation/reward"]} | {column: row[column] for column in ("update", "env_steps", "wall_s")}
        for row in rows
        if "evaluation/reward" in row
    ]
    return {
        "name": name,
        "seed": seed,
        "settings": config.model_dump(mode="json", exclude={"seed", "out"}),
        "threshold": curve.threshold,
        "step_budget": curve.step_budget,
        "points": points,
        "reward": final["reward"],
        "env_steps": rows[-1]["env_steps"],
        "wall_s": rows[-1]["wall_s"],
    }
