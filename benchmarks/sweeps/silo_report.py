"""``fogline report silo-bench``: the paper's tables and figures from a store, each number with its interval."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from fogline.benchmarks.pages import Figure, render
from fogline.benchmarks.sweeps.figures import all_figures
from fogline.benchmarks.sweeps.reading import SweepData, read_sweep
from fogline.benchmarks.sweeps.relative_cost import cost_table
from fogline.benchmarks.sweeps.tables import Column, Number, Table, all_tables, shown
from fogline.core.errors import missing_dependency
from fogline.core.store import StoreUnavailable

CANNOT_SAY = "cannot say"
TITLE = "Silo-Bench"
_NEEDED = ("plotly", "jinja2")
_TEMPLATE = "report.html.jinja"


class ReportConfig(BaseModel):
    """What ``fogline report silo-bench`` does.

    Attributes:
        store: SQLite file or database URL.
        out: Folder to write to; made when missing.
        run: Which run; the latest sweep where None.
        heatmap_agents: Size of the games whose sender-by-receiver heat-maps are shown; by default 20 or the nearest
            below.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    store: str
    out: str
    run: str | None = None
    heatmap_agents: int | None = Field(default=None, ge=1)


@dataclass(frozen=True, slots=True)
class SiloReport:
    """A report that was written.

    Attributes:
        run_id: The sweep that it is about.
        tables: Its tables.
        files: What was written.
        introduction: What a reader has to know first.
    """

    run_id: str
    tables: Sequence[Table]
    files: Sequence[Path]
    introduction: Sequence[str]

    def to_json(self) -> dict[str, Any]:
        """JSON-ready dictionary."""
        return {
            "run_id": self.run_id,
            "files": list(map(str, self.files)),
            "introduction": list(self.introduction),
            "tables": [table.to_json() for table in self.tables],
        }


def write_report(config: ReportConfig) -> SiloReport:
    """Write ``report.md``, ``tables.json``, ``tables.csv`` and ``report.html``, which opens without a network.

    Raises:
        ConfigurationError: If there is no such run, or it is no sweep.
        MissingDependencyError: Without the packages of the extra ``report``.
        StoreError: For a store that cannot be read.
        StoreUnavailable: If the folder cannot be written.
    """
    for package in _NEEDED:
        if importlib.util.find_spec(package) is None:
            raise missing_dependency(package, "report")
    data = read_sweep(config.store, config.run, config.heatmap_agents)
    relative_cost = cost_table(data.rows)
    tables = [data.counts, *all_tables(data.rows), relative_cost]
    introduction = _introduction(data)
    figures = all_figures(data, relative_cost)
    written = {
        "report.md": markdown(tables, introduction),
        "tables.json": json.dumps(_json(data, tables, introduction), indent=1, ensure_ascii=False, allow_nan=False),
        "tables.csv": comma_separated(tables),
        "report.html": page(tables, figures, introduction),
    }
    folder = Path(config.out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in written.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise StoreUnavailable(f"out={config.out!r} cannot be written ({error}): check its disk.", False) from error
    return SiloReport(data.run.run_id, tables, [folder / name for name in written], introduction)


def markdown(tables: Sequence[Table], introduction: Sequence[str]) -> str:
    """The report as a page of text; the figures are on the HTML page."""
    parts = [f"# {TITLE}", *introduction]
    for table in tables:
        parts.append(f"## {table.title}")
        if table.note:
            parts.append(table.note)
        parts.append(_markdown_table(table) if table.lines else "Cannot say: there are no data.")
    return "\n\n".join(parts) + "\n"


def page(tables: Sequence[Table], figures: Sequence[Figure], introduction: Sequence[str]) -> str:
    """The report as one HTML page with everything in it.

    Raises:
        MissingDependencyError: Without plotly or jinja2.
    """
    return render(
        Path(__file__).parent / _TEMPLATE,
        figures,
        title=TITLE,
        introduction=introduction,
        tables=tables,
        headings=_headings,
        value=_value,
        interval=_interval,
    )


def comma_separated(tables: Sequence[Table]) -> str:
    """All numbers of all tables, one a line."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["table", "line", "column", "value", "low", "high", "tasks", "episodes"])
    for table in tables:
        for line in table.lines:
            name = ", ".join(f"{key}={label}" for key, label in zip(table.keys, line.labels, strict=True))
            for column in table.columns:
                number = line.numbers.get(column.key, Number())
                numbers = [number.value, number.low, number.high, number.tasks, number.episodes]
                writer.writerow([table.name, name, column.key, *numbers])
    return text.getvalue()


def _json(data: SweepData, tables: Sequence[Table], introduction: Sequence[str]) -> dict[str, Any]:
    run = data.run
    return {
        "system": TITLE,
        "run": {"run_id": run.run_id, "created_at": run.created_at, "command": run.command, "config": dict(run.config)},
        "versions": dict(run.versions),
        "introduction": list(introduction),
        "failures": dict(data.failures),
        "tables": [table.to_json() for table in tables],
        "heatmaps": [
            {**traffic._asdict(), "n_agents": data.size, "messages": means.tolist()}
            for traffic, means in data.traffic.items()
        ],
    }


def _introduction(data: SweepData) -> list[str]:
    config = data.run.config
    seeds = int(config["seeds"])
    instances = "one instance" if seeds == 1 else f"{seeds} instances"
    lines = [
        f"Run {data.run.run_id}; {instances} per cell. Each number is a mean over tasks of the mean over a task's "
        "runs, with a 95 % bootstrap interval over tasks (within one task, over its instances; Wilson's where all of "
        "them agree on 0 or 1). Where there are too few data for an interval there is none, and where there are no "
        f"data at all stands “{CANNOT_SAY}”. SR and PCS: mean success rate and partial correctness of the seats; "
        "S = 1: runs in which every seat is right; Tokens: tokens written in a game, divided by the rounds that it may "
        "last; CRR: messages divided by the fewest that do; TF: likeness of who talks to the annotated topology.",
    ]
    if data.failures:
        kinds = ", ".join(f"{kind} {count}" for kind, count in data.failures.items())
        lines.append(f"Not scored, by kind of failure: {kinds}. They enter no average.")
    return lines


def _markdown_table(table: Table) -> str:
    rows = [_headings(table), ["---"] * len(table.keys) + ["---:"] * len(table.columns)]
    for line in table.lines:
        cells = []
        for column in table.columns:
            number = line.numbers.get(column.key)
            bounds = _interval(number, column)
            cells.append(_value(number, column) + (f" ({bounds})" if bounds else ""))
        rows.append([*line.labels, *cells])
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)


def _headings(table: Table) -> list[str]:
    names = {"agent": "Agent", "protocol": "Protocol", "level": "Level", "n_agents": "N", "task": "Task", "run": "Runs"}
    return [*(names.get(key, key) for key in table.keys), *(column.label for column in table.columns)]


def _value(number: Number | None, column: Column) -> str:
    return CANNOT_SAY if number is None or number.value is None else shown(number.value, column)


def _interval(number: Number | None, column: Column) -> str:
    if number is None or number.low is None or number.high is None:
        return ""
    return f"{shown(number.low, column).removesuffix(' %')} … {shown(number.high, column).removesuffix(' %')}"
