"""No statement harms a PostgreSQL server, its machine, or whoever asks next."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hostile_checks import LIMITS, Siege
from hostile_statements import CREATE, ITEMS, Hostile, statements

from fogline.simulators.databases.executor import Database
from fogline.simulators.databases.records import DatabaseRef

if TYPE_CHECKING:
    import psycopg

pytestmark = pytest.mark.services

STATEMENTS = statements("postgresql")
ROLE = "besieged"
SETTLE_SECONDS = 3.0
"""How long a backend may take to end its statement after its worker was killed."""

PROBE = (
    "SELECT count(*), sum(amount), min(name), (SELECT count(*) FROM dear), current_user, session_user, "
    "pg_my_temp_schema(), current_schemas(true), "
    "(SELECT md5(string_agg(name || '=' || setting, ',' ORDER BY name)) FROM pg_settings), "
    "(SELECT count(*) FROM pg_prepared_statements), (SELECT count(*) FROM pg_listening_channels()), "
    "(SELECT count(*) FROM pg_cursors) FROM item"
)
STATE = """
SELECT (SELECT md5(string_agg(i::text, ',' ORDER BY id)) FROM hostile.item AS i),
    (SELECT last_value FROM hostile.item_seq),
    (SELECT md5(string_agg(oid || relname || relowner || coalesce(relacl::text, ''), ',' ORDER BY oid)) FROM pg_class),
    (SELECT count(*) FROM pg_proc), (SELECT count(*) FROM pg_type), (SELECT count(*) FROM pg_namespace),
    (SELECT count(*) FROM pg_extension), (SELECT count(*) FROM pg_description),
    (SELECT md5(string_agg(r::text, ',' ORDER BY oid)) FROM pg_authid AS r), (SELECT count(*) FROM pg_db_role_setting),
    (SELECT count(*) FROM pg_largeobject_metadata), (SELECT count(*) FROM pg_replication_slots),
    (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'),
    (SELECT count(*) FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid) WHERE a.usename = 'besieged'),
    (SELECT stats_reset FROM pg_stat_database WHERE datname = current_database()),
    (SELECT count(*) FROM pg_ls_tmpdir()), pg_conf_load_time(), pg_is_in_recovery(), pg_backend_pid()
"""
BUSY = "SELECT count(*) FROM pg_stat_activity WHERE usename = %s AND state <> 'idle'"


@pytest.fixture(scope="module")
def administrator(postgresql_url: str) -> Iterator[psycopg.Connection[Any]]:
    """A superuser's session, itself one that hostile statements might end."""
    import psycopg

    with psycopg.connect(postgresql_url, autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="module")
def reader(administrator: psycopg.Connection[Any], postgresql_url: str) -> str:
    """URL of a role whose rights go far beyond reading, so that only the executor stands in its way."""
    from fogline.simulators.databases.postgresql_roles import create_reader_role

    # A table of the same names in the search path, and a server that can reach itself.
    setup = ("CREATE SCHEMA hostile", "SET search_path = hostile, public", *CREATE, "CREATE SEQUENCE item_seq")
    for statement in (*setup, "CREATE EXTENSION dblink", "LISTEN channel"):
        administrator.execute(statement.encode())
    url = create_reader_role(postgresql_url, ROLE, "password", schema="hostile")
    for grant in (
        "GRANT ALL ON ALL TABLES IN SCHEMA hostile TO besieged",
        "GRANT ALL ON ALL SEQUENCES IN SCHEMA hostile TO besieged",
        "GRANT ALL ON SCHEMA hostile, public TO besieged",
        "GRANT ALL ON DATABASE postgres TO besieged",
    ):
        administrator.execute(grant.encode())
    return url


@pytest.fixture(scope="module")
def siege(administrator: psycopg.Connection[Any], reader: str) -> Iterator[Siege]:
    # Not pytest's temporary folder: the server's user must be able to reach it.
    folder = Path(tempfile.mkdtemp(prefix="fogline-outside-"))
    folder.chmod(0o777)
    notices: list[object] = []
    administrator.add_notify_handler(notices.append)
    settings = Path(administrator.execute("SHOW data_directory").fetchone()[0]) / "postgresql.auto.conf"  # type: ignore[index]

    def state() -> object:
        end = time.monotonic() + SETTLE_SECONDS
        while administrator.execute(BUSY, (ROLE,)).fetchone() != (0,):
            assert time.monotonic() < end, "a statement still runs on the server"
            time.sleep(0.02)
        return administrator.execute(STATE).fetchall(), settings.read_text(), list(notices)

    try:
        with Database(DatabaseRef("hostile", reader), LIMITS) as database:
            yield Siege(database, None, folder, PROBE, state)
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize("hostile", STATEMENTS, ids=str)
def test_statement_changes_nothing_and_ends_in_time(siege: Siege, hostile: Hostile) -> None:
    siege.withstands(hostile)


def test_table_covers_what_it_should() -> None:
    assert len(STATEMENTS) >= 45


def test_probe_sees_the_items(siege: Siege) -> None:
    assert siege.database.execute(PROBE).rows[0][0] == ITEMS


def test_explain_is_served(siege: Siege) -> None:
    for options in ("", "VERBOSE ", "(COSTS off, FORMAT json) ", "(VERBOSE)("):
        assert (
            siege.database.execute(f"EXPLAIN {options}SELECT * FROM item" + ")" * options.endswith("(")).status == "ok"
        )


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1 AS products_status",
        "SELECT 'x' AS asset_config, 2 AS hello_open",
        "SELECT 1 AS halo_created -- pg_try",
    ],
)
def test_names_that_only_contain_a_refused_one_are_served(siege: Siege, sql: str) -> None:
    assert siege.database.execute(sql).status == "ok"
