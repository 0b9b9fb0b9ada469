"""The worded customer: rules decide, a model words; and what a model may not say as a customer."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chat_customers import FINE, TASK, ScriptedModel, by_seed, customer, heard, sampler, seller, talk
from fault_server import FaultServer

from fogline.core.chat import ChatReply, ChatRequest, OpenAIChatModel
from fogline.core.chat.errors import ContentRefused, ContextLengthExceeded, MalformedReply, RateLimited
from fogline.core.errors import ConfigurationError
from fogline.simulators.customers.chat_side import Voice
from fogline.simulators.customers.customer import AsyncCustomer, Customer, SamplingIgnored, SimulatorFault
from fogline.simulators.customers.mind import STYLES, mind_of
from fogline.simulators.customers.products import bundled_cards
from fogline.simulators.customers.scenarios import make_rule_customer, scenario_of, task_ids
from fogline.simulators.customers.worded import WordedCustomer, worded_customer
from fogline.simulators.customers.wording import MEANINGS, TOPIC_GISTS

# Rules decide


@pytest.mark.parametrize("number", range(6))
def test_with_one_seed_it_does_what_the_rule_customer_does_in_other_words(number: int) -> None:
    scenario, turns = scenario_of(f"home-internet/{number:04d}"), seller(number)
    rules = talk(make_rule_customer(scenario, np.random.default_rng(number)), turns)
    worded = talk(customer(ScriptedModel(by_seed), number, scenario.task_id), turns)
    assert [replace(reply, text="") for reply in rules] == [replace(reply, text="") for reply in worded]
    assert all(reply.text.startswith("Number ") for reply in worded)


def test_faults_change_no_decision_and_no_words_of_other_turns() -> None:
    turns = seller(4)
    sound = talk(customer(ScriptedModel(by_seed)), turns)

    def faulty(request: ChatRequest) -> str:
        return "" if request.seed is not None and request.seed % 3 == 0 else by_seed(request)

    other = talk(customer(ScriptedModel(faulty)), turns)
    assert len(sound) == len(other)
    assert [(a.act, a.status) for a in sound] == [(b.act, b.status) for b in other]
    differing = [index for index, pair in enumerate(zip(sound, other, strict=True)) if pair[0] != pair[1]]
    assert differing
    assert all(int(sound[index].text.split()[1]) % 3 == 0 for index in differing)


def test_the_same_seed_is_the_same_transcript_and_another_seed_another() -> None:
    first, again, other = (talk(customer(ScriptedModel(by_seed), seed), seller(1)) for seed in (5, 5, 6))
    assert first == again
    assert first[0] != other[0]


def test_it_is_a_customer_in_both_forms_and_its_mind_is_for_validation_only() -> None:
    one = customer(ScriptedModel([FINE]))
    assert isinstance(one, Customer)
    assert isinstance(one, AsyncCustomer)
    assert mind_of(one).over is False
    public = [name for name in dir(one) if not name.startswith("_")]
    assert sorted(public) == ["faults", "hear", "hear_async", "open", "open_async", "usage"]


def test_the_model_is_told_style_meaning_and_the_sellers_words_and_nothing_of_the_mind() -> None:
    model = ScriptedModel([FINE])
    one = customer(model, temperature=0.9, top_p=0.8, max_tokens=33, extra={"min_p": 0.1})
    one.open()
    reply = one.hear(heard("<b>Good</b>\nmorning", "greet"))
    opening, request = model.requests
    assert (request.temperature, request.top_p, request.max_tokens, request.extra) == (0.9, 0.8, 33, {"min_p": 0.1})
    assert request.seed is not None and request.seed != opening.seed
    system, asked = (message["content"] for message in request.messages)
    card = scenario_of(TASK).card
    assert card.company in system and card.product in system
    assert 'The caller says: "(b)Good(/b) morning"' in asked
    gists = {entry.gist for entry in MEANINGS.values() if entry.act == reply.act} | set(TOPIC_GISTS.values())
    assert any(gist in asked for gist in gists)
    assert "phone rings" in opening.messages[1]["content"]
    latent = ("trust", "cooperation", "emotion", "suspicion", "buyer", "patience")
    assert not any(word in f"{system} {asked}" for word in latent)


def test_styles_ask_for_different_lengths() -> None:
    systems = set()
    for style in STYLES:
        model = ScriptedModel([FINE])
        scenario = scenario_of(TASK)
        engine = make_rule_customer(scenario, np.random.default_rng(0))
        rng = np.random.default_rng(0)
        WordedCustomer(engine, Voice(model, check=False), scenario.card, rng, style=style).open()
        systems.add(model.requests[0].messages[0]["content"])
    assert len(systems) == len(STYLES)
    with pytest.raises(ConfigurationError, match="style"):
        WordedCustomer(engine, ScriptedModel([FINE]), scenario.card, rng, style="loud")


# Faults


FAULTY: list[tuple[str, Any]] = [
    ("empty", "  \n"),
    ("empty", "..."),
    ("empty", "<think>what would it say</think>"),
    ("role_inversion", "Hello! How can I help you today?"),
    ("role_inversion", "Hello there.\nSeller: I am glad that you ask."),
    ("echo", "The person means to pick up the phone. In the person's words: hello"),
    ("too_long", "and so on " * 40),
    ("too_long", ChatReply("I was just about to", finish_reason="length")),
    ("unreadable", MalformedReply("nothing in it")),
    ("declined", ContentRefused("not allowed")),
]


@pytest.mark.parametrize(("kind", "reply"), FAULTY)
def test_a_faulty_reply_is_counted_and_asked_for_again_with_another_seed(kind: str, reply: Any) -> None:
    model = ScriptedModel([reply, FINE])
    one = customer(model)
    assert one.open().text == FINE
    assert one.faults == {kind: 1}
    assert len({request.seed for request in model.requests}) == 2
    usage = one.usage()
    assert (usage.model_calls, usage.retries) == (2, 1)


@pytest.mark.parametrize("max_faults", [0, 1, 3])
def test_more_faults_in_a_turn_than_allowed_are_a_simulator_fault(max_faults: int) -> None:
    model = ScriptedModel([""])
    one = customer(model, max_faults=max_faults)
    with pytest.raises(
        SimulatorFault, match=rf"scripted gave {max_faults + 1} replies.*empty.*max_faults={max_faults}"
    ):
        one.open()
    assert one.faults == {"empty": max_faults + 1}
    assert len(model.requests) == max_faults + 1


def test_faults_are_counted_over_the_call_and_allowed_anew_each_turn() -> None:
    model = ScriptedModel(["", "", "", FINE, "We offer you a trial.", FINE])
    one = customer(model)
    one.open()
    one.hear(heard("Good morning", "greet"))
    assert one.faults == {"empty": 3, "role_inversion": 1}
    with pytest.raises(TypeError):
        one.faults["empty"] = 0  # type: ignore[index]


def test_what_the_way_to_the_server_does_is_no_fault_of_the_simulator() -> None:
    one = customer(ScriptedModel([RateLimited("429")]))
    with pytest.raises(RateLimited):
        one.open()
    assert one.faults == {}
    assert one.usage().model_calls == 1


def test_a_call_that_no_longer_fits_the_model_is_never_the_sellers_failure() -> None:
    model = ScriptedModel([ContextLengthExceeded("too long")])
    with pytest.raises(SimulatorFault, match="no longer fits"):
        customer(model).open()
    assert len(model.requests) == 1


def test_a_server_that_ignores_the_temperature_is_found_before_the_first_word() -> None:
    model = ScriptedModel([FINE])
    one = worded_customer(scenario_of(TASK), np.random.default_rng(0), model=model)
    with pytest.raises(SamplingIgnored, match="temperature"):
        one.open()
    assert one.faults == {}


def test_usage_counts_tokens_and_money_and_what_came_from_the_cache_is_free() -> None:
    def reply(cached: bool) -> ChatReply:
        return ChatReply(
            FINE, prompt_tokens=30, completion_tokens=9, cost=0.0 if cached else 0.25, retries=2, cached=cached
        )

    one = customer(ScriptedModel([reply(False), reply(True), reply(False)]))
    one.open()
    first = one.usage()
    one.hear(heard("Good morning", "greet"))
    one.hear(heard("What is it that you need?", "probe_need", turn=1))
    usage = one.usage()
    assert (usage.model_calls, usage.prompt_tokens, usage.completion_tokens) == (3, 60, 18)
    assert (usage.cost, usage.retries) == (0.5, 4)
    assert (first.model_calls, first.prompt_tokens, first.retries) == (1, 30, 2)


def test_against_a_server_transcripts_repeat_and_a_cache_answers_for_it(tmp_path: Path) -> None:
    turns = seller(9, 5)

    async def run() -> None:
        async with FaultServer(otherwise=sampler()) as server:
            told, asked = [], []
            for _ in range(2):
                model = OpenAIChatModel("m", base_url=server.url, cache_dir=tmp_path, max_tokens_field="max_tokens")
                voice = Voice(model, temperature=0.8)
                one = worded_customer(scenario_of(TASK), np.random.default_rng(1), model=voice)
                replies = [await one.open_async()]
                for turn in turns:
                    if replies[-1].status == "continue":
                        replies.append(await one.hear_async(turn))
                told.append(replies)
                asked.append(len(server.requests))
                await asyncio.to_thread(voice.close)
            assert told[0] == told[1]
            assert asked[0] == asked[1] == 7 + len(told[0])
            assert {body["temperature"] for _, body in server.requests[7:]} == {0.8}
            assert one.usage().completion_tokens == 0

    asyncio.run(run())


def test_every_customer_of_a_split_can_be_worded() -> None:
    model = ScriptedModel([FINE])
    voice = Voice(model, check=False)
    for task in task_ids(tuple(bundled_cards()), "test", 5):
        customer(voice, 0, task).open()
    assert len(model.requests) == 5 * len(bundled_cards())
    voice.close()
