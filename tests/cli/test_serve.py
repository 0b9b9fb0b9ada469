"""``fogline serve`` as a newcomer runs it: a server in a process of its own, trained by and interrupted."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from fogline.agents.policies.language import CausalLMPolicy
from fogline.agents.policies.tiny import fit_tokenizer, tiny_causal_lm
from fogline.cli.main import app


def saved(folder: Path) -> str:
    tokenizer = fit_tokenizer(["7+5=12", "9-4=5"], vocabulary_size=128, piece_length=1)
    CausalLMPolicy(tiny_causal_lm(tokenizer, layers=2, width=32, context=512), tokenizer).save(folder)
    return str(folder)


def trained(model: str, out: Path, *more: str) -> Any:
    asked = [
        *("train", "grpo", "--env", "MathReasoning-v0", "--set", "prompt=short", "--model", model, "--updates", "1"),
        *("--tasks-per-update", "2", "--group-size", "2", "--policy", "max_new_tokens=4", "--out", str(out), "--json"),
    ]
    result = CliRunner().invoke(app, [*asked, *more])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_a_policy_is_trained_by_it_until_it_is_interrupted(tmp_path: Path) -> None:
    model = saved(tmp_path / "model")
    command = [sys.executable, "-m", "fogline.cli.main", "serve", model, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            found = re.search(r"http://[0-9.:]+", line)
            assert found is not None, line
            served = trained(model, tmp_path / "served", "--policy", f"server={found[0]}")
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 130
    local = trained(model, tmp_path / "local")
    assert served["first"]["train/reward"] == local["first"]["train/reward"]


def test_where_nothing_samples_it_says_so(tmp_path: Path) -> None:
    model = saved(tmp_path / "model")
    result = CliRunner().invoke(
        app,
        ["train", "grpo", "--env", "MathReasoning-v0", "--model", model, "--policy", "server=http://127.0.0.1:9"],
    )
    assert result.exit_code == 1
    assert "nothing answers at http://127.0.0.1:9" in " ".join((result.output + result.stderr).split())
