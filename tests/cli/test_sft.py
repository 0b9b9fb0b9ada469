"""``fogline sft``: demonstrations, lessons, and a policy that other commands take."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import Invoke

from fogline.trainers.logs import read_log

torch.set_num_threads(1)

TINY = ("--policy", "layers=2", "--policy", "width=16", "--policy", "heads=2", "--policy", "max_new_tokens=4")
TOY = ("sft", "--env", "toy_world:Toy-v0", "--agent", "toy_world:Guesser", "-k", "says=hello", *TINY)


def taught(invoke: Invoke, out: Path, *words: object) -> dict[str, Any]:
    result = invoke(*TOY, "--out", out, "--json", *words)
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.stdout))


def test_what_earned_too_little_is_left_out(invoke: Invoke, tmp_path: Path) -> None:
    everything = taught(invoke, tmp_path / "all", "--least-reward", 0, "--epochs", 1, "--rows", 4)
    assert (everything["demonstrations"], everything["kept"], everything["updates"]) == (6, 6, 2)
    won = taught(invoke, tmp_path / "won", "--epochs", 1, "--samples", 4)
    assert won["demonstrations"] == 24
    assert 0 < won["kept"] < 24


def test_a_pupil_learns_the_word_and_other_commands_take_its_folder(invoke: Invoke, tmp_path: Path) -> None:
    words = ("--least-reward", 0, "--epochs", 30, "--rows", 6, "--learning-rate", 0.02)
    report = taught(invoke, tmp_path, *words, "--evaluation", "limit=2")
    assert report["last"]["loss"] < 0.1 < report["first"]["loss"]
    assert report["evaluation"]["episodes"] == 2
    assert json.loads((tmp_path / "evaluation.json").read_text()) == report["evaluation"]
    rows = read_log(tmp_path)
    assert taught(invoke, tmp_path, *words)["last"] == rows[-1]
    on = invoke(
        "train", "grpo", "--env", "toy_world:Toy-v0", "-k", "says=hello", "--model", report["policy"], "--updates", 1,
        "--tasks-per-update", 2, "--group-size", 2, "--policy", "max_new_tokens=4", "--out", tmp_path / "on", "--json",
    )  # fmt: skip
    assert on.exit_code == 0, on.output
    from fogline.agents.collector import collect_all
    from fogline.agents.environments import make_environment
    from fogline.agents.policies.language import CausalLMPolicy
    from fogline.agents.rollout import Assignment

    pupil = CausalLMPolicy(report["policy"], max_new_tokens=4)
    pupil.greedy = True
    played = collect_all(
        lambda: make_environment("toy_world:Toy-v0", {"says": "hello"}), pupil, [Assignment("toy-0", 0)]
    )
    assert [turn.action for turn in played[0].turns] == ["yes", "yes"]


def test_a_plan_counts_and_plays_nothing(invoke: Invoke, tmp_path: Path) -> None:
    result = invoke(*TOY, "--samples", 3, "--rows", 4, "--out", tmp_path / "none", "--dry-run", "--json")
    plan = json.loads(result.stdout)
    assert (plan["tasks"], plan["demonstrations"], plan["most_steps"]) == (6, 18, 10)
    assert (plan["evaluation_episodes"], plan["exact"]) == (6, False)
    assert not (tmp_path / "none").exists()
    shown = invoke(*TOY, "--dry-run").stdout
    assert "6 demonstrations of 6 tasks by toy_world:Guesser" in shown


def test_a_policy_table_without_a_model_teaches_the_default_one(invoke: Invoke, tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    file.write_text(json.dumps({"env": "toy_world:Toy-v0", "agent": "random", "policy": {"layers": 2}}))
    plan = json.loads(invoke("sft", "--config", file, "--dry-run", "--json").stdout)
    assert (plan["config"]["policy"]["model"], plan["config"]["policy"]["layers"]) == ("tiny", 2)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["sft", "--env", "CartPole-v1", "--agent", "random"], "actions that are no text"),
        (["sft", "--env", "toy_world:Toy-v0"], "agent='oracle' is unknown"),
        ([*TOY, "--least-reward", 99], "lower least_reward"),
        ([*TOY, "--least-reward", 0, "--policy", "max_context=8"], "--policy max_context="),
        ([*TOY, "--learner", "epochs=2", "--least-reward", 0], "passes over the demonstrations"),
        ([*TOY, "--policy", "model=null"], "nothing to fine-tune"),
    ],
    ids=str,
)
def test_bad_usage_is_refused_with_what_would_be_right(
    invoke: Invoke, tmp_path: Path, words: list[str], said: str
) -> None:
    result = invoke(*words, "--out", tmp_path)
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())
