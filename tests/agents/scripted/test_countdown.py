from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from fogline.agents.collector import collect_all
from fogline.agents.registry import make_agent
from fogline.agents.rollout import Assignment
from fogline.agents.scripted.countdown import CountdownAgent
from fogline.core.episode import Episode
from fogline.core.errors import ConfigurationError
from fogline.envs.math_reasoning.env import MathReasoningEnv
from fogline.envs.math_reasoning.sources import load_problems


def play(agent: CountdownAgent, level: int, *, tasks: int = 20, samples: int = 1, **options: Any) -> list[Episode]:
    dataset = load_problems("countdown", difficulty=level, tasks_per_level=tasks)
    wanted = [Assignment(task, seed) for task in dataset.tasks for seed in range(samples)]
    return collect_all(partial(MathReasoningEnv, dataset, **options), agent, wanted)


@pytest.mark.parametrize("level", range(1, 9))
@pytest.mark.parametrize("prompt", ["full", "short"])
def test_without_errors_every_problem_is_solved_as_the_rules_ask(level: int, prompt: str) -> None:
    episodes = play(CountdownAgent(), level, tasks=6, prompt=prompt, paraphrase=True, format_weight=1.0)
    assert {episode.reward for episode in episodes} == {2.0}


def test_the_seed_decides_which_of_many_ways_is_taken() -> None:
    episodes = play(CountdownAgent(), 3, tasks=5, samples=12)
    ways = [
        {turn.action for episode in episodes[start : start + 12] for turn in episode.turns}
        for start in range(0, 60, 12)
    ]
    assert min(map(len, ways)) >= 3
    assert [episode.turns for episode in play(CountdownAgent(), 3, tasks=5, samples=12)] == [
        episode.turns for episode in episodes
    ]


def test_errors_confuse_operators_and_leave_the_numbers() -> None:
    right = [episode.reward or 0.0 for episode in play(CountdownAgent(0.25), 3, tasks=100)]
    assert 0.4 < sum(right) / 100 < 0.75
    wrong = [episode.reward or 0.0 for episode in play(CountdownAgent(1.0), 1, tasks=100)]
    assert sum(wrong) < 10
    for episode in play(CountdownAgent(1.0), 3, prompt="short"):
        (turn,) = episode.turns
        shown = turn.observation.partition("=")[0].split()
        assert sorted(shown) == sorted("".join(c if c.isdigit() else " " for c in turn.action).split())


def test_what_cannot_be_solved_or_read_is_the_agents_failure() -> None:
    assert {episode.status for episode in play(CountdownAgent(signs="*"), 2, tasks=4)} <= {"agent_error", "terminated"}
    assert "agent_error" in {episode.status for episode in play(CountdownAgent(signs="*"), 2)}
    dataset = load_problems("arithmetic", difficulty=1, tasks_per_level=1)
    (episode,) = collect_all(
        partial(MathReasoningEnv, dataset), CountdownAgent(), [Assignment(next(iter(dataset.tasks)), 0)]
    )
    assert episode.status == "agent_error"


def test_options_that_do_not_fit_are_refused() -> None:
    for options in ({"error": -0.1}, {"error": 2}, {"signs": ""}, {"signs": "+^"}):
        with pytest.raises(ConfigurationError):
            make_agent("countdown", "MathReasoning-v0", **options)
