"""Agents by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fogline.agents.agent import Agent
from fogline.agents.registry import GENERAL, SCRIPTED, agent_names, check_agent, load_dataset, make_agent, price_of
from fogline.core.errors import ConfigurationError
from fogline.simulators.databases.records import TextToSQLDataset


@pytest.mark.parametrize("name", ["random", "human", "oracle", "heuristic"])
def test_every_named_agent_is_an_agent(name: str) -> None:
    agent = make_agent(name, "TrustSQL-v0")
    assert isinstance(agent, Agent)
    assert agent.name == name


def test_the_names_of_an_environment_are_its_own_and_the_general_ones() -> None:
    assert set(agent_names("TrustSQL-v0")) == {*SCRIPTED["TrustSQL-v0"], *GENERAL}
    assert set(agent_names("CartPole-v1")) == set(GENERAL)


def test_a_chat_agent_takes_the_options_of_its_model_too(tmp_path: Path) -> None:
    prices = tmp_path / "prices.json"
    prices.write_text(json.dumps({"small": {"prompt": 1, "completion": 2}}))
    options = {"model": "small", "base_url": "http://localhost:1/v1", "concurrency": 3, "temperature": 0.5, "votes": 3}
    agent = make_agent("chat", "TrustSQL-v0", prices=str(prices), **options)
    assert agent.name == "chat:small"
    assert agent.batch_size == 1
    assert price_of("small", prices).completion == 2


def test_the_oracle_is_handed_what_the_environment_plays(shop: TextToSQLDataset) -> None:
    assert load_dataset("TrustSQL-v0", {"databases": ["chinook"], "max_turns": 4}).databases.keys() == {"chinook"}
    oracle = make_agent("oracle", "TrustSQL-v0", dataset=shop)
    assert oracle._golds.dataset is shop  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "env_id", "options", "message"),
    [
        ("oracel", "TrustSQL-v0", {}, "Did you mean 'oracle'"),
        ("oracle", "CartPole-v1", {}, "unknown for CartPole-v1"),
        ("random", "TrustSQL-v0", {"colour": 1}, "no option 'colour': expected no option"),
        ("chat", "TrustSQL-v0", {"model": "m", "temprature": 1}, "Did you mean 'temperature'"),
        ("chat", "TrustSQL-v0", {}, "needs the option 'model'"),
        ("toy_world:HOSTILE", "TrustSQL-v0", {}, "has no class 'HOSTILE'"),
        ("no_such_module:Agent", "TrustSQL-v0", {}, "there is no module 'no_such_module'"),
    ],
)
def test_what_is_unknown_is_named_before_anything_is_built(
    name: str, env_id: str, options: dict[str, object], message: str
) -> None:
    for refuse in (lambda: check_agent(name, env_id, options), lambda: make_agent(name, env_id, **options)):
        with pytest.raises(ConfigurationError, match=message):
            refuse()


def test_what_is_no_agent_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="made a NotAnAgent, which is no agent"):
        make_agent("toy_world:NotAnAgent", "TrustSQL-v0")
    with pytest.raises(ConfigurationError, match=r"agent='gymnasium\.spaces:Discrete': .*'n'"):
        make_agent("gymnasium.spaces:Discrete", "TrustSQL-v0")


def test_a_price_that_is_not_listed_is_refused(tmp_path: Path) -> None:
    prices = tmp_path / "prices.json"
    prices.write_text(json.dumps({"small": {"prompt": 1, "completion": 2}}))
    with pytest.raises(ConfigurationError, match="Did you mean 'small'"):
        price_of("smal", prices)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        price_of("small", tmp_path / "absent.json")
