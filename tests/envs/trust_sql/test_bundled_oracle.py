"""The oracle earns everything on every bundled question, in every form of the game: no rule dead-ends it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import pytest

from fogline.agents.collector import collect_all
from fogline.agents.scripted.trust_sql import HeuristicAgent, OracleAgent
from fogline.core.errors import AgentError, ConfigurationError
from fogline.simulators.databases.enterprise import EnterpriseConfig, enterprise_dataset
from fogline.simulators.databases.executor import Database
from fogline.simulators.databases.loaders import bundled_dataset
from fogline.simulators.databases.records import TextToSQLDataset

QUESTIONS = 144
FORMS = [
    {"protocol": protocol, "schema": schema, "propose": propose, "actions": actions}
    for protocol in ("soft", "strict")
    for schema in ("hidden", "prefilled")
    for propose in (True, False)
    for actions in ("text", "structured")
]


@pytest.fixture(scope="module")
def bundled() -> Iterator[TextToSQLDataset]:
    dataset = bundled_dataset(validate=False)
    with Database(next(iter(dataset.databases.values()))) as database:
        database.execute("SELECT 1")  # its workers stay warm from test to test
        yield dataset


@pytest.fixture(scope="module")
def oracle(bundled: TextToSQLDataset) -> OracleAgent:
    return OracleAgent(bundled)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: "-".join(map(str, form.values())))
def test_the_oracle_earns_everything_on_every_bundled_question(
    bundled: TextToSQLDataset, oracle: OracleAgent, form: dict[str, Any]
) -> None:
    def make() -> Any:
        return gymnasium.make("fogline.envs:TrustSQL-v0", dataset=bundled, **form)

    tasks = [(task_id, index) for index, task_id in enumerate(bundled.tasks)]
    assert len(tasks) == QUESTIONS
    episodes = collect_all(make, oracle, tasks, concurrency=4)
    short = {
        episode.task_id: (episode.status, episode.failure, dict(episode.outcome), episode.metrics.get("violations"))
        for episode in episodes
        if episode.reward != pytest.approx(1.1) or episode.outcome["schema"] != float(form["propose"])
    }
    assert short == {}
    assert len(episodes) == QUESTIONS
    assert not any(episode.metrics["ungrounded"] or episode.metrics["violations"] for episode in episodes)
    assert all(len(episode.turns) <= 8 for episode in episodes)


@pytest.mark.parametrize("comparator", ["bird", "spider", "strict"])
def test_the_oracle_earns_everything_on_generated_databases(tmp_path: Path, comparator: str) -> None:
    dataset = enterprise_dataset(EnterpriseConfig(seed=7, databases=3), cache=tmp_path)

    def make() -> Any:
        return gymnasium.make(
            "fogline.envs:TrustSQL-v0", dataset=dataset, protocol="strict", comparator=comparator, max_turns=12
        )

    episodes = collect_all(make, OracleAgent(dataset), [(task_id, 0) for task_id in dataset.tasks])
    assert len(episodes) == 75
    assert [(episode.task_id, episode.failure) for episode in episodes if episode.reward != pytest.approx(1.1)] == []
    assert all(episode.outcome["schema"] == 1.0 for episode in episodes)


def test_the_oracle_earns_everything_on_duckdb_too() -> None:
    dataset = bundled_dataset("duckdb", names=("chinook",), validate=False)

    def make() -> Any:
        return gymnasium.make("fogline.envs:TrustSQL-v0", dataset=dataset, protocol="strict")

    episodes = collect_all(make, OracleAgent(dataset), [(task_id, 0) for task_id in dataset.tasks])
    assert len(episodes) > 70
    assert [(episode.task_id, episode.failure) for episode in episodes if episode.reward != pytest.approx(1.1)] == []
    assert all(episode.outcome["schema"] == 1.0 for episode in episodes)


@pytest.mark.parametrize("comparator", ["bird", "spider", "strict"])
def test_every_comparator_takes_the_gold_for_right(
    bundled: TextToSQLDataset, oracle: OracleAgent, comparator: str
) -> None:
    def make() -> Any:
        return gymnasium.make("fogline.envs:TrustSQL-v0", dataset=bundled, comparator=comparator, schema="prefilled")

    episodes = collect_all(make, oracle, [(task_id, 0) for task_id in bundled.tasks])
    assert [episode.task_id for episode in episodes if episode.metrics["ex"] != 1.0] == []


def test_the_heuristic_plays_fairly_and_knows_less_than_the_oracle(bundled: TextToSQLDataset) -> None:
    def make() -> Any:
        return gymnasium.make("fogline.envs:TrustSQL-v0", dataset=bundled)

    episodes = collect_all(make, HeuristicAgent(), [(task_id, 0) for task_id in bundled.tasks])
    rewards = [episode.reward for episode in episodes]
    assert {episode.status for episode in episodes} == {"terminated"}
    # Its statements always run over a table, its turns are always well formed, and it is seldom right.
    assert all(reward is not None and reward >= 0.3 - 1e-9 for reward in rewards)
    assert sum(reward or 0.0 for reward in rewards) / len(rewards) < 0.6
    assert not any(episode.metrics["violations"] or episode.metrics["hallucinated"] for episode in episodes)


def test_the_bundled_files_are_the_same_after_all_that(bundled: TextToSQLDataset) -> None:
    files = [Path(reference.url.partition("///")[2]) for reference in bundled.databases.values()]
    before = [file.read_bytes() for file in files]

    def make() -> Any:
        return gymnasium.make("fogline.envs:TrustSQL-v0", dataset=bundled)

    collect_all(make, HeuristicAgent(), [(task_id, 1) for task_id in list(bundled.tasks)[::12]])
    assert [file.read_bytes() for file in files] == before
    assert not [other for file in files for other in file.parent.glob(f"{file.name}-*")]


def test_an_oracle_without_the_task_says_which_data_set_it_needs(shop: TextToSQLDataset, oracle: OracleAgent) -> None:
    def make() -> Any:
        return gymnasium.make("fogline.envs:TrustSQL-v0", dataset=shop)

    with pytest.raises(ConfigurationError, match="the oracle has no task 'shop-all'"):
        collect_all(make, oracle, [("shop-all", 0)])


def test_an_oracle_whose_plan_is_over_fails_as_an_agent(shop: TextToSQLDataset) -> None:
    class Deaf(OracleAgent):
        def _plan(self, view: Any) -> list[tuple[str, dict[str, Any]]]:
            return super()._plan(view)[:-1]

    def make() -> Any:
        return gymnasium.make("fogline.envs:TrustSQL-v0", dataset=shop)

    (episode,) = collect_all(make, Deaf(shop), [("shop-all", 0)])
    assert episode.failure is not None
    assert (episode.status, episode.failure.kind) == ("agent_error", AgentError.__name__)
