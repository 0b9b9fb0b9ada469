"""How the losses of tokens become one number, the same whether a batch is seen whole or in shards."""

from __future__ import annotations

import torch
from torch import Tensor

from fogline.core.errors import check_choice
from fogline.trainers.shapes import check_at_least, check_mask, check_per_row, check_shapes

AGGREGATIONS = ("token-mean", "seq-mean-token-mean", "seq-mean-token-sum", "seq-mean-token-sum-norm")
"""Every mode of :func:`aggregate`."""


def aggregate(
    loss: Tensor,
    mask: Tensor,
    mode: str,
    *,
    valid: Tensor,
    weight: Tensor | None = None,
    tokens: float | None = None,
    sequences: float | None = None,
    length: float | None = None,
) -> Tensor:
    """One number from the losses of tokens.

    With w the row weights, n_i the tokens of row i under the mask, and sums over valid rows and masked tokens:

    =========================== ============================================= ==============================
    mode                        value                                         known from
    =========================== ============================================= ==============================
    ``token-mean``              Σ_i w_i Σ_t ℓ_it / tokens                     DAPO; TRL ``dapo``, ``bnpo``
    ``seq-mean-token-mean``     Σ_i w_i (Σ_t ℓ_it / max(1, n_i)) / sequences  GRPO; TRL ``grpo``
    ``seq-mean-token-sum``      Σ_i w_i Σ_t ℓ_it / sequences                  policy gradient of whole rows
    ``seq-mean-token-sum-norm`` Σ_i w_i Σ_t ℓ_it / (sequences · length)       Dr. GRPO; TRL ``dr_grpo``
    =========================== ============================================= ==============================

    verl has a version of the last that divides by ``length`` alone: pass ``sequences=1`` to get it. A row without
    tokens under the mask adds 0 and still counts in ``sequences``.

    The counts are those of the whole optimiser mini-batch, over micro-batches and processes; the values of its shards
    then add up to the value of the whole. Rows and tokens that are left out are selected away, not multiplied by
    zero, so that NaN in their loss does no harm here; their log-probabilities must be finite all the same for a
    gradient that passes through them to stay exactly zero.

    Args:
        loss: ``[N,T]``.
        mask: ``[N,T]`` bool.
        mode: One of :data:`AGGREGATIONS`.
        valid: ``[N]`` bool.
        weight: ``[N]`` row weights; they do not enter the counts.
        tokens: Masked tokens of valid rows; None counts this shard.
        sequences: Valid rows; None counts this shard.
        length: The constant that stands for a row's length; None takes the longest row of this shard, in masked
            tokens, so that padding does not matter.

    Returns:
        A scalar with gradient; 0 for a batch without tokens.

    Raises:
        ConfigurationError: For an unknown mode, shapes that differ or a negative count.
    """
    check_choice("aggregation", mode, AGGREGATIONS)
    check_shapes(loss=loss, mask=mask)
    check_mask(mask=mask, valid=valid)
    for name, given in (("tokens", tokens), ("sequences", sequences), ("length", length)):
        if given is not None:
            check_at_least(name, given, 0)
    check_per_row(len(loss), valid=valid, weight=valid if weight is None else weight)
    mask = mask & valid[:, None]
    count = mask.sum(1)
    row = torch.where(mask, loss, torch.zeros_like(loss)).sum(1)
    if mode == "seq-mean-token-mean":
        row = row / count.clamp(min=1)
    if weight is not None:
        row = row * torch.where(valid, weight, torch.zeros_like(weight))
    if mode == "token-mean":
        return row.sum() / _divisor(tokens, count.sum())
    divisor = _divisor(sequences, valid.sum())
    if mode == "seq-mean-token-sum-norm":
        longest = count.max() if len(count) else count.sum()
        divisor = divisor * _divisor(length, longest)
    return row.sum() / divisor


def _divisor(given: float | None, counted: Tensor) -> float | Tensor:
    """The given count, or this shard's; 1 instead of 0, whose sum is 0 anyway."""
    if given is None:
        return counted.clamp(min=1)
    return given if given > 0 else 1.0
