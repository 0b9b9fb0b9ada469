"""How far a schema can be guessed without exploring: two baselines that see the question and the names only."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache

from fogline.simulators.databases.records import Catalogue, Column, ForeignKey, SchemaSubset

_PIECES = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_WORDS = re.compile(r"[a-z]+")
_VOWELS = frozenset("aeiou")
_KNOWN_ABBREVIATIONS: Mapping[str, str] = {
    "no": "number", "nbr": "number", "dt": "date", "dy": "day", "qty": "quantity", "amt": "amount", "nm": "name",
    "cd": "code", "pct": "percent", "id": "id", "rf": "reference", "ref": "reference", "txn": "transaction",
    "lbl": "label", "vl": "value",
}  # fmt: skip


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_STOP_WORDS = _set(
    "a an and are as at be been but by can do does each either every find first for from get give has have how i if in "
    "inclusive into is it its itself list many more most much no nor not of on one only or order ordered out over per "
    "recorded rounded second show than that the their them then there these they this those to together two under up "
    "was were what when where which who whose with within without alphabetically ascending descending decimals "
    "letter column columns row rows ties tied broken break"
)
_STALE = _set(
    "old bak backup legacy tmp temp copy former retired hold arch archive stg staging feed hist history log trail "
    "chronicle protocol doc document attachment summary smry digest x z vw look active recent"
)
_EMPTY_MARKS = _set("t tb tbl mstr main core v rev")


@lru_cache(maxsize=65_536)
def split_identifier(name: str) -> tuple[str, ...]:
    """Lower-cased parts of an identifier, split at underscores, case changes and digits."""
    return tuple(piece.lower() for piece in _PIECES.findall(name))


@lru_cache(maxsize=65_536)
def stem(word: str) -> str:
    """The word without its inflection, roughly."""
    for ending, replacement in (("ies", "y"), ("sses", "ss"), ("ing", ""), ("ed", ""), ("es", "e"), ("s", "")):
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not word.endswith("ss"):
            return word[: len(word) - len(ending)] + replacement
    return word


def _is_subsequence(short: str, word: str) -> bool:
    rest = iter(word)
    return all(letter in rest for letter in short)


@lru_cache(maxsize=1_048_576)
def same_word(part: str, word: str) -> float:
    """How surely an identifier part stands for a word: 1 same, 0.8 known, 0.7 prefix, 0.5 skeleton, 0 not."""
    if stem(part) == stem(word):
        return 1.0
    known = _KNOWN_ABBREVIATIONS.get(part)
    if known is not None:
        return 0.8 if known == stem(word) else 0.0
    if len(part) < 2 or part[0] != word[0]:
        return 0.0
    if len(part) >= 3 and (word.startswith(part) or (len(word) >= 4 and stem(part)[:4] == stem(word)[:4])):
        return 0.7
    consonants_only = not any(letter in _VOWELS for letter in part[1:])
    return 0.5 if len(part) >= 3 and consonants_only and _is_subsequence(part, word) else 0.0


def question_words(question: str) -> tuple[str, ...]:
    """Words of a question that carry meaning, each once."""
    return tuple(dict.fromkeys(word for word in _WORDS.findall(question.lower()) if word not in _STOP_WORDS))


def _inverse_frequencies(names: Iterable[tuple[str, ...]]) -> dict[str, float]:
    listing = [set(parts) for parts in names]
    counts = Counter(part for parts in listing for part in parts)
    return {part: math.log(1.0 + len(listing) / count) for part, count in counts.items()}


def _useful(parts: tuple[str, ...]) -> list[str]:
    return [part for part in parts if not part.isdigit() and part not in _STALE and part not in _EMPTY_MARKS]


def _score(parts: tuple[str, ...], words: tuple[str, ...], weights: Mapping[str, float]) -> float:
    """Weighted share of the parts that the question mentions, times how much they say."""
    useful = _useful(parts)
    total = sum(weights[part] for part in useful)
    if total == 0.0:
        return 0.0
    matched = sum(weights[part] * max((same_word(part, word) for word in words), default=0.0) for part in useful)
    return matched * (0.5 + 0.5 * matched / total)


def _covered(parts: tuple[str, ...], words: tuple[str, ...], weights: Mapping[str, float]) -> float:
    """Weighted share of a name that the question mentions."""
    useful = _useful(parts)
    total = sum(weights[part] for part in useful)
    if total == 0.0:
        return 0.0
    return sum(weights[part] for part in useful if any(same_word(part, word) > 0.0 for word in words)) / total


def _freshness(parts: tuple[str, ...]) -> float:
    """Prefers unmarked names, and the highest version among versions."""
    if any(part in _STALE for part in parts) or any(part.isdigit() and len(part) == 4 for part in parts):
        return 0.15
    versions = [int(part) for part in parts if part.isdigit()]
    return 1.0 + 0.02 * min(versions[-1], 9) if versions else 1.0


class _Index:
    """Scores of the tables and columns of a catalogue for one question."""

    def __init__(self, question: str, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.words = question_words(question)
        names = {table: split_identifier(table) for table in catalogue.tables}
        weights = _inverse_frequencies(names.values())
        columns = {
            (table, column.name): split_identifier(column.name)
            for table, listing in catalogue.tables.items()
            for column in listing
        }
        column_weights = _inverse_frequencies(columns.values())
        self.columns = {key: _score(parts, self.words, column_weights) for key, parts in columns.items()}
        self.coverage = {
            table: _covered(parts, self.words, weights) * min(1.0, _freshness(parts)) for table, parts in names.items()
        }
        self.column_coverage = {key: _covered(parts, self.words, column_weights) for key, parts in columns.items()}
        self.names = {table: _score(parts, self.words, weights) * _freshness(parts) for table, parts in names.items()}
        self.tables = {table: self.names[table] + 0.25 * self._best_columns(table) for table in names}

    def _best_columns(self, table: str) -> float:
        scores = sorted((self.columns[table, column.name] for column in self.catalogue.tables[table]), reverse=True)
        return sum(scores[:3])

    def matching_columns(self, table: str, share: float) -> list[str]:
        """Columns of which the question mentions at least a share of the name."""
        names = [column.name for column in self.catalogue.tables[table]]
        return [name for name in names if self.column_coverage[table, name] >= share]


def _core(name: str) -> tuple[str, ...]:
    return tuple(stem(part)[:3] for part in _useful(split_identifier(name)))


def _link_columns(chosen: list[str], keys: tuple[ForeignKey, ...]) -> set[tuple[str, str]]:
    found = set()
    for key in keys:
        if key.table in chosen and key.parent_table in chosen:
            found |= {(key.table, key.column), (key.parent_table, key.parent_column)}
    return found


def _bridge(chosen: list[str], keys: tuple[ForeignKey, ...]) -> list[str]:
    """Add the table between two chosen ones that are not linked but have a common neighbour."""
    neighbours: dict[str, set[str]] = {}
    for key in keys:
        neighbours.setdefault(key.table, set()).add(key.parent_table)
        neighbours.setdefault(key.parent_table, set()).add(key.table)
    if len(chosen) != 2 or chosen[1] in neighbours.get(chosen[0], set()):
        return chosen
    common = sorted(neighbours.get(chosen[0], set()) & neighbours.get(chosen[1], set()))
    return [*chosen, common[0]] if len(common) == 1 else chosen


def keyword_retriever(
    question: str, catalogue: Catalogue, *, share: float = 0.75, most_tables: int = 4, column_share: float = 0.7
) -> SchemaSubset:
    """Pick tables and columns by the words that names and question have in common.

    Identifiers are split, stemmed, and compared with prefixes and consonant skeletons of the question's words, weighted
    by inverse frequency; marked copies count less, and of look-alikes only the best is kept.

    Args:
        question: The user's words.
        catalogue: The true schema: more than an agent is given.
        share: Tables are taken when the question mentions at least this share of their name.
        most_tables: Tables taken at most.
        column_share: Columns are taken when the question mentions at least this share of their name.

    Returns:
        The guess, join columns of declared keys included; the best table alone where no name is mentioned.
    """
    index = _Index(question, catalogue)
    ranked = sorted(index.tables, key=lambda table: (-index.tables[table], table))
    chosen: list[str] = []
    for table in ranked:
        if len(chosen) == most_tables:
            break
        if index.coverage[table] >= share and _core(table) not in [_core(other) for other in chosen]:
            chosen.append(table)
    if not chosen:
        chosen = [table for table in ranked[:1] if index.tables[table] > 0.0]
    chosen = _bridge(chosen, catalogue.foreign_keys)
    columns = {table: index.matching_columns(table, column_share) for table in chosen}
    for table, column in sorted(_link_columns(chosen, catalogue.foreign_keys)):
        if column not in columns[table]:
            columns[table].append(column)
    return SchemaSubset.of(chosen, columns)


def no_join_heuristic(question: str, catalogue: Catalogue) -> SchemaSubset:
    """Pick the one table whose name and columns the question mentions most, and those columns.

    Args:
        question: The user's words.
        catalogue: The true schema.

    Returns:
        One table with columns; empty when nothing matches.
    """
    index = _Index(question, catalogue)

    def coverage(table: str) -> float:
        listing: tuple[Column, ...] = catalogue.tables[table]
        return index.names[table] + 0.5 * sum(index.columns[table, column.name] for column in listing) / 2.0

    best = min(catalogue.tables, key=lambda table: (-coverage(table), table), default="")
    if not best or coverage(best) == 0.0:
        return SchemaSubset()
    return SchemaSubset.of([best], {best: index.matching_columns(best, 0.7)})
