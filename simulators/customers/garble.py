"""How much of a turn is no English: signs instead of words, endless words, words again and again, cut-off sentences."""

from __future__ import annotations

import re

LONGEST_WORD = 30
"""Characters above which a word is none; addresses of web pages are no words that can be said either."""

REPEATS = 3
"""Times in a row that the same words make a stutter; once more where marks stand between ("no, no, no")."""

LONGEST_STUTTER = 4
"""Words that such a repeated part has at most."""

# Control and replacement characters, halves of surrogate pairs, private use, and signs of markup and code.
_FOREIGN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ufffd\ufffe\uffff\ud800-\udfff\ue000-\uf8ff{}\\[\\]<>|\\\\^~_=#*`]")
_WORDLIKE = re.compile(r"[^\W_]")
_NOT_LATIN = re.compile("[^\x00-\u024f\u0300-\u036f\u1e00-\u1eff\u2000-\u206f\u20a0-\u20bf\u2122]")
_CONSONANTS = re.compile(r"[bcdfghjklmnpqrstvwxz]{7,}", re.IGNORECASE)
_SWITCHES = re.compile(r"(?:[a-z]+\d+){3,}|(?:\d+[a-z]+){3,}", re.IGNORECASE)
_STRETCHED = re.compile(r"([^\W\d_])\1{3,}")
_ALONE = frozenset("-–—&/+%€$£¥.,;:!?…'\"()’‘“”") | {"...", "--", "?!", "!?", "!!", "??", "!!!", "???"}
_CUT_OFF = frozenset(("the", "a", "an", "and", "or", "but", "your", "our", "my", "their"))
_SENTENCE_END = re.compile(r"(?<=[.!?…])\s+|\n+")


def broken_share(text: str) -> float:
    """Share of the words of a text that are garbage or stand in a broken sentence, 0 to 1; 0 for an empty text.

    Garbage is a word with control characters or markup in it, without a letter or digit, of another script, far too
    long, without vowels for too long, or part of a stutter (the same one to four words three times in a row). A
    sentence of several words is broken where it holds no letter, or where the text ends in the middle of it. Total: any
    string.
    """
    if not text.strip():
        return 0.0
    words = text.split()
    garbage = [_is_garbage(word) for word in words]
    _mark_stutter([word.lower() for word in words], garbage)
    place = 0
    for sentence in _SENTENCE_END.split(text):
        count = len(sentence.split())
        if count > 1 and not any(map(str.isalpha, sentence)):
            garbage[place : place + count] = [True] * count
        place += count
    if words[-1].lower() in _CUT_OFF and len(words) > 1:
        last = len(_SENTENCE_END.split(text.rstrip())[-1].split())
        garbage[len(words) - last :] = [True] * last
    return sum(garbage) / len(words)


def _is_garbage(word: str) -> bool:
    if word.isascii() and word.isalpha() and len(word) < 7:
        return bool(_STRETCHED.search(word))
    if word in _ALONE:
        return False
    return bool(
        len(word) > LONGEST_WORD
        or not _WORDLIKE.search(word)
        or _FOREIGN.search(word)
        or _NOT_LATIN.search(word)
        or _CONSONANTS.search(word)
        or _SWITCHES.search(word)
        or _STRETCHED.search(word)
    )


def _mark_stutter(words: list[str], garbage: list[bool]) -> None:
    marked = [not word[-1].isalnum() for word in words]
    for length in range(1, LONGEST_STUTTER + 1):
        run = 0
        for place in range(length, len(words) + 1):
            if place < len(words) and words[place] == words[place - length]:
                run += 1
                continue
            start = place - run - length
            times = REPEATS + any(marked[start : start + length])
            if run >= length * (times - 1):
                garbage[start:place] = [True] * (place - start)
            run = 0
