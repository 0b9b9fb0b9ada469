"""Invented words, dealt to parts once and for all, so that databases of different parts share no name."""

from __future__ import annotations

import re
from functools import cache
from typing import Literal, get_args

from numpy.random import Generator, default_rng

Part = Literal["sft", "train", "validation", "test"]
PARTS: tuple[Part, ...] = get_args(Part)

_SHARES: dict[Part, float] = {"sft": 0.4, "train": 0.2, "validation": 0.2, "test": 0.2}
_CONSONANTS = "bdfgklmnprstvz"
_OPENING_VOWELS = "aeiou"
# No word ends in "e": that keeps "name", "none" and most other short English words out of the inventory.
_CLOSING_VOWELS = "aiou"
_DEAL = 20_260_316
SUFFIXES: tuple[str, ...] = tuple(consonant + vowel for consonant in "chjqwxy" for vowel in "aeiou")
"""Second halves of identifiers: ``kavo_ju`` is what the database calls what a question calls ``kavo``."""
_WORD = re.compile(r"(?<![a-z])[a-z]{4}(?![a-z])")
_ENDING = re.compile(r"_([a-z]{2})(?![a-z])")


@cache
def words_of(part: Part) -> tuple[str, ...]:
    """The words of a part, in a fixed order: two different open syllables each, in no other part."""
    syllables = [consonant + vowel for consonant in _CONSONANTS for vowel in _OPENING_VOWELS]
    closings = [syllable for syllable in syllables if syllable[1] in _CLOSING_VOWELS]
    words = [first + second for first in syllables for second in closings if first != second]
    dealt = [words[i] for i in default_rng(_DEAL).permutation(len(words))]
    begin = 0.0
    for name in PARTS:
        end = begin + _SHARES[name]
        if name == part:
            return tuple(dealt[round(begin * len(dealt)) : round(end * len(dealt))])
        begin = end
    raise KeyError(part)


@cache
def known_words(part: Part) -> frozenset[str]:
    """The words of a part, to look one up."""
    return frozenset(words_of(part))


@cache
def _by_opening(part: Part) -> dict[str, list[str]]:
    words: dict[str, list[str]] = {}
    for word in words_of(part):
        words.setdefault(word[:2], []).append(word)
    return words


class Relettering:
    """Deals the names of a database anew: each of its words becomes another of the same part, everywhere alike.

    What reads as a new database costs nothing, so that a learner can be shown every name just once. Words that share
    their first syllable go on sharing one.

    Args:
        part: Whose words are replaced, and by whose.
        rng: Source of the draws.
    """

    def __init__(self, part: Part, rng: Generator) -> None:
        self._known = known_words(part)
        openings = sorted(_by_opening(part))
        self._opening = dict(zip(openings, (openings[i] for i in rng.permutation(len(openings))), strict=True))
        self._suffix = dict(zip(SUFFIXES, (SUFFIXES[i] for i in rng.permutation(len(SUFFIXES))), strict=True))
        self._part, self._rng = part, rng
        self._left: dict[str, list[str]] = {}
        self._words: dict[str, str] = {}

    def __call__(self, text: str) -> str:
        """The text with its words and the endings of its identifiers replaced."""
        text = _WORD.sub(lambda match: self._renamed(match.group()), text)
        return _ENDING.sub(lambda match: f"_{self._suffix.get(match.group(1), match.group(1))}", text)

    def _renamed(self, word: str) -> str:
        if word not in self._known:
            return word
        if word not in self._words:
            opening = self._opening[word[:2]]
            if opening not in self._left:
                words = _by_opening(self._part)[opening]
                self._left[opening] = [words[i] for i in self._rng.permutation(len(words))]
            self._words[word] = self._left[opening].pop()
        return self._words[word]


class Namer:
    """Draws the words of one database; each starts with a syllable of its own unless it is to resemble another.

    A reader who copies a word syllable by syllable never has to look back more than one syllable, except at
    look-alikes.

    Args:
        part: Whose words to draw.
        rng: Source of the draws.
    """

    def __init__(self, part: Part, rng: Generator) -> None:
        self._rng = rng
        words = words_of(part)
        self._left = [words[i] for i in rng.permutation(len(words))]
        self._openings: set[str] = set()
        self._identifiers: set[str] = set()

    def word(self) -> str:
        """A new word. ``IndexError`` when the first syllables are used up."""
        word = next((word for word in self._left if word[:2] not in self._openings), None)
        if word is None:
            raise IndexError("no word is left whose first syllable is free")
        return self._take(word)

    def look_alike(self, other: str) -> str:
        """A new word that shares the first syllable of ``other``."""
        word = next((word for word in self._left if word[:2] == other[:2]), None)
        return self.word() if word is None else self._take(word)

    def identifier(self, stem: str) -> str:
        """A new identifier for ``stem``: stem, underscore, a drawn suffix."""
        while True:
            name = f"{stem}_{SUFFIXES[int(self._rng.integers(len(SUFFIXES)))]}"
            if name not in self._identifiers:
                self._identifiers.add(name)
                return name

    def _take(self, word: str) -> str:
        self._left.remove(word)
        self._openings.add(word[:2])
        return word
