"""The options of the generator, checked when they are given."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

from fogline.core.errors import ConfigurationError, check_choice
from fogline.simulators.databases.pocket.words import PARTS, Part

VERSION = "2"
_RANGES = {"tables": (1, 4), "columns": (3, 5), "rows": (4, 40)}


@dataclass(frozen=True, slots=True)
class PocketConfig:
    """What to generate. Pairs are inclusive ranges, shares are probabilities between 0 and 1.

    Attributes:
        part: Whose words to use: parts share no word, so no identifier and no text value either.
        seed: Decides everything that the other options leave open.
        databases: Number of databases; the first ones stay the same when there are more.
        tables: Tables of a database, within 1 and 4, an outdated twin included.
        columns: Columns of a table, within 3 and 5, its key and its reference included.
        rows: Rows of a table, within 4 and 40.
        questions_per_database: Questions of each database.
        twin: Share of databases with an outdated twin of a table: same columns, other rows, ``old`` in its name.
        shared: How often a column takes the word of a column of another table, with another suffix.
        look_alikes: How often a column's word shares its first syllable with another of the same table.
    """

    part: Part = "train"
    seed: int = 0
    databases: int = 60
    tables: tuple[int, int] = (2, 4)
    columns: tuple[int, int] = (3, 5)
    rows: tuple[int, int] = (6, 14)
    questions_per_database: int = 8
    twin: float = 0.5
    shared: float = 0.3
    look_alikes: float = 0.3

    def __post_init__(self) -> None:
        """Refuse values that do not make a data set.

        Raises:
            ConfigurationError: Naming the option, the value, and what was expected.
        """
        check_choice("part", self.part, PARTS)
        for name, most in (("seed", 2**63 - 1), ("databases", 10_000), ("questions_per_database", 40)):
            value = getattr(self, name)
            least = 0 if name == "seed" else 1
            if type(value) is not int or not least <= value <= most:
                raise ConfigurationError(f"{name}={value!r} is out of range: pass an integer from {least} to {most}.")
        for name, (low, high) in _RANGES.items():
            pair = tuple(getattr(self, name))
            object.__setattr__(self, name, pair)
            whole = len(pair) == 2 and all(type(bound) is int for bound in pair)
            if not whole or not low <= pair[0] <= pair[1] <= high:
                raise ConfigurationError(
                    f"{name}={pair!r} is no range: pass two integers, {low} <= low <= high <= {high}."
                )
        for name in ("twin", "shared", "look_alikes"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value <= 1.0:
                raise ConfigurationError(f"{name}={value!r} is not a share: expected a number from 0 to 1.")

    def digest(self) -> str:
        """Content hash of everything that decides the data set."""
        content = {**asdict(self), "version": VERSION}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:24]
