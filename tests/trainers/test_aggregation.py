from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from fogline.core.errors import ConfigurationError
from fogline.trainers.losses import AGGREGATIONS, aggregate, clipped_loss

torch.set_num_threads(1)

LOSS = [[1.0, 2.0, 4.0], [8.0, 16.0, 32.0], [64.0, 128.0, 256.0], [math.nan, 1.0, 1.0]]
MASK = torch.tensor([[True, True, True], [True, False, True], [False, False, False], [True, True, True]])
VALID = torch.tensor([True, True, True, False])
WEIGHT = torch.tensor([3.0, 0.5, 7.0, math.nan], dtype=torch.float64)


def real(values: object) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize(
    ("mode", "plain", "weighted"),
    [
        ("token-mean", 47 / 5, 41 / 5),
        ("seq-mean-token-mean", (7 / 3 + 40 / 2) / 3, (7 + 40 / 4) / 3),
        ("seq-mean-token-sum", 47 / 3, 41 / 3),
        ("seq-mean-token-sum-norm", 47 / 9, 41 / 9),
    ],
)
def test_each_mode_by_hand(mode: str, plain: float, weighted: float) -> None:
    assert aggregate(real(LOSS), MASK, mode, valid=VALID).item() == pytest.approx(plain, abs=1e-12)
    found = aggregate(real(LOSS), MASK, mode, valid=VALID, weight=WEIGHT)
    assert found.item() == pytest.approx(weighted, abs=1e-12)


@pytest.mark.parametrize("mode", AGGREGATIONS)
def test_rows_and_tokens_left_out_have_gradient_exactly_zero_even_where_they_are_nan(mode: str) -> None:
    loss = torch.where(MASK, real(LOSS), math.nan).requires_grad_()
    (gradient,) = torch.autograd.grad(aggregate(loss, MASK, mode, valid=VALID, weight=WEIGHT), loss)
    kept = MASK & VALID[:, None]
    assert torch.equal(gradient[~kept], torch.zeros_like(gradient[~kept]))
    assert (gradient[kept] > 0).all()


@pytest.mark.parametrize("mode", AGGREGATIONS)
def test_a_batch_without_tokens_is_zero(mode: str) -> None:
    loss = real(LOSS).requires_grad_()
    for mask, valid in ((MASK & False, VALID), (MASK, VALID & False)):
        total = aggregate(loss, mask, mode, valid=valid)
        assert total.item() == 0
        assert torch.equal(torch.autograd.grad(total, loss)[0], torch.zeros(4, 3, dtype=torch.float64))


@given(
    seed=st.integers(0, 10_000),
    rows=st.integers(1, 7),
    cut=st.integers(0, 7),
    mode=st.sampled_from(AGGREGATIONS),
    weighted=st.booleans(),
    padding=st.integers(0, 3),
)
def test_shards_with_global_counts_add_up_to_the_whole(
    seed: int, rows: int, cut: int, mode: str, weighted: bool, padding: int
) -> None:
    draw = torch.Generator().manual_seed(seed)
    logp = torch.randn(rows, 4, dtype=torch.float64, generator=draw).requires_grad_()
    old, advantage = torch.randn(2, rows, 4, dtype=torch.float64, generator=draw)
    mask = torch.rand(rows, 4, generator=draw) < 0.6
    valid = torch.rand(rows, generator=draw) < 0.8
    weight = torch.rand(rows, dtype=torch.float64, generator=draw) if weighted else None
    kept = mask & valid[:, None]
    counts = {
        "tokens": float(kept.sum()),
        "sequences": float(valid.sum()),
        "length": float(kept.sum(1).max()),
    }

    def part(rows: slice, extra: int) -> Tensor:
        loss = clipped_loss(logp[rows], old[rows], advantage[rows], 0.2, 0.28)
        loss = torch.nn.functional.pad(loss, (0, extra), value=math.nan)
        there = torch.nn.functional.pad(mask[rows], (0, extra))
        return aggregate(
            loss, there, mode, valid=valid[rows], weight=None if weight is None else weight[rows], **counts
        )

    loss = clipped_loss(logp, old, advantage, 0.2, 0.28)
    whole = aggregate(loss, mask, mode, valid=valid, weight=weight)
    shards = part(slice(0, cut), padding) + part(slice(cut, rows), 0)
    torch.testing.assert_close(shards, whole, rtol=0, atol=1e-12)
    torch.testing.assert_close(
        torch.autograd.grad(shards, logp)[0], torch.autograd.grad(whole, logp)[0], rtol=0, atol=1e-12
    )


def test_padding_and_row_order_do_not_matter() -> None:
    for mode in AGGREGATIONS:
        whole = aggregate(real(LOSS), MASK, mode, valid=VALID, weight=WEIGHT).item()
        wide = torch.cat([real(LOSS), torch.full((4, 5), math.nan, dtype=torch.float64)], 1)
        mask = torch.cat([MASK, torch.zeros(4, 5, dtype=torch.bool)], 1)
        assert aggregate(wide, mask, mode, valid=VALID, weight=WEIGHT).item() == pytest.approx(whole, abs=1e-12)
        order = torch.tensor([2, 3, 0, 1])
        turned = aggregate(real(LOSS)[order], MASK[order], mode, valid=VALID[order], weight=WEIGHT[order])
        assert turned.item() == pytest.approx(whole, abs=1e-12)


def test_the_normaliser_of_verl_leaves_out_the_number_of_sequences() -> None:
    found = aggregate(real(LOSS), MASK, "seq-mean-token-sum-norm", valid=VALID, sequences=1, length=10)
    assert found.item() == pytest.approx(4.7, abs=1e-12)


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ConfigurationError, match=r"aggregation='token_mean'.*'token-mean'"):
        aggregate(real(LOSS), MASK, "token_mean", valid=VALID)
    with pytest.raises(ConfigurationError, match=r"mask has shape \[4, 2\]"):
        aggregate(real(LOSS), MASK[:, :2], "token-mean", valid=VALID)
    with pytest.raises(ConfigurationError, match=r"valid has shape \[3\].*\[4\]"):
        aggregate(real(LOSS), MASK, "token-mean", valid=VALID[:3])
    with pytest.raises(ConfigurationError, match=r"weight has shape \[1\].*\[4\]"):
        aggregate(real(LOSS), MASK, "token-mean", valid=VALID, weight=WEIGHT[:1])
    with pytest.raises(ConfigurationError, match=r"tokens=-1"):
        aggregate(real(LOSS), MASK, "token-mean", valid=VALID, tokens=-1)
    with pytest.raises(ConfigurationError, match=r"mask\.bool\(\)"):
        aggregate(real(LOSS), MASK.long(), "token-mean", valid=VALID)
