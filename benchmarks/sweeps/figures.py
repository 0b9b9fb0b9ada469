"""The figures of a sweep, drawn with plotly: scaling, cost per message, failures, relative cost, heat-maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fogline.benchmarks.pages import COLOURS, Figure
from fogline.benchmarks.sweeps.reading import SweepData
from fogline.benchmarks.sweeps.tables import LABELS, LEVELS, PROTOCOLS, Column, Number, Table, tabulate
from fogline.core.errors import missing_dependency

SCALING = (
    Column("success_rate", "Success rate (SR)", percent=True, share=True),
    Column("partial_correctness", "Partial correctness (PCS)", percent=True, share=True),
    Column("token_consumption", "Token consumption (C)"),
    Column("density", "Communication density (D)"),
    Column("redundancy", "Communication redundancy (CRR)"),
    Column("characters_sent", "Characters sent"),
    Column("max_in_degree", "Most messages that one agent receives in a round"),
)
COST = (
    Column("seconds_per_message", "Seconds per message sent"),
    Column("seconds_per_delivery", "Seconds per message received"),
)
_LOGARITHMIC = frozenset({"characters_sent", "token_consumption", "seconds_per_message", "seconds_per_delivery"})
_PANEL = 260
"""Height of a panel, in pixels."""
_LONGEST_TITLE = 32


def all_figures(data: SweepData, relative_cost: Table) -> list[Figure]:
    """Every figure for which there are data.

    Raises:
        MissingDependencyError: Without plotly.
    """
    played = [row for row in data.rows if not row.facts.baseline]
    if not played:
        return []
    keys = ("agent", "protocol", "n_agents")
    scaling = tabulate("", "", played, keys, (*SCALING, *COST))
    figures = [Figure(column.key, f"{column.label} against N", "", _lines(scaling, column)) for column in SCALING]
    note = "Time of environment and agents together, on the machine that played; it is no result of the agents."
    figures += [Figure(column.key, f"{column.label} against N", note, _lines(scaling, column)) for column in COST]
    labels = tabulate("", "", played, keys, LABELS)
    figures += [Figure(column.key, f"{column.label}: share of runs", "", _lines(labels, column)) for column in LABELS]
    if relative_cost.lines:
        figures.append(Figure("rcc", relative_cost.title, relative_cost.note, _relative_cost(relative_cost)))
    return [*figures, *_heatmaps(data)]


def _lines(table: Table, column: Column) -> Any:
    """One panel per protocol, one line per team, with intervals."""
    protocols = [name for name in PROTOCOLS if any(line.labels[1] == name for line in table.lines)]
    plot = _panels(1, len(protocols), protocols)
    for place, protocol in enumerate(protocols, start=1):
        for agent, colour in _coloured(table).items():
            points = {
                int(line.labels[2]): line.numbers[column.key]
                for line in table.lines
                if line.labels[:2] == (agent, protocol)
            }
            _add_line(plot, points, agent, colour, column, row=1, place=place)
    _sized(plot, table, "N")
    plot.update_yaxes(type="log" if column.key in _LOGARITHMIC else "linear", matches="y")
    if column.percent:
        plot.update_yaxes(range=[-0.02, 1.02], tickformat=".0%")
    return plot


def _relative_cost(table: Table) -> Any:
    levels = [name for name in (*LEVELS, "all") if any(line.labels[1] == name for line in table.lines)]
    plot = _panels(1, len(levels), [name if name == "all" else f"L-{name}" for name in levels])
    column = Column("rcc", "RCC", percent=True)
    for place, level in enumerate(levels, start=1):
        for agent, colour in _coloured(table).items():
            points = {
                int(line.labels[2]): line.numbers["rcc"] for line in table.lines if line.labels[:2] == (agent, level)
            }
            _add_line(plot, points, agent, colour, column, row=1, place=place)
    _sized(plot, table, "k")
    plot.update_yaxes(tickformat=".0%", matches="y")
    return plot


def _heatmaps(data: SweepData) -> list[Figure]:
    """Sender by receiver: a figure per protocol, teams below each other, levels side by side."""
    figures = []
    for protocol in PROTOCOLS:
        matrices = {
            (item.agent, item.level): means for item, means in data.traffic.items() if item.protocol == protocol
        }
        if matrices:
            title = f"Who tells whom, {protocol}, N={data.size}"
            note = "Mean number of messages in a run, from the sender (down) to the receiver (across); of files, reads."
            figures.append(Figure(f"pairs-{protocol}", title, note, _grid(matrices)))
    return figures


def _grid(matrices: Mapping[tuple[str, str], Any]) -> Any:
    go = _graph_objects()
    agents = sorted({agent for agent, _ in matrices})
    levels = [level for level in LEVELS if any(level == known for _, known in matrices)]
    titles = [f"{agent[-_LONGEST_TITLE:]}, L-{level}" for agent in agents for level in levels]
    plot = _panels(len(agents), len(levels), titles)
    highest = max(float(means.max()) for means in matrices.values())
    for down, agent in enumerate(agents, start=1):
        for place, level in enumerate(levels, start=1):
            means = matrices.get((agent, level))
            if means is not None:
                shades = go.Heatmap(z=means.tolist(), coloraxis="coloraxis", name=f"{agent}, L-{level}")
                plot.add_trace(shades, row=down, col=place)
    plot.update_yaxes(autorange="reversed", title_text="sender")
    plot.update_xaxes(title_text="receiver")
    plot.update_layout(coloraxis={"colorscale": "Viridis", "cmin": 0.0, "cmax": highest or 1.0})
    return plot


def _add_line(
    plot: Any, points: Mapping[int, Number], agent: str, colour: str, column: Column, *, row: int, place: int
) -> None:
    known = [(size, number) for size, number in sorted(points.items()) if number.value is not None]
    if not known:
        return
    values = [float(number.value or 0.0) for _, number in known]
    line = _graph_objects().Scatter(
        x=[size for size, _ in known],
        y=values,
        error_y={
            "type": "data",
            "symmetric": False,
            "array": [_distance(number.high, value) for (_, number), value in zip(known, values, strict=True)],
            "arrayminus": [_distance(number.low, value) for (_, number), value in zip(known, values, strict=True)],
        },
        mode="lines+markers",
        name=agent,
        legendgroup=agent,
        showlegend=place == 1,
        line={"color": colour},
        hovertemplate="N=%{x}: %{y" + (":.1%" if column.percent else ":.4g") + "}",
    )
    plot.add_trace(line, row=row, col=place)


def _sized(plot: Any, table: Table, title: str) -> None:
    """Sizes across, on a logarithmic scale that names those that were played."""
    sizes = sorted({int(line.labels[2]) for line in table.lines})
    plot.update_xaxes(type="log", title_text=title, tickmode="array", tickvals=sizes, ticktext=[*map(str, sizes)])


def _distance(bound: float | None, value: float) -> float:
    """Length of a whisker; none where the data cannot say."""
    return 0.0 if bound is None else abs(bound - value)


def _coloured(table: Table) -> dict[str, str]:
    agents = sorted({line.labels[0] for line in table.lines})
    return {agent: COLOURS[place % len(COLOURS)] for place, agent in enumerate(agents)}


def _panels(rows: int, columns: int, titles: Sequence[str]) -> Any:
    try:
        from plotly.subplots import make_subplots
    except ImportError as error:
        raise missing_dependency("plotly", "report") from error
    plot = make_subplots(rows=rows, cols=columns, subplot_titles=list(titles))
    plot.update_layout(height=_PANEL * rows + 140, template="plotly_white", margin={"t": 60, "b": 60})
    # Below the panels, where long names of teams take no room from them.
    plot.update_layout(legend={"orientation": "h", "x": 0.0, "y": -0.28, "yanchor": "top"})
    return plot


def _graph_objects() -> Any:
    try:
        import plotly.graph_objects as go
    except ImportError as error:
        raise missing_dependency("plotly", "report") from error
    return go
