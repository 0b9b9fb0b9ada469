"""Similarity of sentences and turns against its definition (DuCA specification, section 6)."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fogline.simulators.customers.similarity import (
    SENTENCES_COMPARED,
    Sentence,
    inner,
    measure_inner,
    measure_overlap,
    overlap,
    prepare,
    similarity,
    split_sentences,
)

ANYTHING = st.text(st.characters(), max_size=60)
WORDS = ["the", "offer", "costs", "19.90", "a", "month", "für", "Ünal", "ñ", "价格", "😀", "don’t", ".", "!", "?"]
FEW_WORDS = st.lists(st.sampled_from(WORDS), max_size=14)
TEXTS = ANYTHING | FEW_WORDS.map(" ".join)


@dataclass(frozen=True, eq=False)
class Words:
    sentences: tuple[Sentence, ...]
    whole: Sentence


def turn(text: str) -> Words:
    return Words(split_sentences(text), prepare(text))


def texts(text: str) -> list[str]:
    return [sentence.text for sentence in split_sentences(text)]


def plain_similarity(first: Sentence, second: Sentence) -> float:
    """The definition, by a table and by counting."""
    if not first.text or not second.text:
        return 0.0

    def grams(text: str) -> set[str]:
        return {text[i : i + 3] for i in range(len(text) - 2)} if len(text) >= 3 else {text}

    one, two = grams(first.text), grams(second.text)
    jaccard = sum(gram in two for gram in one) / len([*one, *(gram for gram in two if gram not in one)])
    a, b = first.tokens, second.tokens
    table = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            table[i + 1][j + 1] = table[i][j] + 1 if x == y else max(table[i][j + 1], table[i + 1][j])
    return max(jaccard, 2 * table[-1][-1] / (len(a) + len(b)) if a or b else 0.0)


@given(TEXTS, TEXTS)
def test_similarity_is_its_definition_symmetric_and_bounded(first: str, second: str) -> None:
    a, b = prepare(first), prepare(second)
    assert similarity(a, b) == plain_similarity(a, b) == similarity(b, a)
    assert 0.0 <= similarity(a, b) <= 1.0


@given(*[st.lists(st.integers(0, 3), min_size=65, max_size=300)] * 2)
def test_long_turns_are_compared_beyond_the_machine_word(first: list[int], second: list[int]) -> None:
    a, b = (prepare(" ".join(f"word{number}" for number in numbers)) for numbers in (first, second))
    assert similarity(a, b) == plain_similarity(a, b)


@given(TEXTS)
def test_an_equal_text_is_wholly_similar_and_an_empty_one_not_at_all(text: str) -> None:
    sentence = prepare(text)
    assert similarity(sentence, prepare(text)) == (1.0 if sentence.text else 0.0)
    assert similarity(sentence, prepare("")) == 0.0


@pytest.mark.parametrize(
    ("first", "second", "value"),
    [
        ("abcd", "abce", 1 / 3),  # {abc, bcd} and {abc, bce}
        ("one two three four", "four three two one", 12 / 20),  # 16 grams each, 12 shared; one word in order is 1/4
        ("a b c d", "a x b y", 2 * 2 / 8),  # the subsequence a b
        ("hi", "hi!", 1.0),  # the same word
        ("ab", "cd", 0.0),
        ("HELLO   there", "hello there", 1.0),
        ("don’t", "don't", 1.0),
    ],
)
def test_values_by_hand(first: str, second: str, value: float) -> None:
    assert similarity(prepare(first), prepare(second)) == pytest.approx(value)


def test_a_sentence_is_prepared_as_documented() -> None:
    sentence = prepare("  It’s 19.90 EUR\n a month! ")
    assert sentence.text == "it's 19.90 eur a month!"
    assert sentence.tokens == ("it's", "19.90", "eur", "a", "month")
    assert sentence.opener == "it's 19.90 eur"
    assert {"it'", "t's", "th!"} <= sentence.trigrams
    assert len(sentence.trigrams) == len("it's 19.90 eur a month!") - 2
    assert prepare("ok").trigrams == {"ok"} and not prepare(" ").trigrams


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("One. Two! Three? Four… Five", ["one.", "two!", "three?", "four...", "five"]),
        ("It costs 19.90 a month. Or 1,200.50 a year.", ["it costs 19.90 a month.", "or 1,200.50 a year."]),
        ("Mr. Smith, e.g. at 5 p.m. today? J. Doe", ["mr. smith, e.g. at 5 p.m. today?", "j. doe"]),
        ("We close at 5 p.m. Call us.", ["we close at 5 p.m.", "call us."]),
        ("See No. 5 now. No. I will not.", ["see no. 5 now.", "no.", "i will not."]),
        ("So do I. You too.", ["so do i.", "you too."]),
        ("1. Open the link. 2. Tap it.", ["1. open the link.", "2. tap it."]),
        ("It was 19. We go. ok. then", ["it was 19.", "we go.", "ok.", "then"]),
        ("Visit example.com now.Then wait?!Yes", ["visit example.com now.", "then wait?!", "yes"]),
        ('He said "Go." (Really!) Now', ['he said "go."', "(really!)", "now"]),
        ("first line\nsecond\r\n\nthird\u2028fourth", ["first line", "second", "third", "fourth"]),
        ("Wait... what", ["wait...", "what"]),
        ("你好。再见！", ["你好。", "再见!"]),
        ("... !!! 😀", []),
        ("", []),
    ],
)
def test_sentences_end_where_a_reader_ends_them(text: str, pieces: list[str]) -> None:
    assert texts(text) == pieces


@given(TEXTS)
def test_splitting_is_total_and_loses_no_word(text: str) -> None:
    words = [token for sentence in split_sentences(text) for token in sentence.tokens]
    assert "".join(words) == "".join(prepare(text).tokens)


@given(FEW_WORDS.map(" ".join), FEW_WORDS.map(" ".join))
def test_a_remembered_overlap_is_the_fresh_one(first: str, second: str) -> None:
    later, earlier = turn(first), turn(second)
    assert overlap(later, earlier) == overlap(later, earlier) == measure_overlap(later, earlier)
    assert inner(later) == inner(later) == measure_inner(later)


def test_only_comparable_sentences_count_and_the_most_alike_pair_decides() -> None:
    later = turn("You can cancel at any time. Yes, of course. Please take your time.")
    earlier = turn("Please take your time. Yes, of course. You can cancel at any time, today.")
    found = measure_overlap(later, earlier)
    expected = similarity(later.sentences[0], earlier.sentences[2])
    assert found.sentence == pytest.approx(expected) and 0.8 < expected < 1.0
    assert found.echoes == (expected, 1.0, 1.0)
    assert found.whole == similarity(later.whole, earlier.whole)


@pytest.mark.parametrize(
    ("text", "comparable"),
    [
        ("Buy it now.", False),
        ("Please buy it now.", True),
        ("Please take your time!", False),
        ("Hello, how are you today?", False),
        ("Hello, how are you today, shall we start?", True),
    ],
)
def test_short_sentences_and_exact_courtesies_may_be_repeated(text: str, comparable: bool) -> None:
    assert prepare(text).comparable is comparable
    assert measure_overlap(turn(text), turn(text)).sentence == float(comparable)


def test_repetition_within_a_turn_looks_backwards_only() -> None:
    found = measure_inner(turn("The offer ends this week. Shall I go on? The offer ends this week."))
    assert found.sentence == 1.0 and found.whole == 0.0
    assert found.echoes[0] == 0.0 and found.echoes[2] == 1.0
    assert measure_inner(turn("The offer ends this week.")).sentence == 0.0


def test_sentences_beyond_the_fortieth_are_not_compared() -> None:
    filler = " ".join(f"Item {number} has its own remarkable word{number}." for number in range(SENTENCES_COMPARED))
    last = " You can cancel at any time."
    found = measure_overlap(turn(filler + last), turn(last))
    assert len(found.echoes) == SENTENCES_COMPARED and found.sentence < 0.5
    assert measure_overlap(turn(last + filler), turn(last)).sentence == 1.0


def test_no_sentence_no_overlap() -> None:
    assert measure_overlap(turn(""), turn("You can cancel at any time.")) == (0.0, 0.0, ())
    assert measure_inner(turn("")) == (0.0, 0.0, ())
