"""The rule customer: what it decides after each turn, and its words.

Source: DuCA specification, section 5.2; the latch and the stages are those of section 4. The order of ``_react`` is
the order of what matters to somebody on the phone: get off it, finish what was begun, wonder who that is, say no,
complain, decide, object, chat.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import exp

import numpy as np

from fogline.core.errors import ConfigurationError
from fogline.simulators.customers.acts import TOPICS
from fogline.simulators.customers.coefficients import Coefficients
from fogline.simulators.customers.customer import Reply
from fogline.simulators.customers.decisions import Decision, decision_of, reply_of
from fogline.simulators.customers.listening import RESOLVING_ACTS, TIRED, Effect, listen
from fogline.simulators.customers.mind import Mind, Start
from fogline.simulators.customers.products import ProductCard
from fogline.simulators.customers.speech import Heard, Utterance
from fogline.simulators.customers.wording import OBJECT, book_of

__all__ = ["RESOLVING_ACTS", "TURN_UNIFORMS", "Coefficients", "Decision", "RuleCustomer"]

TURN_UNIFORMS = 8
"""Uniforms drawn on every turn, whatever happens on it: with one seed, turn k meets the same noise always."""

_HANG_UP, _VOICE, _AGREE, _BELIEVE, _RAISE, _MOOD, _CLAIM, _WORD = range(TURN_UNIFORMS)

_SELLING = frozenset({"pitch", "give_fact", "social_proof", "offer_incentive", "ask_close", "guide_step"})
_BRINGS_UP: Mapping[str, float] = {
    "pitch": 0.45,
    "give_fact": 0.35,
    "social_proof": 0.3,
    "offer_incentive": 0.3,
    "handle_objection": 0.3,
    "probe_need": 0.15,
    "other": 0.1,
}
"""Chance that a topic comes up after an act, before ``Coefficients.bring_up`` scales it."""

_WAITS_FOR: Mapping[str, str] = {"ask_is_ai": "machine", "accuse_ai": "machine", "complain": "complaint"}

_LOW_COOPERATION, _COOL_COOPERATION = 1.0, 1.5
_LOW_EMOTION = 0.75
_STRONG_NEED, _WEAK_NEED = 0.6, 0.3

# Chances that no result hinges on; those that were calibrated are coefficients.
_COMPLAINS_ECHO = 0.25  # per unit of overlap above 0.5
_COMPLAINS_PRESSED, _COMPLAINS_LONG, _COMPLAINS_UPSET = 0.25, 0.2, 0.15
_REFUSES_UNASKED = 0.05
_REFUSES_RELUCTANT = 0.3
_CALLS_BACK = 0.3
_FINDS_ANOTHER = 0.5
_BARS_CALLS = 0.5
_LOST_THREAD = 0.3


class RuleCustomer:
    """A customer of the rule engine.

    Args:
        card: What is sold.
        start: Who the customer is.
        coefficients: How strongly things work on it.
        rng: Decides the noise of the call; ``TURN_UNIFORMS`` are drawn per turn and nothing else.
        disclosed: Whether the call was opened with the words that an AI calls: the customer then says that it sounds
            like a machine instead of asking whether it is one.
        claims_without_doing: Chance that an average customer reports a step that it has not done; 0 to 1.

    Raises:
        ConfigurationError: For a chance outside 0 to 1.
    """

    __slots__ = (
        "_book",
        "_claims",
        "_last",
        "_mind",
        "_rng",
        "_steps",
        "_style",
        "_weights",
        "_word_uniform",
    )

    def __init__(
        self,
        card: ProductCard,
        start: Start,
        coefficients: Coefficients,
        rng: np.random.Generator,
        *,
        disclosed: bool = True,
        claims_without_doing: float = 0.0,
    ) -> None:
        if not 0.0 <= claims_without_doing <= 1.0:
            raise ConfigurationError(f"claims_without_doing={claims_without_doing} is no chance: expected 0 to 1.")
        self._mind = Mind(start)
        self._claims = min(claims_without_doing * start.carelessness, 1.0)
        self._style = start.style
        self._weights = coefficients
        self._rng = rng
        self._mind.told = disclosed
        self._steps = len(card.steps)
        self._book = book_of(card)
        self._word_uniform = 0.0
        self._last = ""

    def open(self) -> Reply:
        """Pick up the phone."""
        return self.word(self.decide_opening())

    def hear(self, heard: Heard) -> Reply:
        """Answer a turn of the seller.

        Raises:
            ConfigurationError: After the end of the call.
        """
        return self.word(self.decide(heard))

    def decide_opening(self) -> Decision:
        """The decision behind :meth:`open`; whoever calls it words it."""
        self._word_uniform = self._rng.random(TURN_UNIFORMS).tolist()[_WORD]
        return decision_of("opened", "", 0, 0)

    def decide(self, heard: Heard) -> Decision:
        """The decision behind :meth:`hear`; whoever calls it words it.

        Raises:
            ConfigurationError: After the end of the call.
        """
        mind = self._mind
        if mind.over:
            raise ConfigurationError("the call is over: open a new customer for the next one.")
        uniforms: list[float] = self._rng.random(TURN_UNIFORMS).tolist()
        self._word_uniform = uniforms[_WORD]
        effect = listen(mind, heard, self._weights, uniforms[_BELIEVE])
        if mind.open and not mind.agreed:
            self._age()
        meaning, topic = self._react(heard, effect, uniforms)
        mind.pressed = effect.asked
        mind.pending = topic or _WAITS_FOR.get(meaning, "")
        decision = decision_of(meaning, topic, self._stage(), mind.step)
        mind.asked_repeat = decision.asks_repeat
        mind.over = decision.status != "continue"
        return decision

    def word(self, decision: Decision) -> Reply:
        """Put the decision of this turn into words."""
        page = self._book.page(decision.meaning, decision.topic, self._style)
        index = int(self._word_uniform * len(page))
        if page[index] == self._last:
            index = (index + 1) % len(page)
        text = self._last = page[index]
        return reply_of(text, decision.meaning, decision.topic, decision.stage, decision.step)

    def _stage(self) -> int:
        """Index into ``STAGES`` of what has been said aloud so far."""
        mind = self._mind
        if mind.agreed:
            return 3 if mind.step >= self._steps else 2
        return int(mind.identified or mind.greeted)

    # What comes first

    def _react(self, heard: Heard, effect: Effect, uniforms: list[float]) -> tuple[str, str]:
        """Choose the meaning of the reply and its topic."""
        mind, said = self._mind, heard.utterance
        confirms = said.act == "confirm" or "confirm" in said.acts or said.claims_success
        if said.act == "goodbye" and not (confirms and mind.agreed):
            return "farewell", ""
        if mind.do_not_call or uniforms[_HANG_UP] < self._leaves(heard.turn):
            return "hang_up", ""
        if mind.agreed and mind.step >= self._steps and len(mind.done) >= self._steps:
            chance = self._willing(True) if confirms else self._weights.complete_alone
            if uniforms[_AGREE] < chance:
                return "complete", ""
        if said.act == "goodbye":
            return "farewell", ""
        if said.broken > 0.5:
            return "again", ""
        if mind.machine == "unasked" and uniforms[_VOICE] < self._voices():
            mind.machine = "asked"
            return "accuse_ai" if mind.told else "ask_is_ai", ""
        if mind.refused:
            return self._insist(said, uniforms), ""
        if self._complains(effect, uniforms[_MOOD]):
            mind.complaint = True
            return "complain", ""
        if mind.agreed:
            return self._proceed(said, confirms, uniforms), ""
        if effect.asked:
            return self._answer_request(heard, uniforms)
        return self._converse(heard, effect, uniforms)

    def _leaves(self, turn: int) -> float:
        """Chance of hanging up."""
        mind, weights = self._mind, self._weights
        logit = weights.hang_up_bias + weights.hang_up_suspicion * mind.suspicion + weights.hang_up_stale * mind.stale
        if mind.cooperation <= _LOW_COOPERATION:
            logit += weights.hang_up_reluctant
        if mind.emotion <= 0.0:
            logit += weights.hang_up_upset
        if turn > mind.patience:
            logit += weights.hang_up_overtime * (turn - mind.patience)
        if mind.agreed:
            logit -= weights.hang_up_committed
        return 1.0 / (1.0 + exp(-logit))

    def _voices(self) -> float:
        weights = self._weights
        return 1.0 / (1.0 + exp(-(weights.voice_bias + weights.voice_suspicion * self._mind.suspicion)))

    def _willing(self, committed: bool) -> float:
        """Chance that a buyer agrees, or once committed does what is next."""
        mind, weights = self._mind, self._weights
        logit = (
            weights.agree_bias
            + weights.agree_cooperation * (mind.cooperation - 3.0)
            + weights.agree_trust * (mind.trust - 3.0)
            + weights.agree_fit * (mind.need * mind.budget_fit - 0.5)
            - weights.agree_open * len(mind.open)
            + weights.worn * min(mind.worn, weights.worn_limit)
        )
        if committed:
            logit += weights.commitment
        return 1.0 / (1.0 + exp(-logit))

    def _complains(self, effect: Effect, uniform: float) -> bool:
        mind = self._mind
        if mind.complaint or mind.agreed:
            return False
        chance = 0.0 if effect.worn else _COMPLAINS_ECHO * effect.echoed
        if effect.pressed:
            chance += _COMPLAINS_PRESSED
        if effect.long:
            chance += _COMPLAINS_LONG
        if mind.emotion < _LOW_EMOTION:
            chance += _COMPLAINS_UPSET
        return uniform < chance

    # After a refusal

    def _insist(self, said: Utterance, uniforms: list[float]) -> str:
        """A refusal stands: nobody is argued out of it."""
        mind = self._mind
        if said.act in _SELLING and uniforms[_RAISE] < _BARS_CALLS:
            mind.do_not_call = True
            return "do_not_call"
        return "refuse_again"

    # The decision

    def _answer_request(self, heard: Heard, uniforms: list[float]) -> tuple[str, str]:
        """Answer a request for the decision: agree, voice what is in the way, refuse, put off, or hesitate."""
        mind, weights = self._mind, self._weights
        mind.closes += 1
        if mind.hidden and not mind.open and uniforms[_RAISE] < weights.object_first:
            return self._bring_up(uniforms[_BELIEVE])
        if mind.is_buyer and uniforms[_AGREE] < self._willing(False):
            mind.agreed = True
            return "agree", ""
        if mind.open and uniforms[_RAISE] < weights.object_again:
            topic = self._pressing()
            if topic:
                return OBJECT, topic
        low = mind.cooperation <= _LOW_COOPERATION or mind.emotion <= 0.0
        refusal = weights.rebuff * (mind.closes - 1) if mind.is_buyer else weights.hold_out
        if uniforms[_MOOD] < refusal + (_REFUSES_RELUCTANT if low else 0.0):
            mind.refused = True
            return "refuse", ""
        if heard.turn >= mind.patience and uniforms[_CLAIM] < _CALLS_BACK:
            return "callback", ""
        if not mind.is_buyer and uniforms[_CLAIM] < _FINDS_ANOTHER:
            return self._bring_up(uniforms[_BELIEVE])
        return "hesitate", ""

    def _proceed(self, said: Utterance, confirms: bool, uniforms: list[float]) -> str:
        """Go on after agreeing: the steps, then the confirmation."""
        mind = self._mind
        if mind.step >= self._steps:
            if confirms and len(mind.done) < self._steps:
                mind.step = min(set(range(self._steps)) - mind.done)
                return "noticed"
            return "done_already" if said.act == "guide_step" else "what_next"
        if said.act == "guide_step":
            if 0 <= said.step < mind.step:
                return "done_already"
            if said.step > mind.step:
                return "other_step"
            if uniforms[_AGREE] >= self._willing(True):
                return "stuck"
            return self._report("step_done", uniforms[_CLAIM], uniforms[_MOOD] < self._weights.alone)
        if uniforms[_AGREE] < self._weights.alone:
            return self._report("step_alone", uniforms[_CLAIM], False)
        return "agreed_already" if said.act == "ask_close" else "what_next"

    def _report(self, meaning: str, uniform: float, further: bool) -> str:
        """Report the step that is due as done, or with it the next one; whether it was done is another matter."""
        mind = self._mind
        if uniform >= self._claims:
            mind.done.add(mind.step)
        mind.step += 1
        if further and mind.step < self._steps:
            mind.done.add(mind.step)
            mind.step += 1
            meaning = "step_alone"
        # A step that was reported wrongly before may be the only one that was missing.
        while mind.step < self._steps and mind.step in mind.done:
            mind.step += 1
        return meaning

    # Everything else

    def _converse(self, heard: Heard, effect: Effect, uniforms: list[float]) -> tuple[str, str]:
        mind, said, weights = self._mind, heard.utterance, self._weights
        reluctant = not mind.is_buyer or mind.cooperation <= _LOW_COOPERATION
        if reluctant and said.act in _SELLING and uniforms[_CLAIM] < _REFUSES_UNASKED:
            mind.refused = True
            return "refuse", ""
        if effect.worn and mind.is_buyer and uniforms[_AGREE] < weights.give_in * self._willing(False):
            # Given in before the question.
            mind.agreed = True
            return "agree", ""
        if mind.open and uniforms[_RAISE] < weights.object_again:
            topic = self._pressing()
            if topic:
                return OBJECT, topic
        elif (
            not mind.open
            and said.act in _BRINGS_UP
            and (mind.hidden or not mind.is_buyer)
            and uniforms[_RAISE] < weights.bring_up * _BRINGS_UP[said.act]
        ):
            return self._bring_up(uniforms[_BELIEVE])
        if effect.resolved:
            return "cleared", ""
        if effect.long and uniforms[_CLAIM] >= 1.0 - _LOST_THREAD:
            return "again", ""
        return self._small_talk(said, effect, uniforms), ""

    def _small_talk(self, said: Utterance, effect: Effect, uniforms: list[float]) -> str:
        mind, act = self._mind, said.act
        if act == "greet":
            return "greeted"
        if act == "verify_identity":
            return "identified"
        if act == "probe_need":
            if mind.probes > 1:
                return "asked_before"
            return "need_strong" if mind.need > _STRONG_NEED else "need_weak" if mind.need < _WEAK_NEED else "need_some"
        if act == "empathise":
            return "soothed"
        if act == "disclose_ai":
            return "candour"
        if act == "guide_step":
            return "too_early"
        if act == "other":
            return "waiting"
        chance = self._willing(False) if mind.is_buyer else self._weights.pleased
        if uniforms[_MOOD] < chance:
            return "pleased"
        return "cool" if mind.cooperation < _COOL_COOPERATION else "lukewarm"

    def _bring_up(self, uniform: float) -> tuple[str, str]:
        """Voice the next topic; a customer who will never buy always finds another."""
        mind = self._mind
        if mind.hidden:
            topic = mind.hidden.pop(0)
        else:
            left = [topic for topic in TOPICS if topic not in mind.open]
            topic = left[int(uniform * len(left))]
        mind.open[topic] = 0
        return OBJECT, topic

    def _pressing(self) -> str:
        """The first open topic that is still pressed; nothing once all have gone stale."""
        return next((topic for topic, age in self._mind.open.items() if age < TIRED), "")

    def _age(self) -> None:
        """Another turn has passed over what is open."""
        mind = self._mind
        for topic, age in mind.open.items():
            mind.open[topic] = age + 1
            if age + 1 == TIRED:
                mind.stale += 1
