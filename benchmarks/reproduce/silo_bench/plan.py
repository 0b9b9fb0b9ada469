"""The plan: how large the memory is and why, arms, seeds, margins; committed before the full run.

How the capacity follows from the prompt limit. The paper's models have a context of 128K tokens, and its table 6 says
what lay in it: a prompt of 748.8 tokens, a shard of 312.4 and, for DeepSeek-V3.1, 8,498.7 of communication, on average
(together 7.5 % of 128,000). Characters per token are not published, so the unit is the mean shard. Two capacities are
fixed from this:

- ``share in use``: the data that an agent had in its context on average, (312.4 + 8,498.7) / 312.4 = 28.2 mean
  shards. This is the arm that claims are judged by.
- ``whole window``: all that the context can hold beside the prompt, (128,000 - 748.8) / 312.4 = 407.3 mean shards.
  It is meant to be large enough for nearly everything, as table 6 says of the models' contexts: then the limit of the
  prompt as such explains no failure, and a gap needs a memory that is a small part of the window.

That a model integrates no more than it had in its context on average is an assumption of this illustration, chosen
because it is the one published figure between these bounds, and no finding. The other arms halve and double it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict

from fogline.benchmarks.reproduce.results import Direction, Published
from fogline.benchmarks.reproduce.silo_bench.memory import Order
from fogline.envs.silo_bench.calls import Protocol
from fogline.envs.silo_bench.tasks.catalogue import TASKS

WINDOW_TOKENS, PROMPT_TOKENS, SHARD_TOKENS, COMMUNICATION_TOKENS = 128_000.0, 748.8, 312.4, 8_498.7
"""Of DeepSeek-V3.1 on average (Silo-Bench, arXiv 2603.01045, appendix D, table 6)."""

IN_USE, WINDOW = "share in use", "whole window"
_IN_USE = (SHARD_TOKENS + COMMUNICATION_TOKENS) / SHARD_TOKENS
_WINDOW = (WINDOW_TOKENS - PROMPT_TOKENS) / SHARD_TOKENS


class MemoryArm(NamedTuple):
    """A memory, and how it is told.

    Attributes:
        shards: Capacity in mean shards.
        protocol: Over which channel all are told everything.
        order: In which order the memory takes in what it was told.
    """

    shards: float
    protocol: Protocol = "broadcast"
    order: Order = "arrival"


ARMS: Mapping[str, MemoryArm] = {
    f"{IN_USE} / 16": MemoryArm(_IN_USE / 16),
    f"{IN_USE} / 4": MemoryArm(_IN_USE / 4),
    f"{IN_USE} / 2": MemoryArm(_IN_USE / 2),
    IN_USE: MemoryArm(_IN_USE),
    f"{IN_USE} * 2": MemoryArm(_IN_USE * 2),
    f"{IN_USE} * 4": MemoryArm(_IN_USE * 4),
    WINDOW: MemoryArm(_WINDOW),
    f"{IN_USE}, random order": MemoryArm(_IN_USE, order="random"),
}
"""Over the broadcast log; what seats hear, and in which order, is the same over the other protocols (tested)."""

SWEEP = tuple(name for name, arm in ARMS.items() if arm.order == "arrival")

SIZES = (2, 5, 10, 20, 50, 100)
PAPER: Mapping[str, Any] = {
    "name": "Silo-Bench, arXiv 2603.01045",
    "setting": "DeepSeek-V3.1, 30 tasks, three protocols, one run per cell; shares",
    "sizes": list(SIZES),
    "S": [0.612, 0.485, 0.399, 0.336, 0.190, 0.181],
    "P": [0.784, 0.682, 0.591, 0.602, 0.468, 0.465],
    "S, level I": [0.850, 0.720, 0.687, 0.657, 0.381, 0.406],
    "S, level II": [0.617, 0.553, 0.283, 0.295, 0.174, 0.143],
    "S, level III": [0.362, 0.172, 0.100, 0.057, 0.0, 0.0],
    "S and P, level I": [0.620, 0.880],
    "S and P, level II": [0.351, 0.597],
    "S and P, level III": [0.117, 0.279],
    "RCC of GPT-OSS-120B, level I": [0.152, 0.303, 0.331, 0.242, 0.459, 0.500],
    "RCC of GPT-OSS-120B, level II": [0.311, 0.329, 0.700, 0.618, 0.800, 0.624],
    "RCC of GPT-OSS-120B, level III": [0.488, 0.700, 0.850, 0.838, 1.0, 1.0],
    "S of one GPT-OSS-120B, level I": [0.967, 0.933, 0.767, 0.633, 0.333, 0.200],
    "S of one GPT-OSS-120B, level II": [0.900, 0.700, 0.733, 0.367, 0.300, 0.133],
    "S of one GPT-OSS-120B, level III": [0.800, 0.733, 0.600, 0.433, 0.267, 0.100],
}
"""Tables 1, 2 and 12; the paper gives P by size and by level, not by both, and no RCC by size for DeepSeek-V3.1."""

Claim = tuple[str, str, str, float, Published]
MARGIN = 0.05


def arm_at(arm: str, n_agents: int, level: str = "") -> str:
    """Name of an arm's figures at one size, of one level or of all."""
    return f"{arm}, level {level}, N={n_agents}" if level else f"{arm}, N={n_agents}"


def _claim(metric: str, arm: str, baseline: str, difference: float, source: str) -> Claim:
    direction: Direction = "higher" if difference > 0 else "lower"
    return (metric, arm, baseline, MARGIN, Published(direction=direction, difference=difference, source=source))


_SMALL, _LARGE = arm_at(IN_USE, 2), arm_at(IN_USE, 100)
CLAIMS: tuple[Claim, ...] = (
    _claim("S", _LARGE, _SMALL, -0.431, "table 1, DeepSeek-V3.1"),
    _claim("P", _LARGE, _SMALL, -0.319, "table 1, DeepSeek-V3.1"),
    _claim("P - S", _LARGE, _SMALL, 0.112, "table 1, DeepSeek-V3.1"),
    _claim("P - S", _LARGE, arm_at(WINDOW, 100), 0.284, "table 1, DeepSeek-V3.1: P - S at N=100, against none"),
    _claim("S", arm_at(IN_USE, 100, "II"), arm_at(IN_USE, 100, "I"), -0.263, "table 12, DeepSeek-V3.1"),
    _claim("S", arm_at(IN_USE, 100, "III"), arm_at(IN_USE, 100, "I"), -0.406, "table 12, DeepSeek-V3.1"),
    *(
        _claim("RCC", arm_at(IN_USE, 100, level), arm_at(IN_USE, 2, level), difference, "table 2, GPT-OSS-120B")
        for level, difference in (("I", 0.348), ("II", 0.313), ("III", 0.512))
    ),
)
"""Metric, arm, baseline, margin (a share), what is published."""


class Plan(BaseModel):
    """Budgets; the full and the quick form differ in nothing else.

    Attributes:
        arms: Names of :data:`ARMS`.
        sizes: Numbers of agents.
        tasks: Ids of tasks.
        seeds: Numbers of the instances of each task at each size; the same for all arms.
        shard_characters: Length of the mean shard as compact JSON, over the thirty tasks and six sizes: measured on
            the data alone, before any game was played.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    arms: tuple[str, ...] = tuple(ARMS)
    sizes: tuple[int, ...] = SIZES
    tasks: tuple[str, ...] = tuple(TASKS)
    seeds: tuple[int, ...] = (10, 11, 12, 13, 14)
    shard_characters: int = 190

    def capacity(self, arm: MemoryArm) -> int:
        """Capacity of an arm's memory in characters."""
        return round(arm.shards * self.shard_characters)

    def shapes(self) -> dict[str, Any]:
        """What shapes a run; seeds and the choice of arms do not."""
        memories = {name: list(arm) for name, arm in ARMS.items()}
        return {**self.model_dump(mode="json", exclude={"seeds", "arms"}), "memories": memories}

    def stated(self) -> dict[str, Any]:
        """Arms, seeds, margins and rules in words."""
        return {
            "arms": {
                name: {
                    "capacity in mean shards": round(ARMS[name].shards, 2),
                    "capacity in characters": self.capacity(ARMS[name]),
                    "protocol": ARMS[name].protocol,
                    "order": ARMS[name].order,
                }
                for name in self.arms
            },
            "seeds": list(self.seeds),
            "capacity": (
                f"fixed from the prompt limit: {IN_USE} = ({SHARD_TOKENS} + {COMMUNICATION_TOKENS}) / {SHARD_TOKENS} "
                "mean shards, the data that the published DeepSeek-V3.1 had in its context of 128K tokens on average; "
                f"{WINDOW} = ({WINDOW_TOKENS:.0f} - {PROMPT_TOKENS}) / {SHARD_TOKENS}, all that fits beside the "
                f"prompt (table 6). A mean shard is {self.shard_characters} characters of compact JSON"
            ),
            "judged": f"the arm '{IN_USE}'; the others are the sweep and were not chosen among",
            "margins": MARGIN,
            "unit": "a seed is one instance of every task at every size; intervals are over seeds, the tasks are fixed",
        }


FULL = Plan()
QUICK = Plan(arms=(f"{IN_USE} / 4", IN_USE, WINDOW), sizes=(2, 10, 20), seeds=(0,))
