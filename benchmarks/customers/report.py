"""The validation as JSON, and as a page to read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fogline.benchmarks.customers.config import ValidationConfig
from fogline.benchmarks.customers.judging import Check
from fogline.benchmarks.reproduce.cells import write_whole
from fogline.benchmarks.reproduce.report import duration
from fogline.benchmarks.sweeps.tables import Column, Number, Table, shown
from fogline.core.redaction import redact
from fogline.core.store import StoreUnavailable

NOTHING = "–"
CANNOT_SAY = "cannot say"

_SIGNS = {"above": "> ", "at least": "≥ ", "at most": "≤ ", "not above": "not significantly > ", "none": "0; bound ≤ "}


@dataclass(frozen=True, slots=True)
class ValidationReport:
    """What was found out about the customer.

    Attributes:
        config: What was asked for.
        simulator_version: Of the customer's rules.
        checks: Statements and verdicts.
        tables: Numbers that are shown and not judged.
        notes: What a reader has to know.
        command: That makes the report again.
        versions: Of Python and of the packages that shape results.
        hardware: Processor, cores, memory.
        wall_clock_s: That it took, in seconds.
    """

    config: ValidationConfig
    simulator_version: str
    checks: Sequence[Check]
    tables: Sequence[Table]
    notes: Sequence[str]
    command: str
    versions: Mapping[str, str]
    hardware: Mapping[str, Any]
    wall_clock_s: float

    @property
    def refuted(self) -> list[Check]:
        """Statements that do not hold."""
        return [item for item in self.checks if item.verdict == "does not hold"]

    def to_json(self) -> dict[str, Any]:
        """JSON-ready dictionary without secrets; what nobody can say is null."""
        return {
            "system": "customers",
            "command": self.command,
            "versions": dict(self.versions),
            "hardware": dict(self.hardware),
            "wall_clock_s": self.wall_clock_s,
            "config": redact(self.config.model_dump(mode="json")),
            "budget": self.config.budget.model_dump(mode="json"),
            "simulator_version": self.simulator_version,
            "checks": [item.to_json() for item in self.checks],
            "tables": [table.to_json() for table in self.tables],
            "notes": list(self.notes),
        }


def write_report(report: ValidationReport) -> list[Path]:
    """Write ``NAME.json`` and ``NAME.md`` into the configuration's folder; return their paths.

    Raises:
        StoreUnavailable: If the folder cannot be written.
    """
    config = report.config
    folder, name = config.results_folder, config.name
    written = {
        folder / f"{name}.json": json.dumps(report.to_json(), indent=1, ensure_ascii=False, allow_nan=False) + "\n",
        folder / f"{name}.md": markdown(report),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in written.items():
            write_whole(path, text)
    except OSError as error:
        raise StoreUnavailable(f"out={str(folder)!r} cannot be written ({error}): check its disk.", False) from error
    return list(written)


def markdown(report: ValidationReport) -> str:
    """The page; every figure in it is one of the JSON's."""
    config = report.config
    domain = "all products" if config.domain is None else f"the product {config.domain}"
    parts = [
        "# customers",
        f"The simulated customer, validated: variant *{config.variant}*, customer *{config.customer}*, {domain}, "
        f"version {report.simulator_version}. Conversions that are measured on a customer mean as much as this page.",
        "## Checks",
        "Each statement is judged against a bound that was fixed beforehand, by the 95% interval of what was measured: "
        "it holds, does not hold, or nobody can say. “Not significantly >” is refuted only by an interval that lies "
        "above the bound, “0” by a single occurrence.",
    ]
    for section in dict.fromkeys(item.section for item in report.checks):
        mine = [item for item in report.checks if item.section == section]
        noted = "\n".join(f"- {item.statement}: {item.note}." for item in mine if item.note)
        parts += [f"### {section}", _checks(mine), *([noted] if noted else [])]
    for table in report.tables:
        parts += [f"## {table.title}", _table(table) if table.lines else "Not played."]
        if table.note:
            parts.append(table.note)
    if report.notes:
        parts += ["## Notes", "\n".join(f"- {note}" for note in report.notes)]
    return "\n\n".join([*parts, "## How it was run", _made_by(report)]) + "\n"


def value_of(check: Check) -> str:
    """The measured value of a check, for readers."""
    return CANNOT_SAY if check.measured.value is None else _figure(check.measured.value, check.percent)


def interval_of(check: Check) -> str:
    """Its interval, for readers."""
    if check.measured.interval is None:
        return NOTHING
    low, high = (_figure(bound, check.percent).removesuffix(" %") for bound in check.measured.interval)
    return f"{low} … {high}"


def bound_of(check: Check) -> str:
    """Its bound, for readers."""
    return _SIGNS[check.sense] + _figure(check.bound, check.percent)


def cell_of(number: Number | None, column: Column) -> str:
    """A number of a table with its interval, for readers."""
    if number is None or number.value is None:
        return NOTHING
    text = shown(number.value, column)
    if number.low is None or number.high is None:
        return text
    low, high = (shown(bound, column).removesuffix(" %") for bound in (number.low, number.high))
    return f"{text} ({low} … {high})"


def _figure(value: float, percent: bool) -> str:
    return f"{round(100 * value, 1) + 0:.1f} %" if percent else f"{round(value, 4) + 0:.3g}"


def _checks(checks: Sequence[Check]) -> str:
    rows = [
        [
            item.statement,
            value_of(item),
            interval_of(item),
            bound_of(item),
            f"{item.measured.count:,}",
            f"**{item.verdict}**",
        ]
        for item in checks
    ]
    return _grid(["Statement", "Measured", "95% interval", "Bound", "N", "Verdict"], rows)


def _table(table: Table) -> str:
    headings = [*(key.capitalize() for key in table.keys), *(column.label for column in table.columns)]
    rows = [
        [*line.labels, *(cell_of(line.numbers.get(column.key), column) for column in table.columns)]
        for line in table.lines
    ]
    return _grid(headings, rows)


def _grid(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _made_by(report: ValidationReport) -> str:
    hardware = ", ".join(f"{name} {value}" for name, value in report.hardware.items())
    versions = ", ".join(f"{name} {value}" for name, value in report.versions.items())
    shaped = {"config": redact(report.config.model_dump(mode="json")), "budget": report.config.budget.model_dump()}
    config = json.dumps(shaped, indent=2, ensure_ascii=False)
    return (
        f"- Command: `{report.command}`\n- Wall-clock: {duration(report.wall_clock_s)}\n- Hardware: {hardware}\n"
        f"- Versions: {versions}\n\n<details><summary>Configuration</summary>\n\n```json\n{config}\n```\n\n</details>"
    )
