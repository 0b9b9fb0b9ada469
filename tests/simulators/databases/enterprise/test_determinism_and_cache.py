"""The same configuration gives the same data everywhere; the cache holds whole databases or none."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fogline.core.errors import DataError
from fogline.simulators.databases.enterprise import EnterpriseConfig, cache_folder, enterprise_dataset
from fogline.simulators.databases.enterprise import dataset as dataset_module
from fogline.simulators.databases.records import TextToSQLDataset

SMALL = EnterpriseConfig(seed=7, databases=2, tables=24, rows_per_table=40, questions_per_database=8)

SCRIPT = """
import sys
from pathlib import Path
from test_determinism_and_cache import SMALL, digest
from fogline.simulators.databases.enterprise import enterprise_dataset
print(digest(enterprise_dataset(SMALL, Path(sys.argv[1]))))
"""


def digest(dataset: TextToSQLDataset) -> str:
    """Hash of the logical dumps of all files and of all tasks."""
    total = hashlib.sha256()
    for ref in dataset.databases.values():
        for url in (ref.url, *ref.suite):
            connection = sqlite3.connect(url.removeprefix("sqlite:///"))
            total.update("\n".join(connection.iterdump()).encode())
            connection.close()
    total.update(repr(list(dataset.tasks.items())).encode())
    return total.hexdigest()


@pytest.mark.parametrize("hash_seed", ["0", "4242"])
def test_another_process_with_any_hash_seed_gives_the_same_data(tmp_path: Path, hash_seed: str) -> None:
    here = digest(enterprise_dataset(SMALL, tmp_path / "here"))
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(Path(__file__).parent)}
    answer = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "there")],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert answer.stdout.strip() == here


def test_another_seed_gives_other_data(tmp_path: Path) -> None:
    other = EnterpriseConfig(seed=8, databases=2, tables=24, rows_per_table=40, questions_per_database=8)
    assert digest(enterprise_dataset(SMALL, tmp_path)) != digest(enterprise_dataset(other, tmp_path))


def test_a_longer_data_set_begins_with_the_shorter_one(tmp_path: Path) -> None:
    longer = EnterpriseConfig(seed=7, databases=3, tables=24, rows_per_table=40, questions_per_database=8)
    short, long = enterprise_dataset(SMALL, tmp_path), enterprise_dataset(longer, tmp_path)
    assert list(short.tasks.items()) == list(long.tasks.items())[: len(short)]
    assert len(list(tmp_path.iterdir())) == 3, "the two common databases are built once"


def test_a_cached_database_is_not_built_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = enterprise_dataset(SMALL, tmp_path)

    def refuse(*_: object) -> None:
        raise AssertionError("built although cached")

    monkeypatch.setattr(dataset_module, "build_database", refuse)
    assert enterprise_dataset(SMALL, tmp_path) == first


def test_a_build_that_dies_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(dataset_module, "_record", lambda task: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            enterprise_dataset(SMALL, tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert len(enterprise_dataset(SMALL, tmp_path)) == 16


def test_builders_that_race_agree(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        digests = {digest(done) for done in pool.map(lambda _: enterprise_dataset(SMALL, tmp_path), range(4))}
    assert len(digests) == 1
    assert len(list(tmp_path.iterdir())) == 2, "no workshop remains"


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    ref = next(iter(enterprise_dataset(SMALL, tmp_path).databases.values()))
    path = Path(ref.suite[0].removeprefix("sqlite:///"))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"second\.sqlite.*Delete the folder"):
        enterprise_dataset(SMALL, tmp_path)


def test_a_missing_content_file_is_named(tmp_path: Path) -> None:
    ref = next(iter(enterprise_dataset(SMALL, tmp_path).databases.values()))
    (Path(ref.url.removeprefix("sqlite:///")).parent / "content.json").write_text(json.dumps({}))
    with pytest.raises(DataError, match="cannot be read"):
        enterprise_dataset(SMALL, tmp_path)


def test_the_environment_variable_moves_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOGLINE_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path / "enterprise"
    monkeypatch.delenv("FOGLINE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "fogline" / "enterprise"
