"""``fogline eval --decoding`` as its users run it: a small model in a folder, two methods, two cells."""

from __future__ import annotations

import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from fogline.agents.decoding import DECODERS
from fogline.agents.policies.language import CausalLMPolicy
from fogline.agents.policies.tiny import fit_tokenizer, tiny_causal_lm
from fogline.agents.policies.tiny_vision import seeing_tokenizer, tiny_vision_lm
from fogline.agents.policies.vision import VisionLMPolicy
from fogline.cli.main import app

torch.set_num_threads(1)

SHORT = ("--limit", "12", "--set", "split=popular")
FEW = ("-o", "max_new_tokens=4")


@cache
def tokenizer() -> Any:
    return seeing_tokenizer(fit_tokenizer(["Is there a red cross? yes no"], vocabulary_size=128, piece_length=1))


def tiny_model(seed: int = 0) -> Any:
    return tiny_vision_lm(tokenizer(), image_size=32, patch=8, width=32, context=512, seed=seed)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("model")
    VisionLMPolicy(tiny_model(), tokenizer()).save(folder)
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
    for name in ("Accuracy", "Precision", "Recall", "F1", "Yes rate"):
        assert name in shown.stdout
    title = " ".join(shown.stdout.split())
    assert title.startswith("ObjectPresence-v0 (split=popular) · vision, vcd (max_new_tokens=4) · 12 tasks")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (["--decoding", "vdc"], "Did you mean 'vcd'"),
        (["--decoding", "pnd"], "give the option matcher=FOLDER"),
        (["--decoding", "vcd", "-o", "strenght=2"], "strenght"),
        (["--decoding", "vdc", "--dry-run"], "Did you mean 'vcd'"),
        (["--decoding", "pnd", "-o", "saliency=oracle"], "choose 'attention' or 'matcher'"),
        (["--decoding", "opera", "-o", "greedy=false"], "leave greedy=false out"),
        (["--agent", "oracle", "--decoding", "vcd"], "only a model that sees is decoded. Leave --agent out"),
        (["--agent", "chat", "--decoding", "vcd"], "only a model that sees is decoded. Leave --agent out"),
    ],
)
def test_what_cannot_be_is_bad_usage(model: str, tmp_path: Path, asked: list[str], message: str) -> None:
    result = ran(*SHORT, *asked, "--model", model, "--store", str(tmp_path / "runs.db"))
    assert result.exit_code == 2, result.output
    assert message in " ".join((result.output + result.stderr).split())


def test_other_weights_in_the_folder_are_another_cell(model: str, tmp_path: Path) -> None:
    folder, store = tmp_path / "model", str(tmp_path / "runs.db")
    shutil.copytree(model, folder)
    words = (*SHORT, "--limit", "2", "--model", str(folder), "--decoding", "plain", *FEW, "--store", store, "--json")
    before = json.loads(ran(*words).stdout)
    assert json.loads(ran(*words).stdout)["reused"] == 2
    VisionLMPolicy(tiny_model(seed=5), tokenizer()).save(folder)
    after = json.loads(ran(*words).stdout)
    assert (after["played"], after["reused"]) == (2, 0) and after["cell_key"] != before["cell_key"]


def test_a_world_without_pictures_is_refused_before_it_is_played(model: str, tmp_path: Path) -> None:
    words = ["eval", "MathReasoning-v0", "--model", model, "--decoding", "plain", "--store", str(tmp_path / "runs.db")]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2
    assert "answers questions about pictures, and 'MathReasoning-v0' shows none" in result.stderr


def test_a_model_that_does_not_see_is_refused(tmp_path: Path) -> None:
    words = fit_tokenizer(["yes no"], vocabulary_size=128, piece_length=1)
    CausalLMPolicy(tiny_causal_lm(words, layers=1, width=16, heads=1, induction=False), words).save(tmp_path)
    result = ran(*SHORT, "--model", str(tmp_path), "--decoding", "plain", "--store", str(tmp_path / "runs.db"))
    assert result.exit_code == 2
    assert "no processor can be loaded" in result.stderr or "has no image processor" in result.stderr


def test_the_help_names_every_method_and_shows_how() -> None:
    text = " ".join(CliRunner().invoke(app, ["eval", "--help"], env={"COLUMNS": "160"}).stdout.split())
    assert [name for name in DECODERS if name not in text] == []
    assert "fogline eval ObjectPresence-v0 --model FOLDER --decoding pnd -o saliency=attention" in text


def test_without_a_model_it_says_what_is_missing(tmp_path: Path) -> None:
    result = ran(*SHORT, "--decoding", "vcd", "--store", str(tmp_path / "runs.db"))
    assert result.exit_code == 2
    assert "model" in result.output + result.stderr
