from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fogline.core.errors import ConfigurationError, DataError
from fogline.trainers.gates import soft_overlong_penalty
from fogline.trainers.selection import dynamic_sampling

torch.set_num_threads(1)

rows = st.lists(st.tuples(st.sampled_from([0.0, 0.1, 1.0]), st.integers(-2, 3), st.booleans()), min_size=1, max_size=12)


@given(rows=rows)
def test_a_row_is_kept_if_it_is_valid_and_its_groups_valid_rows_differ(rows: list[tuple[float, int, bool]]) -> None:
    expected = [
        valid and len({other for other, its, counts in rows if counts and its == group}) > 1 for _, group, valid in rows
    ]
    metric, group, valid = (torch.tensor(column) for column in zip(*rows, strict=True))
    assert dynamic_sampling(metric, group, valid).tolist() == expected


@given(rows=rows, data=st.data())
def test_the_order_of_rows_does_not_matter(rows: list[tuple[float, int, bool]], data: st.DataObject) -> None:
    order = torch.tensor(data.draw(st.permutations(range(len(rows)))))
    metric, group, valid = (torch.tensor(column) for column in zip(*rows, strict=True))
    turned = dynamic_sampling(metric[order], group[order], valid[order])
    assert torch.equal(turned, dynamic_sampling(metric, group, valid)[order])


def test_a_metric_that_is_nan_is_refused_only_in_valid_rows() -> None:
    metric, group = torch.tensor([0.0, 1.0, math.nan]), torch.zeros(3, dtype=torch.int64)
    assert dynamic_sampling(metric, group, torch.tensor([True, True, False])).tolist() == [True, True, False]
    with pytest.raises(DataError, match=r"metric.*rows \[2\]"):
        dynamic_sampling(metric, group, torch.ones(3, dtype=torch.bool))


def test_overlong_penalty_is_a_line_between_two_floors() -> None:
    length = torch.tensor([0.0, 80.0, 81.0, 90.0, 100.0, 101.0, 140.0], dtype=torch.float64)

    def found(factor: float = 1.0, floor: float | None = -1.0) -> list[float]:
        return soft_overlong_penalty(length, 100, 20, factor, floor).tolist()

    assert found() == pytest.approx([0, 0, -0.05, -0.5, -1, -1, -1], abs=1e-12)
    assert found(floor=None) == pytest.approx([0, 0, -0.05, -0.5, -1, -1.05, -3], abs=1e-12)
    assert found(factor=0.5, floor=None) == pytest.approx([0, 0, -0.025, -0.25, -0.5, -0.525, -1.5], abs=1e-12)
    assert found(factor=0.0) == [0] * 7


@pytest.mark.parametrize(
    ("message", "most", "buffer", "factor", "floor"),
    [
        (r"buffer=0 ", 100, 0, 1.0, -1.0),
        (r"buffer=120.*max_length=100", 100, 120, 1.0, -1.0),
        (r"max_length=0", 0, 1, 1.0, -1.0),
        (r"factor=-1", 100, 20, -1.0, -1.0),
        (r"floor=1.*None", 100, 20, 1.0, 1.0),
    ],
)
def test_bad_bounds_are_named(message: str, most: int, buffer: int, factor: float, floor: float) -> None:
    with pytest.raises(ConfigurationError, match=message):
        soft_overlong_penalty(torch.ones(2), most, buffer, factor, floor)


def test_lengths_must_be_floats() -> None:
    with pytest.raises(ConfigurationError, match=r"length\.to"):
        soft_overlong_penalty(torch.ones(2, dtype=torch.int64), 100, 20)
