"""Logs from where they are: a table in memory, CSV, Parquet, a database."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from fogline.core.errors import ConfigurationError, DataError
from fogline.simulators.merchants.events import with_events
from fogline.simulators.merchants.logs import Log, check_log

_CSV = (".csv", ".csv.gz", ".tsv")
_TEXT = {"trajectory_id": str, "merchant_id": str, "user_id": str, "regime": str, "badges": str}
"""Names, which a CSV must not turn into numbers."""


def read_log(
    source: str | Path | pd.DataFrame,
    *,
    events: str | Path | pd.DataFrame | None = None,
    table: str | None = None,
    query: str | None = None,
    **options: Any,
) -> Log:
    """Read a log and check it.

    Args:
        source: A data frame; the path of a CSV file (``.csv``, ``.csv.gz``, ``.tsv``), a Parquet file or a folder of
            them; or the URL of a database.
        events: A table of events, as a frame or a file, from which evidence and outcomes are summed up; see
            :func:`~fogline.simulators.merchants.events.with_events`. None where the log has them.
        table: Which table of a database.
        query: Or what to select from it.
        options: Of :func:`~fogline.simulators.merchants.logs.check_log`.

    Raises:
        DataError: For a source that cannot be read.
        SchemaError: For a log that does not fit the schema.
        ConfigurationError: For a source of no known kind, or ``table`` and ``query`` where they mean nothing.
    """
    frame = _frame(source, table, query, dict(options.get("rename") or {}))
    if events is not None:
        done = events if isinstance(events, pd.DataFrame) else _from_file(Path(events), {"trajectory_id": str})
        frame = with_events(frame.rename(columns=dict(options.get("rename") or {})), done)
    return check_log(frame, **options)


def _frame(
    source: str | Path | pd.DataFrame, table: str | None, query: str | None, rename: dict[str, str]
) -> pd.DataFrame:
    if isinstance(source, pd.DataFrame):
        return source
    if "://" in str(source):
        return _from_database(str(source), table, query)
    if table is not None or query is not None:
        raise ConfigurationError(f"table and query are of a database: {str(source)!r} is a file.")
    return _from_file(Path(source), {**_TEXT, **{old: str for old, new in rename.items() if new in _TEXT}})


def _from_file(path: Path, names: dict[str, type]) -> pd.DataFrame:
    suffix = "".join(path.suffixes[-2:]) if path.suffix == ".gz" else path.suffix
    try:
        if suffix in _CSV:
            separator = "\t" if suffix == ".tsv" else ","
            frame = pd.read_csv(path, sep=separator, dtype=names, keep_default_na=True, low_memory=False)
            # Rows are told as an editor counts them: the heading is line 1.
            frame.index += 2
            return frame
        if suffix == ".parquet" or path.is_dir():
            return pd.read_parquet(path)
    except (OSError, ValueError, UnicodeDecodeError) as error:
        raise DataError(f"{str(path)!r} cannot be read as a log: {error}") from error
    raise ConfigurationError(
        f"{str(path)!r} is no log that can be read: expected .csv, .csv.gz, .tsv, .parquet, a folder of Parquet files, "
        "or the URL of a database."
    )


def _from_database(url: str, table: str | None, query: str | None) -> pd.DataFrame:
    import sqlalchemy as sa

    if (table is None) == (query is None):
        raise ConfigurationError(f"table={table!r}, query={query!r}: expected one of them, to read from a database.")
    try:
        engine = sa.create_engine(url)
        try:
            with engine.connect() as connection:
                selected = sa.text(query) if query is not None else sa.select(_reflected(table or "", connection))
                return pd.read_sql_query(selected, connection)
        finally:
            engine.dispose()
    except (sa.exc.SQLAlchemyError, ImportError) as error:
        # SQLAlchemy's own text of a URL hides its password; ours names no URL at all.
        reason = getattr(error, "orig", None) or type(error).__name__
        raise DataError(f"the log cannot be read from the database: {reason}") from error


def _reflected(name: str, connection: Any) -> Any:
    import sqlalchemy as sa

    schema, _, plain = name.rpartition(".")
    return sa.Table(plain, sa.MetaData(), schema=schema or None, autoload_with=connection)


def example_log_path() -> Path:
    """A small CSV that shows what a log looks like: 48 trajectories of the synthetic market."""
    return Path(__file__).parent / "data" / "example_log.csv"
