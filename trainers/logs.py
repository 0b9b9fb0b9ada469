"""What a run writes as it goes: JSON lines that survive a kill, and TensorBoard events where they are wanted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fogline.core.errors import missing_dependency

LOG = "log.jsonl"


class RunLog:
    """Appends one JSON object per update.

    Args:
        folder: Of the run.
        after: Rows of later updates are dropped: they were written by a run that did not reach a checkpoint.
        tensorboard: Also write events, readable by TensorBoard.
    """

    def __init__(self, folder: Path, after: int, tensorboard: bool = False) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / LOG
        kept = [row for row in read_log(folder) if row["update"] <= after]
        half = self.path.with_suffix(".part")
        half.write_text("".join(json.dumps(row) + "\n" for row in kept), "utf-8")
        half.replace(self.path)
        self._file = self.path.open("a", encoding="utf-8")
        self._events = _events(folder, after) if tensorboard else None

    def write(self, row: Mapping[str, Any]) -> None:
        """Append a row; ``update`` says when."""
        self._file.write(json.dumps(dict(row)) + "\n")
        self._file.flush()
        if self._events is not None:
            for name, value in row.items():
                if isinstance(value, int | float) and name != "update":
                    self._events.add_scalar(name, value, int(row["update"]))

    def close(self) -> None:
        """Close the files."""
        self._file.close()
        if self._events is not None:
            self._events.close()


def read_log(folder: Path) -> list[dict[str, Any]]:
    """Rows of a run so far; a last line that a kill cut short is left out."""
    path = folder / LOG
    if not path.exists():
        return []
    rows = []
    for line in path.read_text("utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            break
    return rows


def _events(folder: Path, after: int) -> Any:
    try:
        from tensorboardX import SummaryWriter
    except ImportError as error:
        raise missing_dependency("tensorboardX", "train") from error
    return SummaryWriter(str(folder / "events"), purge_step=after + 1)
