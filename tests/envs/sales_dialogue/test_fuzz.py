"""Whatever a seller says or does, it is answered."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fogline.envs.sales_dialogue.env import MAX_CHARACTERS, SalesDialogueEnv
from fogline.envs.sales_dialogue.rewards import TURN_TERMS

ACTIONS = 10_000
RANGES = (
    (0x00, 0x1F),  # control
    (0x20, 0x7E),
    (0x7F, 0x9F),
    (0xA0, 0x24F),
    (0x300, 0x36F),  # combining
    (0x590, 0x6FF),  # right to left
    (0x0E00, 0x0E7F),
    (0x200B, 0x202E),  # zero width, directional
    (0x2066, 0x2069),
    (0x4E00, 0x9FFF),
    (0xD800, 0xDFFF),  # lone surrogates
    (0xFE00, 0xFE0F),
    (0xFF01, 0xFF5E),
    (0x1F300, 0x1FAFF),  # emoji
    (0xE0000, 0xE007F),
    (0x10FFF0, 0x10FFFF),
)
WORDS = (
    "hello", "goodbye", "AI", "I am not a robot", "guaranteed", "29.90", "%", "€", "[Name]", "{company}", "step one",
    "sign up now", "\n", "...", "?!", "As an AI language model", "<think>", "</say>", "\u202e", "👩‍👩‍👧‍👦", "ﬁ", "ẞ",
)  # fmt: skip
FILLS = (
    "a", "a ", "a. ", "Buy now! ", "\ud800", "👩‍👩‍👧‍👦", "9", "9.", "[", "(", "ا ", "\u200b", "\x00", "É", "ﷺ", "İ"
)  # fmt: skip


def arbitrary(draws: np.random.Generator) -> str:
    """A text of some script, of several, of odd words, or a wall of one character."""
    kind = int(draws.integers(8))
    length = int(draws.integers(0, 60))
    if kind == 0:
        return "".join(WORDS[index] + " " * int(draws.integers(2)) for index in draws.integers(0, len(WORDS), length))
    if kind == 1 and draws.random() < 0.1:
        low, high = RANGES[int(draws.integers(len(RANGES)))]
        return chr(int(draws.integers(low, high + 1))) * MAX_CHARACTERS
    ranges = draws.integers(0, len(RANGES), length if kind < 5 else 1)
    spans = np.array(RANGES)[np.resize(ranges, length)] if length else np.zeros((0, 2), dtype=int)
    return "".join(chr(int(draws.integers(low, high + 1))) for low, high in spans)


def check(env: SalesDialogueEnv, step: tuple[Any, ...]) -> bool:
    """Whether the call is over; fails unless the answer is sound."""
    observation, reward, terminated, truncated, info = step
    assert observation in env.observation_space
    assert -4.0 <= reward <= 1.0 and math.isfinite(reward)
    assert set(info["terms"]) == set(TURN_TERMS)
    assert all(-1.0 <= value <= 0.0 for value in info["terms"].values())
    json.dumps(info, allow_nan=False)
    return terminated or truncated


@pytest.mark.parametrize("disclose_ai", [True, False])
def test_thousands_of_arbitrary_texts_are_answered(disclose_ai: bool) -> None:
    env, draws = SalesDialogueEnv(disclose_ai=disclose_ai, render_mode="ansi"), np.random.default_rng(int(disclose_ai))
    env.reset(seed=0)
    malformed = ended = 0
    for _ in range(ACTIONS // 2):
        step = env.step(arbitrary(draws))
        malformed += step[4]["malformed"]
        assert isinstance(env.render(), str)
        if check(env, step):
            ended += 1
            env.reset()
    assert malformed > 50 and ended > 300


def test_walls_of_text_are_answered() -> None:
    env, draws = SalesDialogueEnv(), np.random.default_rng(5)
    env.reset(seed=0)
    for fill in FILLS:
        for length in (MAX_CHARACTERS - 1, MAX_CHARACTERS, MAX_CHARACTERS + 1):
            text = (fill * length)[:length]
            step = env.step(text)
            assert step[4]["malformed"] == (length > MAX_CHARACTERS or not text.strip())
            if check(env, step):
                env.reset(seed=int(draws.integers(100)))


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.text(st.characters(), max_size=200), min_size=1, max_size=12), st.integers(0, 1000))
def test_any_text_that_hypothesis_finds_is_answered(texts: list[str], seed: int) -> None:
    env = SalesDialogueEnv(domain="office-coffee")
    env.reset(seed=seed)
    for text in texts:
        if check(env, env.step(text)):
            break


@settings(max_examples=100)
@given(st.lists(st.tuples(st.integers(-2, 20), st.integers(-2, 6)) | st.none() | st.text() | st.floats() | st.binary()))
def test_any_pair_and_anything_else_is_answered_in_act_mode(actions: list[Any]) -> None:
    env = SalesDialogueEnv(actions="acts", domain="office-coffee")
    env.reset(seed=0)
    for action in actions:
        legal = isinstance(action, tuple) and 0 <= action[0] < 14 and 0 <= action[1] < 4
        step = env.step(action)
        assert step[4]["malformed"] != legal
        if check(env, step):
            break
