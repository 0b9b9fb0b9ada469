"""What the act mode shows: numbers that anybody on the line could write down, and nothing of the customer's mind."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces

from fogline.envs.sales_dialogue.record import CallRecord
from fogline.simulators.customers.acts import CUSTOMER_ACTS, SELLER_ACTS, STAGES, TOPICS

Vector = np.ndarray[Any, np.dtype[np.float32]]

TEMPLATES = 4
"""Wordings of each seller act in the act mode."""

MOST_TURNS = 16
"""Turns left are counted up to here."""

MOST_COUNTED = 4
"""Acts of one kind are counted up to here."""

MOST_REFUSALS = 3
"""Refusals are counted up to here."""

FEATURES: tuple[str, ...] = (
    "turn_fraction",
    "turns_left",
    *(f"stage:{stage}" for stage in STAGES),
    *(f"customer_act:{act}" for act in CUSTOMER_ACTS),
    *(f"open_topic:{topic}" for topic in TOPICS),
    "steps_reported",
    "agreed",
    *(f"acts_done:{act}" for act in SELLER_ACTS),
    *(f"said:{act}/{template}" for act in SELLER_ACTS for template in range(TEMPLATES)),
    "last_overlap",
    "mean_overlap",
    "most_overlap",
    "asked_about_ai",
    "ai_known",
    "refusals",
)
"""Names of the entries of the observation, in order; each lies in [0, 1].

``turn_fraction`` is the share of the budget that is spent, ``turns_left`` the turns that remain over 16. ``stage`` and
``customer_act`` (of the last reply) are one-hot. ``open_topic`` marks what the customer brought up and no turn has
answered since. ``steps_reported`` is the share of the operation that the customer reported as done, ``agreed`` whether
it has said yes. ``acts_done`` counts the seller's chosen acts over 4, ``said`` marks the pairs of act and template that
were chosen before. The overlaps are those of whole turns with earlier ones of the seller. ``asked_about_ai`` marks a
question or accusation that no turn has answered, ``ai_known`` that the customer was told. ``refusals`` counts
refusals over 3.
"""

_PLACE = {name: index for index, name in enumerate(FEATURES)}
_TURN, _LEFT = _PLACE["turn_fraction"], _PLACE["turns_left"]
_STAGE = _PLACE[f"stage:{STAGES[0]}"]
_ACT = {act: _PLACE[f"customer_act:{act}"] for act in CUSTOMER_ACTS}
_TOPIC = {topic: _PLACE[f"open_topic:{topic}"] for topic in TOPICS}
_STEPS, _AGREED = _PLACE["steps_reported"], _PLACE["agreed"]
_DONE, _SAID = _PLACE[f"acts_done:{SELLER_ACTS[0]}"], _PLACE[f"said:{SELLER_ACTS[0]}/0"]
_LAST, _MEAN, _MOST = _PLACE["last_overlap"], _PLACE["mean_overlap"], _PLACE["most_overlap"]
_ASKED, _KNOWN, _REFUSALS = _PLACE["asked_about_ai"], _PLACE["ai_known"], _PLACE["refusals"]


def observation_space() -> spaces.Box:
    """Box [0, 1] float32, one entry per name of :data:`FEATURES`."""
    return spaces.Box(0.0, 1.0, (len(FEATURES),), np.float32)


def action_space() -> spaces.MultiDiscrete:
    """Seller act, in the order of ``SELLER_ACTS``, and template."""
    return spaces.MultiDiscrete([len(SELLER_ACTS), TEMPLATES])


class PublicFeatures:
    """The vector of :data:`FEATURES` for one call after another, kept up to date turn by turn.

    Args:
        max_turns: The budget of a call.
    """

    __slots__ = ("_done", "_max_turns", "_most_overlap", "_overlap_sum", "_shown", "_topics", "_vector")

    def __init__(self, max_turns: int) -> None:
        self._max_turns = max_turns
        self._vector = np.zeros(len(FEATURES), dtype=np.float32)
        self._topics: list[str] = []
        self._shown = (0, 0)
        self._done = [0] * len(SELLER_ACTS)
        self._overlap_sum = self._most_overlap = 0.0

    def begin(self, record: CallRecord) -> Vector:
        """Start a call; returns a copy of its first vector."""
        vector = self._vector
        vector.fill(0.0)
        self._topics = []
        self._done = [0] * len(SELLER_ACTS)
        self._overlap_sum = self._most_overlap = 0.0
        self._shown = (_STAGE, _ACT[record.reply.act])
        self._write(record)
        return vector.copy()

    def after_turn(self, record: CallRecord, pair: tuple[int, int] | None) -> Vector:
        """Take in the last turn of ``record`` and the answer to it; returns a copy.

        Args:
            record: The call so far.
            pair: Act and template that were chosen; None for a turn that could not be read.
        """
        vector = self._vector
        if pair is not None:
            act, template = pair
            self._done[act] += 1
            vector[_DONE + act] = min(1.0, self._done[act] / MOST_COUNTED)
            vector[_SAID + act * TEMPLATES + template] = 1.0
        overlap = record.overlap
        self._overlap_sum += overlap
        vector[_LAST] = overlap
        vector[_MEAN] = self._overlap_sum / record.turn
        if overlap > self._most_overlap:
            self._most_overlap = vector[_MOST] = overlap
        self._write(record)
        return vector.copy()

    def _write(self, record: CallRecord) -> None:
        vector, reply, turn = self._vector, record.reply, record.turn
        vector[_TURN] = min(1.0, turn / self._max_turns)
        vector[_LEFT] = min(1.0, (self._max_turns - turn) / MOST_TURNS)
        stage, act = self._shown
        vector[stage] = vector[act] = 0.0
        stage, act = self._shown = (_STAGE + reply.stage, _ACT[reply.act])
        vector[stage] = vector[act] = 1.0
        if self._topics != record.open_topics:
            for topic in self._topics:
                vector[_TOPIC[topic]] = 0.0
            for topic in record.open_topics:
                vector[_TOPIC[topic]] = 1.0
            self._topics = record.open_topics.copy()
        vector[_STEPS] = min(1.0, reply.step / len(record.card.steps))
        vector[_AGREED] = record.agreed
        vector[_ASKED] = record.asked_about_ai
        vector[_KNOWN] = record.ai_known
        vector[_REFUSALS] = min(1.0, record.refusals / MOST_REFUSALS)
