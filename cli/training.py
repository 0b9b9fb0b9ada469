"""What ``fogline train`` and ``fogline sft`` show alike."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from fogline.cli.console import clean, console, print_note
from fogline.cli.tables import NOTHING, table

if TYPE_CHECKING:
    from rich.table import Table

    from fogline.trainers.runs import RunReport

_TRAIN = "train/"
_RIGHT: Mapping[str, Any] = {"justify": "right", "no_wrap": True}


def progress_table(title: str, report: RunReport) -> Table:
    """What was earned in the first and in the last update, and in the last evaluation."""
    played = {**report.first, **report.last}
    names = [name.removeprefix(_TRAIN) for name in played if name.startswith(_TRAIN)]
    rows = [
        (
            name,
            *(_figure(row.get(_TRAIN + name)) for row in (report.first, report.last)),
            _figure(report.evaluation.get(name)),
        )
        for name in dict.fromkeys([*sorted(names, key=lambda name: name != "reward"), *report.evaluation])
    ]
    columns: list[Any] = ["Measure", ("First update", _RIGHT), ("Last update", _RIGHT)]
    return table(title, [*columns, ("Evaluation", _RIGHT)], rows)


def show_places(report: RunReport, seconds: float | None = None) -> None:
    """Where everything is, and how long it took."""
    from fogline.benchmarks.reproduce.report import duration

    lines = [f"Log: {report.log}", f"Checkpoint: {report.checkpoint}", f"Policy: {report.policy}"]
    if seconds is not None:
        lines.insert(0, f"Playing and learning took {duration(seconds)}.")
    for line in lines:
        console().print(clean(line), soft_wrap=True)


def show_config(config: Mapping[str, Any]) -> None:
    """The whole configuration, as a file for ``--config``."""
    console().print("Configuration (a file for --config):")
    console().print(clean(json.dumps(config, indent=2)), soft_wrap=True)


def parameter_count(count: int, exact: bool) -> str:
    """In words, with what is not known yet."""
    return f"{count:,}" if exact else f"at most {count:,} (the tokenizer is fitted when the run begins)"


def tell_stopped(report: RunReport, wanted: int | None, what: str, resume: bool) -> NoReturn:
    """Say how a run that was interrupted goes on, and interrupt."""
    of = "" if wanted is None else f" of {wanted}"
    again = "the same command" if resume else "the same command with --resume"
    print_note(f"{report.updates}{of} {what} are in {report.checkpoint}; {again} goes on from there.")
    raise KeyboardInterrupt


def _figure(value: Any) -> str:
    return NOTHING if value is None else f"{value:.4g}"
