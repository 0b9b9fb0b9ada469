"""The rule customer's words: complete, various, free of slots, of numbers and of what gives a machine away."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path

import pytest

from fogline.core.errors import DataError
from fogline.simulators.customers import wording
from fogline.simulators.customers.acts import CUSTOMER_ACTS, TOPICS
from fogline.simulators.customers.mind import STYLES
from fogline.simulators.customers.products import ProductCard, bundled_cards
from fogline.simulators.customers.wording import MEANINGS, OBJECT, TOPIC_GISTS, book_of

PAGES = [(meaning, "", style) for meaning in MEANINGS if meaning != OBJECT for style in STYLES] + [
    (OBJECT, topic, style) for topic in TOPICS for style in STYLES
]
MACHINE = ("as an ai", "language model", "assist you", "processing", "certainly!", "how may i help", "valid input")


@pytest.fixture(scope="module")
def card() -> ProductCard:
    return bundled_cards()["home-internet"]


def test_every_public_act_can_be_meant_and_nothing_else() -> None:
    assert {entry.act for entry in MEANINGS.values()} == set(CUSTOMER_ACTS)
    assert set(TOPIC_GISTS) == set(TOPICS)


def test_only_completion_converts_and_only_breaking_off_hangs_up() -> None:
    statuses = {entry.act: entry.status for entry in MEANINGS.values() if entry.status != "continue"}
    assert {act for act, status in statuses.items() if status == "converted"} == {"complete"}
    assert {act for act, status in statuses.items() if status == "hung_up"} == {"hang_up"}
    assert all(entry.act != "agree" or entry.status == "continue" for entry in MEANINGS.values())


@pytest.mark.parametrize("page", PAGES, ids="-".join)
def test_each_meaning_has_three_wordings_or_more_in_every_manner(page: tuple[str, str, str], card: ProductCard) -> None:
    sentences = book_of(card).page(*page)
    assert len(set(sentences)) == len(sentences) >= 3


@pytest.mark.parametrize("domain", bundled_cards())
def test_no_wording_shows_a_slot_a_number_or_a_machine(domain: str) -> None:
    book = book_of(bundled_cards()[domain])
    names = (bundled_cards()[domain].product, bundled_cards()[domain].company)
    for page in PAGES:
        for sentence in book.page(*page):
            bare = sentence
            for name in names:
                bare = bare.replace(name, "")
            assert not re.search(r"[{}\[\]_\d]", bare), sentence
            assert not any(phrase in sentence.lower() for phrase in MACHINE), sentence


def test_no_wording_of_one_topic_is_a_wording_of_another(card: ProductCard) -> None:
    book = book_of(card)
    for first, second in itertools.combinations(TOPICS, 2):
        assert not set(book.page(OBJECT, first, "plain")) & set(book.page(OBJECT, second, "plain"))
        assert not set(book.page(OBJECT, first, "curt")) & set(book.page(OBJECT, second, "curt"))


def test_a_chatty_customer_says_the_plain_words_and_more(card: ProductCard) -> None:
    book = book_of(card)
    plain, chatty = book.page("pleased", "", "plain"), book.page("pleased", "", "chatty")
    assert len(chatty) >= 3 * len(plain)
    assert all(any(said.endswith(f" {words}") for words in plain) for said in chatty)


def test_a_product_has_one_book_and_its_pages_are_made_once(card: ProductCard) -> None:
    assert book_of(card) is book_of(card)
    assert book_of(card).page("agree", "", "curt") is book_of(card).page("agree", "", "curt")
    assert book_of(card) is not book_of(bundled_cards()["mobile-plan"])


def test_a_table_with_too_few_wordings_is_refused_by_its_place(tmp_path: Path) -> None:
    table = json.loads(wording._SENTENCES.read_text(encoding="utf-8"))
    table["topics"]["cost"]["curt"] = ["Too dear.", "Too dear."]
    path = tmp_path / "few.json"
    path.write_text(json.dumps(table), encoding="utf-8")
    with pytest.raises(DataError, match=r"few.json has 1 wordings at topics/cost/curt: expected 3"):
        wording._load(path)
