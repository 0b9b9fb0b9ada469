"""The rule customer: the specification's formulas term by term, the latch, refusals, machines, repeats."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from math import exp
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seller_turns import turn

from fogline.core.errors import ConfigurationError
from fogline.simulators.customers.acts import CUSTOMER_ACTS, SELLER_ACTS, STAGES, TOPICS
from fogline.simulators.customers.coefficients import Coefficients
from fogline.simulators.customers.customer import Customer, Reply
from fogline.simulators.customers.listening import TIRED
from fogline.simulators.customers.mind import Mind, Start, mind_of
from fogline.simulators.customers.products import bundled_cards
from fogline.simulators.customers.rules import RESOLVING_ACTS, TURN_UNIFORMS, RuleCustomer
from fogline.simulators.customers.speech import Heard
from fogline.simulators.customers.wording import MEANINGS

CARD = bundled_cards()["home-internet"]
STEPS = len(CARD.steps)
START = Start(
    cooperation=2.0,
    emotion=2.0,
    trust=2.0,
    suspicion=0.0,
    need=0.5,
    budget_fit=0.5,
    patience=30,
    is_buyer=True,
    wearable=False,
    carelessness=1.0,
    objections=(),
    style="plain",
    age=44,
)
NEVER, ALWAYS = -60.0, 60.0
CALM = Coefficients(hang_up_bias=NEVER, voice_bias=NEVER, agree_bias=NEVER, bring_up=0.0, object_first=0.0)
"""Nothing happens by chance."""
EAGER = replace(CALM, agree_bias=ALWAYS)
"""A buyer who agrees when asked and whom every step succeeds."""


def customer(
    coefficients: Coefficients = CALM, seed: int = 0, *, disclosed: bool = True, claims: float = 0.0, **start: Any
) -> RuleCustomer:
    rng = np.random.default_rng(seed)
    return RuleCustomer(
        CARD, replace(START, **start), coefficients, rng, disclosed=disclosed, claims_without_doing=claims
    )


def moved(heard: Heard, coefficients: Coefficients = CALM, before: dict[str, Any] | None = None, **start: Any) -> Mind:
    """The mind after one turn, with ``before`` set on it first."""
    one = customer(coefficients, **start)
    mind = mind_of(one)
    for name, value in (before or {}).items():
        setattr(mind, name, value)
    one.hear(heard)
    return mind


def played(one: RuleCustomer, *acts: str) -> list[Reply]:
    """Play acts in order, each step of the operation in its turn."""
    replies = [one.open()]
    for number, act in enumerate(acts):
        step = min(replies[-1].step, STEPS - 1) if act == "guide_step" else -1
        replies.append(one.hear(turn(act, number, step=step)))
    return replies


# The formulas of section 5.2, term by term


def test_an_unremarkable_turn_moves_nothing() -> None:
    mind = moved(turn("other"))
    assert (mind.cooperation, mind.trust, mind.emotion, mind.suspicion) == (2.0, 2.0, 2.0, 0.0)


@pytest.mark.parametrize(
    ("heard", "before", "state", "change"),
    [
        (turn("handle_objection", topics={"cost"}), {"open": {"cost": 0}}, "cooperation", 0.8),
        (turn("give_fact", facts={"speed"}), {}, "cooperation", 0.4 * 0.5),
        (turn("give_fact", facts={"speed"}), {"facts": {"speed"}}, "cooperation", 0.0),
        (turn("pitch"), {}, "cooperation", 0.4 * 0.5),
        (turn("pitch"), {"pitches": 1}, "cooperation", 0.4 * 0.5 * 0.6),
        (turn("pitch"), {"pitches": 3}, "cooperation", 0.0),
        (turn("pitch"), {"probes": 1}, "cooperation", 0.4 * 0.5 * 1.25),
        (turn("probe_need"), {}, "cooperation", 0.3),
        (turn("probe_need"), {"probes": 1}, "cooperation", 0.0),
        (turn("probe_need"), {"cooperation": 1.0}, "cooperation", 0.0),
        (turn("ask_close"), {}, "cooperation", -0.6),
        (turn("ask_close"), {"trust": 3.0}, "cooperation", 0.0),
        (turn("ask_close"), {"trust": 3.0, "open": {"cost": 0}}, "cooperation", -0.6),
        (turn("other", overlap=0.9), {}, "cooperation", -0.8 * 0.4),
        (turn("other", tokens=61), {}, "cooperation", -0.2),
        (turn("give_fact", facts={"speed"}), {}, "trust", 0.3),
        (turn("give_fact", facts={"speed"}, breaches=("over_promise",)), {}, "trust", -0.8),
        (turn("verify_identity"), {}, "trust", 0.4),
        (turn("verify_identity"), {"identified": True}, "trust", 0.0),
        (turn("greet"), {}, "trust", 0.2),
        (turn("verify_identity"), {"greeted": True}, "trust", 0.2),
        (turn("social_proof"), {}, "trust", 0.15),
        (turn("other"), {"suspicion": 0.5}, "trust", -0.3 * 0.5),
        (turn("other", breaches=("unknown_number",)), {}, "trust", -0.8),
        (turn("other", denies_ai=True), {}, "trust", -0.8),
        (turn("other", claims_success=True), {}, "trust", -0.8),
        (turn("other", claims_success=True), {"agreed": True}, "trust", 0.0),
        (turn("pitch"), {"pending": "cost", "open": {"cost": 0}}, "trust", -0.4),
        (turn("empathise"), {"pending": "cost", "open": {"cost": 0}}, "trust", 0.0),
        (turn("pitch"), {"pending": "machine"}, "trust", -0.4),
        (turn("disclose_ai", admits_ai=True), {"pending": "machine"}, "trust", 0.0),
        (turn("pitch"), {"pending": "complaint"}, "trust", -0.4),
        (turn("empathise"), {"complaint": True, "pending": "complaint"}, "emotion", 0.5),
        (turn("empathise"), {}, "emotion", 0.0),
        (turn("ask_close"), {"pressed": True, "trust": 3.0}, "emotion", -0.5),
        (turn("pitch"), {"refused": True}, "emotion", -0.5),
        (turn("other", overlap=0.9), {}, "emotion", -0.5 * 0.4),
        (turn("other", 7), {"patience": 6}, "emotion", -0.3),
        (turn("other", 6), {"patience": 6}, "emotion", 0.0),
        (turn("other", overlap=0.9), {}, "suspicion", 0.25 * 0.4),
        (turn("other", robotic=0.5), {}, "suspicion", 0.25 * 0.5),
        (turn("pitch"), {"pending": "cost", "open": {"cost": 0}}, "suspicion", 0.15),
        (turn("give_fact", facts={"speed"}), {"suspicion": 0.5}, "suspicion", -0.10),
    ],
)
def test_each_term_has_its_coefficient(heard: Heard, before: dict[str, Any], state: str, change: float) -> None:
    start = before.get(state, getattr(START, state))
    mind = moved(heard, replace(CALM, believe_bias=ALWAYS), before)
    assert getattr(mind, state) - start == pytest.approx(change)


def test_an_incentive_betters_the_fit_once() -> None:
    one = customer()
    for number in range(3):
        one.hear(turn("offer_incentive", number))
    assert mind_of(one).budget_fit == pytest.approx(0.7)


turns = st.builds(
    turn,
    st.sampled_from([*SELLER_ACTS, "other"]),
    st.just(0),
    overlap=st.floats(0, 1),
    robotic=st.floats(0, 1),
    tokens=st.integers(0, 400),
    facts=st.sets(st.sampled_from(["a", "b", "c"])),
    topics=st.sets(st.sampled_from(TOPICS), max_size=3),
    step=st.integers(-1, 2),
    claims_success=st.booleans(),
    admits_ai=st.booleans(),
    denies_ai=st.booleans(),
    breaches=st.sampled_from([(), ("over_promise",)]),
    broken=st.floats(0, 1),
)


@settings(max_examples=200)
@given(st.lists(turns, max_size=16), st.integers(0, 1000), st.booleans(), st.booleans(), st.permutations(TOPICS))
def test_whatever_is_said_the_mind_stays_in_its_ranges_and_the_replies_in_the_contract(
    said: list[Heard], seed: int, disclosed: bool, wearable: bool, topics: list[str]
) -> None:
    one = customer(
        Coefficients(agree_bias=5.0),
        seed,
        disclosed=disclosed,
        claims=0.5,
        wearable=wearable,
        objections=tuple(topics[:3]),
    )
    reply, steps = one.open(), 0
    for number, heard in enumerate(said):
        if reply.status != "continue":
            break
        reply = one.hear(replace(heard, turn=number))
        mind = mind_of(one)
        assert 0 <= mind.cooperation <= 4 and 0 <= mind.trust <= 5
        assert 0 <= mind.emotion <= 3 and 0 <= mind.suspicion <= 1 and 0 <= mind.budget_fit <= 1
        assert mind.stale == sum(age >= TIRED for age in mind.open.values())
        assert reply.act in CUSTOMER_ACTS and reply.text
        assert 0 <= reply.stage < len(STAGES) and 0 <= reply.step <= STEPS
        assert (reply.topic in TOPICS) == (reply.act == "object")
        assert reply.step >= steps or reply.act == "not_done"
        assert (reply.status == "converted") == (reply.act == "complete")
        steps = reply.step


# Hanging up, agreeing


def chance_of(act: str, one_of: Any, trials: int = 4000) -> float:
    return sum(one_of(seed).act == act for seed in range(trials)) / trials


@pytest.mark.parametrize(
    ("before", "number", "logit"),
    [
        ({}, 0, 0.0),
        ({"cooperation": 1.0}, 0, 1.2),
        ({"emotion": 0.0}, 0, 1.5),
        ({"patience": 4}, 6, 2 * 0.8),
        ({"suspicion": 1.0}, 0, 1.0),
        ({"stale": 1}, 0, 0.8),
        ({"agreed": True}, 0, -1.5),
    ],
)
def test_customers_hang_up_by_the_formula(before: dict[str, Any], number: int, logit: float) -> None:
    def reply(seed: int) -> Reply:
        one = customer(replace(CALM, hang_up_bias=-1.0), seed)
        for name, value in before.items():
            setattr(mind_of(one), name, value)
        return one.hear(turn("empathise", number))

    assert chance_of("hang_up", reply) == pytest.approx(1 / (1 + exp(1.0 - logit)), abs=0.025)


@pytest.mark.parametrize(
    ("cooperation", "trust", "need", "fit", "opened", "worn"),
    [
        (3.0, 3.0, 0.5, 1.0, 0, 0),
        (4.0, 3.0, 1.0, 1.0, 0, 0),
        (3.0, 4.5, 0.2, 0.5, 0, 0),
        (3.6, 3.0, 1.0, 1.0, 1, 0),
        (3.0, 3.0, 0.5, 1.0, 0, 1),
        (3.0, 3.0, 0.5, 1.0, 0, 5),
    ],
)
def test_buyers_agree_by_the_formula(
    cooperation: float, trust: float, need: float, fit: float, opened: int, worn: int
) -> None:
    weights = replace(CALM, agree_bias=-0.5)

    def reply(seed: int) -> Reply:
        one = customer(weights, seed, cooperation=cooperation, trust=trust, need=need, budget_fit=fit)
        mind = mind_of(one)
        mind.open = {topic: 0 for topic in TOPICS[:opened]}
        mind.worn = worn
        return one.hear(turn("ask_close"))

    heard = cooperation - (weights.early_close if opened else 0.0)
    logit = 1.2 * (heard - 3) + 0.8 * (trust - 3) + (need * fit - 0.5) - 1.5 * opened - 0.5
    logit += weights.worn * min(worn, weights.worn_limit)
    heard_out = 0.75 if opened else 1.0  # who is pressed complains instead, once in four
    assert chance_of("agree", reply) == pytest.approx(heard_out / (1 + exp(-logit)), abs=0.025)


# Conversion


def test_a_yes_is_not_a_sale_and_a_sale_needs_the_steps_and_the_customers_own_word() -> None:
    replies = played(customer(replace(EAGER, alone=0.0, complete_alone=0.0)), "ask_close", *["guide_step"] * STEPS)
    assert [reply.act for reply in replies[1:]] == ["agree", *["step_done"] * STEPS]
    assert [reply.step for reply in replies[1:]] == list(range(STEPS + 1))
    assert [STAGES[reply.stage] for reply in replies[1:]] == ["steps"] * STEPS + ["confirm"]
    assert all(reply.status == "continue" for reply in replies)


def test_the_sale_is_completed_when_it_is_confirmed_or_by_the_customer_alone() -> None:
    acts = ("ask_close", *["guide_step"] * STEPS)
    confirmed = played(customer(replace(EAGER, alone=0.0, complete_alone=0.0)), *acts, "empathise", "confirm")
    assert [reply.act for reply in confirmed[-2:]] == ["neutral", "complete"]
    assert [reply.status for reply in confirmed[-2:]] == ["continue", "converted"]
    alone = played(customer(replace(EAGER, alone=0.0, complete_alone=1.0)), *acts, "empathise")
    assert (alone[-1].act, alone[-1].status) == ("complete", "converted")


def test_a_goodbye_before_the_customers_word_ends_the_call_without_a_sale() -> None:
    for acts in (("goodbye",), ("ask_close", "goodbye"), ("ask_close", *["guide_step"] * STEPS, "goodbye")):
        last = played(customer(replace(EAGER, alone=0.0, complete_alone=1.0)), *acts)[-1]
        assert (last.act, last.status) == ("neutral", "ended")


def test_a_claim_of_success_makes_no_sale() -> None:
    one = customer(EAGER)
    one.hear(turn("ask_close"))
    reply = one.hear(turn("goodbye", 1, claims_success=True))
    assert reply.status == "ended"


def test_customers_go_on_with_the_steps_alone_where_they_can() -> None:
    replies = played(customer(replace(EAGER, alone=1.0)), "ask_close", *["empathise"] * STEPS)
    assert [reply.step for reply in replies[1:]] == list(range(STEPS + 1))


def test_steps_out_of_order_are_not_done() -> None:
    one = customer(replace(EAGER, alone=0.0))
    one.hear(turn("ask_close"))
    ahead = one.hear(turn("guide_step", 1, step=1))
    assert (ahead.act, ahead.step, ahead.asks_repeat) == ("not_done", 0, False)
    assert one.hear(turn("guide_step", 2, step=0)).step == 1
    behind = one.hear(turn("guide_step", 3, step=0))
    assert (behind.act, behind.step) == ("neutral", 1)


def test_a_step_that_fails_is_asked_for_again() -> None:
    one = customer(replace(CALM, alone=0.0))
    mind_of(one).agreed = True
    reply = one.hear(turn("guide_step", step=0))
    assert (reply.act, reply.asks_repeat, reply.step) == ("not_done", True, 0)


def test_a_careless_customer_reports_what_is_not_done_and_notices_when_it_is_confirmed() -> None:
    one = customer(replace(EAGER, alone=0.0, complete_alone=1.0), claims=1.0)
    replies = played(one, "ask_close", *["guide_step"] * STEPS, "empathise", "confirm")
    assert [reply.act for reply in replies[2 : 2 + STEPS]] == ["step_done"] * STEPS
    assert replies[-2].act == "neutral", "nothing is complete, whatever was reported"
    noticed = replies[-1]
    assert (noticed.act, noticed.step, STAGES[noticed.stage]) == ("not_done", 0, "steps")


@settings(max_examples=60)
@given(st.integers(0, 10_000))
def test_a_sale_is_made_only_with_every_step_really_done(seed: int) -> None:
    one = customer(replace(EAGER, alone=0.2), seed, claims=0.4)
    reply = one.hear(turn("ask_close"))
    for number in range(1, 40):
        if reply.status != "continue":
            break
        act = "confirm" if reply.step >= STEPS else "guide_step"
        reply = one.hear(turn(act, number, step=reply.step if act == "guide_step" else -1))
    assert reply.status == "converted"
    assert mind_of(one).done == set(range(STEPS))


@settings(max_examples=100)
@given(st.lists(turns, min_size=12, max_size=40), st.integers(0, 1000))
def test_who_cannot_be_won_never_agrees_and_never_completes(said: list[Heard], seed: int) -> None:
    weights = Coefficients(agree_bias=ALWAYS, hang_up_bias=NEVER, alone=1.0, complete_alone=1.0, hold_out=0.1)
    one = customer(weights, seed, is_buyer=False, wearable=True, cooperation=4.0, trust=5.0)
    reply = one.open()
    for number, heard in enumerate(said):
        if reply.status != "continue":
            break
        reply = one.hear(replace(heard, turn=number))
        assert reply.act not in ("agree", "step_done", "complete")


# Refusing


def test_a_refusal_is_final_and_going_on_selling_ends_in_do_not_call_and_a_dead_line() -> None:
    one = customer(replace(CALM, hold_out=1.0), is_buyer=False, cooperation=1.0)
    reply = one.hear(turn("ask_close"))
    acts, number = [], 1
    while reply.act != "do_not_call":
        acts.append(reply.act)
        reply = one.hear(turn("pitch", number))
        number += 1
    assert set(acts) == {"refuse"}
    assert reply.status == "continue", "the seller may still say goodbye"
    last = one.hear(turn("empathise", number))
    assert (last.act, last.status) == ("hang_up", "hung_up")


def test_a_buyer_who_has_refused_does_not_agree_any_more() -> None:
    one = customer(EAGER)
    mind_of(one).refused = True
    assert one.hear(turn("ask_close")).act in ("refuse", "do_not_call")


def test_goodbye_after_a_refusal_ends_the_call_quietly() -> None:
    one = customer(replace(CALM, hold_out=1.0), is_buyer=False)
    one.hear(turn("ask_close"))
    assert one.hear(turn("goodbye", 1)).status == "ended"


def test_a_buyer_who_is_asked_again_and_again_refuses() -> None:
    one = customer(replace(CALM, rebuff=1.0), trust=4.0, cooperation=3.0)
    replies = played(one, "ask_close", "empathise", "ask_close")
    assert [reply.act for reply in replies[1:]] == ["neutral", "neutral", "refuse"]


def test_nothing_is_heard_after_the_end() -> None:
    one = customer()
    one.hear(turn("goodbye"))
    with pytest.raises(ConfigurationError, match="the call is over"):
        one.hear(turn("greet", 1))


# Topics


@pytest.mark.parametrize("topic", TOPICS)
def test_a_topic_is_brought_up_once_and_resolved_by_its_answer(topic: str) -> None:
    one = customer(replace(CALM, bring_up=1.0, object_first=1.0, believe_bias=ALWAYS), objections=(topic,))
    reply = one.hear(turn("ask_close"))
    assert (reply.act, reply.topic) == ("object", topic)
    assert one.hear(turn("handle_objection", 1, topics={topic})).act == "neutral"
    assert not mind_of(one).open and not mind_of(one).hidden


@pytest.mark.parametrize(("topic", "act"), [(topic, act) for topic in TOPICS for act in sorted(RESOLVING_ACTS[topic])])
def test_a_topic_is_resolved_by_the_acts_of_the_table(topic: str, act: str) -> None:
    mind = moved(turn(act), replace(CALM, believe_bias=ALWAYS), {"open": {topic: 0}, "pending": topic})
    assert not mind.open
    assert mind.trust >= START.trust, "no question was dodged"


def test_the_table_knows_every_topic_and_only_acts() -> None:
    assert set(RESOLVING_ACTS) == set(TOPICS)
    assert all(acts and acts <= set(SELLER_ACTS) for acts in RESOLVING_ACTS.values())


def test_an_answer_to_something_else_resolves_nothing() -> None:
    mind = moved(turn("handle_objection", topics={"trust"}), replace(CALM, believe_bias=ALWAYS), {"open": {"cost": 0}})
    assert list(mind.open) == ["cost"]


def test_what_is_answered_before_it_is_asked_never_comes_up() -> None:
    one = customer(replace(CALM, believe_bias=ALWAYS, object_first=1.0), objections=("cost", "trust"))
    one.hear(turn("give_fact", facts={"price"}, topics={"cost"}))
    assert one.hear(turn("ask_close", 1)).topic == "trust"


def test_a_topic_that_nobody_answers_is_insisted_on_for_three_turns_and_then_goes_stale() -> None:
    one = customer(replace(CALM, object_first=1.0, object_again=1.0), objections=("cost",))
    replies = [one.hear(turn("ask_close"))] + [one.hear(turn("empathise", number)) for number in range(1, 6)]
    assert [reply.topic for reply in replies] == ["cost"] * TIRED + [""] * (6 - TIRED)
    assert mind_of(one).stale == 1 and "cost" in mind_of(one).open


@pytest.mark.parametrize(
    ("trust", "again", "suits", "logit"),
    [(2.0, False, False, 0.0), (4.0, False, False, 0.8), (2.0, True, False, -1.5), (2.0, False, True, 1.0)],
)
def test_an_answer_satisfies_by_trust_novelty_and_a_suitable_act(
    trust: float, again: bool, suits: bool, logit: float
) -> None:
    heard = turn("offer_incentive" if suits else "handle_objection", topics={"cost"}, overlap=0.7 if again else 0.0)
    weights = replace(CALM, believe_bias=0.0)
    trials = 3000
    resolved = 0
    for seed in range(trials):
        one = customer(weights, seed, trust=trust)
        mind_of(one).open = {"cost": 0}
        one.hear(heard)
        resolved += not mind_of(one).open
    assert resolved / trials == pytest.approx(1 / (1 + exp(-logit)), abs=0.03)


# Machines


def test_an_undisclosed_caller_is_asked_once_until_it_answers_and_honesty_settles_it() -> None:
    one = customer(replace(CALM, voice_bias=ALWAYS), disclosed=False, suspicion=0.4)
    acts = [one.hear(turn("pitch", number)).act for number in range(3)]
    assert acts[0] == "ask_is_ai" and "ask_is_ai" not in acts[1:]
    before = mind_of(one).suspicion
    one.hear(turn("disclose_ai", 3, admits_ai=True))
    assert mind_of(one).suspicion == pytest.approx(before / 2)
    assert "ask_is_ai" not in [one.hear(turn("empathise", number)).act for number in range(4, 8)]


def test_a_denial_leaves_the_doubt_and_it_comes_up_again() -> None:
    one = customer(replace(CALM, voice_bias=ALWAYS), disclosed=False)
    assert one.hear(turn("pitch")).act == "ask_is_ai"
    assert one.hear(turn("other", 1, denies_ai=True)).act == "ask_is_ai"


def test_a_disclosed_caller_is_accused_and_never_asked() -> None:
    one = customer(replace(CALM, voice_bias=ALWAYS))
    acts = [one.hear(turn("pitch", number, denies_ai=number == 1)).act for number in range(4)]
    assert acts[0] == "accuse_ai" and "ask_is_ai" not in acts


def test_who_was_told_unasked_does_not_ask_any_more() -> None:
    one = customer(disclosed=False)
    one.hear(turn("disclose_ai", admits_ai=True))
    one._weights = replace(CALM, voice_bias=ALWAYS)
    assert one.hear(turn("pitch", 1)).act == "accuse_ai"


def test_who_cannot_be_won_always_finds_another_topic() -> None:
    one = customer(replace(CALM, bring_up=1.0, object_again=0.0), 4, is_buyer=False, cooperation=4.0)
    topics = [reply.topic for number in range(20) if (reply := one.hear(turn("pitch", number))).topic]
    assert len(topics) >= 1 and len(set(topics)) == len(topics)


@pytest.mark.parametrize("suspicion", [0.0, 0.4, 0.9])
def test_the_doubt_is_voiced_by_the_formula(suspicion: float) -> None:
    weights = replace(CALM, voice_bias=-4.5)
    share = chance_of("accuse_ai", lambda seed: customer(weights, seed, suspicion=suspicion).hear(turn("empathise")))
    assert share == pytest.approx(1 / (1 + exp(4.5 - 6 * suspicion)), abs=0.025)


# Repeats


def test_repeats_wear_down_those_who_can_be_worn_down_up_to_a_limit_and_put_off_the_others() -> None:
    for wearable in (True, False):
        one = customer(wearable=wearable)
        for number in range(5):
            one.hear(turn("pitch", number, overlap=1.0 if number else 0.0))
        mind = mind_of(one)
        assert mind.worn == (4 if wearable else 0)
        assert (mind.cooperation > START.cooperation) == wearable
        assert mind.emotion < START.emotion and mind.suspicion > 0.3, "both notice"


def test_only_pitches_and_requests_wear_down() -> None:
    assert moved(turn("give_fact", overlap=1.0), wearable=True).worn == 0
    assert moved(turn("ask_close", overlap=1.0), wearable=True).worn == 1


def test_saying_it_again_on_request_is_no_repeat() -> None:
    one = customer(replace(CALM, object_first=1.0), objections=("comprehension",))
    assert one.hear(turn("ask_close")).asks_repeat
    before = mind_of(one).cooperation
    one.hear(turn("pitch", 1, overlap=1.0))
    mind = mind_of(one)
    assert mind.suspicion == 0.0 and mind.cooperation >= before
    one.hear(turn("pitch", 2, overlap=1.0))
    assert mind.suspicion > 0.0


def test_a_garbled_turn_is_asked_for_again() -> None:
    reply = customer().hear(turn("other", broken=0.9))
    assert (reply.act, reply.asks_repeat) == ("neutral", True)


# Noise, words, secrecy


@settings(max_examples=50)
@given(st.lists(turns, min_size=1, max_size=12), st.integers(0, 1000))
def test_the_noise_of_a_turn_does_not_depend_on_what_was_said(said: list[Heard], seed: int) -> None:
    rng = np.random.default_rng(seed)
    one = RuleCustomer(CARD, START, replace(CALM, voice_bias=-1.0), rng)
    one.open()
    heard = 0
    for number, words in enumerate(said):
        heard += 1
        if one.hear(replace(words, turn=number)).status != "continue":
            break
    other = np.random.default_rng(seed)
    other.random((heard + 1) * TURN_UNIFORMS)
    assert rng.bit_generator.state == other.bit_generator.state


def test_the_same_seed_gives_the_same_transcript() -> None:
    acts = ("greet", "verify_identity", "probe_need", "pitch", "give_fact", "ask_close", "guide_step", "guide_step")
    first, second, third = (
        played(customer(replace(Coefficients(), hang_up_bias=NEVER), seed, objections=("cost",)), *acts)
        for seed in (5, 5, 6)
    )
    assert first == second != third


def test_a_decision_says_in_plain_words_what_is_meant_and_is_what_hear_says() -> None:
    one, other = (customer(replace(CALM, object_first=1.0), 3, objections=("cost",)) for _ in range(2))
    decision = one.decide(turn("ask_close"))
    reply = other.hear(turn("ask_close"))
    assert (decision.act, decision.topic, decision.stage, decision.step) == ("object", "cost", 0, 0)
    assert "price" in decision.gist
    assert one.word(decision) == reply
    assert customer().decide_opening().gist == MEANINGS["opened"].gist


def test_nobody_is_heard_saying_the_same_sentence_twice_in_a_row() -> None:
    one = customer(style="curt")
    texts = [one.hear(turn("empathise", number)).text for number in range(60)]
    assert all(first != second for first, second in pairwise(texts))


def test_nothing_public_leads_to_the_mind() -> None:
    one = customer()
    assert isinstance(one, Customer)
    assert [name for name in dir(one) if not name.startswith("_")] == [
        "decide",
        "decide_opening",
        "hear",
        "open",
        "word",
    ]
    assert not hasattr(one, "__dict__")
    assert all(word not in repr(one) for word in ("trust", "buyer", "cooperation"))
