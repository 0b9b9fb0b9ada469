from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
EXTRAS = {
    "trl": ("trl", "bridge.reward_function('MathReasoning-v0')"),
    "datasets": ("datasets", "bridge.dataset_of([])"),
    "skyrl": ("skyrl_gym", ""),
    "stable_baselines3": ("stable_baselines3", ""),
    "openenv": ("openenv", ""),
    "verifiers": ("verifiers", ""),
}
"""For each bridge its peer's package, and what asks for it where importing the bridge does not."""


@pytest.mark.parametrize("bridge", EXTRAS)
def test_a_missing_peer_is_named_with_the_extra_that_brings_it(bridge: str) -> None:
    package, use = EXTRAS[bridge]
    code = f"""
import sys
sys.modules[{package!r}] = None
from fogline.core.errors import MissingDependencyError
try:
    import fogline.trainers.bridges.{bridge} as bridge
    {use or "pass"}
except MissingDependencyError as error:
    print(error)
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    extra = said.split("fogline[")[1].split("]")[0]
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert any(item.replace("-", "_").startswith(package) for item in wanted[extra])


def test_the_package_of_bridges_loads_no_peer() -> None:
    code = "import sys, fogline.trainers.bridges.session; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert set(loaded) & {package for package, _ in EXTRAS.values()} == set()
