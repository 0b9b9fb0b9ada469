"""Tables of results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fogline.cli.console import clean

if TYPE_CHECKING:
    from rich.table import Table

    from fogline.benchmarks.aggregation import Estimate, FailureCount, Group, MeasureSummary, Summary

NOTHING = "–"
_RIGHT = {"justify": "right", "no_wrap": True}


def table(
    title: str, columns: Sequence[str | tuple[str, Mapping[str, Any]]], rows: Iterable[Sequence[object]]
) -> Table:
    """A plain table; cells are made safe for the terminal.

    Args:
        title: Shown above, at the left.
        columns: Headings, with options of rich's ``add_column`` where needed.
        rows: One cell per column.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    made = Table(title=title or None, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        heading, options = (column, {}) if isinstance(column, str) else column
        made.add_column(heading, **options)
    for row in rows:
        made.add_row(*(cell if isinstance(cell, Text) else Text(clean(cell)) for cell in row))
    return made


def number(value: float | None, percent: bool) -> str:
    """A value for a table."""
    if value is None:
        return NOTHING
    return f"{100 * value:.1f} %" if percent else f"{value:.3f}"


def interval(estimate: Estimate, percent: bool) -> str:
    """A confidence interval for a table."""
    if estimate.interval is None:
        return NOTHING
    low, high = estimate.interval
    return f"{100 * low:.1f} … {100 * high:.1f}" if percent else f"{low:.3f} … {high:.3f}"


def score_table(title: str, summary: Summary) -> Table:
    """Every measure with its average and interval; several samples add Pass@k, pass^k and the vote."""
    k = summary.samples
    several = k > 1 and any(measure.kind == "success" for measure in summary.measures)
    columns: list[Any] = ["Measure", (f"Avg@{k}", _RIGHT), ("95 % interval", _RIGHT)]
    if several:
        columns += [(f"Pass@{k}", _RIGHT), (f"pass^{k}", _RIGHT), (f"Maj@{k}", _RIGHT)]
    columns.append(("Tasks", _RIGHT))
    return table(title, columns, (_measure_row(measure, k, several) for measure in summary.measures))


def group_tables(summary: Summary) -> list[Table]:
    """One table per property that results are broken down by."""
    shown = {measure.name: measure for measure in summary.measures}
    tables = []
    for by in dict.fromkeys(group.by for group in summary.groups):
        groups = [group for group in summary.groups if group.by == by]
        names = list(groups[0].averages)
        columns: list[Any] = [(by.capitalize(), {"no_wrap": True})]
        for name in names:
            columns += [(shown[name].label, _RIGHT), *_interval_heading(shown[name])]
        columns.append(("Tasks", _RIGHT))
        tables.append(table("", columns, (_group_row(group, names, shown) for group in groups)))
    return tables


def count_table(heading: str, counts: Mapping[str, int], whole: int) -> Table:
    """Counts with their share of a whole."""
    rows = ((name, count, number(count / whole, True) if whole else NOTHING) for name, count in counts.items())
    return table("", [heading, ("Episodes", _RIGHT), ("Share", _RIGHT)], rows)


def failure_table(failures: Sequence[FailureCount]) -> Table:
    """Failed episodes by status and kind of error, with one message each."""
    columns: list[Any] = [
        ("Status", {"no_wrap": True}),
        ("Error", {"no_wrap": True}),
        ("Episodes", _RIGHT),
        ("For example", {"ratio": 1}),
    ]
    rows = [(item.status, item.kind, item.episodes, item.example) for item in failures]
    return table("Failures: agent_error counts as wrong, the others enter no average", columns, rows)


def _measure_row(measure: MeasureSummary, k: int, several: bool) -> list[str]:
    average, percent = measure.average, measure.percent
    cells = [measure.label, number(average.value, percent), interval(average, percent)]
    if several:
        results = (measure.pass_at.get(k), measure.pass_hat.get(k), measure.majority)
        cells += ["" if item is None else number(item.value, percent) for item in results]
    return [*cells, str(average.tasks)]


def _group_row(group: Group, names: Sequence[str], shown: Mapping[str, MeasureSummary]) -> list[str]:
    cells = [group.name]
    for name in names:
        average, percent = group.averages[name], shown[name].percent
        cells.append(number(average.value, percent))
        cells += [interval(average, percent) for _ in _interval_heading(shown[name])]
    return [*cells, str(group.tasks)]


def _interval_heading(measure: MeasureSummary) -> list[Any]:
    """Breakdowns have room for the interval of a success only."""
    return [("95 % interval", _RIGHT)] if measure.kind == "success" else []
