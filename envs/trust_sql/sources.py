"""Where TrustSQL-v0 gets its tasks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from fogline.core.errors import ConfigurationError, suggestion
from fogline.simulators.databases.records import TextToSQLDataset

NAMED = ("bundled", "enterprise", "pocket")


def load_tasks(
    dataset: str | Path | TextToSQLDataset,
    *,
    databases: Sequence[str] | None = None,
    engine: str = "sqlite",
    engine_url: str | None = None,
) -> TextToSQLDataset:
    """Load a data set by name or path, or take a loaded one, and keep the chosen databases.

    Raises:
        ConfigurationError: For an unknown data set or database, or an engine that the data set does not have.
        DataError: For a file that is not what its format promises.
    """
    loaded = dataset if isinstance(dataset, TextToSQLDataset) else _load(str(dataset), engine, engine_url)
    if databases is None:
        return loaded
    for name in databases:
        if name not in loaded.databases:
            raise ConfigurationError(
                f"databases={name!r} is not in {loaded.name!r}: it has {', '.join(sorted(loaded.databases))}."
                f"{suggestion(name, loaded.databases)}"
            )
    wanted = set(databases)
    return TextToSQLDataset(
        loaded.name,
        {task_id: task for task_id, task in loaded.tasks.items() if task.database in wanted},
        {name: reference for name, reference in loaded.databases.items() if name in wanted},
        loaded.dropped,
    )


def engine_of(dataset: TextToSQLDataset) -> str:
    """The one engine of a data set's databases.

    Raises:
        ConfigurationError: If they are mixed: the rules that the agent reads name the engine.
    """
    schemes = {reference.url.partition(":")[0].partition("+")[0] for reference in dataset.databases.values()}
    engines = sorted({"postgresql" if scheme == "postgres" else scheme for scheme in schemes})
    if len(engines) != 1:
        raise ConfigurationError(f"{dataset.name!r} mixes the engines {engines}: choose databases of one engine.")
    return engines[0]


@lru_cache(maxsize=16)
def _load(name: str, engine: str, engine_url: str | None) -> TextToSQLDataset:
    if name == "bundled":
        from fogline.simulators.databases.loaders import bundled_dataset

        return bundled_dataset(engine, engine_url)
    if engine != "sqlite":
        raise ConfigurationError(
            f"engine={engine!r} is for dataset='bundled': the databases of {name!r} say their own engine."
        )
    if name == "enterprise":
        from fogline.simulators.databases.enterprise import enterprise_dataset

        return enterprise_dataset()
    if name == "pocket":
        from fogline.simulators.databases.pocket import pocket_dataset

        return pocket_dataset()
    if not Path(name).exists():
        raise ConfigurationError(
            f"dataset={name!r} is unknown: expected {', '.join(map(repr, NAMED))}, or the path of a BIRD or Spider "
            f"folder or of a JSONL file.{suggestion(name, NAMED)}"
        )
    from fogline.simulators.databases.loaders import load_dataset

    return load_dataset(name)
