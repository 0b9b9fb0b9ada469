"""GDPO and MT-GRPO against their formulas, by slow loops over ragged groups."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from fogline.core.errors import ConfigurationError, DataError
from fogline.trainers.turn_credit import gdpo, mt_grpo

torch.set_num_threads(1)

X = math.nan


def real(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def normalised(values: dict[Any, float], ddof: int, epsilon: float) -> dict[Any, float]:
    """(x - mean) / (std + ε); 0 for values that are all the same, and for one alone."""
    if len(values) < 2 or len(set(values.values())) == 1:
        return dict.fromkeys(values, 0.0)
    centre = math.fsum(values.values()) / len(values)
    deviation = math.sqrt(math.fsum((value - centre) ** 2 for value in values.values()) / (len(values) - ddof))
    return {key: (value - centre) / (deviation + epsilon) for key, value in values.items()}


def in_groups(values: dict[int, float], group: Sequence[int], ddof: int, epsilon: float) -> dict[int, float]:
    found: dict[int, float] = {}
    for number in set(group):
        found |= normalised({row: value for row, value in values.items() if group[row] == number}, ddof, epsilon)
    return found


sessions = st.lists(
    st.tuples(
        st.sampled_from([0.0, 1.0, 10.0]),
        st.lists(st.sampled_from([0.0, -0.25, -1.0, 0.5]), min_size=1, max_size=4),
        st.sampled_from([4, -1]),
        st.booleans(),
    ),
    min_size=1,
    max_size=9,
)


# GDPO


@pytest.mark.parametrize("ddof", [0, 1])
@given(rows=sessions, weights=st.sampled_from([{}, {"b": 0.5}, {"a": 2.0, "b": 0.0}]))
def test_every_reward_is_normalised_in_its_group_and_their_sum_over_the_batch(
    ddof: int, rows: Any, weights: dict[str, float]
) -> None:
    group, valid = [row[2] for row in rows], [row[3] for row in rows]
    kept = [row for row in range(len(rows)) if valid[row]]
    components = {"a": [row[0] for row in rows], "b": [sum(row[1]) for row in rows]}
    total = dict.fromkeys(kept, 0.0)
    for name, values in components.items():
        for row, value in in_groups({row: values[row] for row in kept}, group, ddof, 1e-4).items():
            total[row] += weights.get(name, 1.0) * value
    expected = normalised(total, ddof, 1e-4)
    # What is in a dropped row is not read.
    tensors = {name: torch.where(torch.tensor(valid), real(values), X) for name, values in components.items()}
    found = gdpo(tensors, weights, torch.tensor(group), torch.tensor(valid), ddof=ddof)
    for row in range(len(rows)):
        assert float(found[row]) == pytest.approx(expected.get(row, 0.0), abs=1e-9)


def test_the_scale_of_a_reward_does_not_matter_to_gdpo_and_pairs_do_not_collapse() -> None:
    """(R, U) pairs of equal sums stay apart: the example that GDPO was made for."""
    reward, turns = real([1.0, 0.0, 1.0, 0.0]), real([0.0, 1.0, -1.0, -1.0])
    group, valid = torch.zeros(4).long(), torch.ones(4, dtype=torch.bool)
    found = gdpo({"R": reward, "U": turns}, {}, group, valid)
    assert reward[0] + turns[0] == reward[1] + turns[1]
    assert abs(float(found[0] - found[1])) > 0.1
    scaled = gdpo({"R": 1000 * reward, "U": turns}, {}, group, valid)
    torch.testing.assert_close(scaled, found, rtol=0, atol=1e-3)
    assert float(found.mean()) == pytest.approx(0.0, abs=1e-12) and float(found.std()) == pytest.approx(1.0, abs=1e-3)


def test_gdpo_refuses_what_it_cannot_use() -> None:
    group, valid = torch.zeros(2).long(), torch.ones(2, dtype=torch.bool)
    with pytest.raises(ConfigurationError, match="components is empty"):
        gdpo({}, {}, group, valid)
    with pytest.raises(ConfigurationError, match=r"weights has no key 'conversoin'.*Did you mean 'conversion'"):
        gdpo({"conversion": real([0.0, 1.0])}, {"conversoin": 2.0}, group, valid)
    with pytest.raises(DataError, match=r"reward is \[nan\] in rows \[1\]"):
        gdpo({"a": real([0.0, 1.0]), "b": real([0.0, X])}, {}, group, valid)
    with pytest.raises(ConfigurationError, match="ddof=2 is unknown"):
        gdpo({"a": real([0.0, 1.0])}, {}, group, valid, ddof=2)


# MT-GRPO


@pytest.mark.parametrize("ddof", [0, 1])
@given(rows=sessions, coefficient=st.sampled_from([0.0, 1.0, 2.5]))
def test_a_turn_but_the_last_adds_its_own_advantage_to_the_outcomes(ddof: int, rows: Any, coefficient: float) -> None:
    group = [row[2] for row in rows]
    valid = [row[3] and sum(g == row[2] and other[3] for g, other in zip(group, rows, strict=True)) > 1 for row in rows]
    kept = [row for row in range(len(rows)) if valid[row]]
    width = max(len(row[1]) for row in rows)
    turn = torch.full((len(rows), width), X, dtype=torch.float64)
    mask = torch.zeros((len(rows), width), dtype=torch.bool)
    for number, row in enumerate(rows):
        mask[number, : len(row[1])] = True
        if valid[number]:
            turn[number, : len(row[1])] = real(row[1])
    outcome = in_groups({row: rows[row][0] for row in kept}, group, ddof, 1e-6)
    session = torch.where(torch.tensor(valid), real([row[0] for row in rows]), X)
    found = mt_grpo(session, turn, mask, torch.tensor(group), torch.tensor(valid), coefficient=coefficient, ddof=ddof)
    for k in range(width):
        played = {row: rows[row][1][k] for row in kept if k < len(rows[row][1])}
        own = in_groups(played, group, ddof, 1e-6)
        for row in range(len(rows)):
            expected = 0.0
            if row in played:
                last = k == len(rows[row][1]) - 1
                expected = outcome[row] + (0.0 if last else coefficient * own[row])
            assert float(found[row, k]) == pytest.approx(expected, abs=1e-9)
            assert row in played or float(found[row, k]) == 0.0


def test_two_turns_as_in_the_paper() -> None:
    """A tool call and an answer: the first turn earns outcome plus its own, the answer the outcome alone."""
    session, calls = real([1.0, 0.0, 1.0, 0.0]), real([[0.2, 9.0], [0.2, -9.0], [0.0, 1.0], [0.0, 5.0]])
    mask, group, valid = torch.ones(4, 2, dtype=torch.bool), torch.zeros(4).long(), torch.ones(4, dtype=torch.bool)
    found = mt_grpo(session, calls, mask, group, valid, ddof=0)
    expected = real([[2.0, 1.0], [0.0, -1.0], [0.0, 1.0], [-2.0, -1.0]])
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-5)


def test_mt_grpo_refuses_what_cannot_be_compared() -> None:
    session, turn, mask = real([1.0, 0.0]), real([[0.0], [1.0]]), torch.ones(2, 1, dtype=torch.bool)
    valid = torch.ones(2, dtype=torch.bool)
    with pytest.raises(ConfigurationError, match=r"rows \[0, 1\] are the only valid ones"):
        mt_grpo(session, turn, mask, torch.tensor([0, 1]), valid)
    with pytest.raises(DataError, match=r"rows \[1\] have no turn"):
        mt_grpo(session, turn, torch.tensor([[True], [False]]), torch.zeros(2).long(), valid)
    with pytest.raises(DataError, match=r"turn rewards are not finite in rows \[0\]"):
        mt_grpo(session, real([[X], [1.0]]), mask, torch.zeros(2).long(), valid)
