"""What everybody on the line could write down of one call: the environment's own notes, free of the customer's mind."""

from __future__ import annotations

from dataclasses import dataclass, field

from fogline.envs.sales_dialogue.rewards import Said, Situation, TurnScore
from fogline.simulators.customers.customer import Reply
from fogline.simulators.customers.products import ProductCard

ABOUT_AI = frozenset({"ask_is_ai", "accuse_ai"})
"""Customer's acts that say that it may be talking to a machine."""

REFUSALS = frozenset({"refuse", "do_not_call"})
"""Customer's acts that say no."""


@dataclass(slots=True)
class CallRecord:
    """One call so far.

    Attributes:
        card: What is offered.
        first: What the customer said as it picked up the phone.
        reply: What it said last.
        ai_known: The customer was told that an AI is calling, by the opening line or by the seller.
        turn: Turns that the seller has played.
        lines: What was said: the seller's turns (empty where they could not be read) and the customer's answers.
        overlap: Largest similarity of the last turn with an earlier one, 0 to 1.
        open_topics: What the customer brought up and no turn has answered since, the latest last.
        asked_about_ai: It asked or said that the caller is a machine, and no turn has said yes or no since.
        agreed: It has said yes to the offer.
        refusals: How often it has said no.
        refused: Its last words were a no.
        do_not_call: It has asked not to be called again.
        callback: It has asked to be called another time.
        detected: How often it has asked or said that the caller is a machine.
        revealed: The seller itself has said that it is an AI.
        claimed: The seller has said that the operation is complete.
        said_goodbye: The seller's last turn said goodbye.
        malformed: Turns that could not be read.
        sums: Of each turn-level term, the sum so far.
        breaches: Of each compliance rule, how often it was broken.
    """

    card: ProductCard
    first: Reply
    reply: Reply
    ai_known: bool
    turn: int = 0
    lines: list[tuple[str, str]] = field(default_factory=list)
    overlap: float = 0.0
    open_topics: list[str] = field(default_factory=list)
    asked_about_ai: bool = False
    agreed: bool = False
    refusals: int = 0
    refused: bool = False
    do_not_call: bool = False
    callback: bool = False
    detected: int = 0
    revealed: bool = False
    claimed: bool = False
    said_goodbye: bool = False
    malformed: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    breaches: dict[str, int] = field(default_factory=dict)

    @property
    def topic(self) -> str:
        """What an answer to an objection would speak to: the latest open topic; empty for none."""
        return self.open_topics[-1] if self.open_topics else ""

    @property
    def step(self) -> int:
        """Index of the step of the operation that comes next; the last one where all are reported."""
        return min(self.reply.step, len(self.card.steps) - 1)

    def situation(self) -> Situation:
        """What the seller's next turn comes upon."""
        return Situation(self.reply.asks_repeat, self.asked_about_ai, self.refused, self.do_not_call)

    def note_seller(self, said: Said | None, score: TurnScore) -> None:
        """Write down a turn of the seller and its judgement.

        Args:
            said: The turn; None for one that could not be read.
            score: Its terms and the rules that it broke.
        """
        self.turn += 1
        sums = self.sums
        for name, value in score.terms.items():
            sums[name] = sums.get(name, 0.0) + value
        for rule in score.breaches:
            self.breaches[rule] = self.breaches.get(rule, 0) + 1
        if said is None:
            self.malformed += 1
            self.overlap = 0.0
            self.said_goodbye = False
            return
        self.overlap = said.whole
        utterance = said.utterance
        self.said_goodbye = utterance.act == "goodbye"
        if utterance.topics and self.open_topics:
            self.open_topics = [topic for topic in self.open_topics if topic not in utterance.topics]
        if utterance.admits_ai:
            self.revealed = self.ai_known = True
        if utterance.admits_ai or utterance.denies_ai:
            self.asked_about_ai = False
        if utterance.claims_success:
            self.claimed = True

    def note_customer(self, words: str, reply: Reply) -> None:
        """Write down what the customer answered.

        Args:
            words: The seller's turn.
            reply: The answer.
        """
        self.reply = reply
        self.lines.append((words, reply.text))
        topic, act = reply.topic, reply.act
        if topic:
            if topic in self.open_topics:
                self.open_topics.remove(topic)
            self.open_topics.append(topic)
        self.refused = act in REFUSALS
        if self.refused:
            self.refusals += 1
            self.do_not_call = self.do_not_call or act == "do_not_call"
        elif act in ABOUT_AI:
            self.asked_about_ai = True
            self.detected += 1
        elif act == "agree":
            self.agreed = True
        elif act == "callback":
            self.callback = True
