"""What the tensor functions of training refuse, with errors that say the fix."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from fogline.core.errors import ConfigurationError, DataError

if TYPE_CHECKING:
    from fogline.trainers.batch import Batch


def check_shapes(**tensors: Tensor) -> None:
    """Raise :class:`ConfigurationError` unless all tensors have the first one's shape; nothing is broadcast."""
    first, *others = tensors.items()
    for name, tensor in others:
        if tensor.shape != first[1].shape:
            raise ConfigurationError(
                f"{name} has shape {list(tensor.shape)}, but {first[0]} has {list(first[1].shape)}: "
                "expected the same; expand it before the call."
            )


def check_per_row(rows: int, **tensors: Tensor) -> None:
    """Raise :class:`ConfigurationError` unless every tensor has the shape ``[rows]``."""
    for name, tensor in tensors.items():
        if tensor.shape != (rows,):
            raise ConfigurationError(f"{name} has shape {list(tensor.shape)}: expected one for each row, [{rows}].")


def check_mask(**masks: Tensor) -> None:
    """Raise :class:`ConfigurationError` unless every mask is boolean."""
    for name, mask in masks.items():
        if mask.dtype != torch.bool:
            raise ConfigurationError(f"{name} has dtype {mask.dtype}: expected torch.bool; pass {name}.bool().")


def check_rows(value: Tensor, group: Tensor, valid: Tensor, name: str = "reward") -> None:
    """Refuse rows that cannot enter a group statistic.

    Args:
        value: ``[N]`` of any float dtype.
        group: ``[N]`` integer ids.
        valid: ``[N]`` bool.
        name: Of ``value``, for the message.

    Raises:
        ConfigurationError: For shapes or dtypes other than these.
        DataError: For a value among valid rows that is not finite.
    """
    if value.dim() != 1 or not value.is_floating_point():
        raise ConfigurationError(
            f"{name} has shape {list(value.shape)} and dtype {value.dtype}: expected one float for each row, [N]."
        )
    check_shapes(**{name: value, "group": group, "valid": valid})
    check_mask(valid=valid)
    if group.is_floating_point() or group.dtype == torch.bool:
        raise ConfigurationError(f"group has dtype {group.dtype}: expected integer ids; pass group.long().")
    broken = valid & ~value.isfinite()
    if broken.any():
        rows = broken.nonzero().flatten().tolist()
        raise DataError(
            f"{name} is {[value[row].item() for row in rows]} in rows {rows}: expected finite numbers. "
            "Repair what computes it, or set valid=False for these rows to leave them out."
        )


def check_rewards(batch: Batch) -> None:
    """Refuse a batch without a valid row, and rewards that are no finite numbers.

    Raises:
        DataError: Naming the tasks.
    """
    if not bool(batch.valid.any()):
        raise DataError(
            f"none of the batch's {len(batch)} rows can be learned from: every episode failed, or no policy token was "
            "written. Look at the episodes' failures, and whether the agent is a policy that reports its tokens."
        )
    wrong = batch.valid & ~torch.isfinite(batch.reward)
    if bool(wrong.any()):
        rows = torch.nonzero(wrong).squeeze(1).tolist()
        tasks = sorted({batch.task_ids[int(batch.task[row])] if batch.task_ids else "" for row in rows})
        raise DataError(
            f"the reward of rows {rows[:8]} is {batch.reward[rows[0]].item()} (tasks {tasks[:4]}): expected finite "
            "numbers. Mend the environment's reward, or end such episodes with an error, which leaves them out."
        )


def check_token_rewards(reward: Tensor, mask: Tensor) -> None:
    """Raise :class:`DataError` for a reward under the mask (both ``[N,T]``) that is not finite."""
    broken = (mask & ~reward.isfinite()).any(1)
    if broken.any():
        raise DataError(
            f"reward is not finite in rows {broken.nonzero().flatten().tolist()}: expected finite numbers. "
            "Repair what computes it, or take these rows out of the mask (valid=False) to leave them out."
        )


def check_at_least(name: str, value: float, least: float) -> None:
    """Raise :class:`ConfigurationError` for a number below ``least``, or NaN."""
    if math.isnan(value) or value < least:
        raise ConfigurationError(f"{name}={value} is out of range: expected at least {least}.")


def check_positive(name: str, value: float) -> None:
    """Raise :class:`ConfigurationError` for zero, a negative number, or NaN."""
    if not value > 0:
        raise ConfigurationError(f"{name}={value} is out of range: expected a number above 0.")


def check_unit(name: str, value: float) -> None:
    """Raise :class:`ConfigurationError` for a number outside ``[0, 1]``."""
    if not 0 <= value <= 1:
        raise ConfigurationError(f"{name}={value} is out of range: expected a number from 0 to 1.")


def check_clip(clip_low: float, clip_high: float) -> None:
    """Raise :class:`ConfigurationError` for a negative width; ``clip_low`` of 1 or more bounds nothing from below."""
    check_at_least("clip_low", clip_low, 0)
    check_at_least("clip_high", clip_high, 0)
