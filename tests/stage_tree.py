"""Copy the packages of pyproject.toml into plain folders: ``python tests/stage_tree.py build/tree``.

The namespace mapping of setuptools hides the layout from static tools; mypy, import-linter and the
documentation read the staged tree instead.
"""

from __future__ import annotations

import shutil
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def stage(target: Path) -> int:
    """Copy every listed package to ``target``; return how many files were copied."""
    setup = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    shutil.rmtree(target, ignore_errors=True)
    copied = 0
    for package in setup["packages"]:
        _, *folders = package.split(".")
        source, destination = ROOT.joinpath(*folders), target.joinpath("fogline", *folders)
        destination.mkdir(parents=True)
        patterns = ["*.py", "py.typed", *setup["package-data"].get(package, [])]
        for file in sorted({path for pattern in patterns for path in source.glob(pattern) if path.is_file()}):
            place = destination / file.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, place)
            copied += 1
    return copied


if __name__ == "__main__":
    print(f"{stage(Path(sys.argv[1]))} files staged in {sys.argv[1]}")
