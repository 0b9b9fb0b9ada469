"""The act mode's observation: named, bounded, kept up to date as if it were made afresh, and of public things only."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from fogline.envs.sales_dialogue.env import SalesDialogueEnv
from fogline.envs.sales_dialogue.features import (
    FEATURES,
    MOST_COUNTED,
    MOST_REFUSALS,
    MOST_TURNS,
    TEMPLATES,
    PublicFeatures,
    observation_space,
)
from fogline.envs.sales_dialogue.phrases import N_TEMPLATES
from fogline.envs.sales_dialogue.record import CallRecord
from fogline.simulators.customers.acts import CUSTOMER_ACTS, SELLER_ACTS, STAGES, TOPICS
from fogline.simulators.customers.customer import Reply
from fogline.simulators.customers.products import bundled_cards

CARD = bundled_cards()["mobile-plan"]
PAIRS = st.tuples(st.integers(0, len(SELLER_ACTS) - 1), st.integers(0, TEMPLATES - 1))
PLACE = {name: index for index, name in enumerate(FEATURES)}


def named(vector: np.ndarray[Any, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in zip(FEATURES, vector, strict=True) if value}


def test_every_entry_has_a_name_of_its_own_and_the_spaces_fit() -> None:
    env = SalesDialogueEnv(actions="acts")
    assert len(set(FEATURES)) == len(FEATURES)
    assert env.observation_space == spaces.Box(0.0, 1.0, (len(FEATURES),), np.float32) == observation_space()
    assert env.action_space == spaces.MultiDiscrete([14, 4])
    assert len(SELLER_ACTS) == 14 and TEMPLATES == N_TEMPLATES == 4


def test_the_first_observation_shows_the_pick_up_and_a_whole_budget() -> None:
    observation, _ = SalesDialogueEnv(actions="acts", max_turns=8).reset(seed=0)
    assert named(observation) == {
        "turns_left": 8 / MOST_TURNS,
        "stage:identity": 1.0,
        "customer_act:answer_call": 1.0,
        "ai_known": 1.0,
    }


def test_a_worked_example() -> None:
    record = CallRecord(CARD, Reply("Hello?", "answer_call"), Reply("Hello?", "answer_call"), ai_known=False)
    features = PublicFeatures(12)
    features.begin(record)
    record.turn, record.overlap = 1, 0.5
    record.note_customer("a", Reply("Too dear.", "object", topic="cost", stage=1))
    features.after_turn(record, (SELLER_ACTS.index("pitch"), 2))
    record.turn, record.overlap = 2, 0.0
    record.note_customer("b", Reply("No.", "refuse", stage=2, step=1))
    record.agreed = record.asked_about_ai = True
    seen = named(features.after_turn(record, (SELLER_ACTS.index("pitch"), 3)))
    assert seen == pytest.approx(
        {
            "turn_fraction": 2 / 12,
            "turns_left": 10 / MOST_TURNS,
            "stage:steps": 1.0,
            "customer_act:refuse": 1.0,
            "open_topic:cost": 1.0,
            "steps_reported": 1 / len(CARD.steps),
            "agreed": 1.0,
            "acts_done:pitch": 2 / MOST_COUNTED,
            "said:pitch/2": 1.0,
            "said:pitch/3": 1.0,
            "mean_overlap": 0.25,
            "most_overlap": 0.5,
            "asked_about_ai": 1.0,
            "refusals": 1 / MOST_REFUSALS,
        }
    )


def afresh(record: CallRecord, pairs: list[Any], overlaps: list[float], max_turns: int) -> np.ndarray[Any, Any]:
    """The vector, made of the whole record at once."""
    vector = np.zeros(len(FEATURES), dtype=np.float32)

    def put(name: str, value: float) -> None:
        vector[PLACE[name]] = value

    put("turn_fraction", record.turn / max_turns)
    put("turns_left", min(1.0, (max_turns - record.turn) / MOST_TURNS))
    put(f"stage:{STAGES[record.reply.stage]}", 1.0)
    put(f"customer_act:{record.reply.act}", 1.0)
    for topic in record.open_topics:
        put(f"open_topic:{topic}", 1.0)
    put("steps_reported", min(1.0, record.reply.step / len(record.card.steps)))
    put("agreed", record.agreed)
    chosen = [pair for pair in pairs if pair is not None]
    for index, act in enumerate(SELLER_ACTS):
        put(f"acts_done:{act}", min(1.0, sum(pair[0] == index for pair in chosen) / MOST_COUNTED))
        for template in range(TEMPLATES):
            put(f"said:{act}/{template}", (index, template) in chosen)
    if overlaps:
        put("last_overlap", overlaps[-1])
        put("mean_overlap", sum(overlaps) / len(overlaps))
        put("most_overlap", max(overlaps))
    put("asked_about_ai", record.asked_about_ai)
    put("ai_known", record.ai_known)
    put("refusals", min(1.0, record.refusals / MOST_REFUSALS))
    return vector


replies = st.builds(
    Reply,
    st.just("Well."),
    st.sampled_from(CUSTOMER_ACTS),
    st.sampled_from(("", *TOPICS)),
    st.integers(0, len(STAGES) - 1),
    st.integers(0, 5),
)
turns = st.lists(st.tuples(st.none() | PAIRS, st.floats(0, 1, width=32), replies, st.sets(st.sampled_from(TOPICS))))


@settings(max_examples=150)
@given(st.lists(turns, min_size=1, max_size=3), st.integers(1, 40))
def test_kept_up_to_date_it_is_what_it_would_be_if_made_afresh(calls: list[Any], max_turns: int) -> None:
    features, space = PublicFeatures(max_turns), observation_space()
    for turns_of_call in calls:
        first = Reply("Hello?", "answer_call")
        record = CallRecord(CARD, first, first, ai_known=True)
        assert np.array_equal(features.begin(record), afresh(record, [], [], max_turns))
        pairs: list[Any] = []
        overlaps: list[float] = []
        for pair, overlap, reply, answered in turns_of_call[:max_turns]:
            record.turn += 1
            record.overlap = overlap
            record.open_topics = [topic for topic in record.open_topics if topic not in answered]
            record.note_customer("x", reply)
            pairs.append(pair)
            overlaps.append(overlap)
            vector = features.after_turn(record, pair)
            assert vector in space
            np.testing.assert_allclose(vector, afresh(record, pairs, overlaps, max_turns), rtol=1e-6, atol=1e-7)


def test_an_observation_does_not_change_after_it_was_given() -> None:
    env = gymnasium.make("fogline.envs:SalesDialogue-v0", actions="acts")
    first, _ = env.reset(seed=1)
    kept = first.copy()
    second, *_ = env.step((0, 0))
    third, *_ = env.step((1, 0))
    assert np.array_equal(first, kept)
    assert not np.array_equal(second, third)
    first.fill(7.0)
    assert env.step((2, 0))[0] in env.observation_space


def test_the_counts_are_of_what_was_chosen_and_a_malformed_turn_counts_nowhere() -> None:
    env = SalesDialogueEnv(actions="acts")
    env.reset(seed=0, options={"task_id": "gym-membership/0004"})
    env.step((3, 1))
    observation, *_ = env.step("what?")
    seen = named(observation)
    assert seen["acts_done:pitch"] == 1 / MOST_COUNTED
    assert [name for name in seen if name.startswith("said:")] == ["said:pitch/1"]
    assert seen["turn_fraction"] == pytest.approx(2 / 12)
