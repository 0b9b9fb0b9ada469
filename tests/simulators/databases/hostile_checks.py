"""What must hold whatever a statement says: nothing changes, it ends in time, memory is bounded, service goes on."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from hostile_statements import Hostile

from fogline.simulators.databases.executor import Database
from fogline.simulators.databases.records import QueryLimits, QueryResult, Row

LIMITS = QueryLimits(seconds=0.5, max_rows=1000, memory_bytes=256 * 2**20)
PATIENT = replace(LIMITS, seconds=30.0)
ALLOWED_SECONDS = LIMITS.seconds + 0.5
SECRET = "the-secret-7351"
SAMPLE_SECONDS = 0.005


def contents(folders: Sequence[Path]) -> dict[str, str]:
    """The hash of every file and the name of every folder below ``folders``."""
    found = {}
    for path in (path for folder in folders for path in sorted(folder.rglob("*"))):
        found[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
    return found


def worker_ids(database: Database) -> list[int]:
    """Process ids of the workers that serve ``database``."""
    pool = database._pool(LIMITS)
    return [worker.process.pid for worker in [*pool._idle, *pool._lent]]


def peak_memory(process_id: int) -> int:
    """Most memory the process ever had resident, in bytes; 0 when it is gone."""
    try:
        lines = Path(f"/proc/{process_id}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    peaks = [int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")]
    return peaks[0] if peaks else 0


def process_limits(process_id: int) -> dict[str, str]:
    """Hard limits of a process by the kernel's names for them."""
    lines = Path(f"/proc/{process_id}/limits").read_text().splitlines()[1:]
    return {line[:26].strip(): line[47:68].strip() for line in lines}


class Siege:
    """One database that hostile statements are run on.

    Attributes:
        database: The database, whose own folder the statements do not know.
        hidden: That folder; None for a server.
        folder: Writable folder outside, with ``secret.csv``; statements know it as ``{folder}``.
        probe: Statement that shows the content and the state of the session.
        state: Whatever else must not change, read from outside.
        resident_bytes: Greatest memory a worker may have resident.
    """

    def __init__(
        self,
        database: Database,
        hidden: Path | None,
        folder: Path,
        probe: str,
        state: Callable[[], object] = lambda: None,
        resident_bytes: int = LIMITS.memory_bytes,
    ) -> None:
        self.database, self.hidden, self.folder, self.probe, self.state = database, hidden, folder, probe, state
        self.resident_bytes = resident_bytes
        (folder / "secret.csv").write_text(f"a,b\n1,{SECRET}\n")
        self.before = self._everything()

    def withstands(self, hostile: Hostile) -> QueryResult:
        """Run the statement on a warm worker and check all that must hold."""
        sql = hostile.sql.replace("{folder}", str(self.folder))
        with self._memory_watched() as peaks:
            started = time.monotonic()
            result = self.database.execute(sql, LIMITS)
            elapsed = time.monotonic() - started
        after = self._everything()
        assert result.status in hostile.statuses, (result.status, result.error_class, result.message)
        assert elapsed < ALLOWED_SECONDS, f"answered after {elapsed:.2f} s: {result.status} {result.message}"
        assert max(peaks, default=0) <= self.resident_bytes
        assert after == self.before
        shown = repr(result.rows) + result.message
        assert SECRET not in shown
        assert self.hidden is None or str(self.hidden) not in shown
        assert bool(result.message) != result.ran
        return result

    def _everything(self) -> tuple[dict[str, str], object, tuple[Row, ...]]:
        answer = self.database.execute(self.probe, PATIENT)
        assert answer.status == "ok", answer
        working_folders = [Path(f"/proc/{process_id}/cwd").resolve() for process_id in worker_ids(self.database)]
        folders = [self.folder, *working_folders, *([self.hidden] if self.hidden else [])]
        return contents(folders), self.state(), answer.rows

    @contextmanager
    def _memory_watched(self) -> Iterator[list[int]]:
        peaks: list[int] = []
        done = threading.Event()

        def watch() -> None:
            while not done.wait(SAMPLE_SECONDS):
                peaks.extend(peak_memory(process_id) for process_id in worker_ids(self.database))

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield peaks
        finally:
            done.set()
            thread.join()
            peaks.extend(peak_memory(process_id) for process_id in worker_ids(self.database))
