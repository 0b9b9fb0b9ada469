"""``fogline reproduce``: a toy system, run again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import Invoke
from typer.testing import Result

from fogline.benchmarks import reproduce
from fogline.benchmarks.reproduce import ReproduceConfig
from fogline.benchmarks.reproduce.results import Results

Run = Callable[..., Result]


@pytest.fixture
def run(invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the toy system in a folder of its own."""
    monkeypatch.setattr(reproduce, "REPRODUCTIONS", {"toy": "toy_cells:reproduce"})
    monkeypatch.chdir(tmp_path)
    return lambda *words: invoke("reproduce", *words)


def test_the_result_is_written_shown_and_resumed(run: Run) -> None:
    first = run("toy", "--json")
    assert first.exit_code == 0, first.output
    written = json.loads(Path("docs/results/toy.json").read_text())
    assert json.loads(first.stdout) == written
    assert written["comparisons"][0]["verdict"] == "same direction"
    assert written["comparisons"][0]["ci95"] == [1.0, 1.0]
    assert {"python", "fogline"} <= set(written["versions"])
    assert "## Comparisons" in Path("docs/results/toy.md").read_text()
    cells = {path: path.stat().st_mtime_ns for path in Path("runs/reproduce/toy").glob("*-seed-*.json")}
    again = run("toy")
    assert again.exit_code == 0, again.output
    assert "same direction" in again.stdout
    assert {path: path.stat().st_mtime_ns for path in cells} == cells
    assert len(cells) == 6
    assert (
        Results.model_validate_json(Path("docs/results/toy.json").read_text()).wall_clock_s
        > written["wall_clock_s"] / 2
    )


def test_not_shown_is_a_result_and_a_quick_one_replaces_no_full_one(run: Run) -> None:
    result = run("toy", "--quick", "--workers", 1, "--out", "here")
    assert result.exit_code == 0, result.output
    assert "not shown" in result.stdout
    assert Path("here/toy.md").exists()
    assert ReproduceConfig(name="toy", quick=True).results_folder == Path("runs/results")
    assert ReproduceConfig(name="toy").results_folder == Path("docs/results")


def test_a_cell_that_fails_is_in_the_result_and_in_the_exit_status(run: Run) -> None:
    result = run("toy", "--seeds", "13", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["failures"] == [
        {"arm": "broken", "seed": 13, "error": "ValueError: seed 13 is unlucky"}
    ]
    assert "broken, seed 13: ValueError" in result.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["tou"], "expected one of 'toy'. Did you mean 'toy'?"),
        (["toy", "--seeds", "1,b"], "--seeds '1,b': expected whole numbers"),
        (["toy", "--workers", 0], "workers=0 does not fit"),
    ],
    ids=str,
)
def test_bad_usage_is_refused(run: Run, words: list[str], said: str) -> None:
    result = run(*words)
    assert result.exit_code == 2
    assert said in result.stderr
