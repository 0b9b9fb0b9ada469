from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fogline.core.errors import ConfigurationError, DataError
from fogline.envs.math_reasoning.sources import load_problems
from fogline.envs.math_reasoning.statistics import DifficultyStatistics, rate_of

TASKS = load_problems("arithmetic", difficulty=[1, 2], tasks_per_level=3)
ONE, TWO = next(iter(TASKS.tasks)), list(TASKS.tasks)[-1]


def test_counts_run_and_rates_are_their_quotients() -> None:
    statistics = DifficultyStatistics(TASKS)
    for correct in (True, False, True, True):
        statistics.note(ONE, correct)
    statistics.add({TWO: 6}, {TWO: 0})
    assert statistics.of_task(ONE)[:3] == (4, 3, 0.75)
    assert statistics.of_task(TWO)[:3] == (6, 0, 0.0)
    assert statistics.of_task(list(TASKS.tasks)[1]) == (0, 0, None, 0.0, 1.0)
    assert {level: rate[:3] for level, rate in statistics.by_level().items()} == {1: (4, 3, 0.75), 2: (6, 0, 0.0)}


@given(st.integers(1, 500), st.data())
def test_the_interval_holds_the_rates_that_a_score_test_does_not_refuse(trials: int, data: st.DataObject) -> None:
    correct = data.draw(st.integers(0, trials))
    rate = rate_of(correct, trials)
    assert 0 <= rate.low <= correct / trials <= rate.high <= 1
    for end in (rate.low, rate.high):
        if 0 < end < 1:
            z = (correct / trials - end) / np.sqrt(end * (1 - end) / trials)
            assert abs(z) == pytest.approx(1.959963984540054, rel=1e-6)


def test_what_was_saved_goes_on_where_it_was(tmp_path: Path) -> None:
    statistics = DifficultyStatistics(TASKS)
    statistics.add({ONE: 8, TWO: 2}, {ONE: 5})
    statistics.save(tmp_path / "rates.json")
    again = DifficultyStatistics.load(
        tmp_path / "rates.json", load_problems("arithmetic", difficulty=[1, 2], tasks_per_level=3)
    )
    assert (again.trials, again.correct) == (statistics.trials, statistics.correct)
    again.note(ONE, False)
    assert again.of_task(ONE)[:2] == (9, 5)


def test_counts_of_another_set_are_refused(tmp_path: Path) -> None:
    DifficultyStatistics(TASKS).save(tmp_path / "rates.json")
    for other in (
        load_problems("arithmetic", difficulty=[1, 2], tasks_per_level=4),
        load_problems("arithmetic", difficulty=[1, 2], tasks_per_level=3, split="test"),
        load_problems("words", difficulty=[1, 2], tasks_per_level=3),
    ):
        with pytest.raises(ConfigurationError, match="counts another set of problems"):
            DifficultyStatistics.load(tmp_path / "rates.json", other)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "x", "tasks": "y", "trials": {}, "correct": {}}'])
def test_a_file_of_something_else_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "rates.json").write_text(text)
    with pytest.raises(DataError, match=r"rates\.json"):
        DifficultyStatistics.load(tmp_path / "rates.json", TASKS)
    with pytest.raises(DataError, match="cannot be read"):
        DifficultyStatistics.load(tmp_path / "none.json", TASKS)


def test_counts_that_cannot_be_are_refused(tmp_path: Path) -> None:
    statistics = DifficultyStatistics(TASKS)
    for trials, correct in (({ONE: 1}, {ONE: 2}), ({"arithmetic-09-0000": 1}, {}), ({ONE: 1}, {ONE: -1})):
        with pytest.raises(ConfigurationError, match="expected a problem of 'arithmetic'"):
            statistics.add(trials, correct)
    assert statistics.trials == {}
    statistics.save(tmp_path / "rates.json")
    stored = json.loads((tmp_path / "rates.json").read_text())
    (tmp_path / "rates.json").write_text(json.dumps(stored | {"trials": {ONE: 0.5}}))
    with pytest.raises(DataError):
        DifficultyStatistics.load(tmp_path / "rates.json", TASKS)
