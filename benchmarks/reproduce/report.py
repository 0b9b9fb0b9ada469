"""Results as a page to read: ``docs/results/NAME.md``."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fogline.benchmarks.reproduce.results import Arm, Comparison, Curve, Plot, Results
from fogline.core.intervals import student_t

NOTHING = "–"
_POINTS = 8
"""Most points of a curve that are shown; the JSON has all of them."""


def markdown(results: Results, name: str) -> str:
    """The page ``NAME.md``; every figure in it is one of the JSON's, or a mean of them."""
    parts = [
        f"# {results.system}",
        results.claim,
        *_section("As published", _listed(results.paper)),
        *_section("Plan", _listed(results.plan)),
        *_section("Arms", _arms(results.arms)),
        *_section("Comparisons", _comparisons(results.comparisons)),
        *_section("Plots", "\n\n".join(f"![{plot.title}]({plot_file(name, plot)})" for plot in results.plots)),
        *_section("Curves", "\n\n".join(_curves(results.curves))),
        *_section("Notes", "\n".join(f"- {note}" for note in results.notes)),
        *_section("Failures", "\n".join(f"- {item.arm}, seed {item.seed}: {item.error}" for item in results.failures)),
        *_section("How it was run", _made_by(results)),
    ]
    return "\n\n".join(parts) + "\n"


def plot_file(name: str, plot: Plot) -> str:
    """Name of the picture."""
    return f"{name}-{plot.name}.svg"


def figure(value: float | None) -> str:
    """A number in three or four figures, or a dash where there is none."""
    if value is None:
        return NOTHING
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def duration(seconds: float) -> str:
    """Seconds as hours, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _section(title: str, body: str) -> list[str]:
    return [f"## {title}", body] if body else []


def _arms(arms: Sequence[Arm]) -> str:
    metrics = list(dict.fromkeys(metric for arm in arms for metric in arm.metrics))
    if not metrics:
        return ""
    rows = [
        [arm.name, str(len(arm.seeds)), *(_mean(list(arm.known(metric).values())) for metric in metrics)]
        for arm in arms
    ]
    return _table(["Arm", "Seeds", *metrics], rows) + "\n\nMean over seeds, with Student's 95% interval."


def _mean(values: Sequence[float]) -> str:
    if not values:
        return NOTHING
    interval = student_t(values)
    spread = "" if interval is None else f" ({figure(interval.low)} … {figure(interval.high)})"
    return figure(math.fsum(values) / len(values)) + spread


def _comparisons(comparisons: Sequence[Comparison]) -> str:
    if not comparisons:
        return ""
    headings = ["Metric", "Arm", "Baseline", "Difference", "95% interval", "Margin", "Paper", "Verdict"]
    rows = [
        [
            item.metric,
            item.arm,
            item.baseline,
            compared(item, item.difference),
            NOTHING if item.ci95 is None else f"{compared(item, item.ci95[0])} … {compared(item, item.ci95[1])}",
            compared(item, item.margin),
            _published(item),
            f"**{item.verdict}**",
        ]
        for item in comparisons
    ]
    explained = (
        "Differences are arm minus baseline, paired by seed. *Same direction*: the interval leaves 0 out on the "
        "paper's side and the difference reaches the margin; *opposite*: the same on the other side; else *not shown*. "
        "*Not lower* is shown where the interval stays above minus the margin. Percentages are shares of the baseline."
    )
    return f"{_table(headings, rows)}\n\n{explained}"


def compared(item: Comparison, value: float | None) -> str:
    """A number of a comparison: a percentage where it is a share of the baseline."""
    return f"{value:.1%}" if item.relative and value is not None else figure(value)


def _published(item: Comparison) -> str:
    paper = item.paper
    unit = "+.2%" if item.relative else "+g"
    number = "" if paper.difference is None else f" ({paper.difference:{unit}})"
    return f"{paper.direction}{number}" + (f", {paper.source}" if paper.source else "")


def _curves(curves: Sequence[Curve]) -> Iterable[str]:
    """One table per metric: arms beside each other, over at most so many points."""
    for metric, label in dict.fromkeys((curve.metric, curve.x_label) for curve in curves):
        mine = [curve for curve in curves if (curve.metric, curve.x_label) == (metric, label)]
        places = sorted({x for curve in mine for x in curve.x})
        step = max(1, (len(places) - 1) / (_POINTS - 1)) if len(places) > 1 else 1
        shown = sorted(
            {places[min(round(index * step), len(places) - 1)] for index in range(min(_POINTS, len(places)))}
        )
        rows = [[figure(x), *(_at(curve, x) for curve in mine)] for x in shown]
        yield f"**{metric}**\n\n" + _table([label, *(curve.arm for curve in mine)], rows)


def _at(curve: Curve, x: float) -> str:
    if x not in curve.x:
        return NOTHING
    place = curve.x.index(x)
    low, high = (bounds[place] if bounds else None for bounds in (curve.low, curve.high))
    spread = "" if low is None or high is None else f" ({figure(low)} … {figure(high)})"
    return figure(curve.mean[place]) + spread


def _made_by(results: Results) -> str:
    hardware = ", ".join(f"{name} {value}" for name, value in results.hardware.items())
    versions = ", ".join(f"{name} {value}" for name, value in results.versions.items())
    config = json.dumps(results.config, indent=2, ensure_ascii=False)
    return (
        f"- Command: `{results.command}`\n- Wall-clock: {duration(results.wall_clock_s)}\n- Hardware: {hardware}\n"
        f"- Versions: {versions}\n\n<details><summary>Configuration</summary>\n\n```json\n{config}\n```\n\n</details>"
    )


def _listed(values: Mapping[str, Any], depth: int = 0) -> str:
    """A nested list of what a table says."""
    lines = []
    for name, value in values.items():
        start = f"{'  ' * depth}- {name}:"
        if isinstance(value, Mapping) and value:
            lines += [start, _listed(value, depth + 1)]
        else:
            plain = ", ".join(map(str, value)) if isinstance(value, list | tuple) else value
            lines.append(f"{start} {plain}")
    return "\n".join(lines)


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
