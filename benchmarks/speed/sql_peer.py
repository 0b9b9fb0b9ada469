"""Steps of ``TrustSQL-v0`` beside steps of skyrl-gym's text-to-SQL environment, on the same statements."""

from __future__ import annotations

import math

from fogline.benchmarks.speed.contestants import FoglineStep, SkyRLStep
from fogline.benchmarks.speed.report import Effort, Finding, Target
from fogline.benchmarks.speed.statements import Ground, StatementClass, statement_classes
from fogline.benchmarks.speed.timing import Spread, Subject, time_calls

NAME = "sql-peer"
TIMES_FASTER = Target("at least", 10.0)
"""Judged where the environment and not the statement is what takes the time: metadata and light statements."""

_STEP_COST_S = 1e-3
_DOMINATED = "the statement itself takes the time: no target"


def run(effort: Effort) -> list[Finding]:
    """Measure every class, and the geometric mean of those that are judged."""
    ground = Ground.bundled()
    findings = [measure(ground, asked, effort) for asked in statement_classes(ground)]
    return [*findings, geometric_mean([finding for finding in findings if finding.target is not None])]


def measure(ground: Ground, asked: StatementClass, effort: Effort) -> Finding:
    """Measure one class; both environments get a whole assistant turn as text."""
    subjects: list[Subject] = []
    try:
        subjects.append(FoglineStep(ground, asked, "text"))
        subjects.append(SkyRLStep(ground, asked))
        seconds = time_calls(subjects, effort.rounds, effort.calls(asked.raw_s + _STEP_COST_S))
    finally:
        for subject in subjects:
            subject.close()
    ours, theirs = seconds["text"], seconds[SkyRLStep.name]
    judged = asked.target_ms is None
    return Finding(
        benchmark=NAME,
        case=asked.name,
        subject="TrustSQL-v0",
        peer="skyrl-gym text2sql",
        unit="steps/s",
        subject_value=_rate(ours),
        peer_value=_rate(theirs),
        quantity="throughput ratio",
        seen=Spread.of([his / mine for mine, his in zip(ours, theirs, strict=True)]),
        seen_unit="×",
        target=TIMES_FASTER if judged else None,
        note="" if judged else _DOMINATED,
    )


def geometric_mean(findings: list[Finding]) -> Finding:
    """Sum several classes up in one figure: the geometric mean of medians, lows and highs."""

    def mean(values: list[Spread]) -> Spread:
        return Spread(*(math.prod(column) ** (1 / len(values)) for column in zip(*values, strict=True)))

    first = findings[0]
    return Finding(
        benchmark=NAME,
        case="geometric mean of the judged",
        subject=first.subject,
        peer=first.peer,
        unit=first.unit,
        subject_value=mean([finding.subject_value for finding in findings]),
        peer_value=mean([finding.peer_value for finding in findings]),
        quantity=first.quantity,
        seen=mean([finding.seen for finding in findings]),
        seen_unit=first.seen_unit,
        target=TIMES_FASTER,
    )


def _rate(seconds: list[float]) -> Spread:
    return Spread.of([1 / value for value in seconds])
