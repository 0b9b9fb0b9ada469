"""English made plain before it is searched: lower case, short forms written out, one space between words and marks."""

from __future__ import annotations

import re

_MARKS = str.maketrans(
    {
        "’": "'",
        "‘": "'",
        "ʼ": "'",
        "`": "'",
        "“": " ",
        "”": " ",
        '"': " ",
        "«": " ",
        "»": " ",
        "–": " , ",
        "—": " , ",
        "…": " . ",
        "-": " ",
        "‑": " ",
    }
)

_SHORT_FORMS = (
    (re.compile(r"\bcan'?t\b|\bcannot\b"), "can not"),
    (re.compile(r"\bwon't\b"), "will not"),
    (re.compile(r"\blet's\b"), "let us"),
    (re.compile(r"\bo'clock\b"), "oclock"),
    (re.compile(r"n't\b"), " not"),
    (re.compile(r"'re\b"), " are"),
    (re.compile(r"'ve\b"), " have"),
    (re.compile(r"'ll\b"), " will"),
    (re.compile(r"\bi'm\b"), "i am"),
    (re.compile(r"'d\b"), " would"),
    (re.compile(r"\b(it|that|this|he|she|what|who|there|here|how|where|everything|all|name)'s\b"), r"\1 is"),
)

_INITIALS = re.compile(r"\ba\. ?i\b\.?")

_TOKEN = re.compile(
    r"\d+(?:st|nd|rd|th)\b"  # ordinals are no quantities
    r"|\d{1,2}:\d\d\b"  # nor are times of the day
    r"|\d+(?:[.,]\d+)*"
    r"|[^\W\d_][^\W_]*(?:'[^\W\d_]+)*"
    r"|[.,;:!?%()/€$£¥]"
)


def plain(text: str) -> str:
    """Return the words and marks of a text in one form, each between single spaces, with a space at either end.

    ``"I'm calling – it’s 29.90€!"`` becomes ``" i am calling , it is 29.90 € ! "``. Total: any string gives a string.
    A phrase ``p`` of plain words is in the text exactly if ``f" {p} "`` is in the result.
    """
    lowered = text.lower().translate(_MARKS)
    if "'" in lowered or "cannot" in lowered or "cant" in lowered:
        for pattern, written_out in _SHORT_FORMS:
            lowered = pattern.sub(written_out, lowered)
    if "a." in lowered:
        lowered = _INITIALS.sub("ai", lowered)
    return f" {' '.join(_TOKEN.findall(lowered))} "
