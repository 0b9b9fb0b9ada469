"""Calls that are played to be looked at: which, by whom, and what is written down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fogline.agents.agent import SeatView
from fogline.agents.rollout import Assignment
from fogline.benchmarks.customers.checks import gain, non_buyers, soundness
from fogline.benchmarks.customers.config import ValidationConfig
from fogline.benchmarks.customers.judging import Check
from fogline.benchmarks.customers.observed import MOODS, Log, ObservedCalls
from fogline.benchmarks.customers.sessions import Calls, assignments, is_buyer, pairs, play
from fogline.core.errors import AgentError, ConfigurationError
from fogline.envs.sales_dialogue.callers import CustomerSource
from fogline.envs.sales_dialogue.env import SalesDialogueEnv
from fogline.simulators.customers.customer import SimulatorFault
from fogline.simulators.customers.mind import mind_of
from fogline.simulators.customers.products import bundled_cards
from fogline.simulators.customers.scenarios import scenario_of

CONFIG = ValidationConfig()


def by_name(checks: Sequence[Check]) -> dict[str, Check]:
    return {item.name: item for item in checks}


def test_every_call_has_a_customer_and_noise_of_its_own_from_all_products() -> None:
    wanted = assignments(CONFIG, 100)
    assert len({item.task_id for item in wanted}) == len({item.seed for item in wanted}) == 100
    assert wanted[:10] == assignments(CONFIG, 10)
    products = len(bundled_cards())
    assert len({item.task_id.partition("/")[0] for item in wanted[:products]}) == products
    assert all(int(item.task_id.rpartition("/")[2]) >= 5000 for item in wanted)
    other = assignments(ValidationConfig(seed=1), 100)
    assert [item.task_id for item in other] == [item.task_id for item in wanted]
    assert not {item.seed for item in other} & {item.seed for item in wanted}
    assert {item.task_id.partition("/")[0] for item in assignments(ValidationConfig(domain="mobile-plan"), 9)} == {
        "mobile-plan"
    }


def test_both_sides_are_written_down_to_the_end() -> None:
    wanted = assignments(CONFIG, 12)
    told: list[int] = []
    calls = play(CONFIG, "scripted", wanted, told.append)
    assert (calls.planned, calls.faults, sum(told)) == (12, 0, 12)
    assert set(calls.sessions) == set(wanted)
    for session in calls:
        scenario = scenario_of(session.assignment.task_id)
        assert session.is_buyer == scenario.is_buyer
        assert len(session.answers) == len(session.words) + 1
        assert session.answers[0].act == "answer_call"
        assert session.converted == (session.answers[-1].act == "complete")
        assert session.session_reward == float(session.converted)
        assert session.turn_reward <= 0
        assert session.replies == len(session.answers)


def test_what_is_written_down_is_what_the_environment_says() -> None:
    """An agent of its own in the plain environment sees the same call, whatever runs beside it."""
    wanted = assignments(CONFIG, 8)
    calls = play(CONFIG, "random-acts", wanted, concurrency=5)
    alone = play(CONFIG, "random-acts", wanted[3:4], concurrency=1)
    session = calls.sessions[wanted[3]]
    assert session == alone.sessions[wanted[3]]
    env = SalesDialogueEnv(split="test")
    _, info = env.reset(seed=wanted[3].seed, options={"task_id": wanted[3].task_id})
    heard = [info["reply"]]
    for words in session.words:
        *_, info = env.step(words)
        heard.append(info["reply"])
    assert heard == [answer.text for answer in session.answers]


def test_a_changed_start_changes_that_attribute_alone_and_never_the_product() -> None:
    log = Log(lambda count: None)
    env = ObservedCalls(log, {"trust": 4.0}, variant="sceptical", split="test")
    for task in env.task_ids[::50]:
        env.reset(seed=1, options={"task_id": task})
        drawn = scenario_of(task, variant="sceptical").start
        assert env._call is not None
        mind = mind_of(env._call.customer)
        assert mind.trust == 4.0
        assert (mind.need, mind.cooperation, mind.is_buyer) == (drawn.need, drawn.cooperation, drawn.is_buyer)
    with pytest.raises(ValueError, match="trust=9"):
        ObservedCalls(log, {"trust": 9.0}).reset(seed=1)


def test_a_call_moves_the_mind_from_where_it_was_drawn() -> None:
    wanted = assignments(CONFIG, 6)
    log = Log(lambda count: None)
    env = ObservedCalls(log, split="test")
    calls = play(CONFIG, "scripted", wanted)
    for key, session in calls.sessions.items():
        env.reset(seed=key.seed, options={"task_id": key.task_id})
        start = scenario_of(key.task_id).start
        for words in session.words:
            env.step(words)
        assert env._call is not None
        mind = mind_of(env._call.customer)
        assert session.moved == {name: getattr(mind, name) - getattr(start, name) for name in MOODS}
        assert log.calls[key].moved == session.moved


def test_simulator_faults_are_counted_and_scored_by_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = assignments(CONFIG, 10)
    broken = {wanted[2].task_id, wanted[7].task_id}
    answer: Any = CustomerSource.customer

    def customer(self: CustomerSource, task_id: str, rng: np.random.Generator) -> Any:
        if task_id in broken:
            raise SimulatorFault("spoke as the seller")
        return answer(self, task_id, rng)

    monkeypatch.setattr(CustomerSource, "customer", customer)
    told: list[int] = []
    calls = play(ValidationConfig(retries=0), "scripted", wanted, told.append)
    assert (calls.planned, calls.faults, len(calls.sessions), sum(told)) == (10, 2, 8, 10)
    found = by_name(soundness({"scripted": calls}, Calls("scripted")))
    assert found["simulator_faults"].measured.value == 2 / 10
    assert found["simulator_faults"].verdict == "does not hold"
    assert found["replays_differ"].verdict == "cannot say"


class Leaving:
    """Fails by itself in every other call."""

    name = "leaving"
    batch_size: int | None = None

    def act(self, views: Sequence[SeatView]) -> list[Any]:
        if any(int(view.task_id[-1]) % 2 for view in views):
            raise AgentError("lost")
        return ["Hello, this is a call about phones." for _ in views]


def test_other_failures_are_neither_calls_nor_the_simulators() -> None:
    wanted = assignments(ValidationConfig(domain="mobile-plan"), 6)
    calls = play(ValidationConfig(domain="mobile-plan", concurrency=1), Leaving(), wanted)
    assert (calls.faults, calls.other_failures, len(calls.sessions)) == (0, {"AgentError": 3}, 3)


def test_pairs_share_customer_and_noise() -> None:
    wanted = assignments(CONFIG, 30)
    script, chance = play(CONFIG, "scripted", wanted), play(CONFIG, "random-acts", wanted[:20])
    same = pairs(script, script, lambda session: session.turn_reward)
    assert same == [0.0] * 30
    won = sum(script.sessions[key].converted for key in wanted[:20]) - sum(item.converted for item in chance)
    assert gain(script, chance).value == pytest.approx(won / 20)
    assert gain(script, chance).count == 20


def test_a_replay_that_differs_in_one_word_is_found() -> None:
    wanted = assignments(CONFIG, 25)
    first, again = play(CONFIG, "scripted", wanted), play(CONFIG, "scripted", wanted[::-1], concurrency=3)
    assert by_name(soundness({"scripted": first}, again))["replays_differ"].measured.value == 0
    key = wanted[4]
    spoken = again.sessions[key]
    words = (spoken.words[0] + "!", *spoken.words[1:])
    again.sessions[key] = replace(spoken, words=words)
    found = by_name(soundness({"scripted": first}, again))["replays_differ"]
    assert (found.measured.value, found.verdict) == (1 / 25, "does not hold")


def test_one_non_buyer_that_buys_refutes() -> None:
    wanted = assignments(CONFIG, 40)
    calls = {"scripted": play(CONFIG, "scripted", wanted), "always-close": play(CONFIG, "always-close", wanted)}
    others = sum(not is_buyer(CONFIG, item) for item in wanted)
    sound = by_name(non_buyers(calls))["non_buyers_convert"]
    # Both sellers called them; each is one trial.
    assert (sound.measured.value, sound.measured.count, sound.verdict) == (0, others, "cannot say")
    key = next(item for item in wanted if not is_buyer(CONFIG, item))
    pushy = calls["always-close"].sessions
    pushy[key] = replace(pushy[key], converted=True)
    assert by_name(non_buyers(calls))["non_buyers_convert"].verdict == "does not hold"


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="variant='sceptic'"):
        play(ValidationConfig(variant="sceptic"), "scripted", [Assignment("mobile-plan/5000", 1)])
    with pytest.raises(ConfigurationError, match="mobile"):
        assignments(ValidationConfig(domain="mobile-plans"), 3)
