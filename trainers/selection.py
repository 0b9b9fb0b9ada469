"""Which rows of a generation batch are worth an update."""

from __future__ import annotations

import torch
from torch import Tensor

from fogline.trainers.groups import Groups
from fogline.trainers.shapes import check_rows


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
