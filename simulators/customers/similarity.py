"""How alike two sentences are: the larger of character-3-gram Jaccard and token ROUGE-L F1; and how alike two turns.

Source: DuCA specification, section 6 (repetition). ROUGE-L counts the longest common subsequence of words, found with
one addition of long integers per word (the bit-parallel recurrence of Crochemore et al. and Hyyrö). Words are runs of
letters and digits, so a script that puts no spaces between them is not divided.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, Protocol
from unicodedata import normalize

SHORTEST_COMPARED = 4
"""Words below which repeating a sentence is no repetition."""

SENTENCES_COMPARED = 40
"""Sentences of one turn that are compared with others. A turn with more is far beyond the longest clean one."""

# A phrasebook of every domain fits; a turn weighs some 30 KB with its trigrams.
TURNS_REMEMBERED = 2**11
TURN_PAIRS_REMEMBERED = 2**17

_HARMLESS_SENTENCES = (
    "Hello and good morning",
    "Hello and good afternoon",
    "Hello and good evening",
    "Good morning to you",
    "Good afternoon to you",
    "Good evening to you",
    "Hello, how are you",
    "Hello, how are you today",
    "How are you today",
    "How are you doing today",
    "I hope you are well",
    "I hope you are doing well",
    "Please take your time",
    "Just take your time",
    "Take all the time you need",
    "Please take all the time you need",
    "Take your time, there is no rush",
    "There is no rush",
    "There is no hurry",
    "No rush at all",
    "Thank you very much",
    "Thank you so much",
    "Thank you for your time",
    "Thanks for your time",
    "Thank you for your patience",
    "Thanks for your patience",
    "Thank you for waiting",
    "I am still here",
    "I'm still here",
    "I am sorry about that",
    "I'm sorry about that",
    "Have a nice day",
    "Have a good day",
    "Have a great day",
)

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+|(?<=\d)[.,]\d[^\W_]*)*")
_END = re.compile(r"[.!?…。！？]+[\"'”’)\]]*")
_NEXT = re.compile(r"\S")
_LAST_WORD = re.compile(r"\S*\Z")
_NEVER_LAST = frozenset(("mr", "mrs", "ms", "dr", "prof", "st", "e.g", "i.e", "vs", "approx"))
_SELDOM_LAST = frozenset(("a.m", "p.m", "etc", "inc", "ltd", "co", "corp", "no", "incl", "excl", "max", "min", "tel"))


@dataclass(frozen=True, slots=True, eq=False)
class Sentence:
    """A sentence, prepared once by :func:`prepare`.

    Attributes:
        text: Normalised (compatibility characters, case folded, straight apostrophes, white space run together).
        tokens: Words, punctuation left out; "19.90" and "don't" are one each.
        trigrams: Set of character 3-grams of ``text``; a shorter text is its own only gram.
        opener: The first three words, joined.
        comparable: Whether saying it again is repetition: it has at least ``SHORTEST_COMPARED`` words and is not one
            of the courtesies that are harmless.
    """

    text: str
    tokens: tuple[str, ...]
    trigrams: frozenset[str]
    opener: str
    comparable: bool


class Turn(Protocol):
    """What is compared of a turn. Hashed by identity, so that comparisons can be remembered."""

    @property
    def sentences(self) -> tuple[Sentence, ...]:
        """In order."""
        ...

    @property
    def whole(self) -> Sentence:
        """The whole turn as one sentence."""
        ...


class Overlap(NamedTuple):
    """How much of a turn was there in another one, all in [0, 1].

    Attributes:
        sentence: Largest similarity of a comparable sentence with a comparable one of the other; 0 where there is none.
        whole: Similarity of the whole turns.
        echoes: For each sentence (the first ``SENTENCES_COMPARED``, harmless and short ones included), the largest
            similarity with a sentence of the other turn.
    """

    sentence: float
    whole: float
    echoes: tuple[float, ...] = ()


def prepare(text: str) -> Sentence:
    """Make a text ready for comparison. Total: any string, lone surrogates included, gives a sentence."""
    plain = " ".join(normalize("NFKC", text).casefold().replace("’", "'").split())
    tokens = tuple(map(sys.intern, _WORD.findall(plain)))
    grams = {sys.intern(plain[start : start + 3]) for start in range(max(1, len(plain) - 2))} if plain else ()
    comparable = len(tokens) >= SHORTEST_COMPARED and tokens not in _HARMLESS
    return Sentence(plain, tokens, frozenset(grams), " ".join(tokens[:3]), comparable)


_HARMLESS = frozenset(tuple(_WORD.findall(sentence.casefold())) for sentence in _HARMLESS_SENTENCES)


def split_sentences(text: str) -> tuple[Sentence, ...]:
    """Divide a turn at ``. ! ? …`` and at line breaks; pieces without a word are left out.

    Abbreviations, initials, decimal numbers, addresses ("example.com") and the numbers of a list stay whole.
    """
    pieces = (prepare(piece) for line in text.splitlines() for piece in _pieces(line))
    return tuple(piece for piece in pieces if piece.tokens)


def _pieces(line: str) -> list[str]:
    pieces, start = [], 0
    for end in _END.finditer(line):
        if _ends_sentence(line, start, end):
            pieces.append(line[start : end.end()])
            start = end.end()
    pieces.append(line[start:])
    return pieces


def _ends_sentence(line: str, start: int, end: re.Match[str]) -> bool:
    if end[0][0] != "." or end[0][:2] == "..":
        return True
    after = line[end.end() : end.end() + 1]
    if after and not after.isspace():
        # "done.Next" was meant as two sentences; "example.com" and "19.90" were not.
        return after.isupper() and line[end.start() - 1 : end.start()].islower()
    # The start of a word that is too long to be an abbreviation does not matter.
    found = _LAST_WORD.search(line, max(start, end.start() - 8), end.start())
    word = found[0].lstrip("(\"'“‘").casefold() if found else ""
    if word in _NEVER_LAST or (word.isdecimal() and line[start : end.start()].strip() == word):
        return False
    following = _NEXT.search(line, end.end())
    character = following[0] if following else ""
    if word in _SELDOM_LAST:
        return not (character.islower() or character.isdecimal())
    return not (len(word) == 1 and word.isalpha() and word != "i" and character.isupper())


def similarity(first: Sentence, second: Sentence) -> float:
    """The larger of character-3-gram Jaccard and token ROUGE-L F1.

    Symmetric, in [0, 1]; 1 for equal texts, 0 where one of them is empty.
    """
    if first.text == second.text:
        return 1.0 if first.text else 0.0
    shared = len(first.trigrams & second.trigrams)
    jaccard = shared / (len(first.trigrams) + len(second.trigrams) - shared) if shared else 0.0
    return max(jaccard, _rouge_l(first.tokens, second.tokens, jaccard))


def _rouge_l(first: tuple[str, ...], second: tuple[str, ...], floor: float) -> float:
    """F1 of the longest common subsequence; 0 where it cannot be above ``floor``."""
    total = len(first) + len(second)
    if not total or 2 * min(len(first), len(second)) / total <= floor:
        return 0.0
    places: dict[str, int] = {}
    bit = 1
    for token in first:
        places[token] = places.get(token, 0) | bit
        bit <<= 1
    # A word that the other sentence lacks leaves the column as it is.
    columns = [places[token] for token in second if token in places]
    if 2 * len(columns) / total <= floor:
        return 0.0
    # Zero bits mark the rows where the length of the common subsequence grows.
    row = full = bit - 1
    for column in columns:
        matched = row & column
        row = ((row + matched) | (row - matched)) & full
    return 2 * (len(first) - row.bit_count()) / total


def measure_overlap(later: Turn, earlier: Turn) -> Overlap:
    """Compare two turns afresh. :func:`overlap` is the same, remembered."""
    others = earlier.sentences[:SENTENCES_COMPARED]
    found = [_echo(sentence, others) for sentence in later.sentences[:SENTENCES_COMPARED]]
    return Overlap(
        max((counted for counted, _ in found), default=0.0),
        similarity(later.whole, earlier.whole),
        tuple(echo for _, echo in found),
    )


def measure_inner(turn: Turn) -> Overlap:
    """Compare each sentence with the earlier ones of its own turn, afresh; ``whole`` is 0."""
    sentences = turn.sentences[:SENTENCES_COMPARED]
    found = [_echo(sentence, sentences[:index]) for index, sentence in enumerate(sentences)]
    return Overlap(max((counted for counted, _ in found), default=0.0), 0.0, tuple(echo for _, echo in found))


def _echo(sentence: Sentence, others: tuple[Sentence, ...]) -> tuple[float, float]:
    """Largest similarity of comparable sentences, and of any."""
    counted = echo = 0.0
    for other in others:
        alike = similarity(sentence, other)
        if alike > echo:
            echo = alike
        if alike > counted and sentence.comparable and other.comparable:
            counted = alike
    return counted, echo


overlap = lru_cache(maxsize=TURN_PAIRS_REMEMBERED)(measure_overlap)
inner = lru_cache(maxsize=TURNS_REMEMBERED)(measure_inner)
