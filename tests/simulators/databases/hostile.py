"""How a hostile statement is put to the test, on any engine."""

from __future__ import annotations

import os
import time
from pathlib import Path

from fogline.simulators.databases.executor import Database
from fogline.simulators.databases.records import QueryLimits, QueryResult

LIMITS = QueryLimits(seconds=0.5, memory_bytes=512 * 2**20)

ANSWER_SECONDS = LIMITS.seconds + 0.5
"""A statement is answered, or its worker killed, within this."""

RESIDENT_BASELINE_BYTES = 160 * 2**20
"""What an interpreter with its engine holds before any statement."""


def judged_status(result: QueryResult) -> str:
    """The status, with ``resource`` told apart from other errors."""
    return "resource" if result.error_class == "resource" else result.status


def check_statement(database: Database, sql: str, expected: frozenset[str]) -> None:
    """Assert that ``sql`` ends as expected and in time, and that the next statement is served."""
    started = time.perf_counter()
    result = database.execute(sql)
    seconds = time.perf_counter() - started
    assert judged_status(result) in expected, result
    assert seconds <= ANSWER_SECONDS, f"answered after {seconds:.2f} s"
    assert not result.rows or result.status == "ok"
    assert str(Path.home()) not in result.message
    assert database.execute("SELECT 41 + 1").rows == ((42,),)


def worker_processes() -> list[int]:
    """Process ids of this process's workers that are alive; needs ``/proc``."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                status = (entry / "status").read_text()
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
            if int(fields["PPid"]) == os.getpid() and b"worker.py" in command and "Z" not in fields["State"]:
                found.append(int(entry.name))
    return found


def zombie_children() -> int:
    """Children of this process that ended and were not waited for; needs ``/proc``."""
    count = 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            count += fields[0] == "Z" and int(fields[1]) == os.getpid()
    return count


def peak_bytes(process: int) -> int:
    """The most memory that a process has held."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"process {process} has no VmHWM")
