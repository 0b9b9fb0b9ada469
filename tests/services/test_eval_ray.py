"""An evaluation on two raylets, one of them killed on the way; and addresses at which there is no cluster."""

from __future__ import annotations

import importlib.util
import json
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from requirement import unavailable

from fogline.benchmarks.evaluation import EvalConfig, evaluate
from fogline.benchmarks.recording import Progress
from fogline.core.engine import WorkerLost, make_engine
from fogline.core.errors import ConfigurationError
from fogline.core.jsonable import to_jsonable
from fogline.core.store import RunStore

pytestmark = [pytest.mark.services, pytest.mark.timeout(300)]


def rows(store: str) -> dict[tuple[str, str, int], str]:
    """What a store holds of each episode but its cost, as canonical JSON."""
    with closing(RunStore(store, create=False)) as opened:
        stored = list(opened.episodes(latest_only=False))
    found = {}
    for row in stored:
        told = asdict(row.episode)
        told.pop("usage")
        key = (row.cell_key, row.episode.task_id, row.episode.seed)
        found[key] = json.dumps(to_jsonable(told), sort_keys=True)
    assert len(found) == len(stored), "an episode is there twice"
    return found


def settings(folder: Path, name: str, **changes: Any) -> EvalConfig:
    return EvalConfig(
        env="SalesDialogue-v0",
        agent="scripted",
        limit=40,
        samples=4,
        store=str(folder / f"{name}.db"),
        **changes,
    )


def test_a_raylet_killed_in_mid_evaluation_costs_nothing_but_time(raylets: Any, tmp_path: Path) -> None:
    killer: list[threading.Thread] = []
    done: list[int] = []

    def kill(progress: Progress) -> None:
        done.append(progress.done)
        if progress.done >= 16 and not killer:
            killer.append(
                threading.Thread(target=raylets.remove_node, args=(raylets.nodes[0],), kwargs={"allow_graceful": False})
            )
            killer[0].start()

    here, there = settings(tmp_path, "here"), settings(tmp_path, "there", engine="ray", workers=4)
    evaluate(here)
    report = evaluate(there, progress=kill)
    killer[0].join()
    assert 0 < done.index(16) < len(done) - 1
    assert (report.played, report.summary.scored) == (160, 160)
    assert rows(there.store) == rows(here.store)


def test_the_command_plays_on_a_cluster_by_its_address(raylets: Any, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "fogline.cli.main", "eval", "SalesDialogue-v0", "--agent", "scripted"]
    command += ["--limit", "6", "--engine", "ray", "--workers", "2", "--address", raylets.address, "--json"]
    done = subprocess.run([*command, "--store", str(tmp_path / "there.db")], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["played"] == 6
    assert json.loads(done.stdout)["config"]["address"] == raylets.address


def test_an_address_without_a_cluster_is_told_within_seconds() -> None:
    if importlib.util.find_spec("ray") is None:
        unavailable("ray", "Ray is not installed (pip install 'fogline[scale]')")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    began = time.monotonic()
    with pytest.raises(WorkerLost, match=f"127.0.0.1:{port}.*expected the head"):
        make_engine("ray", address=f"127.0.0.1:{port}")
    with pytest.raises(WorkerLost, match="address='auto'"):
        make_engine("ray", address="auto")
    with pytest.raises(ConfigurationError, match=r"address='somewhere'.*expected 'auto' or 'HOST:PORT'"):
        make_engine("ray", address="somewhere")
    assert time.monotonic() - began < 30
