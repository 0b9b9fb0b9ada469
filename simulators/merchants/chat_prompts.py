"""How a chat model is asked about a cell: specification of PGHS, section 6.

A question names no trajectory and no user, only what a group has in common. What the fit makes of the answers is not
in it, so that a question asked again is the same to the letter.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fogline.core.chat.messages import Message
from fogline.simulators.merchants.cells import Cell, Cells, Contexts
from fogline.simulators.merchants.columns import COLUMNS, LEVERS, names_of
from fogline.simulators.merchants.policies import Policy
from fogline.simulators.merchants.strategies import Strategy

Integers = NDArray[np.int64]

VERSION = 1
"""Of the wording; part of a reasoner's name."""
_ROLE = """You estimate what a group of customers does on a merchant's page. You are told how they decide and how \
many of them order as a rule. People often act from habit and know less than you do: move away from that rate only as \
far as what they see gives them a reason. Never make up what you are not told; where the page gives no reason, stay at \
the rate.
Answer with one JSON object and nothing else:
{fields}
share_order and share_leave are shares of the group, delta_vs_anchor is share_order less the stated rate, direction \
its sign, confidence is from 0 to 1."""
_FIELDS = {
    "decisive_attributes": '"decisive_attributes": ["…"]',
    "direction": '"direction": -1 | 0 | 1',
    "share_order": '"share_order": 0 … 1',
    "share_leave": '"share_leave": 0 … 1',
    "delta_vs_anchor": '"delta_vs_anchor": -1 … 1',
    "unknowns": '"unknowns": ["…"]',
    "confidence": '"confidence": 0 … 1',
}
_UNOBSERVED = (
    "the quality that no page shows",
    "what they ate before and what waits for them elsewhere",
    "how they feel and who is with them",
)
_IN_CONTEXT = ("hour", "weekday")
REPAIR = "That answer cannot be used: {fault}. Answer again, with the JSON object alone."


class Pages:
    """What each group of visits has in common, and what its page shows before and after a strategy.

    Args:
        before: Rows, as logged.
        strategy: What is changed.
        cells: The groups.
    """

    def __init__(self, before: pd.DataFrame, strategy: Strategy, cells: Cells) -> None:
        after = strategy.apply(before)
        people = [name for name in names_of("user", "context") if name in before and name not in _IN_CONTEXT]
        levers = [name for name in LEVERS if name in strategy.fields]
        self.changes = json.dumps(strategy.to_json()["interventions"], sort_keys=True)
        self.has_distance, self.has_hour = "distance_km" in before, "hour" in before
        self.people = _summaries(before, people, cells)
        self.shown = _summaries(after, [name for name in names_of("merchant") if name in after], cells)
        self.was = _summaries(before, [name for name in levers if name in before], cells)
        self.levers = levers

    def change(self, group: int) -> list[str]:
        """What the strategy changes for a group, in words."""
        pairs = {name: (self.was.get(name), self.shown[name][group]) for name in self.levers}
        told = {name: ("not shown" if old is None else old[group], new) for name, (old, new) in pairs.items()}
        lines = [f"{name}: {old} → {new}" for name, (old, new) in told.items() if old != new]
        return lines or ["none: the page is as it was"]


def cell_messages(cell: Cell, policy: Policy, pages: Pages, contexts: Contexts) -> tuple[Message, ...]:
    """The question about a cell.

    The order of fields and of what is listed is drawn by the cell's own name, against a liking for what comes first.

    Args:
        cell: What is asked about.
        policy: Its policy.
        pages: What its group has in common and is shown.
        contexts: How contexts are told apart.
    """
    rng = _drawn(cell, policy, pages.changes)
    parts = {
        "POLICY": _policy(policy),
        "ANCHOR": [f"Of {policy.support_n:,.0f} customers like this, {policy.anchor:.3f} ordered."],
        "GROUP": [
            f"{cell.visits} visits, {cell.members:.0f} of them like this.",
            *_lines(pages.people, cell.group, rng),
        ],
        "CONTEXT": contexts.words(cell.context, distance=pages.has_distance, hour=pages.has_hour),
        "PAGE": _lines(pages.shown, cell.group, rng),
        "NOT KNOWN": _shuffled(_UNOBSERVED, rng),
        "CHANGE": pages.change(cell.group),
    }
    said = {heading: "\n".join(f"- {line}" for line in lines) for heading, lines in parts.items() if lines}
    fields = "{" + ", ".join(_shuffled(tuple(_FIELDS.values()), rng)) + "}"
    return (
        {"role": "system", "content": _ROLE.format(fields=fields)},
        {"role": "user", "content": "\n\n".join(f"{heading}\n{lines}" for heading, lines in said.items())},
    )


def _drawn(cell: Cell, policy: Policy, changes: str) -> np.random.Generator:
    name = f"{cell.merchant}|{cell.context}|{policy.id}|{changes}"
    return np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big"))


def _policy(policy: Policy) -> list[str]:
    lines = [policy.text]
    lines += [f"They have {condition}." for condition in policy.when]
    lines += [f"They leave for {breaker}." for breaker in policy.deal_breakers]
    return [*lines, f"{policy.habit_share:.0%} of them came before and look at little."]


def _lines(summaries: Mapping[str, Sequence[str]], group: int, rng: np.random.Generator) -> list[str]:
    """A line for each column of which something is known, in an order that is drawn."""
    known = [(name, values[group]) for name, values in summaries.items() if values[group]]
    return _shuffled([f"{name}: {value} ({COLUMNS[name].meaning})" for name, value in known], rng)


def _summaries(table: pd.DataFrame, names: Sequence[str], cells: Cells) -> dict[str, list[str]]:
    """By column and group: the mean of a number, the most frequent of anything else; empty where nothing is known."""
    found = {}
    for name in names:
        kind = COLUMNS[name].kind
        summed = _means if kind in ("number", "integer", "flag") else _most_frequent
        found[name] = summed(table[name], cells.group, len(cells.visits))
    return found


def _means(column: pd.Series, group: Integers, groups: int) -> list[str]:
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    known = ~np.isnan(values)
    count = np.bincount(group[known], minlength=groups)
    means = np.bincount(group[known], values[known], minlength=groups) / np.maximum(count, 1)
    return [f"{mean:.3g}" if rows else "" for mean, rows in zip(means, count, strict=True)]


def _most_frequent(column: pd.Series, group: Integers, groups: int) -> list[str]:
    """Of equally frequent values the first in the alphabet; nothing at all, such as no badge, is "none"."""
    codes, texts = pd.factorize(column.astype("str").where(column.notna()), sort=True)
    counts = np.zeros((groups, len(texts)), dtype=np.int64)
    np.add.at(counts, (group[codes >= 0], codes[codes >= 0]), 1)
    return [(str(texts[row.argmax()]) or "none") if row.any() else "" for row in counts]


def _shuffled(lines: Sequence[str], rng: np.random.Generator) -> list[str]:
    return [lines[place] for place in rng.permutation(len(lines))]
