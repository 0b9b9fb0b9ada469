"""How many episodes each task is given out of a fixed budget: the sequence level of DynaMO (2026, arXiv 2602.19208).

With v_i the variance of what one episode of task i says, the mean over tasks of each task's own mean has a variance
in proportion to Σ v_i / n_i. Neyman's allocation n_i ∝ √v_i makes it least under Σ n_i = budget. Here every n_i is a
whole number in a box; the optimum is then found exactly, one episode after the other, because each further episode of
a task saves less than the one before. The released rule, which fills up in proportion, is kept beside it.

All functions take one entry per task, ``[N]``, and are deterministic: ties go to the lower index.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fogline.core.errors import ConfigurationError, DataError

Array = np.ndarray[Any, Any]

MASTERED = 0.85
"""Accuracy from which the release takes a task for learned."""

_LEAST_PRIORITY = 0.01
_ELIGIBLE = 1e-8
"""Priorities up to here ask for nothing in the released rule."""


def bernoulli_variance(correct: ArrayLike, trials: ArrayLike) -> Array:
    """The unbiased estimate k(G - k) / (G(G - 1)) of p(1 - p), ``[N]`` float64.

    Args:
        correct: k, how many of the trials were correct, ``[N]``.
        trials: G, ``[N]``.

    Returns:
        NaN with fewer than two trials, which say nothing about a variance.

    Raises:
        ConfigurationError: For shapes that differ.
        DataError: For counts that are not whole, or more correct than there were trials: a correctness that is not
            0 or 1 has another variance.
    """
    k, g = _counts(correct, trials)
    known = g >= 2
    return np.where(known, k * (g - k) / np.where(known, g * (g - 1), 1.0), np.nan)


def released_priority(correct: ArrayLike, trials: ArrayLike, least_trials: int = 4) -> Array:
    """What the authors' release allocates by, ``[N]`` float64.

    0 with fewer than ``least_trials`` trials, which are explored only; 0.01 for tasks of accuracy 0.85 or more; else
    the Bernoulli variance plus 1e-6 · (1 - accuracy), at least 0.01.

    Raises:
        ConfigurationError: For shapes that differ.
        DataError: As :func:`bernoulli_variance`.
    """
    k, g = _counts(correct, trials)
    accuracy = k / np.maximum(g, 1.0)
    spread = np.maximum(np.nan_to_num(bernoulli_variance(k, g)) + 1e-6 * (1 - accuracy), _LEAST_PRIORITY)
    priority = np.where(accuracy >= MASTERED, _LEAST_PRIORITY, spread)
    return np.where(g < least_trials, 0.0, priority)


def reserve(trials: ArrayLike, budget: int, low: int, high: int, exploration: int) -> Array:
    """What every task is given before its variance is asked for, ``[N]`` int64.

    At least ``low``, and as many as a task lacks to ``exploration`` episodes, at most ``high``. Where that exceeds the
    budget, everybody has ``low`` and the rest goes to those that were seen least. (The release explores before it
    grants the floor, which it then sometimes breaks.)

    Args:
        trials: Episodes of each task so far, ``[N]``.
        budget: Episodes in all.
        low: Fewest episodes of a task.
        high: Most episodes of a task.
        exploration: Episodes that a task is owed before its statistics count.

    Raises:
        ConfigurationError: As :func:`allocate_exact`.
    """
    seen = np.asarray(trials, dtype=np.float64)
    given, most = _box(len(seen), budget, low, high)
    wanted = np.clip(exploration - seen, given, most).astype(np.int64)
    if wanted.sum() <= budget:
        return wanted
    queue = [(seen[task] + given[task], task) for task in range(len(seen)) if given[task] < wanted[task]]
    heapq.heapify(queue)
    for _ in range(budget - int(given.sum())):
        known, task = heapq.heappop(queue)
        given[task] += 1
        if given[task] < wanted[task]:
            heapq.heappush(queue, (known + 1, task))
    return given


def allocate_exact(priority: ArrayLike, budget: int, low: int | Sequence[int], high: int | Sequence[int]) -> Array:
    """The whole numbers n with Σ n_i = budget and low_i ≤ n_i ≤ high_i that minimise Σ priority_i / n_i.

    One episode after the other goes where it saves most, priority_i / (n_i(n_i + 1)). The objective is separable and
    convex, so that this is the optimum. Where nothing is left to save, the task with the fewest is next.

    Args:
        priority: v_i, the variance of one episode of each task, up to a common factor, ``[N]``; at least 0.
        budget: Episodes in all.
        low: Fewest episodes of each task, at least 1.
        high: Most episodes of each task.

    Returns:
        ``[N]`` int64.

    Raises:
        ConfigurationError: For a budget below the floor Σ low_i or above Σ high_i, or a box that is none.
        DataError: For a priority that is negative or no finite number.
    """
    weight = _priorities(priority)
    given, most = _box(len(weight), budget, low, high)

    def saving(task: int) -> tuple[float, int, int]:
        held = int(given[task])
        gain = float(weight[task]) / (held * (held + 1))
        return -gain, 0 if gain > 0 else held, task

    queue = [saving(task) for task in range(len(weight)) if given[task] < most[task]]
    heapq.heapify(queue)
    for _ in range(budget - int(given.sum())):
        task = heapq.heappop(queue)[-1]
        given[task] += 1
        if given[task] < most[task]:
            heapq.heappush(queue, saving(task))
    return given


def allocate_released(priority: ArrayLike, budget: int, low: int | Sequence[int], high: int | Sequence[int]) -> Array:
    """The authors' water filling: what exceeds the floor is shared in proportion to the priority.

    Shares are rounded down, the largest remainders are rounded up, what exceeds the box is shared again; where nobody
    has a priority, it goes round. It is n_i - low_i that is proportional, not n_i: near the optimum for
    priority = √v, and not it.

    Args:
        priority: ``[N]``, at least 0.
        budget: As in :func:`allocate_exact`.
        low: As in :func:`allocate_exact`.
        high: As in :func:`allocate_exact`.

    Raises:
        ConfigurationError: As :func:`allocate_exact`.
        DataError: As :func:`allocate_exact`.
    """
    weight = _priorities(priority)
    given, most = _box(len(weight), budget, low, high)
    while (left := budget - int(given.sum())) > 0:
        open_tasks = np.flatnonzero(given < most)
        eligible = open_tasks[weight[open_tasks] > _ELIGIBLE]
        if not len(eligible):
            fewest = open_tasks[np.argsort(given[open_tasks], kind="stable")]
            given[fewest[:left]] += 1
            continue
        exact = left * weight[eligible] / weight[eligible].sum()
        share = np.floor(exact).astype(np.int64)
        order = np.argsort(share - exact, kind="stable")
        share[order[: left - int(share.sum())]] += 1
        given[eligible] = np.minimum(given[eligible] + share, most[eligible])
    return given


def _counts(correct: ArrayLike, trials: ArrayLike) -> tuple[Array, Array]:
    k, g = np.asarray(correct, dtype=np.float64), np.asarray(trials, dtype=np.float64)
    if k.shape != g.shape or k.ndim != 1:
        raise ConfigurationError(
            f"correct has shape {list(k.shape)} and trials {list(g.shape)}: expected one count for each task, [N]."
        )
    wrong = ~((k == np.floor(k)) & (g == np.floor(g)) & (k >= 0) & (k <= g) & np.isfinite(g))
    if wrong.any():
        task = int(np.flatnonzero(wrong)[0])
        raise DataError(
            f"task {task} has correct={k[task]:g} of trials={g[task]:g}: expected whole numbers with 0 <= correct <= "
            "trials. Correctness must be 0 or 1 for a Bernoulli variance: count an episode as correct when its reward "
            "exceeds a threshold (rollout.correct_above)."
        )
    return k, g


def _priorities(priority: ArrayLike) -> Array:
    weight = np.asarray(priority, dtype=np.float64)
    wrong = ~(np.isfinite(weight) & (weight >= 0))
    if weight.ndim != 1 or not len(weight):
        raise ConfigurationError(f"priority has shape {list(weight.shape)}: expected one for each task, [N], N > 0.")
    if wrong.any():
        task = int(np.flatnonzero(wrong)[0])
        raise DataError(f"priority {weight[task]} of task {task}: expected a finite number of at least 0.")
    return weight


def _box(tasks: int, budget: int, low: int | Sequence[int], high: int | Sequence[int]) -> tuple[Array, Array]:
    """The bounds of each task, ``[N]`` int64 each; the first is a copy that may be counted up."""
    least, most = (np.array(np.broadcast_to(np.asarray(bound, dtype=np.int64), (tasks,))) for bound in (low, high))
    if (least < 1).any() or (most < least).any():
        raise ConfigurationError(
            f"low={low}, high={high}: expected 1 <= low <= high for each of {tasks} tasks; set rollouts_low and "
            "rollouts_high so."
        )
    if budget < least.sum():
        raise ConfigurationError(
            f"budget={budget} is below the floor of {least.sum()} episodes, low={low} for each of {tasks} tasks: raise "
            "group_size, or lower rollouts_low."
        )
    if budget > most.sum():
        raise ConfigurationError(
            f"budget={budget} is above the ceiling of {most.sum()} episodes, high={high} for each of {tasks} tasks: "
            "lower group_size, or raise rollouts_high."
        )
    return least, most
