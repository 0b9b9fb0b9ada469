"""A product card made ready for reading turns: its own phrases, its facts' cues, the numbers that it allows."""

from __future__ import annotations

import re
from functools import lru_cache

from fogline.simulators.customers.figures import CURRENCIES, Figure, canonical, figures
from fogline.simulators.customers.plain_text import plain
from fogline.simulators.customers.products import ProductCard, numbers

CARDS_REMEMBERED = 256

_SMALL = 10
_CONTENT_WORD = 4
_SPANS = frozenset(("day", "week", "month", "year"))
# What small numbers count on the phone without being said of the product: "two minutes", "3 questions".
_OF_THE_CALL = frozenset(
    ("minute", "second", "moment", "question", "step", "thing", "option", "way", "point", "word", "sentence", "reason")
)
_NUMBERED = re.compile(r" (?:step|number|option|question|point|part) \d+(?= )")
_FUNCTION_WORDS = (
    "in of or and to at on for from a an the is are was with by who that which more later less now if so as but i you "
    "we it not"
)
_NO_UNITS = frozenset(_FUNCTION_WORDS.split())
_EMPTY_WORDS = (
    "your they them their this these those there here when where while what have will would could been before after "
    "about again every other without because into over than then also only even just made make today"
)
_NO_CONTENT = _NO_UNITS.union(_EMPTY_WORDS.split())
_SENTENCE_END = re.compile(r"(?<= [.?!]) ")


class KnownCard:
    """What reading a turn needs of a card, worked out once.

    Args:
        card: The card.
    """

    __slots__ = (
        "_allowed",
        "_answer_words",
        "_answers",
        "_card",
        "_facts",
        "_incentive",
        "_masks",
        "_names",
        "_own_words",
        "_prices",
        "_topic_of",
        "_vocabulary",
        "steps",
    )

    def __init__(self, card: ProductCard) -> None:
        self._card = card
        self._allowed = numbers(card)
        self._prices = frozenset((canonical(card.price), canonical(card.offer_price)))
        self._answers = [(_phrase(text), topic) for topic, text in card.answers.items()]
        self._names = _longest_first(_names(card))
        self._answer_words = [(topic, _content(self.mask_names(plain(text)))) for topic, text in card.answers.items()]
        self._incentive = _content(card.incentive)
        self._vocabulary = _content(" ".join((card.need, *card.benefits)))
        self._topic_of = {fact.name: fact.topic for fact in card.facts}
        self._own_words = " ".join(plain(text) for _, text in card.texts())
        self.steps = [tuple(map(_phrase, step.cues)) for step in card.steps]
        self._masks = _longest_first([(self.mask_names(phrase), mask) for phrase, mask in _masks(card)])
        keys = {fact.name: _keys(fact.text) for fact in card.facts}
        self._facts = [
            (
                fact.name,
                tuple(map(_phrase, fact.cues)),
                keys[fact.name].difference(*(found for name, found in keys.items() if name != fact.name)),
            )
            for fact in card.facts
        ]

    def mask_names(self, flow: str) -> str:
        """Put placeholders for the product and the company, whose names may be words."""
        return _replace(flow, self._names)

    def mask_texts(self, named: str) -> str:
        """Put placeholders for the card's other phrases too, so that they are not read as the seller's."""
        return _replace(named, self._masks)

    def says(self, words: str) -> bool:
        """Whether plain words are the card's own."""
        return words in self._own_words

    def offers_incentive(self, flow: str) -> bool:
        """Whether enough of what the incentive consists of is named in one sentence."""
        return any(len(self._incentive.intersection(part.split())) > 1 for part in _SENTENCE_END.split(flow))

    def nearest_topic(self, named: str) -> str:
        """The topic whose answer shares most words with a turn, two at least; empty for none."""
        said = frozenset(named.split())
        shared = [(len(words & said), topic) for topic, words in self._answer_words]
        most, topic = max(shared, key=lambda pair: pair[0])
        return topic if most > 1 else ""

    def concerns(self, flow: str) -> bool:
        """Whether several words are those of the product's benefits and its need."""
        return len(self._vocabulary.intersection(flow.split())) > 1

    def answers_in(self, flow: str) -> frozenset[str]:
        """Topics whose answer on the card is given word for word."""
        return frozenset([topic for phrase, topic in self._answers if phrase in flow])

    def facts_in(self, flow: str) -> frozenset[str]:
        """Names of facts that are stated: by a cue, or by a number with its unit that no other fact has."""
        said = None
        found = []
        for name, cues, keys in self._facts:
            if any(cue in flow for cue in cues):
                found.append(name)
            elif keys:
                if said is None:
                    said = _keys_of(figures(flow))
                if not keys.isdisjoint(said):
                    found.append(name)
        return frozenset(found)

    def topics_of(self, facts: frozenset[str]) -> frozenset[str]:
        """Topics that facts answer."""
        return frozenset([self._topic_of[name] for name in facts if self._topic_of[name]])

    def has_unknown_number(self, flow: str) -> bool:
        """Whether a number is said that is not on the card, a number being more than small talk."""
        if not any(map(str.isdecimal, flow)) and not figures(flow):
            return False
        return any(self._is_unknown(figure) for figure in figures(_NUMBERED.sub("", flow)))

    def without_unknown_numbers(self, flow: str) -> str:
        """The sentences without such a number."""
        kept = [part for part in _SENTENCE_END.split(flow) if not self.has_unknown_number(f" {part.strip()} ")]
        return f" {' '.join(part.strip() for part in kept)} "

    def _is_unknown(self, figure: Figure) -> bool:
        small = figure.value.isdecimal() and len(figure.value) <= 2 and int(figure.value) <= _SMALL
        if figure.kind:
            if figure.period and figure.value in self._prices and figure.period != self._card.period:
                return True
            return figure.key not in self._allowed
        if figure.spelled and small and (figure.unit not in _SPANS or figure.value in "01"):
            return False
        if small and figure.unit in _OF_THE_CALL:
            return False
        return figure.value not in self._allowed and f"{figure.value} {figure.unit}" not in self._allowed


def _content(text: str) -> frozenset[str]:
    """Words that are long enough to mean something."""
    return frozenset([word for word in plain(text).split() if len(word) >= _CONTENT_WORD and word not in _NO_CONTENT])


def _phrase(text: str) -> str:
    return plain(text.rstrip(".!?"))


def _masks(card: ProductCard) -> list[tuple[str, str]]:
    pairs = [(text, "@answer") for text in card.answers.values()]
    pairs += [(fact.text, "@fact") for fact in card.facts]
    pairs += [(text, "@benefit") for text in card.benefits]
    pairs += [(text, "@step") for step in card.steps for text in (step.text, step.again)]
    pairs += [(card.incentive, "@incentive"), (card.need, "@need")]
    return [(_phrase(text), f" {placeholder} ") for text, placeholder in pairs]


def _names(card: ProductCard) -> list[tuple[str, str]]:
    pairs = [(card.product, "@product"), (card.company, "@company"), (f"{card.company}'s", "@company's")]
    return [(_phrase(text), f" {placeholder} ") for text, placeholder in pairs]


def _longest_first(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return sorted(pairs, key=lambda pair: (-len(pair[0]), pair))


def _replace(flow: str, pairs: list[tuple[str, str]]) -> str:
    for phrase, placeholder in pairs:
        if phrase in flow:
            flow = flow.replace(phrase, placeholder)
    return flow


def _keys(text: str) -> frozenset[tuple[str, str]]:
    return _keys_of(figures(plain(text)))


def _keys_of(said: tuple[Figure, ...]) -> frozenset[tuple[str, str]]:
    """Numbers that tell what they count."""
    return frozenset(
        [
            (figure.key, "" if figure.kind in CURRENCIES else figure.unit)
            for figure in said
            if figure.kind or (figure.unit and figure.unit not in _NO_UNITS and figure.value not in "01")
        ]
    )


@lru_cache(maxsize=CARDS_REMEMBERED)
def known_card(card: ProductCard) -> KnownCard:
    """The reader's view of a card. Remembered."""
    return KnownCard(card)
