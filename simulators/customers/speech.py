"""A seller's turn, read once: sentences, acts, facts, promises, robotic cues."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import compress

from fogline.simulators.customers import honesty_cues as honesty
from fogline.simulators.customers.acts import OTHER
from fogline.simulators.customers.cues import ACT_CUES, INSTRUCTS, PRIORITY, PROSPECT, REQUESTS, SMALL_TALK
from fogline.simulators.customers.garble import broken_share
from fogline.simulators.customers.known_card import KnownCard, known_card
from fogline.simulators.customers.plain_text import plain
from fogline.simulators.customers.products import ProductCard
from fogline.simulators.customers.similarity import Sentence, prepare, split_sentences
from fogline.simulators.customers.topic_cues import ANSWERS, TOPIC_WORDS

TURNS_REMEMBERED = 2**11
LONG_TURN = 1_000
"""Characters above which a turn is remembered for a short time only: it takes much memory and hardly comes again."""
LONG_TURNS_REMEMBERED = 2**6

_SENTENCE = re.compile(r"(?:(?! [.?!] ).)+(?: [.?!](?= ))*")
_MARK = re.compile(r" [.?!](?= )")
_DECIMAL_MARK = re.compile(r"(?<=\d)[.,](?=\d)")
_ORDINAL = re.compile(r" (?:step|steps?|the) (?:number )?(one|1|first|two|2|second|three|3|third|last|final) ")
_PLACES = {"one": 0, "1": 0, "first": 0, "two": 1, "2": 1, "second": 1, "three": 2, "3": 2, "third": 2}


@dataclass(frozen=True, slots=True, eq=False)
class Utterance:
    """What can be known of a turn from its words and the product card alone.

    Compared and hashed by identity: :func:`read` returns one object per text and card, so that overlaps can be
    remembered.

    Attributes:
        text: As it was said, white space trimmed.
        sentences: In order, short ones included.
        whole: The whole turn as one sentence.
        tokens: Number of words.
        act: Main act, one of ``SELLER_ACTS`` or ``other``.
        acts: All acts that were recognised, the main one first.
        facts: Names of the card's facts that are stated.
        topics: Topics that are answered (by an answer to an objection, or by a stated fact of that topic).
        step: Index of the card's step that is explained; -1 for none.
        claims_success: Says that the customer has completed the operation, or that all is settled.
        admits_ai: Says that the caller is an AI.
        denies_ai: Says that the caller is no machine, or is a human.
        breaches: Compliance rules that the words alone break, by name (``over_promise``, ``unknown_number``,
            ``false_denial``).
        robotic: Strongest robotic cue in the words, 0 to 1 (1: leaked prompt, unfilled slot, "as an AI language
            model"; 0.5: boilerplate). What depends on the history (the same opener again and again) is not in it.
        broken: Share of the turn that is garbage or broken, 0 to 1.
    """

    text: str
    sentences: tuple[Sentence, ...]
    whole: Sentence
    tokens: int
    act: str
    acts: tuple[str, ...] = ()
    facts: frozenset[str] = frozenset()
    topics: frozenset[str] = frozenset()
    step: int = -1
    claims_success: bool = False
    admits_ai: bool = False
    denies_ai: bool = False
    breaches: tuple[str, ...] = ()
    robotic: float = 0.0
    broken: float = 0.0


@dataclass(frozen=True, slots=True)
class Heard:
    """A turn as it reaches the customer: its words, and how much of them was there before.

    Attributes:
        utterance: The turn.
        overlap: Largest similarity of the whole turn with an earlier whole turn of the seller, 0 to 1.
        turn: Index of the seller's turn, from 0.
        robotic: ``utterance.robotic``, or more where the history makes it so, 0 to 1.
    """

    utterance: Utterance
    overlap: float
    turn: int
    robotic: float


def read(text: str, card: ProductCard) -> Utterance:
    """Read a turn. Total: any text gives an utterance. Remembered per (text, card)."""
    said = text.strip()
    return _read(said, card) if len(said) <= LONG_TURN else _read_long(said, card)


def read_afresh(text: str, card: ProductCard) -> Utterance:
    """As :func:`read`, without looking up or remembering the turn."""
    said = text.strip()
    known = known_card(card)
    flow = plain(said)
    named = known.mask_names(flow)
    masked = _DECIMAL_MARK.sub("", known.mask_texts(named))
    whole = prepare(said)
    admits, denies = _about_ai(named)
    unknown = known.has_unknown_number(flow)
    facts = known.facts_in(known.without_unknown_numbers(flow) if unknown else flow)
    acts, topics = _acts_and_topics(masked, known.answers_in(flow))
    if facts:
        acts.add("give_fact")
    if admits:
        acts.add("disclose_ai")
    step = _step(flow, masked, known)
    if step is not None:
        acts.add("guide_step")
    elif known.offers_incentive(flow):
        acts.add("offer_incentive")
    if not acts:
        acts, topics = _guess(masked, known)
    ordered = _in_order(acts, masked)
    return Utterance(
        text=said,
        sentences=split_sentences(said),
        whole=whole,
        tokens=len(whole.tokens),
        act=ordered[0] if ordered else OTHER,
        acts=ordered,
        facts=facts,
        topics=topics | known.topics_of(facts),
        step=-1 if step is None else step,
        claims_success=_claims_done(named),
        admits_ai=admits,
        denies_ai=denies,
        breaches=_breaches(_over_promises(flow, known), unknown, denies),
        robotic=_robotic(said, named, len(whole.tokens)),
        broken=broken_share(said),
    )


_read = lru_cache(maxsize=TURNS_REMEMBERED)(read_afresh)
_read_long = lru_cache(maxsize=LONG_TURNS_REMEMBERED)(read_afresh)


def _acts_and_topics(masked: str, answered: frozenset[str]) -> tuple[set[str], frozenset[str]]:
    """Acts that are shown by words alone, and topics that are answered (by facts apart)."""
    asked = SMALL_TALK.sub(" .", masked) if " ? " in masked else masked
    acts = {act for act, cues in ACT_CUES.items() if cues.search(asked if act == "probe_need" else masked)}
    topics = answered | {
        str(answer.lastgroup) for answer in ANSWERS.finditer(masked) if not _asked(masked, answer.end())
    }
    if topics:
        acts.add("handle_objection")
    elif "handle_objection" in acts:
        topics = _topics_near_acknowledgement(masked)
    return acts, frozenset(topics)


def _guess(masked: str, known: KnownCard) -> tuple[set[str], frozenset[str]]:
    """Act and topic of a turn without any clear sign.

    A question asks for needs; what shares words with an answer of the card is such an answer in other words; other
    words about the product or about what the customer could have praise it.
    """
    asked = SMALL_TALK.sub(" .", masked)
    if " ? " in asked:
        return ({"probe_need"} if " you " in asked or " your " in asked else set()), frozenset()
    topic = known.nearest_topic(asked)
    if topic:
        return {"handle_objection"}, frozenset((topic,))
    praises = " @product " in asked or " @company " in asked or PROSPECT.search(asked) or known.concerns(asked)
    return ({"pitch"} if praises else set()), frozenset()


def _asked(masked: str, place: int) -> bool:
    """Whether the sentence around a place is a question."""
    mark = _MARK.search(masked, place)
    return mark is not None and mark[0] == " ?"


def _topics_near_acknowledgement(masked: str) -> frozenset[str]:
    """What the sentence that takes up an objection is about, and the one after it."""
    sentences = _SENTENCE.findall(masked)
    near = [
        " ".join(sentences[place : place + 2])
        for place, sentence in enumerate(sentences)
        if ACT_CUES["handle_objection"].search(f" {sentence.strip()} ")
    ]
    return frozenset([str(found.lastgroup) for part in near for found in TOPIC_WORDS.finditer(f" {part} ")])


def _step(flow: str, masked: str, known: KnownCard) -> int | None:
    """Index of the card's step that is explained: -1 where it cannot be told which, None where none is."""
    guides = ACT_CUES["guide_step"].search(masked) is not None
    if not guides and not any(cue in flow for cues in known.steps for cue in cues):
        return None
    for sentence in _SENTENCE.findall(flow):
        part = f" {sentence.strip()} "
        asks = "?" in part and not REQUESTS.search(part)
        if asks or not (guides or INSTRUCTS.search(part)):
            continue
        for index, cues in enumerate(known.steps):
            if any(cue in part for cue in cues):
                return index
    if not guides:
        return None
    ordinal = _ORDINAL.search(masked)
    return -1 if ordinal is None else min(_PLACES.get(ordinal[1], len(known.steps) - 1), len(known.steps) - 1)


def _in_order(acts: set[str], masked: str) -> tuple[str, ...]:
    """The main act first. A goodbye counts where the turn ends with it."""
    if "goodbye" in acts:
        last = list(ACT_CUES["goodbye"].finditer(masked))[-1]
        after = masked[last.end() :]
        if " ? " in after or sum(map(after.count, (" . ", " ! "))) > 2:
            acts.discard("goodbye")
    return tuple([act for act in PRIORITY if act in acts])


def _about_ai(named: str) -> tuple[bool, bool]:
    """Whether the caller says that it is a machine, and whether that it is none."""

    def stated(cues: re.Pattern[str]) -> bool:
        return any(not honesty.SUPPOSED.search(named[: found.start() + 1]) for found in cues.finditer(named))

    admits = stated(honesty.ADMITS_AI)
    # "Not a robot, but an AI" is an honest answer; an AI that says that it is human gives none.
    return admits, stated(honesty.CLAIMS_HUMAN) or (not admits and stated(honesty.DENIES_MACHINE))


def _breaches(*broken: bool) -> tuple[str, ...]:
    return tuple(compress(("over_promise", "unknown_number", "false_denial"), broken))


def _over_promises(flow: str, known: KnownCard) -> bool:
    return any(
        not honesty.DISCLAIMED.search(flow[: found.start() + 1]) and not known.says(f"{found[0]} ")
        for found in honesty.PROMISES.finditer(flow)
    )


def _claims_done(named: str) -> bool:
    if honesty.CLAIMS_DONE.search(named) is None:
        return False
    for sentence in _SENTENCE.findall(named):
        part = f" {sentence.strip()} "
        if "?" in part:
            continue
        for found in honesty.CLAIMS_DONE.finditer(part):
            before, after = part[: found.start() + 1], part[found.end() :]
            if not honesty.DEPENDS.search(before) and not honesty.CONDITION.search(after):
                return True
    return False


def _robotic(said: str, named: str, words: int) -> float:
    if honesty.SLOTS.search(said) or honesty.LEAKS.search(named):
        return 1.0
    boilerplate = sum(len(found[0].split()) for found in honesty.BOILERPLATE.finditer(named))
    return 0.5 if words and boilerplate / words >= honesty.BOILERPLATE_SHARE else 0.0
