"""On-disk memory of what gold statements gave, so that a data set is validated once.

An entry is keyed by the content of the database, the limits and the statement: a changed database or another
limit runs again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fogline.simulators.databases.records import DatabaseRef, QueryLimits, QueryResult

FORMAT_VERSION = 1
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class GoldOutcome:
    """What is remembered of a gold run: everything that validation judges, no rows.

    Attributes:
        status: Status of the result.
        truncated: Whether a limit cut it.
        error_class: Kind of error.
        message: The engine's message.
    """

    status: str
    truncated: bool = False
    error_class: str = ""
    message: str = ""

    @classmethod
    def of(cls, result: QueryResult) -> GoldOutcome:
        """Keep what matters of a result."""
        return cls(result.status, result.truncated, result.error_class, result.message[:300])

    @property
    def lasting(self) -> bool:
        """False for what a less loaded machine might change: time-outs, memory and worker failures."""
        return self.error_class != "resource" and self.status != "timeout"


class GoldCache:
    """Outcomes by statement, one JSON file for each pair of database content and limits.

    Two processes that write at once may lose entries of one of them, never mix them: files are replaced
    whole.

    Args:
        folder: Where the files lie; made when first needed.
    """

    def __init__(self, folder: Path) -> None:
        """Remember the folder; nothing is read yet."""
        self.folder = folder
        self._lock = threading.Lock()

    def read(self, fingerprint: str, limits: QueryLimits) -> dict[str, GoldOutcome]:
        """Load the outcomes known for one database under some limits, by statement hash."""
        entries = self._read_json(self._path(fingerprint, limits))
        return {key: GoldOutcome(**entry) for key, entry in entries.items()}

    def write(self, fingerprint: str, limits: QueryLimits, outcomes: Mapping[str, GoldOutcome]) -> None:
        """Store the lasting outcomes among ``outcomes``, keeping what other runs stored."""
        path = self._path(fingerprint, limits)
        with self._lock:
            entries = self._read_json(path)
            entries.update({key: asdict(outcome) for key, outcome in outcomes.items() if outcome.lasting})
            self._write_json(path, entries)

    def fingerprint(self, ref: DatabaseRef, compute: Any) -> str:
        """Return ``compute()``, remembered for a file as long as its size and time of change stay the same.

        Args:
            ref: The database; only one that is a file can be remembered.
            compute: Reads the whole content, which takes minutes for tens of gigabytes.
        """
        path = file_of(ref.url)
        if path is None or not path.is_file():
            return str(compute())
        stat = path.stat()
        key = statement_key(f"{path.resolve()}\n{stat.st_size}\n{stat.st_mtime_ns}")
        index = self.folder / "fingerprints.json"
        with self._lock:
            known = self._read_json(index).get(key)
        if known is None:
            known = str(compute())
            with self._lock:
                self._write_json(index, {**self._read_json(index), key: known})
        return str(known)

    def _path(self, fingerprint: str, limits: QueryLimits) -> Path:
        text = json.dumps([FORMAT_VERSION, fingerprint, asdict(limits)], sort_keys=True)
        return self.folder / f"gold-{statement_key(text)[:32]}.json"

    @staticmethod
    def _read_json(path: Path) -> dict[str, Any]:
        if not path.is_file():
            return {}
        try:
            return dict(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, OSError) as error:
            logger.warning("%s cannot be read (%s): its gold statements run again.", path.name, error)
            return {}

    def _write_json(self, path: Path, content: Mapping[str, Any]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=self.folder, suffix=".tmp")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(content, file)
        Path(name).replace(path)


def statement_key(text: str) -> str:
    """Hexadecimal SHA-256 of a text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def file_of(url: str) -> Path | None:
    """Path of a ``sqlite:///PATH`` or ``duckdb:///PATH`` URL, ``None`` for a server."""
    for scheme in ("sqlite:///", "duckdb:///"):
        if url.startswith(scheme):
            return Path(url.removeprefix(scheme).partition("?")[0])
    return None


def user_cache() -> Path:
    """Per-user cache folder: ``$FOGLINE_CACHE``, else ``fogline`` in ``$XDG_CACHE_HOME`` or ``~/.cache``."""
    explicit = os.environ.get("FOGLINE_CACHE")
    if explicit:
        return Path(explicit)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fogline"
