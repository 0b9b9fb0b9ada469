"""What customers with a chat model behind them share: which words are a customer's, and one event loop for all."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from chat_customers import FINE, ScriptedModel, by_seed, customer, seller, talk
from hypothesis import given
from hypothesis import strategies as st

from fogline.core.chat import ChatReply, ChatRequest
from fogline.envs.sales_dialogue.phrases import N_TEMPLATES, realise
from fogline.simulators.customers.chat_side import LONGEST_HEARD, Line, ReplyFault, Voice, heard_text, spoken
from fogline.simulators.customers.customer import Reply
from fogline.simulators.customers.inversion import inverted
from fogline.simulators.customers.mind import STYLES
from fogline.simulators.customers.products import bundled_cards
from fogline.simulators.customers.wording import MEANINGS, OBJECT, TOPIC_GISTS, book_of

# What may be said


def said(text: str, *, cut: bool = False, most_words: int = 12, heard: str = "") -> str:
    prompt = ({"role": "user", "content": "Speak as somebody who has a dog, a cat and nine old parrots."},)
    return spoken(text, cut=cut, most_words=most_words, company="Larkline", prompt=prompt, heard=heard)


@pytest.mark.parametrize(
    ("written", "spoken_text"),
    [
        ("Yes?", "Yes?"),
        ('"Yes, and who is it?"', "Yes, and who is it?"),
        ("“Hm.”", "Hm."),
        ('"No," she said, "never."', '"No," she said, "never."'),
        ("Customer: hm,\n  go on", "hm, go on"),
        ("<think>short</think> Fine.", "Fine."),
        (
            "One two. Three four five six. Seven eight nine. Ten, eleven, twelve, thirteen.",
            "One two. Three four five six. Seven eight nine.",
        ),
    ],
)
def test_only_spoken_words_are_left(written: str, spoken_text: str) -> None:
    assert said(written) == spoken_text


def test_a_reply_that_was_cut_ends_at_its_last_whole_sentence() -> None:
    assert said("I see. Then I would", cut=True) == "I see."
    assert said("I see.", cut=True) == "I see."
    with pytest.raises(ReplyFault, match="too_long"):
        said("I would", cut=True)


def test_a_stretch_of_the_instructions_or_the_sellers_turn_alone_is_an_echo() -> None:
    with pytest.raises(ReplyFault, match="echo"):
        said("I am somebody who has a dog, a cat and nine")
    assert said("I have a dog and a cat") == "I have a dog and a cat"
    with pytest.raises(ReplyFault, match="echo"):
        said("It costs 19 euros!", heard="Madam, it costs 19 euros, and not a cent more.")
    assert said("19 euros?", heard="It costs 19 euros a month.") == "19 euros?"


@given(st.text(max_size=300), st.booleans(), st.text(max_size=40))
def test_any_text_is_either_words_within_the_limit_or_a_fault(text: str, cut: bool, other: str) -> None:
    try:
        words = said(text, cut=cut, heard=other)
    except ReplyFault as fault:
        assert fault.kind in {"empty", "role_inversion", "echo", "too_long"}
    else:
        assert 1 <= len(words.split()) <= 12
        assert words == " ".join(words.split())
        assert inverted(words, "Larkline") == ""


@given(st.text(max_size=3000))
def test_a_sellers_turn_is_shown_on_one_short_line_without_tags(text: str) -> None:
    shown = heard_text(text)
    assert "<" not in shown and ">" not in shown and "\n" not in shown
    assert len(shown) <= LONGEST_HEARD + 5
    if len(text) <= LONGEST_HEARD and "<" not in text and ">" not in text:
        assert shown == " ".join(text.split())


SELLERS_WORDS = [
    "Hello, this is Ann from Larkline.",
    "I'm calling from Larkline about your contract.",
    "My name is Tom and I am calling on behalf of Larkline.",
    "We offer you forty gigabytes for 19 euros.",
    "I can offer you a free month.",
    "Would you like to sign up?",
    "Great choice! Sign up now and save.",
    "Let me tell you about our plan.",
    "Here at Larkline we care.",
    "Thank you for your interest!",
    "I understand your concern, but it is cheap.",
    "Is there anything else I can help with?",
    "As an AI language model, I cannot buy anything.",
    "Shall I send you the link?",
    "Are you interested in a trial?",
]
CUSTOMERS_WORDS = [
    "Hello, how can I help?",
    "You are calling from Larkline, are you not?",
    "I will sign up today, then.",
    "What does your offer cost?",
    "Do you want to sell me something?",
    "I am a customer of Larkline already.",
    "Our contract runs until May.",
    "Can I send you my old bill?",
    "You offer me this every year.",
    "I understand, but it is too dear.",
    "Are you a robot?",
    "This is my work number, who is calling?",
]


@pytest.mark.parametrize("words", SELLERS_WORDS)
def test_the_sellers_words_in_the_customers_mouth_are_found(words: str) -> None:
    assert inverted(words, "Larkline")
    assert inverted(f"Hm, well. {words}", "Larkline")


@pytest.mark.parametrize("words", CUSTOMERS_WORDS)
def test_a_customers_words_are_no_inversion(words: str) -> None:
    assert inverted(words, "Larkline") == ""


def test_nothing_that_the_rule_customer_says_is_taken_for_a_fault() -> None:
    checked = 0
    for card in bundled_cards().values():
        book = book_of(card)
        meanings = [(name, "") for name in MEANINGS if name != OBJECT] + [(OBJECT, topic) for topic in TOPIC_GISTS]
        for meaning, topic in meanings:
            for style in STYLES:
                for words in book.page(meaning, topic, style):
                    assert spoken(words, cut=False, most_words=60, company=card.company, prompt=(), heard="") == words
                    checked += 1
    assert checked > 1000


@pytest.mark.parametrize(
    ("act", "least"), [("greet", 1.0), ("ask_close", 1.0), ("offer_incentive", 0.7), ("disclose_ai", 0.7)]
)
def test_most_of_what_only_a_seller_says_is_found(act: str, least: float) -> None:
    said = [(realise(act, index, card), card) for card in bundled_cards().values() for index in range(N_TEMPLATES)]
    found = sum(inverted(words, card.company) != "" for words, card in said)
    assert found >= least * len(said)


# Loops and threads


async def in_loop(act: Callable[[], Any]) -> Any:
    return act()


def test_the_sync_form_works_inside_a_running_loop() -> None:
    one = customer(ScriptedModel([FINE]))
    assert asyncio.run(in_loop(one.open)).text == FINE


def test_both_forms_say_the_same() -> None:
    turns = seller(2, 4)

    async def awaited() -> list[Reply]:
        one = customer(ScriptedModel(by_seed))
        replies = [await one.open_async()]
        for turn in turns:
            if replies[-1].status == "continue":
                replies.append(await one.hear_async(turn))
        return replies

    assert asyncio.run(awaited()) == talk(customer(ScriptedModel(by_seed)), turns)


def test_customers_of_one_voice_wait_side_by_side_and_hear_only_their_own_call() -> None:
    voice = Voice(ScriptedModel(by_seed, delay_s=0.05), check=False)
    turns = seller(2, 3)

    async def call(number: int) -> list[str]:
        one = customer(voice, number, f"home-internet/{number:04d}")
        replies = [await one.open_async()]
        for turn in turns:
            if replies[-1].status == "continue":
                replies.append(await one.hear_async(turn))
        return [reply.text for reply in replies]

    async def all_of_them() -> tuple[list[list[str]], float]:
        began = asyncio.get_running_loop().time()
        told = await asyncio.gather(*map(call, range(20)))
        return list(told), asyncio.get_running_loop().time() - began

    together, took = asyncio.run(all_of_them())
    assert took < 20 * 4 * 0.05 / 2
    assert together[7] == asyncio.run(call(7))
    voice.close()


def test_cancelling_the_caller_cancels_the_request() -> None:
    ended = threading.Event()

    class Slow(ScriptedModel):
        async def complete(self, request: ChatRequest) -> ChatReply:
            try:
                await asyncio.sleep(30)
            finally:
                ended.set()
            return ChatReply(FINE)

    async def impatient() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await customer(Slow([])).open_async()
        assert await asyncio.to_thread(ended.wait, 5)

    asyncio.run(impatient())


def threads() -> int:
    return sum(thread.name == "fogline-chat" for thread in threading.enumerate())


def test_a_voice_has_one_thread_which_ends_with_close_or_with_the_voice() -> None:
    gc.collect()
    before = threads()
    voice = Voice(ScriptedModel([FINE]), check=False)
    assert threads() == before
    for number in range(3):
        customer(voice, number).open()
    assert threads() == before + 1
    voice.close()
    voice.close()
    assert threads() == before
    customer(voice).open()
    assert threads() == before + 1
    del voice
    gc.collect()
    assert threads() == before


def test_closing_gives_up_what_is_still_waiting() -> None:
    voice = Voice(ScriptedModel([FINE], delay_s=30), check=False)

    async def run() -> None:
        waiting = asyncio.ensure_future(customer(voice).open_async())
        await asyncio.sleep(0.1)
        await asyncio.to_thread(voice.close)
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(run())


def test_seeds_of_a_turn_do_not_depend_on_earlier_faults() -> None:
    def asked(faults: int) -> list[int | None]:
        model = ScriptedModel([*[""] * faults, FINE])
        line = Line(Voice(model, check=False), np.random.default_rng(3))

        def read(reply: ChatReply) -> str:
            if not reply.text:
                raise ReplyFault("empty")
            return reply.text

        for _ in range(2):
            asyncio.run(line.say([{"role": "user", "content": "hi"}], read))
        return [request.seed for request in model.requests]

    without, with_two = asked(0), asked(2)
    assert with_two[0] == without[0]
    assert with_two[-1] == without[-1]
    assert len({*with_two}) == 4
