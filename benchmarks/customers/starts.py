"""Does it matter to a customer how it starts? The same buyers with the same noise, more trusting or less.

Source: DuCA specification, section 5.4 (persona monotonicity).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from fogline.benchmarks.customers.checks import conversion, fault_rate, gain, number
from fogline.benchmarks.customers.config import ValidationConfig
from fogline.benchmarks.customers.judging import Check, check
from fogline.benchmarks.customers.sessions import Calls, Played, assignments, is_buyer, play
from fogline.benchmarks.sweeps.tables import Column, Line, Table

LEVELS: Mapping[str, Sequence[float]] = {
    "trust": (1.0, 2.0, 3.0, 4.0),
    "need": (0.1, 0.5, 0.9),
    "cooperation": (1.0, 2.0, 3.0),
}
"""Where a customer starts, trait by trait; all else stays as it was drawn."""

SECTION = "Persona"

Started = Mapping[str, Sequence[Calls]]
"""Calls by trait, one set a level, in ascending order."""


def play_starts(config: ValidationConfig, played: Played) -> Started:
    """Let the scripted seller call the same buyers at every level of every trait, with the same noise.

    The rule engine plays them whatever the configuration's customer is: a worded one decides as it does, and of a
    customer that a chat model plays this says nothing.
    """
    config = config.by_rules(config.variant)
    # Somewhat more than half of the customers are buyers.
    drawn = assignments(config, 3 * config.budget.starts)
    wanted = [item for item in drawn if is_buyer(config, item)][: config.budget.starts]
    return {
        trait: [play(config, "scripted", wanted, played, changes={trait: level}) for level in levels]
        for trait, levels in LEVELS.items()
    }


def sessions_of(config: ValidationConfig) -> int:
    """How many calls :func:`play_starts` plays, at the most."""
    return config.budget.starts * sum(map(len, LEVELS.values()))


def start_checks(started: Started) -> list[Check]:
    """Conversion rises from the lowest level to the highest, and falls at no step in between."""
    found = []
    for trait, calls in started.items():
        levels = LEVELS[trait]
        gained = gain(calls[-1], calls[0])
        statement = f"More buyers convert at {trait} {levels[-1]:g} than at {levels[0]:g}"
        found.append(check(SECTION, f"{trait}_rises", statement, gained, "above", 0.0))
        falls = [gain(low, high) for low, high in pairwise(calls)]
        deepest = max(falls, key=lambda fall: fall.least)
        statement = f"No step up in {trait} lowers conversion"
        note = "the largest fall between neighbouring levels"
        found.append(check(SECTION, f"{trait}_falls", statement, deepest, "not above", 0.0, note=note))
    return found


def start_table(started: Started) -> Table:
    """Conversion of buyers at every level."""
    columns = (
        Column("conversion", "Conversion of buyers", percent=True),
        Column("faults", "Simulator faults", percent=True),
    )
    lines = tuple(
        Line((f"{trait} {level:g}",), {"conversion": number(conversion(calls)), "faults": number(fault_rate(calls))})
        for trait, levels in LEVELS.items()
        for level, calls in zip(levels, started.get(trait, ()), strict=False)
    )
    note = "The same buyers, called by the scripted seller with the same noise; one trait is set, the rest is as drawn."
    return Table("starts", "How a customer starts", ("start",), columns, lines, note)
