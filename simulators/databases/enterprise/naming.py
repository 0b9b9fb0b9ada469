"""Identifier styles: how concept words become names of tables and columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from numpy.random import Generator

from fogline.simulators.databases.enterprise.lexicon import abbreviation, spelling
from fogline.simulators.databases.enterprise.model import Half

Case = Literal["snake", "camel", "pascal", "upper"]
_CASES: dict[Half, tuple[Case, ...]] = {"a": ("snake", "snake", "camel"), "b": ("snake", "upper", "pascal")}
KEY_WORDS: dict[Half, tuple[str, ...]] = {"a": ("id", "no", "key"), "b": ("ident", "ref", "pk")}
NEUTRAL_MARKS: dict[Half, tuple[str, ...]] = {"a": ("", "", "mstr", "tbl"), "b": ("", "", "main", "core")}
STALE_MARKS: dict[Half, tuple[str, ...]] = {
    "a": ("old", "bak", "legacy", "tmp", "x"),
    "b": ("former", "copy", "retired", "hold", "z"),
}
VERSION_MARKS: dict[Half, str] = {"a": "v", "b": "rev"}

# Words that some engine refuses as a bare identifier, as far as our vocabularies can produce them.
_RESERVED_WORDS = """
abort action add after all alter always analyse analyze and any array as asc asymmetric attach autoincrement before
begin between both by cascade case cast check collate column commit conflict constraint create cross current
current_date current_time current_timestamp current_user database date day days default deferrable deferred delete
desc describe detach distinct do drop each else end escape except exclude exclusive exists explain fail false fetch
filter first following for foreign freeze from full generated glob grant group groups having if ignore ilike immediate
in index indexed initially inner insert instead intersect into is isnull join key lambda last lateral leading left like
limit match materialized natural no not nothing notnull null nulls of off offset on only or order others outer over
overlaps partition pivot placing plan position pragma preceding primary qualify query raise range recursive references
regexp reindex release rename replace restrict returning right rollback row rows savepoint select session set show
similar some summarize symmetric table tablesample temp temporary then ties to trailing transaction trigger true
unbounded union unique unpivot update user using vacuum value values variadic verbose view virtual when where window
with within without
"""
RESERVED = frozenset(_RESERVED_WORDS.split())


@dataclass(slots=True)
class Namer:
    """Draws identifiers in the style of one database.

    Attributes:
        half: Vocabulary in use.
        rng: Source of choices.
        case: Case convention.
        abbreviated: Share of words that are abbreviated.
        prefix: Word put before every table name, or empty.
    """

    half: Half
    rng: Generator
    case: Case
    abbreviated: float
    prefix: str

    @classmethod
    def draw(cls, half: Half, rng: Generator, abbreviated: float) -> Namer:
        """A style of the half: case convention and table prefix."""
        case = _CASES[half][int(rng.integers(len(_CASES[half])))]
        prefixes = ("", "", "t") if half == "a" else ("", "", "tb")
        return cls(half, rng, case, abbreviated, prefixes[int(rng.integers(len(prefixes)))])

    def pick(self, options: Sequence[str]) -> str:
        """One of ``options``."""
        return options[int(self.rng.integers(len(options)))]

    def parts(self, words: Sequence[str]) -> tuple[str, ...]:
        """The words as spelt here, each abbreviated or not."""
        return tuple(
            abbreviation(word, self.half) if self.rng.random() < self.abbreviated else spelling(word, self.half)
            for word in words
        )

    def join(self, parts: Sequence[str]) -> str:
        """Put parts together in the case convention."""
        kept = [part for part in parts if part]
        if self.case == "snake":
            return "_".join(kept)
        if self.case == "upper":
            return "_".join(kept).upper()
        titled = "".join(part[0].upper() + part[1:] for part in kept)
        return titled if self.case == "pascal" else titled[0].lower() + titled[1:]

    def table(self, words: Sequence[str], marks: Sequence[str], taken: set[str]) -> str:
        """A new table name from concept words and literal marks; enters it in ``taken``."""
        return self._unique([self.prefix, *self.parts(words), *marks], taken)

    def column(self, parts: Sequence[str], taken: set[str]) -> str:
        """A new column name from ready parts; enters it in ``taken``."""
        return self._unique(list(parts), taken)

    def _unique(self, parts: list[str], taken: set[str]) -> str:
        if self.join(parts).lower() in RESERVED:
            parts[-1] += "s"
        name = self.join(parts)
        number = 2
        while name.lower() in taken or name.lower() in RESERVED:
            name = self.join([*parts, str(number)])
            number += 1
        taken.add(name.lower())
        return name
