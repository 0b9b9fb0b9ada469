"""What a customer has decided, before and after it has words."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from fogline.simulators.customers.customer import Reply, Status
from fogline.simulators.customers.wording import MEANINGS, TOPIC_GISTS


@dataclass(frozen=True, slots=True)
class Decision:
    """What the customer does, before it has words.

    Attributes:
        meaning: What is meant, one of ``wording.MEANINGS``.
        act: Public act.
        topic: What is brought up; empty for nothing.
        stage: As the conversation shows it.
        step: Steps reported as done.
        asks_repeat: Whether it asks to hear something again.
        status: What it does to the call.
        gist: What is meant in plain words.
    """

    meaning: str
    act: str
    topic: str
    stage: int
    step: int
    asks_repeat: bool
    status: Status
    gist: str


@lru_cache(maxsize=4096)
def decision_of(meaning: str, topic: str, stage: int, step: int) -> Decision:
    """The decision to mean something. Remembered: there are few."""
    entry = MEANINGS[meaning]
    gist = TOPIC_GISTS[topic] if topic else entry.gist
    repeat = entry.asks_repeat or topic == "comprehension"
    return Decision(meaning, entry.act, topic, stage, step, repeat, entry.status, gist)


@lru_cache(maxsize=65536)
def reply_of(text: str, meaning: str, topic: str, stage: int, step: int) -> Reply:
    """A decision and its words. Remembered: the words come from finite tables."""
    decision = decision_of(meaning, topic, stage, step)
    return Reply(
        text, decision.act, decision.topic, decision.stage, decision.step, decision.asks_repeat, decision.status
    )
