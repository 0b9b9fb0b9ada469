"""A two-seat game: each seat is told a digit, says it aloud, and must then say the digit that the other was told."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from gymnasium import spaces
from pettingzoo import ParallelEnv

from fogline.agents.agent import SeatView
from fogline.core.episode import Turn

SEATS = ("left", "right")
DIGITS = 3


class EchoGame(ParallelEnv[str, Any, int]):
    """Turn 1: each seat sees its digit and says a word. Turn 2: each hears the other's word and guesses its digit.

    Each seat is paid half for saying its own digit and half for guessing the other's: honest seats that listen
    reach 1 each, seats that say anything ``1 / DIGITS`` each on average.
    """

    metadata: ClassVar[dict[str, Any]] = {"name": "EchoGame-v0", "render_modes": [], "is_parallelizable": True}
    simulator_version = "echo-1"
    system_prompt: ClassVar[dict[str, str]] = {seat: f"You are {seat}." for seat in SEATS}

    def __init__(self) -> None:
        self.possible_agents = list(SEATS)
        self.agents: list[str] = []
        self.render_mode = None
        self._spaces = {seat: spaces.Box(0.0, 1.0, (DIGITS + 1,), np.float32) for seat in SEATS}
        self._actions = {seat: spaces.Discrete(DIGITS) for seat in SEATS}
        self._random = np.random.default_rng(0)

    def observation_space(self, agent: str) -> Any:
        return self._spaces[agent]

    def action_space(self, agent: str) -> Any:
        return self._actions[agent]

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        if seed is not None:
            self._random = np.random.default_rng(seed)
        self.agents = list(SEATS)
        self._task_id = str((options or {}).get("task_id", ""))
        self._digits = {seat: int(self._random.integers(DIGITS)) for seat in SEATS}
        self._turn = 0
        observations = {seat: _seen(self._digits[seat], 0.0) for seat in SEATS}
        return observations, {seat: {"task_id": self._task_id} for seat in SEATS}

    def step(self, actions: dict[str, int]) -> tuple[Any, Any, Any, Any, Any]:
        self._turn += 1
        heard = {seat: int(actions[_other(seat)]) for seat in SEATS}
        over = self._turn == 2
        wanted = {seat: self._digits[_other(seat) if over else seat] for seat in SEATS}
        right = {seat: float(int(actions[seat]) == wanted[seat]) for seat in SEATS}
        observations = {seat: _seen(heard[seat], 1.0) for seat in SEATS}
        rewards = {seat: 0.5 * right[seat] for seat in SEATS}
        infos: dict[str, dict[str, Any]] = {
            seat: {"terms": {"right": right[seat]}, "phase": "guess" if over else "whisper"} for seat in SEATS
        }
        if over:
            for info in infos.values():
                info["outcome"] = {"right": sum(right.values())}
                info["metrics"] = {"digits": sum(self._digits.values())}
            self.agents = []
        ended = {seat: over for seat in SEATS}
        return observations, rewards, ended, {seat: False for seat in SEATS}, infos


class EchoEncoder:
    """The observation is all a seat needs; both seats share it."""

    features = DIGITS + 1
    actions = DIGITS

    def encode(self, turns: Any, observation: Any) -> np.ndarray[Any, np.dtype[np.float32]]:
        return np.asarray(observation, dtype=np.float32)

    def action(self, view: SeatView, index: int) -> int:
        return index


class Whisperer:
    """Says its digit, then guesses what it heard: the perfect player."""

    name = "whisperer"
    batch_size: int | None = None

    def act(self, views: Any) -> list[int]:
        return [int(np.argmax(view.observation[:DIGITS])) for view in views]


class Stubborn:
    """Always says the same."""

    batch_size: int | None = None

    def __init__(self, word: int) -> None:
        self.name = f"stubborn-{word}"
        self.word = word

    def act(self, views: Any) -> list[int]:
        return [self.word for _ in views]


def seats_of(turns: tuple[Turn, ...]) -> list[str]:
    """Who acted, in order."""
    return [turn.seat for turn in turns]


def _seen(digit: int, turn: float) -> np.ndarray[Any, np.dtype[np.float32]]:
    vector = np.zeros(DIGITS + 1, dtype=np.float32)
    vector[digit] = 1.0
    vector[-1] = turn
    return vector


def _other(seat: str) -> str:
    return SEATS[1 - SEATS.index(seat)]
