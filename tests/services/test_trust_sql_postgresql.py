"""TrustSQL-v0 on a real PostgreSQL server."""

from __future__ import annotations

from functools import partial

import psycopg
import pytest

import fogline.envs  # noqa: F401 - registers the environments
from fogline.agents.collector import collect_all
from fogline.agents.scripted.trust_sql import OracleAgent
from fogline.envs.trust_sql.env import TrustSQLEnv
from fogline.simulators.databases.loaders import bundled_dataset

pytestmark = pytest.mark.services


@pytest.fixture(scope="module")
def owner_url(postgresql_url: str) -> str:
    """A role that is no superuser and owns a database: what a user would have."""
    with psycopg.connect(postgresql_url, autocommit=True) as connection:
        connection.execute("CREATE ROLE owner LOGIN PASSWORD 'p'")
        connection.execute("CREATE DATABASE questions OWNER owner")
    address = postgresql_url.partition("@")[2].rpartition("/")[0]
    return f"postgresql://owner:p@{address}/questions"


def test_the_honest_oracle_is_right_on_every_bundled_question(owner_url: str) -> None:
    dataset = bundled_dataset("postgresql", owner_url)
    assert dataset.dropped == () and len(dataset) == 144
    env = partial(TrustSQLEnv, dataset=dataset, protocol="strict")
    episodes = collect_all(env, OracleAgent(dataset), [(task_id, 0) for task_id in dataset.tasks])
    wrong = [(item.task_id, item.reward, item.failure) for item in episodes if item.reward != pytest.approx(1.1)]
    assert wrong == []
    assert all(item.outcome["schema"] == 1.0 for item in episodes)
