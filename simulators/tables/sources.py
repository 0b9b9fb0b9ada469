"""Where tables and their questions come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from fogline.core.errors import ConfigurationError, check_keys
from fogline.simulators.tables.files import BUNDLED, WIKITABLEQUESTIONS, load_folder
from fogline.simulators.tables.generated import LEVELS, Settings, generated
from fogline.simulators.tables.records import TableDataset
from fogline.simulators.tables.worlds import TableWorld

SYNTHETIC = "synthetic"
PRETTY = TableWorld(columns=(3, 5))
TINY = TableWorld(rows=(3, 3), columns=(3, 3), largest=9, names="letters", merged=0.0, styled=False)
"""What tables are drawn from by default, by the size in which they will be drawn."""


def load_tables(
    tables: str | Path | TableDataset = SYNTHETIC,
    *,
    level: int | Sequence[int] | None = None,
    split: str | None = None,
    tasks_per_level: int = 100,
    world: TableWorld | Mapping[str, Any] | None = None,
    kinds: Sequence[str] = (),
    shortcut: float = 0.0,
    size: str = "pretty",
) -> TableDataset:
    """Generate or load questions about tables.

    Args:
        tables: ``"synthetic"``, ``"wikitablequestions"`` for the bundled part of it, the folder of a release, or a
            loaded set, which is returned as it is.
        level: Of generated questions: one, or several; None for all.
        split: Of generated questions; by default ``train``.
        tasks_per_level: Of generated questions.
        world: What generated tables are drawn from, or its settings by name; by default what suits the size.
        kinds: Of generated questions; all of the levels where empty.
        shortcut: Chance that the answer of a search stands in the first row on purpose, of generated questions.
        size: In which the tables will be drawn.

    Raises:
        ConfigurationError: An unknown choice, or a level or split of what is not generated.
        DataError: A file is not what its format promises.
    """
    if isinstance(tables, TableDataset):
        return tables
    if tables == SYNTHETIC:
        settings = Settings(world_for(size, world), tuple(kinds), shortcut)
        return generated(settings, _levels(level), split or "train", tasks_per_level)
    if level is not None or split is not None:
        raise ConfigurationError(
            f"level={level!r}, split={split!r} with tables={str(tables)!r}: only generated tables have levels and "
            "splits; leave both out."
        )
    return _loaded(str(BUNDLED if tables == WIKITABLEQUESTIONS else tables))


def world_for(size: str, world: TableWorld | Mapping[str, Any] | None = None) -> TableWorld:
    """What tables are drawn from: what is asked for, else what suits their size.

    Raises:
        ConfigurationError: An unknown setting, or one that no table can have.
    """
    if isinstance(world, TableWorld):
        return world
    asked = dict(world or {})
    check_keys("world", asked, [field.name for field in fields(TableWorld)])
    for name in ("rows", "columns"):
        if isinstance(asked.get(name), list):
            asked[name] = tuple(asked[name])
    return replace(TINY if size == "tiny" else PRETTY, **asked)


@lru_cache(maxsize=4)
def _loaded(folder: str) -> TableDataset:
    return load_folder(folder)


def _levels(level: Any) -> tuple[int, ...]:
    if level is None:
        return tuple(LEVELS)
    levels = (level,) if type(level) is int else level
    if isinstance(levels, Sequence) and levels and all(type(one) is int and one in LEVELS for one in levels):
        return tuple(dict.fromkeys(levels))
    raise ConfigurationError(f"level={level!r}: expected one of {list(LEVELS)}, or several as [1, 3].")
