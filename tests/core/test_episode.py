"""Episode: the record holds together, and its JSON form is exact."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fogline.core.episode import STATUSES, UNSCORED, Episode, Failure, Status, Turn, Usage
from fogline.core.errors import DataError

FINITE = st.floats(-1e6, 1e6)
NAMES = st.sampled_from(["agent", "left", "right"])
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | FINITE | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
TURNS = st.builds(
    Turn,
    seat=NAMES,
    observation=JSON_VALUES | st.tuples(st.text(max_size=5), st.integers()),
    action=JSON_VALUES | st.binary(max_size=5),
    reward=FINITE,
    terms=st.dictionaries(st.text(max_size=5), FINITE, max_size=3),
    phase=st.sampled_from(["", "explore"]),
    malformed=st.booleans(),
    context_token_ids=st.lists(st.integers(0, 9), max_size=4).map(tuple),
    action_token_ids=st.lists(st.integers(0, 9), max_size=4).map(tuple),
    logps=st.lists(st.floats(-50, 0), max_size=4).map(tuple),
    policy_version=st.none() | st.integers(0, 9),
    policy_data=st.none() | st.dictionaries(st.text(max_size=5), JSON_VALUES, max_size=3),
)


@st.composite
def episodes(draw: st.DrawFn) -> Episode:
    status: Status = draw(st.sampled_from(STATUSES))
    failure = Failure("RateLimited", draw(st.text(max_size=10)), 3) if status.endswith("_error") else None
    return Episode(
        env_id="TrustSQL-v0",
        task_id=draw(st.text(max_size=10)),
        seed=draw(st.integers(0, 2**63)),
        turns=tuple(draw(st.lists(TURNS, max_size=4))),
        status=status,
        seats=("left", "right", "agent"),
        outcome=draw(st.dictionaries(st.text(max_size=5), FINITE, max_size=3)),
        metrics=draw(st.dictionaries(st.text(max_size=5), JSON_VALUES, max_size=3)),
        final_observation=draw(JSON_VALUES),
        usage=Usage(wall_s=draw(st.floats(0, 10)), model_calls=2, cost=0.5, retries=1),
        simulator_version="trust-sql-1",
        failure=failure,
        agent="oracle",
    )


def episode(status: Status = "terminated", **fields: Any) -> Episode:
    failure = Failure("X", "x") if status.endswith("_error") else None
    return Episode("E-v0", "t", 0, fields.pop("turns", ()), status, failure=failure, **fields)


@given(episodes())
def test_json_is_an_exact_inverse(one: Episode) -> None:
    back = Episode.from_json(json.loads(json.dumps(one.to_json())))
    assert back == one
    assert [type(turn.observation) for turn in back.turns] == [type(turn.observation) for turn in one.turns]


def test_arrays_in_observations_and_actions_survive() -> None:
    pixels = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    turn = Turn("agent", {"image": pixels, "question": "?"}, np.int64(3), 0.5, {})
    back = Episode.from_json(json.loads(json.dumps(episode(turns=(turn,)).to_json()))).turns[0]
    assert back.observation["image"].dtype == np.uint8
    assert np.array_equal(back.observation["image"], pixels)
    assert isinstance(back.action, np.int64)


@given(episodes())
def test_reward_is_the_sum_of_turns_unless_the_failure_was_not_the_policys(one: Episode) -> None:
    if one.status in ("env_error", "infra_error"):
        assert not one.scored
        assert one.reward is None
        assert one.reward_of("left") is None
        return
    assert one.scored
    assert one.reward == pytest.approx(sum(turn.reward for turn in one.turns))
    shares = [one.reward_of(seat) for seat in one.seats]
    assert sum(share for share in shares if share is not None) == pytest.approx(one.reward)


def test_an_agents_own_failure_is_scored_and_the_worlds_failures_are_not() -> None:
    assert set(UNSCORED) == {"env_error", "infra_error"}
    assert episode("agent_error", turns=(Turn("agent", 0, 0, 0.25, {}),)).reward == 0.25


@pytest.mark.parametrize("status", ["terminated", "truncated"])
def test_a_failure_cannot_hang_on_an_episode_that_ended_by_the_rules(status: Status) -> None:
    with pytest.raises(DataError, match="failure="):
        Episode("E-v0", "t", 0, (), status, failure=Failure("X", "x"))


@pytest.mark.parametrize("status", ["agent_error", "env_error", "infra_error"])
def test_an_error_needs_its_failure(status: Status) -> None:
    with pytest.raises(DataError, match="failure=None"):
        Episode("E-v0", "t", 0, (), status)


def test_an_unknown_status_is_refused_by_name() -> None:
    with pytest.raises(DataError, match="status='aborted'"):
        Episode("E-v0", "t", 0, (), "aborted")  # type: ignore[arg-type]


@pytest.mark.parametrize("spoil", [lambda row: row.pop("turns"), lambda row: row.update(colour="red")])
def test_a_row_that_is_not_an_episode_is_a_data_error(spoil: Any) -> None:
    row = episode().to_json()
    spoil(row)
    with pytest.raises(DataError, match="not an Episode"):
        Episode.from_json(row)


def test_a_turn_with_an_unknown_field_is_a_data_error() -> None:
    row = episode(turns=(Turn("agent", 0, 0, 0.0, {}),)).to_json()
    row["turns"][0]["mood"] = "good"
    with pytest.raises(DataError, match="mood"):
        Episode.from_json(row)


def test_an_episode_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        episode().seed = 3  # type: ignore[misc]
