"""A throw-away PostgreSQL server, and a throw-away Ray cluster, for tests that need one."""

from __future__ import annotations

import importlib
import importlib.util
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from requirement import unavailable

# Test files are imported by path: helpers of the executor's tests need their folder named.
sys.path.insert(0, str(Path(__file__).parent.parent / "simulators" / "databases"))

SERVER_ADDRESS_SPACE_KB = 2 * 2**20
"""Limit of each server process, so that no hostile statement can take the machine's memory."""

START_SECONDS = 30.0


def server_binaries() -> Path | None:
    """The folder of ``initdb`` and ``postgres``: on the path, or where Debian puts them."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return versions[-1].parent if versions else None


def free_port() -> int:
    """A port of the loopback interface that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """URL of the superuser of an empty cluster that lives as long as the test session."""
    if importlib.util.find_spec("psycopg") is None:
        unavailable("postgres", "psycopg is not installed (pip install 'fogline[postgres]')")
    binaries = server_binaries()
    if binaries is None:
        unavailable("postgres", "no initdb on the path or under /usr/lib/postgresql")
    as_root = os.geteuid() == 0
    if as_root and "postgres" not in {entry.pw_name for entry in pwd.getpwall()}:
        unavailable("postgres", "root cannot run a server, and there is no user 'postgres'")
    folder = Path(tempfile.mkdtemp(prefix="fogline-postgresql-"))
    if as_root:
        shutil.chown(folder, "postgres")
    # Root may not run the server: PostgreSQL refuses.
    user = {"user": "postgres", "group": "postgres", "extra_groups": []} if as_root else {}
    data, port = folder / "data", free_port()
    subprocess.run(
        [binaries / "initdb", "-D", data, "-U", "admin", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8"],
        check=True,
        capture_output=True,
        cwd=folder,
        **user,  # type: ignore[call-overload]
    )
    settings = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={folder} -c fsync=off"
    server = subprocess.Popen(
        ["/bin/sh", "-c", f"ulimit -v {SERVER_ADDRESS_SPACE_KB}; exec {binaries}/postgres -D {data} {settings}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=folder,
        **user,  # type: ignore[call-overload]
    )
    url = f"postgresql://admin@127.0.0.1:{port}/postgres"
    try:
        wait_until_ready(binaries, port, server)
        yield url
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        shutil.rmtree(folder, ignore_errors=True)


def wait_until_ready(binaries: Path, port: int, server: subprocess.Popen[bytes]) -> None:
    """Wait until the server takes connections."""
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and server.poll() is None:
        if subprocess.run([binaries / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]).returncode == 0:
            return
        time.sleep(0.05)
    pytest.fail(f"the PostgreSQL server was not ready within {START_SECONDS:g} s")


@pytest.fixture(scope="session")
def reader_url(postgresql_url: str) -> str:
    """URL of a role that can read the schema ``chinook``, a copy of the bundled database."""
    from fogline.simulators.databases.bundled import bundled_database
    from fogline.simulators.databases.postgresql_roles import create_reader_role

    bundled_database("chinook", "postgresql", postgresql_url)
    return create_reader_role(postgresql_url, "reader", "a'b\"c:d@e", schema="chinook")


@pytest.fixture
def raylets(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Two raylets of two CPUs each on loopback; the head has none, so that all work is theirs to lose."""
    if importlib.util.find_spec("ray") is None:
        unavailable("ray", "Ray is not installed (pip install 'fogline[scale]')")
    ray: Any = importlib.import_module("ray")
    utilities: Any = importlib.import_module("ray.cluster_utils")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_raylet_start_wait_time_s", "180")  # a busy machine needs more than the default
    # Workers are processes of the raylets: they look for the tests' players where this process does.
    support = Path(__file__).parents[1] / "support"
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(support), *sys.path]))
    started = utilities.Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        started.nodes = [started.add_node(num_cpus=2) for _ in range(2)]
        started.wait_for_nodes()
        ray.init(address=started.address, log_to_driver=False, logging_level="warning")
        yield started
    finally:
        ray.shutdown()
        started.shutdown()
