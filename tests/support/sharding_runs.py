"""What processes with shards do, as a script that ``accelerate launch`` starts: ``sharding_runs.py WHAT FOLDER``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from small_language import tokenizer
from tabular import BigramPolicy, episode

from fogline.agents.policies.language import CausalLMPolicy
from fogline.agents.policies.tiny import tiny_causal_lm
from fogline.trainers.batch import Batch, batch_of
from fogline.trainers.learner import Learner, LearnerConfig
from fogline.trainers.processes import Processes
from fogline.trainers.recipes import make_recipe

UPDATES, HALF = 6, 3
# The bias of keys has a gradient of nothing but rounding, of which Adam without an epsilon would make whole steps.
METHODS: Mapping[str, Mapping[str, Any]] = {
    "grpo": {"dtype": torch.float32, "config": {"micro_batch": 2, "adam_epsilon": 1e-3}},
    "ppo": {"dtype": torch.float64, "config": {"minibatches": 2, "weight_decay": 0.1}},
}


def recorded(seed: int) -> Batch:
    """Ragged groups with a prompt each, that their rows share, and one row that infrastructure aborted."""
    random = np.random.default_rng(seed)
    player = BigramPolicy(seed=2)
    episodes = []
    for group, size in enumerate((4, 3, 1, 2)):
        prompt = random.integers(player.vocabulary, size=9).tolist()
        for member in range(size):
            turns = [
                (
                    random.integers(player.vocabulary, size=2).tolist() if turn else prompt,
                    random.integers(player.vocabulary, size=int(random.integers(1, 5))).tolist(),
                    float(random.normal()),
                )
                for turn in range(int(random.integers(2, 4)))
            ]
            status = "infra_error" if group == 1 and member == 0 else "terminated"
            episodes.append(episode(f"task-{group}", len(episodes), turns, status=status, policy=player))
    batch = batch_of(episodes, player, dtype=torch.float64)
    session = {name: torch.where(batch.valid, values, torch.nan) for name, values in batch.session.items()}
    return replace(batch, session=session)


def learner(method: str, processes: Processes, sharding: str) -> Learner:
    settings = METHODS[method]
    model = tiny_causal_lm(tokenizer(), layers=2, width=32, context=64, seed=3, dtype=settings["dtype"])
    policy = CausalLMPolicy(model, tokenizer(), critic=method == "ppo")
    config = LearnerConfig(learning_rate=1e-3, sharding=sharding, **settings["config"])  # type: ignore[arg-type]
    return Learner(policy, make_recipe(method, entropy_coefficient=0.01), config, processes=processes)


def learn(one: Learner, first: int, last: int) -> list[dict[str, float]]:
    return [one.update(recorded(seed)) for seed in range(first, last)]


def updates(folder: Path, processes: Processes, sharding: str) -> None:
    """Six updates by each method, with a checkpoint half-way and one at the end."""
    for method in METHODS:
        one = learner(method, processes, sharding)
        for part, (first, last) in enumerate(((0, HALF), (HALF, UPDATES))):
            logs = learn(one, first, last)
            state = one.state()
            if processes.main:
                torch.save({"logs": logs, "state": state}, folder / f"{method}-{part}.pt")


def go_on(folder: Path, processes: Processes, sharding: str) -> None:
    """The second half again, from the checkpoint half-way that somebody else wrote into the folder."""
    for method in METHODS:
        one = learner(method, processes, sharding)
        one.restore(torch.load(folder / f"{method}-0.pt", weights_only=True)["state"], folder)
        logs = learn(one, HALF, UPDATES)
        state = one.state()
        if processes.main:
            torch.save({"logs": logs, "state": state}, folder / f"{method}-continued.pt")


def both(folder: Path, processes: Processes) -> None:
    """Sharded: all updates into ``sharded``, and the second half from what one process left in ``alone``."""
    updates(folder / "sharded", processes, "fsdp")
    go_on(folder / "alone", processes, "fsdp")
    one = learner("grpo", processes, "fsdp")
    held = sum(weight.to_local().numel() for weight in one.weights.trainable)  # type: ignore[attr-defined]
    one.update(recorded(0))
    moments = sum(
        value.to_local().numel()
        for kept in one.optimiser.state.values()
        for name, value in kept.items()
        if name.startswith("exp_avg")
    )
    torch.save({"held": held, "moments": moments}, folder / f"held-{processes.rank}.pt")


if __name__ == "__main__":
    torch.set_num_threads(1)
    together = Processes()
    {"both": both}[sys.argv[1]](Path(sys.argv[2]), together)
    together.close()
