"""What a log says of two horizons: closed forms, and how each share moves with the scale of the session reward."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from fogline.trainers.advantages import group_normalise
from fogline.trainers.hian import HorizonAdvantages, horizon_advantages
from fogline.trainers.horizon_shares import fused_share, spreads, summed_share

torch.set_num_threads(1)

X = math.nan


def real(values: Any) -> Tensor:
    return torch.as_tensor(np.asarray(values, dtype=np.float64))


def yes(rows: int) -> Tensor:
    return torch.ones(rows, dtype=torch.bool)


ONE_TURN = torch.ones(4, 1, dtype=torch.bool)
CROSSED = (real([1.0, 1.0, 0.0, 0.0]), real([[0.2], [0.0], [0.2], [0.0]]))
"""A session and a turn signal without correlation, of deviations 0.5 and 0.1."""


# Summed


@pytest.mark.parametrize("scale", [0.1, 1.0, 10.0])
def test_the_share_of_a_sum_is_what_is_left_in_its_advantage(scale: float) -> None:
    session, turn = scale * CROSSED[0], CROSSED[1]
    group = torch.zeros(4).long()
    said = summed_share(session, turn, ONE_TURN, group, yes(4))
    expected = 0.1**2 / (0.1**2 + (0.5 * scale) ** 2)
    assert said["turn_share"] == said["turn_share_of_sum"] == pytest.approx(expected, abs=1e-12)
    assert said["sigma_session"] == pytest.approx(0.5 * scale)
    assert said["sigma_turn"] == pytest.approx(0.1)
    assert said["silent_groups"] == 0.0
    assert said["horizon_correlation"] == pytest.approx(0.0, abs=1e-12)
    # GRPO's advantage itself: 1 of variance, of which the turns made this much.
    advantage = group_normalise(session + turn[:, 0], group, yes(4), ddof=0, epsilon=0.0)
    of_turn = advantage - group_normalise(session, group, yes(4), ddof=0, epsilon=0.0) * math.sqrt(1 - expected)
    assert float(advantage.var(correction=0)) == pytest.approx(1.0)
    assert float(of_turn.var(correction=0)) == pytest.approx(expected, abs=1e-9)


def test_groups_are_averaged_each_with_the_same_weight() -> None:
    """Group 0: shares 1/26 in four rows; group 1: silent sessions, so that turns have it all, in two rows."""
    session = torch.cat([CROSSED[0], real([3.0, 3.0])])
    turn = torch.cat([CROSSED[1], real([[0.0], [0.6]])])
    group, mask = torch.tensor([5, 5, 5, 5, -2, -2]), torch.ones(6, 1, dtype=torch.bool)
    said = summed_share(session, turn, mask, group, yes(6))
    assert said["turn_share"] == pytest.approx((1 / 26 + 1) / 2)
    assert said["silent_groups"] == 0.5
    assert said["sigma_session"] == pytest.approx(0.25)
    assert said["sigma_turn"] == pytest.approx((0.1 + 0.3) / 2)
    assert said["turn_share_of_sum"] == pytest.approx((0.01 + 0.09) / (0.01 + 0.09 + 0.25))


def test_turns_are_added_up_over_the_session_and_what_was_not_played_is_not_read() -> None:
    session = real([0.0, 1.0, X, 0.5])
    turn = real([[0.1, 0.2, X], [0.3, X, X], [X, X, X], [0.1, 0.1, 0.1]])
    valid = torch.tensor([True, True, False, True])
    live = ~turn.isnan()
    said = summed_share(session, turn, live, torch.zeros(4).long(), valid)
    assert said["sigma_turn"] == pytest.approx(0.0, abs=1e-15)
    assert said["sigma_session"] == pytest.approx(math.sqrt(1 / 6))
    assert said["turn_share"] == pytest.approx(0.0, abs=1e-15)
    assert "horizon_correlation" not in said, "all turns add up to the same"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_order_in_which_penalties_fell_is_no_spread(dtype: torch.dtype) -> None:
    turn = torch.tensor([[-0.3, -0.7, -0.9], [-0.9, -0.3, -0.7], [-0.7, -0.9, -0.3]], dtype=dtype)
    said = summed_share(
        torch.ones(3, dtype=dtype), turn, torch.ones(3, 3, dtype=torch.bool), torch.zeros(3).long(), yes(3)
    )
    assert said.keys() == {"sigma_session", "sigma_turn", "silent_groups"}
    assert said["silent_groups"] == 1.0


def test_the_correlation_is_that_of_rows_within_their_groups() -> None:
    session, turn = real([0.0, 1.0, 10.0, 11.0]), real([[0.0], [0.5], [-9.0], [-8.5]])
    said = summed_share(session, turn, ONE_TURN, torch.tensor([0, 0, 1, 1]), yes(4))
    assert said["horizon_correlation"] == pytest.approx(1.0)
    assert np.corrcoef(session.numpy(), turn[:, 0].numpy())[0, 1] < -0.9


def test_what_cannot_be_said_is_left_out() -> None:
    group = torch.tensor([0, 1, 2, 3])
    assert summed_share(*CROSSED, ONE_TURN, group, yes(4)) == {}, "groups of one compare nothing"
    assert summed_share(*CROSSED, ONE_TURN, torch.zeros(4).long(), ~yes(4)) == {}
    assert spreads(*CROSSED, ONE_TURN, group, yes(4)) == {}
    nothing = (real([1.0] * 4), real([[0.0]] * 4))
    assert summed_share(*nothing, ONE_TURN, torch.zeros(4).long(), yes(4)) == {
        "sigma_session": 0.0, "sigma_turn": 0.0, "silent_groups": 1.0,
    }  # fmt: skip
    some = summed_share(*CROSSED, ONE_TURN, torch.tensor([0, 0, 0, 1]), yes(4))
    assert some == summed_share(*(part[:3] for part in CROSSED), ONE_TURN[:3], torch.zeros(3).long(), yes(3))


# Fused


def test_the_share_of_a_fusion_is_that_of_its_weights() -> None:
    """Two uncorrelated signals of unit variance: w_t² / (w_s² + w_t²)."""
    found = HorizonAdvantages(real([1.0, 1.0, -1.0, -1.0]), real([[1.0], [-1.0], [1.0], [-1.0]]))
    for w_s, w_t in ((1.0, 1.0), (1.0, 0.5), (2.0, 4.0), (0.0, 1.0), (1.0, 0.0)):
        said = fused_share(found, ONE_TURN, w_s, w_t)
        assert said["turn_share"] == pytest.approx(w_t**2 / (w_s**2 + w_t**2))
        assert said["horizon_correlation"] == pytest.approx(0.0, abs=1e-12)
    same = HorizonAdvantages(found.session, found.session[:, None])
    assert fused_share(same, ONE_TURN, 1.0, 1.0)["horizon_correlation"] == pytest.approx(1.0)


def test_only_live_turns_count_in_a_fusion() -> None:
    live = torch.tensor([[True, True], [True, False]])
    found = HorizonAdvantages(real([1.0, -1.0]), real([[2.0, -1.0], [0.5, 99.0]]))
    said = fused_share(found, live, 1.0, 1.0)
    of_session, of_turn = np.var([1.0, 1.0, -1.0]), np.var([2.0, -1.0, 0.5])
    assert said["turn_share"] == pytest.approx(of_turn / (of_session + of_turn))
    assert said["horizon_correlation"] == pytest.approx(np.corrcoef([1.0, 1.0, -1.0], [2.0, -1.0, 0.5])[0, 1])


def test_a_fusion_without_a_signal_says_nothing() -> None:
    nothing = HorizonAdvantages(real([0.0] * 4), real([[0.0]] * 4))
    assert fused_share(nothing, ONE_TURN, 1.0, 1.0) == {}
    assert fused_share(HorizonAdvantages(real([1.0] * 4), CROSSED[1]), ~ONE_TURN, 1.0, 1.0) == {}
    assert fused_share(HorizonAdvantages(CROSSED[0], nothing.turn), ONE_TURN, 1.0, 1.0) == {"turn_share": 0.0}


# The point of it all: the scale of the session reward, section 2


@settings(max_examples=25)
@given(st.integers(0, 10_000))
def test_the_sums_share_falls_with_the_square_of_the_scale_and_hians_does_not(seed: int) -> None:
    random = np.random.default_rng(seed)
    group, rows, turns = torch.arange(6).repeat_interleave(8), 48, 5
    live = torch.from_numpy(np.arange(turns) < random.integers(1, turns + 1, size=(rows, 1)))
    converted = real(random.random(rows) < 0.4)
    converted[::8], converted[1::8] = 1.0, 0.0  # No silent group: there, turns have it all at any scale.
    turn = real(-0.1 * (random.random((rows, turns)) < 0.3))

    def summed(scale: float) -> dict[str, float]:
        return summed_share(scale * converted, turn, live, group, yes(rows))

    def fused(scale: float) -> float:
        return fused_share(horizon_advantages(scale * converted, turn, live, group, yes(rows)), live, 1.0, 1.0)[
            "turn_share"
        ]

    odds = {scale: summed(scale)["turn_share_of_sum"] for scale in (1.0, 5.0, 10.0, 100.0)}
    power = odds[1.0] / (1 - odds[1.0])
    for scale, share in odds.items():
        assert share / (1 - share) == pytest.approx(power / scale**2, rel=1e-6)
    shares = [summed(scale)["turn_share"] for scale in (1.0, 10.0, 100.0)]
    assert shares[0] > shares[1] > shares[2] > 0
    assert shares[2] == pytest.approx(shares[1] / 100, rel=0.05)
    assert [fused(scale) for scale in (1.0, 5.0, 10.0, 100.0)] == pytest.approx([fused(1.0)] * 4, abs=1e-4)
    assert 0.3 < fused(1.0) < 0.7
