"""What several processes do together, as a script that ``accelerate launch`` starts: ``sharing.py WHAT FOLDER``."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from identity import digits
from tabular import BigramPolicy, language_batch

from fogline.agents.policies.vector import policy_for
from fogline.trainers.config import EvaluationConfig, RolloutConfig, TrainConfig
from fogline.trainers.learner import Learner, LearnerConfig
from fogline.trainers.processes import Processes
from fogline.trainers.recipes import make_recipe
from fogline.trainers.trainer import Trainer

UPDATES = 20
METHODS = ("grpo", "ppo", "dual-track-grpo", "dynamo")


def updates(folder: Path, processes: Processes) -> None:
    """Twenty updates on a recorded sequence of batches, in float64; weights and logs by method."""
    found: dict[str, Any] = {"processes": processes.count}
    for method in METHODS:
        # A part of the weights has no gradient under grpo: an optimiser with weight decay must leave it alone.
        policy = BigramPolicy(critic=True, seed=1)
        options = {"entropy_coefficient": 0.01, "kl_coefficient": 0.05}
        config = LearnerConfig(
            learning_rate=0.02, weight_decay=0.1, micro_batch=2, epochs=2 if method == "ppo" else 1, minibatches=2
        )
        learner = Learner(
            policy, make_recipe(method, **options), config, reference=BigramPolicy(seed=7), processes=processes
        )
        logs = [learner.update(language_batch(BigramPolicy(seed=2), seed=seed)) for seed in range(UPDATES)]
        weights = {name: value.detach().clone() for name, value in policy.module.named_parameters()}
        found[method] = {"weights": weights, "logs": logs}
    # One row for two processes: the second has nothing to do, and no gradient.
    policy = BigramPolicy(seed=1)
    batch = language_batch(BigramPolicy(seed=2), groups=(1,))
    Learner(policy, make_recipe("reinforce"), LearnerConfig(), processes=processes).update(batch)
    found["one row"] = {"weights": {"table": policy.module.state_dict()["table"]}, "logs": []}
    if processes.main:
        torch.save(found, folder / "updates.pt")


def trainer(folder: Path, processes: Processes) -> None:
    """A whole run of two updates: playing, learning, measuring, saving."""
    world = digits(length=2, tasks=("a", "b", "c"))
    config = TrainConfig(
        recipe="grpo",
        env="identity:digits",
        updates=2,
        rollout=RolloutConfig(tasks_per_update=2, group_size=5),
        evaluation=EvaluationConfig(samples=4),
        learner=LearnerConfig(learning_rate=0.01),
        out=str(folder / "run"),
    )
    policy = policy_for(world, hidden=(8,), dtype=torch.float64)
    run = Trainer(
        policy,
        make_recipe("grpo"),
        config,
        lambda: digits(length=2, tasks=("a", "b", "c")),
        world.task_ids,
        processes=processes,
    )
    rows = run.train()
    state = {"rows": rows, "statistics": run.state()["statistics"], "rank": run.processes.rank}
    (folder / f"trainer-{run.processes.rank}.json").write_text(json.dumps(state))


def launch(what: str, folder: Path, count: int = 2, timeout: float = 240, script: str = __file__) -> None:
    """Run ``what`` of a script in ``count`` processes under ``accelerate launch``, on this machine's processors."""
    together([script, what, str(folder)], count, timeout)


def together(words: Sequence[str], count: int = 2, timeout: float = 240) -> str:
    """Run a script, or ``-m`` a module, in several processes; what they wrote to standard output."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", str(count)]
    command += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    command += ["--main_process_port", str(port)]
    # Today's accelerate runs one process under --cpu, whatever --num_processes says; this is its way to several.
    environment = os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    # A module that is run looks for the tests' environments where this process does.
    environment["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    done = subprocess.run(
        [*command, *words],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env=environment,
    )
    if done.returncode:
        raise AssertionError(f"{words} in {count} processes ended with {done.returncode}:\n{done.stderr[-4000:]}")
    return done.stdout


if __name__ == "__main__":
    torch.set_num_threads(1)
    processes = Processes()
    {"updates": updates, "trainer": trainer}[sys.argv[1]](Path(sys.argv[2]), processes)
    processes.close()
