"""The run store on a real PostgreSQL server: the same facts as on a SQLite file, and more writers."""

from __future__ import annotations

import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
import sqlalchemy as sa

from fogline.core.episode import Episode, Failure, Status, Turn
from fogline.core.store import RunStore, Score, StoreError, StoreUnavailable
from fogline.core.store import database as store_database
from fogline.core.store.queries import finished_keys

pytestmark = pytest.mark.services


@pytest.fixture
def url(postgresql_url: str) -> Iterator[str]:
    """An empty database of this test's own in the cluster."""
    name = f"store_{uuid.uuid4().hex}"
    root = sa.make_url(postgresql_url).set(drivername="postgresql+psycopg")
    admin = sa.create_engine(root, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'")
    yield root.set(drivername="postgresql", database=name).render_as_string(hide_password=False)
    with admin.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
    admin.dispose()


def make_episode(task: str = "t", seed: int = 0, status: Status = "terminated", reward: float = 1.0) -> Episode:
    failure = Failure("RateLimited", "later") if status.endswith("_error") else None
    turns = (Turn("agent", "nul \x00 and half \ud800", b"\x00\xff", reward, {"ok": 1.0}),)
    return Episode("E-v0", task, seed, turns, status, failure=failure)


def test_a_store_on_a_server_holds_what_a_file_holds(url: str, tmp_path: Path) -> None:
    with RunStore(url) as store:
        run = store.begin_run("test", {"é": [1, None]})
        key = store.add_cell(run, {"a": 1})
        assert store.add_cell(run, {"a": 1}) == key
        assert store.add_episodes(run, key, [make_episode(status="infra_error"), make_episode()]) == 2
        assert store.add_episodes(run, key, [make_episode(reward=3.0), make_episode("é", 2**63 - 1)]) == 1
        assert store.duplicates == 1
        assert store.finished(key) == {("t", 0), ("é", 2**63 - 1)}
        episodes = list(store.episodes())
        assert [(row.episode.task_id, row.attempt) for row in episodes] == [("t", 2), ("é", 1)]
        assert episodes[0].episode == make_episode()
        assert [row.latest for row in store.episodes(latest_only=False)] == [False, True, True]
        assert [row.episode.task_id for row in store.episodes(offset=1)] == ["é"]
        assert [row.episode.task_id for row in store.episodes(limit=1)] == ["t"]
        score = Score(episodes[0].id, "judge", "1", {"fair": True}, float("nan"))
        assert store.add_scores([score]) == 1
        assert store.add_scores([score]) == 0
        with pytest.raises(StoreError, match="another version"):
            store.add_scores([Score(episodes[0].id, "judge", "1", {"fair": False}, 0.0)])
        (summary,) = store.summary(run)
        assert (summary.episodes, summary.attempts, summary.scored, summary.mean_reward) == (2, 3, 2, 1.0)
        paths = {path.stem: path for path in store.export(tmp_path)}
        assert duckdb.sql(f"SELECT task_id, latest FROM '{paths['episodes']}'").fetchall() == [
            ("t", False),
            ("t", True),
            ("é", True),
        ]
    with RunStore(url, create=False) as again:
        assert [run.config for run in again.runs()] == [{"é": [1, None]}]


def test_many_writers_of_one_cell_store_it_once(url: str) -> None:
    errors: list[BaseException] = []
    stored: list[int] = []

    def work() -> None:
        try:
            with RunStore(url) as store:
                run = store.begin_run("writer", {})
                key = store.add_cell(run, {"shared": True})
                for seed in range(25):
                    stored.append(store.add_episodes(run, key, [make_episode("t", seed)]))
                    store.add_episodes(run, key, [make_episode("failing", 0, "infra_error")])
        except BaseException as error:
            errors.append(error)

    # The tables do not exist yet: the writers race to make them, too.
    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert sum(stored) == 25
    with RunStore(url) as store:
        rows = list(store.episodes(latest_only=False))
        assert sorted(row.episode.seed for row in rows if row.episode.scored) == list(range(25))
        assert sorted(row.attempt for row in rows if not row.episode.scored) == list(range(1, 6 * 25 + 1))


def test_writers_of_many_cells_in_opposite_orders_store_each_episode_once(url: str) -> None:
    errors: list[BaseException] = []
    stored: list[int] = []
    configs = [{"size": size} for size in range(12)]

    def work(step: int) -> None:
        try:
            with RunStore(url) as store:
                run = store.begin_run("writer", {})
                keys = store.add_cells(run, configs[::step])
                for seed in range(10):
                    batch = [(key, make_episode("t", seed)) for key in keys]
                    stored.append(store.add_episodes_of_cells(run, batch))
                    store.add_episodes_of_cells(run, [(key, make_episode("f", 0, "infra_error")) for key in keys])
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(step,)) for step in (1, -1, 1, -1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert sum(stored) == len(configs) * 10
    with RunStore(url) as store:
        keys = [cell.cell_key for cell in store.cells()]
        assert store.finished_in(keys) == {key: {("t", seed) for seed in range(10)} for key in keys}
        failed = [row.attempt for row in store.episodes(latest_only=False) if not row.episode.scored]
        assert sorted(failed) == sorted([*range(1, 41)] * len(configs))


WRITER = """
import sys
from fogline.core.episode import Episode
from fogline.core.store import RunStore

store = RunStore(sys.argv[1])
run = store.begin_run("writer", {})
cell = store.add_cell(run, {})
for seed in range(10_000):
    store.add_episodes(run, cell, [Episode("E-v0", "t", seed, (), "terminated")])
    print(seed, flush=True)
"""


def test_a_killed_writer_loses_nothing_it_reported(url: str) -> None:
    reported: set[int] = set()
    for lines in (1, 7, 20):
        command = [sys.executable, "-c", WRITER, url]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            reported |= {int(writer.stdout.readline()) for _ in range(lines)}
            writer.kill()
    with RunStore(url) as store:
        (cell,) = store.cells()
        finished = [row.episode.seed for row in store.episodes()]
        assert reported <= set(finished)
        assert len(finished) == len(set(finished))
        assert store.finished(cell.cell_key) == {("t", seed) for seed in finished}


def test_reading_sees_the_moment_it_began(url: str) -> None:
    with RunStore(url) as store:
        run = store.begin_run("test", {})
        key = store.add_cell(run, {})
        store.add_episodes(run, key, [make_episode("t", seed) for seed in range(300)])
        reading = store.episodes()
        next(reading)
        store.add_episodes(run, key, [make_episode("t", seed) for seed in range(300, 400)])
        assert len(list(reading)) == 299


def test_finished_reads_an_index_and_not_the_table(url: str) -> None:
    with RunStore(url) as store, store._database.read() as connection:
        connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        query = str(finished_keys("k").compile(connection.engine, compile_kwargs={"literal_binds": True}))
        plan = str(connection.exec_driver_sql("EXPLAIN " + query).all())
    assert "one_scored_episode" in plan


def test_other_tables_are_left_alone_and_a_clash_is_refused(url: str) -> None:
    engine = sa.create_engine(sa.make_url(url).set(drivername="postgresql+psycopg"))
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE customers (id INTEGER)")
    RunStore(url).close()
    with engine.begin() as connection:
        assert set(sa.inspect(connection).get_table_names()) == {
            "customers",
            *store_database.store_version.metadata.tables,
        }
        connection.exec_driver_sql("UPDATE store_version SET version = 99")
    with pytest.raises(StoreError, match=r"schema version \[99\]"):
        RunStore(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE store_version")
    with pytest.raises(StoreError, match="not a run store"):
        RunStore(url)
    engine.dispose()


def test_a_connection_that_breaks_is_typed_and_the_store_goes_on(url: str) -> None:
    with RunStore(url) as store:
        run = store.begin_run("test", {})
        key = store.add_cell(run, {})
        store.add_episodes(run, key, [make_episode("t", seed) for seed in range(300)])
        reading = store.episodes()
        next(reading)
        engine = sa.create_engine(sa.make_url(url).set(drivername="postgresql+psycopg"))
        with engine.connect() as connection:
            connection.exec_driver_sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        engine.dispose()
        with pytest.raises(StoreUnavailable, match="unavailable") as caught:
            list(reading)
        assert caught.value.retryable
        assert store.add_episodes(run, key, [make_episode("t", 300)]) == 1
        assert len(store.finished(key)) == 301


def test_an_absent_server_is_typed_and_its_password_kept(url: str) -> None:
    absent = sa.make_url(url).set(host="127.0.0.1", port=1, password="hunter22", query={})
    with pytest.raises(StoreUnavailable, match="check that the server runs") as caught:
        RunStore(absent.render_as_string(hide_password=False))
    assert "hunter22" not in str(caught.value)
    assert caught.value.retryable
