from __future__ import annotations

import contextlib
import io
import itertools
import re
import shlex
from pathlib import Path

import pytest

README = (Path(__file__).resolve().parent.parent / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
COMMANDS = [line[2:] for kind, body in BLOCKS if not kind for line in body.splitlines() if line.startswith("$ fogline")]


def test_the_python_blocks_print_what_stands_below_them() -> None:
    names: dict[str, object] = {}
    compared = 0
    for (kind, body), (_, expected) in itertools.pairwise(BLOCKS):
        if kind == "python":
            shown = io.StringIO()
            with contextlib.redirect_stdout(shown):
                exec(body, names)
            assert shown.getvalue() == expected
            compared += 1
    names["env"].close()  # type: ignore[attr-defined]
    assert compared == 4


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_succeed(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from typer.testing import CliRunner

    from fogline.cli.main import app

    monkeypatch.chdir(tmp_path)
    _, *words = shlex.split(command)
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
