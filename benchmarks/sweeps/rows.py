"""One row of numbers per scored episode: what all tables and figures are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fogline.benchmarks.sweeps.cells import Facts
from fogline.core.episode import Episode, Usage

WRONG = ("success_rate", "success", "partial_correctness", "success_rate_strict")
"""What an agent that failed by itself gets: 0."""


@dataclass(frozen=True, slots=True)
class Row:
    """The numbers of one scored episode.

    Attributes:
        facts: Its cell.
        instance: Which data, ``"I-01/0"``.
        values: Numbers by name; what does not apply to the episode is absent.
    """

    facts: Facts
    instance: str
    values: Mapping[str, float]


def row_of(facts: Facts, episode: Episode) -> Row:
    """Read the numbers of a scored episode; those of an agent that failed by itself are 0 where it was to be right."""
    metrics = episode.metrics
    values = {name: float(value) for name, value in metrics.items() if isinstance(value, (bool, int, float))}
    if episode.status == "agent_error":
        values.update(dict.fromkeys(WRONG, 0.0))
        values["agent_error"] = 1.0
    values.update(_derived(values, 1 if facts.baseline else facts.n_agents, episode.usage))
    return Row(facts, episode.task_id, values)


def _derived(values: Mapping[str, float], seats: int, usage: Usage) -> dict[str, float]:
    """What follows from an episode's own numbers."""
    found: dict[str, float] = {}
    if "messages" in values:
        messages = values["messages"]
        delivered = values["density_delivered"] * seats * (seats - 1)
        seconds = usage.env_s + usage.agent_s
        found["messages_per_agent"] = messages / seats
        found["characters_per_agent"] = values["characters_sent"] / seats
        if messages:
            found["seconds_per_message"] = seconds / messages
        if delivered:
            found["seconds_per_delivery"] = seconds / delivered
    if "success_rate" in values:
        found["gap"] = values["partial_correctness"] - values["success_rate"]
    found.update(_labels(values))
    return found


def _labels(values: Mapping[str, float]) -> dict[str, float]:
    """Failure labels of the run: 1 where a seat has it. Consensus failure exists where all owe the same answer."""
    present: dict[str, Any] = {
        f"any_{name}": values[name] > 0
        for name in ("premature", "computation_error", "no_submission")
        if name in values
    }
    if "consensus_failure" in values:
        present["any_consensus_failure"] = values["consensus_failure"] > 0
    for one, other in COUPLES:
        if f"any_{one}" in present and f"any_{other}" in present:
            present[f"{one}+{other}"] = present[f"any_{one}"] and present[f"any_{other}"]
    return {name: float(value) for name, value in present.items()}


COUPLES = (
    ("premature", "consensus_failure"),
    ("premature", "computation_error"),
    ("consensus_failure", "computation_error"),
    ("no_submission", "consensus_failure"),
)
"""Failure labels whose coming together is counted."""
