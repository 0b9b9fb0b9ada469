"""The text space takes any Unicode string up to its length."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import pytest
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st

from fogline.core.errors import ConfigurationError
from fogline.core.spaces import UnicodeText


@given(st.text())
def test_any_text_within_the_length_belongs(text: str) -> None:
    assert text in UnicodeText(max(len(text), 1))


@given(st.text(min_size=2))
def test_longer_text_does_not(text: str) -> None:
    assert text not in UnicodeText(len(text) - 1)


@pytest.mark.parametrize("value", [None, 3, b"text", ["text"], {"text": "x"}])
def test_only_text_belongs(value: Any) -> None:
    assert value not in UnicodeText(100)


def test_a_sql_statement_belongs_where_gymnasiums_own_space_refuses_it() -> None:
    assert "SELECT 1" in UnicodeText()
    assert "SELECT 1" not in spaces.Text(100)


@given(seed=st.integers(0, 2**32 - 1), length=st.integers(1, 200))
def test_samples_belong_and_repeat_by_seed(seed: int, length: int) -> None:
    one, other = UnicodeText(length, seed=seed), UnicodeText(length, seed=seed)
    drawn = [one.sample() for _ in range(5)]
    assert all(text in one for text in drawn)
    assert drawn == [other.sample() for _ in range(5)]


def test_samples_reach_every_length_and_several_scripts() -> None:
    space = UnicodeText(1000, sample_length=3, seed=0)
    drawn = [space.sample() for _ in range(400)]
    assert {len(text) for text in drawn} == {0, 1, 2, 3}
    letters = "".join(drawn)
    assert any(letter.isascii() for letter in letters)
    assert any("\u4e00" <= letter <= "\u4fff" for letter in letters)


@given(st.lists(st.text()))
def test_the_json_form_is_the_text_itself(texts: list[str]) -> None:
    space = UnicodeText(1000)
    assert space.from_jsonable(json.loads(json.dumps(space.to_jsonable(texts)))) == texts


def test_equality_is_by_length_so_that_vector_environments_accept_copies() -> None:
    space = UnicodeText(50)
    assert space == UnicodeText(50, sample_length=7)
    assert hash(space) == hash(UnicodeText(50))
    assert space != UnicodeText(51)
    assert space != spaces.Text(50)
    assert pickle.loads(pickle.dumps(space)) == copy.deepcopy(space) == space


def test_masks_and_impossible_lengths_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="max_length=0"):
        UnicodeText(0)
    with pytest.raises(ConfigurationError, match="mask"):
        UnicodeText(5).sample(mask=1)
    with pytest.raises(ConfigurationError, match="probability"):
        UnicodeText(5).sample(probability=1)


def test_membership_of_a_very_long_text_costs_no_scan() -> None:
    class Watched(str):
        def __iter__(self) -> Any:
            raise AssertionError("membership looked at the characters")

    assert Watched("x" * 100_000) in UnicodeText(200_000)


def test_text_has_no_numeric_form() -> None:
    assert UnicodeText(5).is_np_flattenable is False
    assert repr(UnicodeText(5)) == "UnicodeText(max_length=5)"
