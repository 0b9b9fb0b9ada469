"""The run store in bulk: many cells and their episodes at once are stored as one by one they would be."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from fogline.core.episode import Episode, Failure, Status, Turn
from fogline.core.errors import DataError
from fogline.core.store import RunStore, StoreError, cell_key, runs

CONFIGS = [{"size": size} for size in (2, 5, 10)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RunStore]:
    with RunStore(tmp_path / "runs.db") as opened:
        yield opened


def episode(task: str = "t", seed: int = 0, status: Status = "terminated") -> Episode:
    failure = Failure("RateLimited", "later") if status.endswith("_error") else None
    return Episode("E-v0", task, seed, (), status, failure=failure)


def rows(store: RunStore) -> list[tuple[Any, ...]]:
    stored = store.episodes(latest_only=False)
    return [
        (row.cell_key, row.episode.task_id, row.episode.seed, row.attempt, row.episode.status, row.latest)
        for row in stored
    ]


def test_cells_added_together_are_those_added_one_by_one(store: RunStore) -> None:
    run, other = store.begin_run("a", {}), store.begin_run("b", {})
    keys = store.add_cells(run, [*CONFIGS, CONFIGS[0]])
    assert keys == [cell_key(config) for config in [*CONFIGS, CONFIGS[0]]]
    assert [store.add_cell(other, config) for config in CONFIGS] == keys[:3]
    assert store.cells(run) == store.cells(other)
    assert store.add_cells(run, []) == []
    with pytest.raises(StoreError, match="run_id='nobody'"):
        store.add_cells("nobody", CONFIGS)


EPISODES = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from(["a", "b"]),
        st.integers(0, 1),
        st.sampled_from(["terminated", "infra_error", "agent_error"]),
    ),
    max_size=20,
)


@hypothesis_settings(max_examples=8)
@given(EPISODES, st.integers(1, 20))
def test_episodes_of_several_cells_are_numbered_as_if_they_came_alone(played: Any, batch: int) -> None:
    with TemporaryDirectory() as folder:
        found = []
        for size in (1, batch):
            with RunStore(Path(folder) / f"{len(found)}.db") as store:
                run = store.begin_run("a", {})
                keys = store.add_cells(run, CONFIGS)
                items = [(keys[cell], episode(task, seed, status)) for cell, task, seed, status in played]
                written = sum(
                    store.add_episodes_of_cells(run, items[start : start + size])
                    for start in range(0, len(items), size)
                )
                assert written + store.duplicates == len(items)
                assert store.finished_in(keys) == {key: done for key in keys if (done := store.finished(key))}
                found.append(rows(store))
        assert found[0] == found[1]


def test_one_bad_episode_or_cell_stores_none_of_the_batch(store: RunStore) -> None:
    run = store.begin_run("a", {})
    (key,) = store.add_cells(run, CONFIGS[:1])
    bad = Episode("E-v0", "bad", 0, (Turn("agent", object(), "x", 0.0, {}),), "terminated")
    with pytest.raises(DataError, match="object"):
        store.add_episodes_of_cells(run, [(key, episode()), (key, bad)])
    with pytest.raises(StoreError, match="not a cell of"):
        store.add_episodes_of_cells(run, [(key, episode()), ("nowhere", episode())])
    assert rows(store) == []


def test_more_cells_than_a_query_takes_are_asked_about_in_turn(
    store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "CELLS_PER_QUERY", 2)
    run = store.begin_run("a", {})
    keys = store.add_cells(run, [{"size": size} for size in range(7)])
    store.add_episodes_of_cells(run, [(key, episode(seed=place)) for place, key in enumerate(keys)])
    assert store.finished_in(iter(keys)) == {key: {("t", place)} for place, key in enumerate(keys)}
    assert store.finished_in([]) == {}
    assert store.finished_in(["nowhere"]) == {}


def test_writers_of_the_same_cells_in_any_order_store_each_episode_once(store: RunStore) -> None:
    run = store.begin_run("a", {})
    keys = store.add_cells(run, CONFIGS)
    items = [(key, episode(seed=seed)) for key in keys for seed in range(20)]
    written: list[int] = []

    def write(step: int) -> None:
        for start in range(0, len(items), 7):
            written.append(store.add_episodes_of_cells(run, items[::step][start : start + 7]))

    threads = [threading.Thread(target=write, args=(step,)) for step in (1, -1, 1, -1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(written) == len(items) == len(rows(store))
