"""Score stored episodes again, under other rules, without asking any agent anything."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from fogline.benchmarks.aggregation import Estimate, estimate
from fogline.benchmarks.measures import Kind, suite_module
from fogline.core.errors import ConfigurationError, DataError, suggestion
from fogline.core.store import CellRecord, RunRecord, RunStore, Score, StoredEpisode


class RescoreConfig(BaseModel):
    """What ``fogline rescore`` does.

    Attributes:
        store: SQLite file or database URL.
        run: Which run; the latest that played something re-scorable where None.
        comparator: When two results are equal.
        timed: Also measure VES and R-VES, which run statements many times.
        repeats: Pairs of runs per statement for these; BIRD takes 100.
        env_kwargs: Keywords of the environment that replace those of the run, where data have moved or a database
            needs a password, which the store does not keep.
        workers: Tasks in hand at once; timed scores take one at a time.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    store: str
    run: str | None = None
    comparator: Literal["bird", "spider", "strict"] = "bird"
    timed: bool = False
    repeats: int = Field(default=100, ge=1)
    workers: int = Field(default=4, ge=1)
    env_kwargs: dict[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Judgement:
    """One stored episode judged again.

    Attributes:
        episode_id: Its number in the store.
        task_id: Its task.
        before: Whether it was right when it was played, 0 or 1.
        values: The new values by name; ``"ex"`` is among them. None where a value cannot be measured.
        scores: What the store keeps.
    """

    episode_id: int
    task_id: str
    before: float
    values: Mapping[str, float | None]
    scores: Sequence[Score]


@dataclass(frozen=True, slots=True)
class RescoreReport:
    """A cell judged again.

    Attributes:
        run_id: The run whose episodes were judged.
        cell_key: Their cell.
        env_id: Their environment.
        agent: Who played them.
        comparator: The rule.
        episodes: How many were judged.
        tasks: Of how many tasks.
        samples: Most episodes of one task.
        before: Execution accuracy as played.
        measures: The new numbers by name.
        gained: Episodes wrong before and right now.
        lost: Episodes right before and wrong now.
        written: Scores added to the store; what was there already is not added again.
    """

    run_id: str
    cell_key: str
    env_id: str
    agent: str
    comparator: str
    episodes: int
    tasks: int
    samples: int
    before: Estimate
    measures: Mapping[str, Estimate]
    gained: int
    lost: int
    written: int

    def to_json(self) -> dict[str, Any]:
        """JSON-ready dictionary."""
        return asdict(self)


KINDS: Mapping[str, Kind] = {"ex": "success"}
_SCORES_AT_ONCE = 256


def rescore(
    config: RescoreConfig,
    *,
    progress: Callable[[int, int], None] | None = None,
    command: str = "fogline.benchmarks.rescore",
) -> list[RescoreReport]:
    """Judge the episodes of a run again and append the scores to the store.

    Args:
        config: What to judge, and how.
        progress: Called with the numbers of judged and of all episodes of a cell.
        command: Noted in the store.

    Returns:
        One report per cell of the run.

    Raises:
        ConfigurationError: For a run that is not there, or has nothing that can be scored again.
        DataError: If the data set is not the one that was played.
        StoreError: For a store that cannot be used.
    """
    with closing(RunStore(config.store, create=False)) as store:
        run, cells = _choose(store, config.run)
        rescoring = store.begin_run(command, {**config.model_dump(), "run": run.run_id})
        return [_rescore_cell(store, run, cell, config, rescoring, progress) for cell in cells]


def _choose(store: RunStore, run_id: str | None) -> tuple[RunRecord, list[CellRecord]]:
    runs = {run.run_id: run for run in store.runs()}
    if run_id is not None and run_id not in runs:
        raise ConfigurationError(f"run={run_id!r} is not in the store.{suggestion(run_id, runs)}")
    for candidate in [run_id] if run_id is not None else reversed(runs):
        cells = [cell for cell in store.cells(candidate) if _can_judge(str(cell.config.get("env")))]
        if cells:
            return runs[candidate], cells
    which = "no run of the store" if run_id is None else f"run={run_id!r}"
    raise ConfigurationError(f"{which} has episodes that can be scored again: expected a run of TrustSQL-v0.")


def _can_judge(env_id: str) -> bool:
    return hasattr(suite_module(env_id), "judge")


def _rescore_cell(
    store: RunStore,
    run: RunRecord,
    cell: CellRecord,
    config: RescoreConfig,
    rescoring: str,
    progress: Callable[[int, int], None] | None,
) -> RescoreReport:
    env_id, env_kwargs = str(cell.config["env"]), {**cell.config["env_kwargs"], **config.env_kwargs}
    module = suite_module(env_id)
    if module.fingerprint(env_kwargs) != cell.config["data"]:
        raise DataError(
            f"the data set of cell {cell.cell_key} has changed since its episodes were played: restore it, or play "
            "them again."
        )
    chosen = _planned(store.episodes(cell_key=cell.cell_key), run)
    judgements: list[Judgement] = []
    written = 0
    arriving = iter(module.judge(chosen, env_kwargs, config, rescoring, progress))
    while batch := list(islice(arriving, _SCORES_AT_ONCE)):
        written += store.add_scores(score for judgement in batch for score in judgement.scores)
        judgements.extend(batch)
    agent = str(cell.config["agent"])
    return _report((run.run_id, cell.cell_key, env_id, agent, config.comparator), judgements, written)


def _planned(episodes: Iterable[StoredEpisode], run: RunRecord) -> list[StoredEpisode]:
    """Scored episodes of the run's own plan; all of the cell's where the run kept no plan."""
    tasks, seeds = run.config.get("task_ids"), run.config.get("seeds")
    wanted = None if tasks is None or seeds is None else (set(tasks), set(seeds))
    return [
        stored
        for stored in episodes
        if stored.episode.scored
        and (wanted is None or (stored.episode.task_id in wanted[0] and stored.episode.seed in wanted[1]))
    ]


def _report(names: tuple[str, str, str, str, str], judgements: Sequence[Judgement], written: int) -> RescoreReport:
    by_task: dict[str, list[Judgement]] = defaultdict(list)
    for judgement in judgements:
        by_task[judgement.task_id].append(judgement)
    samples = max(map(len, by_task.values()), default=0)
    measures = {}
    for name in dict.fromkeys(name for judgement in judgements for name in judgement.values):
        measures[name] = _average([[item.values.get(name) for item in own] for own in by_task.values()], name, samples)
    return RescoreReport(
        *names,
        episodes=len(judgements),
        tasks=len(by_task),
        samples=samples,
        before=_average([[item.before for item in own] for own in by_task.values()], "ex", samples),
        measures=measures,
        gained=sum(not item.before and bool(item.values["ex"]) for item in judgements),
        lost=sum(bool(item.before) and not item.values["ex"] for item in judgements),
        written=written,
    )


def _average(values: Sequence[Sequence[float | None]], name: str, samples: int) -> Estimate:
    known = [[value for value in own if value is not None] for own in values]
    means = [sum(own) / len(own) for own in known if own]
    return estimate(means, KINDS.get(name, "number"), single=samples == 1)
