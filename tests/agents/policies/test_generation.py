"""Sampling: with a cache that lives across turns, everyone says what they would say alone."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_language import FAMILIES, act, rows_of, small_policy, tokenizer, view

from fogline.agents.agent import Decision, SeatView
from fogline.agents.policies.language import CausalLMPolicy
from fogline.core.errors import AgentError

torch.set_num_threads(1)

OPENINGS = ["the cat", "a dog sees the owl", "the owl hears a cat and a dog", "a"]
REPLIES = ["the dog", "and a cat sees", "owl"]


def played(policy: CausalLMPolicy, turns: int, names: str = "abcd") -> list[list[Decision]]:
    """All seats act together, ``turns`` times."""
    views = [view(name, OPENINGS[index % 4]) for index, name in enumerate(names)]
    histories: list[list[Decision]] = [[] for _ in views]
    for turn in range(turns):
        for index, decision in enumerate(act(policy, views)):
            histories[index].append(decision)
            views[index].observation = REPLIES[(turn + index) % 3]
    return histories


def score_of(
    policy: CausalLMPolicy, histories: list[list[Decision]], **options: Any
) -> tuple[torch.Tensor, torch.Tensor]:
    tokens, exists, wrote, stored = rows_of(histories)
    with torch.no_grad():
        return policy.score(tokens, exists, wrote, {}, **options).logp, stored


# What is stored is what is scored


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-4)])
def test_scoring_finds_the_stored_probabilities(family: str, dtype: torch.dtype, tolerance: float) -> None:
    policy = small_policy(family, dtype, temperature=0.7)
    again, stored = score_of(policy, played(policy, 4))
    assert (again.double() - stored).abs().max() < tolerance


@pytest.mark.parametrize("family", FAMILIES)
def test_eager_attention_says_the_same(family: str) -> None:
    policy = small_policy(family)
    histories = played(policy, 3)
    policy.model.set_attn_implementation("eager")
    for history, expected in zip(played(policy, 3), histories, strict=True):
        for turn, other in zip(history, expected, strict=True):
            assert turn[:3] == other[:3]
            # Eager attention takes its softmax in float32.
            assert turn.logps == pytest.approx(other.logps, abs=1e-5)


def test_the_stored_probabilities_are_those_of_the_whole_tempered_distribution() -> None:
    policy = small_policy(temperature=2.0)
    (history,) = played(policy, 1, "a")
    ids = [*history[0].context_token_ids, *history[0].action_token_ids]
    with torch.no_grad():
        logits = policy.model(input_ids=torch.tensor([ids])).logits[0]
    expected = torch.log_softmax(logits / 2.0, -1)
    first = len(history[0].context_token_ids)
    for index, (token, logp) in enumerate(zip(history[0].action_token_ids, history[0].logps, strict=True)):
        assert logp == pytest.approx(float(expected[first + index - 1, token]), abs=1e-9)


def test_a_token_is_the_inverse_transform_of_the_seats_own_random_number() -> None:
    policy = small_policy(max_new_tokens=4)
    (history,) = played(policy, 1, "a")
    turn = history[0]
    uniforms = view("a", "").rng.random(4)
    ids = [*turn.context_token_ids, *turn.action_token_ids]
    with torch.no_grad():
        probabilities = torch.softmax(policy.model(input_ids=torch.tensor([ids])).logits[0], -1).numpy()
    first = len(turn.context_token_ids)
    for index, token in enumerate(turn.action_token_ids):
        below = float(np.sum(probabilities[first + index - 1, :token]))
        assert below <= uniforms[index] < below + float(probabilities[first + index - 1, token])


def test_greedy_takes_the_likeliest_token_and_no_random_number() -> None:
    policy = small_policy()
    policy.greedy = True
    seat = view("a", "the cat")
    (turn,) = act(policy, [seat])
    ids = [*turn.context_token_ids, *turn.action_token_ids]
    with torch.no_grad():
        likeliest = policy.model(input_ids=torch.tensor([ids])).logits[0].argmax(-1)
    first = len(turn.context_token_ids)
    assert turn.action_token_ids == tuple(likeliest[first - 1 : -1].tolist())
    assert seat.rng.random() == view("a", "").rng.random()


# Who is batched with whom does not matter


def alone(name: str, turns: int) -> list[Decision]:
    policy = small_policy()
    seat = view(name, OPENINGS["abcdef".index(name) % 4])
    history = []
    for turn in range(turns):
        history += act(policy, [seat])
        seat.observation = REPLIES[turn % 3]
    return history


ALONE = {name: alone(name, 4) for name in "abcdef"}


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_seats_may_act_in_any_order_and_die_at_any_time(data: st.DataObject) -> None:
    policy = small_policy()
    seats: dict[str, SeatView] = {}
    said: dict[str, int] = {}
    newcomers = list("abcdef")
    for _ in range(data.draw(st.integers(2, 8))):
        while newcomers and data.draw(st.booleans()):
            name = newcomers.pop()
            seats[name], said[name] = view(name, OPENINGS["abcdef".index(name) % 4]), 0
        for name in [name for name in seats if data.draw(st.integers(0, 5)) == 0 or said[name] == 4]:
            del seats[name]
        acting = data.draw(st.permutations(sorted(seats)))[: data.draw(st.integers(0, len(seats)))]
        for name, decision in zip(acting, act(policy, [seats[name] for name in acting]), strict=True):
            expected = ALONE[name][said[name]]
            assert decision[:3] == expected[:3]
            assert decision.logps == pytest.approx(expected.logps, abs=1e-9)
            seats[name].observation = REPLIES[said[name] % 3]
            said[name] += 1


def test_rows_that_finish_early_leave_the_others_alone() -> None:
    policy = small_policy(max_new_tokens=40, context=512)
    together = played(policy, 3, "abcdefgh")
    lengths = {len(turn.action_token_ids) for history in together for turn in history}
    again, stored = score_of(policy, together)
    assert len(lengths) > 3
    assert (again - stored).abs().max() < 1e-9


# What is forwarded


@pytest.mark.parametrize("family", FAMILIES)
def test_only_new_tokens_are_forwarded(family: str) -> None:
    policy = small_policy(family)
    views = [view(name, OPENINGS[index]) for index, name in enumerate("abcd")]
    unread = 0
    for _ in range(5):
        before = policy.tokens_forwarded
        turns = act(policy, views)
        new = sum(len(turn.context_token_ids) + len(turn.action_token_ids) for turn in turns)
        # Each turn reads what the last one wrote last, and leaves its own last token to the next.
        assert policy.tokens_forwarded - before == new + unread - len(views)
        unread = len(views)
        for seat in views:
            seat.observation = "the dog"


@pytest.mark.parametrize("declared", [True, False])
def test_new_weights_read_everything_again(declared: bool) -> None:
    policy = small_policy()
    seat = view("a", "the cat")
    history = act(policy, [seat])
    with torch.no_grad():
        for weight in policy.module.parameters():
            weight.mul_(1.1)
    policy.version += int(declared)
    seat.observation = "a dog"
    before = policy.tokens_forwarded
    history += act(policy, [seat])
    read = sum(len(turn.context_token_ids) + len(turn.action_token_ids) for turn in history)
    assert policy.tokens_forwarded - before == read - 1
    again, _ = score_of(policy, [history])
    second = len(history[1].logps)
    assert again[0, -second:].tolist() == pytest.approx(history[1].logps, abs=1e-9)
    assert [turn.policy_version for turn in history] == [0, int(declared)]


def test_memory_is_freed_with_the_last_conversation() -> None:
    policy = small_policy()
    views = [view(name, "the cat") for name in "abc"]
    act(policy, views)
    store = policy._store
    assert store.columns > 0
    views.pop()
    gc.collect()
    act(policy, [view("d", "the cat")])
    assert store.rows == 3
    views.clear()
    gc.collect()
    assert (store.rows, store.columns) == (0, 0)


# When an action ends


def test_the_end_token_is_part_of_the_ids_and_not_of_the_text() -> None:
    policy = small_policy(max_new_tokens=200)
    (history,) = played(policy, 1, "a")
    turn = history[0]
    assert turn.action_token_ids[-1] == tokenizer().eos_token_id
    assert turn.action == tokenizer().decode(turn.action_token_ids[:-1])


def test_an_action_is_cut_at_max_new_tokens() -> None:
    policy = small_policy(max_new_tokens=3)
    lengths = [len(turn.action_token_ids) for history in played(policy, 2, "abcdefgh") for turn in history]
    assert max(lengths) == 3


@pytest.mark.parametrize("stop", ["e", "ca", "the c", "\n"])
def test_an_action_ends_with_its_first_stop_string(stop: str) -> None:
    policy = small_policy(max_new_tokens=120, stop=[stop], context=1024, temperature=1.5)
    stopped = 0
    for history in played(policy, 1, "abcdefghijklmnop"):
        turn = history[0]
        text = tokenizer().decode(turn.action_token_ids[:-1])
        assert stop not in text
        stopped += stop in turn.action
    unstopped = played(small_policy(max_new_tokens=120, context=1024, temperature=1.5), 1, "abcdefghijklmnop")
    assert stopped == sum(stop in history[0].action for history in unstopped)


def test_a_stop_string_of_several_tokens_ends_it_too() -> None:
    policy = small_policy(max_new_tokens=60, context=1024)
    (history,) = played(policy, 1, "a")
    text = history[0].action
    middle = text[3:9]
    (stopped,) = played(small_policy(max_new_tokens=60, context=1024, stop=[middle]), 1, "a")
    assert len(stopped[0].action_token_ids) < len(history[0].action_token_ids)
    assert stopped[0].action == text[: text.index(middle) + len(middle)] or stopped[0].action.find(middle) >= 0


def test_a_full_context_ends_that_conversation_and_no_other() -> None:
    policy = small_policy(max_context=40)
    long, short = view("a", " ".join(["the cat"] * 40)), view("b", "a dog")
    refused, decision = policy.act([long, short])
    assert isinstance(refused, AgentError) and "max_context=40" in str(refused)
    assert isinstance(decision, Decision)
    assert policy.act([long])[0] is not None


def test_an_action_is_cut_where_the_context_is_full() -> None:
    policy = small_policy(max_new_tokens=50, max_context=20)
    seat = view("a", "dog")
    (turn,) = act(policy, [seat])
    assert len(turn.context_token_ids) + len(turn.action_token_ids) <= 20
    seat.observation = "the cat"
    while isinstance(answer := policy.act([seat])[0], Decision):
        pass
    assert isinstance(answer, AgentError)


def test_weights_that_are_not_numbers_are_an_error_of_the_agent() -> None:
    policy = small_policy()
    with torch.no_grad():
        next(policy.module.parameters()).fill_(float("nan"))
    with pytest.raises(AgentError, match="not numbers"):
        policy.act([view("a", "the cat")])
