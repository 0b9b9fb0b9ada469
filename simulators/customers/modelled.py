"""The modelled customer: a chat model plays the whole customer and says in tags what it does.

Source: DuCA specification, section 5.3 (a role-play model that answers in tags). What makes a sale is not left to the
model alone: a latch asks for an agreement in one reply, all steps reported after it, and completion in a later one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from fogline.core.chat.messages import ChatModel, ChatReply, Message
from fogline.simulators.customers.acts import CUSTOMER_ACTS, TOPICS
from fogline.simulators.customers.chat_side import ChatCustomer, ReplyFault, Voice, heard_text, spoken, voice_of
from fogline.simulators.customers.customer import Reply, Status
from fogline.simulators.customers.mind import Start
from fogline.simulators.customers.products import ProductCard
from fogline.simulators.customers.scenarios import Scenario
from fogline.simulators.customers.speech import Heard
from fogline.simulators.customers.tags import SCALES, Tagged, parse
from fogline.simulators.customers.wording import TOPIC_GISTS

RINGING = "(The phone rings.)"
"""What stands for the seller's turn before there is one."""
SILENCE = "(Nothing that can be understood.)"

_RULES = (
    "You play a customer who is called on the phone. The other side sells; you are never the seller and never offer "
    "anything.\n"
    "{who}\n"
    "The call: {company} rings you about {product}, which is meant against {need}. More than that you only know once "
    "you are told.{machine}\n"
    "{buying}\n"
    "Each reply is one line of tags: {format}\n"
    "act is one of {acts}. topic is what you bring up, one of {topics}, or stays empty. step counts the steps that you "
    "have done. trust goes from 0 to 5, emotion from 0 (angry) to 3, cooperation from 0 to 4: how you feel now. status "
    "is 0 while you stay on the line, -1 when you put the phone down, 1 when the purchase is complete. say holds your "
    "words, one to three sentences."
)
_BUYER = (
    "You can be won, if what you have on your mind is settled and you trust the caller: then answer with agree. A yes "
    "is not the purchase: after it there are {steps} steps, which the caller explains. Report each with step_done, or "
    "not_done where it fails. Only after all of them, in a reply of its own, answer complete with status 1."
)
_NO_BUYER = (
    "You do not buy in this call. No argument, gift or pressure changes that: put the caller off, refuse or hang up, "
    "but never answer agree or complete, and never give status 1."
)
_TOLD = " You have been told that an AI is calling; where it seems to read from a script, answer accuse_ai."
_UNTOLD = " Where the caller seems to be a machine, ask with ask_is_ai."
_FORMAT = Tagged("ACT", "WORDS", "TOPIC", 0, 0, 0, 0, 0).text().replace(">0<", ">NUMBER<")

_MANNERS: Mapping[str, str] = {
    "curt": "You say little, often a few words.",
    "plain": "You speak plainly and to the point.",
    "chatty": "You like to talk and stray from the subject.",
}
_MOODS = ("badly annoyed", "a little annoyed", "calm", "in a good mood")
_TRUST = ("hardly at all", "little", "to a degree", "readily")
_WILLING = ("unwilling", "rather unwilling", "fairly willing", "willing")
_NEED = ("that hardly troubles you", "that troubles you a little", "that troubles you", "that troubles you a lot")
_MONEY = ("is very tight", "is rather tight", "allows it", "is no matter")

_ASKS_AGAIN = re.compile(
    r"(?:^|[.!?,]\s*|\bplease\s+|\byou\s+)(?:say|explain|repeat|go over|run through|tell me) (?:that|it|this)"
    r"(?: \w+){0,3} (?:again|once more)\b"
    r"|(?:^|[.!?,]\s*|\bplease\s+|\byou\s+)(?:repeat|rephrase) (?:that|it|this)\b"
    r"|\b(?:once|one) more time, please\b|\bwhat was that\b|\bpardon\b"
    r"|\bi (?:didn't|did not|couldn't|could not) (?:quite |really )?(?:catch|follow|hear|get|understand)\b",
    re.IGNORECASE,
)


class Character(NamedTuple):
    """Who is played, as the model is told it. Latent, but for the traits.

    Attributes:
        traits: What everybody can notice, in sentences.
        concerns: What the seller cannot see, in sentences.
        is_buyer: Whether the customer can be won at all.
    """

    traits: str
    concerns: str
    is_buyer: bool

    def __repr__(self) -> str:
        return "Character(latent)"


def character_of(start: Start, card: ProductCard) -> Character:
    """Put a customer before the call into words."""
    traits = f"Who you are: {card.audience}, {start.age} years old. {_MANNERS[start.style]}"
    points = "; ".join(TOPIC_GISTS[topic] for topic in start.objections)
    parts = (
        "What nobody but you knows:",
        f"You are {_MOODS[round(start.emotion)]} (emotion {start.emotion:g}).",
        f"You trust callers {_grade(start.trust / 5, _TRUST)} (trust {start.trust:g}).",
        f"You are {_grade(start.cooperation / 4, _WILLING)} to go along (cooperation {start.cooperation:g}).",
        f"As for {card.need}: {_grade(start.need, _NEED)}.",
        f"Money {_grade(start.budget_fit, _MONEY)}.",
        f"You have time for about {start.patience} answers.",
        f"On your mind, to be raised one by one and dropped once it is settled: {points}." if points else "",
        "You half expect a machine." if start.suspicion > 0.5 else "",
    )
    return Character(traits, " ".join(part for part in parts if part), start.is_buyer)


def _grade(share: float, words: tuple[str, str, str, str]) -> str:
    return words[min(int(share * 4), 3)]


def play_rules(card: ProductCard, character: Character, *, disclosed: bool = True) -> str:
    """The system prompt of a modelled customer."""
    steps = len(card.steps)
    return _RULES.format(
        who=f"{character.traits}\n{character.concerns}",
        company=card.company,
        product=card.product,
        need=card.need,
        machine=_TOLD if disclosed else _UNTOLD,
        buying=_BUYER.format(steps=steps) if character.is_buyer else _NO_BUYER,
        format=_FORMAT,
        acts=", ".join(CUSTOMER_ACTS),
        topics=", ".join(TOPICS),
    )


def shown(words: str) -> str:
    """A seller's turn as the model reads it."""
    return heard_text(words) or SILENCE


class ModelCustomer(ChatCustomer):
    """A customer that a chat model plays.

    The conversation is the system prompt of :func:`play_rules`, the seller's turns as the user's messages and the
    customer's replies, in clean tags, as the assistant's. A reply that breaks the part is counted in ``faults`` and
    asked for again with another seed: what :func:`~fogline.simulators.customers.tags.parse` refuses, what
    :func:`~fogline.simulators.customers.chat_side.spoken` refuses, ``contradiction`` (``complete`` without status 1 or
    the reverse), ``premature_conversion`` (status 1 without an earlier ``agree`` and all steps reported),
    ``non_buyer_agreed`` and ``non_buyer_converted``.

    Args:
        card: What is sold.
        character: Who is played.
        model: Who plays.
        rng: Decides the sampling seeds.
        disclosed: Whether the call is opened with the words that an AI calls.
        most_words: Longest reply; a longer one ends at its last sentence that fits.
        options: Keywords of :class:`~fogline.simulators.customers.chat_side.Voice` where ``model`` is none.
    """

    def __init__(
        self,
        card: ProductCard,
        character: Character,
        model: ChatModel | Voice,
        rng: np.random.Generator,
        *,
        disclosed: bool = True,
        most_words: int = 60,
        **options: Any,
    ) -> None:
        super().__init__(voice_of(model, options), rng)
        self._company = card.company
        self._steps = len(card.steps)
        self._is_buyer = character.is_buyer
        self._most_words = most_words
        self._messages: list[Message] = [
            {"role": "system", "content": play_rules(card, character, disclosed=disclosed)},
        ]
        self._state: dict[str, float] = {}
        self._agreed = False
        self._step = 0
        self._introduced = False

    async def _open(self) -> Reply:
        return await self._play(RINGING, "", goodbye=False)

    async def _hear(self, heard: Heard) -> Reply:
        said = heard.utterance
        self._introduced = self._introduced or not {"greet", "verify_identity"}.isdisjoint((said.act, *said.acts))
        return await self._play(shown(said.text), said.text, goodbye=said.act == "goodbye")

    async def _play(self, turn: str, words: str, *, goodbye: bool) -> Reply:
        self._messages.append({"role": "user", "content": turn})

        def read(reply: ChatReply) -> Tagged:
            tagged = parse(reply.text)
            self._check(tagged)
            text = spoken(
                tagged.say,
                cut=reply.finish_reason == "length",
                most_words=self._most_words,
                company=self._company,
                prompt=self._messages[:1],
                heard=heard_text(words),
            )
            return Tagged(
                tagged.act,
                text,
                tagged.topic,
                self._reported(tagged),
                tagged.trust,
                tagged.emotion,
                tagged.cooperation,
                tagged.status,
            )

        tagged = await self._line.say(self._messages, read)
        self._messages.append({"role": "assistant", "content": tagged.text()})
        return self._settled(tagged, goodbye)

    def _check(self, tagged: Tagged) -> None:
        """Refuse what the part does not allow; the latch of the specification's section 4."""
        completes = tagged.status == 1
        if completes and not self._is_buyer:
            raise ReplyFault("non_buyer_converted")
        if tagged.act == "agree" and not self._is_buyer:
            raise ReplyFault("non_buyer_agreed")
        if completes != (tagged.act == "complete"):
            raise ReplyFault("contradiction", f"{tagged.act} with status {tagged.status}")
        if completes and not (self._agreed and self._step >= self._steps):
            raise ReplyFault("premature_conversion")

    def _reported(self, tagged: Tagged) -> int:
        """Steps reported as done after this reply. They count from the agreement on."""
        if not self._agreed:
            return 0
        if tagged.act == "step_done":
            counted = self._step + 1 if tagged.step is None else max(tagged.step, self._step)
            return min(counted, self._steps)
        if tagged.act == "not_done":
            # What failed after the last step was one of them.
            return min(self._step, self._steps - 1, self._steps if tagged.step is None else tagged.step)
        return self._step

    def _settled(self, tagged: Tagged, goodbye: bool) -> Reply:
        """Take a sound reply into the state, and show what everybody can see of it."""
        for name in SCALES:
            value = getattr(tagged, name)
            if value is not None:
                self._state[name] = value
        self._agreed = self._agreed or tagged.act == "agree"
        self._step = tagged.step or 0
        stage = (3 if self._step >= self._steps else 2) if self._agreed else int(self._introduced)
        repeat = tagged.topic == "comprehension" or _ASKS_AGAIN.search(tagged.say) is not None
        return Reply(tagged.say, tagged.act, tagged.topic, stage, self._step, repeat, _status(tagged, goodbye))


def _status(tagged: Tagged, goodbye: bool) -> Status:
    if tagged.status == 1:
        return "converted"
    if tagged.status == -1 or tagged.act == "hang_up":
        return "hung_up"
    return "ended" if goodbye or tagged.act == "callback" else "continue"


def model_customer(
    scenario: Scenario,
    rng: np.random.Generator,
    *,
    model: ChatModel | Voice,
    disclosed: bool = True,
    **options: Any,
) -> ModelCustomer:
    """The customer of a scenario, played by a model.

    Args:
        scenario: Who is called about what.
        rng: Decides the sampling seeds of this call.
        model: Who plays. Hand in one :class:`~fogline.simulators.customers.chat_side.Voice` for all customers of an
            environment: a bare model gets one for each customer, with a check of its own.
        disclosed: Whether the call is opened with the words that an AI calls.
        options: ``most_words``, and keywords of ``Voice`` for a bare model.
    """
    character = character_of(scenario.start, scenario.card)
    return ModelCustomer(scenario.card, character, model, rng, disclosed=disclosed, **options)
