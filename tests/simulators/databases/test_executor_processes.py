"""Workers: shared, killed, replaced, forked, and gone when nobody needs them."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import processes
import pytest
from processes import alive, eventually, open_descriptors, worker_processes, zombies

from fogline.core.errors import InfrastructureError
from fogline.simulators.databases import pool
from fogline.simulators.databases.executor import Database
from fogline.simulators.databases.records import DatabaseRef, QueryLimits

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes through /proc")

ENDLESS = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r"
STUCK = "SELECT instr(zeroblob(1000000), zeroblob(500000) || x'01')"
"""Keeps SQLite within one step of its machine, where it does not look at the clock."""

LIMITS = QueryLimits(seconds=20.0)
SHORT = QueryLimits(seconds=0.3)


@pytest.fixture(autouse=True)
def pools_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the pools, and their workers, that fixtures of other tests keep warm in this process."""
    gc.collect()
    monkeypatch.setattr(pool, "_pools", {})
    monkeypatch.setattr(processes, "others", set(processes.worker_processes()))


def kill_workers_during_statement() -> None:
    """Wait until a worker is busy, then kill every worker."""
    time.sleep(0.3)
    for process in worker_processes():
        os.kill(process, signal.SIGKILL)


async def test_fifty_statements_at_once_without_blocking_the_loop(chinook: DatabaseRef) -> None:
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            await asyncio.sleep(0.01)
            beats += 1

    with Database(chinook, LIMITS) as database:
        heart = asyncio.create_task(beat())
        slow = database.execute_async(ENDLESS, SHORT)
        many = [database.execute_async(f'SELECT {i}, count(*) FROM "Track"') for i in range(50)]
        stopped, *results = await asyncio.gather(slow, *many)
        heart.cancel()
    assert stopped.status == "timeout"
    assert [result.rows for result in results] == [((i, 3503),) for i in range(50)]
    assert beats >= 10


async def test_a_cancelled_statement_frees_its_worker(chinook_sqlite: DatabaseRef) -> None:
    with Database(chinook_sqlite, LIMITS, workers=1) as database:
        task = asyncio.create_task(database.execute_async(STUCK))
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await asyncio.wait_for(database.execute_async("SELECT 2"), 5)).rows == ((2,),)


async def test_a_blocking_call_inside_the_loop_does_not_wait_for_it(chinook_sqlite: DatabaseRef) -> None:
    with Database(chinook_sqlite, LIMITS, workers=1) as database:
        running = asyncio.create_task(database.execute_async(ENDLESS, QueryLimits(seconds=1.0)))
        await asyncio.sleep(0.2)
        assert database.execute("SELECT 3").rows == ((3,),)
        assert (await running).status == "timeout"
        assert (await database.execute_async("SELECT 4")).rows == ((4,),)


def test_threads_share_the_workers(chinook: DatabaseRef) -> None:
    with Database(chinook, LIMITS) as database, ThreadPoolExecutor(16) as pool:
        database.execute("SELECT 0")
        results = list(pool.map(lambda i: database.execute(f"SELECT {i}"), range(200)))
        assert [result.rows[0][0] for result in results] == list(range(200))
        assert len(worker_processes()) <= min(4, os.cpu_count() or 1) + 1


def test_hundreds_of_databases_share_a_few_workers(chinook_sqlite: DatabaseRef, tmp_path: Path) -> None:
    refs = []
    for index in range(60):
        path = tmp_path / f"d{index}.sqlite"
        with sqlite3.connect(path) as connection:
            connection.execute(f"CREATE TABLE t AS SELECT {index} AS n")
        connection.close()
        refs.append(DatabaseRef(path.stem, f"sqlite:///{path}"))
    databases = [Database(ref, LIMITS) for ref in refs]
    for _ in range(2):
        for index, database in enumerate(databases):
            assert database.execute("SELECT n FROM t").rows == ((index,),)
    assert len(worker_processes()) <= min(4, os.cpu_count() or 1) + 1
    for database in databases:
        database.close()
    assert worker_processes() == []


@pytest.mark.parametrize("sql", [ENDLESS, STUCK])
def test_a_worker_killed_within_a_statement_gives_a_result(chinook_sqlite: DatabaseRef, sql: str) -> None:
    with Database(chinook_sqlite, LIMITS) as database:
        database.execute("SELECT 1")
        killer = threading.Thread(target=kill_workers_during_statement)
        killer.start()
        result = database.execute(sql)
        killer.join()
        assert (result.status, result.error_class) == ("error", "resource")
        assert "signal 9" in result.message
        assert database.execute("SELECT 2").rows == ((2,),)


def test_a_worker_killed_between_statements_is_replaced_unseen(chinook: DatabaseRef) -> None:
    with Database(chinook, LIMITS, workers=1) as database:
        for value in range(3):
            assert database.execute(f"SELECT {value}").rows == ((value,),)
            # The most recently used worker is asked first; its spare stays.
            spare_first = sorted(worker_processes(), key=lambda pid: Path(f"/proc/{pid}/stat").stat().st_mtime)
            os.kill(spare_first[0], signal.SIGKILL)
            time.sleep(0.05)


def test_when_every_new_worker_dies_the_world_is_to_blame(chinook_sqlite: DatabaseRef) -> None:
    with Database(chinook_sqlite, LIMITS, workers=1) as database:
        database.execute("SELECT 1")
        for process in worker_processes():
            os.kill(process, signal.SIGKILL)
        time.sleep(0.1)
        with pytest.raises(InfrastructureError, match="before they began"):
            database.execute("SELECT 1")
        assert database.execute("SELECT 2").rows == ((2,),)


def test_too_little_memory_to_start_names_the_option(chinook_sqlite: DatabaseRef) -> None:
    with (
        Database(chinook_sqlite, QueryLimits(memory_bytes=2**20)) as database,
        pytest.raises(InfrastructureError, match=r"memory_bytes|does not start|does not open"),
    ):
        database.execute("SELECT 1")


def test_each_of_many_statements_has_the_limits_to_itself(chinook: DatabaseRef) -> None:
    with Database(chinook, LIMITS) as database:
        statements = ["SELECT 1", ENDLESS, "SELECT 2", "SELEC", "SELECT 3"]
        results = database.execute_many(statements, SHORT)
        assert [result.status for result in results] == ["ok", "timeout", "ok", "error", "ok"]
        assert database.execute_many([]) == []
        rows = database.execute_many([f"SELECT {i}" for i in range(500)])
        assert [result.rows[0][0] for result in rows] == list(range(500))


def test_a_statement_that_does_not_look_at_the_clock_is_killed(chinook_sqlite: DatabaseRef) -> None:
    with Database(chinook_sqlite, SHORT, workers=1) as database:
        database.execute("SELECT 1")
        started = time.perf_counter()
        assert database.execute(STUCK).status == "timeout"
        # Far below what the statement would take, far above what a busy machine adds.
        assert time.perf_counter() - started < 5
        assert database.execute("SELECT 2").rows == ((2,),)


def test_nothing_is_left_after_close(chinook: DatabaseRef) -> None:
    gc.collect()
    before = open_descriptors()
    for _ in range(3):
        with Database(chinook, SHORT) as database:
            database.execute_many(["SELECT 1", ENDLESS, "SELECT 2"])
            assert worker_processes()
    assert worker_processes() == []
    assert eventually(lambda: zombies() == 0)
    assert open_descriptors() == before


def test_a_database_that_is_dropped_closes_itself(chinook_sqlite: DatabaseRef) -> None:
    database = Database(chinook_sqlite, LIMITS)
    database.execute("SELECT 1")
    del database
    gc.collect()
    assert worker_processes() == []


def test_another_user_of_the_pool_keeps_it_alive(chinook_sqlite: DatabaseRef) -> None:
    with Database(chinook_sqlite, LIMITS) as first:
        first.execute("SELECT 1")
        with Database(chinook_sqlite, LIMITS) as second:
            second.execute("SELECT 1")
        running = worker_processes()
        assert first.execute("SELECT 2").rows == ((2,),)
        assert set(worker_processes()) == set(running)


def _use_in_child(database: Database, queue: multiprocessing.Queue[object]) -> None:
    parents = worker_processes(os.getppid())
    queue.put([result.rows for result in database.execute_many(["SELECT 7", "SELECT 8"])])
    queue.put((len(worker_processes()) > 0, len(parents) > 0))
    database.close()


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning")
def test_both_sides_of_a_fork_have_workers_of_their_own(chinook_sqlite: DatabaseRef) -> None:
    context = multiprocessing.get_context("fork")
    with Database(chinook_sqlite, LIMITS) as database:
        database.execute("SELECT 1")
        own = set(worker_processes())
        queue = context.Queue()
        child = context.Process(target=_use_in_child, args=(database, queue))
        child.start()
        assert queue.get(timeout=20) == [((7,),), ((8,),)]
        assert queue.get(timeout=20) == (True, True)
        for value in range(20):
            assert database.execute(f"SELECT {value}").rows == ((value,),)
        child.join(20)
        assert child.exitcode == 0
        assert set(worker_processes()) == own


@pytest.mark.parametrize("sql", ["SELECT 1", ENDLESS, STUCK])
def test_workers_end_with_their_parent(chinook_sqlite: DatabaseRef, sql: str) -> None:
    program = (
        "import sys, threading\n"
        "from fogline.simulators.databases.executor import Database\n"
        "from fogline.simulators.databases.records import DatabaseRef, QueryLimits\n"
        "database = Database(DatabaseRef('c', sys.argv[1]), QueryLimits(seconds=600))\n"
        "database.execute('SELECT 1')\n"
        "threading.Thread(target=database.execute, args=(sys.argv[2],), daemon=True).start()\n"
        "print('up', flush=True)\n"
        "threading.Event().wait()\n"
    )
    command = [sys.executable, "-c", program, chinook_sqlite.url, sql]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"up\n"
        time.sleep(0.2)
        workers = worker_processes(parent.pid)
        folder = Path(f"/proc/{workers[0]}/cwd").readlink()
        parent.kill()
        parent.wait()
    assert workers
    try:
        assert eventually(lambda: not any(map(alive, workers)))
        assert eventually(lambda: not folder.exists())
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_a_worker_sees_little_of_the_environment(chinook_sqlite: DatabaseRef, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "not-for-workers")
    with Database(chinook_sqlite, QueryLimits(memory_bytes=3 * 2**28)) as database:
        database.execute("SELECT 1")
        for process in worker_processes():
            assert b"not-for-workers" not in Path(f"/proc/{process}/environ").read_bytes()
            assert list(Path(f"/proc/{process}/cwd/").iterdir()) == []
            # The spare may still be starting: limits come after its imports.
            assert eventually(lambda process=process: limits_of(process)["Max address space"] != "unlimited")
            assert limits_of(process)["Max file size"] == limits_of(process)["Max core file size"] == "0"
            assert limits_of(process)["Max address space"] == str(3 * 2**28)


def limits_of(process: int) -> dict[str, str]:
    """Soft limits of a process by the kernel's names for them, once it has set the last of them."""
    lines = Path(f"/proc/{process}/limits").read_text().splitlines()
    return {line[:26].strip(): line[26:47].strip() for line in lines}
