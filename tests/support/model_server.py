"""`transformers serve` on loopback, for tests that need a real model server."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from requirement import unavailable

NEEDED = ("torch", "transformers", "tokenizers", "fastapi", "uvicorn", "accelerate", "psutil")
START_S = 180.0


def require_server() -> None:
    """Skip where the server's packages are missing, unless the run demands it."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        reason = f"no model server: {', '.join(missing)} not installed (pip install 'transformers[serving]')"
        unavailable("model-server", reason)


@contextmanager
def model_server(folder: Path) -> Iterator[str]:
    """Serve whatever local checkpoints are asked for; yields the address up to ``/v1``."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = Path(sysconfig.get_path("scripts")) / "transformers"
    command = [sys.executable, str(program), "serve", "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    # One thread is the fastest for models of this size.
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "hub"), "OMP_NUM_THREADS": "1"}
    log = folder / "server.log"
    with log.open("wb") as file:
        process = subprocess.Popen(command, env=environment, stdout=file, stderr=subprocess.STDOUT)
    try:
        _wait_until_healthy(process, f"http://127.0.0.1:{port}", log)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_healthy(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            pytest.fail(f"the server ended with status {process.returncode}:\n{log.read_text()[-2000:]}")
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    pytest.fail(f"the server was not up after {START_S:g} s:\n{log.read_text()[-2000:]}")
