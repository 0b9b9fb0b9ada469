"""What ``fogline eval`` shows when it is done."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fogline.cli import tables
from fogline.cli.console import clean, console
from fogline.core.redaction import redact, redact_text

if TYPE_CHECKING:
    from fogline.benchmarks.evaluation import EvalConfig, EvalReport


def show_report(report: EvalReport) -> None:
    """Print one agent's scores, breakdowns, failures, and where everything is kept."""
    out, summary = console(), report.summary
    if summary.scored:
        title = clean(f"{_world(report.config)} · {player(report.config)}")
        out.print(tables.score_table(f"{title} · {_size(report)}", summary))
    for made in tables.group_tables(summary):
        out.print(made)
    if summary.outcome_classes:
        out.print(tables.count_table("Outcome", summary.outcome_classes, summary.scored))
    if summary.incidents:
        out.print(tables.table("", ["Violation", ("Times", {"justify": "right"})], summary.incidents.items()))
    if summary.failures:
        out.print(tables.failure_table(summary.failures))
    for line in [*_counts(report), *_usage(report), *_kept([report])]:
        out.print(clean(line), soft_wrap=True)


def show_comparison(reports: Sequence[EvalReport]) -> None:
    """Print several agents side by side."""
    out = console()
    labels = {measure.name: measure for report in reports for measure in report.summary.measures}
    columns: list[Any] = ["Measure"]
    columns += [(clean(player(report.config)), {"justify": "right"}) for report in reports]
    rows = [
        [measure.label + (", %" if measure.percent else ""), *(_cell(report, name) for report in reports)]
        for name, measure in labels.items()
    ]
    title = f"{clean(_world(reports[0].config))} · {_size(reports[0])}, average with 95 % interval"
    out.print(tables.table(title, columns, rows))
    for report in reports:
        if report.summary.failures:
            out.print(clean(f"{report.config.agent}:"))
            out.print(tables.failure_table(report.summary.failures))
    for report in reports:
        for line in [*_counts(report), *_usage(report)]:
            out.print(clean(f"{report.config.agent}: {line}"), soft_wrap=True)
    for line in _kept(reports):
        out.print(clean(line), soft_wrap=True)


def player(config: EvalConfig) -> str:
    """Who plays: the agent or, where a model is decoded, the method with its settings."""
    options = dict(config.agent_options)
    method = options.pop("decoding", None)
    if method is None:
        return config.agent
    options.pop("model", None)
    return _with_settings(f"{config.agent}, {method}", options)


def _world(config: EvalConfig) -> str:
    """The environment with its keywords, such as the split of its questions."""
    return _with_settings(config.env, config.env_kwargs)


def _with_settings(name: str, settings: Mapping[str, Any]) -> str:
    shown = ", ".join(f"{key}={value}" for key, value in redact(dict(settings)).items())
    return f"{name} ({shown})" if shown else name


def _cell(report: EvalReport, name: str) -> str:
    known = {measure.name: measure for measure in report.summary.measures}
    if name not in known:
        return tables.NOTHING
    average, percent = known[name].average, known[name].percent
    value = tables.number(average.value, percent).removesuffix(" %")
    # Without blanks inside, a narrow terminal breaks the line before the interval and not within it.
    bounds = "" if average.interval is None else f" [{tables.interval(average, percent).replace(' ', '')}]"
    return value + bounds


def _size(report: EvalReport) -> str:
    summary = report.summary
    tasks = "1 task" if summary.tasks == 1 else f"{summary.tasks} tasks"
    return f"{tasks} × {'1 sample' if summary.samples == 1 else f'{summary.samples} samples'}"


def _counts(report: EvalReport) -> list[str]:
    summary = report.summary
    speed = f", {report.played / report.wall_s:.1f} a second" if report.played and report.wall_s > 0 else ""
    counts = f"{report.played} played in {report.wall_s:.1f} s{speed}; {report.reused} reused"
    lines = [f"{summary.scored} of {summary.planned} episodes scored ({counts})."]
    if summary.unscored or summary.missing:
        lines.append(f"Not scored: {summary.unscored} failed, {summary.missing} never ended; they enter no average.")
    if summary.samples > 1 and summary.voting_tasks:
        lines.append(
            f"Maj@{summary.samples}: {summary.voting_tasks} of {summary.tasks} tasks had an answer to vote with."
        )
    return lines


def _usage(report: EvalReport) -> list[str]:
    usage = report.summary.usage
    if not usage.model_calls:
        return []
    price = f"{usage.cost:.4f} by the price list" if report.config.prices else "price unknown (--prices)"
    tokens = f"{usage.prompt_tokens} prompt and {usage.completion_tokens} completion tokens"
    return [f"Model: {usage.model_calls} calls, {tokens}, {usage.retries} retries, {price}."]


def _kept(reports: Sequence[EvalReport]) -> list[str]:
    store = shlex.quote(redact_text(reports[0].config.store))
    runs = [report.run_id for report in reports]
    name = f"run {runs[0]}" if len(runs) == 1 else "runs " + ", ".join(runs)
    which = f" --run {runs[0]}" if len(runs) == 1 else ""
    again = " The same command shows this again and plays nothing twice." if reports[0].config.resume else ""
    return [
        f"Kept in {store} as {name}.{again}",
        f"Export: fogline export {store} FOLDER{which}",
    ]
