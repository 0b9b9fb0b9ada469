from __future__ import annotations

import dataclasses
import doctest
from pathlib import Path

import pytest
from bridged import TEXT_WORLDS, played

import fogline.trainers.bridges.datasets as bridge
from fogline.agents.collector import Assignment, collect_all
from fogline.agents.environments import make_environment
from fogline.agents.registry import make_agent
from fogline.core.episode import Episode, Failure
from fogline.core.errors import ConfigurationError, DataError
from fogline.core.store.runs import RunStore
from fogline.trainers.bridges.datasets import dataset_of, dataset_of_store, episodes_of


@pytest.fixture(scope="module")
def episodes() -> list[Episode]:
    """Episodes of words, of numbers, of a picture, of several seats, and one that broke."""
    words = [played(env_id, keywords, task_id, agent, 5) for env_id, keywords, task_id, agent in TEXT_WORLDS]
    others = []
    worlds = (("MerchantStrategy-v0", {"horizon": 3}), ("VisualTable-v0", {}), ("SiloBench-v0", {"n_agents": 3}))
    for env_id, keywords in worlds:
        env = make_environment(env_id, keywords)
        others += collect_all(
            lambda env=env: env, make_agent("random", env_id), [Assignment(env.unwrapped.task_ids[0], 1)]
        )
    failure = Failure("Outage", "no answer", 3)
    broken = dataclasses.replace(words[0], status="infra_error", failure=failure, outcome={}, turns=words[0].turns[:1])
    return [*words, *others, broken]


def as_json(episodes: list[Episode]) -> list[object]:
    # Arrays have no equality of their own: the lossless JSON form has.
    return [episode.to_json() for episode in episodes]


def test_episodes_come_back_as_they_were(episodes: list[Episode]) -> None:
    assert as_json(episodes_of(dataset_of(episodes))) == as_json(episodes)


def test_they_come_back_from_a_file_a_shuffle_and_a_shard(episodes: list[Episode], tmp_path: Path) -> None:
    import datasets

    dataset_of(episodes).to_parquet(str(tmp_path / "episodes.parquet"))
    read = datasets.Dataset.from_parquet(str(tmp_path / "episodes.parquet"), cache_dir=str(tmp_path / "cache"))
    assert as_json(episodes_of(read)) == as_json(episodes)
    order = [3, 0, 5]
    assert as_json(episodes_of(read.select(order))) == as_json([episodes[index] for index in order])


def test_an_episode_that_broke_has_no_reward_and_is_not_scored(episodes: list[Episode]) -> None:
    dataset = dataset_of(episodes)
    assert dataset["reward"][:] == [episode.reward for episode in episodes]
    assert dataset["scored"][:] == [True] * (len(episodes) - 1) + [False]
    assert dataset["failure"][-1] == "Outage"
    assert dataset["reward"][-1] is None


def test_conversations_are_messages_and_nothing_else_is(episodes: list[Episode]) -> None:
    dataset = dataset_of(episodes)
    trust_sql = dataset[0]["messages"]
    assert [message["role"] for message in trust_sql] == ["user", "assistant"] * len(episodes[0].turns)
    assert [message["content"] for message in trust_sql[1::2]] == [turn.action for turn in episodes[0].turns]
    assert [row["messages"] is None for row in dataset] == [False] * 5 + [True] * 3 + [False]


def test_a_store_is_a_dataset(episodes: list[Episode], tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    with RunStore(path) as store:
        run_id = store.begin_run("test", {})
        store.add_episodes(run_id, store.add_cell(run_id, {"arm": "a"}), episodes[:3])
    assert as_json(episodes_of(dataset_of_store(path))) == as_json(episodes[:3])
    assert dataset_of_store(path, run_id).num_rows == 3


def test_no_episodes_have_the_same_columns(episodes: list[Episode]) -> None:
    assert dataset_of([]).features == dataset_of(episodes).features
    assert episodes_of(dataset_of([])) == []


def test_what_is_no_episode_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no episode"):
        episodes_of([{"text": "hello"}])
    with pytest.raises(DataError):
        episodes_of([{"episode": "{}"}])
    with pytest.raises(ConfigurationError, match="no run store"):
        dataset_of_store(tmp_path / "absent.db")


def test_the_example_of_the_bridge_runs() -> None:
    assert doctest.testmod(bridge).failed == 0
