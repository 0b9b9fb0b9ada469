"""A sweep on two raylets: the metrics of the pool byte by byte, also where one raylet is killed on the way."""

from __future__ import annotations

import importlib
import json
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from fogline.benchmarks.recording import Progress
from fogline.benchmarks.sweeps.config import SweepConfig
from fogline.benchmarks.sweeps.running import sweep
from fogline.core.engine import make_engine, ordered
from fogline.core.jsonable import to_jsonable
from fogline.core.store import RunStore

pytestmark = [pytest.mark.services, pytest.mark.timeout(600)]


def config(tmp_path: Path, name: str, **changes: Any) -> SweepConfig:
    settings: dict[str, Any] = {
        "tasks": ("I-01", "I-07", "II-11", "III-21"),
        "n_agents": (2, 5, 10),
        "seeds": 2,
        # Faults, so that what is drawn is compared, too.
        "env_kwargs": {"duplicate": 0.2, "delay": 0.2},
        "store": str(tmp_path / f"{name}.db"),
    }
    return SweepConfig(**settings | changes)


def metrics(settings: SweepConfig) -> dict[tuple[str, str, int], str]:
    with closing(RunStore(settings.store, create=False)) as store:
        rows = [row for row in store.episodes(latest_only=False) if row.episode.scored]
    found = {
        (row.cell_key, row.episode.task_id, row.episode.seed): json.dumps(to_jsonable(row.episode.metrics))
        for row in rows
    }
    assert len(found) == len(rows)
    return found


def node_of(_: int) -> str:
    """The raylet that works on an item, long enough for all workers to get some."""
    ray: Any = importlib.import_module("ray")
    time.sleep(0.3)
    return str(ray.get_runtime_context().get_node_id())


def test_two_raylets_store_the_metrics_of_the_pool_byte_by_byte(raylets: Any, tmp_path: Path) -> None:
    with make_engine("ray", workers=4) as engine:
        nodes = {outcome.unwrap() for outcome in ordered(engine.map(node_of, range(40)))}
    assert len(nodes) == 2
    assert nodes == {node.node_id for node in raylets.nodes}
    pool, ray = config(tmp_path, "pool", engine="process", workers=2), config(tmp_path, "ray", engine="ray", workers=4)
    assert sweep(pool).complete == sweep(ray).complete == 108
    assert metrics(pool) == metrics(ray)


def test_a_raylet_killed_in_mid_run_costs_nothing_but_time(raylets: Any, tmp_path: Path) -> None:
    pool = config(tmp_path, "pool", engine="process", workers=2)
    sweep(pool)
    done: list[int] = []
    killer: list[threading.Thread] = []

    def kill(progress: Progress) -> None:
        done.append(progress.done)
        if progress.done >= 20 and not killer:
            thread = threading.Thread(
                target=raylets.remove_node, args=(raylets.nodes[0],), kwargs={"allow_graceful": False}
            )
            killer.append(thread)
            thread.start()

    ray = config(tmp_path, "ray", engine="ray", workers=4)
    report = sweep(ray, progress=kill)
    killer[0].join()
    assert 0 < done.index(20) < len(done) - 1
    assert (report.complete, report.unscored) == (108, 0)
    assert metrics(ray) == metrics(pool)
