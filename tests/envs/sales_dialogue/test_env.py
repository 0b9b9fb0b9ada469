"""SalesDialogue-v0: what it shows and takes, when it ends, what it pays; and both action modes are one game."""

from __future__ import annotations

import asyncio
import json
import math
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from chat_customers import ScriptedModel
from fault_server import FaultServer, answer

from fogline.agents.collector import collect, collect_all
from fogline.agents.environments import make_environment
from fogline.agents.registry import make_agent
from fogline.core.episode import Episode
from fogline.core.errors import ConfigurationError, DataError
from fogline.envs.sales_dialogue.env import MAX_CHARACTERS, SalesDialogueEnv
from fogline.envs.sales_dialogue.phrases import realise
from fogline.simulators.customers.acts import SELLER_ACTS
from fogline.simulators.customers.chat_side import Voice
from fogline.simulators.customers.customer import Reply, SimulatorFault
from fogline.simulators.customers.products import bundled_cards, describe

NAME = "SalesDialogue-v0"
TASK = "mobile-plan/0017"
CARD = bundled_cards()["mobile-plan"]
GREETING = "Good day, this is a call about your phone contract."
FINE = "Well, let me think about that for a moment."
QUIET = {"check": False}


class Lines:
    """A customer that says what it was given, line after line."""

    def __init__(self, *replies: Reply) -> None:
        self.replies = list(replies)
        self.heard: list[Any] = []

    def open(self) -> Reply:
        return Reply("Hello?", "answer_call")

    def hear(self, heard: Any) -> Reply:
        self.heard.append(heard)
        return self.replies.pop(0)


def env_with(*replies: Reply, **options: Any) -> tuple[SalesDialogueEnv, Lines]:
    """An environment whose next customer says these lines."""
    env, customer = SalesDialogueEnv(**options), Lines(*replies)
    env._source.customer = lambda task_id, rng: customer  # type: ignore[method-assign]
    env.reset(seed=0, options={"task_id": TASK})
    return env, customer


def play(env: gymnasium.Env[Any, Any], seed: int, actions: Any, task_id: str = TASK) -> list[Any]:
    steps = [env.reset(seed=seed, options={"task_id": task_id})]
    for action in actions:
        steps.append(env.step(action))
        if steps[-1][2] or steps[-1][3]:
            break
    return steps


def scripted(count: int = 60, **options: Any) -> list[Episode]:
    tasks = [(task_id, seed) for seed, task_id in enumerate(SalesDialogueEnv(**options).task_ids[:count])]
    return collect_all(partial(make_environment, NAME, options), make_agent("scripted", NAME), tasks)


# What is shown


def test_the_first_observation_shows_the_card_who_is_called_the_opening_and_the_pick_up() -> None:
    env = SalesDialogueEnv()
    observation, info = env.reset(seed=3, options={"task_id": TASK})
    assert observation.startswith(describe(CARD))
    assert CARD.audience in observation
    assert f"AI assistant of {CARD.company}" in observation
    assert f"Customer: {info['reply']}" in observation
    assert observation.endswith("turn 1 of 12]")
    assert info == {
        "task_id": TASK,
        "phase": "",
        "turn": 0,
        "customer_act": "answer_call",
        "topic": "",
        "open_topic": "",
        "stage": 0,
        "step": 0,
        "asks_repeat": False,
        "agreed": False,
        "asked_about_ai": False,
        "words": "",
        "reply": info["reply"],
    }


def test_later_observations_show_new_words_only_and_the_turns_left() -> None:
    env, _ = env_with(
        Reply("Yes?", "answer"), Reply("Go on.", "neutral", stage=1), Reply("Hm.", "neutral"), max_turns=3
    )
    shown = [env.step(words)[0] for words in ("Hello, this is Larkline.", "Who decides at your place?", "I see.")]
    assert shown == [
        "Customer: Yes?\n[identity, turn 2 of 3]",
        "Customer: Go on.\n[interest, turn 3 of 3]",
        "Customer: Hm.\n[identity, the call is over]",
    ]


def test_without_disclosure_nobody_says_that_an_ai_calls() -> None:
    env = SalesDialogueEnv(disclose_ai=False)
    observation, _ = env.reset(seed=3, options={"task_id": TASK})
    assert "Opening line" not in observation and "AI" not in observation
    assert "been told" not in env.system_prompt and "You are an AI." in env.system_prompt


@pytest.mark.parametrize("session", ["conversion", "graded", "judge"])
@pytest.mark.parametrize("disclose_ai", [True, False])
def test_the_rules_are_short_and_name_what_is_paid(session: Any, disclose_ai: bool) -> None:
    model = {"model": ScriptedModel(["yes"])} if session == "judge" else {}
    env = SalesDialogueEnv(session=session, disclose_ai=disclose_ai, session_scale=7.0, max_turns=9, **model)
    assert len(env.system_prompt.split()) <= 150
    assert "paid 7 " in env.system_prompt and "9 turns" in env.system_prompt
    assert "never deny it" in env.system_prompt


def test_the_rules_name_the_weights_and_leave_out_what_costs_nothing() -> None:
    env = SalesDialogueEnv(turn_weights={"repetition": 2.5, "fluency": 0})
    assert "saying the same again (2.5)" in env.system_prompt
    assert "broken language" not in env.system_prompt


def test_the_tool_says_its_text_and_any_other_call_says_nothing() -> None:
    env = SalesDialogueEnv()
    (tool,) = env.tools
    assert tool["function"]["name"] == "say"
    assert env.tool_action("say", {"text": "Hello there."}) == "Hello there."
    for name, arguments in (("say", {}), ("say", {"text": 3}), ("shout", {"text": "Hello."})):
        assert env.tool_action(name, arguments) == ""
    assert SalesDialogueEnv(actions="acts").tools == ()


@pytest.mark.parametrize("actions", ["text", "acts"])
def test_rendering_shows_the_call_so_far(actions: Any) -> None:
    env = SalesDialogueEnv(actions=actions, render_mode="ansi")
    assert env.render() is None
    said = GREETING if actions == "text" else (0, 1)
    steps = play(env, 1, [said, None, said])
    shown = str(env.render())
    for _, _, _, _, info in steps[1:]:
        assert f"Customer: {info['reply']}" in shown
    assert shown.index(describe(CARD)) < shown.index(steps[1][4]["words"]) < shown.index(steps[3][4]["reply"])
    assert "Seller: (nothing that could be understood)" in shown


# Acts are text


@pytest.mark.parametrize("options", [{}, {"disclose_ai": False, "variant": "sceptical"}, {"session": "graded"}])
def test_the_act_mode_is_the_text_mode_with_the_phrasebooks_words(options: dict[str, Any]) -> None:
    acts, text = SalesDialogueEnv(actions="acts", **options), SalesDialogueEnv(**options)
    draws = np.random.default_rng(8)
    ended = 0
    for seed in range(120):
        info, other = acts.reset(seed=seed)[1], text.reset(seed=seed)[1]
        assert info == other
        card = bundled_cards()[info["task_id"].partition("/")[0]]
        for _ in range(12):
            if draws.random() < 0.05:
                pair, words = None, "  "
            else:
                pair = draws.integers(0, [14, 4])
                step = min(info["step"], len(card.steps) - 1)
                words = realise(SELLER_ACTS[pair[0]], int(pair[1]), card, topic=info["open_topic"], step=step)
            _, *one, info = acts.step(pair)
            observation, *two, other = text.step(words)
            assert (one, info) == (two, other)
            assert info["words"] == words.strip() and info["reply"] in observation
            if one[1] or one[2]:
                ended += 1
                break
    assert ended == 120


def test_the_memory_of_comparisons_changes_nothing() -> None:
    """The act mode remembers comparisons across calls, the text mode none."""
    acts, text = SalesDialogueEnv(actions="acts"), SalesDialogueEnv()
    words = [realise("pitch", 0, CARD), realise("pitch", 1, CARD), realise("pitch", 0, CARD)]
    for _ in range(2):
        one, two = play(acts, 5, [(3, 0), (3, 1), (3, 0)]), play(text, 5, words)
        assert [step[1:] for step in one[1:]] == [step[1:] for step in two[1:]]
    assert one[3][4]["terms"]["repetition"] == -1.0


# Bad turns

MALFORMED_TEXT = ["", "   \n\t", None, 3, 2.5, b"Hello.", ["Hello."], {"text": "Hello."}, "x" * (MAX_CHARACTERS + 1)]
MALFORMED_ACTS = [
    None, 3, "greet", (0,), (0, 1, 2), (14, 0), (0, 4), (-1, 0), (0, -1), (0.0, 1.0), (True, 0), ("0", "1"),
    np.arange(3), np.array([0.5, 1.0]), np.zeros((2, 2), dtype=int), {"act": 0},
]  # fmt: skip


@pytest.mark.parametrize(
    ("actions", "action"),
    [*(("text", action) for action in MALFORMED_TEXT), *(("acts", action) for action in MALFORMED_ACTS)],
)
def test_a_turn_that_cannot_be_read_costs_its_turn_and_is_silence_to_the_customer(actions: Any, action: Any) -> None:
    env, customer = env_with(Reply("Are you there?", "neutral"), Reply("Well?", "neutral"), actions=actions)
    _, reward, terminated, truncated, info = env.step(action)
    assert info["malformed"] and info["phase"] == "malformed"
    assert info["terms"] == {"repetition": 0.0, "identity": 0.0, "fluency": 0.0, "compliance": 0.0, "format": -1.0}
    assert reward == -0.5 and not terminated and not truncated
    assert (info["turn"], info["words"], info["reply"]) == (1, "", "Are you there?")
    assert (customer.heard[0].utterance.text, customer.heard[0].overlap) == ("", 0.0)
    assert not env.step(GREETING if actions == "text" else (0, 0))[4]["malformed"]


@pytest.mark.parametrize("action", [(0, 1), [0, 1], np.array([0, 1]), (np.int64(0), np.uint8(1)), [np.int32(0), 1]])
def test_a_pair_is_read_in_any_of_its_forms(action: Any) -> None:
    env, _ = env_with(Reply("Yes?", "answer"), actions="acts")
    info = env.step(action)[4]
    assert not info["malformed"]
    assert info["words"] == realise("greet", 1, CARD)


def test_the_longest_turn_is_read() -> None:
    env, _ = env_with(Reply("Pardon?", "neutral"))
    info = env.step(("word " * 1000)[:MAX_CHARACTERS])[4]
    assert not info["malformed"] and info["terms"]["fluency"] == -1.0


# How calls end


def test_the_budget_truncates_and_the_customer_terminates() -> None:
    on = Reply("Go on.", "neutral")
    env, _ = env_with(on, on, on, max_turns=3)
    flags = [env.step(words)[2:4] for words in ("One thing first.", "And then another.", "And a third one.")]
    assert flags == [(False, False), (False, False), (False, True)]
    for status in ("hung_up", "ended", "converted"):
        env, _ = env_with(Reply("That is it.", "hang_up", status=status), max_turns=1)
        assert env.step(GREETING)[2:4] == (True, False)


def test_the_sellers_goodbye_ends_the_call_whatever_the_customer_says() -> None:
    env, _ = env_with(Reply("Wait, I have a question!", "neutral"))
    *_, terminated, truncated, info = env.step("Thank you for your time, goodbye!")
    assert terminated and not truncated
    assert info["outcome"] == {"conversion": 0.0} and info["phase"] == "goodbye"


def test_success_is_not_what_the_seller_says_it_is() -> None:
    env = SalesDialogueEnv()
    claim = "Everything is complete now and your order is through. Goodbye!"
    info = play(env, 0, [claim])[-1][4]
    assert info["outcome"] == {"conversion": 0.0} and info["metrics"]["false_close"]


def test_a_conversion_is_a_yes_then_every_step_then_the_customers_word_in_a_turn_of_its_own() -> None:
    env = gymnasium.make(f"fogline.envs:{NAME}", actions="acts")
    converted = agreed = 0
    for seed, task_id in enumerate(env.unwrapped.task_ids[:200]):  # type: ignore[attr-defined]
        view = [env.reset(seed=seed, options={"task_id": task_id})[1]]
        for action in [(0, 0), (1, 0), (2, 0), (3, 0), (4, 0), *((9, k) for k in range(2))]:
            if view[-1]["agreed"] or "outcome" in view[-1]:
                break
            view.append(env.step(action)[4])
        while "outcome" not in view[-1]:
            act = 10 if view[-1]["stage"] < 3 else 11
            view.append(env.step((act, view[-1]["turn"] % 4))[4])
        acts = [info["customer_act"] for info in view]
        agreed += "agree" in acts
        if view[-1]["outcome"]["conversion"] == 1.0:
            converted += 1
            steps = len(bundled_cards()[task_id.partition("/")[0]].steps)
            assert acts[-1] == "complete" and acts.index("agree") < len(acts) - 1
            assert view[-2]["agreed"] and view[-2]["step"] == steps, "all was reported before it said that all is done"
            assert not any(info["step"] for info in view[: acts.index("agree") + 1])
        else:
            assert "complete" not in acts
    assert 10 < converted < agreed


def test_customers_who_claim_without_doing_are_found_out_by_asking() -> None:
    honest, careless = (scripted(200, claims_without_doing=chance) for chance in (0.0, 1.0))
    agreed, converted = (
        [sum(episode.metrics[name] for episode in episodes) for episodes in (honest, careless)]
        for name in ("agreed", "converted")
    )
    assert agreed[0] == agreed[1], "who claims is decided after the yes"
    assert converted[1] < converted[0]


# What calls pay


def test_the_reward_is_the_weighted_sum_with_the_options_weights() -> None:
    weights = {"repetition": 3.0, "format": 0.0}
    env, _ = env_with(
        Reply("?", "neutral"), Reply("!", "complete", status="converted"), turn_weights=weights, session_scale=10.0
    )
    _, reward, *_, info = env.step("")
    assert (reward, info["terms"]["format"]) == (0.0, -1.0)
    _, reward, *_, info = env.step(GREETING)
    assert reward == pytest.approx(
        10.0 + sum(info["terms"][name] * env.reward_scheme.turn[name] for name in info["terms"])
    )


def test_the_scale_of_the_session_does_not_change_the_call() -> None:
    one, ten = scripted(30, session_scale=1.0), scripted(30, session_scale=10.0)
    assert sum(episode.outcome["conversion"] for episode in one) > 2
    for small, large in zip(one, ten, strict=True):
        assert (small.outcome, small.metrics) == (large.outcome, large.metrics)
        assert [turn.observation for turn in small.turns] == [turn.observation for turn in large.turns]
        assert large.reward == pytest.approx(10 * small.outcome["conversion"])


def test_the_schemes_of_two_environments_are_their_own() -> None:
    one, other = SalesDialogueEnv(session_scale=5.0), SalesDialogueEnv()
    assert (one.reward_scheme.session["conversion"], other.reward_scheme.session["conversion"]) == (5.0, 1.0)


def test_the_graded_session_pays_its_grade_and_reports_the_conversion() -> None:
    env, _ = env_with(Reply("Fine.", "agree"), session="graded", session_scale=2.0, max_turns=1)
    _, reward, *_, info = env.step("Would you like me to set everything up for you now?")
    assert info["outcome"] == {"conversion": 0.0, "graded": 0.3}
    assert reward == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("answer", "judged"),
    [("Yes.", 1.0), ("no", 0.0), ("<think>They said no?</think> yes", 1.0), ("**No**, they did not.", 0.0)],
)
def test_a_judge_is_asked_about_conversions_and_can_only_take_them_away(answer: str, judged: float) -> None:
    model = ScriptedModel([answer])
    end = Reply("All done, thank you.", "complete", status="converted")
    env, _ = env_with(Reply("I see.", "neutral"), end, session="judge", model=model, session_scale=3.0)
    env.step(GREETING)
    assert not model.requests
    _, reward, *_, info = env.step("Has everything worked on your side?")
    assert info["outcome"] == {"conversion": 1.0, "judged": judged}
    assert reward == 3.0 * judged
    (request,) = model.requests
    assert request.temperature == 0.0
    transcript = str(request.messages[-1]["content"])
    for said in (GREETING, "I see.", "Has everything worked on your side?", "All done, thank you."):
        assert said in transcript
    assert env.usage().model_calls == 1 and env.usage().completion_tokens == 2
    env.close()


def test_a_call_without_conversion_needs_no_judge() -> None:
    model = ScriptedModel(["yes"])
    env, _ = env_with(Reply("Enough.", "hang_up", status="hung_up"), session="judge", model=model)
    assert env.step(GREETING)[4]["outcome"] == {"conversion": 0.0, "judged": 0.0}
    assert not model.requests


def test_a_judge_that_says_neither_is_a_fault_and_no_zero() -> None:
    end = Reply("All done.", "complete", status="converted")
    env, _ = env_with(end, session="judge", model=ScriptedModel(["Perhaps."]))
    with pytest.raises(SimulatorFault, match=r"neither yes nor no.*Perhaps"):
        env.step(GREETING)
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(GREETING)
    env.close()


# Customers with a chat model


def test_a_worded_customer_decides_as_the_rule_customer_and_speaks_for_itself() -> None:
    model = ScriptedModel([FINE])
    rules = SalesDialogueEnv()
    worded = SalesDialogueEnv(customer="worded", model=model, chat_options=QUIET)
    words = [GREETING, "How often do you have to deal with this at the moment?", "Shall we go ahead and set it up?"]
    for one, two in zip(play(rules, 4, words), play(worded, 4, words), strict=True):
        assert {**one[-1], "reply": ""} == {**two[-1], "reply": ""} or "metrics" in one[-1]
        assert two[-1]["reply"] == FINE
    used = worded.usage()
    assert used.model_calls == len(model.requests) >= 3 and used.prompt_tokens == 10 * len(model.requests)
    worded.reset(seed=5)
    assert worded.usage().model_calls == 1, "usage is that of the call"
    assert rules.usage().model_calls == 0
    worded.close()


def test_a_modelled_customer_plays_through_the_same_environment() -> None:
    model = ScriptedModel(["<act>neutral</act><topic></topic><step>0</step><status>0</status><say>I see.</say>"])
    env = SalesDialogueEnv(customer="model", model=model, chat_options={**QUIET, "temperature": 0.9})
    steps = play(env, 0, [GREETING, "Thank you for your time, goodbye!"])
    assert steps[-1][2] and steps[-1][4]["metrics"]["customer"] == "model"
    assert {request.temperature for request in model.requests} == {0.9}
    env.close()


@pytest.mark.parametrize("customer", ["rules", "worded"])
async def test_awaited_steps_give_what_called_steps_give(customer: Any) -> None:
    options: dict[str, Any] = {"session": "judge", "model": ScriptedModel([FINE]), "chat_options": QUIET}
    one, two = (SalesDialogueEnv(customer=customer, **options) for _ in range(2))
    assert one.blocking
    one.reset(seed=1)
    two.reset(seed=1)
    for action in (GREETING, "", "Shall we go ahead and set it up?", "Thank you for your time, goodbye!"):
        assert one.step(action) == await asyncio.wait_for(two.step_async(action), 20)
    with pytest.raises(gymnasium.error.ResetNeeded):
        await two.step_async(GREETING)
    one.close()
    two.close()


def test_a_rule_customer_never_waits_and_offers_nothing_to_await() -> None:
    env = SalesDialogueEnv()
    assert not env.blocking and not hasattr(env, "step_async")


async def test_half_a_turn_ends_the_call() -> None:
    model = ScriptedModel([FINE, FINE, ""])
    env = SalesDialogueEnv(customer="worded", model=model, chat_options={**QUIET, "max_faults": 1})
    env.reset(seed=0)
    await env.step_async(GREETING)
    with pytest.raises(SimulatorFault):
        await env.step_async("How are things at the moment?")
    with pytest.raises(gymnasium.error.ResetNeeded):
        await env.step_async("How are things at the moment?")
    env.close()


def test_a_fault_of_the_simulator_is_an_unscored_episode() -> None:
    voice = Voice(ScriptedModel([FINE, FINE, ""]), check=False, max_faults=0)
    make = partial(make_environment, NAME, {"customer": "worded", "model": voice})
    (episode,) = collect_all(make, make_agent("scripted", NAME), [(TASK, 0)], retries=0)
    assert episode.status == "infra_error" and episode.reward is None and not episode.outcome
    assert episode.failure is not None and episode.failure.kind == "SimulatorFault"
    voice.close()


def test_a_voice_is_shared_and_outlives_the_environment() -> None:
    voice = Voice(ScriptedModel([FINE]), check=False)
    one, other = (SalesDialogueEnv(customer="worded", model=voice) for _ in range(2))
    one.reset(seed=0)
    one.close()
    assert other.reset(seed=0)[1]["reply"] == FINE
    voice.close()


async def test_by_name_and_address_a_servers_words_come_into_the_episodes_with_their_tokens() -> None:
    async with FaultServer(otherwise=answer(text=FINE)) as server:
        options = {"customer": "worded", "model": "m", "base_url": server.url, "chat_options": {**QUIET, "seed": 3}}
        make = partial(make_environment, NAME, options)
        tasks = [(task_id, 1) for task_id in SalesDialogueEnv().task_ids[:6]]
        episodes = [episode async for episode in collect(make, make_agent("scripted", NAME), tasks, concurrency=3)]
    assert server.most_in_flight > 1, "episodes do not wait for one another"
    assert len(episodes) == 6
    for episode in episodes:
        assert episode.scored and episode.metrics["customer"] == "worded"
        assert episode.usage.model_calls == len(episode.turns) + 1
        assert episode.usage.prompt_tokens > 0 and episode.usage.completion_tokens > 0
        assert all(FINE in str(turn.observation) for turn in episode.turns)
    assert len(server.requests) == sum(episode.usage.model_calls for episode in episodes)


# Noise


def test_common_random_numbers_make_the_noise_the_tasks_own() -> None:
    def replies(common: bool, seed: int) -> list[str]:
        env = SalesDialogueEnv(actions="acts", common_random_numbers=common)
        return [step[-1]["reply"] for step in play(env, seed, [(act, 0) for act in (0, 1, 2, 3, 4, 9)])]

    assert replies(True, 0) == replies(True, 1)
    assert len({tuple(replies(False, seed)) for seed in range(5)}) > 1


def test_the_splits_share_no_task_and_variants_and_difficulty_change_the_customers() -> None:
    train, test = SalesDialogueEnv(), SalesDialogueEnv(split="test")
    assert len(train.task_ids) == len(test.task_ids) == 48 * len(bundled_cards())
    assert not set(train.task_ids) & set(test.task_ids)
    rates = {level: np.mean([e.metrics["converted"] for e in scripted(200, difficulty=level)]) for level in (-1.0, 1.0)}
    assert rates[-1.0] > rates[1.0]


def test_cards_of_ones_own_are_sold(tmp_path: Path) -> None:
    path = tmp_path / "card.json"
    row = json.loads(CARD.model_dump_json()) | {"domain": "my-plan"}
    path.write_text(json.dumps(row), encoding="utf-8")
    env = SalesDialogueEnv(domain=str(path), scenarios=3)
    assert env.task_ids == ("my-plan/0000", "my-plan/0001", "my-plan/0002")
    assert env.reset(seed=0)[0].startswith(describe(CARD))
    assert SalesDialogueEnv(domain=["mobile-plan", "gym-membership"], scenarios=1).task_ids == (
        "mobile-plan/0000",
        "gym-membership/0000",
    )
    path.write_text(json.dumps(row | {"discount_price": 99.0}), encoding="utf-8")
    with pytest.raises(DataError, match="discount_price"):
        SalesDialogueEnv(domain=str(path))


# Errors


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"customer": "rule"}, "Did you mean 'rules'"),
        ({"domain": "mobile-plans"}, "Did you mean 'mobile-plan'"),
        ({"variant": "skeptical"}, "Did you mean 'sceptical'"),
        ({"split": "testing"}, "Did you mean 'test'"),
        ({"actions": "act"}, "Did you mean 'acts'"),
        ({"session": "grade"}, "Did you mean 'graded'"),
        ({"scenarios": 0}, "scenarios=0"),
        ({"scenarios": 2.5}, "scenarios=2.5"),
        ({"max_turns": 0}, "max_turns=0"),
        ({"max_turns": True}, "max_turns=True"),
        ({"session_scale": math.nan}, "session_scale=nan"),
        ({"turn_weights": {"fluency": math.inf}}, "fluency"),
        ({"turn_weights": {"style": 1.0}}, "style"),
        ({"difficulty": 1.5}, "difficulty=1.5"),
        ({"difficulty": math.nan}, "difficulty=nan"),
        ({"claims_without_doing": -0.1}, "claims_without_doing=-0.1"),
        ({"disclose_ai": "yes"}, "disclose_ai='yes'"),
        ({"common_random_numbers": 1}, "common_random_numbers=1"),
        ({"customer": "worded"}, "give model="),
        ({"customer": "model"}, "give model="),
        ({"session": "judge"}, "give model="),
        ({"model": "gpt"}, "no chat model takes part"),
        ({"base_url": "http://localhost"}, "no chat model takes part"),
        ({"chat_options": {}}, "no chat model takes part"),
        ({"customer": "worded", "model": ScriptedModel([FINE]), "base_url": "http://localhost"}, "leave it out"),
        ({"customer": "worded", "model": ScriptedModel([FINE]), "chat_options": {"temprature": 1}}, "'temperature'"),
        ({"customer": "worded", "model": ScriptedModel([FINE]), "chat_options": {"timeout_s": 1}}, "timeout_s"),
        ({"render_mode": "human"}, "render_mode"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_options_that_make_no_sense_are_typed_errors(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        SalesDialogueEnv(**options)


def test_the_spec_says_nothing_of_how_a_chat_model_is_reached() -> None:
    secret = "http://user:secret-word@localhost:1"
    env = gymnasium.make(
        f"fogline.envs:{NAME}", customer="worded", model="m", base_url=secret, chat_options={"headers": {"k": secret}}
    )
    assert env.spec is not None
    assert env.spec.kwargs == {"customer": "worded", "model": "m"}
    assert "secret-word" not in str(env.spec)
    env.close()
