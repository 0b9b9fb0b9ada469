"""What a speed benchmark found: fogline beside its peer, what was expected, what was seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from fogline.benchmarks.speed.timing import Spread

Verdict = Literal["PASS", "FAIL", ""]


@dataclass(frozen=True, slots=True)
class Target:
    """What was expected of a finding before it was measured.

    Attributes:
        sense: Which side of ``bound`` is good.
        bound: In the unit of the finding's ``seen``.
    """

    sense: Literal["at least", "at most"]
    bound: float

    def met_by(self, value: float) -> bool:
        """Whether ``value`` is on the good side."""
        return value >= self.bound if self.sense == "at least" else value <= self.bound


@dataclass(frozen=True, slots=True)
class Finding:
    """One comparison of one benchmark.

    Attributes:
        benchmark: Name of the benchmark.
        case: What was done, e.g. a class of statements.
        subject: What of fogline was measured.
        peer: What it was held against in the same run.
        unit: Unit of ``subject_value`` and ``peer_value``.
        subject_value: fogline's own figure.
        peer_value: The peer's figure.
        quantity: What ``seen`` is, e.g. ``"time added to a call"``.
        seen: The figure that the target speaks of.
        seen_unit: Its unit.
        target: What was expected; None where nothing is promised.
        note: What a reader must know to read the figure rightly.
    """

    benchmark: str
    case: str
    subject: str
    peer: str
    unit: str
    subject_value: Spread
    peer_value: Spread
    quantity: str
    seen: Spread
    seen_unit: str
    target: Target | None = None
    note: str = ""

    @property
    def ratio(self) -> float:
        """The median of fogline over that of the peer."""
        return self.subject_value.median / self.peer_value.median

    @property
    def verdict(self) -> Verdict:
        """Whether the median seen meets the target; empty without one."""
        if self.target is None:
            return ""
        return "PASS" if self.target.met_by(self.seen.median) else "FAIL"

    def to_json(self) -> dict[str, Any]:
        """The finding with its ratio and verdict, JSON-ready."""
        spreads = {name: getattr(self, name)._asdict() for name in ("subject_value", "peer_value", "seen")}
        texts = ("benchmark", "case", "subject", "peer", "unit", "quantity", "seen_unit", "note")
        target = None if self.target is None else {"sense": self.target.sense, "bound": self.target.bound}
        return {
            **{name: getattr(self, name) for name in texts},
            **spreads,
            "ratio": self.ratio,
            "target": target,
            "verdict": self.verdict,
        }


def step_rate(
    benchmark: str,
    case: str,
    subject: str,
    rates: Sequence[float],
    raw: Sequence[float],
    *,
    target: Target | None,
    note: str,
    peer: str = "no-op gymnasium.Env loop",
) -> Finding:
    """How many steps a second one core makes, beside a peer that does as little as can be.

    Args:
        benchmark: See :class:`Finding`, as for all names below.
        case: What was done.
        subject: What of fogline was measured.
        rates: Of the subject, a round each; steps a second.
        raw: Of the peer.
        target: What was expected.
        note: What a reader must know.
        peer: What stands beside.
    """
    seen = Spread.of(rates)
    return Finding(
        benchmark=benchmark,
        case=case,
        subject=subject,
        peer=peer,
        unit="steps/s",
        subject_value=seen,
        peer_value=Spread.of(raw),
        quantity="rate of one core",
        seen=seen,
        seen_unit="steps/s",
        target=target,
        note=note,
    )


@dataclass(frozen=True, slots=True)
class SpeedReport:
    """Everything that one run of ``fogline bench`` measured.

    Attributes:
        findings: In the order measured.
        failures: Why a benchmark could not run, by its name.
        config: The configuration.
        versions: Versions of Python and of every package that took part.
        hardware: Processor, cores, memory, and the load before and after.
        started: UTC time of the start, ISO 8601.
        wall_clock_s: Duration of the run in seconds.
        command: The command as typed, where there was one.
    """

    findings: tuple[Finding, ...]
    failures: Mapping[str, str]
    config: Mapping[str, Any]
    versions: Mapping[str, str]
    hardware: Mapping[str, Any]
    started: str
    wall_clock_s: float
    command: str = ""

    @property
    def missed(self) -> tuple[Finding, ...]:
        """Findings that did not meet their target."""
        return tuple(finding for finding in self.findings if finding.verdict == "FAIL")

    def to_json(self) -> dict[str, Any]:
        """The whole report, JSON-ready."""
        return {
            "command": self.command,
            "started": self.started,
            "wall_clock_s": self.wall_clock_s,
            "versions": dict(self.versions),
            "hardware": dict(self.hardware),
            "config": dict(self.config),
            "findings": [finding.to_json() for finding in self.findings],
            "failures": dict(self.failures),
        }


@dataclass(frozen=True, slots=True)
class Effort:
    """How long a benchmark may take.

    Attributes:
        rounds: Rounds that count.
        seconds: Rough time of one subject in one round.
    """

    rounds: int = 15
    seconds: float = 0.2

    def calls(self, seconds_per_call: float, least: int = 3, most: int = 400) -> int:
        """Calls of one round, given the rough time of one in seconds."""
        return max(least, min(most, int(self.seconds / seconds_per_call)))


FULL = Effort()
QUICK = Effort(rounds=3, seconds=0.05)
