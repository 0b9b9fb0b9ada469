"""Types of the fixtures that run the ``fogline`` command."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

from typer.testing import Result

Invoke = Callable[..., Result]
"""Runs the command in this process, with these words."""

Shell = Callable[..., "subprocess.CompletedProcess[str]"]
"""Runs it in a process of its own, with these words, ``stdin`` and environment variables."""
