"""What every test shares: where helper modules lie, how hypothesis runs, the small shop to play in."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from shop import MakeEnv

    from fogline.envs.trust_sql.env import TrustSQLEnv
    from fogline.simulators.databases.records import TextToSQLDataset

# Test files are imported by path (--import-mode=importlib), so helpers beside them need their folder named.
for _folder in ("support", "core", "learning"):
    sys.path.insert(0, str(Path(__file__).parent / _folder))

settings.register_profile("fogline", deadline=None, print_blob=True)
settings.load_profile("fogline")


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TextToSQLDataset]:
    """The data set of ``shop.py``, built once; its workers stay warm from test to test."""
    from shop import build

    from fogline.simulators.databases.executor import Database

    dataset = build(tmp_path_factory.mktemp("shop"))
    with Database(dataset.databases["shop"]) as database:
        database.execute("SELECT 1")
        yield dataset


@pytest.fixture
def make_env(shop: TextToSQLDataset) -> Iterator[MakeEnv]:
    """Makes TrustSQL-v0 environments, over the shop unless told otherwise, and closes them."""
    from shop import make

    made: list[TrustSQLEnv] = []

    def build_one(**options: Any) -> TrustSQLEnv:
        made.append(make(options.pop("dataset", shop), **options))
        return made[-1]

    yield build_one
    for env in made:
        env.close()
