"""What a step of ``TrustSQL-v0`` costs on top of the statement itself."""

from __future__ import annotations

from fogline.benchmarks.speed.contestants import FoglineStep, RawSqlite
from fogline.benchmarks.speed.report import Effort, Finding, Target
from fogline.benchmarks.speed.statements import Ground, StatementClass, statement_classes
from fogline.benchmarks.speed.timing import MICROSECONDS, Spread, Subject, time_calls

NAME = "sql-step"
ADDED = Target("at most", 150.0)
"""Microseconds that a step may add to a statement of 1 ms or less."""

SHARE = Target("at least", 90.0)
"""Percent of the raw speed that must be left at 5 ms and more."""

FORMS = ("structured", "text")
_SHARE_FROM_MS = 5
_SORTS = "sorting: workers sort in memory and never in a file, which SQLite does more slowly; no target"
_STEP_COST_S = 150e-6


def run(effort: Effort) -> list[Finding]:
    """Measure every class of statements in both forms of action."""
    ground = Ground.bundled()
    return [finding for asked in statement_classes(ground) for finding in measure(ground, asked, effort)]


def measure(ground: Ground, asked: StatementClass, effort: Effort) -> list[Finding]:
    """Measure one class."""
    subjects: list[Subject] = [RawSqlite(ground, asked.statements)]
    try:
        for form in FORMS:
            subjects.append(FoglineStep(ground, asked, "text" if form == "text" else "structured"))
        seconds = time_calls(subjects, effort.rounds, effort.calls(asked.raw_s + _STEP_COST_S))
    finally:
        for subject in subjects:
            subject.close()
    return [_finding(asked, form, seconds[form], seconds[RawSqlite.name]) for form in FORMS]


def _finding(asked: StatementClass, form: str, step: list[float], raw: list[float]) -> Finding:
    if asked.target_ms is not None and asked.target_ms >= _SHARE_FROM_MS:
        quantity, unit, target = "share of raw speed", "%", None if asked.sorts else SHARE
        seen = Spread.of([100 * mine / his for mine, his in zip(raw, step, strict=True)])
    else:
        quantity, unit, target = "time added", "µs", ADDED
        seen = Spread.of([mine - his for mine, his in zip(step, raw, strict=True)], MICROSECONDS)
    return Finding(
        benchmark=NAME,
        case=f"{asked.name}, {form}",
        subject="TrustSQL-v0 step",
        peer="sqlite3 in process",
        unit="µs",
        subject_value=Spread.of(step, MICROSECONDS),
        peer_value=Spread.of(raw, MICROSECONDS),
        quantity=quantity,
        seen=seen,
        seen_unit=unit,
        target=target,
        note=_SORTS if asked.sorts else "",
    )
