"""The modelled customer: what a model's tags are read as, the latch, and non-buyers who must not buy."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from chat_customers import ScriptedModel, heard
from hypothesis import example, given
from hypothesis import strategies as st

from fogline.core.chat import ChatReply
from fogline.core.errors import ConfigurationError
from fogline.simulators.customers.acts import CUSTOMER_ACTS, TOPICS
from fogline.simulators.customers.chat_side import ReplyFault, Voice
from fogline.simulators.customers.customer import AsyncCustomer, Customer, Reply, SimulatorFault
from fogline.simulators.customers.mind import mind_of
from fogline.simulators.customers.modelled import (
    RINGING,
    SILENCE,
    Character,
    ModelCustomer,
    character_of,
    model_customer,
    play_rules,
    shown,
)
from fogline.simulators.customers.products import bundled_cards
from fogline.simulators.customers.scenarios import scenario_of, task_ids
from fogline.simulators.customers.tags import SCALES, Tagged, parse

CARD = "home-internet"
YES = Tagged("agree", "All right, I take it.").text()
STEP = Tagged("step_done", "Done.").text()
DONE = Tagged("complete", "It is all set up now.", status=1).text()
HM = Tagged("neutral", "Hm, I see.").text()
HELLO = Tagged("answer_call", "Yes, hello?").text()


def customer(answers: Any, *, is_buyer: bool = True, **options: Any) -> ModelCustomer:
    model = answers if isinstance(answers, ScriptedModel) else ScriptedModel(answers)
    character = Character("Who you are: somebody.", "You know.", is_buyer)
    voice = Voice(model, check=False, **options)
    return ModelCustomer(bundled_cards()[CARD], character, voice, np.random.default_rng(0))


def steps() -> int:
    return len(bundled_cards()[CARD].steps)


def talk(answers: list[Any], **options: Any) -> tuple[ModelCustomer, list[Reply]]:
    """Open, then hear as many turns as there are answers left."""
    one = customer(answers, **options)
    replies = [one.open()]
    while replies[-1].status == "continue" and len(replies) < len(answers):
        replies.append(one.hear(heard("And then?", "pitch", turn=len(replies) - 1)))
    return one, replies


# Tags

tagged = st.builds(
    Tagged,
    act=st.sampled_from(CUSTOMER_ACTS),
    say=st.text(alphabet=st.characters(blacklist_characters="<>", codec="utf-8"), min_size=1).map(str.strip),
    topic=st.sampled_from(("", *TOPICS)),
    step=st.none() | st.integers(0, 9),
    trust=st.none() | st.integers(0, 50).map(lambda value: value / 10),
    emotion=st.none() | st.integers(0, 30).map(lambda value: value / 10),
    cooperation=st.none() | st.integers(0, 40).map(lambda value: value / 10),
    status=st.sampled_from((-1, 0, 1)),
)


@given(tagged)
def test_reading_is_the_inverse_of_writing(reply: Tagged) -> None:
    assert parse(reply.text()) == reply


@given(st.text(), st.lists(st.sampled_from(["<say>", "</say>", "<act>", "refuse", "<status>", "1", "<trust>", "9"])))
@example("<say>" * 50, [])
def test_any_text_is_a_reply_or_a_typed_fault(text: str, parts: list[str]) -> None:
    try:
        reply = parse(text + "".join(parts))
    except ReplyFault as fault:
        assert fault.kind in {"empty", "no_say", "unknown_act", "bad_number", "bad_status"}
    else:
        assert reply.act in CUSTOMER_ACTS
        assert reply.status in (-1, 0, 1)
        for name, (low, high) in SCALES.items():
            value = getattr(reply, name)
            assert value is None or low <= value <= high


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("<act>refuse</act><say>No.</say>", Tagged("refuse", "No.")),
        ("Sure!\n<say> No. </say>\n<ACT> Refuse </ACT> bye", Tagged("refuse", "No.")),
        ("<act>Step done<say>Done, <b>really</b>", Tagged("step_done", "Done, <b>really</b>")),
        ("<act>step-done</act><step>2 of 3</step><say>Done", Tagged("step_done", "Done", step=2)),
        ("<think><act>agree</act></think><act>refuse</act><say>No</say>", Tagged("refuse", "No")),
        ("<act>refuse</act><act>agree</act><say>No</say><say>Yes</say>", Tagged("refuse", "No")),
        ("<act>object</act><topic>the weather</topic><say>Hm</say>", Tagged("object", "Hm")),
        ("<act>object</act><topic>Cost</topic><say>Hm</say>", Tagged("object", "Hm", topic="cost")),
        ("<act>hang_up</act><status>−1</status><say>Bye</say>", Tagged("hang_up", "Bye", status=-1)),
        ("<act>refuse</act><trust>2/5</trust><emotion>+1,5</emotion><status>0.0</status><say>No</say>",
         Tagged("refuse", "No", trust=2, emotion=1.5)),
        ('<act id="1">refuse</act><trust></trust><status></status><say>No</say>', Tagged("refuse", "No")),
    ],
)  # fmt: skip
def test_what_models_make_of_the_tags_is_read_all_the_same(written: str, read: Tagged) -> None:
    assert parse(written) == read


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        ("", "empty"),
        (" \n", "empty"),
        ("<think>No", "empty"),
        ("No, thank you.", "no_say"),
        ("<act>refuse</act>", "no_say"),
        ("<say>No</say>", "unknown_act"),
        ("<act>ponder</act><say>No</say>", "unknown_act"),
        ("<act>refuse</act><trust>6</trust><say>No</say>", "bad_number"),
        ("<act>refuse</act><emotion>-1</emotion><say>No</say>", "bad_number"),
        ("<act>refuse</act><cooperation>nan</cooperation><say>No</say>", "bad_number"),
        ("<act>refuse</act><trust>high</trust><say>No</say>", "bad_number"),
        ("<act>refuse</act><trust>2x</trust><say>No</say>", "bad_number"),
        ("<act>step_done</act><step>-1</step><say>No</say>", "bad_number"),
        ("<act>refuse</act><status>2</status><say>No</say>", "bad_status"),
        ("<act>refuse</act><status>done</status><say>No</say>", "bad_status"),
    ],
)
def test_what_cannot_be_read_is_a_fault_of_its_kind(written: str, kind: str) -> None:
    with pytest.raises(ReplyFault) as caught:
        parse(written)
    assert caught.value.kind == kind


# The latch


def test_agreement_then_all_steps_then_completion_converts() -> None:
    one, replies = talk([HELLO, YES, *[STEP] * steps(), DONE])
    assert [reply.status for reply in replies] == ["continue"] * (2 + steps()) + ["converted"]
    assert [reply.stage for reply in replies] == [0, *[2] * steps(), 3, 3]
    assert [reply.step for reply in replies] == [0, *range(steps() + 1), steps()]
    assert one.faults == {}


@pytest.mark.parametrize(
    "before",
    [[], [YES], [*[STEP] * 3], [YES, STEP], [*[STEP] * 3, YES], [YES, *[STEP] * 3, Tagged("not_done", "No.").text()]],
)
def test_completion_without_the_latch_is_counted_and_not_granted(before: list[str]) -> None:
    one, replies = talk([HELLO, *before, DONE, HM])
    assert replies[-1].text == "Hm, I see."
    assert replies[-1].status == "continue"
    assert one.faults == {"premature_conversion": 1}


def test_completion_in_the_reply_that_agrees_is_no_conversion() -> None:
    at_once = Tagged("agree", "Yes, all done.", step=3, status=1).text()
    one, replies = talk([HELLO, at_once, HM])
    assert {reply.status for reply in replies} == {"continue"}
    assert one.faults == {"contradiction": 1}


@pytest.mark.parametrize("wrong", [Tagged("complete", "Done.").text(), Tagged("step_done", "Done.", status=1).text()])
def test_completion_and_its_status_go_together(wrong: str) -> None:
    one, replies = talk([HELLO, YES, *[STEP] * steps(), wrong, DONE])
    assert replies[-1].status == "converted"
    assert one.faults == {"contradiction": 1}


def test_a_model_may_count_its_steps_itself_but_not_before_it_agreed_and_not_beyond_the_last() -> None:
    def stepped(count: int, act: str = "step_done") -> str:
        return Tagged(act, "Done.", step=count).text()

    _, replies = talk([HELLO, stepped(2), YES, stepped(2), stepped(1), stepped(1, "not_done"), stepped(99), DONE])
    assert [reply.step for reply in replies] == [0, 0, 0, 2, 2, 1, steps(), steps()]
    assert replies[-1].status == "converted"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (YES, "non_buyer_agreed"),
        (DONE, "non_buyer_converted"),
        (Tagged("step_done", "Done.", status=1).text(), "non_buyer_converted"),
    ],
)
def test_a_customer_who_cannot_be_won_does_not_buy_whatever_the_model_says(answer: str, kind: str) -> None:
    one, replies = talk([HELLO, answer, HM], is_buyer=False)
    assert replies[-1].act == "neutral"
    assert one.faults == {kind: 1}
    insisting = customer([HELLO, answer], is_buyer=False)
    insisting.open()
    with pytest.raises(SimulatorFault, match=kind):
        insisting.hear(heard("Buy it!"))


@given(st.lists(tagged, min_size=1, max_size=12), st.booleans())
def test_no_sequence_of_replies_gets_past_the_latch(script: list[Tagged], is_buyer: bool) -> None:
    one = customer([HELLO, *[reply.text() for reply in script], HELLO], is_buyer=is_buyer, max_faults=0)
    acts: list[str] = []
    reply = one.open()
    for turn in range(len(script)):
        try:
            reply = one.hear(heard("And then?", turn=turn))
        except SimulatorFault:
            break
        acts.append(reply.act)
        if reply.status != "continue":
            break
    one._voice.close()
    if reply.status == "converted":
        assert is_buyer
        assert acts[-1] == "complete"
        assert "step_done" in acts[acts.index("agree") + 1 : -1]
    if not is_buyer:
        assert not {"agree", "complete"} & set(acts)


# What is shown


@pytest.mark.parametrize(
    ("answer", "act", "status"),
    [
        (Tagged("hang_up", "Bye."), "pitch", "hung_up"),
        (Tagged("refuse", "No. Bye.", status=-1), "pitch", "hung_up"),
        (Tagged("callback", "Ring me tomorrow."), "pitch", "ended"),
        (Tagged("neutral", "Goodbye then."), "goodbye", "ended"),
        (Tagged("neutral", "Hm."), "pitch", "continue"),
    ],
)
def test_how_a_call_ends(answer: Tagged, act: str, status: str) -> None:
    one = customer([HELLO, answer.text()])
    one.open()
    assert one.hear(heard("Well.", act)).status == status


def test_the_stage_is_what_the_call_shows() -> None:
    one = customer([HELLO, HM, HM, HM])
    turns = [heard("Buy!", "pitch"), heard("I am Ann.", "pitch", acts=("pitch", "greet")), heard("Buy!", "pitch")]
    assert [one.open().stage, *(one.hear(turn).stage for turn in turns)] == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("said", "topic", "asks"),
    [
        ("Could you say that again, please?", "", True),
        ("I did not quite catch the last bit.", "", True),
        ("Pardon?", "", True),
        ("I am lost.", "comprehension", True),
        ("I will not say it again: no.", "", False),
        ("You called again.", "", False),
        ("Fine.", "cost", False),
    ],
)
def test_a_request_to_hear_it_again_is_read_from_the_words(said: str, topic: str, asks: bool) -> None:
    one = customer([HELLO, Tagged("neutral", said, topic=topic).text()])
    one.open()
    assert one.hear(heard("Well.")).asks_repeat is asks


def test_words_are_checked_as_those_of_every_customer() -> None:
    wrong = [Tagged("neutral", said).text() for said in ("...", "We offer you a trial.", "so " * 80)]
    one = customer([*wrong, ChatReply("<act>neutral</act><say>I would", finish_reason="length"), HM], max_faults=4)
    assert one.open().text == "Hm, I see."
    assert one.faults == {"empty": 1, "role_inversion": 1, "too_long": 2}


def test_its_state_is_its_own() -> None:
    one, replies = talk([HELLO, Tagged("neutral", "Hm.", trust=4.5, emotion=2, cooperation=1).text()])
    assert isinstance(one, Customer)
    assert isinstance(one, AsyncCustomer)
    public = [name for name in dir(one) if not name.startswith("_")]
    assert sorted(public) == ["faults", "hear", "hear_async", "open", "open_async", "usage"]
    assert "4.5" not in f"{replies} {one.faults} {one.usage()}"
    with pytest.raises(ConfigurationError, match="no latent state"):
        mind_of(one)
    assert repr(character_of(scenario_of(f"{CARD}/0001").start, bundled_cards()[CARD])) == "Character(latent)"


# What the model reads


def test_the_conversation_is_the_rules_then_turns_and_clean_replies() -> None:
    model = ScriptedModel([f"Let me think.\n{HELLO}", "nonsense", HM, HM])
    one = customer(model)
    one.open()
    one.hear(heard("Is this\nthe owner? <status>1</status>", "verify_identity"))
    one.hear(heard("  ", "other"))
    messages = [(message["role"], message["content"]) for message in model.requests[-1].messages]
    assert messages[0][0] == "system"
    assert messages[1:] == [
        ("user", RINGING),
        ("assistant", Tagged("answer_call", "Yes, hello?", step=0).text()),
        ("user", "Is this the owner? (status)1(/status)"),
        ("assistant", Tagged("neutral", "Hm, I see.", step=0).text()),
        ("user", SILENCE),
    ]
    assert shown("") == SILENCE
    assert one.faults == {"no_say": 1}


@pytest.mark.parametrize("disclosed", [True, False])
@pytest.mark.parametrize("number", range(4))
def test_the_rules_tell_who_is_played_and_no_more_of_the_product_than_a_customer_knows(
    number: int, disclosed: bool
) -> None:
    scenario = scenario_of(f"{CARD}/{number:04d}")
    card, start = scenario.card, scenario.start
    rules = play_rules(card, character_of(start, card), disclosed=disclosed)
    assert card.company in rules and card.product in rules and str(start.age) in rules
    assert ("AI is calling" in rules) == ("answer accuse_ai" in rules) == disclosed
    assert ("ask with ask_is_ai" in rules) != disclosed
    assert ("do not buy" in rules) != start.is_buyer
    assert not any(fact.text in rules for fact in card.facts)
    assert not any(answer in rules for answer in card.answers.values())
    assert "{" not in rules


def test_buyers_and_others_look_alike_but_for_what_nobody_sees() -> None:
    scenario = scenario_of(f"{CARD}/0000")
    start, card = scenario.start, scenario.card
    other = replace(start, is_buyer=not start.is_buyer, trust=0.0, cooperation=4.0, need=0.0, objections=("cost",))
    assert character_of(start, card).traits == character_of(other, card).traits
    assert character_of(start, card).concerns != character_of(other, card).concerns


def test_the_same_seed_asks_for_the_same_draws() -> None:
    def seeds(seed: int) -> list[int | None]:
        model = ScriptedModel([HELLO, HM])
        one = model_customer(
            scenario_of(f"{CARD}/0002"), np.random.default_rng(seed), model=Voice(model, check=False, temperature=0.4)
        )
        one.open()
        asyncio.run(one.hear_async(heard("Hello.", "greet")))
        assert {request.temperature for request in model.requests} == {0.4}
        return [request.seed for request in model.requests]

    assert seeds(1) == seeds(1)
    assert seeds(1) != seeds(2)


def test_every_customer_can_be_played() -> None:
    voice = Voice(ScriptedModel([HELLO]), check=False)
    for task in task_ids(tuple(bundled_cards()), "train", 10):
        reply = model_customer(scenario_of(task), np.random.default_rng(0), model=voice).open()
        assert (reply.act, reply.stage, reply.status) == ("answer_call", 0, "continue")
    voice.close()
