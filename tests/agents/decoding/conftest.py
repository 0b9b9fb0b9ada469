"""Puts the helper module of these tests on the path; one small model per family for the whole run."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.insert(0, str(Path(__file__).parent))

if TYPE_CHECKING:
    from small_families import World


@pytest.fixture(scope="session")
def world() -> Callable[[str], World]:
    """A family's small model with two prompts, built once."""
    import torch
    from small_families import build

    torch.set_num_threads(1)
    return lru_cache(maxsize=None)(build)
