"""Reads a sweep out of a store: the rows of its tables, what is missing, and who talked to whom."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fogline.benchmarks.evaluation import sample_seeds
from fogline.benchmarks.sweeps.cells import Facts, facts_of
from fogline.benchmarks.sweeps.config import SWEEP
from fogline.benchmarks.sweeps.rows import Row, row_of
from fogline.benchmarks.sweeps.tables import Column, Line, Number, Table
from fogline.core.episode import Episode
from fogline.core.errors import ConfigurationError, suggestion
from fogline.core.store import RunRecord, RunStore

PREFERRED_SIZE = 20
"""Agents of the heat-maps where nobody says otherwise, as in the paper's figure 7."""


class Traffic(NamedTuple):
    """Which runs a heat-map is made of."""

    agent: str
    protocol: str
    level: str


@dataclass(frozen=True, slots=True)
class SweepData:
    """What a store says about a sweep.

    Attributes:
        run: The run.
        rows: One per scored episode.
        counts: Planned, scored, failed and missing episodes by team.
        failures: Unscored episodes by kind of failure.
        size: Agents of the heat-maps; None where nothing was scored.
        traffic: Mean number of messages from one agent (row) to another (column) in a run, ``[N, N]``.
    """

    run: RunRecord
    rows: list[Row]
    counts: Table
    failures: Mapping[str, int]
    size: int | None
    traffic: Mapping[Traffic, NDArray[np.float64]]


def read_sweep(url: str, run_id: str | None = None, size: int | None = None) -> SweepData:
    """Read a sweep.

    Args:
        url: SQLite file or database URL.
        run_id: Which run; the latest sweep where None. Episodes that other runs added to its cells count.
        size: Agents of the heat-maps; by default 20, or the largest size below it, or the smallest.

    Raises:
        ConfigurationError: If there is no such run, or it is no sweep, or has no cell of that size.
        StoreError: For a store that cannot be read.
    """
    with closing(RunStore(url, create=False)) as store:
        run = _choose(store, run_id)
        cells = {cell.cell_key: facts_of(cell.config) for cell in store.cells(run.run_id)}
        reader = _Reader(run, cells, _size(cells.values(), size))
        for stored in store.episodes(run_id=run.run_id):
            reader.take(stored.cell_key, stored.episode)
    return reader.data()


class _Reader:
    """Takes episodes in one by one and keeps numbers alone."""

    def __init__(self, run: RunRecord, cells: Mapping[str, Facts], size: int | None) -> None:
        self._run = run
        self._cells = cells
        self._size = size
        self._seeds = sample_seeds(int(run.config["seed"]), int(run.config["seeds"]))
        self._rows: list[Row] = []
        self._counts: dict[str, Counter[str]] = defaultdict(Counter)
        self._failures: Counter[str] = Counter()
        self._sums: dict[Traffic, NDArray[np.float64]] = {}
        self._runs: Counter[Traffic] = Counter()
        for facts in cells.values():
            self._counts[facts.agent]["planned"] += len(self._seeds)

    def take(self, key: str, episode: Episode) -> None:
        """Read one episode, if it belongs to the plan: a cell may hold more instances than this run asked for."""
        number = int(episode.task_id.rpartition("/")[2])
        if number >= len(self._seeds) or episode.seed != self._seeds[number]:
            return
        facts = self._cells[key]
        counts = self._counts[facts.agent]
        if not episode.scored:
            counts["unscored"] += 1
            self._failures["unknown" if episode.failure is None else episode.failure.kind] += 1
            return
        counts["scored"] += 1
        counts["agent_error"] += episode.status == "agent_error"
        self._rows.append(row_of(facts, episode))
        if facts.n_agents == self._size and not facts.baseline:
            self._count_pairs(Traffic(facts.agent, facts.protocol, facts.level), episode.metrics)

    def _count_pairs(self, traffic: Traffic, metrics: Mapping[str, Any]) -> None:
        if "pairs" not in metrics or self._size is None:
            return
        matrix = self._sums.setdefault(traffic, np.zeros((self._size, self._size)))
        self._runs[traffic] += 1
        for sender, receiver, messages in metrics["pairs"]:
            matrix[sender, receiver] += messages

    def data(self) -> SweepData:
        """Sum up what was taken in."""
        # In one order, whichever worker was first.
        rows = sorted(self._rows, key=lambda row: (row.facts, row.instance))
        means = {traffic: total / self._runs[traffic] for traffic, total in sorted(self._sums.items())}
        failures = dict(sorted(self._failures.items()))
        return SweepData(self._run, rows, _counted(self._counts), failures, self._size, means)


def _counted(counts: Mapping[str, Counter[str]]) -> Table:
    columns = (
        Column("planned", "Planned"),
        Column("scored", "Scored"),
        Column("agent_error", "of them ended by the agent's own failure"),
        Column("unscored", "Failed, not scored"),
        Column("missing", "Not played"),
    )
    lines = []
    for agent, own in sorted(counts.items()):
        own["missing"] = own["planned"] - own["scored"] - own["unscored"]
        lines.append(Line((agent,), {column.key: Number(float(own[column.key])) for column in columns}))
    note = (
        "What failed for reasons outside the agents, and what was not played, enters no average. The single-agent "
        "oracle is counted in."
    )
    return Table("counts", "Episodes", ("agent",), columns, tuple(lines), note)


def _choose(store: RunStore, run_id: str | None) -> RunRecord:
    runs = {run.run_id: run for run in store.runs()}
    if run_id is None:
        sweeps = [run for run in runs.values() if run.config.get("sweep") == SWEEP]
        if not sweeps:
            raise ConfigurationError(f"{store!r} has no sweep: expected a store of `fogline sweep {SWEEP}`.")
        return sweeps[-1]
    if run_id not in runs:
        raise ConfigurationError(f"run={run_id!r} is not in the store.{suggestion(run_id, runs)}")
    if runs[run_id].config.get("sweep") != SWEEP:
        raise ConfigurationError(f"run={run_id!r} is no sweep: expected a run of `fogline sweep {SWEEP}`.")
    return runs[run_id]


def _size(cells: Iterable[Facts], wanted: int | None) -> int | None:
    sizes = sorted({facts.n_agents for facts in cells if not facts.baseline})
    if wanted is not None:
        if wanted not in sizes:
            raise ConfigurationError(f"heatmap_agents={wanted} was not played: expected one of {sizes}.")
        return wanted
    small = [size for size in sizes if size <= PREFERRED_SIZE]
    return (small[-1] if small else sizes[0]) if sizes else None
