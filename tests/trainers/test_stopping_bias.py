"""The bias of stopping (section 3.1 of the specification): what estimators make of a policy that chooses its length.

One parameter, the probability p = sigmoid(theta) to stop after a turn, at theta = 0; 0.2 per turn, six at most. The
objective is 0.2 (1 - (1 - p)^6) / p, so that the true gradient is -57/320. Estimates are expectations over all groups.
"""

from __future__ import annotations

import math
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fogline.trainers import advantages
from fogline.trainers.hian import turn_centred, turn_returns

torch.set_num_threads(1)

MOST_TURNS, ROLLOUTS, PAID, STOP = 6, 8, 0.2, 0.5
TRUTH = -57 / 320


def chance(length: int) -> float:
    return float((1 - STOP) ** (length - 1) * (STOP if length < MOST_TURNS else 1.0))


def lived(lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Rewards of 0.2 per turn, and the turns that were played."""
    live = torch.arange(MOST_TURNS) < lengths[:, None]
    return PAID * live.double(), live


def gradient(advantage: Tensor, lengths: Tensor) -> Tensor:
    """Of each rollout: the sum over its decisions (none at the last turn) of score times advantage."""
    turn = torch.arange(1, MOST_TURNS + 1)
    score = torch.where(turn == lengths[:, None], 1 - STOP, -STOP) * (turn <= lengths[:, None]) * (turn < MOST_TURNS)
    return (score * advantage).sum(1)


def all_groups() -> tuple[Tensor, Tensor]:
    """Every multiset of eight lengths, with its probability: the expectation without a single random number."""
    multisets = list(combinations_with_replacement(range(1, MOST_TURNS + 1), ROLLOUTS))
    weights = [
        math.factorial(ROLLOUTS)
        * math.prod(map(chance, lengths))
        / math.prod(math.factorial(lengths.count(length)) for length in set(lengths))
        for lengths in multisets
    ]
    assert math.fsum(weights) == pytest.approx(1.0, abs=1e-12)
    return torch.tensor(multisets), torch.tensor(weights, dtype=torch.float64)


def expected_gradient(estimator: Any) -> float:
    """Of an estimator that looks at one group at a time."""
    lengths, weights = all_groups()
    flat = lengths.flatten()
    group = torch.arange(len(lengths)).repeat_interleave(ROLLOUTS)
    reward, live = lived(flat)
    of_groups = gradient(estimator(reward, live, group), flat).view(-1, ROLLOUTS).mean(1)
    return float(of_groups @ weights)


def total(reward: Tensor, live: Tensor, group: Tensor) -> Tensor:
    return advantages.group_normalise(reward.sum(1), group, torch.ones(len(group), dtype=torch.bool), scale="none")[
        :, None
    ]


def cell_mean(reward: Tensor, live: Tensor, group: Tensor) -> Tensor:
    return turn_centred(turn_returns(reward, live, 1.0), live, group, "turn_centre_batch_scale")


def accumulated(reward: Tensor, live: Tensor, group: Tensor) -> Tensor:
    """The mistake: centre each turn's reward, then add up."""
    return turn_returns(turn_centred(reward, live, group, "turn_centre_batch_scale"), live, 1.0)


def left_out_or_0(reward: Tensor, live: Tensor, group: Tensor) -> Tensor:
    n = torch.zeros(int(group.max()) + 1, MOST_TURNS).index_add(0, group, live.float())[group]
    return cell_mean(reward, live, group) * n / (n - 1).clamp(min=1)


def test_the_truth_of_the_stopping_fixture() -> None:
    q = 1 - STOP
    slope = PAID * (MOST_TURNS * q ** (MOST_TURNS - 1) * STOP - (1 - q**MOST_TURNS)) / STOP**2 * STOP * q
    assert slope == pytest.approx(TRUTH, abs=1e-15)
    assert expected_gradient(lambda reward, live, group: reward.sum(1, keepdim=True)) == pytest.approx(TRUTH, abs=1e-12)


@pytest.mark.parametrize(
    ("estimator", "expected"),
    [(accumulated, 0.0), (cell_mean, -0.136), (total, 7 / 8 * TRUTH), (left_out_or_0, -0.169)],
)
def test_what_estimators_make_of_stopping(estimator: Any, expected: float) -> None:
    assert expected_gradient(estimator) == pytest.approx(
        expected, abs=1e-12 if estimator in (accumulated, total) else 5e-4
    )


def test_leaving_one_out_makes_the_gradient_of_stopping_exact() -> None:
    """One group at a time, so that the pool behind a lonely turn is empty and the value itself is used."""
    lengths, weights = all_groups()
    found = 0.0
    for group, weight in zip(lengths, weights.tolist(), strict=True):
        reward, live = lived(group)
        returns = turn_returns(reward, live, 1.0)
        centred = turn_centred(returns, live, torch.zeros(ROLLOUTS).long(), "turn_centre_batch_scale", True)
        found += weight * float(gradient(centred, group).mean())
    assert found == pytest.approx(TRUTH, abs=1e-12)


@pytest.mark.parametrize("scenarios", [4, 40_000])
def test_leaving_one_out_is_exact_with_other_scenarios_too(scenarios: int) -> None:
    random = np.random.default_rng(scenarios)
    batches = []
    for _ in range(max(4_000 // scenarios, 1)):
        lengths = torch.from_numpy(random.geometric(STOP, scenarios * ROLLOUTS).clip(max=MOST_TURNS))
        reward, live = lived(lengths)
        group = torch.arange(scenarios).repeat_interleave(ROLLOUTS)
        centred = turn_centred(turn_returns(reward, live, 1.0), live, group, "turn_centre_batch_scale", True)
        batches.append(gradient(centred, lengths).view(scenarios, ROLLOUTS).mean(1))
    found = torch.cat(batches)
    error = float(found.std()) / math.sqrt(len(found))
    assert float(found.mean()) == pytest.approx(TRUTH, abs=4 * error)
    assert error < 0.004, "enough to tell -0.178 from the plain mean's -0.136"
