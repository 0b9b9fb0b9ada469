"""What makes a product card consistent: ranges, completeness, cues that find their own text, numbers that agree."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain
from math import isfinite
from typing import TYPE_CHECKING, Any

from fogline.core.errors import DataError, suggestion
from fogline.simulators.customers.acts import TOPICS
from fogline.simulators.customers.figures import CURRENCIES, Figure, canonical, figures
from fogline.simulators.customers.plain_text import plain

if TYPE_CHECKING:
    from fogline.simulators.customers.products import ProductCard

PERIODS = ("month", "year", "once")
LONGEST_TEXT = 24
"""Words of a fact or an answer, so that a turn that states it stays a turn."""
LONGEST_PHRASE = 14
"""Words of any other text of a card."""

_Owner = tuple[str, tuple[str, ...], tuple[str, ...]]

_DOMAIN = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_CODE = re.compile(r"[A-Z]{3}")
_DAYS = {"day": 1, "week": 7, "month": 30, "year": 365}

# Plain text before a number that makes it a price.
_PRICE_BEFORE = re.compile(
    r" (?:prices?(?: is| of)?|costs?|pays?|charged?|fee(?: is| of)?)(?: only| just)? (?:[€$£¥] )?$"
)

_SPAN = r"(?P<count>\w+) (?P<unit>day|week|month|year)s?'?"
_MEANINGS: dict[str, tuple[re.Pattern[str], ...]] = {
    "trial_days": (
        re.compile(rf" {_SPAN} (?:of )?(?:free )?trial "),
        re.compile(rf" trial (?:of|for|lasts) {_SPAN} "),
        re.compile(rf" free (?:of charge )?for {_SPAN} "),
        re.compile(rf" {_SPAN} (?:for )?free "),
    ),
    "cancel_days": (
        re.compile(rf" {_SPAN} (?:of )?notice "),
        re.compile(rf" notice (?:of|is) {_SPAN} "),
    ),
    "minimum_age": (
        re.compile(r" (?:minimum age|age) (?:is |of )?(?P<count>\w+) "),
        re.compile(r" (?:aged|older than) (?P<count>\w+) "),
        re.compile(r" (?P<count>\w+) (?:years? old|years of age|or older|or over) "),
    ),
}
"""Plain text that states a field of the card, by field."""


def check_card(card: ProductCard) -> None:
    """Refuse a card that is incomplete, out of range or contradicts itself.

    Raises:
        DataError: Naming the card, the field, the value, what is expected and the fix; the first problem only.
    """
    for check in (_check_texts, _check_values, _check_lists, _check_answers, _check_cues, _check_stated, _check_known):
        check(card)


def _fail(card: ProductCard, field: str, value: Any, expected: str, fix: str) -> DataError:
    return DataError(f"card {card.domain!r}: {field}={value!r}: expected {expected}; {fix}.")


def _check_texts(card: ProductCard) -> None:
    if not _DOMAIN.fullmatch(card.domain):
        raise _fail(card, "domain", card.domain, "lower-case words joined by hyphens", "rename it")
    for field in ("company", "product", "audience", "incentive", "need"):
        _check_text(card, field, getattr(card, field), LONGEST_PHRASE)
    for field, text in card.texts():
        long = field.startswith(("facts", "answers"))
        _check_text(card, field, text, LONGEST_TEXT if long else LONGEST_PHRASE)


def _check_text(card: ProductCard, field: str, text: str, longest: int) -> None:
    words = len(text.split())
    if not any(map(str.isalpha, text)) or not text.isprintable() or text != text.strip():
        raise _fail(card, field, text, "one line of printable text", "write it out")
    if set(text) & set("[]{}<>"):
        raise _fail(card, field, text, "no brackets, which would be read as an unfilled slot", "fill the slot")
    if words > longest:
        raise _fail(card, field, text, f"at most {longest} words, not {words}", "shorten it")


def _check_values(card: ProductCard) -> None:
    for field in ("price", "discount_price"):
        value = getattr(card, field)
        if value is not None and not (isfinite(value) and value >= 0):
            raise _fail(card, field, value, "a number of at least 0", "correct the price")
    if card.discount_price is not None and card.discount_price > card.price:
        expected = f"at most price={card.price:g}"
        raise _fail(card, "discount_price", card.discount_price, expected, "lower it, or raise the price")
    for field, low, high in (("trial_days", 0, 365), ("cancel_days", 0, 730), ("minimum_age", 0, 99)):
        value = getattr(card, field)
        if not low <= value <= high:
            raise _fail(card, field, value, f"{low} to {high}", "correct it")
    if 0 < card.minimum_age < 12:
        raise _fail(card, "minimum_age", card.minimum_age, "0 for none, or 12 to 99", "correct it")
    if card.period not in PERIODS:
        hint = suggestion(card.period, PERIODS)
        raise _fail(card, "period", card.period, f"one of {', '.join(PERIODS)}", f"choose one{hint.rstrip('?')}")
    if not _CODE.fullmatch(card.currency):
        raise _fail(card, "currency", card.currency, "an ISO code of three capitals", "write EUR, USD or alike")


def _check_lists(card: ProductCard) -> None:
    for field, low, high in (("benefits", 4, 12), ("facts", 4, 12), ("steps", 2, 3)):
        count = len(getattr(card, field))
        if not low <= count <= high:
            raise _fail(card, f"len({field})", count, f"{low} to {high}", "add or remove some")
    names = [fact.name for fact in card.facts]
    for fact in card.facts:
        if names.count(fact.name) > 1 or not fact.name.strip():
            raise _fail(card, "facts.name", fact.name, "a name of its own for every fact", "rename one")
        if fact.topic and fact.topic not in TOPICS:
            hint = suggestion(fact.topic, TOPICS)
            expected = f"empty or one of {', '.join(TOPICS)}.{hint}"
            raise _fail(card, f"facts[{fact.name}].topic", fact.topic, expected, "choose a known topic")
    if len(set(card.benefits)) < len(card.benefits):
        raise _fail(card, "benefits", card.benefits, "no text twice", "reword one")


def _check_answers(card: ProductCard) -> None:
    for topic in card.answers:
        if topic not in TOPICS:
            expected = f"one of {', '.join(TOPICS)}.{suggestion(topic, TOPICS)}"
            raise _fail(card, "answers", topic, expected, "rename the topic")
    for topic in TOPICS:
        if topic not in card.answers:
            raise _fail(card, "answers", sorted(card.answers), f"an answer to {topic!r} too", "write it")


def _check_cues(card: ProductCard) -> None:
    owners: list[_Owner] = [(f"facts[{fact.name}]", fact.cues, (fact.text,)) for fact in card.facts]
    _check_cue_lists(card, owners)
    _check_cue_lists(card, [(f"steps[{i}]", step.cues, (step.text, step.again)) for i, step in enumerate(card.steps)])


def _check_cue_lists(card: ProductCard, owners: list[_Owner]) -> None:
    for field, cues, _ in owners:
        if not cues:
            raise _fail(card, f"{field}.cues", cues, "at least one phrase", "take it from the text")
        for cue in cues:
            if not plain(cue).strip() or cue != cue.lower() or cue != cue.strip():
                raise _fail(card, f"{field}.cues", cue, "lower-case words", "write the phrase in lower case")
    for field, _, texts in owners:
        for text in texts:
            searched = plain(text)
            found = [name for name, cues, _ in owners if any(plain(cue) in searched for cue in cues)]
            if field not in found:
                raise _fail(card, f"{field}.cues", text, "a text that one of its own cues finds", "add such a cue")
            if len(found) > 1:
                other = next(name for name in found if name != field)
                raise _fail(card, f"{other}.cues", text, f"cues that do not find {field}", "choose narrower cues")


def _check_stated(card: ProductCard) -> None:
    """Numbers whose meaning can be seen agree with the fields."""
    for field, text in card.texts():
        searched = plain(text)
        for figure in figures(searched):
            _check_money(card, field, text, figure, searched)
        for name, patterns in _MEANINGS.items():
            for said in chain.from_iterable(_said(pattern, searched) for pattern in patterns):
                if said != getattr(card, name):
                    expected = f"the {name}={getattr(card, name)} of the card, not {said}"
                    raise _fail(card, field, text, expected, "correct one of the two")


def _check_money(card: ProductCard, field: str, text: str, figure: Figure, searched: str) -> None:
    if figure.kind not in CURRENCIES:
        return
    if figure.kind != card.currency:
        raise _fail(card, field, text, f"amounts in {card.currency}, not {figure.kind}", "convert one of the two")
    prices = {canonical(card.price), canonical(card.offer_price)}
    if figure.period:
        if figure.period != card.period:
            raise _fail(card, field, text, f"a price per {card.period}", "state it per the card's period")
        is_price = True
    else:
        is_price = any(
            _PRICE_BEFORE.search(searched[: found.start() + 1])
            for found in re.finditer(rf"(?= {re.escape(_as_said(figure, searched))} )", searched)
        )
    if is_price and figure.value not in prices:
        raise _fail(
            card, field, text, f"one of the card's prices ({', '.join(sorted(prices))})", "correct one of the two"
        )


def _as_said(figure: Figure, searched: str) -> str:
    return next((word for word in searched.split() if word[0].isdecimal() and canonical(word) == figure.value), "")


def _said(pattern: re.Pattern[str], searched: str) -> Iterator[int]:
    for found in pattern.finditer(searched):
        groups = found.groupdict()
        for figure in figures(f" {groups['count']} "):
            if figure.value.isdecimal():
                yield int(figure.value) * _DAYS[groups.get("unit") or "day"]


def _check_known(card: ProductCard) -> None:
    """Every other number comes from a field or a fact."""
    fields = (card.price, card.offer_price, card.trial_days, card.cancel_days, card.minimum_age)
    known = {canonical(value) for value in fields}
    stated = chain((card.product, card.company), (fact.text for fact in card.facts))
    known |= {figure.value for text in stated for figure in figures(plain(text))}
    known |= {str(int(days) // length) for days in fields[2:] for length in (7, 30) if days and days % length == 0}
    for field, text in card.texts():
        for figure in figures(plain(text)):
            # "One" is a pronoun as often as a number.
            if figure.value not in known and not (figure.spelled and figure.value == "1"):
                expected = f"only numbers that a field or a fact of the card states, not {figure.value}"
                raise _fail(card, field, text, expected, "state it in a fact, or leave it out")
