"""Relative coordination cost: what is lost by cutting the data up (Silo-Bench, section 3.3)."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

from fogline.benchmarks.sweeps.cells import TEAM
from fogline.benchmarks.sweeps.rows import Row
from fogline.benchmarks.sweeps.tables import LEVELS, SUCCESS, Column, Line, Number, Table, mean
from fogline.core.intervals import Interval

RESAMPLES = 2000
_COLUMNS = (
    Column("alone", "SR of one agent", percent=True),
    Column("together", "SR of k agents", percent=True),
    Column("rcc", "RCC", percent=True),
)
_NOTE = (
    "RCC = 1 − SR of k agents / SR of one agent that holds the data of k. It cannot be said where that one agent is "
    "never right. Of a mixed team the first member plays alone. Tasks are those that both have played."
)


def relative_cost(alone: Sequence[float], together: Sequence[float]) -> float | None:
    """RCC = 1 - mean(together) / mean(alone); None where the single agent is never right.

    Args:
        alone: Success rate of the single agent, by task.
        together: Success rate of the team on the same tasks.
    """
    base = math.fsum(alone)
    return None if base == 0 else 1 - math.fsum(together) / base


def relative_cost_interval(
    alone: Sequence[float], together: Sequence[float], *, confidence: float = 0.95, seed: int = 0
) -> Interval | None:
    """Percentile bootstrap over tasks, the two success rates of a task kept together.

    A resample in which the single agent is never right may have any cost: it counts against both bounds.

    Returns:
        The interval; None where resampling can say nothing: fewer than two tasks, all resamples equal, or too many
        resamples without a value.
    """
    pairs = np.array(sorted(zip(alone, together, strict=True)), dtype=np.float64).reshape(-1, 2)
    if len(pairs) < 2:
        return None
    chosen = np.random.default_rng(seed).integers(len(pairs), size=(RESAMPLES, len(pairs)))
    sums = pairs[chosen].sum(axis=1)
    defined = sums[:, 0] > 0
    costs = 1 - np.divide(sums[:, 1], sums[:, 0], out=np.zeros(RESAMPLES), where=defined)
    tail = (1 - confidence) / 2
    # One of the values that occur, because infinity has no neighbours to interpolate between.
    low = float(np.quantile(np.where(defined, costs, -np.inf), tail, method="lower"))
    high = float(np.quantile(np.where(defined, costs, np.inf), 1 - tail, method="higher"))
    if low == high or not (math.isfinite(low) and math.isfinite(high)):
        return None
    return Interval(low, high)


def cost_table(rows: Iterable[Row]) -> Table:
    """RCC by team, level and size (the paper's table 2), over all protocols; no line where the oracle did not play."""
    rows = list(rows)
    alone = _by_slice(row for row in rows if row.facts.baseline)
    together = _by_slice(row for row in rows if not row.facts.baseline)
    lines = []
    for agent, level, size in sorted(together, key=lambda key: (key[0], _levels().index(key[1]), key[2])):
        single = alone.get((agent.partition(TEAM)[0], level, size))
        if single is not None:
            numbers = _numbers(single, together[agent, level, size])
            lines.append(Line((agent, level, str(size)), numbers))
    return Table("rcc", "Relative coordination cost", ("agent", "level", "k"), _COLUMNS, tuple(lines), _NOTE)


def _levels() -> tuple[str, ...]:
    return (*LEVELS, "all")


def _by_slice(rows: Iterable[Row]) -> dict[tuple[str, str, int], list[Row]]:
    slices: dict[tuple[str, str, int], list[Row]] = defaultdict(list)
    for row in rows:
        for level in (row.facts.level, "all"):
            slices[row.facts.agent, level, row.facts.n_agents].append(row)
    return slices


def _numbers(single: Sequence[Row], team: Sequence[Row]) -> dict[str, Number]:
    shared = {row.facts.task for row in single} & {row.facts.task for row in team}
    single = [row for row in single if row.facts.task in shared]
    team = [row for row in team if row.facts.task in shared]
    alone, together = _by_task(single), _by_task(team)
    value = relative_cost(alone, together) if shared else None
    interval = None if value is None else relative_cost_interval(alone, together)
    low, high = (None, None) if interval is None else interval
    cost = Number(value, low, high, len(shared), len(single) + len(team))
    return {"alone": mean(single, SUCCESS), "together": mean(team, SUCCESS), "rcc": cost}


def _by_task(rows: Iterable[Row]) -> list[float]:
    """Mean success rate of each task, in the order of their names."""
    values: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        values[row.facts.task].append(row.values[SUCCESS.key])
    return [math.fsum(own) / len(own) for _, own in sorted(values.items())]
