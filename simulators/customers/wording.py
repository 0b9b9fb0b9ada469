"""What a customer can mean, and how the rule customer says it: finite tables, three manners of speech.

A meaning is finer than a public act ("answer" can tell of much need or of little), and public: the words say it.
The sentences lie in ``data/wording/customer.json``: per meaning, and per topic for what is objected, those of a curt
customer and those of a plain one. A chatty customer puts an opener in front of the latter.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

from fogline.core.errors import DataError
from fogline.simulators.customers.acts import TOPICS
from fogline.simulators.customers.customer import Status
from fogline.simulators.customers.mind import STYLES
from fogline.simulators.customers.products import ProductCard

Tone = Literal["warm", "even", "cold"]

OBJECT = "object"
"""The meaning that is worded by topic."""

_SENTENCES = Path(__file__).parent / "data" / "wording" / "customer.json"
_FEWEST = 3


class Meaning(NamedTuple):
    """One thing that a customer can mean.

    Attributes:
        act: Its public act.
        gist: What is meant, in plain words, for a model that words it.
        tone: How it sounds; chooses a chatty customer's openers.
        status: What it does to the call.
        asks_repeat: Whether it asks to hear something again.
    """

    act: str
    gist: str
    tone: Tone
    status: Status = "continue"
    asks_repeat: bool = False


MEANINGS: Mapping[str, Meaning] = {
    OBJECT: Meaning("object", "bring up a point of your own", "even"),
    "opened": Meaning("answer_call", "pick up the phone", "even"),
    "greeted": Meaning("answer", "return the greeting and ask what it is about", "even"),
    "identified": Meaning("answer", "confirm that you are the right person", "even"),
    "need_strong": Meaning("interest", "say that the problem bothers you a lot", "warm"),
    "need_some": Meaning("answer", "say that the problem bothers you now and then", "even"),
    "need_weak": Meaning("answer", "say that it is hardly a problem for you", "even"),
    "asked_before": Meaning("answer", "say that you have answered such a question already", "even"),
    "pleased": Meaning("interest", "show interest", "warm"),
    "lukewarm": Meaning("neutral", "stay non-committal", "even"),
    "cool": Meaning("neutral", "show little willingness without refusing", "cold"),
    "cleared": Meaning("neutral", "say that your point is answered", "warm"),
    "soothed": Meaning("neutral", "accept the kind words and calm down", "warm"),
    "complain": Meaning("complain", "complain about how the call is going", "cold"),
    "refuse": Meaning("refuse", "refuse clearly", "cold"),
    "refuse_again": Meaning("refuse", "repeat that you have refused", "cold"),
    "do_not_call": Meaning("do_not_call", "demand not to be called again", "cold"),
    "ask_is_ai": Meaning("ask_is_ai", "ask sincerely whether you are talking to a machine", "even"),
    "accuse_ai": Meaning("accuse_ai", "say that the caller sounds like a machine that reads a script", "cold"),
    "candour": Meaning("neutral", "accept the honest answer about the machine", "even"),
    "agree": Meaning("agree", "agree to take the offer", "warm"),
    "agreed_already": Meaning("neutral", "say that you have agreed already and want to get it done", "even"),
    "step_done": Meaning("step_done", "report that you have done the step", "even"),
    "step_alone": Meaning("step_done", "report that you went on and did the next step on your own", "even"),
    "done_already": Meaning("neutral", "say that this step is behind you", "even"),
    "stuck": Meaning(
        "not_done", "report that the step did not work and ask how it goes again", "even", asks_repeat=True
    ),
    "other_step": Meaning("not_done", "say that you are not that far yet", "even"),
    "noticed": Meaning("not_done", "notice that a step you reported as done was not done", "even"),
    "what_next": Meaning("neutral", "wait to be told the next step", "even"),
    "complete": Meaning("complete", "confirm that everything is completed and say goodbye", "warm", "converted"),
    "callback": Meaning("callback", "ask to be called another time and end the call", "even", "ended"),
    "hesitate": Meaning("neutral", "hesitate to decide", "even"),
    "too_early": Meaning("neutral", "say that you have not agreed to anything yet", "even"),
    "again": Meaning(
        "neutral", "say that you could not make that out and ask to hear it again", "even", asks_repeat=True
    ),
    "waiting": Meaning("neutral", "wonder what the caller wants", "even"),
    "hang_up": Meaning("hang_up", "break off the call", "cold", "hung_up"),
    "farewell": Meaning("neutral", "say goodbye in return", "even", "ended"),
}

TOPIC_GISTS: Mapping[str, str] = {
    "identity": "ask who is calling and on whose behalf",
    "trust": "say that you are wary and wonder whether this is genuine",
    "cost": "object to the price or ask what it costs in the end",
    "rules": "ask about terms: notice, contract, conditions",
    "suitability": "doubt that the product suits somebody like you",
    "information": "ask for solid information before you go on",
    "operation": "ask how it would work in practice, what you would have to do",
    "comprehension": "say that you did not follow and ask to hear it again",
    "comparison": "compare with what you have now or with another provider",
    "testing": "ask whether you can try it first",
    "history": "bring up a bad experience in the past",
    "boundary": "object to being called or asked such things",
    "progress": "ask where this is going and how much longer it takes",
    "detail": "insist on one small detail",
}


class Book:
    """The sentences of one product's customers, filled in once."""

    __slots__ = ("_pages", "_slots")

    def __init__(self, slots: Mapping[str, str]) -> None:
        self._slots = dict(slots)
        self._pages: dict[tuple[str, str, str], tuple[str, ...]] = {}

    def page(self, meaning: str, topic: str, style: str) -> tuple[str, ...]:
        """All wordings of a meaning in one of ``STYLES``; for ``object``, those of the topic."""
        key = (meaning, topic if meaning == OBJECT else "", style)
        page = self._pages.get(key)
        if page is None:
            page = self._pages[key] = tuple(sentence.format_map(self._slots) for sentence in _templates(*key))
        return page


def book_of(card: ProductCard) -> Book:
    """The sentences of the customers of a product. Remembered."""
    return _book(card.company, card.product, card.need, card.incentive)


@lru_cache(maxsize=256)
def _book(company: str, product: str, need: str, incentive: str) -> Book:
    return Book({"company": company, "product": product, "need": need, "incentive": incentive})


def _templates(meaning: str, topic: str, style: str) -> tuple[str, ...]:
    table = _load(_SENTENCES)
    entry = table["topics"][topic] if meaning == OBJECT else table["meanings"][meaning]
    if style != STYLES[2]:
        return tuple(entry[style])
    return tuple(f"{opener} {said}" for said in entry["plain"] for opener in table["openers"][MEANINGS[meaning].tone])


@lru_cache(maxsize=4)
def _load(path: Path) -> dict[str, Any]:
    """Read the sentences.

    Raises:
        DataError: Where a meaning, topic, manner or tone has fewer than three wordings.
    """
    table: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    entries = [("meanings", name, manner) for name in MEANINGS if name != OBJECT for manner in STYLES[:2]]
    entries += [("topics", name, manner) for name in TOPICS for manner in STYLES[:2]]
    found = {(part, name, manner): table[part].get(name, {}).get(manner, ()) for part, name, manner in entries}
    found |= {("openers", entry.tone, ""): table["openers"].get(entry.tone, ()) for entry in MEANINGS.values()}
    for (part, name, manner), wordings in found.items():
        if len(set(wordings)) < _FEWEST:
            raise DataError(
                f"{path.name} has {len(set(wordings))} wordings at {part}/{name}/{manner}: expected {_FEWEST} or more."
            )
    return table
