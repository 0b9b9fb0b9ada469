"""Logs that come as events: counts, time and the deepest stage are what was done, and nothing is dropped silently."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fogline.core.errors import ConfigurationError, DataError
from fogline.simulators.merchants.columns import ACTIONS, COLUMNS, STAGES
from fogline.simulators.merchants.events import Event, Trajectory, table_of, with_events
from fogline.simulators.merchants.loading import example_log_path, read_log
from fogline.simulators.merchants.logs import check_log

WHEN = "2026-01-05T12:00:00Z"


def visit(name: str, *actions: str, **fields: Any) -> Trajectory:
    events = tuple(Event(float(place), action, dwell_s=1.5) for place, action in enumerate(actions))
    return Trajectory(name, "m1", WHEN, events, fields)


def test_a_visit_becomes_a_row() -> None:
    table = check_log(
        table_of(
            [
                visit("a", "exposure", "click", "view_price", "view_price", "tap_coupon", "order", discount=0.1),
                visit("b", "exposure", "leave", discount=0.2),
                visit("c", "exposure", "click", "leave", discount=0.2),
                visit("d", "exposure", "click", "read_reviews", "leave", discount=0.2),
            ]
        )
    ).table.set_index("trajectory_id")
    assert table["outcome"].to_dict() == {"a": "order", "b": "exposure", "c": "click", "d": "engage"}
    assert table["n_view_price"].to_dict() == {"a": 2, "b": 0, "c": 0, "d": 0}
    assert table["n_tap_coupon"].to_dict() == {"a": 1, "b": 0, "c": 0, "d": 0}
    assert table["n_read_reviews"].to_dict() == {"a": 0, "b": 0, "c": 0, "d": 1}
    assert table["dwell_s"].to_dict() == {"a": 9.0, "b": 3.0, "c": 4.5, "d": 6.0}
    assert "n_order" not in table and "n_exposure" not in table


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from(sorted(ACTIONS)), min_size=1, max_size=8), min_size=1, max_size=6), st.randoms()
)
def test_counts_and_stages_do_not_depend_on_the_order_of_events(visits: list[list[str]], random: Any) -> None:
    rows = [(f"t{place}", action) for place, actions in enumerate(visits) for action in actions]
    frame = pd.DataFrame({"trajectory_id": [f"t{place}" for place in range(len(visits))]})
    found = with_events(frame, pd.DataFrame(rows, columns=["trajectory_id", "action"]))
    random.shuffle(rows)
    again = with_events(frame, pd.DataFrame(rows, columns=["trajectory_id", "action"]))
    pd.testing.assert_frame_equal(found[sorted(found)], again[sorted(again)])
    for place, actions in enumerate(visits):
        assert found["outcome"][place] == max((ACTIONS[action] for action in actions), key=STAGES.index)
        for action in set(actions):
            if f"n_{action}" in COLUMNS:
                assert found[f"n_{action}"][place] == actions.count(action)


def test_a_log_and_its_events_in_two_files_are_the_log_in_one(tmp_path: Path) -> None:
    whole = pd.read_csv(example_log_path())
    counts = [name for name in whole if str(name).startswith("n_")]
    reached = {"engage": "view_menu", "intent": "add_cart", "order": "order", "click": "click", "exposure": "exposure"}
    rows = []
    for _, row in whole.iterrows():
        actions = [name.removeprefix("n_") for name in counts for _ in range(int(row[name]))] + [
            reached[row["outcome"]]
        ]
        rows += [(row["trajectory_id"], action, row["dwell_s"] / len(actions)) for action in actions]
    events = pd.DataFrame(rows, columns=["trajectory_id", "action", "dwell_s"])
    bare = whole.drop(columns=[*counts, "outcome", "dwell_s"]).rename(columns={"trajectory_id": "visit"})
    bare.to_csv(tmp_path / "log.csv", index=False)
    events.to_csv(tmp_path / "events.csv", index=False)
    log = read_log(tmp_path / "log.csv", events=tmp_path / "events.csv", rename={"visit": "trajectory_id"})
    expected = read_log(example_log_path())
    assert log.table["outcome"].tolist() == expected.table["outcome"].tolist()
    for name in counts:
        if name in log.table and name not in ("n_view_menu", "n_add_cart"):
            assert log.table[name].tolist() == expected.table[name].tolist()


@pytest.mark.parametrize(
    ("frame", "events", "message"),
    [
        ({"trajectory_id": ["a"]}, {"trajectory_id": ["a"]}, r"no column 'action'"),
        ({"id": ["a"]}, {"trajectory_id": ["a"], "action": ["click"]}, r"trajectories have no column 'trajectory_id'"),
        ({"trajectory_id": ["a"]}, {"trajectory_id": ["a"], "action": ["buy"]}, r"actions that are none of .*'buy'"),
        ({"trajectory_id": ["a", "b"]}, {"trajectory_id": ["a"], "action": ["click"]}, r"without events .*'b'"),
        ({"trajectory_id": ["a"]}, {"trajectory_id": ["a", "z"], "action": ["click"] * 2}, r"not there: 'z'"),
        (
            {"trajectory_id": ["a"], "n_view_menu": [1], "outcome": ["order"]},
            {"trajectory_id": ["a"], "action": ["click"]},
            r"come from their events: 'n_view_menu', 'outcome'",
        ),
    ],
)
def test_events_that_do_not_fit_are_refused_with_the_first_of_them(
    frame: dict[str, Any], events: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        with_events(pd.DataFrame(frame), pd.DataFrame(events))


def test_what_is_no_event_or_no_field_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"action of an event='bought'"):
        Event(0.0, "bought")
    with pytest.raises(ConfigurationError, match=r"t_offset_s=-1 of an event"):
        Event(-1, "click")
    with pytest.raises(ConfigurationError, match=r"field 'discont'.*Did you mean 'discount'"):
        visit("a", "click", discont=0.1)
    with pytest.raises(ConfigurationError, match=r"'outcome' comes from its events"):
        visit("a", "click", outcome="order")
