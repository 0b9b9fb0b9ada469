"""Loading text-to-SQL data sets: a BIRD or Spider folder, a JSONL file, or what fogline brings along."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from fogline.core.errors import ConfigurationError, DataError, check_choice, suggestion
from fogline.simulators.databases.loader_formats import FORMATS, Placed, detect_format, reader_of
from fogline.simulators.databases.loader_records import SourceRecord, read_records
from fogline.simulators.databases.records import (
    DatabaseRef,
    Dropped,
    QueryLimits,
    TextToSQLDataset,
    TextToSQLTask,
)
from fogline.simulators.databases.validation import drop_counts, without_running
from fogline.simulators.databases.validation import validate as validate_gold

DATASET_NAMES = ("bundled", "enterprise")
BUNDLED_NAMES = ("chinook", "northwind")
ENGINES = ("sqlite", "duckdb", "postgresql")

# File names of each split, every group in the order of the published releases.
SPLIT_FILES: Mapping[str, tuple[str, ...]] = {
    "dev": ("dev.json", "mini_dev_sqlite.json", "Spider-DK.json", "spider-realistic.json"),
    "train": ("train.json", "train_spider.json", "train_others.json"),
    "test": ("test.json",),
}
_DATABASE_FOLDERS = ("dev_databases", "train_databases", "databases", "database", "test_database")
_SEARCH_DEPTH = 2


def load_dataset(
    path_or_name: str | Path,
    *,
    format: str | None = None,
    split: str | None = None,
    databases: str | Path | None = None,
    limits: QueryLimits | None = None,
    validate: bool = True,
    require_rows: bool = False,
    cache: Path | None = None,
) -> TextToSQLDataset:
    """Load a data set and check its gold statements.

    Args:
        path_or_name: ``bundled``, ``enterprise``, a data file (``.json``, ``.jsonl``), or a folder as
            released by BIRD (``dev.json``, ``train.json``, mini-dev), Spider (``dev.json``,
            ``train_spider.json`` with ``train_others.json``, ``test.json``), Spider-Syn, Spider-DK or
            Spider-Realistic, or with one JSONL file of TRUST-SQL's or fogline's own format.
        format: One of ``FORMATS`` where detection from the first record is not wanted.
        split: ``dev``, ``train`` or ``test`` of a folder; ``None`` takes ``dev`` where there is one, else the
            only one.
        databases: Folder of the databases where they do not lie beside the data: Spider-Syn and
            Spider-Realistic need Spider's own. A ``.sqlite`` file serves every question.
        limits: Limits of each gold statement; ``None`` for the tool's own defaults.
        validate: Run every gold statement and drop what fails; ``False`` only drops questions without id or
            database of their own.
        require_rows: Also drop questions with an empty gold result.
        cache: Folder of remembered gold outcomes; ``None`` for the user's cache.

    Raises:
        ConfigurationError: For an unknown name, format, or split.
        DataError: When a file or record is not what its format promises (file, place, field and expectation
            are named), or when no question survives.
    """
    if format is not None:
        check_choice("format", format, FORMATS)
    if split is not None:
        check_choice("split", split, SPLIT_FILES)
    path = Path(path_or_name).expanduser()
    if str(path_or_name) == "bundled":
        return bundled_dataset(limits=limits, validate=validate, cache=cache)
    if str(path_or_name) == "enterprise":
        from fogline.simulators.databases.enterprise import enterprise_dataset

        return enterprise_dataset()
    if not path.exists():
        hint = suggestion(path_or_name, DATASET_NAMES)
        raise ConfigurationError(
            f"dataset={str(path_or_name)!r} is neither a path nor one of {', '.join(DATASET_NAMES)}.{hint}"
        )
    files, split = _data_files(path, split)
    records = [record for file in files for record in read_records(file)]
    if not records:
        raise DataError(f"{files[0]} holds no record.")
    reader = reader_of(format or detect_format(records[0]))
    roots = _roots(files[0].parent, split, databases)
    tasks, refs = place_databases([reader(record) for record in records], roots, prefer_given=databases is not None)
    name = format or detect_format(records[0])
    label = "-".join(part for part in (name, split or files[0].stem) if part)
    if validate:
        dataset = validate_gold(tasks, refs, limits, name=label, require_rows=require_rows, cache=cache)
    else:
        dataset = without_running(tasks, refs, name=label)
    return _not_empty(dataset, roots)


def _not_empty(dataset: TextToSQLDataset, roots: Sequence[Path]) -> TextToSQLDataset:
    if dataset.tasks:
        return dataset
    counts = ", ".join(f"{count} {reason}" for reason, count in drop_counts(dataset).items())
    looked = ", ".join(str(root) for root in roots)
    raise DataError(
        f"no question of {dataset.name!r} survives ({counts}): "
        f"expected databases in one of {looked}; give databases=FOLDER."
    )


def _data_files(path: Path, split: str | None) -> tuple[list[Path], str]:
    """The files to read and the split they are."""
    if path.is_file():
        found = next((name for name, files in SPLIT_FILES.items() if path.name in files), "")
        return [path], split or found
    folder, splits = _find_splits(path)
    if splits:
        chosen = split or ("dev" if "dev" in splits else next(iter(splits)) if len(splits) == 1 else None)
        if chosen is None or chosen not in splits:
            raise ConfigurationError(
                f"split={split!r} is not in {folder}: expected one of {', '.join(map(repr, splits))}."
            )
        return splits[chosen], chosen
    lines = sorted(path.glob("*.jsonl"))
    if len(lines) == 1:
        return lines, split or ""
    known = ", ".join(name for files in SPLIT_FILES.values() for name in files)
    raise DataError(
        f"{path} holds {len(lines)} JSONL files and none of {known}: "
        "expected a data-set folder, or give the file itself."
    )


def _find_splits(path: Path) -> tuple[Path, dict[str, list[Path]]]:
    """The split files of ``path``, else of the only folder at most two levels below that has any."""
    level = [path]
    for _ in range(_SEARCH_DEPTH + 1):
        found = [(folder, splits) for folder in level if (splits := _splits_in(folder))]
        if len(found) > 1:
            names = ", ".join(str(folder) for folder, _ in found)
            raise ConfigurationError(f"{path} holds several data sets: expected one of {names}.")
        if found:
            return found[0]
        level = [
            child
            for folder in level
            for child in sorted(folder.iterdir())
            if child.is_dir() and child.name not in _DATABASE_FOLDERS
        ]
    return path, {}


def _splits_in(folder: Path) -> dict[str, list[Path]]:
    present = {
        split: [folder / name for name in names if (folder / name).is_file()] for split, names in SPLIT_FILES.items()
    }
    return {split: files if split == "train" else files[:1] for split, files in present.items() if files}


def _roots(folder: Path, split: str, databases: str | Path | None) -> list[Path]:
    """Where databases may lie, best first."""
    if databases is not None:
        given = Path(databases).expanduser()
        if not given.exists():
            raise ConfigurationError(
                f"databases={str(databases)!r} does not exist: expected the folder that holds DB/DB.sqlite."
            )
        return [given, *(given / name for name in _DATABASE_FOLDERS if (given / name).is_dir())]
    # Spider's test questions use changed copies under the same names.
    first = {"train": ("train_databases",), "test": ("test_database", "test_databases")}.get(split, ())
    order = dict.fromkeys((*first, *_DATABASE_FOLDERS))
    return [place / name for place in (folder, folder.parent) for name in order if (place / name).is_dir()] + [folder]


def database_file(database: str, root: Path) -> Path | None:
    """Find ``{root}/{database}/{database}.sqlite``, ``{root}/{database}.sqlite``, or the file ``root``."""
    candidates = [root / database / f"{database}.sqlite", root / f"{database}.sqlite"]
    if root.suffix in (".sqlite", ".db"):
        candidates.append(root)
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def place_databases(
    placed: Iterable[Placed], roots: Sequence[Path], *, prefer_given: bool = False
) -> tuple[list[TextToSQLTask], dict[str, DatabaseRef]]:
    """Find the database of every task.

    Further ``.sqlite`` files in the folder of a database (a Spider test suite) become its ``suite``. Two
    databases of one name in different places are told apart as ``name`` and ``name@folder``.

    Args:
        placed: Tasks, each with places of its own.
        roots: Places common to all.
        prefer_given: Try ``roots`` before a task's own places.

    Returns:
        Tasks, and the databases that exist; a task whose database is absent keeps its name.
    """
    tasks: list[TextToSQLTask] = []
    refs: dict[str, DatabaseRef] = {}
    names: dict[Path, str] = {}
    looked_up: dict[tuple[str, tuple[Path, ...]], Path | None] = {}
    for task, own in placed:
        order = (*roots, *own) if prefer_given else (*own, *roots)
        key = (task.database, order)
        if key not in looked_up:
            found = (database_file(task.database, root) for root in order)
            looked_up[key] = next((file.absolute() for file in found if file is not None), None)
        file = looked_up[key]
        if file is not None:
            if file not in names:
                name = names[file] = _free_name(task.database, file, refs)
                suite = sorted(
                    other
                    for other in file.parent.glob("*.sqlite")
                    if other != file and file.parent.name == task.database
                )
                refs[name] = DatabaseRef(name, f"sqlite:///{file}", tuple(f"sqlite:///{other}" for other in suite))
            task = replace(task, database=names[file])
        tasks.append(task)
    return tasks, refs


def _free_name(database: str, file: Path, taken: Mapping[str, DatabaseRef]) -> str:
    if database not in taken:
        return database
    name = f"{database}@{file.parent.parent.name}"
    return name if name not in taken else f"{database}@{file.parent}"


def bundled_dataset(
    engine: str = "sqlite",
    url: str | None = None,
    *,
    names: Sequence[str] = BUNDLED_NAMES,
    limits: QueryLimits | None = None,
    validate: bool = True,
    cache: Path | None = None,
) -> TextToSQLDataset:
    """The bundled databases with their hand-written questions.

    Args:
        engine: ``sqlite``, ``duckdb`` or ``postgresql``; for the last two the gold statements are translated
            by sqlglot.
        url: Database to copy into, for ``postgresql``.
        names: Which of the bundled databases.
        limits: Limits of each gold statement.
        validate: Run every gold statement.
        cache: Folder of remembered gold outcomes.

    Raises:
        ConfigurationError: For an unknown engine or name, or ``postgresql`` without ``url``.
    """
    from fogline.simulators.databases.bundled import bundled_database
    from fogline.simulators.databases.executor import Database
    from fogline.simulators.databases.translation import UntranslatableSQL, translate_query

    check_choice("engine", engine, ENGINES)
    tasks: list[TextToSQLTask] = []
    dropped: list[Dropped] = []
    refs: dict[str, DatabaseRef] = {}
    for name in names:
        check_choice("names", name, BUNDLED_NAMES)
        refs[name] = bundled_database(name, engine, url)
        questions = [reader_of("fogline")(record)[0] for record in bundled_records(name)]
        if engine != "sqlite":
            with Database(bundled_database(name)) as source:
                catalogue = source.catalogue()
            for task in questions:
                try:
                    tasks.append(replace(task, gold_sql=translate_query(task.gold_sql, catalogue, engine)))
                except UntranslatableSQL as error:
                    dropped.append(Dropped(task.task_id, "untranslatable", str(error)))
        else:
            tasks += questions
    label = "bundled" if engine == "sqlite" else f"bundled-{engine}"
    if validate:
        return validate_gold(tasks, refs, limits, name=label, dropped=dropped, cache=cache)
    return without_running(tasks, refs, name=label, dropped=dropped)


def bundled_records(name: str) -> list[SourceRecord]:
    """The question records that ship with the bundled database ``name``."""
    return read_records(Path(__file__).parent / "data" / name / "questions.jsonl")
