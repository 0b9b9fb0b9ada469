"""The run store: nothing committed is lost, nothing is stored twice, and what is damaged is named."""

from __future__ import annotations

import json
import math
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from fogline.core.episode import Episode, Failure, Status, Turn, Usage
from fogline.core.errors import ConfigurationError, DataError, FoglineError, InfrastructureError
from fogline.core.redaction import REDACTED, names_a_secret, redact_text
from fogline.core.store import RunStore, Score, StoreError, StoreUnavailable, cell_key, redact
from fogline.core.store import database as store_database
from fogline.core.store.queries import attempts_of, finished_keys, finished_keys_of


def make_episode(task: str = "t", seed: int = 0, status: Status = "terminated", reward: float = 1.0) -> Episode:
    failed = status.endswith("_error")
    return Episode(
        env_id="TrustSQL-v0",
        task_id=task,
        seed=seed,
        turns=(Turn("agent", f"see {task}", "SELECT 1", reward, {"correct": reward}, "explore"),),
        status=status,
        outcome={} if failed else {"correct": reward},
        failure=Failure("RateLimited", "later", 3) if failed else None,
    )


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RunStore]:
    with RunStore(tmp_path / "runs.db") as opened:
        yield opened


@pytest.fixture
def cell(store: RunStore) -> tuple[str, str]:
    run = store.begin_run("fogline eval", {"env": "TrustSQL-v0"})
    return run, store.add_cell(run, {"env": "TrustSQL-v0", "agent": "oracle"})


def keys(episodes: Iterator[Any]) -> list[tuple[str, int, str, int]]:
    return [(row.episode.task_id, row.episode.seed, row.episode.status, row.attempt) for row in episodes]


# What goes in comes out


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.tuples(inner, inner) | st.dictionaries(st.text("abc"), inner),
    max_leaves=6,
)


@settings(max_examples=40)
@given(
    observations=st.lists(json_values, max_size=4),
    task=st.text(min_size=1, max_size=20).filter(lambda text: "\x00" not in text).filter(str.isprintable),
    seed=st.integers(0, 2**63 - 1),
    reward=st.floats(allow_nan=False),
)
def test_an_episode_comes_back_exactly(observations: list[Any], task: str, seed: int, reward: float) -> None:
    turns = tuple(Turn("agent", value, value, reward, {"term": reward}, logps=(-0.1,)) for value in observations)
    episode = Episode("E-v0", task, seed, turns, "truncated", usage=Usage(wall_s=1.5), metrics={"m": (1, None)})
    with tempfile.TemporaryDirectory() as folder, RunStore(Path(folder) / "runs.db") as store:
        run = store.begin_run("test", {})
        cell = store.add_cell(run, {})
        assert store.add_episodes(run, cell, [episode]) == 1
        (stored,) = store.episodes()
        assert stored.episode == episode
        assert store.finished(cell) == {(task, seed)}


def test_arrays_numpy_seeds_and_half_surrogates_are_kept(store: RunStore, cell: tuple[str, str]) -> None:
    image = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    turn = Turn("agent", {"image": image}, "half \ud800 and nul \x00", np.float32(0.5), {})  # type: ignore[arg-type]
    episode = Episode("V-v0", "t", np.int64(7), (turn,), "terminated")  # type: ignore[arg-type]
    store.add_episodes(*cell, [episode])
    (stored,) = store.episodes()
    kept = stored.episode.turns[0]
    np.testing.assert_array_equal(kept.observation["image"], image)
    assert kept.observation["image"].dtype == np.uint8
    assert kept.action == turn.action
    assert store.finished(cell[1]) == {("t", 7)}


def test_a_seed_beyond_64_bits_is_refused(store: RunStore, cell: tuple[str, str]) -> None:
    with pytest.raises(DataError, match=str(2**63)):
        store.add_episodes(*cell, [make_episode(seed=2**63)])
    assert store.add_episodes(*cell, [make_episode(seed=2**63 - 1)]) == 1


def test_a_run_comes_back_with_its_cells(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "runs.db"
    with RunStore(path) as store:
        first = store.begin_run("fogline sweep", {"n": [1, 2.5, None, True, "é"]})
        second = store.begin_run("fogline sweep", {"n": [1, 2.5, None, True, "é"]}, versions={"fogline": "9"})
        assert first < second
        key = store.add_cell(first, {"b": 1, "a": (1, 2)})
        assert store.add_cell(first, {"a": [1, 2], "b": 1}) == key
        assert store.add_cell(second, {"a": [1, 2], "b": 1}) == key
        other = store.add_cell(second, {"a": [1, 3], "b": 1})
    with RunStore(f"sqlite:///{path}", create=False) as again:
        runs = again.runs()
        assert [run.run_id for run in runs] == [first, second]
        assert runs[0].config == {"n": [1, 2.5, None, True, "é"]}
        assert runs[0].versions["python"] == ".".join(map(str, sys.version_info[:3]))
        assert runs[1].versions == {"fogline": "9"}
        assert [cell.cell_key for cell in again.cells(first)] == [key]
        assert {cell.cell_key for cell in again.cells(second)} == {key, other}
        assert {cell.cell_key for cell in again.cells()} == {key, other}
        assert again.cells(first)[0].config == {"a": [1, 2], "b": 1}


# Cell keys


@given(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=6), st.randoms())
def test_a_cell_key_depends_on_content_alone(config: dict[str, Any], random: Any) -> None:
    items = list(config.items())
    random.shuffle(items)
    key = cell_key(dict(items))
    assert key == cell_key(config)
    assert len(key) == 32
    assert cell_key({**config, "one more": 1}) != key


def test_a_cell_key_is_the_same_in_every_release() -> None:
    assert cell_key({"env": "TrustSQL-v0", "seeds": [0, 1], "temperature": 0.5}) == "8a1fab61d6130d2f664aa4d7e91f71ca"


@pytest.mark.parametrize("value", [math.nan, math.inf, {1, 2}, Path("x"), object(), {1: "x"}])
def test_a_configuration_without_json_form_is_refused(store: RunStore, value: object) -> None:
    with pytest.raises(DataError):
        cell_key({"value": value})
    with pytest.raises(DataError):
        store.begin_run("test", {"value": value})


# Attempts and resuming


def test_a_scored_episode_is_stored_once_and_failed_attempts_are_numbered(
    store: RunStore, cell: tuple[str, str]
) -> None:
    run, key = cell
    assert store.add_episodes(run, key, [make_episode(status="infra_error"), make_episode(status="env_error")]) == 2
    assert store.finished(key) == set()
    assert keys(store.episodes()) == [("t", 0, "env_error", 2)]
    assert store.add_episodes(run, key, [make_episode(), make_episode(reward=5.0)]) == 1
    assert store.duplicates == 1
    assert store.add_episodes(run, key, [make_episode(status="infra_error"), make_episode(reward=9.0)]) == 1
    assert store.duplicates == 2
    assert store.finished(key) == {("t", 0)}
    assert keys(store.episodes()) == [("t", 0, "terminated", 3)]
    statuses = ["infra_error", "env_error", "terminated", "infra_error"]
    assert keys(store.episodes(latest_only=False)) == [("t", 0, name, n + 1) for n, name in enumerate(statuses)]
    assert [row.latest for row in store.episodes(latest_only=False)] == [False, False, True, False]


def test_an_agents_own_failure_is_a_result(store: RunStore, cell: tuple[str, str]) -> None:
    store.add_episodes(*cell, [make_episode(status="agent_error")])
    assert store.finished(cell[1]) == {("t", 0)}


def test_a_later_run_finds_what_an_earlier_one_finished(store: RunStore, cell: tuple[str, str]) -> None:
    run, key = cell
    store.add_episodes(run, key, [make_episode("a", 1), make_episode("b", 2, "infra_error")])
    second = store.begin_run("again", {})
    assert store.add_cell(second, {"agent": "oracle", "env": "TrustSQL-v0"}) == key
    assert store.finished(key) == {("a", 1)}
    assert store.add_episodes(second, key, [make_episode("a", 1), make_episode("b", 2)]) == 1
    assert keys(store.episodes(run_id=second)) == [("a", 1, "terminated", 1), ("b", 2, "terminated", 2)]
    (summary,) = store.summary(second)
    assert (summary.episodes, summary.attempts, summary.written, summary.scored, summary.failed) == (2, 3, 1, 2, 0)


def test_one_bad_episode_stores_none_of_the_batch(store: RunStore, cell: tuple[str, str]) -> None:
    bad = Episode("E-v0", "bad", 0, (Turn("agent", object(), "x", 0.0, {}),), "terminated")
    with pytest.raises(DataError, match="object"):
        store.add_episodes(*cell, [make_episode(), bad])
    assert list(store.episodes()) == []


def test_an_unknown_run_or_cell_is_refused(store: RunStore, cell: tuple[str, str]) -> None:
    run, key = cell
    with pytest.raises(StoreError, match="add_cell"):
        store.add_episodes(run, "nowhere", [make_episode()])
    with pytest.raises(StoreError, match="add_cell"):
        store.add_episodes("nobody", key, [make_episode()])
    with pytest.raises(StoreError, match="nobody"):
        store.add_cell("nobody", {})
    for ask in (store.summary, store.cells, lambda run_id: list(store.episodes(run_id=run_id))):
        with pytest.raises(StoreError, match="nobody"):
            ask("nobody")


def test_filters_limit_and_offset(store: RunStore, cell: tuple[str, str]) -> None:
    run, key = cell
    store.add_episodes(
        run, key, [make_episode("t", seed, "truncated" if seed % 2 else "terminated") for seed in range(250)]
    )
    other = store.add_cell(run, {"other": True})
    store.add_episodes(run, other, [make_episode("u", 0)])
    assert [row.episode.seed for row in store.episodes(cell_key=key)] == list(range(250))
    assert [row.episode.seed for row in store.episodes(cell_key=key, offset=10, limit=5)] == list(range(10, 15))
    assert len(list(store.episodes(offset=200))) == 51
    assert len(list(store.episodes(status="truncated"))) == 125
    assert len(list(store.episodes(env_id="TrustSQL-v0"))) == 251
    assert list(store.episodes(env_id="Other-v0")) == []
    with pytest.raises(ConfigurationError, match="on_corrupt='skipp'"):
        list(store.episodes(on_corrupt="skipp"))  # type: ignore[arg-type]


def test_reading_sees_the_moment_it_began(store: RunStore, cell: tuple[str, str]) -> None:
    store.add_episodes(*cell, [make_episode("t", seed) for seed in range(300)])
    reading = store.episodes()
    next(reading)
    store.add_episodes(*cell, [make_episode("t", seed) for seed in range(300, 400)])
    assert len(list(reading)) == 299
    assert len(list(store.episodes())) == 400


def test_a_summary_counts_keys_and_says_when_it_cannot_say(store: RunStore, cell: tuple[str, str]) -> None:
    run, key = cell
    store.add_episodes(run, key, [make_episode("a", 0, "infra_error"), make_episode("b", 0, "env_error")])
    (empty,) = store.summary(run)
    assert (empty.episodes, empty.scored, empty.failed, empty.mean_reward) == (2, 0, 2, None)
    store.add_episodes(run, key, [make_episode("a", 0, reward=0.1), make_episode("a", 1, "truncated", 0.2)])
    store.add_episodes(run, key, [make_episode("a", 2, "agent_error", 0.6)])
    (some,) = store.summary(run)
    assert some.statuses == {"agent_error": 1, "env_error": 1, "terminated": 1, "truncated": 1}
    assert (some.episodes, some.attempts, some.scored, some.failed) == (4, 5, 3, 1)
    assert some.mean_reward == math.fsum([0.1, 0.2, 0.6]) / 3
    store.add_episodes(run, key, [make_episode("a", 3, reward=math.nan)])
    assert store.summary(run)[0].mean_reward is None
    assert math.isnan([row.episode.reward or 0.0 for row in store.episodes()][-1])


@pytest.mark.parametrize(
    ("query", "plan"),
    [
        (finished_keys("k"), "USING COVERING INDEX one_scored_episode (cell_key=?"),
        (finished_keys_of(["k", "l"]), "USING COVERING INDEX one_scored_episode (cell_key=?"),
        (attempts_of([("k", "a", 1), ("k", "b", 2)]), "numbered_attempts (cell_key=? AND task_id=? AND seed=?"),
    ],
)
def test_resuming_reads_indices_and_not_the_table(store: RunStore, query: sa.Select[Any], plan: str) -> None:
    with store._database.read() as connection:
        text = str(query.compile(connection.engine, compile_kwargs={"literal_binds": True}))
        assert plan in str(connection.exec_driver_sql("EXPLAIN QUERY PLAN " + text).all())


def test_the_database_itself_refuses_a_second_scored_episode(store: RunStore, cell: tuple[str, str]) -> None:
    store.add_episodes(*cell, [make_episode()])
    copy = (
        "INSERT INTO episodes (run_id, cell_key, env_id, task_id, seed, attempt, status, scored, created_at, payload) "
        "SELECT run_id, cell_key, env_id, task_id, seed, attempt + 1, status, scored, created_at, payload FROM episodes"
    )
    with pytest.raises(StoreError, match="UNIQUE"):
        store._database.write(lambda connection: connection.exec_driver_sql(copy))


# Scores


def test_scores_are_kept_by_version_and_never_contradicted(store: RunStore, cell: tuple[str, str]) -> None:
    store.add_episodes(*cell, [make_episode("t", seed) for seed in range(3)])
    ids = [row.id for row in store.episodes()]
    first = [Score(id_, "execution", "1", {"correct": 1.0}, 1.0) for id_ in ids]
    assert store.add_scores(first) == 3
    assert store.add_scores(first) == 0
    assert store.add_scores([Score(ids[0], "execution", "2", {"correct": 0.0}, None)]) == 1
    with pytest.raises(StoreError, match="another version"):
        store.add_scores([Score(ids[1], "execution", "2", {}, 0.5), Score(ids[1], "execution", "1", {}, 0.5)])
    with pytest.raises(StoreError, match="episode_id=999"):
        store.add_scores([Score(999, "execution", "1", {}, 0.5)])
    assert [(score.episode_id, score.version) for score in store.scores()] == [
        (ids[0], "1"),
        (ids[0], "2"),
        (ids[1], "1"),
        (ids[2], "1"),
    ]
    (second,) = store.scores(version="2")
    assert (second.outcome, second.reward) == ({"correct": 0.0}, None)
    assert len(list(store.scores(scorer="execution", run_id=cell[0]))) == 4
    assert list(store.scores(cell_key="nowhere")) == []


# Kills and crowds


WRITER = """
import sys
from fogline.core.episode import Episode, Turn
from fogline.core.store import RunStore

path, total, batch = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
store = RunStore(path)
run = store.begin_run("writer", {})
cell = store.add_cell(run, {"writer": 1})
done = store.finished(cell)
missing = [seed for seed in range(total) if ("t", seed) not in done]
for start in range(0, len(missing), batch):
    seeds = missing[start : start + batch]
    store.add_episodes(
        run,
        cell,
        [Episode("E-v0", "t", seed, (Turn("agent", "o" * 500, "a", float(seed), {}),), "terminated") for seed in seeds],
    )
    print(seeds[-1], flush=True)
"""


def check_integrity(path: Path) -> None:
    connection = sqlite3.connect(path)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    finally:
        connection.close()


def test_a_kill_at_any_point_loses_and_doubles_nothing(tmp_path: Path) -> None:
    path, total, batch = tmp_path / "runs.db", 3000, 3
    command = [sys.executable, "-c", WRITER, str(path), str(total), str(batch)]
    random = np.random.default_rng(0)
    reported = -1
    for _ in range(20):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            lines = [writer.stdout.readline() for _ in range(int(random.integers(1, 12)))]
            time.sleep(float(random.uniform(0.0, 0.004)))
            writer.send_signal(signal.SIGKILL)
            lines += writer.stdout.readlines()
        reported = max([reported, *(int(line) for line in lines if line.endswith("\n"))])
        check_integrity(path)
        with RunStore(path) as store:
            (key,) = {cell.cell_key for cell in store.cells()}
            assert {("t", seed) for seed in range(reported + 1)} <= store.finished(key)
    assert 0 < reported < total - 1
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=120)
    with RunStore(path) as store:
        stored = [row.episode for row in store.episodes(latest_only=False)]
        assert sorted(episode.seed for episode in stored) == list(range(total))
        assert all(episode.reward == episode.seed for episode in stored)
        assert store.add_episodes(store.runs()[-1].run_id, key, stored[:50]) == 0
    check_integrity(path)


def test_processes_that_write_the_same_cell_at_once_store_it_once(tmp_path: Path) -> None:
    path, total = tmp_path / "runs.db", 400
    command = [sys.executable, "-c", WRITER, str(path), str(total), "5"]
    writers = [
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) for _ in range(5)
    ]
    for writer in writers:
        _, errors = writer.communicate(timeout=120)
        assert writer.returncode == 0, errors
    with RunStore(path) as store:
        assert sorted(row.episode.seed for row in store.episodes(latest_only=False)) == list(range(total))
        assert len(store.runs()) == 5
    check_integrity(path)


def test_threads_share_a_store(store: RunStore, cell: tuple[str, str]) -> None:
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for seed in range(40):
                store.add_episodes(*cell, [make_episode("shared", seed), make_episode(f"own {number}", seed)])
                store.add_episodes(*cell, [make_episode("failing", 0, "infra_error")])
                store.finished(cell[1])
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(store.finished(cell[1])) == 40 + 8 * 40
    attempts = [row.attempt for row in store.episodes(latest_only=False, status="infra_error")]
    assert attempts == list(range(1, 8 * 40 + 1))


# Typed errors


def test_a_lock_beyond_the_wait_is_typed_and_passes(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    with RunStore(path, busy_timeout_s=0.3) as store:
        run = store.begin_run("test", {})
        key = store.add_cell(run, {})
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        with pytest.raises(StoreUnavailable, match="busy_timeout_s") as caught:
            store.add_episodes(run, key, [make_episode()])
        assert 0.2 < time.monotonic() - began < 20
        assert caught.value.retryable
        assert isinstance(caught.value, InfrastructureError)
        assert store.finished(key) == set()
        other.execute("COMMIT")
        other.close()
        assert store.add_episodes(run, key, [make_episode()]) == 1


def test_a_short_lock_is_waited_for(store: RunStore, cell: tuple[str, str], tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "runs.db", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    release = threading.Timer(0.3, lambda: other.execute("COMMIT"))
    release.start()
    assert store.add_episodes(*cell, [make_episode()]) == 1
    release.join()
    other.close()


def test_a_full_disk_is_typed_and_loses_nothing(store: RunStore, cell: tuple[str, str]) -> None:
    store.add_episodes(*cell, [make_episode("kept", seed) for seed in range(10)])
    pages = "PRAGMA max_page_count = 20"
    sa.event.listen(store._database.engine, "connect", lambda connection, _: connection.execute(pages))
    store._database.engine.dispose()
    noise = np.random.default_rng(0).bytes(200_000)
    large = Episode("E-v0", "large", 0, (Turn("agent", noise, "a", 0.0, {}),), "terminated")
    with pytest.raises(StoreUnavailable, match="full") as caught:
        store.add_episodes(*cell, [make_episode("lost", 0), large])
    assert not caught.value.retryable
    assert store.finished(cell[1]) == {("kept", seed) for seed in range(10)}
    assert store.add_episodes(*cell, [make_episode("small", 0)]) == 1


def test_a_file_size_limit_of_the_system_is_typed(tmp_path: Path) -> None:
    code = (
        "import resource, sys\n"
        "from fogline.core.store import RunStore, StoreUnavailable\n"
        "store = RunStore(sys.argv[1])\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n"
        "try:\n"
        "    for _ in range(10_000):\n"
        "        store.begin_run('x' * 10_000, {})\n"
        "except StoreUnavailable as error:\n"
        "    print('typed', error.retryable)\n"
    )
    path = tmp_path / "runs.db"
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "typed False"
    with RunStore(path) as store:
        assert len(store.runs()) > 0


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    path.write_bytes(b"not a database, but a note of some length" * 100)
    before = path.read_bytes()
    with pytest.raises(StoreError, match="not a database"):
        RunStore(path)
    assert path.read_bytes() == before


def test_a_damaged_file_is_typed(store: RunStore, cell: tuple[str, str], tmp_path: Path) -> None:
    store.add_episodes(*cell, [make_episode("t" * 50, seed) for seed in range(2000)])
    store.close()
    path = tmp_path / "runs.db"
    with path.open("r+b") as file:
        file.seek(8192)
        file.write(b"\xff" * (path.stat().st_size - 8192))
    with pytest.raises(StoreError, match="damaged"), RunStore(path) as damaged:
        list(damaged.episodes(latest_only=False))
        damaged.finished(cell[1])


def test_another_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "customers.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE customers (id INTEGER)")
    connection.commit()
    connection.close()
    with pytest.raises(StoreError, match=r"not a run store.*customers"):
        RunStore(path)
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("customers",)]
    connection.close()


def test_a_schema_of_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    RunStore(path).close()
    connection = sqlite3.connect(path)
    connection.execute("UPDATE store_version SET version = 99")
    connection.commit()
    connection.close()
    with pytest.raises(StoreError, match=r"schema version \[99\], expected \[1\].*new file"):
        RunStore(path)


def test_a_missing_file_is_not_made_when_only_reading(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="does not exist"):
        RunStore(tmp_path / "typo.db", create=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", [":memory:", "sqlite://", "mysql://user:hunter22@host/db", "sqlite:///file:x?uri=true"])
def test_an_url_of_no_lasting_store_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        RunStore(url)
    assert "hunter22" not in str(caught.value)


def test_a_folder_in_the_way_is_typed(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreUnavailable, match="folder cannot be made"):
        RunStore(tmp_path / "file" / "runs.db")
    with pytest.raises(StoreUnavailable, match="cannot be opened"):
        RunStore(tmp_path)


def test_a_change_of_folder_does_not_change_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with RunStore("runs.db") as store:
        store.begin_run("one", {})
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        store._database.engine.dispose()
        assert len(store.runs()) == 1
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize(
    "payload",
    [
        b"garbage",
        zlib.compress(b"not json"),
        zlib.compress(b"[1]"),
        zlib.compress(b'{"env_id": "E"}'),
        zlib.compress(json.dumps(make_episode("other", 5).to_json()).encode()),
    ],
)
def test_a_damaged_payload_is_named_and_skipped_only_when_asked(
    store: RunStore, cell: tuple[str, str], payload: bytes
) -> None:
    store.add_episodes(*cell, [make_episode("t", seed) for seed in range(3)])
    bad = [row.id for row in store.episodes()][1]
    change = sa.update(store_database.episodes).where(store_database.episodes.c.id == bad).values(payload=payload)
    store._database.write(lambda connection: connection.execute(change))
    with pytest.raises(StoreError, match=f"id={bad}.*on_corrupt='skip'"):
        list(store.episodes())
    for _ in range(2):
        assert [row.episode.seed for row in store.episodes(on_corrupt="skip")] == [0, 2]
    assert store.corrupt_ids == {bad}


def test_error_texts_carry_no_content(store: RunStore, cell: tuple[str, str]) -> None:
    store.add_episodes(*cell, [make_episode("confidential", 1)])
    with pytest.raises(StoreError) as caught:
        store._database.write(
            lambda connection: connection.execute(
                sa.insert(store_database.cells), {"cell_key": cell[1], "config": "confidential"}
            )
        )
    assert "confidential" not in str(caught.value)
    assert "confidential" not in str(caught.value.__cause__)


# Export


def test_export_writes_what_the_store_holds(store: RunStore, cell: tuple[str, str], tmp_path: Path) -> None:
    run, key = cell
    image = np.zeros((2, 2), dtype=np.uint8)
    turns = (
        Turn("a", "née \ud800", "SELECT 'x'", 0.25, {"ok": math.nan, "n": 1.0}, "explore", action_token_ids=(1, 2)),
        Turn("b", {"image": image}, ("say", 3), 0.5, {}, "answer", True, policy_version=4),
    )
    whole = Episode("E-v0", "it's", 1, turns, "terminated", ("a", "b"), {"won": 1.0}, usage=Usage(cost=0.5))
    store.add_episodes(run, key, [make_episode("f", 0, "infra_error"), whole, make_episode("f", 0)])
    store.add_scores([Score(2, "judge", "1", {"fair": True}, None)])
    second = store.begin_run("other", {})
    other = store.add_cell(second, {"x": 1})
    store.add_episodes(second, other, [make_episode("g", 0)])
    folder = tmp_path / "it's out"
    paths = store.export(folder)
    assert sorted(path.name for path in folder.iterdir()) == sorted(path.name for path in paths)
    assert {path.stem for path in paths} == {"episodes", "turns", "scores", "cells", "runs"}

    def ask(query: str, **names: str) -> list[tuple[Any, ...]]:
        tables = {path.stem: f"read_parquet('{str(path).replace(chr(39), chr(39) * 2)}')" for path in paths}
        return duckdb.sql(query.format(**tables)).fetchall()

    assert ask("SELECT task_id, attempt, latest, status, reward, turns FROM {episodes} ORDER BY episode_id") == [
        ("f", 1, False, "infra_error", None, 1),
        ("it's", 1, True, "terminated", 0.75, 2),
        ("f", 2, True, "terminated", 1.0, 1),
        ("g", 1, True, "terminated", 1.0, 1),
    ]
    assert ask("SELECT failure_kind FROM {episodes} WHERE failure_kind IS NOT NULL") == [("RateLimited",)]
    assert ask("SELECT malformed, cost, outcome->>'won' FROM {episodes} WHERE seed = 1") == [(1, 0.5, "1.0")]
    rows = ask(
        "SELECT seat, turn, phase, malformed, reward, action->>'$', (terms->>'ok')::DOUBLE, action_tokens, "
        "policy_version FROM {turns} WHERE task_id = 'it''s' ORDER BY turn"
    )
    assert rows[0][:6] == ("a", 0, "explore", False, 0.25, "SELECT 'x'")
    assert math.isnan(rows[0][6])
    assert rows[0][7:] == (2, None)
    assert rows[1][:5] == ("b", 1, "answer", True, 0.5)
    assert rows[1][7:] == (0, 4)
    assert ask("SELECT observation->>'$' FROM {turns} WHERE seat = 'a'") == [("née \ufffd",)]
    assert ask("SELECT observation->'image'->>'dtype' FROM {turns} WHERE seat = 'b'") == [("|u1",)]
    assert ask("SELECT scorer, outcome->>'fair', reward FROM {scores}") == [("judge", "true", None)]
    assert ask("SELECT run_id, config->>'x' FROM {cells} ORDER BY run_id, cell_key") == [(run, None), (second, "1")]
    assert ask("SELECT run_id FROM {runs} ORDER BY run_id") == [(run,), (second,)]

    assert store.export(folder, run_id=second) == paths
    assert ask("SELECT task_id FROM {episodes}") == [("g",)]
    assert ask("SELECT count(*) FROM {scores}") == [(0,)]
    assert ask("SELECT run_id FROM {runs}") == [(second,)]


def test_export_of_a_damaged_row_replaces_nothing(store: RunStore, cell: tuple[str, str], tmp_path: Path) -> None:
    store.add_episodes(*cell, [make_episode("t", seed) for seed in range(3)])
    folder = tmp_path / "out"
    before = {path.name: path.read_bytes() for path in store.export(folder)}
    change = sa.update(store_database.episodes).where(store_database.episodes.c.id == 2).values(payload=b"x")
    store._database.write(lambda connection: connection.execute(change))
    with pytest.raises(StoreError, match="id=2"):
        store.export(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    store.export(folder, on_corrupt="skip")
    assert duckdb.sql(f"SELECT seed FROM '{folder / 'episodes.parquet'}'").fetchall() == [(0,), (2,)]
    assert store.corrupt_ids == {2}


def test_export_into_a_file_is_typed(store: RunStore, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("x")
    with pytest.raises(StoreUnavailable, match="taken"):
        store.export(tmp_path / "taken")


# Secrets


@pytest.mark.parametrize(
    "key",
    [
        "api_key",
        "apiKey",
        "OPENAI_API_KEY",
        "hf_token",
        "token",
        "password",
        "db-password",
        "clientSecret",
        "Authorization",
    ],
)
def test_names_of_secrets(key: str) -> None:
    assert names_a_secret(key)


@pytest.mark.parametrize(
    "key",
    ["max_tokens", "token_ids", "pad_token", "eos_token", "tokenizer", "key", "task_key", "keyboard", "secretary", ""],
)
def test_names_of_other_things(key: str) -> None:
    assert not names_a_secret(key)


def test_redact_replaces_secrets_and_nothing_else() -> None:
    config = {
        "model": {"api_key": "abc", "base_url": "https://me:pw@host/v1?api_key=zzz&page=2", "max_tokens": 50},
        "store": "postgresql://user:hunter2@db/runs",
        "headers": [{"Authorization": "Bearer abcdefghijk"}, ("X", "Bearer abcdefghijk")],
        "note": "my key is sk-abcdefghijklmnopqrstuv, thanks",
        "password": None,
        "use_token": True,
        "token": {"nested": "value"},
        "seeds": [1, 2.5, None],
    }
    assert redact(config) == {
        "model": {
            "api_key": REDACTED,
            "base_url": f"https://{REDACTED}@host/v1?api_key={REDACTED}&page=2",
            "max_tokens": 50,
        },
        "store": f"postgresql://{REDACTED}@db/runs",
        "headers": [{"Authorization": REDACTED}, ("X", f"Bearer {REDACTED}")],
        "note": f"my key is {REDACTED}, thanks",
        "password": None,
        "use_token": True,
        "token": REDACTED,
        "seeds": [1, 2.5, None],
    }
    assert redact(redact(config)) == redact(config)


@given(st.text(alphabet="abcXYZ019-_", min_size=6, max_size=20))
def test_a_command_lines_secret_goes_whatever_it_is(secret: str) -> None:
    for command in (f"fogline eval --api-key {secret} --n 3", f"fogline eval --model-api-key={secret} --n 3"):
        redacted = redact_text(command)
        assert redacted.endswith(f"{REDACTED} --n 3")
        assert redacted.startswith("fogline eval --")


def test_no_secret_reaches_the_file(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    secret = "s3cr3t-of-the-test"
    with RunStore(path) as store:
        config = {"api_key": secret, "url": f"postgresql://u:{secret}@h/d", "deep": [{"password": secret}]}
        run = store.begin_run(f"fogline eval --api-key {secret}", config)
        assert store.add_cell(run, config) == cell_key({**config, "api_key": "another"})
    assert all(secret.encode() not in file.read_bytes() for file in tmp_path.iterdir())


# Size and speed


def test_a_thousand_episodes_of_ten_turns_are_stored_in_seconds_at_most(store: RunStore, cell: tuple[str, str]) -> None:
    turns = tuple(Turn("agent", "a table of text " * 20, "SELECT name FROM t", 0.1, {"ok": 1.0}) for _ in range(10))
    batch = [Episode("E-v0", "t", seed, turns, "terminated") for seed in range(1000)]
    began = time.monotonic()
    assert store.add_episodes(*cell, batch) == 1000
    assert time.monotonic() - began < 5.0


def test_importing_the_core_loads_no_database() -> None:
    code = (
        "import sys, fogline.core, fogline.core.episode, fogline.core.redaction; "
        "print([name for name in ('sqlalchemy', 'duckdb') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_store_errors_belong_to_the_family() -> None:
    assert issubclass(StoreError, FoglineError)
    assert issubclass(StoreUnavailable, InfrastructureError)
    assert not issubclass(StoreError, InfrastructureError)
