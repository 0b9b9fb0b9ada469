"""Generated databases small enough for tiny language models: invented names that only the catalogue spells out."""

from __future__ import annotations

from fogline.simulators.databases.pocket.config import PocketConfig
from fogline.simulators.databases.pocket.dataset import pocket_dataset
from fogline.simulators.databases.pocket.words import PARTS, words_of

__all__ = ["PARTS", "PocketConfig", "pocket_dataset", "words_of"]
