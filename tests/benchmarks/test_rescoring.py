"""Stored answers under other comparators, without any agent."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from fogline.benchmarks.evaluation import EvalConfig, evaluate
from fogline.benchmarks.rescoring import RescoreConfig, RescoreReport, rescore
from fogline.core.episode import Episode, Failure
from fogline.core.errors import ConfigurationError, DataError
from fogline.core.store import RunStore

TASK = "chinook-001"
GOLD = "SELECT FirstName, LastName, Email FROM Customer WHERE Country = 'Brazil'"
ANSWERS = (
    GOLD,
    "SELECT Email, FirstName, LastName FROM Customer WHERE Country = 'Brazil'",
    f"{GOLD} UNION ALL {GOLD}",
    "SELECT FirstName FROM Customer",
    "SELECT Nothing FROM Nowhere",
    None,
)
RIGHT = {"bird": (0, 2), "spider": (0, 1), "strict": (0,)}


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with one episode per answer, all of them noted as right under ``bird`` where they are."""
    folder = tmp_path_factory.mktemp("played")
    base = EvalConfig(env="TrustSQL-v0", agent="oracle", tasks=(TASK,), store=str(folder / "base.db"))
    evaluate(base)
    with closing(RunStore(base.store)) as store:
        [template] = [row.episode for row in store.episodes()]
        [cell] = store.cells()
    target = folder / "runs.db"
    with closing(RunStore(target)) as store:
        run = store.begin_run("made by hand", {"task_ids": [TASK], "seeds": list(range(len(ANSWERS)))})
        key = store.add_cell(run, cell.config)
        store.add_episodes(run, key, [answering(template, seed) for seed in range(len(ANSWERS))])
        store.add_episodes(run, key, [failed(template, 97, "infra_error"), answering(template, 0, seed=98)])
    return target


def answering(template: Episode, answer: int, seed: int | None = None) -> Episode:
    metrics = {**template.metrics, "final_sql": ANSWERS[answer], "ex": float(answer in RIGHT["bird"])}
    return replace(template, seed=answer if seed is None else seed, metrics=metrics)


def failed(template: Episode, seed: int, status: str) -> Episode:
    return replace(
        template, seed=seed, turns=(), metrics={}, outcome={}, status=status, failure=Failure("Lost", "gone")
    )


def judged(store: Path, **options: object) -> RescoreReport:
    [report] = rescore(RescoreConfig.model_validate({"store": str(store), **options}))
    return report


@pytest.mark.parametrize("comparator", ["bird", "spider", "strict"])
def test_each_comparator_gives_its_own_verdicts(played: Path, comparator: str) -> None:
    report = judged(played, comparator=comparator)
    assert report.episodes == len(ANSWERS)
    assert report.measures["ex"].value == pytest.approx(len(RIGHT[comparator]) / len(ANSWERS))
    assert report.before.value == pytest.approx(len(RIGHT["bird"]) / len(ANSWERS))
    assert report.gained == len(set(RIGHT[comparator]) - set(RIGHT["bird"]))
    assert report.lost == len(set(RIGHT["bird"]) - set(RIGHT[comparator]))
    with closing(RunStore(played)) as store:
        ids = {row.id: row.episode.seed for row in store.episodes()}
        scores = list(store.scores(scorer=f"trust_sql.{comparator}"))
    assert tuple(sorted(ids[score.episode_id] for score in scores if score.outcome["ex"])) == RIGHT[comparator]
    assert len(scores) == len(ANSWERS)


def test_the_reward_follows_the_new_verdict(played: Path) -> None:
    judged(played, comparator="spider")
    with closing(RunStore(played)) as store:
        seeds = {
            row.id: (row.episode.seed, row.episode.outcome["format"]) for row in store.episodes(status="terminated")
        }
        found = {seeds[score.episode_id][0]: score.reward for score in store.scores(scorer="trust_sql.spider")}
    form = next(iter(seeds.values()))[1]
    expected = (1.0, 1.0, 0.2, 0.2, 0.0, 0.0)
    assert [found[seed] for seed in range(len(ANSWERS))] == pytest.approx([value + form for value in expected])


def test_scoring_twice_adds_nothing_and_measuring_twice_adds_measurements(played: Path) -> None:
    judged(played, comparator="bird")
    assert judged(played, comparator="bird").written == 0
    first = judged(played, timed=True, repeats=3)
    second = judged(played, timed=True, repeats=3)
    assert first.written == second.written == len(ANSWERS)
    ves, r_ves = first.measures["ves"].value, first.measures["r_ves"].value
    assert ves is not None
    assert r_ves is not None
    # Two of the answers are set-equal to the gold; each is worth at most sqrt(1.25) in R-VES.
    assert 0 < r_ves <= 2 / len(ANSWERS) * 1.25**0.5 + 1e-9
    assert ves > 0


def test_soft_f1_is_that_of_the_rows(played: Path) -> None:
    judged(played, comparator="bird")
    with closing(RunStore(played)) as store:
        seeds = {row.id: row.episode.seed for row in store.episodes()}
        soft = {seeds[score.episode_id]: score.outcome["soft_f1"] for score in store.scores(scorer="trust_sql.bird")}
    # Cells are compared row by row whatever their column, and duplicate rows are dropped.
    assert [soft[seed] for seed in (0, 1, 2, 4, 5)] == [1.0, 1.0, 1.0, 0.0, 0.0]
    assert 0.0 <= soft[3] < 0.5


def test_changed_data_are_refused(played: Path, tmp_path: Path) -> None:
    with closing(RunStore(played)) as store:
        [row, *_] = [row.episode for row in store.episodes(status="terminated")]
        [cell] = store.cells()
    with closing(RunStore(tmp_path / "old.db")) as store:
        run = store.begin_run("made by hand", {})
        key = store.add_cell(run, {**cell.config, "data": "something else"})
        store.add_episodes(run, key, [row])
    with pytest.raises(DataError, match="has changed since"):
        judged(tmp_path / "old.db")


def test_a_run_without_sql_cannot_be_scored_again(tmp_path: Path) -> None:
    config = EvalConfig(env="CartPole-v1", agent="random", store=str(tmp_path / "runs.db"))
    run = evaluate(config).run_id
    for wanted in (None, run):
        with pytest.raises(ConfigurationError, match="expected a run of TrustSQL-v0"):
            judged(tmp_path / "runs.db", run=wanted)
    with pytest.raises(ConfigurationError, match="not in the store"):
        judged(tmp_path / "runs.db", run="nobody")


def test_data_that_moved_are_found_where_they_are_now(played: Path, tmp_path: Path) -> None:
    with closing(RunStore(played)) as store:
        [row, *_] = [row.episode for row in store.episodes(status="terminated")]
        [cell] = store.cells()
    with closing(RunStore(tmp_path / "moved.db")) as store:
        run = store.begin_run("made by hand", {})
        key = store.add_cell(run, {**cell.config, "env_kwargs": {"dataset": str(tmp_path / "gone")}})
        store.add_episodes(run, key, [row])
    with pytest.raises(ConfigurationError, match="gone"):
        judged(tmp_path / "moved.db")
    assert judged(tmp_path / "moved.db", env_kwargs={"dataset": "bundled"}).episodes == 1
