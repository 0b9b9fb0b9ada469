"""Product cards: what a seller may say, checked for contradictions before anybody says it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fogline.core.errors import ConfigurationError, DataError, suggestion
from fogline.simulators.customers.card_checks import check_card
from fogline.simulators.customers.figures import CURRENCIES, canonical, figures
from fogline.simulators.customers.plain_text import plain

Names = Annotated[tuple[str, ...], Field(strict=False)]

_BUNDLED = Path(__file__).parent / "data" / "products"
_PERIOD_WORDS = {"month": " a month", "year": " a year", "once": ""}


class Fact(BaseModel):
    """Something true about the product.

    Attributes:
        name: Short identifier, unique in the card.
        text: One sentence that states it.
        topic: The topic that it answers, one of ``TOPICS``; empty for none.
        cues: Lower-case phrases; a turn that contains one of them states the fact.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    name: str
    text: str
    topic: str = ""
    cues: Names = ()


class Step(BaseModel):
    """One step of the operation that completes the purchase.

    Attributes:
        text: How it is explained, an imperative without full stop ("open the link in the text message").
        again: The same in other words.
        cues: Lower-case phrases that show that this step is being explained.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    text: str
    again: str
    cues: Names


class ProductCard(BaseModel):
    """A product, its offer, and all that may be said about it. No card exists that contradicts itself.

    Immutable: a copy is the card itself. Hashed by its domain, so that a card is a cheap key of a memo.

    Attributes:
        domain: Identifier, as in ``SalesDialogue-v0``'s ``domain``.
        company: Who calls.
        product: What is offered, as a noun phrase without article ("Corner Fibre 500").
        audience: Who is called ("a household with slow internet").
        price: Regular price per ``period``; 0 where it is free.
        currency: ISO code.
        period: ``month``, ``year`` or ``once``.
        discount_price: Price in the offer; at most ``price``. None for no discount.
        trial_days: Days that it can be tried for free; 0 for no trial.
        minimum_age: Youngest customer who may buy; 0 for none.
        cancel_days: Days' notice of cancellation.
        incentive: What can be offered on top, as a noun phrase.
        need: The problem that it solves, as a noun phrase ("slow evenings on the internet").
        benefits: At least four short clauses ("pages open at once even in the evening").
        facts: At least four.
        steps: Two or three.
        answers: One sentence per topic that resolves it, for all 14 topics.

    Raises:
        ValidationError: Where a value is out of its range or two of them contradict each other. :func:`load_card` and
            :func:`card_of` raise :class:`~fogline.core.errors.DataError` with the same words.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    domain: str
    company: str
    product: str
    audience: str
    price: float
    currency: str
    period: str
    discount_price: float | None = None
    trial_days: int = 0
    minimum_age: int = 0
    cancel_days: int = 0
    incentive: str
    need: str
    benefits: Names
    facts: Annotated[tuple[Fact, ...], Field(strict=False)]
    steps: Annotated[tuple[Step, ...], Field(strict=False)]
    answers: Mapping[str, str]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        check_card(self)
        return self

    def __hash__(self) -> int:
        return hash(self.domain)

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, ProductCard) and super().__eq__(other))

    def __repr__(self) -> str:
        return f"ProductCard({self.domain!r})"

    @property
    def offer_price(self) -> float:
        """What is to be paid in the offer, per ``period``."""
        return self.price if self.discount_price is None else self.discount_price

    def texts(self) -> tuple[tuple[str, str], ...]:
        """Every sentence and phrase of the card that a seller may say, each with the name of its field."""
        return (
            ("incentive", self.incentive),
            ("need", self.need),
            *((f"benefits[{index}]", text) for index, text in enumerate(self.benefits)),
            *((f"facts[{fact.name}].text", fact.text) for fact in self.facts),
            *((f"steps[{index}].text", step.text) for index, step in enumerate(self.steps)),
            *((f"steps[{index}].again", step.again) for index, step in enumerate(self.steps)),
            *((f"answers[{topic}]", text) for topic, text in self.answers.items()),
        )


def price_words(card: ProductCard, price: float) -> str:
    """A price of a card in words: "29.90 euros a month"."""
    unit = CURRENCIES.get(card.currency, (card.currency,))[0]
    return f"{_amount(price)} {unit}{_PERIOD_WORDS[card.period]}"


def _amount(price: float) -> str:
    return f"{price:,.0f}" if price == int(price) else f"{price:,.2f}"


def numbers(card: ProductCard) -> frozenset[str]:
    """Canonical numbers that a seller may say of a card.

    Each as plain digits, and with its kind where it has one: ``"29.9"`` and ``"29.9 EUR"``, ``"20"`` and ``"20 %"``.
    Durations in days are there in whole weeks, months (of 30 days) and years too: ``"2 week"``.
    """
    stated = {figure for figure in figures(plain(f"{card.product} ; {card.company}"))}
    for _, text in card.texts():
        stated.update(figures(plain(text)))
    found = {figure.value for figure in stated} | {figure.key for figure in stated}
    for price in {card.price, card.offer_price}:
        found |= {canonical(price), f"{canonical(price)} {card.currency}"}
    found |= {canonical(count) for count in (card.trial_days, card.cancel_days, card.minimum_age) if count}
    days = {int(figure.value) for figure in stated if figure.unit == "day" and figure.value.isdecimal()}
    for count in days | {card.trial_days, card.cancel_days}:
        for unit, length in (("week", 7), ("month", 30), ("year", 365)):
            if count and count % length == 0:
                found.add(f"{count // length} {unit}")
    return frozenset(found)


def describe(card: ProductCard) -> str:
    """What a seller is shown of a card before the call, in about 120 words: product, offer, facts and steps."""
    terms = [price_words(card, card.offer_price)]
    if card.discount_price is not None:
        terms.append(f"usually {_amount(card.price)}")
    if card.trial_days:
        terms.append(f"{card.trial_days} days' trial")
    if card.cancel_days:
        terms.append(f"{card.cancel_days} days' notice")
    if card.minimum_age:
        terms.append(f"from age {card.minimum_age}")
    return "\n".join(
        (
            f"{card.product} by {card.company}, against {card.need}: {', '.join(terms)}.",
            f"Extra on offer: {card.incentive}.",
            f"Facts: {' '.join(fact.text for fact in card.facts)}",
            f"Steps after a yes: {'; '.join(step.text for step in card.steps)}.",
        )
    )


def card_of(row: Any, where: str = "product card") -> ProductCard:
    """Build a card from plain data.

    Args:
        row: Mapping with the fields of :class:`ProductCard`.
        where: Where it comes from, for the error.

    Raises:
        DataError: Naming card, field, value, what is expected and the fix.
    """
    try:
        return ProductCard.model_validate(row)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"]))
        message = str(first["msg"]).removeprefix("Value error, ")
        if field:
            known = [*ProductCard.model_fields, *Fact.model_fields, *Step.model_fields]
            hint = suggestion(first["loc"][-1], known) if first["type"] == "extra_forbidden" else ""
            message = f"{field}={first['input']!r}: {message}; correct it in the card.{hint}"
        raise DataError(f"{where}: {message}") from error


def load_card(path: str | Path) -> ProductCard:
    """Read a card from a JSON file.

    Raises:
        DataError: If the file is missing or unreadable, or the card is not consistent.
    """
    path = Path(path)
    try:
        row = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror}); expected a JSON file with a product card."
        ) from error
    except ValueError as error:
        raise DataError(f"{path}: is not JSON in UTF-8 ({error}); expected one product card.") from error
    return card_of(row, str(path))


@lru_cache(maxsize=1)
def bundled_cards() -> Mapping[str, ProductCard]:
    """The cards that ship with fogline by domain, in alphabetical order."""
    cards = [load_card(path) for path in sorted(_BUNDLED.glob("*.json"))]
    return MappingProxyType({card.domain: card for card in sorted(cards, key=lambda card: card.domain)})


def cards_of(domain: str | Path | ProductCard | Sequence[str | Path | ProductCard] = "all") -> dict[str, ProductCard]:
    """Choose product cards.

    Args:
        domain: ``"all"`` bundled ones, the domain of one, a JSON file or a folder of them, a card, or several of these.

    Returns:
        Cards by domain, in the order of the choice; a folder in alphabetical order of its files.

    Raises:
        ConfigurationError: For a name that is no bundled card and no path, an empty choice, or a domain twice.
        DataError: For a file that is no consistent card.
    """
    chosen = [domain] if isinstance(domain, str | Path | ProductCard) else list(domain)
    cards: dict[str, ProductCard] = {}
    for item in chosen:
        for card in _cards_in(item):
            if card.domain in cards:
                raise ConfigurationError(f"domain={domain!r} has two cards of {card.domain!r}: expected each once.")
            cards[card.domain] = card
    if not cards:
        raise ConfigurationError(
            f"domain={domain!r} is empty: expected 'all', a name, a JSON file or a folder of them."
        )
    return cards


def _cards_in(item: str | Path | ProductCard) -> list[ProductCard]:
    bundled = bundled_cards()
    if isinstance(item, ProductCard):
        return [item]
    if item == "all":
        return list(bundled.values())
    if isinstance(item, str) and item in bundled:
        return [bundled[item]]
    path = Path(item)
    if path.is_dir():
        files = sorted(path.glob("*.json"))
        if not files:
            raise DataError(f"domain={str(item)!r} holds no product card: expected files that end in .json.")
        return [load_card(file) for file in files]
    if path.is_file():
        return [load_card(path)]
    names = ["all", *bundled]
    raise ConfigurationError(
        f"domain={str(item)!r} is neither a bundled card nor a path: expected one of {', '.join(names)}, a JSON file "
        f"or a folder of them.{suggestion(item, names)}"
    )
