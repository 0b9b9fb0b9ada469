"""A killed evaluation loses nothing that was stored, doubles nothing, and ends with the same rewards."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path
from time import perf_counter

import numpy as np
import pytest

from fogline.core.store import RunStore

KILLS = 20
TASKS = 60
SAMPLES = 2
EPISODES = TASKS * SAMPLES

Key = tuple[str, int]


def start(store: Path) -> subprocess.Popen[bytes]:
    words = ["eval", "TrustSQL-v0", "--agent", "heuristic", "--limit", TASKS, "--samples", SAMPLES, "--concurrency", 2]
    command = [str(Path(sys.executable).with_name("fogline")), *map(str, words), "--store", str(store)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def finish(process: subprocess.Popen[bytes]) -> None:
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors.decode()


def rewards(store: Path) -> dict[Key, float | None]:
    """Reward by task and seed; every stored row is read, and none may share its key with another."""
    if not store.exists():
        return {}
    # A kill between the file and its tables leaves an empty file, which is an empty store.
    with closing(RunStore(store)) as opened:
        rows = list(opened.episodes(latest_only=False))
    keys = Counter((row.episode.task_id, row.episode.seed) for row in rows)
    assert not [key for key, count in keys.items() if count > 1]
    assert all(row.episode.scored for row in rows)
    return {(row.episode.task_id, row.episode.seed): row.episode.reward for row in rows}


@pytest.mark.timeout(240)
def test_twenty_kills_lose_and_double_nothing(tmp_path: Path) -> None:
    began = perf_counter()
    finish(start(tmp_path / "whole.db"))
    whole_s = perf_counter() - began
    expected = rewards(tmp_path / "whole.db")
    assert len(expected) == EPISODES

    delays = np.random.default_rng(20260323).uniform(0.3, 1.0, size=KILLS) * whole_s
    store, known, halfway = tmp_path / "killed-0.db", dict[Key, float | None](), 0
    for number, delay in enumerate(delays):
        process = start(store)
        try:
            process.wait(timeout=delay)
        except subprocess.TimeoutExpired:
            process.kill()
        process.communicate()
        stored = rewards(store)
        assert known.items() <= stored.items()
        assert stored.items() <= expected.items()
        halfway += 0 < len(stored) < EPISODES
        known = stored
        if len(stored) == EPISODES:
            store, known = tmp_path / f"killed-{number + 1}.db", {}
    finish(start(store))
    assert rewards(store) == expected
    assert halfway > 0, "no kill fell between the first and the last stored episode"
