"""What the tests of all bridges share: an agent that plays given actions, and the native episodes to compare with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fogline.agents.agent import SeatView
from fogline.agents.collector import Assignment, collect_all
from fogline.agents.environments import make_environment
from fogline.agents.registry import make_agent
from fogline.core.episode import Episode

TEXT_WORLDS: Sequence[tuple[str, Mapping[str, Any], str, str]] = (
    ("TrustSQL-v0", {}, "chinook-001", "oracle"),
    ("MathReasoning-v0", {}, "arithmetic-01-0003", "oracle"),
    ("VisualTable-v0", {"observation": "symbols"}, "table-1-0001", "oracle"),
    ("SalesDialogue-v0", {}, "gym-membership/0000", "scripted"),
    ("SiloBench-v0", {"n_agents": 1, "actions": "text"}, "I-01/1", "tree"),
)
"""Environment, keywords, task and who plays it: every world with one voice that reads and writes."""


def played(env_id: str, keywords: Mapping[str, Any], task_id: str, agent: str, seed: int) -> Episode:
    """An episode by fogline's own collector and a scripted agent."""
    (episode,) = collect_all(
        lambda: make_environment(env_id, keywords), make_agent(agent, env_id), [Assignment(task_id, seed)]
    )
    assert episode.failure is None
    return episode


class Replay:
    """Plays given actions, whatever it sees."""

    name = "replay"
    batch_size: int | None = None

    def __init__(self, actions: Sequence[Any]) -> None:
        self._actions = actions

    def act(self, views: Sequence[SeatView]) -> list[Any]:
        return [self._actions[len(view.turns)] for view in views]


def native(env_id: str, keywords: Mapping[str, Any], task_id: str, seed: int, actions: Sequence[Any]) -> Episode:
    """The episode that the collector records of the same task, seed and actions."""
    (episode,) = collect_all(
        lambda: make_environment(env_id, keywords), Replay(actions), [Assignment(task_id, seed)], retries=0
    )
    return episode


def rewards(episode: Episode) -> list[float]:
    return [turn.reward for turn in episode.turns]
