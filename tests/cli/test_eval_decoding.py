"""``fogline eval --decoding`` as its users run it: a small model in a folder, two methods, two cells."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from fogline.agents.policies.tiny import fit_tokenizer
from fogline.agents.policies.tiny_vision import seeing_tokenizer, tiny_vision_lm
from fogline.agents.policies.vision import VisionLMPolicy
from fogline.cli.main import app

torch.set_num_threads(1)

SHORT = ("--limit", "12", "--set", "split=popular")
FEW = ("-o", "max_new_tokens=4")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("model")
    tokenizer = seeing_tokenizer(fit_tokenizer(["Is there a red cross? yes no"], vocabulary_size=128, piece_length=1))
    made = tiny_vision_lm(tokenizer, image_size=32, patch=8, width=32, context=512)
    VisionLMPolicy(made, tokenizer).save(folder)
    return str(folder)


def ran(*asked: str) -> Any:
    return CliRunner().invoke(app, ["eval", "ObjectPresence-v0", *asked])


def test_two_methods_are_two_cells_and_are_named(model: str, tmp_path: Path) -> None:
    store = str(tmp_path / "runs.db")
    reports = []
    for more in (["plain"], ["vcd"], ["vcd", "-o", "strength=0.5"]):
        result = ran(*SHORT, "--model", model, "--decoding", *more, *FEW, "--store", store, "--json")
        assert result.exit_code == 0, result.output + result.stderr
        reports.append(json.loads(result.stdout))
    assert len({report["cell_key"] for report in reports}) == 3
    assert [report["config"]["agent_options"]["decoding"] for report in reports] == ["plain", "vcd", "vcd"]
    assert {report["played"] for report in reports} == {12}
    again = ran(*SHORT, "--model", model, "--decoding", "vcd", *FEW, "--store", store, "--json")
    assert json.loads(again.stdout)["reused"] == 12
    shown = ran(*SHORT, "--model", model, "--decoding", "vcd", *FEW, "--store", store)
    for name in ("Accuracy", "Precision", "Recall", "Yes rate"):
        assert name in shown.stdout


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (["--decoding", "vdc"], "Did you mean 'vcd'"),
        (["--decoding", "pnd"], "give the option matcher=FOLDER"),
        (["--decoding", "vcd", "-o", "strenght=2"], "strenght"),
        (["--agent", "oracle", "--decoding", "vcd"], "no option 'decoding'"),
    ],
)
def test_what_cannot_be_is_bad_usage(model: str, tmp_path: Path, asked: list[str], message: str) -> None:
    more = [] if "oracle" in asked else ["--model", model]
    result = ran(*SHORT, *asked, *more, "--store", str(tmp_path / "runs.db"))
    assert result.exit_code == 2, result.output
    assert message in " ".join((result.output + result.stderr).split())


def test_without_a_model_it_says_what_is_missing(tmp_path: Path) -> None:
    result = ran(*SHORT, "--decoding", "vcd", "--store", str(tmp_path / "runs.db"))
    assert result.exit_code == 2
    assert "model" in result.output + result.stderr
