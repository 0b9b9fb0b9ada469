"""The worded customer: the rule engine owns state and decisions, a chat model only puts them into words.

Source: DuCA specification, section 5.3. Conversion stays reproducible: with one seed, the acts of this customer are
those of the rule customer, whatever the model says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from fogline.core.chat.messages import ChatModel, ChatReply, Message
from fogline.core.errors import check_choice
from fogline.simulators.customers.chat_side import ChatCustomer, Voice, heard_text, spoken, voice_of
from fogline.simulators.customers.customer import Reply
from fogline.simulators.customers.mind import STYLES
from fogline.simulators.customers.products import ProductCard
from fogline.simulators.customers.rules import Decision
from fogline.simulators.customers.scenarios import Scenario, make_rule_customer
from fogline.simulators.customers.speech import Heard

_RULES = (
    "You are the voice of somebody who is on the phone with {company} about {product}. What that person means is "
    "decided; you find the words for it. {manner} Do not speak for the caller, sell nothing, and name no price or "
    "promise of your own. Write the spoken words alone."
)
_MANNERS: Mapping[str, str] = {
    "curt": "The person is short of words: a handful at most.",
    "plain": "The person talks plainly: one sentence, two at most.",
    "chatty": "The person likes to talk: two or three sentences, with a little something on the side.",
}
_RINGING = "The phone rings."
_SAID = 'The caller says: "{words}"'
_MEANS = "The person means to {gist}. In the person's words:"
_SILENCE = "(nothing that can be understood)"


def wording_request(card: ProductCard, style: str, said: str | None, gist: str) -> tuple[Message, Message]:
    """What the model is asked for one reply.

    Args:
        card: What is sold.
        style: How much the customer says, one of ``mind.STYLES``.
        said: The seller's turn; None where the phone rings.
        gist: What is meant.
    """
    rules = _RULES.format(company=card.company, product=card.product, manner=_MANNERS[style])
    before = _RINGING if said is None else _SAID.format(words=heard_text(said) or _SILENCE)
    return (
        {"role": "system", "content": rules},
        {"role": "user", "content": f"{before}\n{_MEANS.format(gist=gist)}"},
    )


class Engine(Protocol):
    """What decides; :class:`~fogline.simulators.customers.rules.RuleCustomer` is one."""

    def decide_opening(self) -> Decision:
        """The decision to pick up the phone."""
        ...

    def decide(self, heard: Heard) -> Decision:
        """The decision after a turn of the seller."""
        ...


class WordedCustomer(ChatCustomer):
    """A customer of the rule engine that speaks through a chat model.

    A reply in which the model leaves its part (``empty``, ``unreadable``, ``declined``, ``role_inversion``, ``echo``,
    ``too_long``) is counted in ``faults`` and asked for again with another seed.

    Args:
        engine: Decides.
        model: Finds the words.
        card: What is sold.
        rng: Decides the sampling seeds, and nothing else.
        style: How much the customer says, one of ``mind.STYLES``.
        most_words: Longest reply; a longer one ends at its last sentence that fits.
        options: Keywords of :class:`~fogline.simulators.customers.chat_side.Voice` where ``model`` is none.
    """

    def __init__(
        self,
        engine: Engine,
        model: ChatModel | Voice,
        card: ProductCard,
        rng: np.random.Generator,
        *,
        style: str = "plain",
        most_words: int = 60,
        **options: Any,
    ) -> None:
        check_choice("style", style, STYLES)
        super().__init__(voice_of(model, options), rng)
        self._engine = engine
        self._card = card
        self._style = style
        self._most_words = most_words

    @property
    def _mind(self) -> object:
        """The engine's, for reports that validate the simulator (``mind.mind_of``)."""
        return getattr(self._engine, "_mind", None)

    async def _open(self) -> Reply:
        return await self._word(self._engine.decide_opening(), None)

    async def _hear(self, heard: Heard) -> Reply:
        return await self._word(self._engine.decide(heard), heard.utterance.text)

    async def _word(self, decision: Decision, said: str | None) -> Reply:
        messages = wording_request(self._card, self._style, said, decision.gist)

        def read(reply: ChatReply) -> str:
            return spoken(
                reply.text,
                cut=reply.finish_reason == "length",
                most_words=self._most_words,
                company=self._card.company,
                prompt=messages,
                heard=heard_text(said or ""),
            )

        text = await self._line.say(messages, read)
        return Reply(
            text, decision.act, decision.topic, decision.stage, decision.step, decision.asks_repeat, decision.status
        )


def worded_customer(
    scenario: Scenario,
    rng: np.random.Generator,
    *,
    model: ChatModel | Voice,
    variant: str = "default",
    disclosed: bool = True,
    claims_without_doing: float = 0.0,
    **options: Any,
) -> WordedCustomer:
    """The customer of a scenario: rules decide, a model words.

    Args:
        scenario: Who is called about what.
        rng: The noise of this call, the same as the rule customer's; sampling seeds come from a child of it.
        model: Finds the words. Hand in one :class:`~fogline.simulators.customers.chat_side.Voice` for all customers
            of an environment: a bare model gets one for each customer, with a check of its own.
        variant: The simulator that the scenario was drawn from.
        disclosed: Whether the call is opened with the words that an AI calls.
        claims_without_doing: Chance that an average customer reports a step that it has not done, 0 to 1.
        options: ``most_words``, and keywords of ``Voice`` for a bare model.
    """
    (seeds,) = rng.spawn(1)
    engine = make_rule_customer(
        scenario, rng, variant=variant, disclosed=disclosed, claims_without_doing=claims_without_doing
    )
    return WordedCustomer(engine, model, scenario.card, seeds, style=scenario.start.style, **options)
