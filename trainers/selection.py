"""Which rows of a generation batch are worth an update."""

from __future__ import annotations

import torch
from torch import Tensor

from fogline.core.errors import ConfigurationError
from fogline.trainers.groups import Groups
from fogline.trainers.shapes import check_per_row, check_rows


@torch.no_grad()
def dynamic_sampling(metric: Tensor, group: Tensor, valid: Tensor) -> Tensor:
    """Keep the groups whose valid rows differ: DAPO's dynamic sampling (Yu et al., 2025, arXiv 2503.14476).

    Rows that all earned the same have no advantage. The caller refills what is missing.

    Args:
        metric: ``[N]`` that decides, such as accuracy or the reward.
        group: ``[N]`` integer ids.
        valid: ``[N]`` bool.

    Returns:
        ``[N]`` bool; False for invalid rows, and so for groups with fewer than two valid ones.

    Raises:
        ConfigurationError: For shapes that differ.
        DataError: For a metric of a valid row that is not finite.
    """
    check_rows(metric, group, valid, "metric")
    groups = Groups.of(group, valid)
    return valid & (groups.largest(metric) != -groups.largest(-metric))


@torch.no_grad()
def length_aware_sampling(
    metric: Tensor,
    length: Tensor,
    group: Tensor,
    valid: Tensor,
    low: float = 0.30,
    high: float = 0.65,
    top: float = 0.95,
) -> Tensor:
    """Keep the groups with the shortest or the longest answers among those that differ: LSPO (2025, arXiv 2510.01459).

    A group's length is the mean over its rows. Of groups whose metric differs, and of those of one row, the ones stay
    that are at most as long as the ``low`` quantile of all such groups, or lie between the ``high`` and the ``top``
    quantile, both included; quantiles are interpolated and of this batch. The caller refills what is missing.

    Args:
        metric: ``[N]`` that decides whether a group differs, such as accuracy.
        length: ``[N]``, policy tokens of each row.
        group: ``[N]`` integer ids.
        valid: ``[N]`` bool.
        low: Share of the shortest; 1 keeps all that differ.
        high: Where the long ones begin.
        top: Where they end: beyond it they are too long. 0 and 1 for ``high`` and ``top`` keep all that differ.

    Returns:
        ``[N]`` bool; False for invalid rows.

    Raises:
        ConfigurationError: For shapes that differ, or quantiles that are out of range or order.
        DataError: For a metric of a valid row that is not finite.
    """
    check_rows(metric, group, valid, "metric")
    check_per_row(len(metric), length=length)
    if not (0 <= low <= 1 and 0 <= high <= top <= 1):
        raise ConfigurationError(
            f"low={low}, high={high}, top={top}: expected quantiles from 0 to 1, high no larger than top."
        )
    groups = Groups.of(group, valid)
    differs = groups.largest(metric) != -groups.largest(-metric)
    alive = valid & (differs | (groups.count(metric) == 1))
    if not alive.any():
        return alive
    mean = groups.mean(length.double())
    first = torch.full((groups.number,), torch.nan, dtype=torch.float64)
    first[groups.index[alive]] = mean[alive]
    lengths = first[~first.isnan()]
    shortest, long, longest = (float(torch.quantile(lengths, level)) for level in (low, high, top))
    return alive & ((mean <= shortest) | ((mean >= long) & (mean <= longest)))
