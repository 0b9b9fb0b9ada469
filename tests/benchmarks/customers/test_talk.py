"""What customers do and say, in numbers: closed forms."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fogline.benchmarks.customers.talk import (
    CONSENT,
    RESISTANCE,
    distinct,
    share_by_third,
    slope,
    transitions,
)
from fogline.simulators.customers.acts import CUSTOMER_ACTS

CALLS = st.lists(st.lists(st.sampled_from(CUSTOMER_ACTS), min_size=1, max_size=13), min_size=1, max_size=8)


def test_resistance_and_consent_are_acts_and_exclude_each_other() -> None:
    assert set(CUSTOMER_ACTS) >= RESISTANCE | CONSENT
    assert not RESISTANCE & CONSENT


def test_transitions_are_shares_of_what_follows() -> None:
    table = transitions([["answer_call", "object", "object", "neutral"], ["answer_call", "object", "hang_up"]])
    assert table.number(["answer_call"], "object").value == 1
    assert table.number(["object"], "object").value == pytest.approx(1 / 3)
    assert table.number(["object"], "hang_up").value == pytest.approx(1 / 3)
    assert table.number(["object"], "neutral").episodes == 3
    assert [line.labels for line in table.lines] == [("answer_call",), ("object",)]


@given(CALLS)
def test_every_line_of_the_transitions_sums_to_one(calls: list[list[str]]) -> None:
    table = transitions(calls)
    for line in table.lines:
        assert sum(number.value or 0.0 for number in line.numbers.values()) == pytest.approx(1)
    followed = sum(next(iter(line.numbers.values())).episodes for line in table.lines)
    assert followed == sum(len(call) - 1 for call in calls)


def test_distinct_counts_runs_of_words() -> None:
    assert distinct(["How much is it?", "How much is that?"], 1) == 5 / 8
    assert distinct(["How much is it?", "How much is that?"], 2) == 4 / 6
    assert distinct(["Yes.", "Yes!"], 1) == 1 / 2
    assert distinct(["Yes.", ""], 2) is None


def test_thirds_are_parts_of_each_call() -> None:
    six = ["object", "object", "neutral", "object", "neutral", "neutral"]
    assert share_by_third([six], RESISTANCE) == [[1.0], [0.5], [0.0]]
    # A single answer lies in the first third, and says nothing of the others.
    assert share_by_third([["object"], six], RESISTANCE) == [[1.0, 1.0], [0.5], [0.0]]


def test_the_slope_is_the_change_from_the_first_to_the_last_answer_but_one() -> None:
    assert slope(["neutral", "neutral", "object", "object", "hang_up"]) == pytest.approx(1.2)
    assert slope(["object", "object", "neutral", "neutral", "hang_up"]) == pytest.approx(-1.2)
    assert slope(["neutral", "neutral", "neutral", "hang_up"]) == 0
    assert slope(["object", "neutral", "hang_up"]) is None


@given(st.lists(st.sampled_from(CUSTOMER_ACTS), min_size=3, max_size=12), st.sampled_from(CUSTOMER_ACTS))
def test_a_call_in_reverse_has_the_opposite_slope(acts: list[str], last: str) -> None:
    forward, backward = slope([*acts, last]), slope([*reversed(acts), last])
    assert forward is not None and backward is not None
    assert forward == pytest.approx(-backward, abs=1e-12)
    assert abs(forward) <= 1.5 + 1e-12
