from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from fogline.core.errors import ConfigurationError, DataError
from fogline.simulators.customers.acts import TOPICS
from fogline.simulators.customers.figures import canonical, figures
from fogline.simulators.customers.plain_text import plain
from fogline.simulators.customers.products import (
    ProductCard,
    bundled_cards,
    card_of,
    cards_of,
    describe,
    load_card,
    numbers,
    price_words,
)

DOMAINS = (
    "gym-membership",
    "home-internet",
    "language-course",
    "mobile-plan",
    "office-coffee",
    "restaurant-ads",
    "solar-panels",
    "travel-insurance",
)

Row = dict[str, Any]


def row(domain: str = "home-internet") -> Row:
    data: Row = json.loads(json.dumps(bundled_cards()[domain].model_dump()))
    return data


# What ships


def test_eight_domains_ship_in_alphabetical_order() -> None:
    assert tuple(bundled_cards()) == DOMAINS
    assert bundled_cards() is bundled_cards()


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_bundled_card_offers_what_an_act_needs(domain: str) -> None:
    card = bundled_cards()[domain]
    assert card.domain == domain
    assert len(card.benefits) >= 4 and len(card.facts) >= 4 and len(card.steps) in (2, 3)
    assert tuple(sorted(card.answers)) == tuple(sorted(TOPICS))
    assert 0 < card.offer_price <= card.price


@pytest.mark.parametrize("domain", DOMAINS)
def test_the_description_is_short_and_tells_the_offer_facts_and_steps(domain: str) -> None:
    card = bundled_cards()[domain]
    text = describe(card)
    assert len(text.split()) <= 130
    told = [card.product, card.company, card.incentive, price_words(card, card.offer_price)]
    told += [fact.text for fact in card.facts] + [step.text for step in card.steps]
    assert [part for part in told if part not in text] == []


@pytest.mark.parametrize("domain", DOMAINS)
def test_all_numbers_of_the_description_may_be_said(domain: str) -> None:
    card = bundled_cards()[domain]
    assert {figure.key for figure in figures(plain(describe(card)))} <= numbers(card)


def test_the_numbers_of_a_card_are_those_of_its_fields_facts_and_name() -> None:
    assert numbers(bundled_cards()["home-internet"]) == {
        *("34.5", "34.5 EUR", "45", "45 EUR", "14", "90", "18", "300", "2", "2 week", "3 month")
    }


def test_prices_are_worded_with_currency_and_period() -> None:
    cards = bundled_cards()
    assert price_words(cards["home-internet"], 34.5) == "34.50 euros a month"
    assert price_words(cards["travel-insurance"], 96.0) == "96 pounds a year"
    assert price_words(cards["solar-panels"], 7200.0) == "7,200 euros"


# Contradictions


def set_field(name: str, value: Any) -> Callable[[Row], None]:
    return lambda data: data.__setitem__(name, value)


def set_fact(index: int, **changes: Any) -> Callable[[Row], None]:
    return lambda data: data["facts"][index].update(changes)


def set_step(index: int, **changes: Any) -> Callable[[Row], None]:
    return lambda data: data["steps"][index].update(changes)


def set_answer(topic: str, text: str) -> Callable[[Row], None]:
    return lambda data: data["answers"].__setitem__(topic, text)


def set_benefit(text: str) -> Callable[[Row], None]:
    return lambda data: data["benefits"].__setitem__(0, text)


WRONG: dict[str, tuple[Callable[[Row], None], str]] = {
    "discount above price": (set_field("discount_price", 50.0), r"discount_price=50.0: expected at most price=45"),
    "negative price": (set_field("price", -1.0), r"price=-1.0: expected a number of at least 0"),
    "price not a number": (set_field("price", float("nan")), r"price=nan: expected a number"),
    "endless discount": (set_field("discount_price", float("inf")), r"discount_price=inf"),
    "negative trial": (set_field("trial_days", -3), r"trial_days=-3: expected 0 to 365"),
    "negative notice": (set_field("cancel_days", -1), r"cancel_days=-1"),
    "absurd age": (set_field("minimum_age", 130), r"minimum_age=130"),
    "infant buyers": (set_field("minimum_age", 3), r"minimum_age=3: expected 0 for none, or 12 to 99"),
    "unknown period": (set_field("period", "monthly"), r"period='monthly': expected one of month, year, once.*Did you"),
    "no currency code": (set_field("currency", "euro"), r"currency='euro': expected an ISO code"),
    "spaces in the domain": (set_field("domain", "home internet"), r"domain='home internet'"),
    "empty company": (set_field("company", "  "), r"company='  ': expected one line of printable text"),
    "two lines": (set_field("need", "slow\ninternet"), r"need='slow\\ninternet'"),
    "unfilled slot": (set_field("incentive", "a [gift]"), r"incentive='a \[gift\]': expected no brackets"),
    "endless benefit": (set_benefit("very " * 15 + "fast"), r"benefits\[0\].*at most 14 words, not 16"),
    "benefit twice": (set_benefit("films run in every room without a break"), r"benefits=.*no text twice"),
    "three benefits": (lambda data: data["benefits"].pop(), r"len\(benefits\)=3: expected 4 to 12"),
    "three facts": (lambda data: data.update(facts=data["facts"][:3]), r"len\(facts\)=3"),
    "one step": (lambda data: data.update(steps=data["steps"][:1]), r"len\(steps\)=1: expected 2 to 3"),
    "fact name twice": (set_fact(1, name="price"), r"facts.name='price': expected a name of its own"),
    "unknown topic": (set_fact(1, topic="costs"), r"facts\[speed\].topic='costs'.*Did you mean 'cost'\?"),
    "missing answer": (lambda data: data["answers"].pop("trust"), r"answers=.*an answer to 'trust' too"),
    "unknown answer": (set_answer("speeds", "It is quick."), r"answers='speeds'"),
    "no cue": (set_fact(1, cues=[]), r"facts\[speed\].cues=\(\): expected at least one phrase"),
    "capital cue": (set_fact(1, cues=["Megabits"]), r"cues='Megabits': expected lower-case words"),
    "empty cue": (set_fact(1, cues=["megabits", " "]), r"cues=' '"),
    "cue that finds nothing": (set_fact(1, cues=["gigabits"]), r"a text that one of its own cues finds"),
    "cue that finds another fact": (
        set_fact(1, cues=["megabits", "old line"]),
        r"facts\[speed\].cues.*not find facts\[",
    ),
    "step without its cue": (set_step(1, cues=["zip code"]), r"steps\[1\].cues"),
    "cue of another step": (set_step(1, cues=["street", "address", "morning"]), r"steps\[1\].cues"),
    "trial of another length": (
        set_fact(3, text="A free trial of 30 days comes first, and the old line stays on meanwhile."),
        r"facts\[trial\].text=.*the trial_days=14 of the card, not 30",
    ),
    "trial in weeks": (
        set_answer("testing", "You get a three week trial first."),
        r"trial_days=14 of the card, not 21",
    ),
    "notice of another length": (set_answer("rules", "Leave with 30 days' notice."), r"cancel_days=90.*not 30"),
    "another age": (set_answer("suitability", "It is for everybody aged 16 and above."), r"minimum_age=18.*not 16"),
    "second price": (
        set_fact(4, text="Our own fitters lay the cable in 2 hours; the line costs 39 euros a month."),
        r"facts\[fitting\].text=.*one of the card's prices \(34.5, 45\)",
    ),
    "second price without period": (set_answer("cost", "The line costs 40 euros."), r"one of the card's prices"),
    "another period": (set_answer("cost", "You pay 34.50 euros a year."), r"expected a price per month"),
    "another currency": (set_answer("cost", "It is 34.50 dollars a month."), r"amounts in EUR, not USD"),
    "number from nowhere": (set_benefit("pages open in 77 milliseconds"), r"benefits\[0\].*states, not 77"),
    "number in words from nowhere": (set_answer("trust", "Twelve streets have it."), r"answers\[trust\].*not 12"),
    "number in the incentive": (set_field("incentive", "a voucher of 20 euros"), r"incentive=.*not 20"),
}


@pytest.mark.parametrize("change, message", WRONG.values(), ids=WRONG)
def test_a_card_that_contradicts_itself_is_refused(change: Callable[[Row], Any], message: str) -> None:
    data = row()
    change(data)
    with pytest.raises(DataError, match=message) as caught:
        card_of(data)
    assert "card 'home" in str(caught.value)
    with pytest.raises(ValidationError, match=message):
        ProductCard.model_validate(data)


@given(price=st.floats(0, 1e6), discount=st.floats(0, 1e6))
def test_a_discount_is_refused_exactly_if_it_is_above_the_price(price: float, discount: float) -> None:
    data = row() | {"price": price, "discount_price": discount}
    data["facts"][0] |= {"text": "The line is paid by the month.", "cues": ["by the month"]}
    if discount > price:
        with pytest.raises(DataError, match=r"discount_price=.*expected at most price="):
            card_of(data)
    else:
        assert card_of(data).offer_price == discount


def test_a_number_that_a_fact_states_may_be_used_elsewhere() -> None:
    data = row()
    data["answers"]["comparison"] = "With 300 megabits nobody waits."
    assert card_of(data).answers["comparison"].startswith("With 300")


def test_a_wrong_type_or_key_is_named_with_the_field() -> None:
    with pytest.raises(DataError, match=r"price='45'.*correct it in the card"):
        card_of(row() | {"price": "45"})
    with pytest.raises(DataError, match=r"benefit=.*Did you mean 'benefits'\?"):
        card_of(row() | {"benefit": []})
    with pytest.raises(DataError, match="company"):
        card_of({name: value for name, value in row().items() if name != "company"})
    for nonsense in (None, 7, [], "card"):
        with pytest.raises(DataError):
            card_of(nonsense)


# Loading


def test_a_card_survives_json_pickle_and_copies(tmp_path: Path) -> None:
    card = bundled_cards()["solar-panels"]
    path = tmp_path / "card.json"
    path.write_text(json.dumps(card.model_dump()), encoding="utf-8")
    assert load_card(path) == card == pickle.loads(pickle.dumps(card))
    assert copy.copy(card) == copy.deepcopy(card) == card
    changed = card.model_copy(update={"company": "Another"})
    assert (changed.company, card.company) != (card.company, changed.company) and card == bundled_cards()[card.domain]
    assert hash(load_card(path)) == hash(card)
    assert card != bundled_cards()["mobile-plan"] and card != "solar-panels"
    assert repr(card) == "ProductCard('solar-panels')"


def test_cards_of_the_same_domain_with_other_words_are_different() -> None:
    card = bundled_cards()["home-internet"]
    other = card_of(row() | {"need": "slow pages"})
    assert other != card and len({card, other}) == 2


def test_a_file_that_is_no_card_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.json: cannot be read"):
        load_card(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text("{", encoding="utf-8")
    with pytest.raises(DataError, match=r"bad\.json: is not JSON"):
        load_card(tmp_path / "bad.json")
    (tmp_path / "latin.json").write_bytes(b'"\xff"')
    with pytest.raises(DataError, match=r"latin\.json: is not JSON in UTF-8"):
        load_card(tmp_path / "latin.json")
    (tmp_path / "empty.json").write_text("{}", encoding="utf-8")
    with pytest.raises(DataError, match=r"empty\.json: domain"):
        load_card(tmp_path / "empty.json")


def test_cards_are_chosen_by_name_path_folder_or_card(tmp_path: Path) -> None:
    cards = bundled_cards()
    assert cards_of() == cards_of("all") == dict(cards)
    assert list(cards_of(["solar-panels", "mobile-plan"])) == ["solar-panels", "mobile-plan"]
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(row() | {"domain": "my-line"}), encoding="utf-8")
    assert list(cards_of(path)) == list(cards_of(str(tmp_path))) == ["my-line"]
    assert list(cards_of(["mobile-plan", path])) == ["mobile-plan", "my-line"]
    assert cards_of(cards["mobile-plan"]) == {"mobile-plan": cards["mobile-plan"]}


def test_a_choice_that_means_nothing_is_refused_with_a_suggestion(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"domain='mobil-plan'.*Did you mean 'mobile-plan'\?"):
        cards_of("mobil-plan")
    with pytest.raises(ConfigurationError, match="is empty"):
        cards_of([])
    with pytest.raises(ConfigurationError, match="two cards of 'mobile-plan'"):
        cards_of(["mobile-plan", "mobile-plan"])
    with pytest.raises(DataError, match="holds no product card"):
        cards_of(tmp_path)


# Numbers and plain words


@pytest.mark.parametrize(
    "text, found",
    [
        ("It is 34.50 euros a month.", ["34.5 EUR"]),
        ("€34,50/month", ["34.5 EUR"]),
        ("34.50€", ["34.5 EUR"]),
        ("EUR 34.5", ["34.5 EUR"]),
        ("7,200 pounds", ["7200 GBP"]),
        ("7.200 euros", ["7200 EUR"]),
        ("$1,234.50", ["1234.5 USD"]),
        ("twenty-five percent off", ["25 %"]),
        ("25% or 25 %", ["25 %", "25 %"]),
        ("two hundred and fifty dollars", ["250 USD"]),
        ("a hundred euros", ["100 EUR"]),
        ("five thousand", ["5000"]),
        ("a thousand and one nights", ["1001"]),
        ("20k people", ["20000"]),
        ("1.5 million", ["1500000"]),
        ("one two three", ["1", "2", "3"]),
        ("ninety-nine", ["99"]),
        ("twenty ten", ["20", "10"]),
        ("14 days, 30-day", ["14", "30"]),
        ("call me at 3 pm, 10:30 or 5 o'clock on the 21st", []),
        ("wifi6, mp3 and q4", []),
        ("the hundreds of people and a lot", []),
        ("5G", ["5"]),
        ("0.50 and 007", ["0.5", "7"]),
        ("", []),
    ],
)
def test_numbers_are_found_in_digits_and_words(text: str, found: list[str]) -> None:
    assert [figure.key for figure in figures(plain(text))] == found


def test_money_knows_its_period_and_a_number_its_unit() -> None:
    for text in ("20 euros a month", "20 euros per month", "20€ monthly", "€20 / month", "20 euros each month"):
        assert [figure.period for figure in figures(plain(text))] == ["month"], text
    assert [figure.period for figure in figures(plain("20 euros for the month"))] == [""]
    assert [figure.unit for figure in figures(plain("14 days' notice and one day, 3."))] == ["day", "day", ""]
    assert [figure.spelled for figure in figures(plain("14 or fourteen"))] == [False, True]


@given(st.decimals(0, 10**9, places=2))
def test_a_number_has_one_canonical_form(number: Any) -> None:
    expected = canonical(number)
    assert canonical(expected) == expected
    assert canonical(f"{number:,.2f}") == expected
    assert canonical(f"{number:.2f}".replace(".", ",")) == expected


@given(st.text(max_size=300))
def test_plain_text_and_numbers_are_found_in_any_string(text: str) -> None:
    searched = plain(text)
    assert searched.startswith(" ") and searched.endswith(" ") and "   " not in searched
    assert plain(searched) == searched
    figures(searched)


def test_short_forms_marks_and_quotes_are_made_plain() -> None:
    assert plain("I'm calling – it’s 29.90€!") == " i am calling , it is 29.90 € ! "
    assert plain("We CAN'T, won't; “cannot”… A.I. risk-free") == " we can not , will not ; can not . ai risk free "
    assert plain("Let's see: you've, they'd, who'll") == " let us see : you have , they would , who will "
