"""A run to be killed: ``killed.py FOLDER UPDATES`` trains, slowly enough to be caught between updates."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

from fogline.trainers.config import EvaluationConfig, PolicyConfig, RolloutConfig, TrainConfig
from fogline.trainers.learner import LearnerConfig
from fogline.trainers.setup import make_trainer
from fogline.trainers.trainer import Trainer


def config(folder: str, updates: int, **changes: Any) -> TrainConfig:
    """PPO with all that a resumed run must carry on: epochs in an order, moments, a schedule, running statistics."""
    settings: dict[str, Any] = {
        "recipe": "ppo",
        "env": "identity:digits",
        "env_kwargs": {"tasks": ("a", "b", "short")},
        "updates": updates,
        "policy": PolicyConfig(hidden=(8,), normalise_observations=True),
        "rollout": RolloutConfig(tasks_per_update=2, group_size=3),
        "learner": LearnerConfig(learning_rate=0.01, schedule="linear", epochs=2, minibatches=2),
        "evaluation": EvaluationConfig(every=2, samples=2),
        "out": folder,
        "save_every": 2,
    }
    return TrainConfig(**settings | changes)


def trainer(
    folder: str, updates: int, on_update: Callable[[Mapping[str, Any]], None] | None = None, **changes: Any
) -> Trainer:
    """The run."""
    return make_trainer(config(folder, updates, **changes), on_update=on_update)


if __name__ == "__main__":
    torch.set_num_threads(1)
    trainer(sys.argv[1], int(sys.argv[2]), lambda row: time.sleep(0.3)).train()
