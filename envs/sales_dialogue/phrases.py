"""The phrasebook of the act mode: every act of a seller in four wordings, as text that is then read like any other.

Each wording is one or two short sentences that open differently from every other and are less than 0.6 alike, so that
a seller who does not repeat itself is clean.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from fogline.core.errors import ConfigurationError, DataError, check_choice
from fogline.envs.sales_dialogue.rewards import FREE_SIMILARITY
from fogline.simulators.customers.acts import SELLER_ACTS, TOPICS
from fogline.simulators.customers.products import ProductCard
from fogline.simulators.customers.similarity import similarity
from fogline.simulators.customers.speech import Utterance, read

N_TEMPLATES = 4
"""Wordings of each act."""

TURNS_REMEMBERED = 2**12

_PHRASES: Mapping[str, tuple[str, str, str, str]] = {
    "greet": (
        "Good day, this is the service line of {company}. I hope I am not calling at a bad moment.",
        "Hello there, {company} speaking. Do you have a moment for a short call?",
        "My call comes from {company} and will be brief; thank you for picking up.",
        "How are you today? I am ringing on behalf of {company} with a small proposal.",
    ),
    "verify_identity": (
        "Before I go on, am I speaking with the person who decides about such things at your place?",
        "May I check that I have the right number, and that you are the one to talk to about this?",
        "Are you yourself in charge here, or does somebody else take this kind of decision?",
        "Could you confirm that it is you who would have to agree to {product} in the end?",
    ),
    "probe_need": (
        "How often do you have to deal with {need} at the moment?",
        "What bothers you most about the way things are now?",
        "Tell me a little about how you manage it today, so that I do not talk past you.",
        "Which would help you more in everyday life, saving money or having less trouble?",
    ),
    "pitch": (
        "With {product}, {benefit}.",
        "Picture an ordinary week in which {benefit}; that is what it comes down to.",
        "What you gain from us is easily said: {benefit}.",
        "Imagine no longer having to think about {need}, because {benefit}.",
    ),
    "give_fact": ("{fact}", "{fact}", "{fact}", "{fact}"),
    "handle_objection": (
        "That is a fair point, and I am glad that you say it openly.",
        "I understand your concern; let us look at it calmly before you decide anything.",
        "Good question, and one that deserves a straight reply rather than a slogan.",
        "Your doubt makes sense to me, so please ask whatever you want to know.",
    ),
    "empathise": (
        "I am sorry to hear that, and I can see why it annoys you.",
        "That must be really frustrating, above all after a long day.",
        "You have every right to be upset; nobody likes to be disturbed like this.",
        "Of course I understand how you feel, and there is no pressure from my side.",
    ),
    "social_proof": (
        "Many of our customers came to us because of {need} and have stayed ever since.",
        "A customer in your area told me last week that the change went more smoothly than expected.",
        "Most people who tried it have recommended us to their friends afterwards.",
        "Several of your neighbours use {product} already and speak well of it.",
    ),
    "offer_incentive": (
        "If you decide soon, I can add {incentive} as a small thank you.",
        "As a welcome gift you would also receive {incentive}, without any extra cost.",
        "My manager lets me throw in {incentive} for everybody who starts this week.",
        "There is one more thing on the table: {incentive}, on top of the normal offer.",
    ),
    "ask_close": (
        "Would you like me to set everything up for you now?",
        "Shall we go ahead and get you started with {product} today?",
        "Are you ready to give it a go, if I do the paperwork?",
        "Can I put you down for it, so that it can begin this week?",
    ),
    "confirm": (
        "Has everything worked on your side, and can you see the confirmation?",
        "Just to make sure: did the last step go through without an error?",
        "Could you check whether a message has arrived that says it is complete?",
        "Is there anything still open, or have you finished all of it by now?",
    ),
    "disclose_ai": (
        "To be open with you, I am an AI assistant and not a human being.",
        "Yes, you are talking to an artificial intelligence that works for {company}.",
        "In case it matters to you, this is a computer voice: an AI calls you on behalf of {company}.",
        "No person is speaking here; I am a machine, and a colleague can take over if you prefer.",
    ),
    "goodbye": (
        "Thank you for your time, and have a pleasant day. Goodbye!",
        "I will leave you in peace now; all the best and goodbye.",
        "That was all from my side. Take care, and bye for now.",
        "It was nice talking to you. Have a good evening and goodbye.",
    ),
}

_STEPS: tuple[tuple[str, str, str, str], ...] = (
    (
        "First of all, please {text}.",
        "We begin with something small: could you {again}, and tell me when it is done?",
        "To start with, I would ask you to {text}; I stay on the line while you do it.",
        "The opening move is yours: {again}, and take as long as you need for it.",
    ),
    (
        "Very well, now please {text}.",
        "What comes next is quick: {again}, then we are nearly there.",
        "After that, it would be good if you could {text}, in your own time.",
        "Half of the way is behind us, so go on and {again} when you are ready.",
    ),
    (
        "And now, to finish, please {text}.",
        "Only one thing remains on your side: {again}, and say a word when you have finished.",
        "For the last step, I need you to {text}; nothing else is left after that.",
        "We are almost at the end; just {again} and let me hear how it went.",
    ),
)
"""How the first, a middle and the last step are explained."""

_ANSWERS: Mapping[str, tuple[str, str, str, str]] = {
    "identity": (
        "You ask who is calling: {answer}",
        "Fair enough, you want to know who is on the line: {company}, and nobody else stands behind this call.",
        "I should have said at once who we are; {company} is the name, and you can look it up.",
        "You are right to ask for my firm: it is {company}, and I work for nobody else.",
    ),
    "trust": (
        "Caution is quite right here: {answer}",
        "I understand the doubt; there are scams enough, so check us before you believe a word.",
        "Trust has to be earned, and that is why I ask for nothing in advance.",
        "It is sensible to be careful with strangers on the phone; ask around about us first.",
    ),
    "cost": (
        "As for the money: {answer}",
        "I see that the price matters; set it against what you spend on this today.",
        "About the cost, nobody likes to waste a cent, so let us see whether you gain or lose.",
        "You find it expensive, which I respect; the sum is fixed and covers all of it.",
    ),
    "rules": (
        "About the conditions: {answer}",
        "Good that you mention the contract: it has plain terms and no hidden clause.",
        "I see your point about being tied down; leaving is possible, and how is written in one line.",
        "As to the rules, they are short, and I will read them to you word for word.",
    ),
    "suitability": (
        "Whether it suits you: {answer}",
        "You wonder if it is right for you; it was made with {audience} in mind.",
        "That depends on your situation, I admit, and if it does not fit I will say so.",
        "It is a fair worry that it may be of no use to you; think of {need} and judge yourself.",
    ),
    "information": (
        "Regarding that information: {answer}",
        "Nothing should depend on my word, you are right; all of it comes to you in writing.",
        "It makes sense to see it on paper; you get the documents before we go on.",
        "Let me answer with what is in my notes, and correct whatever is wrong in them.",
    ),
    "operation": (
        "How it works in practice: {answer}",
        "I understand that it sounds complicated; in daily use there is hardly anything to do.",
        "About the way it works, our people help with whatever is technical.",
        "Rest assured that no special skill is needed; who can boil a kettle can handle it.",
    ),
    "comprehension": (
        "Let me say it differently: {answer}",
        "My fault, that was not clear; let us go back to the beginning together.",
        "In other words, we deal with {need} and you get on with your life.",
        "Sorry for the jargon; from here on it is one short sentence at a time.",
    ),
    "comparison": (
        "Compared with other offers: {answer}",
        "It is only natural to compare; hold us against any competitor, line by line.",
        "I agree that every alternative should be looked at, so name the one you have in mind.",
        "Something similar exists elsewhere, I admit, but ask what is missing from it.",
    ),
    "testing": (
        "Trying it out is fine: {answer}",
        "Seeing is better than hearing, so a test will show you more than I can say.",
        "I agree, nobody should have to take my word for it; try it before you judge.",
        "Wanting a sample first is only reasonable, and I have nothing against it.",
    ),
    "history": (
        "Given what happened before: {answer}",
        "I am aware that you had a bad experience in the past, and I take it seriously.",
        "You mention what went wrong the last time; tell me, and I will note it.",
        "I appreciate that earlier calls left a mark; in this one I would rather listen.",
    ),
    "boundary": (
        "Your limits count for me: {answer}",
        "I respect that line, and whatever you wish to keep private stays so.",
        "Nobody but you draws that line, it is your decision; a nod is enough and I stop.",
        "Point taken, your privacy comes first, and nothing you say is passed on.",
    ),
    "progress": (
        "How it goes on from here: {answer}",
        "You would like to know how long this takes; only a short while, then you have your evening back.",
        "Good question, what happens next is quickly told, with hardly any waiting time.",
        "I notice that you are busy and do not keep you much longer; the road from here is short.",
    ),
    "detail": (
        "To be exact about it: {answer}",
        "I appreciate your eye for detail; I would rather look that up than guess.",
        "Your question is a very specific one, so the reply must not be a rough one.",
        "Let us go through exactly this point slowly, I agree, figure by figure if you wish.",
    ),
}
"""How each topic is answered: with the answer of the card, and three times in other words."""


def realise(act: str, template: int, card: ProductCard, topic: str = "", step: int = 0) -> str:
    """Word an act.

    Args:
        act: One of ``SELLER_ACTS``.
        template: Which wording, 0 to ``N_TEMPLATES`` - 1; it also chooses the card's fact or benefit.
        card: What is sold.
        topic: What ``handle_objection`` answers, one of ``TOPICS``; empty for a general reassurance.
        step: Which step ``guide_step`` explains; brought into the range of the card's steps.

    Raises:
        ConfigurationError: For an act, a wording or a topic that does not exist.
    """
    if act == "handle_objection":
        return _realise(act, template, card, topic, 0)
    if act == "guide_step":
        return _realise(act, template, card, "", min(max(step, 0), len(card.steps) - 1))
    return _realise(act, template, card, "", 0)


@lru_cache(maxsize=TURNS_REMEMBERED)
def _realise(act: str, template: int, card: ProductCard, topic: str, step: int) -> str:
    check_choice("act", act, SELLER_ACTS)
    if template not in range(N_TEMPLATES):
        raise ConfigurationError(f"template={template!r} does not exist: expected 0 to {N_TEMPLATES - 1}.")
    if topic:
        check_choice("topic", topic, TOPICS)
    if act == "guide_step":
        place = 0 if step == 0 else 2 if step == len(card.steps) - 1 else 1
        explained = card.steps[step]
        return _STEPS[place][template].format(text=explained.text, again=explained.again)
    wordings = _ANSWERS[topic] if topic else _PHRASES[act]
    return wordings[template].format(
        company=card.company,
        product=card.product,
        audience=card.audience,
        need=card.need,
        incentive=card.incentive,
        benefit=card.benefits[template],
        fact=card.facts[template].text,
        answer=card.answers.get(topic, ""),
    )


def phrasebook(card: ProductCard) -> dict[tuple[str, int, str, int], str]:
    """Everything that can be said of a card, by act, template, topic and step."""
    book = {}
    for act in SELLER_ACTS:
        topics = ("", *TOPICS) if act == "handle_objection" else ("",)
        steps = range(len(card.steps)) if act == "guide_step" else range(1)
        for template in range(N_TEMPLATES):
            for topic in topics:
                for step in steps:
                    book[act, template, topic, step] = realise(act, template, card, topic=topic, step=step)
    return book


def check_phrases(card: ProductCard) -> None:
    """Refuse a card of which the phrasebook would say something that is not read as what it means, or is not clean.

    The cards that ship with fogline pass; for one's own this tells which text to change.

    Raises:
        DataError: Naming the wording, what it is read as and what is expected; the first problem only.
    """
    book = {key: read(text, card) for key, text in phrasebook(card).items()}
    for key, said in book.items():
        expected, found = _expected(card, *key), _found(said)
        if key[0] == "handle_objection":
            # A card's answer may state a fact.
            found["facts"] = expected["facts"]
        if found != expected:
            wrong = {name: value for name, value in found.items() if value != expected[name]}
            raise DataError(
                f"card {card.domain!r}: {said.text!r} ({key[0]}, wording {key[1]}) is read as {wrong}: expected "
                f"{ {name: expected[name] for name in wrong} }; reword the card's texts or narrow its cues."
            )
    _check_alike(card, list(book.values()))


def _found(said: Utterance) -> dict[str, object]:
    return {
        "act": said.act,
        "facts": sorted(said.facts),
        "topics": sorted(said.topics),
        "step": said.step,
        "breaches": said.breaches,
        "admits_ai": said.admits_ai,
        "claims_success": said.claims_success,
        "robotic": said.robotic,
        "broken": said.broken,
    }


def _expected(card: ProductCard, act: str, template: int, topic: str, step: int) -> dict[str, object]:
    fact = card.facts[template] if act == "give_fact" else None
    answered = fact.topic if fact else topic
    return {
        "act": act,
        "facts": [fact.name] if fact else [],
        "topics": [answered] if answered else [],
        "step": step if act == "guide_step" else -1,
        "breaches": (),
        "admits_ai": act == "disclose_ai",
        "claims_success": False,
        "robotic": 0.0,
        "broken": 0.0,
    }


def _check_alike(card: ProductCard, said: list[Utterance]) -> None:
    for place, first in enumerate(said):
        for second in said[:place]:
            for sentence in first.sentences:
                for other in second.sentences:
                    if sentence.comparable and other.comparable and similarity(sentence, other) >= FREE_SIMILARITY:
                        raise DataError(
                            f"card {card.domain!r}: {first.text!r} and {second.text!r} are too alike: expected a "
                            f"similarity below {FREE_SIMILARITY}; shorten what they share or reword it."
                        )
