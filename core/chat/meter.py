"""Counts of what a chat client did."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from fogline.core.chat.prices import Price


@dataclass(slots=True)
class Meter:
    """What one client sent, received, paid and lost.

    Attributes:
        calls: Completions asked for, those answered by the cache included.
        cache_hits: Completions answered by the disk cache.
        attempts: Requests put on the wire.
        retries: Attempts that failed and were repeated.
        prompt_tokens: Tokens sent, as the server counts them.
        completion_tokens: Tokens received.
        cost: Price of the answers that could be priced.
        unpriced: Answers without a price: no price was given, or the server did not count tokens.
        echoes: Replies whose copy of the prompt was removed.
        corrupt_entries: Damaged cache entries that were ignored and replaced.
        failed_attempts: Failed attempts by class name of the error, those that were repeated included.
        failures: Completions that failed for good, by class name of the error.
    """

    calls: int = 0
    cache_hits: int = 0
    attempts: int = 0
    retries: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0
    unpriced: int = 0
    echoes: int = 0
    corrupt_entries: int = 0
    failed_attempts: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)

    @property
    def total_cost(self) -> float | None:
        """Price of everything, or None where part of it is unknown."""
        return None if self.unpriced else self.cost

    def add_answer(self, prompt_tokens: int | None, completion_tokens: int | None, price: Price | None) -> float | None:
        """Count one answer that the server has made, usable or not, and return its price (None: unknown)."""
        self.prompt_tokens += prompt_tokens or 0
        self.completion_tokens += completion_tokens or 0
        if price is None or prompt_tokens is None or completion_tokens is None:
            self.unpriced += 1
            return None
        cost = price.cost(prompt_tokens, completion_tokens)
        self.cost += cost
        return cost

    def to_json(self) -> dict[str, Any]:
        """Return all counts, with ``total_cost``, as a JSON-ready dictionary."""
        row = {name: getattr(self, name) for name in self.__dataclass_fields__}
        row["failed_attempts"], row["failures"] = dict(self.failed_attempts), dict(self.failures)
        return {**row, "total_cost": self.total_cost}
