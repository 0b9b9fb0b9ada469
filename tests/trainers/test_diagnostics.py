from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from fogline.core.errors import ConfigurationError, DataError
from fogline.trainers.diagnostics import (
    boundary_regions,
    entropy_statistics,
    group_statistics,
    mismatch_statistics,
    probability_weight,
    ratio_statistics,
)

torch.set_num_threads(1)

RATIO = [[0.5, 2.0, 0.5], [2.0, 1.0, 9.0], [9.0, 9.0, 9.0]]
SIGN = [[-1.0, 1.0, 1.0], [-1.0, 0.0, 1.0], [1.0, 1.0, 1.0]]
MASK = torch.tensor([[True, True, True], [True, True, False], [True, True, True]])
VALID = torch.tensor([True, True, False])
COUNTED = [0.5, 2.0, 0.5, 2.0, 1.0]


def real(values: object) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_ratio_statistics_by_hand() -> None:
    logp = torch.where(MASK & VALID[:, None], real(RATIO).log() - 1, math.nan)
    found = ratio_statistics(logp, torch.full_like(logp, -1), real(SIGN), MASK, VALID, 0.2, 0.2)
    apart = [math.log(ratio) for ratio in COUNTED]
    assert found == pytest.approx(
        {
            "ratio_mean": 6 / 5,
            "ratio_max": 2.0,
            "ratio_min": 0.5,
            "clip_left_negative": 1 / 5,
            "clip_right_positive": 1 / 5,
            "kl_k1": -sum(apart) / 5,
            "kl_k3": sum(ratio - 1 - math.log(ratio) for ratio in COUNTED) / 5,
        },
        abs=1e-12,
    )


def test_k1_and_k3_both_estimate_the_divergence_of_the_new_policy_from_the_sampling_one() -> None:
    old, new = real([0.2, 0.5, 0.3]), real([0.6, 0.1, 0.3])
    tokens = torch.multinomial(old, 20_000, replacement=True, generator=torch.Generator().manual_seed(0))
    mask = torch.ones(1, len(tokens), dtype=torch.bool)
    found = ratio_statistics(
        new.log()[tokens][None], old.log()[tokens][None], torch.ones_like(mask).double(), mask, mask[:, 0], 0.2, 0.2
    )
    exact = (old * (old / new).log()).sum().item()
    assert found["kl_k1"] == pytest.approx(exact, rel=0.05)
    assert found["kl_k3"] == pytest.approx(exact, rel=0.05)


def test_the_weight_at_a_boundary_is_what_autograd_multiplies_over_the_ratio() -> None:
    logp = real([[0.4, 0.9, 3.0, 1.0]]).log().requires_grad_()
    old, sign = torch.zeros_like(logp), real([[-2.0, -1.0, 3.0, 1.0]])
    mask = torch.ones(1, 4, dtype=torch.bool)
    regions = boundary_regions(logp, old, sign, mask, mask[:, 0], 0.2, 0.2)
    assert {name: region[0].tolist() for name, region in regions.items()} == {
        "left_negative": [True, False, False, False],
        "right_positive": [False, False, True, False],
    }
    loss = -sign * real([[0.25, 1.0, 0.5, 1.0]]) * logp.exp()
    (slope,) = torch.autograd.grad(loss.sum(), logp)
    found = [probability_weight(slope, logp, old, sign, region).item() for region in regions.values()]
    assert found == pytest.approx([0.25, 0.5], abs=1e-12)
    hidden = boundary_regions(logp, old, sign, ~mask, mask[:, 0], 0.2, 0.2)
    assert not any(bool(region.any()) for region in hidden.values())


def test_mismatch_and_entropy_by_hand() -> None:
    apart = real([[0.3, -0.1, 0.0], [0.0, 0.2, 9.0], [9.0, 9.0, 9.0]])
    found = mismatch_statistics(apart - 2, torch.full_like(apart, -2), MASK, VALID)
    counted = [0.3, -0.1, 0.0, 0.0, 0.2]
    assert found == pytest.approx(
        {
            "mismatch_mean": 0.6 / 5,
            "mismatch_max": 0.3,
            "mismatch_kl": sum(math.expm1(d) - d for d in counted) / 5,
        },
        abs=1e-12,
    )
    assert entropy_statistics(apart, MASK, VALID) == pytest.approx({"entropy_mean": 0.4 / 5}, abs=1e-12)


def test_group_statistics_by_hand() -> None:
    group = torch.tensor([5, 5, 5, 2, 2, 9, 7])
    valid = torch.tensor([True, True, False, True, True, True, False])
    reward = torch.tensor([0.0, 1.0, 5.0, 0.3, 0.3, -1.0, math.nan])
    schema = torch.tensor([0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0])
    length = torch.tensor([4, 6, 99, 2, 2, 1, 99])
    truncated = torch.tensor([True, False, True, False, False, False, True])
    found = group_statistics({"reward": reward, "schema": schema}, length, truncated, group, valid)
    counted = [0.0, 1.0, 0.3, 0.3, -1.0]
    mean = sum(counted) / 5
    assert found == pytest.approx(
        {
            "rows_valid": 5 / 7,
            "length_mean": 3.0,
            "truncated_share": 1 / 5,
            "reward_mean": mean,
            "reward_std": math.sqrt(sum((value - mean) ** 2 for value in counted) / 5),
            "reward_tied": 2 / 3,
            "reward_density": 2 / 3,
            "schema_mean": 1 / 5,
            "schema_std": 0.4,
            "schema_tied": 2 / 3,
            "schema_density": 1 / 3,
        },
        abs=1e-6,
    )


def test_nothing_to_say_is_left_out() -> None:
    token, none = torch.zeros(2, 2), torch.zeros(2, 2, dtype=torch.bool)
    assert ratio_statistics(token, token, token, none, ~none[:, 0], 0.2, 0.2) == {}
    assert mismatch_statistics(token, token, ~none, none[:, 0]) == {}
    assert entropy_statistics(token, none, ~none[:, 0]) == {}
    row, group = token[:, 0], torch.zeros(2, dtype=torch.int64)
    assert group_statistics({"reward": row}, row, none[:, 0], group, none[:, 0]) == {"rows_valid": 0.0}


def test_what_is_refused() -> None:
    token, mask = torch.zeros(2, 2), torch.ones(2, 2, dtype=torch.bool)
    with pytest.raises(ConfigurationError, match=r"valid has shape \[1\].*\[2\]"):
        entropy_statistics(token, mask, mask[0, :1])
    with pytest.raises(ConfigurationError, match=r"clip_low=-1"):
        ratio_statistics(token, token, token, mask, mask[0], -1, 0.2)
    with pytest.raises(DataError, match=r"schema.*rows \[1\]"):
        reward = torch.tensor([0.0, math.nan])
        group_statistics({"schema": reward}, reward, mask[0], torch.zeros(2, dtype=torch.int64), mask[0])
