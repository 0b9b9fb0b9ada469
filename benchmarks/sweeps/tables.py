"""The tables of a sweep: means over tasks with bootstrap intervals, by team, protocol, level, size and task."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from fogline.benchmarks.aggregation import estimate
from fogline.benchmarks.sweeps.rows import COUPLES, Row

PROTOCOLS = ("p2p", "broadcast", "files")
LEVELS = ("I", "II", "III")


@dataclass(frozen=True, slots=True)
class Number:
    """A mean over tasks.

    Attributes:
        value: The mean; None where nothing can be said.
        low: Lower bound of its 95 % interval; None where the data cannot say.
        high: Upper bound.
        tasks: Tasks that entered it.
        episodes: Episodes that entered it.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    tasks: int = 0
    episodes: int = 0


class Column(NamedTuple):
    """A heading of a table.

    Attributes:
        key: Name in the JSON.
        label: Heading.
        percent: Whether tables show percent.
        share: Whether a value of 0 or 1 is a trial that failed or succeeded.
    """

    key: str
    label: str
    percent: bool = False
    share: bool = False


class Line(NamedTuple):
    """A line of a table.

    Attributes:
        labels: One per key of the table.
        numbers: By key of a column; an absent one says that there are no data.
    """

    labels: tuple[str, ...]
    numbers: dict[str, Number]


@dataclass(frozen=True, slots=True)
class Table:
    """A table.

    Attributes:
        name: Name in the JSON.
        title: Heading.
        keys: What its lines are labelled by.
        columns: Its headings.
        lines: Its lines.
        note: What a reader has to know.
    """

    name: str
    title: str
    keys: tuple[str, ...]
    columns: tuple[Column, ...]
    lines: tuple[Line, ...] = field(default=())
    note: str = ""

    def number(self, labels: Sequence[str], key: str) -> Number:
        """A number by its line's labels and its column's key; an empty one where there is none."""
        found = next((line.numbers for line in self.lines if line.labels == tuple(labels)), {})
        return found.get(key, Number())

    def to_json(self) -> dict[str, Any]:
        """JSON-ready dictionary; numbers that nobody can say are null."""
        return {
            "name": self.name,
            "title": self.title,
            "note": self.note,
            "keys": list(self.keys),
            "columns": [column._asdict() for column in self.columns],
            "lines": [
                {
                    "labels": dict(zip(self.keys, line.labels, strict=True)),
                    "numbers": {column.key: asdict(line.numbers.get(column.key, Number())) for column in self.columns},
                }
                for line in self.lines
            ],
        }


Axis = Callable[[Row], Any]
AXES: dict[str, Axis] = {
    "agent": lambda row: row.facts.agent,
    "protocol": lambda row: row.facts.protocol,
    "level": lambda row: row.facts.level,
    "n_agents": lambda row: row.facts.n_agents,
    "task": lambda row: row.facts.task,
    "run": lambda row: "S = 1" if row.values["success"] else "S < 1",
}
SUCCESS = Column("success_rate", "SR", percent=True, share=True)
PARTIAL = Column("partial_correctness", "PCS", percent=True, share=True)
DENSITY = Column("density", "Density")
SCORES = (
    SUCCESS,
    PARTIAL,
    Column("success", "S = 1", percent=True, share=True),
    Column("token_consumption", "Tokens"),
    DENSITY,
    Column("redundancy", "CRR"),
    Column("fidelity", "TF"),
    Column("gap", "PCS − SR", percent=True),
    Column("success_rate_strict", "SR as published", percent=True, share=True),
    Column("partial_correctness_published", "PCS as published", percent=True, share=True),
)
LOAD = (
    Column("messages", "Messages"),
    Column("rounds", "Rounds"),
    Column("characters_sent", "Characters"),
    Column("words_sent", "Words"),
    Column("max_in_degree", "Max in-degree"),
    Column("max_characters_received", "Max characters received"),
    Column("gini", "Gini"),
)
LABELS = (
    Column("any_premature", "Premature", percent=True, share=True),
    Column("any_consensus_failure", "Consensus", percent=True, share=True),
    Column("any_computation_error", "Computation", percent=True, share=True),
    Column("any_no_submission", "No submission", percent=True, share=True),
)
_SHORT = {
    "premature": "premature",
    "consensus_failure": "consensus",
    "computation_error": "computation",
    "no_submission": "no submission",
}
TOGETHER = tuple(
    Column(f"{one}+{other}", f"{_SHORT[one]} & {_SHORT[other]}", percent=True, share=True) for one, other in COUPLES
)
BEHAVIOUR = (
    Column("messages_per_agent", "Messages per agent"),
    Column("rounds", "Rounds"),
    Column("characters_per_agent", "Characters per agent"),
    Column("max_in_degree", "Max in-degree"),
    Column("gini", "Gini"),
    Column("coverage", "Coverage", percent=True, share=True),
)


def by_protocol(rows: Sequence[Row]) -> Table:
    """Scores by team and protocol; what a sweep shows when it is done."""
    return tabulate("protocol", "By protocol", _of_teams(rows), ("agent", "protocol"), SCORES)


def all_tables(rows: Sequence[Row]) -> list[Table]:
    """Every table but that of relative coordination cost, in the order of the report."""
    played = _of_teams(rows)
    return [
        tabulate("all", "All runs", played, ("agent",), SCORES),
        by_protocol(rows),
        tabulate("level", "By level", played, ("agent", "level"), SCORES),
        tabulate("size", "By number of agents", played, ("agent", "n_agents"), SCORES),
        pivot("level_by_size", "SR by level and number of agents", played, ("agent", "level"), "n_agents", (SUCCESS,)),
        pivot(
            "protocol_by_level",
            "SR and density by protocol and level",
            played,
            ("agent", "protocol"),
            "level",
            (SUCCESS, DENSITY),
        ),
        pivot("task", "SR by task and protocol", played, ("agent", "task"), "protocol", (SUCCESS,)),
        _failures("failures", "Failures", played, ("agent",)),
        _failures("failures_by_size", "Failures by number of agents", played, ("agent", "n_agents")),
        _behaviour(played),
        leaders(played),
        tabulate("load", "Load", played, ("agent", "protocol", "n_agents"), LOAD),
    ]


def tabulate(
    name: str, title: str, rows: Iterable[Row], keys: tuple[str, ...], columns: tuple[Column, ...], note: str = ""
) -> Table:
    """One line per combination of ``keys``, one mean per column."""
    lines = [
        Line(labels, {column.key: mean(own, column) for column in columns}) for labels, own in _grouped(rows, keys)
    ]
    return Table(name, title, keys, columns, tuple(lines), note)


def pivot(
    name: str, title: str, rows: Sequence[Row], keys: tuple[str, ...], across: str, measures: tuple[Column, ...]
) -> Table:
    """One line per combination of ``keys``, and for each value of ``across`` a column per measure."""
    values = [labels[0] for labels, _ in _grouped(rows, (across,))]
    columns = tuple(
        measure._replace(key=f"{measure.key}:{value}", label=f"{measure.label} {_heading(across, value)}")
        for measure in measures
        for value in values
    )
    lines = []
    for labels, own in _grouped(rows, keys):
        parts = {found[0]: part for found, part in _grouped(own, (across,))}
        numbers = {
            f"{measure.key}:{value}": mean(part, measure) for measure in measures for value, part in parts.items()
        }
        lines.append(Line(labels, numbers))
    return Table(name, title, keys, columns, tuple(lines))


def leaders(rows: Sequence[Row]) -> Table:
    """How often one agent receives more than 1.5 times the mean, and success with and without it (table 17)."""
    columns = (
        Column("leader", "Leader", percent=True, share=True),
        Column("with", "SR with leader", percent=True, share=True),
        Column("without", "SR without", percent=True, share=True),
    )
    lines = []
    for labels, own in _grouped([row for row in rows if "leader" in row.values], ("agent", "level")):
        led = [row for row in own if row.values["leader"]]
        alone = [row for row in own if not row.values["leader"]]
        numbers = {"leader": mean(own, columns[0]), "with": mean(led, SUCCESS), "without": mean(alone, SUCCESS)}
        lines.append(Line(labels, numbers))
    note = "A run has a leader where one agent receives more than 1.5 times the mean number of messages."
    return Table("leaders", "Leaders", ("agent", "level"), columns, tuple(lines), note)


def mean(rows: Sequence[Row], column: Column) -> Number:
    """Mean over tasks of the mean over a task's runs, with its interval.

    The interval is a bootstrap over tasks, whose runs are kept together; within a single task over its instances.
    Where all of them agree a share falls back to Wilson's interval, and another number has none.
    """
    known = [row for row in rows if column.key in row.values]
    tasks = {row.facts.task for row in known}
    clusters: dict[str, list[float]] = defaultdict(list)
    for row in known:
        clusters[row.facts.task if len(tasks) > 1 else row.instance].append(row.values[column.key])
    # In one order, because floating-point sums depend on it.
    means = [math.fsum(values) / len(values) for _, values in sorted(clusters.items())]
    found = estimate(means, "share" if column.share else "number", single=False)
    low, high = (None, None) if found.interval is None or len(means) < 2 else found.interval
    return Number(found.value, low, high, len(tasks), len(known))


def shown(value: float, column: Column) -> str:
    """A number for readers: in percent, whole, or in three figures."""
    if column.percent:
        # Adding 0 turns the -0.0 that rounding can leave into 0.0.
        return f"{round(100 * value, 1) + 0:.1f} %"
    return f"{value:,.0f}" if abs(value) >= 1000 or value.is_integer() else f"{value:.3g}"


def _failures(name: str, title: str, rows: Sequence[Row], keys: tuple[str, ...]) -> Table:
    note = (
        "Share of runs in which a seat submitted before the data it needs could have reached it (premature), seats "
        "that owe one answer gave several (consensus; segmented tasks are left out), a seat that could know all it "
        "needed was wrong (computation), a seat gave no answer. Labels do not exclude each other."
    )
    columns = (Column("success", "S = 1", percent=True, share=True), *LABELS, *TOGETHER)
    return tabulate(name, title, rows, keys, columns, note)


def _behaviour(rows: Sequence[Row]) -> Table:
    finished = [row for row in rows if "messages" in row.values]
    return tabulate("behaviour", "Behaviour of successful and failed runs", finished, ("agent", "run"), BEHAVIOUR)


def _of_teams(rows: Iterable[Row]) -> list[Row]:
    """Without the single-agent oracle, who has a table of its own."""
    return [row for row in rows if not row.facts.baseline]


def _grouped(rows: Iterable[Row], keys: tuple[str, ...]) -> list[tuple[tuple[str, ...], list[Row]]]:
    groups: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in rows:
        groups[tuple(AXES[key](row) for key in keys)].append(row)
    ordered = sorted(
        groups.items(), key=lambda item: [_place(key, value) for key, value in zip(keys, item[0], strict=True)]
    )
    return [(tuple(map(str, values)), own) for values, own in ordered]


def _place(key: str, value: Any) -> Any:
    """Where a value stands among those of its axis."""
    if key == "protocol":
        return PROTOCOLS.index(value)
    if key == "level":
        return LEVELS.index(value)
    return int(value.partition("-")[2]) if key == "task" else value


def _heading(axis: str, value: str) -> str:
    return {"n_agents": f"N={value}", "level": f"L-{value}"}.get(axis, value)
