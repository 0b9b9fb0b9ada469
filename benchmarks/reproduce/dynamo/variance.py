"""How much one answer's gradient varies, problem by problem, and what each allocation of answers makes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fogline.agents.collector import collect_all
from fogline.agents.policies.language import CausalLMPolicy
from fogline.agents.rollout import Assignment
from fogline.benchmarks.reproduce.cells import Cell
from fogline.benchmarks.reproduce.dynamo.plan import (
    BEST,
    EFFICIENCY,
    EVEN,
    FREE,
    HALF,
    HALF_KNOWN,
    LATER,
    METHODS,
    NORMALISED,
    ONE,
    REDUCTION,
    RULE,
    UNIFORM,
    Plan,
)
from fogline.benchmarks.reproduce.math_reasoning.training import learn
from fogline.benchmarks.reproduce.math_reasoning.warm_start import warm_policy
from fogline.trainers.allocation import allocate_exact, allocate_released, bernoulli_variance, released_priority
from fogline.trainers.batch import Batch, batch_of
from fogline.trainers.whole import scored_parts

Array = np.ndarray[Any, Any]

_SEED = 90_000_000


@dataclass(frozen=True)
class Mix:
    """What was measured of a set of problems; ``[N]`` each.

    Attributes:
        rate: Share of correct answers.
        variance: Of one answer's gradient under the credit R - p, summed over all weights.
        normalised: The same under (R - p)/√(p(1 - p)); 0 where every answer earned the same.
        correct: Correct ones of a few further answers, which an allocator has seen.
        seen: How many further answers.
    """

    rate: Array
    variance: Array
    normalised: Array
    correct: Array
    seen: int


def measure_variance(plan: Plan, rates: Mapping[str, float], warm: Path, cell: Cell) -> Mapping[str, Any]:
    """Every allocation's variance at a stage of training; the cell's arm is the stage."""
    policy = warm_policy(plan, warm, cell.seed)
    if cell.arm == LATER:
        learn(plan, METHODS[UNIFORM], rates[UNIFORM], policy, cell.seed)
    mix = measured_mix(plan, policy, cell.seed)
    return {
        "metrics": {"pass rate": float(mix.rate.mean()), "spread of pass rates": float(mix.rate.std())},
        "rates": mix.rate.tolist(),
        "allocations": compared(mix, plan.group_size, plan.low, plan.high),
    }


def measured_mix(plan: Plan, policy: CausalLMPolicy, seed: int) -> Mix:
    """Draw problems, answer them, and take every answer's gradient apart."""
    dataset = plan.dataset("train", plan.problems)
    names = list(dataset.tasks)
    drawn = np.random.default_rng([seed, 7]).choice(len(names), min(plan.measured_problems, len(names)), replace=False)
    tasks = [names[int(index)] for index in np.sort(drawn)]
    factory = plan.environments(dataset)

    def rewards(first: int, samples: int) -> tuple[Batch, Array]:
        wanted = [Assignment(task, first + sample) for task in tasks for sample in range(samples)]
        batch = batch_of(collect_all(factory, policy, wanted, concurrency=512), policy)
        return batch, batch.reward.double().numpy().reshape(len(tasks), samples)

    answers, reward = rewards(_SEED, plan.measured_samples)
    _, further = rewards(_SEED + plan.measured_samples, plan.group_size)
    rate = reward.mean(1)
    variance = np.array([
        _gradient_variance(policy, answers, range(index * reward.shape[1], (index + 1) * reward.shape[1]), rate[index])
        for index in range(len(tasks))
    ])  # fmt: skip
    bernoulli = rate * (1 - rate)
    normalised = np.divide(variance, bernoulli, out=np.zeros_like(variance), where=bernoulli > 0)
    return Mix(rate, variance, normalised, further.sum(1), plan.group_size)


def _gradient_variance(policy: CausalLMPolicy, batch: Batch, rows: Sequence[int], rate: float) -> float:
    """Unbiased E‖g - E g‖² of g = (R - p) ∇ log π(answer), over the answers to one problem."""
    if rate in (0.0, 1.0):
        return 0.0
    kept = batch.select(torch.tensor(rows)).trimmed()
    tokens = torch.where(kept.policy_mask, kept.tokens, -1)
    _, first, times = np.unique(tokens.numpy(), axis=0, return_index=True, return_counts=True)
    credit = (kept.reward.double().numpy()[first] - rate).astype(np.float64)
    parameters = [parameter for parameter in policy.module.parameters() if parameter.requires_grad]
    total = np.zeros(sum(parameter.numel() for parameter in parameters))
    squares = 0.0
    for row, count, weight in zip(first, times, credit, strict=True):
        one = kept.select(torch.tensor([int(row)]))
        logp = policy.score(*scored_parts(one)).logp
        found = torch.autograd.grad((logp * one.policy_mask).sum(), parameters)
        gradient = weight * torch.cat([part.flatten() for part in found]).double().numpy()
        total += count * gradient
        squares += count * float(gradient @ gradient)
    number = int(times.sum())
    mean = total / number
    return max((squares - number * float(mean @ mean)) / (number - 1), 0.0)


def compared(mix: Mix, mean: int, low: int, high: int) -> dict[str, dict[str, float]]:
    """Reduction and efficiency of each allocation of ``mean`` answers a problem, ``low`` to ``high`` each."""
    allocations = allocated(mix, mean, low, high)
    spent = {name: _mean_variance(mix.variance, given) for name, given in allocations.items()}
    normalised = {name: _mean_variance(mix.normalised, given) for name, given in allocations.items()}
    return {
        name: {
            REDUCTION: 1 - spent[name] / spent[EVEN],
            EFFICIENCY: spent[BEST] / spent[name],
            NORMALISED: 1 - normalised[name] / normalised[EVEN],
        }
        for name in allocations
    }


def allocated(mix: Mix, mean: int, low: int, high: int) -> dict[str, Array]:
    """Answers for each problem, ``[N]`` each; whole numbers, but for Neyman's without a box."""
    problems = len(mix.rate)
    budget = mean * problems
    trials = np.full(problems, mix.seen)
    counted = bernoulli_variance(mix.correct, trials)
    deviation = np.sqrt(mix.variance)
    # A problem whose gradient does not vary needs no answer at all; it costs nothing, and asks for nothing.
    free = budget * deviation / deviation.sum()
    return {
        EVEN: np.full(problems, mean),
        BEST: allocate_exact(mix.variance, budget, low, high),
        FREE: np.where(deviation > 0, free, np.inf),
        HALF_KNOWN: allocate_exact(mix.rate * (1 - mix.rate), budget, low, high),
        HALF: allocate_exact(counted, budget, low, high),
        ONE: allocate_exact(counted**2, budget, low, high),
        RULE: allocate_released(released_priority(mix.correct, trials), budget, low, high),
    }


def _mean_variance(variance: Array, given: Array) -> float:
    return float(np.sum(variance / given))
