from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from fogline.agents.collector import collect_all
from fogline.agents.environments import make_environment
from fogline.agents.registry import make_agent
from fogline.agents.rollout import Assignment
from fogline.agents.scripted.math_reasoning import arithmetic_in
from fogline.core.episode import Episode
from fogline.core.errors import AgentError, ConfigurationError
from fogline.envs.math_reasoning.sources import load_problems
from fogline.envs.math_reasoning.statistics import DifficultyStatistics

ENV = "MathReasoning-v0"


def play(agent: str, limit: int | None = None, samples: int = 1, options: Any = (), **keywords: Any) -> list[Episode]:
    env = make_environment(ENV, keywords)
    tasks = env.unwrapped.task_ids[:limit]
    env.close()
    return collect_all(
        partial(make_environment, ENV, keywords),
        make_agent(agent, ENV, env_kwargs=keywords, **dict(options)),
        [Assignment(task, seed) for task in tasks for seed in range(samples)],
    )


@pytest.mark.parametrize(
    "keywords",
    [
        {"tasks_per_level": 5, "paraphrase": True},
        {"problems": "words", "tasks_per_level": 5},
        {"problems": "gsm8k", "split": "test"},
        {"tasks_per_level": 5, "prompt": "short", "split": "test"},
        {"problems": "words", "tasks_per_level": 3, "tools": "calculator"},
    ],
)
def test_the_oracle_is_always_right_and_well_formed(keywords: dict[str, Any]) -> None:
    episodes = play("oracle", **keywords)
    assert {episode.reward for episode in episodes} == {1.0}
    assert {episode.outcome["format"] for episode in episodes} == {1.0}  # type: ignore[index]


@pytest.mark.parametrize("keywords", [{}, {"tools": "calculator"}, {"prompt": "short"}])
def test_the_calculator_solves_all_arithmetic(keywords: dict[str, Any]) -> None:
    episodes = play("calculator", tasks_per_level=6, paraphrase=True, **keywords)
    assert {episode.reward for episode in episodes} == {1.0}
    assert {len(episode.turns) for episode in episodes} == {2 if "tools" in keywords else 1}


def test_a_solver_who_errs_now_and_then_finds_higher_levels_harder() -> None:
    dataset = load_problems("arithmetic", tasks_per_level=40)
    statistics = DifficultyStatistics(dataset)
    for episode in play("noisy", samples=5, options={"error": 0.03}.items(), tasks_per_level=40):
        statistics.note(episode.task_id, episode.metrics["correct"])  # type: ignore[index]
    rates = statistics.by_level()
    assert {rate.trials for rate in rates.values()} == {200}
    # Neighbours may be equally hard; three levels apart their intervals lie apart.
    assert all(rates[level].low > rates[level + 3].high for level in range(1, 8)), rates
    assert rates[1].rate > 0.9  # type: ignore[operator]
    assert rates[10].rate < 0.5  # type: ignore[operator]


def test_without_errors_the_noisy_solver_is_right_and_with_errors_only_it_is_wrong() -> None:
    assert {episode.reward for episode in play("noisy", tasks_per_level=4, options={"error": 0}.items())} == {1.0}
    assert {episode.reward for episode in play("noisy", difficulty=1, options={"error": 1}.items())} == {0.0}


def test_a_guess_is_right_now_and_then_at_the_lowest_level_only() -> None:
    easy = [episode.reward for episode in play("guess", samples=4, difficulty=1)]
    hard = [episode.reward for episode in play("guess", difficulty=9)]
    assert 0.01 < sum(easy) / len(easy) < 0.15  # type: ignore[arg-type]
    assert sum(hard) <= 2  # type: ignore[arg-type]


def test_solvers_of_arithmetic_say_that_words_are_none() -> None:
    for agent in ("calculator", "noisy"):
        (episode,) = play(agent, limit=1, problems="words")
        assert episode.status == "agent_error"
    with pytest.raises(AgentError, match="plain arithmetic"):
        arithmetic_in("Bruno has 5 apples and 3 pears.")


def test_options_and_data_sets_that_do_not_fit_are_refused() -> None:
    for agent, options in (("noisy", {"error": 2}), ("guess", {"largest": -1}), ("guess", {"largest": True})):
        with pytest.raises(ConfigurationError):
            make_agent(agent, ENV, **options)
    with pytest.raises(ConfigurationError, match="has no task 'arithmetic-01-0000'"):
        oracle = make_agent("oracle", ENV, dataset=load_problems("words"))
        oracle._gold("arithmetic-01-0000")  # type: ignore[attr-defined]
