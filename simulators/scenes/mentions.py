"""Which objects a text mentions: by every name that they have, one mention for each time.

Published captions are read by CHAIR's rules: synonyms stand for one object, several words may be one name, plurals
count as their singular.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

_WORD = re.compile(r"[^\W_]+")
_IRREGULAR = {
    "men": "man",
    "women": "woman",
    "children": "child",
    "mice": "mouse",
    "geese": "goose",
    "oxen": "ox",
}
_MEN = re.compile(r"(.+m)en")


@dataclass(frozen=True)
class Vocabulary:
    """Objects and what they are called.

    Attributes:
        objects: In a fixed order.
        synonyms: Object of every further name.
        phrases: Of several words: the object that they mean together, or None where they mean none of the objects that
            their words name.
        unheard: Words that are no mention where another word is in the text, too, which is given with each.
    """

    objects: tuple[str, ...]
    synonyms: Mapping[str, str] = field(default_factory=dict, repr=False)
    phrases: Mapping[str, str | None] = field(default_factory=dict, repr=False)
    unheard: Mapping[str, str] = field(default_factory=dict, repr=False)

    def mentions(self, text: str) -> tuple[str, ...]:
        """Objects that a text mentions, in its order, once for each mention; of several names the longest counts."""
        words = _words(text)
        spoken = set(words)
        found: list[str] = []
        start = 0
        while start < len(words):
            length, name = self._longest(words, start)
            if name is not None and not (length == 1 and self.unheard.get(words[start]) in spoken):
                found.append(name)
            start += length
        return tuple(found)

    def _longest(self, words: list[str], start: int) -> tuple[int, str | None]:
        for length in range(min(self._most_words, len(words) - start), 0, -1):
            *before, last = words[start : start + length]
            for form in _forms(last):
                key = (*before, form)
                if key in self._names:
                    return length, self._names[key]
        return 1, None

    @cached_property
    def _names(self) -> dict[tuple[str, ...], str | None]:
        called = {**self.phrases, **self.synonyms, **{name: name for name in self.objects}}
        return {tuple(_words(name)): meant for name, meant in called.items()}

    @cached_property
    def _most_words(self) -> int:
        return max(map(len, self._names), default=1)


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def _forms(word: str) -> tuple[str, ...]:
    """The word, then what it may be the plural of."""
    if word in _IRREGULAR:
        return word, _IRREGULAR[word]
    men = _MEN.fullmatch(word)
    if men is not None:
        return word, f"{men[1]}an"
    if not word.endswith("s") or word.endswith("ss"):
        return (word,)
    if word.endswith("ies"):
        return word, f"{word[:-3]}y", word[:-1]
    if word.endswith("ves"):
        return word, f"{word[:-3]}fe", f"{word[:-3]}f", word[:-1]
    if word.endswith("es"):
        return word, word[:-1], word[:-2]
    return word, word[:-1]
