"""Yes or no from a reply: by our own reading, and by those of POPE and MME. All are total and linear in the reply."""

from __future__ import annotations

import re
import unicodedata

MAX_REPLY = 20_000
"""Characters of a reply that are read; a longer one is no answer."""

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
_SENTENCE = re.compile(r"[.!?;\n]+")
_QUOTES = str.maketrans({"’": "'", "‘": "'", "`": "'", "´": "'"})
_YES = frozenset({"yes", "yeah", "yep", "yup", "true", "correct", "indeed"})
_NO = frozenset({"no", "nope", "nah", "false", "incorrect"})
_LETTERS = {"y": True, "n": False}
_NEGATIONS = frozenset({"no", "not", "none", "nothing", "never", "without", "cannot", "nowhere", "neither", "absent"})
_CLAIM = re.compile(
    r"\b(?:there(?: is|'s| are)|it (?:is|does)$|(?:i|you|we) (?:can |do )?see|(?:image|picture|photo|scene)"
    r"(?: \w+)? (?:contains?|has|shows?|includes?|features?|depicts?)|(?:is|are) (?:present|visible|there|shown))\b"
)
_DOUBT = re.compile(
    r"\b(?:yes or no|no or yes|no idea|unsure|unclear|uncertain|perhaps|maybe|not (?:\w+ )?(?:sure|certain|clear)|"
    r"(?:can't|cannot|can not|could not|couldn't|do not|don't|unable to|hard to|difficult to|impossible to) "
    r"(?:tell|say|know|determine|answer|judge|decide))\b"
)


def read_answer(reply: str) -> bool | None:
    """Yes, no, or None where a reply says neither.

    The first sentence that decides counts. A sentence that opens with yes or no says that; one that is in doubt says
    nothing; a negation says no; a yes anywhere, or a plain statement that something is there, says yes.
    """
    if len(reply) > MAX_REPLY:
        return None
    text = unicodedata.normalize("NFKC", reply).translate(_QUOTES).casefold()
    if text.strip(" \t\n.!") in _LETTERS:
        return _LETTERS[text.strip(" \t\n.!")]
    return next((said for part in _SENTENCE.split(text) if (said := _said(part)) is not None), None)


def _said(sentence: str) -> bool | None:
    words = _WORD.findall(sentence)
    opens = bool(words) and words[0] in _YES | _NO and words[1:2] not in (["or"], ["idea"])
    if opens:
        return words[0] in _YES
    if _DOUBT.search(" ".join(words)):
        return None
    if any(word in _NEGATIONS or word.endswith("n't") for word in words) or not _NO.isdisjoint(words):
        return False
    return True if not _YES.isdisjoint(words) or _CLAIM.search(" ".join(words)) else None


def pope_answer(reply: str) -> bool:
    """What POPE's evaluation reads: no where the text before the first full stop has the word No, no or not, else yes.

    Whatever it cannot read is a yes.
    """
    words = reply.partition(".")[0].replace(",", "").split(" ")
    return not {"No", "no", "not"} & set(words)


def mme_answer(reply: str) -> bool | None:
    """What MME's evaluation reads: yes or no within the first four letters; None is counted as wrong."""
    start = reply.lower()[:4]
    if "yes" in start:
        return True
    return False if "no" in start else None


def written(answer: bool | None) -> str:
    """An answer as it is reported; empty where there is none."""
    return "" if answer is None else "yes" if answer else "no"
