"""Cells: what a chat model is asked about, one question for a merchant's visitors of one policy in one context.

Some thousand questions in place of one per trajectory: the answer is about a group, and stands for its rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fogline.core.errors import ConfigurationError
from fogline.simulators.merchants.logs import merchant_codes

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_EVENING = (17, 22)


@dataclass(frozen=True, slots=True)
class Contexts:
    """How contexts are told apart: at most four, fixed beforehand, so that a cell is the same in every log.

    Attributes:
        far_km: From this distance on, people are far.
    """

    far_km: float = 1.5

    def __post_init__(self) -> None:
        if not 0 < self.far_km < math.inf:
            raise ConfigurationError(f"far_km={self.far_km!r}: expected a finite number of kilometres above 0.")

    def of(self, table: pd.DataFrame) -> Integers:
        """Context of each row: far away counts 2, the evening 1; int64 [n]. What a log does not tell counts 0."""
        found = np.zeros(len(table), dtype=np.int64)
        if "distance_km" in table:
            found += 2 * (table["distance_km"].to_numpy(dtype=np.float64) >= self.far_km)
        if "hour" in table:
            hour = table["hour"].to_numpy(dtype=np.float64)
            found += (hour >= _EVENING[0]) & (hour <= _EVENING[1])
        return found

    def words(self, context: int, *, distance: bool, hour: bool) -> list[str]:
        """A context in words, of what the log tells: the distance, the hour."""
        far = f"{self.far_km:g} km or more away" if context & 2 else f"less than {self.far_km:g} km away"
        evening = "It is evening." if context & 1 else "It is not evening."
        return [*([f"They are {far}."] if distance else []), *([evening] if hour else [])]


class Cell(NamedTuple):
    """One question.

    Attributes:
        merchant: Whose page.
        context: See :class:`Contexts`.
        policy: Index of the policy.
        group: Index of merchant and context together.
        visits: Rows of that group.
        members: How many of them follow the policy, by membership.
    """

    merchant: str
    context: int
    policy: int
    group: int
    visits: int
    members: float


class Cells:
    """The rows of a table by merchant and context, and the cells that they make with each policy.

    Args:
        table: A log's rows.
        membership: q; float64 [n, K].
        contexts: How contexts are told apart.

    Attributes:
        group: Index of each row's merchant and context together; int64 [n].
        visits: Rows of each group; int64 [G].
        members: Rows' worth of each policy in each group; float64 [G, K].
        asked: Which cells are worth a question: those of which a row follows the policy more than any other; bool
            [G, K].
    """

    def __init__(self, table: pd.DataFrame, membership: Floats, contexts: Contexts) -> None:
        codes, ids = merchant_codes(table)
        joint = codes * 4 + contexts.of(table)
        self._joint, self.group = np.unique(joint, return_inverse=True)
        self._ids, count = ids, len(self._joint)
        self.visits: Integers = np.bincount(self.group, minlength=count)
        self.members: Floats = np.stack(
            [np.bincount(self.group, part, minlength=count) for part in membership.T], axis=1
        )
        self.asked: NDArray[np.bool_] = np.zeros(self.members.shape, dtype=np.bool_)
        self.asked[self.group, membership.argmax(axis=1)] = True

    def __iter__(self) -> Iterator[Cell]:
        """Cells worth a question, by merchant, context and policy."""
        for group, policy in zip(*np.nonzero(self.asked), strict=True):
            merchant, context = divmod(int(self._joint[group]), 4)
            members = float(self.members[group, policy])
            yield Cell(self._ids[merchant], context, int(policy), int(group), int(self.visits[group]), members)

    def __len__(self) -> int:
        """How many are worth a question."""
        return int(self.asked.sum())

    def scatter(self, answers: Floats, otherwise: Floats) -> Floats:
        """Give each row its cells' answers.

        Args:
            answers: One per cell, in the order of iteration; float64 [C].
            otherwise: What a policy without any asked cell says; float64 [K].

        Returns:
            float64 [n, K]; a cell that was not asked about has the mean of its policy's others, by members.
        """
        weight = np.where(self.asked, self.members, 0.0)
        values = np.zeros(self.asked.shape)
        values[self.asked] = answers
        total = weight.sum(axis=0)
        mean = np.where(total > 0, (weight * values).sum(axis=0) / np.maximum(total, 1e-12), otherwise)
        found: Floats = np.where(self.asked, values, mean)[self.group]
        return found
