"""Two processes that hold a part of the weights each learn what one learns, and hand a run over to one and back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import sharding_runs
import torch
from sharding_runs import HALF, METHODS, UPDATES, go_on, learner, recorded, updates
from sharing import launch, together

from fogline.agents.policies.language import CausalLMPolicy
from fogline.core.errors import ConfigurationError
from fogline.trainers.checkpoints import checkpoints
from fogline.trainers.logs import read_log
from fogline.trainers.processes import Processes

pytestmark = [pytest.mark.services, pytest.mark.timeout(600)]
torch.set_num_threads(1)

CLOSE = 1e-5


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoints of one process in ``alone`` and of two in ``sharded``; each went on from the other's, too."""
    folder = tmp_path_factory.mktemp("sharding")
    for name in ("alone", "sharded"):
        (folder / name).mkdir()
    updates(folder / "alone", Processes(), "none")
    launch("both", folder, script=sharding_runs.__file__)
    go_on(folder / "sharded", Processes(), "none")
    return folder


def left(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = torch.load(path, weights_only=True)
    return found


def assert_same(one: Mapping[str, Any], two: Mapping[str, Any]) -> None:
    assert len(one["logs"]) == len(two["logs"]) == UPDATES - HALF
    for ours, theirs in zip(one["logs"], two["logs"], strict=True):
        assert theirs == pytest.approx(ours, rel=CLOSE, abs=CLOSE)
    ours, theirs = one["state"], two["state"]
    assert ours["module"].keys() == theirs["module"].keys()
    for name, weights in ours["module"].items():
        torch.testing.assert_close(theirs["module"][name], weights, rtol=0, atol=CLOSE)
    assert ours["optimiser"]["param_groups"] == theirs["optimiser"]["param_groups"]
    assert ours["optimiser"]["state"].keys() == theirs["optimiser"]["state"].keys()
    for index, moments in ours["optimiser"]["state"].items():
        for name, value in moments.items():
            torch.testing.assert_close(theirs["optimiser"]["state"][index][name], value, rtol=1e-4, atol=CLOSE)


def test_recorded_batches_have_ragged_groups_shared_prompts_and_an_invalid_row() -> None:
    batch = recorded(0)
    assert torch.bincount(batch.group).tolist() == [4, 3, 1, 2]
    assert int((~batch.valid).sum()) == 1
    first = batch.tokens[batch.group == 0, :9]
    assert torch.equal(first, first[:1].expand_as(first))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("part", [0, 1])
def test_loss_weights_and_moments_are_those_of_one_process(runs: Path, method: str, part: int) -> None:
    alone, sharded = (left(runs / name / f"{method}-{part}.pt") for name in ("alone", "sharded"))
    assert_same(alone, sharded)
    start = learner(method, Processes(), "none").policy.module.state_dict()
    moved = max(float((alone["state"]["module"][name] - value).abs().max()) for name, value in start.items())
    assert moved > 100 * CLOSE


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("author", ["alone", "sharded"])
def test_a_run_goes_on_from_the_checkpoint_of_the_other_kind(runs: Path, method: str, author: str) -> None:
    assert_same(left(runs / author / f"{method}-1.pt"), left(runs / author / f"{method}-continued.pt"))


def test_each_process_holds_its_part(runs: Path) -> None:
    whole = sum(weight.numel() for weight in learner("grpo", Processes(), "none").policy.module.parameters())
    held = [left(runs / f"held-{rank}.pt") for rank in range(2)]
    assert sum(part["held"] for part in held) == whole
    assert sum(part["moments"] for part in held) == 2 * whole
    assert all(abs(part["held"] - whole / 2) < 0.01 * whole for part in held)


def test_one_process_has_nothing_to_shard() -> None:
    with pytest.raises(ConfigurationError, match="accelerate launch"):
        learner("grpo", Processes(), "fsdp")


def test_the_command_trains_in_shards_and_goes_on_in_one_process(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    words = [
        "train",
        "grpo",
        "--env",
        "toy_world:Toy-v0",
        "-k",
        "says=hello",
        "--model",
        "tiny",
        "--policy",
        "layers=2",
    ]
    words += ["--policy", "width=32", "--policy", "max_new_tokens=4", "--policy", "max_context=256"]
    words += ["--group-size", "4", "--tasks-per-update", "2", "-p", "entropy_coefficient=0.01", "--out", str(folder)]
    module = ["-m", "fogline.cli.main", *words, "--json"]
    report = json.loads(together([*module, "--updates", "2", "--sharding", "fsdp"]))
    assert report["finished"]
    trained = CausalLMPolicy(report["policy"]).module.state_dict()
    assert json.loads((folder / "policy" / "config.json").read_text())["architectures"] == ["StableLmForCausalLM"]
    kept = torch.load(checkpoints(folder / "checkpoints")[-1], weights_only=True)
    for name, weights in kept["module"].items():
        assert torch.equal(trained[name], weights), "the policy that was saved is that of the checkpoint"
    path = os.pathsep.join([str(Path(sharding_runs.__file__).parent), *sys.path])
    command = [sys.executable, *module, "--updates", "3"]
    told = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | {"PYTHONPATH": path})
    assert json.loads(told.stdout)["finished"]
    assert [row["update"] for row in read_log(folder)] == [1, 2, 3]
