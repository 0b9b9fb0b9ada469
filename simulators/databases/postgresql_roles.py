"""PostgreSQL roles that can read tables and do nothing else."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from fogline.core.errors import ConfigurationError
from fogline.simulators.databases.copy_targets import connect_postgresql, with_search_path
from fogline.simulators.databases.copying import quoted

TEMPORARY_FILE_LIMIT = "64MB"


def create_reader_role(admin_url: str, name: str, password: str, schema: str | None = None) -> str:
    """Create, or reset, a login role that may read one schema or all of a database.

    The role owns nothing, may not create schemas or temporary tables through its own rights, and its temporary files
    are limited to 64 MB.

    Args:
        admin_url: ``postgresql://`` URL of a role that may create roles and grant on the tables.
        name: The role.
        password: Its password.
        schema: Schema to read, also its ``search_path``; every schema outside the system's where None.

    Returns:
        The URL of the same database for the new role.

    Raises:
        ConfigurationError: The schema does not exist.
        DatabaseUnavailable: The server refuses the connection.
    """
    role = quoted(name)
    with connect_postgresql(admin_url) as connection:
        statement: Any = "SELECT 1 FROM pg_roles WHERE rolname = %s"
        exists = connection.execute(statement, (name,)).fetchone()
        from psycopg.sql import SQL, Identifier, Literal

        connection.execute(
            SQL("{} {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD {}").format(
                SQL("ALTER ROLE" if exists else "CREATE ROLE"), Identifier(name), Literal(password)
            )
        )
        found = connection.execute(
            "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'"
        ).fetchall()
        schemas = [found_name for (found_name,) in found]
        if schema is not None and schema not in schemas:
            raise ConfigurationError(f"schema={schema!r} does not exist: expected one of {sorted(schemas)}.")
        grants: Any
        for one in schemas if schema is None else [schema]:
            grants = f"GRANT USAGE ON SCHEMA {quoted(one)} TO {role}"
            connection.execute(grants)
            grants = f"GRANT SELECT ON ALL TABLES IN SCHEMA {quoted(one)} TO {role}"
            connection.execute(grants)
        _limit_files(connection, role)
    parts = urlsplit(admin_url)
    host = parts.netloc.rpartition("@")[2]
    credentials = f"{quote(name, safe='')}:{quote(password, safe='')}"
    url = urlunsplit(parts._replace(scheme="postgresql", netloc=f"{credentials}@{host}"))
    return url if schema is None else with_search_path(url, schema)


def _limit_files(connection: Any, role: str) -> None:
    superuser = connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
    if superuser and superuser[0]:
        connection.execute(f"ALTER ROLE {role} SET temp_file_limit = '{TEMPORARY_FILE_LIMIT}'")
        connection.execute(f"ALTER ROLE {role} SET default_transaction_read_only = on")
