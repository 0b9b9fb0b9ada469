"""Hugging Face datasets: episodes as a ``Dataset``, from a run store or from any iterable, and back again.

    >>> from fogline.agents.collector import Assignment, collect_all
    >>> from fogline.agents.environments import make_environment
    >>> from fogline.agents.registry import make_agent
    >>> from fogline.trainers.bridges.datasets import dataset_of, episodes_of
    >>> oracle = make_agent("oracle", "MathReasoning-v0")
    >>> env = lambda: make_environment("MathReasoning-v0")
    >>> played = collect_all(env, oracle, [Assignment("arithmetic-01-0000", seed) for seed in range(3)])
    >>> dataset = dataset_of(played)
    >>> dataset.num_rows, dataset[0]["reward"], dataset[0]["messages"][0]["role"]
    (3, 1.0, 'user')
    >>> episodes_of(dataset) == played
    True

A row has readable columns to filter by, ``messages`` for trainers that read conversations, and the whole record as JSON
text in ``episode``, which :func:`episodes_of` reads back without loss. Beside ``reward``, which is null for an episode
that failed for no fault of the policy, stands ``scored``: filter by it before averaging.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fogline.agents.chat import rendered
from fogline.core.episode import Episode
from fogline.core.errors import ConfigurationError, DataError, missing_dependency

if TYPE_CHECKING:
    from datasets import Dataset

EXTRA = "datasets"
_KINDS = {
    "env_id": "string",
    "task_id": "string",
    "seed": "int64",
    "agent": "string",
    "simulator_version": "string",
    "status": "string",
    "scored": "bool",
    "reward": "float64",
    "turns": "int64",
    "malformed": "int64",
    "outcome": "string",
    "metrics": "string",
    "failure": "string",
    "episode": "string",
}


def dataset_of(episodes: Iterable[Episode]) -> Dataset:
    """Make a dataset of episodes.

    Args:
        episodes: Any iterable; it is walked through once, and one that is endless needs a cut first.

    Returns:
        One row for each episode: ``env_id, task_id, seed, agent, simulator_version, status, scored, reward, turns,
        malformed``, ``outcome`` and ``metrics`` as JSON text, ``failure`` (its kind, null for none), ``messages`` (a
        list of ``role`` and ``content``; null where an observation or action is no text, or several seats acted)
        and ``episode``.

    Raises:
        MissingDependencyError: Without the package.
    """
    datasets = _datasets()
    # Not Dataset.from_generator, which would look an equal call up in a cache on disk: episodes have no fingerprint.
    rows = [_row(episode) for episode in episodes]
    features = _features(datasets)
    return datasets.Dataset.from_dict({name: [row[name] for row in rows] for name in features}, features=features)


def dataset_of_store(store: str | Path, run_id: str | None = None, *, latest_only: bool = True) -> Dataset:
    """Make a dataset of a run store's episodes.

    Args:
        store: Path of the SQLite file, or a database URL.
        run_id: Only this run's; all where None.
        latest_only: Leave out attempts that a later one replaced.

    Raises:
        MissingDependencyError: Without the package.
        ConfigurationError: If the file is not there.
        StoreError: For a row that cannot be read.
    """
    from fogline.core.store.runs import RunStore

    if "://" not in str(store) and not Path(store).exists():
        raise ConfigurationError(f"there is no run store at {str(store)!r}: expected the file that --store wrote.")
    with RunStore(store) as opened:
        return dataset_of(stored.episode for stored in opened.episodes(run_id=run_id, latest_only=latest_only))


def episodes_of(dataset: Iterable[Mapping[str, Any]]) -> list[Episode]:
    """Read episodes back, in the order of the rows; any subset, order or shard of them will do.

    Raises:
        DataError: If a row has no column ``episode``, or what is in it is no episode.
    """
    return list(map(_episode, dataset))


def _episode(row: Mapping[str, Any]) -> Episode:
    try:
        record = json.loads(row["episode"])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"a row with columns {sorted(row)} holds no episode ({error}): expected the text that dataset_of wrote "
            "into 'episode'."
        ) from error
    return Episode.from_json(record)


def _row(episode: Episode) -> dict[str, Any]:
    return {
        "env_id": episode.env_id,
        "task_id": episode.task_id,
        "seed": episode.seed,
        "agent": episode.agent,
        "simulator_version": episode.simulator_version,
        "status": episode.status,
        "scored": episode.scored,
        "reward": episode.reward,
        "turns": len(episode.turns),
        "malformed": sum(turn.malformed for turn in episode.turns),
        "outcome": json.dumps(episode.to_json()["outcome"]),
        "metrics": json.dumps(episode.to_json()["metrics"]),
        "failure": None if episode.failure is None else episode.failure.kind,
        "messages": _messages(episode),
        "episode": json.dumps(episode.to_json(), ensure_ascii=False),
    }


def _messages(episode: Episode) -> list[dict[str, str]] | None:
    if len(episode.seats) > 1 or not all(isinstance(turn.action, str) for turn in episode.turns):
        return None
    try:
        return list(_said(episode))
    except ConfigurationError:
        # A picture: the conversation cannot be put into words, and the whole record is in `episode`.
        return None


def _said(episode: Episode) -> Iterator[dict[str, str]]:
    for turn in episode.turns:
        yield {"role": "user", "content": rendered(turn.observation)}
        yield {"role": "assistant", "content": turn.action}


def _features(datasets: Any) -> Any:
    value = datasets.Value
    message = {"role": value("string"), "content": value("string")}
    kinds = {name: value(kind) for name, kind in _KINDS.items()}
    return datasets.Features({**kinds, "messages": datasets.List(message)})


def _datasets() -> Any:
    try:
        import datasets
    except ImportError as error:
        raise missing_dependency("datasets", EXTRA) from error
    return datasets
