"""A policy's own rollouts on two raylets: those of one process to the bit, also where a raylet is killed on the way."""

from __future__ import annotations

import threading
import time
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from slow_words import SlowWords
from small_language import small_policy

from fogline.core.episode import Episode, Usage
from fogline.trainers.config import RolloutConfig, TrainConfig
from fogline.trainers.learner import LearnerConfig
from fogline.trainers.recipes import make_recipe
from fogline.trainers.rollouts import Played, Rollouts
from fogline.trainers.trainer import Trainer

pytestmark = [pytest.mark.services, pytest.mark.timeout(300)]
TASKS = ("length-2", "length-4", "length-3")
SIZES = {"tasks_per_update": 6, "group_size": 4}


def rollouts(notes: Path, step_s: float, **config: Any) -> Rollouts:
    notes.mkdir(exist_ok=True)
    policy = small_policy(dtype=torch.float32)
    policy.version = 7
    factory = partial(SlowWords, str(notes), step_s)
    return Rollouts(factory, policy, TASKS, RolloutConfig(**SIZES, chunk=2, **config))


def timeless(episodes: tuple[Episode, ...]) -> list[Episode]:
    """All of the episodes but what they cost."""
    return [replace(episode, usage=Usage()) for episode in episodes]


def assert_same(ours: Played, theirs: Played) -> None:
    assert timeless(ours.episodes) == timeless(theirs.episodes)
    for field in fields(ours.batch):
        mine, other = getattr(ours.batch, field.name), getattr(theirs.batch, field.name)
        if isinstance(mine, torch.Tensor):
            assert torch.equal(mine, other), field.name


def test_a_raylet_killed_in_mid_rollout_costs_nothing_but_time(raylets: Any, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    recipe = make_recipe("grpo")
    here = rollouts(tmp_path / "here", 0.0)
    expected = here.play(recipe)
    here.close()
    notes = tmp_path / "there"

    def kill() -> None:
        # Two workers a raylet: where three play, both raylets do.
        while len(list(notes.iterdir())) < 3:
            time.sleep(0.01)
        raylets.remove_node(raylets.nodes[0], allow_graceful=False)

    there = rollouts(notes, 0.3, engine="ray", workers=4)
    killer = threading.Thread(target=kill)
    killer.start()
    found = there.play(recipe)
    killer.join()
    there.close()
    again = sum(episode.usage.retries for episode in found.episodes)
    assert 0 < again <= 2 * 2, "each of the two workers that were killed had a chunk of two"
    assert all(episode.scored for episode in found.episodes)
    assert {turn.policy_version for episode in found.episodes for turn in episode.turns} == {7}
    assert_same(found, expected)
    assert there.statistics == here.statistics


def test_training_on_two_raylets_gives_the_weights_of_one_process(raylets: Any, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    weights = []
    for engine, more in (("inline", {}), ("ray", {"workers": 4})):
        notes = tmp_path / engine
        notes.mkdir()
        config = TrainConfig(
            recipe="grpo",
            env="slow_words:SlowWords",
            updates=3,
            rollout=RolloutConfig(**SIZES, chunk=3, engine=engine, **more),  # type: ignore[arg-type]
            learner=LearnerConfig(learning_rate=0.01),
            out=str(tmp_path / "runs" / engine),
        )
        policy = small_policy(dtype=torch.float32)
        before = {name: value.clone() for name, value in policy.module.state_dict().items()}
        # Nobody says the right word yet: it is the entropy that moves the weights.
        recipe = make_recipe("grpo", entropy_coefficient=0.1)
        run = Trainer(policy, recipe, config, partial(SlowWords, str(notes), 0.0), TASKS)
        rows = run.train()
        assert len(rows) == policy.version == 3
        after = policy.module.state_dict()
        assert any(not torch.equal(value, after[name]) for name, value in before.items())
        weights.append(after)
    for name, value in weights[0].items():
        assert torch.equal(value, weights[1][name]), name
