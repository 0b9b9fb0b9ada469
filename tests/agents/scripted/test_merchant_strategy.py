"""Owners who do not learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fogline.agents.collector import collect_all
from fogline.agents.environments import make_environment
from fogline.agents.registry import agent_names, make_agent
from fogline.agents.rollout import Assignment
from fogline.core.errors import ConfigurationError

ENV = "MerchantStrategy-v0"
SMALL = {"n_merchants": 8, "n_trajectories": 1_600}


def value(agent: Any, **options: Any) -> float:
    wanted = [Assignment(f"m{merchant:03d}", seed) for merchant in range(8) for seed in range(6)]
    episodes = collect_all(lambda: make_environment(ENV, {"world": SMALL, **options}), agent, wanted)
    assert all(episode.scored for episode in episodes)
    return float(np.mean([episode.metrics["usual_profits"] for episode in episodes]))


def test_all_of_them_are_known_by_name() -> None:
    assert set(agent_names(ENV)) >= {"usual", "constant", "ranked", "random"}


@pytest.mark.parametrize("actions", ["box", "grid"])
def test_what_a_model_ranks_first_beats_the_usual_and_chance(actions: str) -> None:
    ranked = value(make_agent("ranked", ENV, world=SMALL), actions=actions)
    usual = value(make_agent("usual", ENV), actions=actions)
    chance = value(make_agent("random", ENV), actions=actions)
    assert chance < usual < ranked


def test_a_constant_is_what_its_options_say() -> None:
    agent = make_agent("constant", ENV, advertising=0.5, page=0.5, price=0.5)
    episodes = collect_all(lambda: make_environment(ENV, {"world": SMALL}), agent, [Assignment("m000", 0)])
    for turn in episodes[0].turns:
        np.testing.assert_allclose(turn.action, [0, 0, 0.5, 0.5, 0.5])


def test_wrong_levers_worlds_and_environments_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"page=2: expected a number from 0 to 1"):
        make_agent("constant", ENV, page=2)
    with pytest.raises(ConfigurationError, match=r"does not know merchant 'm100'"):
        make_agent("ranked", ENV, world=SMALL, simulator="world").first("m100")
