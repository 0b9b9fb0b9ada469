"""A killed sweep loses nothing that was stored, doubles no cell, and ends with the same metrics."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from time import perf_counter

import numpy as np
import pytest

from fogline.core.jsonable import to_jsonable
from fogline.core.store import RunStore

Metrics = dict[tuple[str, str, int], str]
SMALL = ("--task", "I-01", "--task", "II-11", "--task", "III-21", "-N", 5, "-N", 10, "-N", 20)
SMALL_EPISODES = 3 * 3 * 3 * 3
PAPER_EPISODES = 1620


def start(store: Path, words: Sequence[object]) -> subprocess.Popen[bytes]:
    command = [Path(sys.executable).with_name("fogline"), "sweep", "silo-bench", *words, "--store", store]
    return subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def finish(process: subprocess.Popen[bytes]) -> None:
    _, errors = process.communicate(timeout=1800)
    assert process.returncode == 0, errors.decode()


def metrics(store: Path) -> Metrics:
    """Metrics by cell, instance and seed; every stored row is read, and none may share its key with another."""
    if not store.exists():
        return {}
    # A kill between the file and its tables leaves an empty file, which is an empty store.
    with closing(RunStore(store)) as opened:
        rows = list(opened.episodes(latest_only=False))
    assert all(row.episode.scored for row in rows)
    keys = Counter((row.cell_key, row.episode.task_id, row.episode.seed) for row in rows)
    assert not [key for key, count in keys.items() if count > 1]
    return {
        (row.cell_key, row.episode.task_id, row.episode.seed): json.dumps(to_jsonable(row.episode.metrics))
        for row in rows
    }


def check_kills(folder: Path, words: Sequence[object], episodes: int, kills: int, shares: tuple[float, float]) -> None:
    """Kill a sweep again and again, after random shares of the time that a whole one takes, then let it end."""
    began = perf_counter()
    finish(start(folder / "whole.db", words))
    whole_s = perf_counter() - began
    expected = metrics(folder / "whole.db")
    assert len(expected) == episodes
    delays = np.random.default_rng(20260323).uniform(*shares, size=kills) * whole_s
    store, known, halfway = folder / "killed-0.db", Metrics(), 0
    for number, delay in enumerate(delays):
        process = start(store, words)
        try:
            process.wait(timeout=delay)
        except subprocess.TimeoutExpired:
            process.kill()
        process.communicate()
        stored = metrics(store)
        assert known.items() <= stored.items()
        assert stored.items() <= expected.items()
        halfway += 0 < len(stored) < episodes
        known = stored
        if len(stored) == episodes:
            store, known = folder / f"killed-{number + 1}.db", {}
    finish(start(store, words))
    assert metrics(store) == expected
    assert len({cell for cell, _, _ in expected}) == episodes
    assert halfway > 0, "no kill fell between the first and the last stored episode"


def test_a_few_kills_of_a_small_sweep_lose_and_double_nothing(tmp_path: Path) -> None:
    check_kills(tmp_path, SMALL, SMALL_EPISODES, kills=3, shares=(0.5, 0.95))


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_twenty_kills_of_the_paper_preset_lose_and_double_nothing(tmp_path: Path) -> None:
    words = ("--preset", "paper", "--engine", "process", "--workers", 2)
    check_kills(tmp_path, words, PAPER_EPISODES, kills=20, shares=(0.05, 0.6))
