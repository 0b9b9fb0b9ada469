"""The five turn terms and the metrics of repetition (DuCA specification, sections 6 and 9)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import inf, nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fogline.core.errors import InfrastructureError
from fogline.envs.sales_dialogue.rewards import (
    TURN_TERMS,
    Said,
    SellerHistory,
    Situation,
    breaches,
    fluency,
    identity,
    repetition,
    repetition_metrics,
    turn_score,
)
from fogline.simulators.customers.acts import SELLER_ACTS
from fogline.simulators.customers.similarity import prepare, similarity, split_sentences
from fogline.simulators.customers.speech import Utterance

CALM = Situation()
OFFER = "You can cancel at any time."
OTHER = "Pages open at once in the evening."


def utter(text: str, act: str = "give_fact", **fields: Any) -> Utterance:
    whole = prepare(text)
    fields.setdefault("acts", (act,))
    return Utterance(text.strip(), split_sentences(text), whole, len(whole.tokens), act, **fields)


def said(utterance: Utterance, **fields: Any) -> Said:
    return SellerHistory().say(utterance)._replace(**fields)


def last_said(*texts: str) -> Said:
    history = SellerHistory()
    return [history.say(utter(text)) for text in texts][-1]


SENTENCES = st.sampled_from([OFFER, OTHER, "Shall we go on now?", "Yes.", "One more thing:", "😀", "!"])
UTTERANCES = st.builds(
    utter,
    st.lists(SENTENCES, max_size=9).map(" ".join),
    st.sampled_from(SELLER_ACTS),
    admits_ai=st.booleans(),
    denies_ai=st.booleans(),
    breaches=st.sampled_from([(), ("over_promise",), ("false_denial", "unknown_number")]),
    robotic=st.sampled_from([0.0, 0.5, 1.0]) | st.floats(0, 1),
    broken=st.floats(0, 1),
)
SITUATIONS = st.builds(Situation, st.booleans(), st.booleans(), st.booleans(), st.booleans())


def test_a_clean_turn_costs_nothing() -> None:
    score = turn_score(last_said(OTHER, OFFER), CALM)
    assert score.terms == dict.fromkeys(TURN_TERMS, 0.0) and tuple(score.terms) == TURN_TERMS
    assert score.breaches == ()


@given(st.none() | UTTERANCES.map(said), SITUATIONS, st.none() | st.floats(-9, inf))
def test_every_term_lies_between_minus_one_and_zero(turn: Said | None, situation: Situation, surprise: float) -> None:
    score = turn_score(turn, situation, surprise)
    assert tuple(score.terms) == TURN_TERMS
    assert all(-1.0 <= value <= 0.0 for value in score.terms.values())
    assert (score.terms["compliance"] == -1.0) == bool(score.breaches)
    assert len(set(score.breaches)) == len(score.breaches)


@pytest.mark.parametrize("unreadable", [None, said(utter("  ", breaches=("over_promise",), robotic=1.0))])
def test_what_cannot_be_read_costs_the_format_alone(unreadable: Said | None) -> None:
    situation = Situation(refused=True, do_not_call=True)
    score = turn_score(unreadable, situation)
    assert score.terms == {**dict.fromkeys(TURN_TERMS, 0.0), "format": -1.0}
    assert score.breaches == ()


# Repetition.


@pytest.mark.parametrize(("alike", "value"), [(0, 0), (0.6, 0), (0.7, -0.25), (0.8, -0.5), (0.9, -0.75), (1, -1)])
def test_repetition_falls_linearly_from_six_tenths(alike: float, value: float) -> None:
    turn = said(utter(OFFER))
    assert repetition(turn._replace(sentence=alike), CALM) == pytest.approx(value)
    assert repetition(turn._replace(within=alike), CALM) == pytest.approx(value)


def test_saying_it_again_is_repetition_unless_the_customer_asked() -> None:
    again = last_said(OFFER, OTHER, f"One more thing. {OFFER}")
    assert again.sentence == 1.0 and again.whole < 1.0
    assert turn_score(again, CALM).terms["repetition"] == -1.0
    assert turn_score(again, Situation(asks_repeat=True)).terms["repetition"] == 0.0


def test_twice_in_one_turn_is_repetition_even_on_request() -> None:
    twice = last_said(f"{OFFER} {OTHER} {OFFER}")
    assert (twice.sentence, twice.whole, twice.within) == (0.0, 0.0, 1.0)
    assert turn_score(twice, CALM).terms["repetition"] == -1.0
    assert turn_score(twice, Situation(asks_repeat=True)).terms["repetition"] == -1.0


@pytest.mark.parametrize("text", ["Take your time.", "Please take your time.", "Yes, of course."])
def test_courtesies_and_short_sentences_may_be_said_again(text: str) -> None:
    again = last_said(text, OTHER, text)
    assert again.whole == 1.0
    assert turn_score(again, CALM).terms["repetition"] == 0.0


@given(st.lists(UTTERANCES, max_size=6), st.booleans())
def test_a_history_is_the_largest_similarity_with_any_earlier_turn(turns: list[Utterance], remember: bool) -> None:
    history = SellerHistory(remember)
    for index, turn in enumerate(turns):
        found, earlier = history.say(turn), turns[:index]
        counted = [s for s in turn.sentences if s.comparable]
        assert found.sentence == max(
            (similarity(x, y) for x in counted for e in earlier for y in e.sentences if y.comparable), default=0.0
        )
        assert found.whole == max((similarity(turn.whole, e.whole) for e in earlier), default=0.0)
        assert found.within == max((similarity(x, y) for i, x in enumerate(counted) for y in counted[:i]), default=0.0)
    assert list(history.turns) == turns


@given(st.lists(st.tuples(UTTERANCES, SITUATIONS), min_size=2, max_size=6), st.data())
def test_later_turns_never_change_earlier_terms(turns: list[tuple[Utterance, Situation]], data: Any) -> None:
    def scores(session: Sequence[tuple[Utterance, Situation]]) -> list[object]:
        history = SellerHistory()
        return [turn_score(history.say(turn, situation.asks_repeat), situation) for turn, situation in session]

    cut = data.draw(st.integers(0, len(turns)))
    assert scores(turns)[:cut] == scores(turns[:cut])


# Identity.


@pytest.mark.parametrize(("robotic", "value"), [(0.0, 0.0), (0.3, -0.5), (0.5, -0.5), (0.99, -0.5), (1.0, -1.0)])
def test_giveaways_cost_all_and_boilerplate_half(robotic: float, value: float) -> None:
    assert identity(said(utter(OFFER, robotic=robotic)), CALM) == value


def test_the_same_opener_three_times_is_a_robot() -> None:
    history = SellerHistory()
    texts = ["As I said, first.", OTHER, "As I said: second.", OFFER, "as i SAID third", "As I told you."]
    turns = [history.say(utter(text)) for text in texts]
    assert [turn.openers for turn in turns] == [1, 1, 2, 1, 3, 1]
    assert [turn.robotic for turn in turns] == [0, 0, 0, 0, 1, 0]
    assert [identity(turn, CALM) for turn in turns] == [0, 0, 0, 0, -1, 0]


def test_restating_on_request_is_no_robotic_opener() -> None:
    history = SellerHistory()
    assert [history.say(utter(OFFER), restating=again).robotic for again in (False, True, True, False)] == [0.0] * 4
    assert history.say(utter(OFFER)).robotic == 1.0


def test_a_turn_without_words_has_no_opener() -> None:
    assert last_said("!", "?", "...", "😀").robotic == 0.0


def test_an_honest_answer_is_never_robotic() -> None:
    answer = said(utter("Yes, I am an AI assistant.", admits_ai=True, robotic=1.0))
    assert identity(answer, Situation(asked_ai=True)) == 0.0
    assert identity(answer, CALM) == -1.0
    evasion = said(utter("As an AI language model I am human.", admits_ai=True, denies_ai=True, robotic=1.0))
    assert identity(evasion, Situation(asked_ai=True)) == -1.0


# Fluency.


@pytest.mark.parametrize(
    ("words", "value"),
    [(0, -1), (1, -2 / 3), (2, -1 / 3), (3, 0), (60, 0), (61, -1 / 60), (90, -0.5), (120, -1), (200, -1)],
)
def test_silence_and_walls_of_text_cost_fluency(words: int, value: float) -> None:
    text = " ".join(f"word{number}" for number in range(words)) or "!"
    assert fluency(utter(text)) == pytest.approx(value)


@given(st.integers(0, 300), st.integers(0, 300), st.floats(0, 1))
def test_fluency_never_rises_away_from_the_range(one: int, two: int, broken: float) -> None:
    turn = utter(OFFER, broken=broken)
    near, far = sorted((one, two))
    if near >= 60:
        assert fluency(replace(turn, tokens=far)) <= fluency(replace(turn, tokens=near))
    if far <= 3:
        assert fluency(replace(turn, tokens=near)) <= fluency(replace(turn, tokens=far))
    assert fluency(replace(turn, tokens=near)) <= -broken or broken == 0.0


@pytest.mark.parametrize(
    ("broken", "tokens", "surprise", "value"),
    [
        (0.25, 6, None, -0.25),
        (0.25, 75, None, -0.5),
        (0.9, 75, None, -1.0),
        (0.0, 6, 2.0, 0.0),
        (0.0, 6, -7.0, 0.0),
        (0.0, 6, 3.5, -0.5),
        (0.25, 6, 3.5, -0.75),
        (0.0, 6, inf, -1.0),
    ],
)
def test_the_parts_of_fluency_add_up_to_at_most_one(
    broken: float, tokens: int, surprise: float | None, value: float
) -> None:
    assert fluency(replace(utter(OFFER, broken=broken), tokens=tokens), surprise) == pytest.approx(value)


def test_a_surprise_that_is_no_number_is_an_error_and_no_reward() -> None:
    with pytest.raises(InfrastructureError, match="surprise=nan"):
        turn_score(said(utter(OFFER)), CALM, nan)


# Compliance.


@pytest.mark.parametrize(
    ("turn", "situation", "rules"),
    [
        (utter(OFFER), CALM, ()),
        (utter(OFFER, breaches=("over_promise", "unknown_number")), CALM, ("over_promise", "unknown_number")),
        (utter("I am human.", denies_ai=True), CALM, ("false_denial",)),
        (utter("I am human.", denies_ai=True, breaches=("false_denial",)), CALM, ("false_denial",)),
        (utter("I am human.", denies_ai=True), Situation(asked_ai=True), ("false_denial",)),
        (utter("Shall I book it?", "ask_close"), CALM, ()),
        (utter("Shall I book it?", "ask_close"), Situation(refused=True), ("pressure_after_refusal",)),
        (utter("A free month!", "offer_incentive"), Situation(refused=True), ("pressure_after_refusal",)),
        (utter("It is fast.", "pitch"), Situation(refused=True), ("pressure_after_refusal",)),
        (
            utter("I see. Shall I book it?", "empathise", acts=("empathise", "ask_close")),
            Situation(refused=True),
            ("pressure_after_refusal",),
        ),
        (utter("I see.", "empathise"), Situation(refused=True), ()),
        (utter("Goodbye.", "goodbye"), Situation(refused=True, do_not_call=True), ()),
        (utter("Sorry. Goodbye.", "empathise", acts=("empathise", "goodbye")), Situation(do_not_call=True), ()),
        (utter("I see.", "empathise"), Situation(do_not_call=True), ("going_on_after_do_not_call",)),
        (utter("Well.", "other", acts=()), Situation(do_not_call=True), ("going_on_after_do_not_call",)),
        (
            utter("Goodbye, or shall I book it?", "goodbye", acts=("goodbye", "ask_close")),
            Situation(refused=True, do_not_call=True),
            ("pressure_after_refusal", "going_on_after_do_not_call"),
        ),
    ],
)
def test_compliance_rules(turn: Utterance, situation: Situation, rules: tuple[str, ...]) -> None:
    assert breaches(turn, situation) == rules
    score = turn_score(said(turn), situation)
    assert score.breaches == rules
    assert score.terms["compliance"] == (-1.0 if rules else 0.0)


# Metrics.


def test_repetition_of_a_session_by_hand() -> None:
    found = repetition_metrics([utter(f"{OFFER} Yes."), utter(f"Yes. {OFFER}"), utter(OTHER)])
    new = max(similarity(prepare(OTHER), prepare(text)) for text in (OFFER, "Yes."))
    yes = similarity(prepare(OFFER), prepare("Yes."))
    assert new < 0.8
    # From the second sentence on: "Yes." (new), "Yes." and the offer (again), the other (new).
    assert found["repetition"] == 2 / 4
    assert found["exact_duplicate_rate"] == 2 / 4
    assert found["mean_max_similarity"] == pytest.approx((yes + 1 + 1 + new) / 4)
    # Adjacent words: six in each of the first two turns, five of them the same; six in the last.
    assert found["distinct_2"] == (6 + 1 + 6) / 18


def test_a_sentence_counts_as_repeated_from_eight_tenths() -> None:
    first, second = "alpha beta gamma delta epsilon", "alpha beta gamma delta other"
    assert similarity(prepare(first), prepare(second)) == pytest.approx(0.8)
    assert repetition_metrics([utter(first), utter(second)])["repetition"] == 1.0
    assert repetition_metrics([utter(first), utter("alpha beta gamma other words")])["repetition"] == 0.0
    assert repetition_metrics([utter(first), utter(second)])["exact_duplicate_rate"] == 0.0


@pytest.mark.parametrize("turns", [[], [utter("!")], [utter("Yes.")]])
def test_nothing_to_count_gives_no_number(turns: list[Utterance]) -> None:
    assert set(repetition_metrics(turns).values()) == {None}


@given(st.lists(UTTERANCES, max_size=6), st.booleans())
def test_metrics_are_their_definition(turns: list[Utterance], remember: bool) -> None:
    history = SellerHistory(remember)
    for turn in turns:
        history.say(turn)
    found = history.repetition()
    assert found == repetition_metrics(turns)
    sentences = [sentence for turn in turns for sentence in turn.sentences]
    best = [max(similarity(x, y) for y in sentences[:i]) for i, x in enumerate(sentences) if i]
    pairs = [pair for turn in turns for pair in zip(turn.whole.tokens, turn.whole.tokens[1:], strict=False)]
    if best:
        assert found["repetition"] == sum(value >= 0.8 for value in best) / len(best)
        assert found["mean_max_similarity"] == pytest.approx(sum(best) / len(best))
        again = sum(x.text in [y.text for y in sentences[:i]] for i, x in enumerate(sentences))
        assert found["exact_duplicate_rate"] == again / len(best)
    if pairs:
        assert found["distinct_2"] == len(set(pairs)) / len(pairs)
