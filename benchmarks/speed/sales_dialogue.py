"""How many turns of ``SalesDialogue-v0`` a core plays in a second, every comparison of the repetition term included."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from fogline.benchmarks.speed.report import Effort, Finding, Target, step_rate
from fogline.benchmarks.speed.timing import MeasurementFailed, alternate, cpu_rate
from fogline.benchmarks.speed.trivial import ACTION, NoOperation

NAME = "sales-dialogue"
STEPS_PER_SECOND = Target("at least", 20_000.0)

_ROUGH_RATE = 20_000
_ROUGH_TURNS = 7
_BUDGET = 12
_FEWEST_CALLS = 40
_PER_CPU_SECOND = "per second of this process's CPU time; resets included, random acts"


def run(effort: Effort) -> list[Finding]:
    """Measure the act mode, and the text mode that is told the same words."""
    calls = max(_FEWEST_CALLS, int(effort.seconds * _ROUGH_RATE / _ROUGH_TURNS))
    script = Script(calls)
    rates = alternate(
        {
            "raw": lambda: cpu_rate(lambda: _bare(script.turns)),
            "acts": lambda: cpu_rate(lambda: script.play("acts")),
            "text": lambda: cpu_rate(lambda: script.play("text")),
        },
        effort.rounds,
    )
    found = partial(step_rate, NAME, subject="SalesDialogue-v0 step", raw=rates["raw"], note=_PER_CPU_SECOND)
    return [
        found("act mode", rates=rates["acts"], target=STEPS_PER_SECOND),
        found("text mode, the same words", rates=rates["text"], target=None),
    ]


class Script:
    """Calls with random acts, played once in the act mode to know their words.

    Args:
        calls: How many.

    Attributes:
        turns: Turns of all calls together.
    """

    def __init__(self, calls: int) -> None:
        import gymnasium

        import fogline.envs  # noqa: F401  (registers the environment)

        self._envs: dict[str, Any] = {
            actions: gymnasium.make("SalesDialogue-v0", actions=actions) for actions in ("acts", "text")
        }
        env = self._envs["acts"]
        sizes = env.action_space.nvec
        chosen = np.random.default_rng(0).integers(0, sizes, size=(calls, _BUDGET, len(sizes)))
        self._actions: dict[str, list[list[Any]]] = {"acts": [list(row) for row in chosen], "text": []}
        for seed, row in enumerate(self._actions["acts"]):
            env.reset(seed=seed)
            words, over = [], False
            for action in row:
                *_, terminated, truncated, info = env.step(action)
                words.append(info["words"])
                over = terminated or truncated
                if over:
                    break
            self._actions["text"].append(words)
        self.turns = sum(map(len, self._actions["text"]))

    def play(self, actions: str) -> int:
        """Play all calls; returns how many turns they took.

        Raises:
            MeasurementFailed: If they did not go as they went the first time.
        """
        turns = sum(_play(self._envs[actions], seed, row) for seed, row in enumerate(self._actions[actions]))
        if turns != self.turns:
            raise MeasurementFailed(f"SalesDialogue-v0 ({actions}) took {turns} turns: expected {self.turns}.")
        return turns


def _play(env: Any, seed: int, actions: Sequence[Any]) -> int:
    env.reset(seed=seed)
    turns = 0
    for action in actions:
        _, _, terminated, truncated, _ = env.step(action)
        turns += 1
        if terminated or truncated:
            return turns
    return turns


def _bare(turns: int) -> int:
    env = NoOperation()
    for seed in range(turns // _ROUGH_TURNS):
        env.reset(seed=seed)
        for _ in range(_ROUGH_TURNS):
            env.step(ACTION)
    return turns // _ROUGH_TURNS * _ROUGH_TURNS
