"""How good a policy is while it learns: played through the collector, summed up as means."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

from fogline.agents.collector import EnvFactory, collect_all
from fogline.agents.policies.policy import Policy
from fogline.agents.rollout import Assignment
from fogline.core.episode import Episode


def measure(
    env_factory: EnvFactory,
    policy: Policy,
    assignments: Sequence[Assignment],
    *,
    greedy: bool = True,
    concurrency: int = 64,
    kept: list[Any] | None = None,
) -> dict[str, float]:
    """Play every assignment and return :func:`episode_means`; the policy is left as it was."""
    before = policy.greedy
    policy.greedy = greedy
    try:
        episodes = collect_all(env_factory, policy, assignments, concurrency=concurrency, kept=kept)
    finally:
        policy.greedy = before
    return episode_means(episodes)


def episode_means(episodes: Sequence[Episode]) -> dict[str, float]:
    """Means over scored episodes.

    Returns:
        ``reward`` (of an episode, over its seats), ``turns`` per seat, ``tokens`` written per episode, ``truncated``,
        ``agent_error`` and ``malformed`` shares, every term of the outcome and every numeric metric by its own name,
        and the counts ``episodes`` and ``unscored``. Means are absent where nothing was scored.
    """
    scored = [episode for episode in episodes if episode.scored]
    means: dict[str, float] = {"episodes": float(len(scored)), "unscored": float(len(episodes) - len(scored))}
    columns: dict[str, list[float]] = {}
    for episode in scored:
        for name, value in _figures(episode).items():
            columns.setdefault(name, []).append(value)
    means.update({name: math.fsum(values) / len(values) for name, values in columns.items()})
    return means


def _figures(episode: Episode) -> Mapping[str, float]:
    turns = episode.turns
    figures = {
        "reward": float(episode.reward or 0.0),
        "turns": len(turns) / max(len(episode.seats), 1),
        "tokens": float(sum(len(turn.action_token_ids) for turn in turns)),
        "truncated": float(episode.status == "truncated"),
        "agent_error": float(episode.status == "agent_error"),
        "malformed": sum(turn.malformed for turn in turns) / max(len(turns), 1),
    }
    for name, value in (*episode.outcome.items(), *episode.metrics.items()):
        if isinstance(value, Real) and name not in figures:
            figures[name] = float(value)
    return figures
