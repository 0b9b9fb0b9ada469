"""Scripted agents: random ones are reproducible, explorers use what they were shown and nothing else."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from games import CountEnv
from shop import SCHEMAS, MakeEnv, make

from fogline.agents.agent import SeatView
from fogline.agents.collector import collect_all
from fogline.agents.scripted.baselines import RandomAgent
from fogline.agents.scripted.trust_sql import (
    CatalogueQueries,
    HeuristicAgent,
    OracleAgent,
    SchemaExplorer,
    known_schema,
)
from fogline.agents.scripted.trust_sql_skills import SkillEncoder
from fogline.core.errors import ConfigurationError
from fogline.simulators.databases.records import TextToSQLDataset


class Keep:
    """Plays as ``agent`` does and keeps the views."""

    batch_size: int | None = None

    def __init__(self, agent: Any) -> None:
        self.agent, self.name = agent, agent.name
        self.views: dict[str, SeatView] = {}

    def act(self, views: Sequence[SeatView]) -> Any:
        self.views.update({view.task_id: view for view in views})
        return self.agent.act(views)


# Random


@pytest.mark.parametrize("concurrency", [1, 5])
def test_random_actions_belong_to_the_space_and_follow_the_seed(concurrency: int) -> None:
    tasks = [("length-4", seed) for seed in range(10)]
    episodes = collect_all(CountEnv, RandomAgent(), tasks, concurrency=concurrency)
    actions = [[turn.action for turn in episode.turns] for episode in episodes]
    again = collect_all(CountEnv, RandomAgent(), tasks[::-1], concurrency=3)[::-1]
    assert actions == [[turn.action for turn in episode.turns] for episode in again]
    assert all(0 <= action < 10 for row in actions for action in row)
    assert len({tuple(map(int, row)) for row in actions}) > 5


def test_a_random_agent_leaves_the_environments_space_alone() -> None:
    env = CountEnv()
    env.action_space.seed(1)
    before = str(env.action_space.np_random.bit_generator.state)
    collect_all(lambda: env, RandomAgent(), [("length-3", 0)], concurrency=1)
    assert str(env.action_space.np_random.bit_generator.state) == before


@pytest.mark.parametrize("actions", ["text", "structured"])
def test_a_random_agent_gets_through_trust_sql_and_earns_nothing(shop: TextToSQLDataset, actions: str) -> None:
    episodes = collect_all(lambda: make(shop, actions=actions), RandomAgent(), [(task_id, 0) for task_id in SCHEMAS])
    assert {episode.status for episode in episodes} <= {"truncated", "terminated"}
    assert {episode.reward for episode in episodes} == {0.0}


# Oracle and heuristic


@pytest.mark.parametrize("protocol", ["soft", "strict"])
def test_the_oracle_earns_everything_and_proposes_only_what_it_was_shown(shop: TextToSQLDataset, protocol: str) -> None:
    episodes = collect_all(lambda: make(shop, protocol=protocol), OracleAgent(shop), [(task, 0) for task in SCHEMAS])
    assert [episode.reward for episode in episodes] == pytest.approx([1.1] * len(SCHEMAS))
    for episode in episodes:
        assert episode.outcome["schema"] == 1.0
        (proposal,) = episode.metrics["proposals"]
        assert proposal["ungrounded"] == []


def test_the_oracle_says_what_it_plays_when_it_is_given_another_game(shop: TextToSQLDataset) -> None:
    with pytest.raises(ConfigurationError, match="no task"):
        collect_all(CountEnv, OracleAgent(shop), [("length-1", 0)])
    with pytest.raises(ConfigurationError, match="plays only that"):
        collect_all(lambda: gymnasium.make("CartPole-v1"), OracleAgent(shop), [("shop-count", 0)])


@pytest.mark.parametrize("propose", [True, False])
@pytest.mark.parametrize("schema", ["hidden", "prefilled"])
def test_the_heuristic_is_well_formed_and_runs(shop: TextToSQLDataset, propose: bool, schema: str) -> None:
    episodes = collect_all(
        lambda: make(shop, propose=propose, schema=schema), HeuristicAgent(), [(task, 0) for task in SCHEMAS]
    )
    for episode in episodes:
        assert episode.metrics["violations"] == []
        assert episode.outcome["format"] == 0.1
        assert episode.outcome["execution"] >= 0.2
        assert not episode.metrics["ungrounded"]


def test_the_heuristic_uses_only_names_that_it_was_shown(shop: TextToSQLDataset) -> None:
    episodes = collect_all(lambda: make(shop), HeuristicAgent(), [(task, 0) for task in SCHEMAS])
    for episode in episodes:
        shown = "\n".join(str(turn.observation) for turn in episode.turns).lower()
        sql = str(episode.metrics["final_sql"]).lower()
        names = set(re.findall(r"[a-z_]+", sql)) - {"select", "from", "count", "avg", "sum", "max", "min"}
        assert names
        assert all(name in shown for name in names)


def test_what_is_known_is_what_the_explorations_said(shop: TextToSQLDataset) -> None:
    keep = Keep(HeuristicAgent())
    collect_all(lambda: make(shop), keep, [("shop-count", 0)])
    tables, columns = known_schema(keep.views["shop-count"])
    assert tables == ["Order Details", "customer", "invoice"]
    assert columns["invoice"] == [("id", "INTEGER"), ("customer_id", "INTEGER"), ("total", "REAL")]
    assert set(columns) == set(tables)


# Catalogue statements


@pytest.fixture
def awkward(tmp_path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(tmp_path / "awkward.sqlite")
    connection.execute('CREATE TABLE "it\'s" ("a""b" INTEGER, "c d" TEXT)')
    connection.execute("CREATE TABLE Wide (" + ", ".join(f"c{index:03d} INTEGER" for index in range(95)) + ")")
    connection.execute("CREATE TABLE sqliteish (x INTEGER)")
    connection.execute("CREATE VIEW v AS SELECT x FROM sqliteish")
    return connection


def test_tables_are_listed_with_views_and_without_the_engines_own(awkward: sqlite3.Connection) -> None:
    awkward.execute("CREATE TABLE s (i INTEGER PRIMARY KEY AUTOINCREMENT)")
    queries = CatalogueQueries("SQLite")
    assert [name for (name,) in awkward.execute(queries.tables())] == ["Wide", "it's", "s", "sqliteish", "v"]
    assert [name for (name,) in awkward.execute(queries.tables(["it's", "wide"]))] == ["Wide", "it's"]


def test_columns_are_looked_up_in_answers_of_at_most_thirty_rows(awkward: sqlite3.Connection) -> None:
    wanted = {"wide": [f"c{index:03d}" for index in range(95)], "it's": ['a"b', "c d"], "sqliteish": ["x"]}
    statements = CatalogueQueries("SQLite").columns(wanted)
    answers = [awkward.execute(sql).fetchall() for sql in statements]
    assert len(statements) == 4
    assert all(0 < len(rows) <= 30 for rows in answers)
    found = [(table.lower(), column) for rows in answers for table, column, _ in rows]
    assert sorted(found) == sorted((table, name) for table, names in wanted.items() for name in names)


def test_describing_a_table_gives_all_its_columns(awkward: sqlite3.Connection) -> None:
    rows = awkward.execute(CatalogueQueries("SQLite").describe("IT'S")).fetchall()
    assert rows == [("it's", 'a"b', "INTEGER"), ("it's", "c d", "TEXT")]


# Skills


def test_features_are_shares_and_follow_the_record_alone(make_env: MakeEnv) -> None:
    encoder = SkillEncoder()
    keep = Keep(HeuristicAgent())
    (episode,) = collect_all(lambda: make_env(), keep, [("shop-count", 0)])
    for index in range(len(episode.turns)):
        vector = encoder.encode(episode.turns[:index], episode.turns[index].observation)
        assert vector.shape == (encoder.features,)
        assert vector.dtype == np.float32
        assert ((vector >= 0) & (vector <= 1)).all()
        assert np.array_equal(vector, encoder.encode(episode.turns[:index], episode.turns[index].observation))
    start, later = encoder.encode((), "x"), encoder.encode(episode.turns[:4], "x")
    assert not start.any()
    assert later[0] == 1.0, "four explorations fill the share"
    assert later[-1] == np.float32(0.4)


@pytest.mark.parametrize("said", ["Error: x", "Invalid format: x", "Refused: x"])
def test_an_error_is_a_feature(make_env: MakeEnv, said: str) -> None:
    encoder = SkillEncoder()
    (episode,) = collect_all(lambda: make_env(), HeuristicAgent(), [("shop-count", 0)])
    assert encoder.encode(episode.turns[:1], said)[-2] == 1.0
    assert encoder.encode(episode.turns[:1], "id\n1")[-2] == 0.0


@pytest.mark.parametrize("actions", ["text", "structured"])
@pytest.mark.parametrize("index", range(len(SchemaExplorer.skills)))
def test_every_skill_is_an_action_from_the_first_turn_on(shop: TextToSQLDataset, actions: str, index: int) -> None:
    encoder = SkillEncoder()

    class Single:
        name = "single"
        batch_size: int | None = None

        def act(self, views: Sequence[SeatView]) -> list[Any]:
            return [encoder.action(view, index) for view in views]

    (episode,) = collect_all(lambda: make(shop, actions=actions), Single(), [("shop-count", 0)])
    assert episode.status in ("terminated", "truncated")
    assert not any(turn.malformed for turn in episode.turns) or SchemaExplorer.skills[index] == "propose"


def test_skills_need_tools() -> None:
    env = gymnasium.make("CartPole-v1")
    view = SeatView("CartPole-v1", "", "agent", env.action_space)
    view.observation = "**Database engine:** SQLite"
    with pytest.raises(ConfigurationError, match="has no tools"):
        SchemaExplorer().call("list_tables", view)
