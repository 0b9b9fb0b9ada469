"""``fogline train``: one configuration from file and flags, plans, results, interruptions."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import Invoke

from fogline.cli.options import build_config, table_of
from fogline.core.errors import ConfigurationError
from fogline.trainers.config import TrainConfig
from fogline.trainers.learner import Learner, TrainingDiverged
from fogline.trainers.logs import read_log

torch.set_num_threads(1)

CART = ("train", "reinforce", "--env", "CartPole-v1", "--tasks-per-update", 2, "--group-size", 1)
SMALL = ("--policy", "hidden=[8]")


def trained(invoke: Invoke, out: Path, *words: object) -> dict[str, Any]:
    result = invoke(*CART, *SMALL, "--out", out, "--json", *words)
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.stdout))


def planned(invoke: Invoke, *words: object) -> dict[str, Any]:
    result = invoke(*words, "--dry-run", "--json")
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.stdout))


def test_a_run_leaves_what_it_says_and_a_second_one_goes_on(invoke: Invoke, tmp_path: Path) -> None:
    first = trained(invoke, tmp_path, "--updates", 2)
    assert (first["finished"], first["updates"], first["recipe"]) == (True, 2, "reinforce")
    assert first["evaluation"]["episodes"] == 1
    assert all(Path(first[name]).exists() for name in ("log", "checkpoint", "policy"))
    again = trained(invoke, tmp_path, "--updates", 3)
    assert (again["updates"], again["first"], again["last"]["episodes"]) == (3, first["first"], 6)
    anew = trained(invoke, tmp_path, "--updates", 1, "--no-resume")
    assert (anew["updates"], anew["last"]["episodes"]) == (1, 2)


def test_the_table_says_what_was_earned_and_where_everything_is(invoke: Invoke, tmp_path: Path) -> None:
    result = invoke(*CART, *SMALL, "--updates", 2, "--out", tmp_path, "--evaluation", "every=1")
    assert result.exit_code == 0, result.output
    first, last = read_log(tmp_path)
    line = next(line for line in result.stdout.splitlines() if line.startswith(" reward"))
    rewards = [first["train/reward"], last["train/reward"], last["evaluation/reward"]]
    assert line.split()[1:] == [f"{reward:.4g}" for reward in rewards]
    assert "2 updates, 4 episodes" in result.stdout
    assert f"Policy: {tmp_path / 'policy'}" in result.stdout


def test_flags_win_over_the_file_key_by_key(invoke: Invoke, tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text(
        'recipe = "grpo"\nenv = "CartPole-v1"\nupdates = 7\ntensorboard = true\n'
        "[learner]\nlearning_rate = 0.5\nepochs = 3\n[options]\nclip_low = 0.1\nclip_high = 0.3\n"
        '[evaluation.env_kwargs]\nsutton_barto_reward = true\nrender_mode = "rgb_array"\n'
    )
    words = ["train", "--config", file, "--learning-rate", 0.25, "-p", "clip_high=0.4", "--group-size", 4]
    config = planned(invoke, *words, "--evaluation", 'env_kwargs={"render_mode": null}', "--dtype", "float64")["config"]
    assert (config["recipe"], config["updates"], config["tensorboard"]) == ("grpo", 7, True)
    assert (config["learner"]["learning_rate"], config["learner"]["epochs"]) == (0.25, 3)
    assert config["options"] == {"clip_low": 0.1, "clip_high": 0.4}
    assert (config["rollout"]["group_size"], config["policy"]["dtype"]) == (4, "float64")
    assert config["evaluation"]["env_kwargs"] == {"sutton_barto_reward": True, "render_mode": None}


def test_every_flag_reaches_its_place_in_the_configuration(invoke: Invoke, tmp_path: Path) -> None:
    flags: dict[str, object] = {
        "--updates": 3, "--seed": 5, "--limit": 1, "--save-every": 2, "--out": tmp_path, "--tasks-per-update": 6,
    }  # fmt: skip
    words = [word for pair in flags.items() for word in pair]
    config = planned(
        invoke, "train", "reinforce", "--env", "CartPole-v1", *words, "--no-resume", "--rollout", "retries=1"
    )["config"]
    assert [config[name] for name in ("updates", "seed", "limit", "save_every", "out", "resume")] == [
        3, 5, 1, 2, str(tmp_path), False,
    ]  # fmt: skip
    assert (config["rollout"]["tasks_per_update"], config["rollout"]["retries"]) == (6, 1)


def test_a_plan_counts_and_plays_nothing(invoke: Invoke, tmp_path: Path) -> None:
    plan = planned(
        invoke, "train", "dapo", "--env", "CartPole-v1", "--updates", 5, "--tasks-per-update", 3, "--group-size", 4,
        "--learner", "epochs=2", "--learner", "minibatches=3", "--evaluation", "every=2", "--evaluation", "samples=10",
        "--policy", "hidden=[8]", "--out", tmp_path / "none",
    )  # fmt: skip
    assert (plan["groups"], plan["episodes"], plan["optimiser_steps"]) == (15, 60, 30)
    assert plan["most_episodes"] == 60 * plan["settings"]["max_generation_batches"]
    assert (plan["evaluations"], plan["evaluation_episodes"]) == (3, 30)
    assert (plan["trainable_parameters"], plan["exact"]) == (4 * 8 + 8 + 8 * 2 + 2, True)
    assert plan["paper"] == "arXiv 2503.14476"
    assert not (tmp_path / "none").exists()


def test_the_plan_of_a_tiny_model_bounds_its_parameters(invoke: Invoke, tmp_path: Path) -> None:
    tiny = ("--model", "tiny", "--policy", "layers=2", "--policy", "width=16", "--policy", "vocabulary_size=800")
    words = ("train", "reinforce", "--env", "toy_world:Toy-v0", *tiny, "--policy", "max_new_tokens=2")
    plan = planned(invoke, *words)
    assert plan["exact"] is False
    result = invoke(
        *words, "--updates", 1, "--tasks-per-update", 2, "--group-size", 1, "-k", "says=hello", "--out", tmp_path
    )
    assert result.exit_code == 0, result.output
    from safetensors.torch import load_file

    count = sum(weight.numel() for weight in load_file(tmp_path / "policy" / "model.safetensors").values())
    vocabulary = json.loads((tmp_path / "policy" / "config.json").read_text())["vocab_size"]
    assert plan["trainable_parameters"] - count == (800 - vocabulary) * 16


def test_the_plan_shows_a_file_that_gives_the_same_configuration(invoke: Invoke, tmp_path: Path) -> None:
    result = invoke(*CART, "--dry-run")
    assert result.exit_code == 0, result.output
    start = result.stdout.index("\n{\n")
    stop = result.stdout.index("\n}\n", start) + 2
    file = tmp_path / "run.json"
    file.write_text(result.stdout[start:stop])
    assert planned(invoke, "train", "--config", file) == planned(invoke, *CART)
    assert "whitened over the batch" in result.stdout
    assert "200 groups, 200 episodes" in result.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["train", "grpoo", "--env", "CartPole-v1"], "Did you mean 'grpo'"),
        (["train", "grpo", "--env", "CartPoll-v1"], "Did you mean 'CartPole"),
        (["train", "grpo"], "'env' is missing"),
        ([*CART, "-p", "clip_hgh=1"], "has no key 'clip_hgh'"),
        ([*CART, "--learner", "epoch=1"], "Did you mean 'epochs'"),
        ([*CART, "--rollout", "retries=-1"], "rollout.retries=-1 does not fit"),
        ([*CART, "--group-size", 2, "--rollout", "group_size=3"], "expected one of them"),
        ([*CART, "--model", "tiny"], "leave model out"),
        (["train", "grpo", "--env", "CartPole-v1", "--group-size", 1], "group_size=1 is too small"),
        (["train", "grpo", "--env", "toy_world:Toy-v0"], "needs model="),
    ],
    ids=str,
)  # fmt: skip
def test_bad_usage_is_refused_with_what_would_be_right(invoke: Invoke, words: list[str], said: str) -> None:
    result = invoke(*words)
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stdout == ""


def test_a_diverging_run_fails_and_says_where_the_state_is(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverge(*_: Any) -> None:
        raise TrainingDiverged("the loss is nan.")

    monkeypatch.setattr(Learner, "update", diverge)
    result = invoke(*CART, "--updates", 2, "--out", tmp_path)
    assert result.exit_code == 1
    assert (tmp_path / "checkpoints" / "diverged.pt").exists()
    assert str(tmp_path / "checkpoints" / "diverged.pt") in result.stderr.replace("\n", "")


def test_ctrl_c_ends_after_the_update_in_hand_and_the_same_command_goes_on(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "fogline.cli.main", *map(str, CART), "--updates", "100000", "--out", str(tmp_path)]
    settings = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=settings, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not read_log(tmp_path):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    output, error = process.communicate(timeout=60)
    done = len(read_log(tmp_path))
    assert (process.returncode, output) == (130, "")
    assert f"{done} of 100000 updates are in {tmp_path}" in error
    assert "the same command goes on from there" in error
    (kept,) = (tmp_path / "checkpoints").iterdir()
    assert kept.name == f"update-{done:06d}.pt"


def test_of_several_processes_one_speaks(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    launch = ["--multi_gpu", "--num_processes", "2", "--num_machines", "1", "--main_process_port", port]
    launch += ["--mixed_precision", "no", "--dynamo_backend", "no", "-m", "fogline.cli.main"]
    command = [sys.executable, "-m", "accelerate.commands.launch", *launch, *map(str, CART)]
    words = ["--updates", "1", "--out", str(tmp_path), "--json"]
    # accelerate has no other way to several processes without an accelerator.
    settings = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    result = subprocess.run([*command, *words], env=settings, capture_output=True, text=True, timeout=200)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["last"]["episodes"] == 2


def test_a_key_is_said_once() -> None:
    assert table_of(["epochs=2"], "--learner", learning_rate=None) == {"epochs": 2}
    with pytest.raises(ConfigurationError, match="--learner learning_rate=2"):
        table_of(["learning-rate=2"], "--learner", learning_rate=3.0)


def test_an_unknown_key_is_compared_with_those_of_its_own_table() -> None:
    with pytest.raises(ConfigurationError, match=r"'policy.modle' is not an option: .* Did you mean 'model'\?"):
        build_config(TrainConfig, {"recipe": "grpo", "env": "x", "policy": {"modle": "tiny"}}, {})
