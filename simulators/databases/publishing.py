"""Folders of generated files that are there in full or not at all."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path


def publish(folder: Path, build: Callable[[Path], object]) -> None:
    """Have ``build`` fill a folder beside the final place, then rename it.

    Args:
        folder: The final place. Where another process was faster, its content stands.
        build: Writes the files into the folder that it is given.

    Raises:
        OSError: When the files cannot be written or the folder cannot be moved.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    workshop = Path(tempfile.mkdtemp(prefix=".building-", dir=folder.parent))
    try:
        build(workshop)
        # mkdtemp makes a private folder; a cache may be shared by a group.
        workshop.chmod(0o755)
        try:
            workshop.rename(folder)
        except OSError:
            if not folder.exists():
                raise
    finally:
        if workshop.exists():
            shutil.rmtree(workshop)


def file_digest(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
