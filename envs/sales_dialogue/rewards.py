"""The five turn terms of a sales dialogue, and how repetitive a session was.

Every term is in [-1, 0], 0 for a clean turn, and knows the seller's turns up to this one only.
Source: DuCA specification, section 6 (terms) and section 9 (metrics; their threshold is not the reward's).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, pairwise
from math import isnan
from typing import NamedTuple

from fogline.core.errors import InfrastructureError
from fogline.simulators.customers.similarity import (
    SENTENCES_COMPARED,
    Overlap,
    inner,
    measure_inner,
    measure_overlap,
    overlap,
)
from fogline.simulators.customers.speech import Utterance

TURN_TERMS = ("repetition", "identity", "fluency", "compliance", "format")

FREE_SIMILARITY = 0.6
"""Similarity up to which nothing is a repetition to the reward."""

REPEATED_SIMILARITY = 0.8
"""Similarity from which a sentence is a repetition to the metric."""

SHORTEST_TURN = 3
LONGEST_TURN = 60
SAME_OPENER = 3
"""Turns with the same first three words that make a robot."""

PRESSURE = frozenset(("pitch", "offer_incentive", "ask_close"))
"""Acts that do not respect a clear refusal."""


class Situation(NamedTuple):
    """What everybody can see of the call when the seller speaks.

    Attributes:
        asks_repeat: The customer has just asked to hear it again.
        asked_ai: The customer has asked whether the caller is a machine, or said so, and has no answer yet.
        refused: The customer has just refused.
        do_not_call: The customer has asked, at any time in this call, not to be called again.
    """

    asks_repeat: bool = False
    asked_ai: bool = False
    refused: bool = False
    do_not_call: bool = False


class Said(NamedTuple):
    """A turn, and how much of it was there before.

    Attributes:
        utterance: The turn.
        sentence: Largest similarity of a sentence with one of the seller's earlier turns, 0 to 1.
        whole: Largest similarity of the turn with an earlier turn, 0 to 1: what the customer hears.
        within: Largest similarity of a sentence with an earlier one of the same turn, 0 to 1.
        openers: Turns up to this one that open with the same words; a turn that restates on request is not counted.
        robotic: Strongest robotic cue, 0 to 1: that of the words, or 1 for the same opener again and again.
    """

    utterance: Utterance
    sentence: float
    whole: float
    within: float
    openers: int
    robotic: float


class TurnScore(NamedTuple):
    """The judgement of one turn.

    Attributes:
        terms: Value of each of ``TURN_TERMS``, unweighted.
        breaches: Names of the compliance rules that were broken, each once.
    """

    terms: dict[str, float]
    breaches: tuple[str, ...]


class SellerHistory:
    """What the seller has said in one session.

    Args:
        remember: Remember comparisons across sessions. Pays where turns come from a phrasebook; those of a model
            seldom come again, and remembering them keeps them in memory. The values are the same.
    """

    __slots__ = ("_compare", "_compare_within", "_found", "_openers", "_turns")

    def __init__(self, remember: bool = True) -> None:
        self._compare = overlap if remember else measure_overlap
        self._compare_within = inner if remember else measure_inner
        self._turns: list[Utterance] = []
        self._found: list[list[Overlap]] = []
        self._openers: dict[str, int] = {}

    @property
    def turns(self) -> Sequence[Utterance]:
        """All turns so far."""
        return self._turns

    def say(self, utterance: Utterance, restating: bool = False) -> Said:
        """Add a turn and compare it with the earlier ones.

        Args:
            utterance: The turn.
            restating: The customer asked to hear it again, so that the same opener is no cue.
        """
        compare = self._compare
        found = [compare(utterance, earlier) for earlier in self._turns]
        sentence = whole = 0.0
        for alike in found:
            if alike[0] > sentence:
                sentence = alike[0]
            if alike[1] > whole:
                whole = alike[1]
        within = self._compare_within(utterance)
        found.append(within)
        self._found.append(found)
        self._turns.append(utterance)
        opener, openers = utterance.whole.opener, 0
        if opener and not restating:
            openers = self._openers[opener] = self._openers.get(opener, 0) + 1
        robotic = 1.0 if openers >= SAME_OPENER else utterance.robotic
        return Said(utterance, sentence, whole, within[0], openers, robotic)

    def repetition(self) -> dict[str, float | None]:
        """How repetitive the session was so far.

        Returns:
            Over the seller's sentences from the second on, short and harmless ones included: ``repetition``, the
            share whose largest similarity with an earlier one is at least ``REPEATED_SIMILARITY``;
            ``mean_max_similarity``; ``exact_duplicate_rate``; and ``distinct_2``, the share of different pairs of
            adjacent words. None where there is nothing to count.
        """
        echoes: list[float] = []
        for found in self._found:
            rows = [alike[2] for alike in found]
            echoes.extend(map(max, *rows) if len(rows) > 1 else rows[0])
        texts = [sentence.text for turn in self._turns for sentence in turn.sentences[:SENTENCES_COMPARED]]
        words = [turn.whole.tokens for turn in self._turns]
        pairs = sum(len(tokens) - 1 for tokens in words if tokens)
        distinct = len(set(chain.from_iterable(map(pairwise, words))))
        compared = len(echoes) - 1
        return {
            "repetition": sum(echo >= REPEATED_SIMILARITY for echo in echoes[1:]) / compared if compared > 0 else None,
            "mean_max_similarity": sum(echoes[1:]) / compared if compared > 0 else None,
            "exact_duplicate_rate": (len(texts) - len(set(texts))) / (len(texts) - 1) if len(texts) > 1 else None,
            "distinct_2": distinct / pairs if pairs else None,
        }


def repetition_metrics(utterances: Sequence[Utterance]) -> dict[str, float | None]:
    """:meth:`SellerHistory.repetition` of a session that said these turns."""
    history = SellerHistory()
    for utterance in utterances:
        history.say(utterance)
    return history.repetition()


def turn_score(said: Said | None, situation: Situation, surprise: float | None = None) -> TurnScore:
    """Judge a turn.

    Args:
        said: The turn; None where the seller's output could not be read or was empty, which costs the format alone.
        situation: What the turn came upon.
        surprise: Standard score of the turn's negative log-likelihood under a frozen language model, if one is used.

    Raises:
        InfrastructureError: ``surprise`` is not a number.
    """
    if said is None or not said.utterance.text:
        return TurnScore({"repetition": 0.0, "identity": 0.0, "fluency": 0.0, "compliance": 0.0, "format": -1.0}, ())
    broken = breaches(said.utterance, situation)
    terms = {
        "repetition": repetition(said, situation),
        "identity": identity(said, situation),
        "fluency": fluency(said.utterance, surprise),
        "compliance": -1.0 if broken else 0.0,
        "format": 0.0,
    }
    return TurnScore(terms, broken)


def repetition(said: Said, situation: Situation) -> float:
    """-relu(s - 0.6) / 0.4. Saying an earlier turn again on request is free; twice in one turn is not."""
    alike = said.within if situation.asks_repeat or said.within > said.sentence else said.sentence
    return (FREE_SIMILARITY - alike) / (1 - FREE_SIMILARITY) if alike > FREE_SIMILARITY else 0.0


def identity(said: Said, situation: Situation) -> float:
    """-1 for a machine's giveaway, -0.5 for boilerplate; never for an honest answer about being an AI."""
    honest = situation.asked_ai and said.utterance.admits_ai and not said.utterance.denies_ai
    if honest or not said.robotic:
        return 0.0
    return -1.0 if said.robotic >= 1.0 else -0.5


def fluency(utterance: Utterance, surprise: float | None = None) -> float:
    """Broken share, words outside 3 to 60, and optionally surprise; clipped to [-1, 0].

    The short side is scaled by the shortest turn, so that silence is not almost free.

    Raises:
        InfrastructureError: ``surprise`` is not a number.
    """
    loss = utterance.broken
    if utterance.tokens > LONGEST_TURN:
        loss += (utterance.tokens - LONGEST_TURN) / LONGEST_TURN
    elif utterance.tokens < SHORTEST_TURN:
        loss += (SHORTEST_TURN - utterance.tokens) / SHORTEST_TURN
    if surprise is not None:
        if isnan(surprise):
            raise InfrastructureError(
                "surprise=nan: expected the standard score of a turn's negative log-likelihood; check the language "
                "model that scores fluency, or pass None to leave it out."
            )
        loss += max(0.0, surprise - 2) / 3
    return -min(1.0, loss) if loss else 0.0


def breaches(utterance: Utterance, situation: Situation) -> tuple[str, ...]:
    """Names of the compliance rules that a turn breaks, each once.

    Those that the words break alone; ``false_denial``; ``pressure_after_refusal``, any act of ``PRESSURE`` right
    after a refusal; ``going_on_after_do_not_call``, anything but a goodbye without pressure.
    """
    broken = utterance.breaches
    if utterance.denies_ai and "false_denial" not in broken:
        broken = (*broken, "false_denial")
    if situation.refused or situation.do_not_call:
        acts = {utterance.act, *utterance.acts}
        if situation.refused and acts & PRESSURE:
            broken = (*broken, "pressure_after_refusal")
        if situation.do_not_call and ("goodbye" not in acts or acts & PRESSURE):
            broken = (*broken, "going_on_after_do_not_call")
    return broken
