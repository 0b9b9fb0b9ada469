"""Policies are trained, tested on strangers, kept, and found again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from fogline.benchmarks.customers import matrix
from fogline.benchmarks.customers.config import ValidationConfig
from fogline.benchmarks.customers.matrix import Matrix, matrix_tables, run_matrix
from fogline.benchmarks.customers.sessions import assignments, play
from fogline.benchmarks.customers.validation import load_policy
from fogline.benchmarks.reproduce.cells import Cell, CellFunction, CellResult
from fogline.core.errors import DataError

VARIANTS = ("default", "impulsive")


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ValidationConfig:
    """A matrix of two variants with one policy each, which learns from one small batch, in this process."""

    def here(cells: Sequence[Cell], function: CellFunction, *_: Any, **__: Any) -> list[CellResult]:
        done = []
        for cell in cells:
            try:
                done.append(CellResult(*cell, "done", function(cell)))
            except ValueError as error:
                done.append(CellResult(*cell, "failed", error=f"Traceback\n{type(error).__name__}: {error}"))
        return done

    monkeypatch.setattr(matrix, "run_cells", here)
    monkeypatch.setattr(matrix, "TASKS_PER_UPDATE", 2)
    monkeypatch.setattr(matrix, "GROUP_SIZE", 2)
    return ValidationConfig(
        quick=True, sessions=10, matrix_variants=VARIANTS, matrix_updates=1, matrix_seeds=1, runs=str(tmp_path)
    )


def nobody(done: int, total: int, note: str) -> None:
    pass


def test_every_policy_and_seller_calls_every_variant(small: ValidationConfig) -> None:
    made: Matrix = run_matrix(small, nobody)
    everyone: list[Mapping[str, Any]] = [
        *made.sellers.values(),
        *(one for own in made.policies.values() for one in own),
    ]
    assert (list(made.sellers), list(made.policies)) == (["random-acts", "scripted"], list(VARIANTS))
    assert len(everyone) == 4
    for fared in everyone:
        assert list(fared) == list(VARIANTS)
        for on in VARIANTS:
            assert fared[on]["keys"] == [list(item) for item in assignments(small, 10)]
            assert len(fared[on]["converted"]) == fared[on]["planned"] == 10
    assert [line.labels[0] for line in matrix_tables(made)[0].lines][2:] == ["duca on default", "duca on impulsive"]
    assert made.failures == []


def test_a_trained_policy_is_loaded_and_sells_as_it_did(small: ValidationConfig) -> None:
    fared = matrix.sell(Cell("default", 100), small)["fared"]["default"]
    folder = small.policies_folder / "default-100" / "policy"
    policy = load_policy(small.model_copy(update={"policy": str(folder)}))
    calls = play(small, policy, assignments(small, 10), actions="acts")
    assert policy.greedy
    assert [int(session.converted) for session in calls] == fared["converted"]
    assert [session.repetition for session in calls] == fared["repetition"]
    with pytest.raises(DataError, match="holds no"):
        load_policy(small.model_copy(update={"policy": str(folder.parent)}))


def test_a_policy_that_cannot_be_trained_is_told_and_leaves_a_gap(
    small: ValidationConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matrix, "OPTIONS", {"no_such_setting": 1})
    made = run_matrix(small, nobody)
    assert len(made.failures) == 2
    assert made.failures[0].startswith("default, seed 100: ConfigurationError: recipe 'duca' has no key")
    assert made.policies == {"default": [], "impulsive": []}
    assert matrix_tables(made)[0].number(["duca on default"], "default").value is None
    assert matrix_tables(made)[0].number(["scripted"], "default").value is not None
