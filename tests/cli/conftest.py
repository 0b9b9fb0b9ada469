"""How the command is run: in this process through typer, and in a shell of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from commands import Invoke, Shell
from typer.testing import CliRunner

SUPPORT = Path(__file__).parents[1] / "support"


@pytest.fixture
def invoke(monkeypatch: pytest.MonkeyPatch) -> Invoke:
    """Run the command in this process."""
    from fogline.cli.main import app

    monkeypatch.setenv("COLUMNS", "120")
    return lambda *words: CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def shell() -> Shell:
    """Run the command in a process of its own, in the folder of the toy world."""

    def run(*words: object, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        command = [str(Path(sys.executable).with_name("fogline")), *map(str, words)]
        settings = {**os.environ, "COLUMNS": "120", **environment}
        return subprocess.run(
            command,
            cwd=SUPPORT,
            env=settings,
            input=stdin,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=120,
        )

    return run
