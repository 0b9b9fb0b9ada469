from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from fogline.agents.agent import SeatView
from fogline.agents.collector import collect_all
from fogline.agents.environments import make_environment
from fogline.agents.registry import agent_names, make_agent
from fogline.agents.rollout import Assignment
from fogline.core.errors import ConfigurationError
from fogline.envs.object_presence.scores import ChairScores, PopeScores, chair_of, pope_of

ENV = "ObjectPresence-v0"
SPLITS = ("random", "popular", "adversarial")


def metrics_of(agent: str, options: dict[str, Any] | None = None, **keywords: Any) -> list[Any]:
    env = make_environment(ENV, keywords)
    tasks = env.unwrapped.task_ids
    env.close()
    player = make_agent(agent, ENV, env_kwargs=keywords, **(options or {}))
    played = collect_all(partial(make_environment, ENV, keywords), player, [Assignment(task, 0) for task in tasks])
    assert {episode.status for episode in played} == {"terminated"}
    return [episode.metrics for episode in played]


def pope(agent: str, split: str, **options: Any) -> PopeScores:
    return pope_of(metrics_of(agent, options, split=split, n_images=40))


def chair(agent: str) -> ChairScores:
    return chair_of(metrics_of(agent, task="caption", n_images=40))


def test_the_five_are_known_by_name() -> None:
    assert agent_names(ENV)[:5] == ("oracle", "always-yes", "always-no", "prior", "guess")


@pytest.mark.parametrize("split", SPLITS)
def test_the_oracle_is_right_and_constant_answers_are_half_right(split: str) -> None:
    assert pope("oracle", split) == PopeScores(240, 1.0, 1.0, 1.0, 1.0, 0.5, 0.0)
    assert pope("always-yes", split) == PopeScores(240, 0.5, 0.5, 1.0, 2 / 3, 1.0, 0.0)
    assert pope("always-no", split) == PopeScores(240, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0)


def test_who_goes_by_what_is_usual_does_well_at_random_and_worse_than_chance_where_it_misleads() -> None:
    found = {split: pope_of(metrics_of("prior", split=split, n_images=150)) for split in SPLITS}
    assert found["random"].accuracy > 0.53
    assert found["popular"].accuracy < 0.42
    assert found["popular"].yes_rate > 0.75
    assert found["random"].recall == found["popular"].recall == found["adversarial"].recall
    assert pope("prior", "random", least=0.0).yes_rate == 1.0
    assert pope("prior", "random", least=1.0).yes_rate == 0.0


def test_guesses_are_half_right_and_sampled_text_is_not_readable() -> None:
    assert pope("guess", "random").accuracy == pytest.approx(0.5, abs=0.1)
    assert pope("random", "random").unreadable > 0.95


def test_captions_show_who_hallucinates() -> None:
    found = {name: chair(name) for name in ("oracle", "always-yes", "always-no", "prior", "guess")}
    assert found["oracle"] == ChairScores(40, 0.0, 0.0, 1.0)
    assert found["always-no"] == ChairScores(40, 0.0, 0.0, 0.0)
    assert (found["always-yes"].chair_s, found["always-yes"].recall) == (1.0, 1.0)
    assert found["prior"].chair_i < found["guess"].chair_i + 0.05
    assert found["prior"].recall > found["guess"].recall


def test_the_oracle_writes_the_target_in_the_fixed_order() -> None:
    assert {row["exact"] for row in metrics_of("oracle", task="caption", n_images=20)} == {True}


def test_a_task_of_another_set_and_a_share_that_is_none_are_refused() -> None:
    agent: Any = make_agent("oracle", ENV, env_kwargs={"n_images": 1})
    with pytest.raises(ConfigurationError, match="hand it the data set"):
        agent.act([SeatView(ENV, "elsewhere", "agent", None)])
    with pytest.raises(ConfigurationError, match="least=2"):
        make_agent("prior", ENV, least=2)
