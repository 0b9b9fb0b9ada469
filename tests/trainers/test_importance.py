from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from fogline.core.errors import ConfigurationError
from fogline.trainers.importance import importance_weight

torch.set_num_threads(1)

MASK = torch.tensor([[True, False, True], [True, True, False], [False, False, False]])
RATIO = [[0.5, 9.0, 4.0], [1.0, 2.0, 9.0], [9.0, 9.0, 9.0]]


def weights(correction: str, level: str, low: float | None = None, high: float | None = 3.0) -> Tensor:
    apart = torch.tensor(RATIO, dtype=torch.float64).log()
    return importance_weight(apart - 2, torch.full_like(apart, -2), MASK, correction, level, low, high)


@pytest.mark.parametrize(
    ("correction", "level", "low", "high", "expected"),
    [
        ("none", "token", None, 3.0, [[1, 1, 1], [1, 1, 1], [1, 1, 1]]),
        ("truncate", "token", None, 3.0, [[0.5, 1, 3], [1, 2, 1], [1, 1, 1]]),
        ("truncate", "token", 0.8, None, [[0.8, 1, 4], [1, 2, 1], [1, 1, 1]]),
        ("mask", "token", None, 3.0, [[0.5, 1, 0], [1, 2, 1], [1, 1, 1]]),
        ("mask", "token", 0.8, 3.0, [[0, 1, 0], [1, 2, 1], [1, 1, 1]]),
        ("truncate", "sequence", None, 1.5, [[1.5, 1, 1.5], [1.5, 1.5, 1], [1, 1, 1]]),
        ("truncate", "sequence", None, 3.0, [[2, 1, 2], [2, 2, 1], [1, 1, 1]]),
        ("mask", "sequence", None, 1.5, [[0, 1, 0], [0, 0, 1], [1, 1, 1]]),
    ],
)
def test_each_correction_by_hand(
    correction: str, level: str, low: float | None, high: float | None, expected: list[list[float]]
) -> None:
    found = weights(correction, level, low, high)
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-9)


@given(
    seed=st.integers(0, 1000),
    correction=st.sampled_from(["truncate", "mask"]),
    level=st.sampled_from(["token", "sequence"]),
    fill=st.sampled_from([math.nan, math.inf, -1e9, 0.0]),
)
def test_what_lies_off_the_mask_contributes_nothing(seed: int, correction: str, level: str, fill: float) -> None:
    draw = torch.Generator().manual_seed(seed)
    old, behaviour = torch.randn(2, 3, 4, dtype=torch.float64, generator=draw)
    mask = torch.rand(3, 4, generator=draw) < 0.5
    found = importance_weight(old, behaviour, mask, correction, level)
    hidden = importance_weight(torch.where(mask, old, fill), behaviour, mask, correction, level)
    assert torch.equal(found, hidden)
    assert torch.equal(found[~mask], torch.ones_like(found[~mask]))


def test_the_same_log_probabilities_give_ones_and_huge_differences_stay_finite() -> None:
    old = torch.tensor([[-1e4, -3.0, 0.0]], requires_grad=True)
    mask = torch.ones(1, 3, dtype=torch.bool)
    for level in ("token", "sequence"):
        for correction in ("none", "truncate", "mask"):
            assert torch.equal(importance_weight(old, old, mask, correction, level), torch.ones(1, 3))
            found = importance_weight(old, -old, mask, correction, level, high=None)
            assert found.isfinite().all()
            assert not found.requires_grad


@pytest.mark.parametrize(
    ("message", "options"),
    [
        (r"correction='truncated'.*'truncate'", {"correction": "truncated"}),
        (r"level='row'.*'sequence'", {"level": "row"}),
        (r"low=4.*high=3", {"low": 4.0}),
        (r"low=-1", {"low": -1.0}),
        (r"high=nan", {"high": math.nan}),
    ],
)
def test_bad_options_are_named(message: str, options: dict[str, object]) -> None:
    token, mask = torch.zeros(1, 1), torch.ones(1, 1, dtype=torch.bool)
    with pytest.raises(ConfigurationError, match=message):
        importance_weight(token, token, mask, **options)  # type: ignore[arg-type]


def test_shapes_that_differ_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"behaviour_logp has shape \[1, 1\].*\[1, 2\]"):
        importance_weight(torch.zeros(1, 2), torch.zeros(1, 1), torch.ones(1, 2, dtype=torch.bool))
