"""Step 4 of policy mining: what the data say of a policy, in words.

A template does by default. A chat model may word it instead, and no more than that: a text with a number that the facts
do not hold is thrown away. Whether a number stands for what the facts say it does cannot be checked: read the texts.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal

from fogline.core.chat.errors import ContentRefused, ContextLengthExceeded
from fogline.core.chat.messages import ChatModel, ChatRequest
from fogline.simulators.merchants.cards import EvidenceCard
from fogline.simulators.merchants.columns import COLUMNS
from fogline.simulators.merchants.policies import Archetype, Policy, PolicyLibrary

LONGEST = 600
"""Characters of a text."""
_MOST_TOKENS = 400
_ASK = (
    "You describe a group of customers for a merchant, in two or three plain sentences. Use only the facts given. "
    "Copy numbers digit by digit, and use no other number, in digits or in words. Answer with the description alone."
)
_REASONING = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL)
_NUMBER = re.compile(
    r"((?<![\w%])[+\-−])?([0-9][0-9,]*(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?)(\s*(?:%|per\s?cent))?", re.IGNORECASE
)
_COLUMN = re.compile(rf"\b(?:{'|'.join(COLUMNS)})\b")
_IN_WORDS = re.compile(
    r"\b(two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|(?:thir|four|fif|six|seven|eigh|nine)teen|"
    r"(?:twen|thir|for|fif|six|seven|eigh|nine)ty|hundreds?|thousands?|millions?|dozens?|half|halves|thirds?|quarters?|"
    r"fifths?|tenths?|per\s?cent|twice|thrice|double|triple)\b",
    re.IGNORECASE,
)


def describe(archetype: Archetype, anchor: float, support: float, card: EvidenceCard) -> str:
    """The template.

    Args:
        archetype: What the policy is most like.
        anchor: Its order rate.
        support: Training rows that follow it.
        card: Evidence of its cluster.
    """
    return f"{archetype.text} {anchor:.0%} order, of {support:,.0f} like this. {card.sentence()}".strip()


@dataclass(frozen=True, slots=True)
class Wording:
    """What a chat model made of one policy.

    Attributes:
        policy: Name.
        facts: What it was told.
        answer: What it said.
        reason: Why the template's text was kept; empty where the model's is used.
    """

    policy: str
    facts: str
    answer: str
    reason: str = ""


async def reworded(
    library: PolicyLibrary,
    model: ChatModel,
    *,
    cards: Iterable[Iterable[EvidenceCard]] | None = None,
) -> tuple[PolicyLibrary, tuple[Wording, ...]]:
    """Let a chat model word a library's texts, and nothing else.

    Args:
        library: Mined policies.
        model: Who words them, at temperature 0; one call a policy.
        cards: Evidence behind each policy, :meth:`~fogline.simulators.merchants.mining.MiningReport.evidence`; None
            where there is none, as for a library that was read from a file.

    Returns:
        The library with new texts, and what became of each.

    Raises:
        ChatError: The server or the way to it failed.
    """
    evidence = [()] * len(library) if cards is None else [tuple(each) for each in cards]
    found = [await _reworded(policy, model, each) for policy, each in zip(library.policies, evidence, strict=True)]
    policies = tuple(
        policy if wording.reason else replace(policy, text=wording.answer)
        for policy, wording in zip(library.policies, found, strict=True)
    )
    return replace(library, policies=policies), tuple(found)


async def _reworded(policy: Policy, model: ChatModel, cards: Iterable[EvidenceCard]) -> Wording:
    facts = facts_of(policy, cards)
    messages = ({"role": "system", "content": _ASK}, {"role": "user", "content": facts})
    try:
        reply = await model.complete(ChatRequest(messages, temperature=0.0, max_tokens=_MOST_TOKENS))
    except (ContentRefused, ContextLengthExceeded) as error:
        return Wording(policy.name, facts, "", f"the model did not answer: {error}")
    answer = " ".join(_REASONING.sub("", reply.text).split())
    if reply.finish_reason == "length":
        return Wording(policy.name, facts, answer, "the answer was cut off")
    return Wording(policy.name, facts, answer, fault_of(answer, facts))


def facts_of(policy: Policy, cards: Iterable[EvidenceCard] = ()) -> str:
    """Everything a model is told: numbers and names of columns, nobody's data."""
    low, high = policy.anchor_interval
    lines = [
        f"Kind: {policy.name}. {policy.text}",
        f"Order rate {policy.anchor:.0%}, likely {low:.0%} to {high:.0%}, at {policy.merchants_n:,} merchants.",
        f"Share who came before and look at little: {policy.habit_share:.0%}.",
        *(f"They have {condition}." for condition in policy.when),
        *(f"They leave for {breaker}." for breaker in policy.deal_breakers),
    ]
    for card in cards:
        lines += [f"Ordered against left: {name} {difference:+.2f} sd." for name, difference in card.contrasts]
        for path, rate, rows in card.rules:
            lines.append(
                f"Where {' and '.join(map(str, path)) or 'nothing else is asked'}: {rate:.0%} of {rows:,} order."
            )
    return "\n".join(lines)


def fault_of(text: str, facts: str) -> str:
    """Why a text may not stand for its facts; empty where it may."""
    if not text:
        return "the answer is empty"
    if len(text) > LONGEST:
        return f"the answer has {len(text)} characters: expected at most {LONGEST}"
    odd = [sign for sign in text if unicodedata.category(sign).startswith("N") and sign not in "0123456789"]
    if odd:
        return f"{odd[0]!r} is no plain digit"
    text, facts = _COLUMN.sub("", text), _COLUMN.sub("", facts)
    known = {_value(*found) for found in _NUMBER.findall(facts)}
    for sign, digits, percent in _NUMBER.findall(text):
        signs = (sign,) if sign else ("+", "-")
        if not any(_value(each, digits, percent) in known for each in signs):
            return f"{sign + digits + percent!r} is not in the facts"
    words = _IN_WORDS.search(_NUMBER.sub("", text))
    return f"{words[0]!r} is a number in words" if words else ""


def _value(sign: str, digits: str, percent: str) -> tuple[Decimal, bool]:
    """A number, and whether it is a percentage."""
    value = Decimal(digits.replace(",", ""))
    return (-value if sign in ("-", "−") else value), bool(percent)
