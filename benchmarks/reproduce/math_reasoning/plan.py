"""Budgets that reproductions in this world share."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from fogline.agents.collector import EnvFactory
from fogline.benchmarks.reproduce.experiment import ACCURACY
from fogline.envs.math_reasoning.env import MathReasoningEnv
from fogline.envs.math_reasoning.records import MathDataset
from fogline.envs.math_reasoning.sources import load_problems

PASS, GREEDY, ENTROPY = "pass@k", "greedy accuracy", "entropy"
"""What is measured of a policy beside the accuracy of samples: one right of k, the most likely answer; nats a token."""


_ERRS: Mapping[str, str] = {
    "arithmetic": "one off with chance {error:g} for each digit",
    "countdown": "another operator with chance {error:g} for each",
}


class MathPlan(BaseModel):
    """Budgets; the full and the quick form of a reproduction differ in nothing else.

    Attributes:
        source: Of the problems: ``arithmetic``, or ``countdown``, where a problem has many right answers.
        levels: Lowest and highest.
        tools: ``calculator`` for problems that are solved by a call; none where empty.
        longest: Tokens of a message at the most, its end among them.
        layers: Of the model.
        width: Of the model.
        error: Chance of the demonstrator to be one off, for each digit (see ``NoisyAgent``), or of an operator to be
            another one (see ``CountdownAgent``).
        shown_problems: Demonstrated problems of each level.
        shown_samples: Demonstrations of each problem, with errors of their own.
        shown_epochs: Passes over them.
        shown_rows: Demonstrations per step.
        shown_rate: Learning rate of the warm start.
        problems: Of each level, to learn on by reward.
        tasks_per_update: Problems of a batch.
        group_size: Answers to each.
        updates: Batches; the same for all methods, tuning included.
        epochs: Passes over a batch.
        minibatches: Optimiser steps of a pass.
        warmup: Updates over which the learning rate rises.
        test_problems: Of each level, of a split of their own.
        test_samples: Answers to each: the k of pass@k.
        evaluations: Points of a curve.
        seeds: Of the arms; each has a warm start of its own.
        tuning_seeds: Of the choice of learning rates.
        learning_rates: Candidates.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: Literal["arithmetic", "countdown"] = "arithmetic"
    levels: tuple[int, int] = (1, 3)
    tools: Literal["", "calculator"] = ""
    longest: int = 7
    layers: int = 2
    width: int = 64
    error: float = 0.25
    shown_problems: int = 8000
    shown_samples: int = 4
    shown_epochs: int = 3
    shown_rows: int = 64
    shown_rate: float = 3e-3
    problems: int = 2000
    tasks_per_update: int = 64
    group_size: int = 8
    updates: int = 80
    epochs: int = 2
    minibatches: int = 8
    warmup: int = 3
    test_problems: int = 200
    test_samples: int = 8
    evaluations: int = 8
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 6, 7)
    tuning_seeds: tuple[int, ...] = (100, 101)
    learning_rates: tuple[float, ...] = (3e-5, 1e-4)

    def dataset(self, split: str, per_level: int) -> MathDataset:
        """Problems of a split."""
        return load_problems(self.source, difficulty=self.levels, split=split, tasks_per_level=per_level)

    def environments(self, dataset: MathDataset) -> EnvFactory:
        """Problems in the fewest characters, without rules; with a tool, one message more than it takes."""
        more: dict[str, Any] = {"tools": self.tools, "max_turns": 3} if self.tools else {}
        return partial(MathReasoningEnv, dataset, prompt="short", **more)

    def shapes(self) -> dict[str, Any]:
        """What shapes a cell; seeds and candidates do not."""
        return self.model_dump(mode="json", exclude={"seeds", "tuning_seeds", "learning_rates"})

    def warm_shapes(self) -> dict[str, Any]:
        """What shapes a warm start."""
        shared = ("source", "levels", "tools", "longest", "layers", "width", "error", "test_problems", "test_samples")
        return {name: value for name, value in self.shapes().items() if name.startswith("shown_") or name in shared}

    def all_seeds(self) -> tuple[int, ...]:
        """Seeds that need a warm start."""
        return (*self.seeds, *self.tuning_seeds)

    def stated(self) -> dict[str, Any]:
        """Seeds, rules and budgets in words."""
        steps = self.epochs * self.minibatches
        return {
            "seeds": f"{list(self.seeds)}: each has a warm start, an order of problems and a sampler of its own",
            "world": (
                f"MathReasoning-v0, {self.source} of levels {self.levels[0]} to {self.levels[1]}, prompt='short'; a "
                f"model of {self.layers} layers and width {self.width}, token by token of single characters, that "
                f"imitated a solver who errs ({_ERRS[self.source].format(error=self.error)})"
            ),
            "epochs and staleness": (
                f"{self.epochs} passes over a batch in {self.minibatches} steps each: {steps} optimiser steps, so that "
                f"the weights are 0 to {steps - 1} steps ahead of the sampler's ({(steps - 1) / 2:g} on average); "
                "batches are played by the newest weights"
            ),
            "budget": (
                f"{self.updates} updates of {self.tasks_per_update} x {self.group_size} answers for every method, one "
                "credit (group mean and deviation), one aggregation (token mean), no divergence or entropy term"
            ),
            "measured": (
                f"{ACCURACY}: mean over {self.test_samples} answers, sampled as in training, to each problem of the "
                f"split 'test'; {PASS}: one of them right; {GREEDY}: the most likely answer; {ENTROPY}: nats a token "
                "over the last tenth of training"
            ),
            "tuning": (
                f"learning rate from {list(self.learning_rates)} by {ACCURACY} on the split 'validation', mean over "
                f"seeds {list(self.tuning_seeds)}, with the budget of the arms; ties go to the smaller"
            ),
        }
