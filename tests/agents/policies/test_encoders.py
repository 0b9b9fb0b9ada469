"""Observations become the vectors that Gymnasium's own flattening gives; actions and joint indices are one to one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st

from fogline.agents.agent import SeatView
from fogline.agents.policies.encoders import Choices, Encoder, SpaceEncoder, SpaceObservations
from fogline.agents.scripted.trust_sql_skills import SkillEncoder
from fogline.core.errors import ConfigurationError, DataError

VIEW = SeatView("E-v0", "", "agent", None)

discrete = st.builds(lambda n, start: spaces.Discrete(n, start=start), st.integers(1, 5), st.integers(-3, 3))
multi_discrete = st.lists(st.tuples(st.integers(1, 4), st.integers(-2, 2)), min_size=1, max_size=4).map(
    lambda pairs: spaces.MultiDiscrete([n for n, _ in pairs], start=[start for _, start in pairs])
)
multi_binary = st.sampled_from([spaces.MultiBinary(3), spaces.MultiBinary((2, 2))])
box = st.sampled_from(
    [spaces.Box(-1, 1, (2, 3)), spaces.Box(0, 255, (2,), np.uint8), spaces.Box(-1, 1, (), np.float64)]
)


def nested(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        leaves,
        lambda parts: (
            st.lists(parts, min_size=1, max_size=3).map(spaces.Tuple)
            | st.dictionaries(st.sampled_from("zyxab"), parts, min_size=1, max_size=3).map(spaces.Dict)
        ),
        max_leaves=4,
    )


choosable = nested(discrete | multi_discrete | multi_binary)


def alike(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, tuple):
        return len(one) == len(other) and all(alike(*pair) for pair in zip(one, other, strict=True))
    return np.array_equal(one, other)


# Observations


@given(nested(discrete | multi_discrete | multi_binary | box), st.integers(0, 2**31))
def test_an_observation_is_flattened_as_gymnasium_flattens_it(space: Any, seed: int) -> None:
    space.seed(seed)
    observation = space.sample()
    encoder = SpaceObservations(space)
    vector = encoder.encode((), observation)
    assert vector.dtype == np.float32
    assert encoder.features == len(vector) == spaces.flatdim(space)
    assert np.array_equal(vector, spaces.flatten(space, observation).astype(np.float32))


@pytest.mark.parametrize(
    ("space", "observation"),
    [
        (spaces.Discrete(3), 3),
        (spaces.Discrete(3, start=5), 4),
        (spaces.MultiDiscrete([2, 3]), np.array([2, 0])),
        (spaces.Box(0, 1, (3,)), np.zeros(2)),
    ],
)
def test_an_observation_outside_its_space_is_refused(space: Any, observation: Any) -> None:
    with pytest.raises(DataError):
        SpaceObservations(space).encode((), observation)


def test_an_encoded_observation_does_not_follow_the_environments_buffer_in_a_dict() -> None:
    buffer = np.zeros(2, np.float32)
    vector = SpaceObservations(spaces.Dict({"x": spaces.Box(-1, 1, (2,))})).encode((), {"x": buffer})
    buffer += 1
    assert not vector.any()


# Actions


@given(choosable, st.data())
def test_action_and_index_are_inverse(space: Any, data: st.DataObject) -> None:
    choices = Choices(space)
    assert choices.actions == math.prod(choices.sizes)
    index = data.draw(st.integers(0, choices.actions - 1))
    action = choices.action(index)
    assert space.contains(action)
    assert choices.index(action) == index


@given(choosable, st.integers(0, 2**31))
def test_every_sample_of_the_space_has_an_index(space: Any, seed: int) -> None:
    space.seed(seed)
    action = space.sample()
    assert alike(Choices(space).action(Choices(space).index(action)), action)


def test_the_first_part_leads_the_joint_index() -> None:
    choices = Choices(spaces.MultiDiscrete([3, 2, 5], start=[1, 0, 2]))
    for index in range(30):
        expected = np.add(np.unravel_index(index, (3, 2, 5)), [1, 0, 2])
        assert np.array_equal(choices.action(index), expected)


def test_a_discrete_action_is_a_number_from_its_start_on() -> None:
    encoder = SpaceEncoder(spaces.Box(0, 1, (1,)), spaces.Discrete(3, start=-1))
    assert [encoder.action(VIEW, index) for index in range(3)] == [-1, 0, 1]
    assert encoder.sizes == (3,)


def test_a_joint_action_fits_one_token_up_to_two_to_the_62() -> None:
    choices = Choices(spaces.MultiBinary(62))
    assert choices.actions == 2**62
    assert choices.action(2**62 - 1).all()
    assert choices.index(choices.action(2**61 + 1)) == 2**61 + 1
    with pytest.raises(ConfigurationError, match=r"9223372036854775808 joint actions: expected at most 2\*\*62"):
        Choices(spaces.MultiBinary(63))


def test_text_names_the_policy_that_reads_it() -> None:
    for build in (SpaceObservations, Choices):
        with pytest.raises(ConfigurationError, match="CausalLMPolicy"):
            build(spaces.Dict({"question": spaces.Text(10)}))


def test_a_space_without_a_fixed_size_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no fixed vector: expected Box, Discrete"):
        SpaceObservations(spaces.Sequence(spaces.Discrete(2)))
    with pytest.raises(ConfigurationError, match="no fixed vector: expected Discrete"):
        Choices(spaces.Box(0, 1, (2,)))


def test_skills_and_spaces_are_encoders() -> None:
    assert isinstance(SkillEncoder(), Encoder)
    assert isinstance(SpaceEncoder(spaces.Discrete(2), spaces.Discrete(2)), Encoder)
