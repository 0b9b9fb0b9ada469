"""Instances by number: which data the seats hold, decided by task, size and number alone."""

from __future__ import annotations

import numpy as np

from fogline.core.errors import ConfigurationError, suggestion
from fogline.envs.silo_bench.config import SiloConfig
from fogline.envs.silo_bench.tasks.catalogue import silo_task
from fogline.envs.silo_bench.tasks.task import Problem


def instance_ids(config: SiloConfig) -> tuple[str, ...]:
    """Ids of all instances, ``"I-01/0"`` and so on, task after task."""
    return tuple(f"{task_id}/{number}" for task_id in config.task for number in range(config.instances))


def split_id(instance_id: str) -> tuple[str, int]:
    """Task and number of an instance id.

    Raises:
        ConfigurationError: For text of another form.
    """
    task_id, _, number = instance_id.rpartition("/")
    if not number.isdecimal():
        raise ConfigurationError(
            f"{instance_id!r} is no instance: expected TASK/NUMBER, such as 'I-01/0'."
            f"{suggestion(instance_id, ('I-01/0',))}"
        )
    return task_id, int(number)


def make_problem(config: SiloConfig, instance_id: str) -> Problem:
    """The data of an instance, one shard per seat.

    The generator's seed is ``SeedSequence([suite_seed, task, agents, number])``: an instance depends on nothing
    that was generated before it.
    """
    task_id, number = split_id(instance_id)
    task = silo_task(task_id)
    seed = np.random.SeedSequence([config.suite_seed, task.index, config.shards, number])
    problem = task.generate(np.random.default_rng(seed), config.shards, config.data)
    return task.united(problem) if config.n_agents < config.shards else problem
