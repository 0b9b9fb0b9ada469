"""What customers do and say in a call: which act follows which, how varied the words are, how much they resist.

Source: DuCA specification, section 5.4 (what simulators are validated by).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise

from fogline.benchmarks.sweeps.tables import Column, Line, Number, Table
from fogline.simulators.customers.acts import CUSTOMER_ACTS
from fogline.simulators.customers.similarity import prepare

RESISTANCE = frozenset({"refuse", "do_not_call", "object", "callback", "hang_up"})
"""Customer's acts that hold out against the offer."""

CONSENT = frozenset({"interest", "agree", "step_done", "complete"})
"""Customer's acts that go along with it."""

THIRDS = ("first", "second", "last")
FEWEST_REPLIES = 4
"""Calls with fewer answers have no course."""


def transitions(calls: Iterable[Sequence[str]]) -> Table:
    """How often one act of the customer follows another, as a share of what follows.

    Args:
        calls: The customer's acts of each call, in order, the one that opens it included.
    """
    counts: Counter[tuple[str, str]] = Counter()
    for acts in calls:
        counts.update(pairwise(acts))
    after = Counter(before for before, _ in counts.elements())
    followers = [act for act in CUSTOMER_ACTS if any(later == act for _, later in counts)]
    lines = [
        Line(
            (before,),
            {later: Number(counts[before, later] / after[before], episodes=after[before]) for later in followers},
        )
        for before in CUSTOMER_ACTS
        if after[before]
    ]
    columns = tuple(Column(act, act.replace("_", " "), percent=True) for act in followers)
    note = "A line says what the customer did after that act of its own, in percent of the times that it went on."
    return Table("transitions", "What follows what", ("after",), columns, tuple(lines), note)


def distinct(texts: Sequence[str], length: int) -> float | None:
    """Share of different runs of ``length`` words among all such runs of some texts; None where there is none."""
    runs: Counter[tuple[str, ...]] = Counter()
    for text in texts:
        tokens = prepare(text).tokens
        runs.update(tokens[start : start + length] for start in range(len(tokens) - length + 1))
    return len(runs) / runs.total() if runs else None


def share_by_third(calls: Iterable[Sequence[str]], kinds: frozenset[str]) -> list[list[float]]:
    """For each third of the call, one value per call: the share of the answers that are of some kinds.

    Args:
        calls: The customer's acts of each call, without the one that opens it.
        kinds: Acts that count.
    """
    shares: list[list[float]] = [[] for _ in THIRDS]
    for acts in calls:
        parts: list[list[bool]] = [[] for _ in THIRDS]
        for place, act in enumerate(acts):
            parts[len(THIRDS) * place // len(acts)].append(act in kinds)
        for third, part in zip(shares, parts, strict=True):
            if part:
                third.append(sum(part) / len(part))
    return shares


def slope(acts: Sequence[str], kinds: frozenset[str] = RESISTANCE) -> float | None:
    """How much more often than at the start acts of some kinds come at the end of a call, by least squares.

    The act that ends the call is left out: hanging up, or agreeing for good, lies at the end whatever came before.

    Args:
        acts: The customer's acts, without the one that opens the call.
        kinds: Acts that count.

    Returns:
        Change of the share from the first answer to the last one; None for fewer than :data:`FEWEST_REPLIES`.
    """
    before = acts[:-1]
    if len(before) < FEWEST_REPLIES - 1:
        return None
    places = [place / (len(before) - 1) for place in range(len(before))]
    happened = [float(act in kinds) for act in before]
    middle, level = math.fsum(places) / len(places), math.fsum(happened) / len(happened)
    spread = math.fsum((place - middle) ** 2 for place in places)
    together = math.fsum((place - middle) * (value - level) for place, value in zip(places, happened, strict=True))
    return together / spread
