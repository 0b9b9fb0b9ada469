"""Two processes under ``accelerate launch`` do what one does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from sharing import METHODS, launch, trainer, updates

from fogline.trainers.checkpoints import checkpoints
from fogline.trainers.logs import read_log
from fogline.trainers.processes import Processes

torch.set_num_threads(1)

CLOCK = {"play_s", "learn_s", "wall_s"}


def test_alone_everything_is_trivial() -> None:
    alone = Processes()
    assert (alone.rank, alone.count, alone.main) == (0, 1, True)
    rows = torch.arange(5)
    assert torch.equal(alone.share(rows), rows)
    assert alone.add(rows) is rows
    assert alone.gather([1, 2]) == [1, 2]
    alone.wait()
    alone.close()


def test_twenty_updates_are_the_same_in_two_processes(tmp_path: Path) -> None:
    """Recorded batches with ragged groups and aborted rows, micro-batches, float64."""
    launch("updates", tmp_path)
    shared = torch.load(tmp_path / "updates.pt", weights_only=True)
    updates(tmp_path, Processes())
    alone = torch.load(tmp_path / "updates.pt", weights_only=True)
    assert (shared.pop("processes"), alone.pop("processes")) == (2, 1)
    assert set(alone) == {*METHODS, "one row"}
    for method, found in alone.items():
        for name, weights in found["weights"].items():
            torch.testing.assert_close(shared[method]["weights"][name], weights, rtol=0, atol=1e-10)
        for ours, theirs in zip(found["logs"], shared[method]["logs"], strict=True):
            assert theirs == pytest.approx(ours, rel=1e-9, abs=1e-9)
    untouched = alone["grpo"]["weights"]["values"]
    assert torch.equal(untouched, shared["grpo"]["weights"]["values"])


def test_a_whole_run_is_the_same_in_two_processes(tmp_path: Path) -> None:
    two, one = tmp_path / "two", tmp_path / "one"
    two.mkdir()
    one.mkdir()
    launch("trainer", two)
    trainer(one, Processes())
    expected = json.loads((one / "trainer-0.json").read_text())
    for rank in range(2):
        found = json.loads((two / f"trainer-{rank}.json").read_text())
        assert found["rank"] == rank
        assert found["statistics"] == expected["statistics"], "every process knows every episode"
        for ours, theirs in zip(expected["rows"], found["rows"], strict=True):
            assert _told(theirs) == pytest.approx(_told(ours), rel=1e-9, abs=1e-9)
    assert [row["update"] for row in read_log(two / "run")] == [1, 2], "one process writes"
    states = [torch.load(checkpoints(folder / "run" / "checkpoints")[-1], weights_only=True) for folder in (one, two)]
    for name, weights in states[0]["module"].items():
        torch.testing.assert_close(states[1]["module"][name], weights, rtol=0, atol=1e-10)


def _told(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in CLOCK}
