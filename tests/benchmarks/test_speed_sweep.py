"""The benchmark of sweeps: the ideal it is held against, and that it measures what it says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fogline.benchmarks.speed import sweeps
from fogline.benchmarks.speed.model_server import reply
from fogline.benchmarks.speed.report import QUICK


def test_one_episode_takes_its_rounds_however_wide() -> None:
    assert sweeps.ideal_seconds([4], rounds=3, width=16, latency_s=0.5) == pytest.approx(1.5)


def test_more_calls_than_places_take_turns() -> None:
    assert sweeps.ideal_seconds([4], rounds=3, width=2, latency_s=0.5) == pytest.approx(3.0)


def test_rounds_of_one_episode_fill_the_gaps_of_another() -> None:
    assert sweeps.ideal_seconds([3, 3], rounds=2, width=4, latency_s=1.0) == pytest.approx(3.0)


@given(
    episodes=st.lists(st.integers(1, 12), min_size=1, max_size=12),
    rounds=st.integers(1, 4),
    width=st.integers(1, 16),
)
def test_no_schedule_beats_its_places_or_its_rounds(episodes: list[int], rounds: int, width: int) -> None:
    seconds = sweeps.ideal_seconds(episodes, rounds, width, 1.0)
    assert seconds >= rounds * sum(episodes) / width
    assert seconds >= max(rounds * -(-seats // width) for seats in episodes)
    assert seconds <= rounds * sum(episodes)


def test_the_server_waits_and_then_submits() -> None:
    asked = [{"role": "system"}, {"role": "user"}]
    assert "wait" in reply(asked, 3)
    assert "wait" in reply([*asked, {"role": "assistant"}, {"role": "user"}], 3)
    assert "submit_result" in reply([*asked, *[{"role": "assistant"}, {"role": "user"}] * 2], 3)


def test_every_case_is_measured() -> None:
    found = sweeps.run(QUICK)
    assert [item.case for item in found] == [
        "162 cells, tree, flood, leader",
        "162 cells, tree, flood, leader: memory",
        "flood: cost of a message, 10 seats beside 10",
        "model of 200 ms, 16 wide",
        "model of 200 ms, 64 wide",
    ]
    assert [item.target is not None for item in found] == [False, True, True, True, True]
    for item in found:
        assert item.subject_value.low > 0 and item.peer_value.low > 0
