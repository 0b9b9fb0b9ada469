"""Curves as pictures, with matplotlib: the same curves, byte for byte the same file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fogline.benchmarks.reproduce.results import Curve, Plot
from fogline.core.errors import missing_dependency


def draw(plot: Plot, curves: Sequence[Curve], path: Path) -> None:
    """Draw one picture: a line for each arm, and its interval as a band.

    Raises:
        MissingDependencyError: Without matplotlib (the extra ``report``).
    """
    try:
        import matplotlib
    except ImportError as error:
        raise missing_dependency("matplotlib", "report") from error
    from matplotlib.figure import Figure

    shown = [curve for curve in curves if curve.metric == plot.metric and (not plot.arms or curve.arm in plot.arms)]
    # Without a salt matplotlib names the parts of an SVG at random.
    with matplotlib.rc_context({"svg.hashsalt": "fogline", "font.size": 9.0}):
        figure = Figure(figsize=(7.0, 4.0), layout="constrained")
        axes = figure.subplots()
        for curve in shown:
            (line,) = axes.plot(curve.x, curve.mean, marker="o" if len(curve.x) < 12 else "", ms=4, label=curve.arm)
            bounds = [
                (x, low, high)
                for x, low, high in zip(curve.x, curve.low, curve.high, strict=False)
                if low is not None and high is not None
            ]
            if bounds:
                places, lows, highs = zip(*bounds, strict=True)
                axes.fill_between(places, lows, highs, color=line.get_color(), alpha=0.15, linewidth=0)
        axes.set_title(plot.title)
        axes.set_ylabel(plot.y_label)
        axes.set_xlabel(shown[0].x_label if shown else "")
        if plot.logarithmic:
            axes.set_xscale("log")
        axes.grid(alpha=0.3)
        if shown:
            axes.legend(frameon=False, fontsize=8)
        figure.savefig(path, format="svg", metadata={"Date": None})
