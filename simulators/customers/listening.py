"""How a turn of the seller moves a customer's mind: the additive rules, before anything is decided.

Source: DuCA specification, section 5.2. Beside its terms, a benefit that is pitched for the first time counts as a
relevant fact with falling weight, social proof as half a fact, and an incentive as a better fit to the budget: the
acts exist, so they must do something.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import exp
from typing import NamedTuple

from fogline.simulators.customers.coefficients import Coefficients
from fogline.simulators.customers.mind import Mind
from fogline.simulators.customers.speech import Heard, Utterance

RESOLVING_ACTS: Mapping[str, frozenset[str]] = {
    "identity": frozenset({"verify_identity"}),
    "trust": frozenset({"social_proof", "verify_identity"}),
    "cost": frozenset({"offer_incentive"}),
    "rules": frozenset({"confirm"}),
    "suitability": frozenset({"probe_need"}),
    "information": frozenset({"give_fact"}),
    "operation": frozenset({"guide_step"}),
    "comprehension": frozenset({"give_fact", "confirm"}),
    "comparison": frozenset({"social_proof"}),
    "testing": frozenset({"offer_incentive"}),
    "history": frozenset({"empathise"}),
    "boundary": frozenset({"empathise"}),
    "progress": frozenset({"confirm"}),
    "detail": frozenset({"give_fact"}),
}
"""Acts that can resolve a topic without naming its answer. A turn whose ``topics`` hold the topic (an answer from the
card, a fact of that topic) can resolve it whatever its act is; saying something again can resolve ``comprehension``."""

AGAIN = 0.6
"""Overlap from which a turn counts as said before (the threshold of the repetition reward)."""

LONG = 60
"""Words above which a turn is a wall of text."""

TIRED = 3
"""Turns that an objection lives before it goes stale."""

_PUSHY = frozenset({"pitch", "ask_close"})
_NOVELTY = (1.0, 0.6, 0.3, 0.0)
_TAILORED = 1.25
_BETTER_FIT = 0.2


class Effect(NamedTuple):
    """What listening found that the reply depends on.

    Attributes:
        resolved: Topic that the turn resolved; empty for none.
        echoed: Overlap above 0.5 with what was said before; 0 where the customer had asked to hear it again.
        again: Whether the turn counts as said before.
        worn: Whether it is a pushy repeat to a customer whom these wear down.
        asked: Whether it asked for the decision of a customer who has not agreed.
        pressed: Whether the customer felt pressed.
        dodged: Whether a question of the customer was passed over.
        long: Whether the turn was a wall of text.
        news: Whether it stated a fact that is new to the customer and broke no rule.
    """

    resolved: str
    echoed: float
    again: bool
    worn: bool
    asked: bool
    pressed: bool
    dodged: bool
    long: bool
    news: bool


def listen(mind: Mind, heard: Heard, weights: Coefficients, believe: float) -> Effect:
    """Move the mind by one turn.

    Args:
        mind: Changed in place.
        heard: The turn.
        weights: Coefficients of the dynamics.
        believe: Uniform that decides whether an answer satisfies.
    """
    said = heard.utterance
    acts = said.acts or (said.act,)
    effect = _take_in(mind, heard, acts, weights, believe)
    _answer_about_machine(mind, said, acts, weights)
    cooperation = mind.cooperation + _cooperation(mind, said, acts, effect, weights)
    trust = mind.trust + _trust(mind, said, acts, effect, weights)
    emotion = mind.emotion + _emotion(mind, heard, acts, effect, weights)
    suspicion = mind.suspicion + _suspicion(heard, effect, weights)
    mind.cooperation = min(max(cooperation, 0.0), 4.0)
    mind.trust = min(max(trust, 0.0), 5.0)
    mind.emotion = min(max(emotion, 0.0), 3.0)
    mind.suspicion = min(max(suspicion, 0.0), 1.0)
    _remember(mind, said, acts, effect)
    return effect


def _take_in(mind: Mind, heard: Heard, acts: tuple[str, ...], weights: Coefficients, believe: float) -> Effect:
    said = heard.utterance
    again = heard.overlap >= AGAIN and not mind.asked_repeat
    dodged = _dodges(mind, heard, acts)
    asked = "ask_close" in acts and not mind.agreed
    return Effect(
        # Whether it presses is a matter of what was open before it.
        pressed=_presses(mind, said, asked),
        resolved=_resolve(mind, heard, weights, believe, again),
        echoed=heard.overlap - 0.5 if heard.overlap > 0.5 and not mind.asked_repeat else 0.0,
        again=again,
        worn=again and mind.wearable and said.act in _PUSHY,
        asked=asked,
        dodged=dodged,
        long=said.tokens > LONG,
        news=bool(said.facts) and not said.breaches and not said.facts <= mind.facts,
    )


# The four formulas


def _cooperation(mind: Mind, said: Utterance, acts: tuple[str, ...], effect: Effect, weights: Coefficients) -> float:
    change = 0.0
    if effect.resolved:
        change += weights.resolved
    novelty = 1.0 if effect.news else 0.0
    if said.act == "pitch" and not effect.news and not effect.again and not said.breaches:
        novelty = _NOVELTY[min(mind.pitches, 3)]
    if novelty:
        change += weights.new_fact * mind.need * novelty * (_TAILORED if mind.probes else 1.0)
    if "probe_need" in acts and not mind.probes and mind.cooperation > 1.0:
        change += weights.probe_answered
    if effect.asked and (mind.trust < 3.0 or mind.open):
        change -= weights.early_close
    if effect.echoed and not effect.worn:
        change -= weights.heard_before * effect.echoed
    if effect.long:
        change -= weights.wall_of_text
    return change


def _trust(mind: Mind, said: Utterance, acts: tuple[str, ...], effect: Effect, weights: Coefficients) -> float:
    change = -weights.doubt * mind.suspicion
    if effect.news:
        change += weights.true_fact
    if "greet" in acts and not mind.greeted:
        change += 0.5 * weights.identity
    if "verify_identity" in acts and not mind.identified:
        change += weights.identity * (0.5 if mind.greeted or "greet" in acts else 1.0)
    if "social_proof" in acts and not mind.referred:
        change += 0.5 * weights.true_fact
    if said.breaches or said.denies_ai or (said.claims_success and not mind.agreed):
        change -= weights.breach
    if effect.dodged:
        change -= weights.dodge
    return change


def _emotion(mind: Mind, heard: Heard, acts: tuple[str, ...], effect: Effect, weights: Coefficients) -> float:
    change = -weights.tedium * effect.echoed
    if mind.complaint and "empathise" in acts:
        change += weights.empathy
    if effect.pressed:
        change -= weights.pressure
    if heard.turn > mind.patience:
        change -= weights.impatience
    return change


def _suspicion(heard: Heard, effect: Effect, weights: Coefficients) -> float:
    change = weights.echo * effect.echoed + weights.robotic * heard.robotic
    if effect.dodged:
        change += weights.evasion
    if (effect.resolved or effect.news) and not heard.utterance.breaches:
        change -= weights.specific
    return change


def _remember(mind: Mind, said: Utterance, acts: tuple[str, ...], effect: Effect) -> None:
    """What counts once, or less every time."""
    if said.facts:
        mind.facts |= said.facts
    if effect.worn:
        # The path that is left open on purpose: this customer gives in, and keeps a worry to itself.
        mind.worn += 1
        if mind.hidden:
            mind.hidden.pop()
    elif said.act == "pitch":
        mind.pitches += 1
    if "greet" in acts:
        mind.greeted = True
    if "verify_identity" in acts:
        mind.identified = True
    if "probe_need" in acts:
        mind.probes += 1
    if "social_proof" in acts:
        mind.referred = True
    if "empathise" in acts:
        mind.complaint = False
    if "offer_incentive" in acts and not mind.incentive:
        mind.incentive = True
        mind.budget_fit = min(mind.budget_fit + _BETTER_FIT, 1.0)


# What a turn is to the customer


def _presses(mind: Mind, said: Utterance, asked: bool) -> bool:
    """Whether the turn puts the customer under pressure."""
    if asked:
        return mind.pressed or mind.refused or bool(mind.open)
    return mind.refused and said.act == "pitch"


def _dodges(mind: Mind, heard: Heard, acts: tuple[str, ...]) -> bool:
    """Whether what the customer asked on its last turn was passed over."""
    asked, said = mind.pending, heard.utterance
    if not asked or said.act == "goodbye":
        return False
    if asked == "machine":
        return not (said.admits_ai or said.denies_ai or "disclose_ai" in acts or "empathise" in acts)
    if asked == "complaint":
        return "empathise" not in acts
    return not (asked in said.topics or _suits(asked, heard) or "empathise" in acts)


def _resolve(mind: Mind, heard: Heard, weights: Coefficients, believe: float, again: bool) -> str:
    """Take what is answered well enough off the customer's list; return the open topic that it was, if any."""
    said = heard.utterance
    topics = said.topics
    if topics and mind.hidden:
        # Answered before it was asked: it will not come up.
        kept = [topic for topic in mind.hidden if topic not in topics]
        if len(kept) < len(mind.hidden) and believe < _belief(mind, weights, 0.0):
            mind.hidden = kept
    resolved = ""
    for topic in tuple(mind.open):
        suits = _suits(topic, heard)
        if not suits and topic not in topics:
            continue
        logit = (weights.believe_act if suits and topic in topics else 0.0) - (weights.believe_again if again else 0.0)
        if believe < _belief(mind, weights, logit):
            if mind.open.pop(topic) >= TIRED:
                mind.stale -= 1
            resolved = topic
    return resolved


def _suits(topic: str, heard: Heard) -> bool:
    """Whether what was done suits the topic, whatever was said of it."""
    return heard.utterance.act in RESOLVING_ACTS[topic] or (topic == "comprehension" and heard.overlap >= AGAIN)


def _belief(mind: Mind, weights: Coefficients, logit: float) -> float:
    return 1.0 / (1.0 + exp(-(weights.believe_bias + weights.believe_trust * (mind.trust - 2.0) + logit)))


def _answer_about_machine(mind: Mind, said: Utterance, acts: tuple[str, ...], weights: Coefficients) -> None:
    """An honest answer settles the question for good; a denial leaves the doubt, and it may come up again."""
    if said.admits_ai:
        mind.told = True
    if mind.machine != "asked":
        return
    if said.admits_ai:
        mind.machine = "settled"
        mind.suspicion *= 0.5
        mind.trust = min(mind.trust + 0.5 * weights.true_fact, 5.0)
    elif said.denies_ai or "empathise" in acts:
        mind.machine = "unasked"
