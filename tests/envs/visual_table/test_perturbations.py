"""What is spoilt of a gold trace does not hold, and nothing else is touched."""

from __future__ import annotations

import numpy as np
import pytest

from fogline.core.errors import ConfigurationError
from fogline.envs.visual_table.perturbations import (
    DELETED,
    KINDS,
    WRONG_ARITHMETIC,
    WRONG_COLUMN,
    WRONG_ROW,
    WRONG_VALUE,
    perturb,
)
from fogline.envs.visual_table.process import check, step_validity
from fogline.simulators.tables.records import Cell, TableTask
from fogline.simulators.tables.sources import load_tables

TASKS = list(load_tables(tasks_per_level=30, size="tiny"))


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_fault_is_where_it_says_and_the_score_falls(kind: str) -> None:
    spoilt = [(task, perturb(task, kind, np.random.default_rng(number))) for number, task in enumerate(TASKS)]
    found = [(task, item) for task, item in spoilt if item is not None]
    assert len(found) > 20
    for task, item in found:
        valid = step_validity(task.table, item.steps)
        assert not valid[item.place]
        assert all(valid[: item.place])
        assert check(task.table, item.steps, task.steps).score < 1 == check(task.table, task.steps, task.steps).score


def changed(task: TableTask, kind: str) -> list[tuple[object, object]]:
    item = perturb(task, kind, np.random.default_rng(0))
    assert item is not None
    return [pair for pair in zip(task.steps, item.steps, strict=True) if pair[0] != pair[1]]


def test_what_each_kind_changes() -> None:
    (task,) = load_tables(level=2, kinds=("sum",), tasks_per_level=1, size="tiny")
    for kind, same in ((WRONG_ROW, "column"), (WRONG_COLUMN, "row")):
        ((before, after),) = changed(task, kind)
        assert isinstance(before.anchor, Cell) and isinstance(after.anchor, Cell)  # type: ignore[attr-defined]
        assert getattr(before.anchor, same) == getattr(after.anchor, same)  # type: ignore[attr-defined]
    ((before, after),) = changed(task, WRONG_VALUE)
    assert (before.anchor, before.kind) == (after.anchor, "read") and before.value != after.value  # type: ignore[attr-defined]
    ((before, after),) = changed(task, WRONG_ARITHMETIC)
    assert before.operands == after.operands and before.value != after.value  # type: ignore[attr-defined]
    item = perturb(task, DELETED, np.random.default_rng(0))
    assert item is not None
    assert len(item.steps) == len(task.steps) - 1
    assert item.steps[item.place].kind == "calc"


def test_where_there_is_no_room_there_is_nothing() -> None:
    (lookup,) = load_tables(level=1, tasks_per_level=1, size="tiny")
    rng = np.random.default_rng(0)
    assert perturb(lookup, WRONG_ARITHMETIC, rng) is None
    assert perturb(lookup, DELETED, rng) is None
    with pytest.raises(ConfigurationError, match="wrong row"):
        perturb(lookup, "wrong rows", rng)


def test_the_seed_decides() -> None:
    (task,) = load_tables(level=3, kinds=("argmax",), tasks_per_level=1, size="tiny")
    drawn = [perturb(task, WRONG_ROW, np.random.default_rng(seed)) for seed in range(20)]
    assert drawn == [perturb(task, WRONG_ROW, np.random.default_rng(seed)) for seed in range(20)]
    assert len(set(drawn)) > 5
