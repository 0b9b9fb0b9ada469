"""A run's whole state in one file: weights, optimiser, random numbers, prompt statistics, place in the task stream."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from fogline.core.errors import ConfigurationError, DataError

FORMAT = 1
_NAME = re.compile(r"update-(\d{6})\.pt")


def save_checkpoint(folder: Path, update: int, state: Mapping[str, Any], keep: int = 2, name: str = "") -> Path:
    """Write a state; a kill leaves either the old files or the new one, never half of it.

    Args:
        folder: Where checkpoints are.
        update: Updates that are done.
        state: Tensors, numbers, texts and containers of them.
        keep: Older checkpoints than the last so many are removed.
        name: File name; by the update where empty. A named file is never removed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / (name or f"update-{update:06d}.pt")
    half = path.with_suffix(".part")
    torch.save({"format": FORMAT, "update": update, **state}, half)
    with half.open("rb") as file:
        os.fsync(file.fileno())
    half.replace(path)
    for old in checkpoints(folder)[:-keep]:
        old.unlink()
    return path


def checkpoints(folder: Path) -> list[Path]:
    """Checkpoints of a folder, the oldest first."""
    return sorted(path for path in folder.glob("update-*.pt") if _NAME.fullmatch(path.name))


def forget_checkpoints(folder: Path) -> None:
    """Remove the checkpoints of a run that is started anew: theirs must not be taken for the new run's."""
    for path in checkpoints(folder):
        path.unlink()


def load_checkpoint(path: Path, recipe: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Read a state that was saved under the same recipe.

    Args:
        path: The file.
        recipe: Name of the method.
        settings: What must be as it was: the method's options, environment and seed.

    Raises:
        DataError: It is no checkpoint of ours.
        ConfigurationError: It belongs to another recipe, or was trained with other settings.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise DataError(f"{str(path)!r} is not a checkpoint ({error}): expected a file that training wrote.") from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise DataError(f"{str(path)!r} is not a checkpoint of format {FORMAT}: expected a file that training wrote.")
    if state["recipe"] != recipe:
        raise ConfigurationError(
            f"the checkpoint {str(path)!r} is of recipe {state['recipe']!r}, not {recipe!r}: train that recipe, choose "
            "another folder with out=, or start anew with resume=False."
        )
    trained = {**state["options"], "env": state.get("env"), "seed": state.get("seed")}
    differing = sorted(name for name in settings if trained.get(name) != settings[name])
    if differing:
        name = differing[0]
        raise ConfigurationError(
            f"the checkpoint {str(path)!r} was trained with {name}={trained.get(name)!r}, not {settings[name]!r}: use "
            "the same settings, another folder with out=, or resume=False."
        )
    return state
