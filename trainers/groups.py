"""Statistics of ragged groups: rows know their group by id, and invalid rows enter nothing."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Groups:
    """Which rows belong together.

    Attributes:
        index: ``[N]`` int64, groups counted from 0.
        valid: ``[N]`` bool.
        number: Of groups, those without a valid row included.
    """

    index: Tensor
    valid: Tensor
    number: int

    @classmethod
    def of(cls, group: Tensor, valid: Tensor) -> Groups:
        """Groups of the ids ``group`` (``[N]`` integers, in any order)."""
        ids, index = torch.unique(group, return_inverse=True)
        return cls(index, valid, len(ids))

    def total(self, value: Tensor) -> Tensor:
        """Sum of ``value`` (``[N]``) over the valid rows of each row's group, ``[N]``."""
        kept = torch.where(self.valid, value, torch.zeros_like(value))
        return torch.zeros(self.number, dtype=value.dtype, device=value.device).index_add(0, self.index, kept)[
            self.index
        ]

    def count(self, like: Tensor) -> Tensor:
        """Valid rows of each row's group, ``[N]`` in the dtype of ``like``."""
        return self.total(torch.ones_like(like))

    def mean(self, value: Tensor) -> Tensor:
        """Mean over the valid rows of each row's group, ``[N]``; 0 where there are none."""
        return self.total(value) / self.count(value).clamp(min=1)

    def largest(self, value: Tensor) -> Tensor:
        """Maximum over the valid rows of each row's group, ``[N]``; ``-inf`` where there are none."""
        low = torch.full_like(value, -torch.inf)
        start = torch.full((self.number,), -torch.inf, dtype=value.dtype, device=value.device)
        return start.scatter_reduce(0, self.index, torch.where(self.valid, value, low), "amax")[self.index]

    def centred(self, value: Tensor) -> Tensor:
        """``value`` minus the mean of its group, ``[N]``; 0 for invalid rows.

        The maximum is taken off first, so that rows that are equal come out exactly 0: a rounded mean would leave a
        remainder, and dividing by a standard deviation that is another remainder would blow it up.
        """
        top = self.largest(value)
        shifted = torch.where(self.valid, value - top, torch.zeros_like(value))
        return torch.where(self.valid, shifted - self.mean(shifted), torch.zeros_like(value))

    def deviation(self, value: Tensor, ddof: int) -> Tensor:
        """Standard deviation with divisor ``n - ddof`` over each row's group, ``[N]``; 0 where ``n <= ddof``."""
        square = self.total(self.centred(value) ** 2)
        return (square / (self.count(value) - ddof).clamp(min=1)).sqrt()
