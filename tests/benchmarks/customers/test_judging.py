"""Verdicts: a bound, an interval, and what can be said."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fogline.benchmarks.customers.judging import FEWEST, Measured, Sense, difference, judge, mean, rate
from fogline.core.intervals import Interval, student_t, wilson

FINITE = st.floats(-10, 10)


def measured(low: float, high: float, value: float | None = None) -> Measured:
    return Measured((low + high) / 2 if value is None else value, Interval(low, high), 100)


@pytest.mark.parametrize(
    ("sense", "low", "high", "expected"),
    [
        ("above", 0.1, 0.2, "holds"),
        ("above", 0.0, 0.2, "cannot say"),
        ("above", -0.2, 0.0, "does not hold"),
        ("at least", 0.0, 0.2, "holds"),
        ("at least", -0.1, 0.2, "cannot say"),
        ("at least", -0.2, -0.1, "does not hold"),
        ("at most", -0.2, 0.0, "holds"),
        ("at most", -0.2, 0.1, "cannot say"),
        ("at most", 0.1, 0.2, "does not hold"),
        ("not above", -0.2, 0.2, "holds"),
        ("not above", 0.0, 0.0, "holds"),
        ("not above", 0.1, 0.2, "does not hold"),
    ],
)
def test_an_interval_is_judged_against_zero(sense: Sense, low: float, high: float, expected: str) -> None:
    assert judge(measured(low, high), sense, 0.0) == expected


def test_what_must_never_happen_is_refuted_by_one_case_and_shown_by_many_without() -> None:
    assert judge(rate([False] * 10), "none", 0.01) == "cannot say"
    assert judge(rate([False] * 1000), "none", 0.01) == "holds"
    assert judge(rate([True] + [False] * 100_000), "none", 0.01) == "does not hold"


@given(st.sampled_from(["above", "at least", "at most", "not above", "none"]), FINITE)
def test_without_data_or_interval_nobody_can_say(sense: Sense, bound: float) -> None:
    assert judge(Measured(), sense, bound) == "cannot say"
    assert judge(Measured(1.0, None, 2), sense, bound) == "cannot say"


@given(FINITE, st.floats(0, 5), st.floats(0, 5), FINITE)
def test_a_narrower_interval_keeps_a_verdict(centre: float, wide: float, narrow: float, bound: float) -> None:
    narrow = min(narrow, wide)
    for sense in ("above", "at least", "at most"):
        before = judge(measured(centre - wide, centre + wide, centre), sense, bound)
        after = judge(measured(centre - narrow, centre + narrow, centre), sense, bound)
        assert before in ("cannot say", after)


@given(FINITE, st.floats(0, 5), FINITE)
def test_above_and_at_most_are_opposites(centre: float, half: float, bound: float) -> None:
    opposite = {"holds": "does not hold", "does not hold": "holds", "cannot say": "cannot say"}
    found = measured(centre - half, centre + half, centre)
    assert judge(found, "at most", bound) == opposite[judge(found, "above", bound)]


def test_rates_have_wilsons_interval_and_means_students() -> None:
    assert rate([True, False, False]) == Measured(1 / 3, wilson(1, 3), 3)
    assert rate([]) == mean([]) == Measured()
    values = [float(index % 3) for index in range(FEWEST)]
    assert mean(values).interval == student_t(values)
    assert mean(values[:-1]).interval is None
    assert mean([1.0, 2.0, 3.0], fewest=3).interval is not None
    assert mean([0.5] * FEWEST).interval == (0.5, 0.5)


def test_the_least_is_the_lower_bound_where_there_is_one() -> None:
    assert (measured(0.1, 0.3).least, Measured(0.2).least, Measured().least) == (0.1, 0.2, 0.0)


@given(st.lists(st.sampled_from([-1.0, 0.0, 1.0]), min_size=FEWEST, max_size=200))
def test_differences_of_yes_and_no_keep_their_width_and_turn_with_the_sign(pairs: list[float]) -> None:
    found, turned = difference(pairs), difference([-pair for pair in pairs])
    assert found.interval is not None and turned.interval is not None and found.value is not None
    low, high = found.interval
    assert low < high
    assert low <= found.value <= high
    assert (turned.interval.low, turned.interval.high) == pytest.approx((-high, -low))


def test_pairs_that_all_agree_leave_room_for_doubt() -> None:
    # Bonett and Price: (1 + 1) / 26 in the off-diagonal, so 1.96 sqrt(2/26/26).
    found = difference([0.0] * 24)
    assert found.interval == pytest.approx((-0.10660, 0.10660), abs=1e-4)
    assert judge(found, "above", 0.0) == "cannot say"
    assert judge(found, "not above", 0.0) == "holds"
    assert difference([0.25] * FEWEST).interval == (0.25, 0.25)
    assert difference([0.0] * 5).interval is None
