"""The run store: runs, cells, episodes and scores in SQLite or PostgreSQL, append-only."""

from fogline.core.redaction import redact
from fogline.core.store.database import SCHEMA_VERSION, StoreError, StoreUnavailable
from fogline.core.store.records import (
    CellRecord,
    CellSummary,
    RunRecord,
    Score,
    StoredEpisode,
    cell_key,
    installed_versions,
)
from fogline.core.store.runs import RunStore

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
