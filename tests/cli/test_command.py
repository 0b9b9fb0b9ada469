"""The ``fogline`` command as a whole."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from commands import Invoke, Shell

from fogline.cli.main import COMMANDS

HEAVY = (
    "torch",
    "transformers",
    "openai",
    "sqlalchemy",
    "duckdb",
    "sqlglot",
    "pandas",
    "numpy",
    "gymnasium",
    "ray",
    "plotly",
)

_LIST_MODULES = """
import sys
from fogline.cli.main import app
sys.argv = ["fogline", *{words!r}]
try:
    app()
except SystemExit as stop:
    assert not stop.code, stop.code
import json
print("\\n" + json.dumps(sorted(name for name in {heavy!r} if name in sys.modules)))
"""


@pytest.mark.parametrize(
    "words", [["--help"], ["--version"], *[[name, "--help"] for name, _ in COMMANDS]], ids=" ".join
)
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    script = _LIST_MODULES.format(words=words, heavy=HEAVY)
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout.splitlines()[-1]) == []


@pytest.mark.parametrize("name", [name for name, _ in COMMANDS])
def test_every_command_has_help_with_an_example(invoke: Invoke, name: str) -> None:
    result = invoke(name, "--help")
    assert result.exit_code == 0
    assert f"Example: fogline {name}" in result.stdout


def test_the_help_of_eval_states_the_real_defaults(invoke: Invoke) -> None:
    from fogline.benchmarks.evaluation import EvalConfig

    text = " ".join(invoke("eval", "--help").stdout.replace("│", " ").split())
    fields = EvalConfig.model_fields
    for name in ("samples", "seed", "concurrency", "engine", "retries", "store"):
        assert f"(default: {fields[name].default})" in text
    assert fields["resume"].default is True
    assert "(default: resume)" in text


def test_no_command_shows_help_and_an_unknown_one_is_refused(shell: Shell) -> None:
    assert "Commands" in shell().stdout
    unknown = shell("evla")
    assert unknown.returncode == 2
    assert "eval" in unknown.stderr
