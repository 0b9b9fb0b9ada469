"""Runs of an experiment, one per arm and seed: in processes of their own, kept in files, resumable."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from time import perf_counter
from typing import Any, Literal, NamedTuple
from urllib.parse import quote

from fogline.core.errors import ConfigurationError, DataError

CLOCK = "clock.json"
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")

Progress = Callable[[int, int, str], None]
"""Told how many cells are done, how many there are, and a remark."""


class Cell(NamedTuple):
    """One run of an experiment."""

    arm: str
    seed: int


@dataclass(frozen=True)
class CellResult:
    """What came of a cell.

    Attributes:
        arm: Of the cell.
        seed: Of the cell.
        status: ``done`` or ``failed``.
        value: What the function returned; empty where it failed.
        seconds: Wall-clock.
        error: What went wrong; empty where nothing did.
        config_key: Content hash of the configuration that it ran under.
    """

    arm: str
    seed: int
    status: Literal["done", "failed"]
    value: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    error: str = ""
    config_key: str = ""


CellFunction = Callable[[Cell], Mapping[str, Any]]
"""What a cell does, importable by name (``functools.partial`` of such a function included); JSON comes back."""


def run_cells(
    cells: Sequence[Cell],
    function: CellFunction,
    folder: str | Path,
    *,
    config: Mapping[str, Any],
    workers: int = 2,
    resume: bool = True,
    on_progress: Progress | None = None,
) -> list[CellResult]:
    """Run every cell that is not done yet.

    A cell runs in a new process with one thread, so that a crash takes no other cell along and results do not depend
    on ``workers``. Its file is written at once when it ends, whole or not at all. Failed cells are run again next time.

    Args:
        cells: What is wanted.
        function: What a cell does.
        folder: Where the files are; one folder per experiment.
        config: All that shapes the results; a folder holds the cells of one configuration.
        workers: Processes at once.
        resume: Take over the cells that are done; otherwise all are run again.
        on_progress: Told the count of cells that are done, those taken over included.

    Returns:
        One result per cell, in the order of ``cells``.

    Raises:
        ConfigurationError: For no workers, a cell named twice, or a folder that holds another configuration.
        DataError: For a file in the folder that is no cell.
    """
    from fogline.core.store import cell_key

    _check(cells, workers)
    place, key = Path(folder), cell_key(config)
    place.mkdir(parents=True, exist_ok=True)
    results = _finished(cells, place, key) if resume else {}
    spent = wall_clock(place) if resume else 0.0
    began = perf_counter()
    waiting = deque(cell for cell in cells if cell not in results)
    _tell(on_progress, results, len(cells))
    with closing(_run(waiting, function, place, key, workers)) as ended:
        for result in ended:
            results[Cell(result.arm, result.seed)] = result
            write_whole(place / CLOCK, json.dumps({"wall_clock_s": spent + perf_counter() - began}))
            _tell(on_progress, results, len(cells))
    return [results[cell] for cell in cells]


def wall_clock(folder: Path) -> float:
    """Seconds that were spent on the experiments of a folder so far, over all the times it was resumed."""
    clocks = (json.loads(path.read_text("utf-8")) for path in sorted(folder.rglob(CLOCK)))
    return sum(float(clock["wall_clock_s"]) for clock in clocks)


def write_whole(path: Path, text: str) -> None:
    """Write a file; a kill leaves the old one or the new one, never half of it."""
    half = path.with_name(path.name + ".part")
    with half.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    half.replace(path)


def _check(cells: Sequence[Cell], workers: int) -> None:
    if workers < 1:
        raise ConfigurationError(f"workers={workers}: expected at least 1.")
    if len(set(cells)) != len(cells):
        twice = next(cell for cell in cells if cells.count(cell) > 1)
        raise ConfigurationError(f"arm {twice.arm!r} with seed {twice.seed} is there twice: expected distinct seeds.")


def _path(folder: Path, cell: Cell) -> Path:
    return folder / f"{quote(cell.arm, safe='=+')}-seed-{cell.seed}.json"


def _finished(cells: Iterable[Cell], folder: Path, key: str) -> dict[Cell, CellResult]:
    found = {cell: _read(_path(folder, cell)) for cell in cells if _path(folder, cell).exists()}
    for cell, result in found.items():
        if result.config_key != key:
            raise ConfigurationError(
                f"{str(_path(folder, cell))!r} was made under another configuration: choose another folder, or run all "
                "cells again with resume=False."
            )
    return {cell: result for cell, result in found.items() if result.status == "done"}


def _read(path: Path) -> CellResult:
    try:
        return CellResult(**json.loads(path.read_text("utf-8")))
    except (ValueError, TypeError) as error:
        raise DataError(f"{str(path)!r} is no finished cell ({error}): remove it, and it is run again.") from error


def _write(path: Path, result: CellResult) -> None:
    write_whole(path, json.dumps(asdict(result), indent=1, allow_nan=False))


def _run(
    waiting: deque[Cell], function: CellFunction, folder: Path, key: str, workers: int
) -> Generator[CellResult, None, None]:
    """Keep ``workers`` processes busy; yield each result as it comes."""
    context = multiprocessing.get_context("spawn")
    running: list[tuple[BaseProcess, Cell, float]] = []
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                cell = waiting.popleft()
                _path(folder, cell).unlink(missing_ok=True)
                process = context.Process(target=_work, args=(function, cell, folder, key), name=str(cell))
                process.start()
                running.append((process, cell, perf_counter()))
            ready = connection.wait([entry[0].sentinel for entry in running])
            for entry in [entry for entry in running if entry[0].sentinel in ready]:
                running.remove(entry)
                ended, cell, began = entry
                ended.join()
                yield _collected(_path(folder, cell), cell, ended.exitcode, perf_counter() - began, key)
    finally:
        for left, _, _ in running:
            left.terminate()
            left.join()


def _collected(path: Path, cell: Cell, exit_code: int | None, seconds: float, key: str) -> CellResult:
    if path.exists():
        return _read(path)
    result = CellResult(
        *cell, "failed", seconds=seconds, error=f"its process ended with exit code {exit_code}", config_key=key
    )
    _write(path, result)
    return result


def _work(function: CellFunction, cell: Cell, folder: Path, key: str) -> None:
    """In the cell's own process: run it and write down what came of it."""
    # Ctrl-C reaches every process of a terminal; the one that waits for the cells ends them.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _end_with_parent()
    _use_one_thread()
    began = perf_counter()
    path = _path(folder, cell)
    try:
        value = dict(function(cell))
        _write(path, CellResult(*cell, "done", value, perf_counter() - began, config_key=key))
    except Exception:
        error = traceback.format_exc()
        _write(path, CellResult(*cell, "failed", seconds=perf_counter() - began, error=error, config_key=key))


def _end_with_parent() -> None:
    """However the process that waits for the cells ends, this one is not to go on alone."""
    parent = multiprocessing.parent_process()
    if parent is not None:

        def watch(sentinel: int = parent.sentinel) -> None:
            connection.wait([sentinel])
            os._exit(1)

        threading.Thread(target=watch, name="fogline-parent", daemon=True).start()


def _use_one_thread() -> None:
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


def _tell(on_progress: Progress | None, results: Mapping[Cell, CellResult], total: int) -> None:
    if on_progress is not None:
        failed = sum(result.status == "failed" for result in results.values())
        on_progress(len(results), total, f"{failed} failed" if failed else "")
