"""A warm start small enough for a test, shared by the reproductions that begin with one."""

from __future__ import annotations

from pathlib import Path

import pytest
from micro_arithmetic import MICRO

from fogline.benchmarks.reproduce.cells import Cell
from fogline.benchmarks.reproduce.math_reasoning.plan import MathPlan
from fogline.benchmarks.reproduce.math_reasoning.warm_start import WARM, warm_start


@pytest.fixture(scope="session")
def warm_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The warm start of seed 0 under :data:`MICRO`."""
    folder = tmp_path_factory.mktemp("warm")
    warm_start(MathPlan(**MICRO), folder, Cell(WARM, 0))
    return folder
