from __future__ import annotations

from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fogline.envs.object_presence.answers import MAX_REPLY, mme_answer, pope_answer, read_answer, written


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ("yes", True),
        ("Yes.", True),
        (" YES!\n", True),
        ("**Yes**", True),
        ("y", True),
        ("true", True),
        ("Yes, there is a red square in the image.", True),
        ("Yes, no doubt about it.", True),
        ("I think yes", True),
        ("There is a red square in the top left corner.", True),
        ("The image contains a cup. There is no fork.", True),
        ("I can see it clearly", True),
        ("A cup is visible", True),
        ("ｙｅｓ", True),
        ("I'm not sure. Yes.", True),
        ("no", False),
        ("No.", False),
        ("N", False),
        ("No, I am not sure I see one", False),
        ("There is no red square in the image.", False),
        ("There isn’t one.", False),
        ("I do not see a cup in this picture; yes, a fork", False),
        ("I cannot see any", False),
        ("The picture shows nothing of the kind", False),
        ("That is false", False),
        ("", None),
        ("red square", None),
        ("Yes or no?", None),
        ("maybe", None),
        ("No idea", None),
        ("I am not entirely sure", None),
        ("I cannot tell", None),
        ("It's hard to say", None),
        ("banana notation yesterday", None),
        ("...", None),
        ("yes" + " " * MAX_REPLY, None),
    ],
)
def test_yes_and_no_are_read_out_of_sentences(reply: str, said: bool | None) -> None:
    assert read_answer(reply) is said


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ("Yes", True),
        ("", True),
        ("banana", True),
        ("No", False),
        ("no, there is none", False),
        ("There is not", False),
        ("Yes. No.", True),
        ("NO", True),
        ("No\n", True),
        ("There is no, cup", False),
    ],
)
def test_pope_reads_the_words_before_the_first_full_stop(reply: str, said: bool) -> None:
    assert pope_answer(reply) is said


@pytest.mark.parametrize(
    ("reply", "said"),
    [("Yes", True), ("yes, it is", True), ("No.", False), (" no", False), ("The answer is yes", None), ("", None),
     ("Nothing", False), ("It is", None)],
)  # fmt: skip
def test_mme_reads_the_first_four_letters(reply: str, said: bool | None) -> None:
    assert mme_answer(reply) is said


@given(st.text() | st.text(alphabet="yesno t'cau.\n\ud800’", max_size=200))
def test_any_reply_is_read_by_every_reading(reply: str) -> None:
    assert read_answer(reply) in (True, False, None)
    assert pope_answer(reply) in (True, False)
    assert mme_answer(reply) in (True, False, None)


@given(st.sampled_from(["yes", "no"]), st.sampled_from(["", ".", "!", " ", "\n"]), st.booleans())
def test_a_bare_answer_is_read_alike_by_all(word: str, end: str, capital: bool) -> None:
    reply = (word.capitalize() if capital else word) + end
    assert read_answer(reply) is mme_answer(reply) is (word == "yes")
    if end in ("", ".", " "):
        assert pope_answer(reply) is (word == "yes")


@pytest.mark.parametrize("piece", ["no ", "not ", "there is ", "i ", "can't ", "a.", "'", "\n", "image a "])
def test_a_long_reply_takes_time_in_proportion(piece: str) -> None:
    start = perf_counter()
    read_answer((piece * MAX_REPLY)[:MAX_REPLY])
    assert perf_counter() - start < 1.0


def test_answers_are_written_as_they_are_reported() -> None:
    assert [written(answer) for answer in (True, False, None)] == ["yes", "no", ""]
