"""Nothing of a customer's mind is reachable: not by attributes, not by observations, not by info."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import gymnasium
import numpy as np
import pytest

from fogline.envs.sales_dialogue.env import SalesDialogueEnv
from fogline.simulators.customers.acts import CUSTOMER_ACTS, TOPICS
from fogline.simulators.customers.coefficients import Coefficients
from fogline.simulators.customers.customer import Reply
from fogline.simulators.customers.mind import Mind, Start
from fogline.simulators.customers.personas import PERSONAS, Persona
from fogline.simulators.customers.rules import Decision, RuleCustomer
from fogline.simulators.customers.scenarios import Scenario, scenario_of

LATENT = (Mind, Start, Persona, Scenario, Coefficients, Decision, RuleCustomer, np.random.Generator)
STEP_KEYS = {
    "terms", "phase", "malformed", "turn", "customer_act", "topic", "open_topic", "stage", "step", "asks_repeat",
    "agreed", "asked_about_ai", "words", "reply",
}  # fmt: skip
METRICS = {
    "converted", "agreed", "hung_up", "refused", "callback", "turns", "turns_to_conversion", "repetition",
    "mean_max_similarity", "exact_duplicate_rate", "distinct_2", "detected", "revealed", "false_close", "breached",
    "breaches", "repetition_term", "fluency", "compliance", "identity", "malformed", "domain", "variant", "customer",
}  # fmt: skip
NOT_OURS = {"np_random"}
"""Gymnasium's own generator: it decides the noise to come, as in every Gymnasium environment."""


def public(value: Any, seen: set[int], path: str = "env") -> Iterator[tuple[str, Any]]:
    """Everything that public attributes, items and keys lead to."""
    if id(value) in seen or isinstance(value, str | bytes | int | float | type | None.__class__):
        return
    seen.add(id(value))
    yield path, value
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from public(item, seen, f"{path}[{key!r}]")
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from public(item, seen, f"{path}[…]")
    elif type(value).__module__.startswith("fogline") or path == "env":
        for name in dir(value):
            if not name.startswith("_") and name not in NOT_OURS:
                yield from public(getattr(value, name), seen, f"{path}.{name}")


def played(actions: str = "acts", seed: int = 3) -> tuple[Any, list[Any]]:
    """An environment in the middle of a call, and all that it has given."""
    env = gymnasium.make("fogline.envs:SalesDialogue-v0", actions=actions, render_mode="ansi")
    given: list[Any] = [env.reset(seed=seed)]
    said: list[Any] = ["Good day, do you have a moment?", "How do you manage it today?", "Shall we go ahead today?"]
    for action in said if actions == "text" else [(0, 0), (2, 2), (9, 1)]:
        given.append(env.step(action))
    return env, given


@pytest.mark.parametrize("actions", ["text", "acts"])
def test_no_public_attribute_leads_to_the_customers_side(actions: str) -> None:
    env, given = played(actions)
    reached = [
        *public(env, set()),
        *public(env.unwrapped, set()),
        *public(given, set(), "given"),
        *public(env.render(), set(), "render"),
    ]
    assert len(reached) > 20
    leaks = [path for path, value in reached if isinstance(value, LATENT)]
    assert leaks == []
    public_methods = [path for path, value in reached if getattr(value, "__self__", None).__class__ in LATENT]
    assert public_methods == []


def test_the_walk_would_find_a_leak() -> None:
    env, _ = played()
    env.unwrapped.helper = {"kept": [scenario_of("mobile-plan/0000").start]}
    assert any(isinstance(value, LATENT) for _, value in public(env.unwrapped, set()))


def test_info_and_metrics_hold_their_documented_entries_and_nothing_else() -> None:
    env = SalesDialogueEnv(actions="acts")
    env.action_space.seed(0)
    for seed in range(30):
        _, info = env.reset(seed=seed)
        assert set(info) == STEP_KEYS - {"terms", "malformed"} | {"task_id"}
        while "outcome" not in info:
            info = env.step(env.action_space.sample())[4]
            assert set(info) - {"outcome", "metrics"} == STEP_KEYS
            assert info["customer_act"] in CUSTOMER_ACTS and info["topic"] in ("", *TOPICS)
        assert set(info["metrics"]) == METRICS


def test_no_words_but_the_cards_and_the_customers_own_name_a_persona() -> None:
    env = SalesDialogueEnv()
    names = [name for name in PERSONAS if name not in ("friendly", "neutral", "curious", "hurried")]
    for seed, task_id in enumerate(env.task_ids[::16]):
        observation, info = env.reset(seed=seed, options={"task_id": task_id})
        told = f"{observation}{info}{env.system_prompt}".replace(info["reply"], "")
        assert not any(name in told for name in (*names, "is_buyer", "suspicion", "patience", "cooperation"))


class Replay:
    """A customer without a mind, which says what another one said."""

    def __init__(self, replies: list[Reply]) -> None:
        self._replies = list(replies)

    def open(self) -> Reply:
        return self._replies.pop(0)

    def hear(self, heard: Any) -> Reply:
        return self._replies.pop(0)


class Recorder:
    """A customer that is listened in on."""

    def __init__(self, customer: Any, replies: list[Reply]) -> None:
        self._customer, self._replies = customer, replies

    def open(self) -> Reply:
        self._replies.append(self._customer.open())
        return self._replies[-1]

    def hear(self, heard: Any) -> Reply:
        self._replies.append(self._customer.hear(heard))
        return self._replies[-1]


@pytest.mark.parametrize("actions", ["text", "acts"])
def test_what_is_given_depends_on_the_customer_through_its_replies_alone(actions: Any) -> None:
    """With the same replies and no mind behind them, every observation, reward, info and metric is the same."""
    real, bare = SalesDialogueEnv(actions=actions), SalesDialogueEnv(actions=actions)
    make = real._source.customer
    replies: list[Reply] = []
    real._source.customer = lambda task_id, rng: Recorder(make(task_id, rng), replies)  # type: ignore[method-assign]
    bare._source.customer = lambda task_id, rng: Replay(replies)  # type: ignore[method-assign]
    draws = np.random.default_rng(4)
    phrases = ("Good day to you.", "How do you manage it today?", "Shall we go ahead today?", "I see.", "")
    for seed in range(25):
        replies.clear()
        task_id = real.task_ids[seed * 11]
        given = [real.reset(seed=seed, options={"task_id": task_id})]
        actions_taken = []
        while len(given) == 1 or not (given[-1][2] or given[-1][3]):
            action = draws.integers(0, [14, 4]) if actions == "acts" else phrases[int(draws.integers(5))]
            actions_taken.append(action)
            given.append(real.step(action))
        again = [bare.reset(seed=seed + 1000, options={"task_id": task_id}), *map(bare.step, actions_taken)]
        assert repr(given) == repr(again)


def test_the_first_words_are_all_that_a_first_observation_tells_of_the_customer() -> None:
    """Two customers of a product that pick up with the same words look the same."""
    env = SalesDialogueEnv(domain="gym-membership", scenarios=200)
    seen: dict[str, set[str]] = {}
    for seed, task_id in enumerate(env.task_ids):
        observation, info = env.reset(seed=seed, options={"task_id": task_id})
        seen.setdefault(info["reply"], set()).add(observation)
    assert len(seen) < 60
    assert all(len(observations) == 1 for observations in seen.values())
