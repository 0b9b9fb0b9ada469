"""``fogline export``: a store as Parquet."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import typer

from fogline.cli import arguments
from fogline.cli.console import console, print_json, print_note


def export(
    store: arguments.Store,
    folder: Annotated[Path, typer.Argument(help="Where to write; made when missing.", show_default=False)],
    run: Annotated[str | None, typer.Option(metavar="ID", help="Only this run. (default: everything)")] = None,
    skip_corrupt: Annotated[
        bool, typer.Option("--skip-corrupt", help="Leave damaged episodes out instead of refusing.")
    ] = False,
    as_json: arguments.Json = False,
) -> None:
    """Write runs, cells, episodes, turns and scores as Parquet files, for DuckDB, Polars or pandas.

    Example: fogline export runs.db exported
    """
    from fogline.cli.tables import table
    from fogline.core.store import RunStore

    with closing(RunStore(store, create=False)) as opened:
        files = opened.export(folder, run_id=run, on_corrupt="skip" if skip_corrupt else "raise")
        skipped = len(opened.corrupt_ids)
    rows = [(file.name, _rows(file), file.stat().st_size) for file in files]
    if as_json:
        print_json([{"file": str(folder / name), "rows": count, "bytes": size} for name, count, size in rows])
    else:
        columns: list[Any] = ["File", ("Rows", {"justify": "right"}), ("Bytes", {"justify": "right"})]
        console().print(table(f"Written to {folder}", columns, rows))
        query = f"SELECT task_id, avg(reward) FROM '{folder / 'episodes.parquet'}' WHERE latest GROUP BY task_id"
        console().print(f'Look at it: python -c "import duckdb; print(duckdb.sql(\\"{query}\\"))"', soft_wrap=True)
    if skipped:
        print_note(f"{skipped} damaged episodes were left out.")


def _rows(file: Path) -> int:
    import duckdb

    with duckdb.connect() as connection:
        found = connection.execute("SELECT count(*) FROM read_parquet(?)", [str(file)]).fetchone()
    return int(found[0]) if found else 0
