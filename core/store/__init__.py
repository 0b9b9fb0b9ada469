"""The run store: runs, cells, episodes and scores in SQLite or PostgreSQL, append-only."""

from fogline.core.store.runs import (
    SCHEMA_VERSION,
    CellRecord,
    CellSummary,
    RunRecord,
    RunStore,
    Score,
    StoredEpisode,
    StoreError,
    StoreUnavailable,
    cell_key,
    installed_versions,
    redact,
)

__all__ = [
    "SCHEMA_VERSION",
    "CellRecord",
    "CellSummary",
    "RunRecord",
    "RunStore",
    "Score",
    "StoreError",
    "StoreUnavailable",
    "StoredEpisode",
    "cell_key",
    "installed_versions",
    "redact",
]
