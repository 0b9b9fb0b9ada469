"""The JSON form of observations and actions loses nothing."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fogline.core.errors import DataError
from fogline.core.jsonable import from_jsonable, to_jsonable

DTYPES = st.one_of(
    hnp.boolean_dtypes(),
    hnp.integer_dtypes(endianness="?"),
    hnp.unsigned_integer_dtypes(endianness="?"),
    hnp.floating_dtypes(endianness="?"),
    hnp.unicode_string_dtypes(max_len=5),
)
ARRAYS = hnp.arrays(DTYPES, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
PLAIN = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(), st.binary())
KEYS = st.one_of(st.text(), st.integers(), st.just("__kind__"))
VALUES = st.recursive(
    PLAIN | ARRAYS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(KEYS, inner, max_size=4),
    ),
    max_leaves=8,
)


def same(one: Any, other: Any) -> bool:
    """Equal in type, content, dtype, shape and NaNs."""
    if isinstance(one, np.ndarray):
        return (
            isinstance(other, np.ndarray)
            and one.dtype == other.dtype
            and one.shape == other.shape
            and one.tobytes() == other.tobytes()
        )
    if type(one) is not type(other):
        return False
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    return bool(one == other)


@given(VALUES)
def test_json_text_gives_back_the_very_value(value: Any) -> None:
    assert same(from_jsonable(json.loads(json.dumps(to_jsonable(value)))), value)


@pytest.mark.parametrize(
    "scalar",
    [np.float32(0.1), np.float64(0.1), np.int8(-3), np.uint64(2**63), np.bool_(True), np.str_("é"), np.str_("")],
)
def test_numpy_scalars_stay_numpy_scalars(scalar: Any) -> None:
    back = from_jsonable(json.loads(json.dumps(to_jsonable(scalar))))
    assert type(back) is type(scalar)
    assert back == scalar


def test_nan_and_infinities_survive_in_arrays() -> None:
    array = np.array([np.nan, np.inf, -np.inf, -0.0], dtype=np.float32)
    assert from_jsonable(json.loads(json.dumps(to_jsonable(array)))).tobytes() == array.tobytes()


def test_a_restored_array_can_be_written_to() -> None:
    array = from_jsonable(to_jsonable(np.zeros(3)))
    array[0] = 1.0
    assert array.tolist() == [1.0, 0.0, 0.0]


def test_arrays_in_any_memory_order_keep_their_content() -> None:
    array = np.asfortranarray(np.arange(6).reshape(2, 3))[:, ::-1]
    assert np.array_equal(from_jsonable(to_jsonable(array)), array)


@pytest.mark.parametrize("value", [object(), {1, 2}, 1j, np.array([object()]), np.zeros(2, dtype=[("a", "i4")])])
def test_what_would_be_lost_is_refused_by_type(value: Any) -> None:
    with pytest.raises(DataError, match=r"has no JSON form|cannot be stored"):
        to_jsonable(value)


def test_keys_that_only_look_alike_are_kept_apart() -> None:
    value = {1: "int", "1": "text"}
    assert from_jsonable(json.loads(json.dumps(to_jsonable(value)))) == value
