"""Numbers in a text, as digits or in words, with what they count: money, a percentage, days, anything."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

CURRENCIES: dict[str, tuple[str, ...]] = {
    "EUR": ("euros", "euro", "€", "eur"),
    "USD": ("dollars", "dollar", "$", "usd", "bucks"),
    "GBP": ("pounds", "pound", "£", "gbp"),
    "CHF": ("francs", "franc", "chf"),
    "JPY": ("yen", "¥", "jpy"),
    "SEK": ("kronor", "krona", "sek"),
    "PLN": ("zloty", "zlotys", "pln"),
    "INR": ("rupees", "rupee", "inr"),
}
"""ISO code of a currency: how it is called, the plural first."""

_CURRENCY_OF = {word: code for code, words in CURRENCIES.items() for word in words}
_PERCENT = frozenset(("%", "percent", "pct"))

_PERIODS = {
    **dict.fromkeys(("monthly", "month"), "month"),
    **dict.fromkeys(("yearly", "annually", "year", "annum"), "year"),
    **dict.fromkeys(("weekly", "week"), "week"),
    **dict.fromkeys(("daily", "day"), "day"),
}
_PER = frozenset(("a", "per", "each", "every", "/", "the"))

_SMALL_WORDS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_TENS_WORDS = "twenty thirty forty fifty sixty seventy eighty ninety"
_WORDS = {word: value for value, word in enumerate(_SMALL_WORDS.split())}
_WORDS |= {word: 10 * tens for tens, word in enumerate(_TENS_WORDS.split(), start=2)}
_SCALES = {"hundred": 100, "thousand": 1000, "k": 1000, "million": 1_000_000, "billion": 1_000_000_000}
_LONGEST = 24
"""Characters of a number beyond which it is kept as it stands: nobody says such a one."""


class Figure(NamedTuple):
    """A number that was said.

    Attributes:
        value: Canonical digits: no separators of thousands, no trailing zeros ("29.9").
        kind: ISO code of a currency, ``%``, or empty for a plain number.
        unit: The following word without its plural ("day"); empty where a mark or nothing follows.
        period: ``day``, ``week``, ``month`` or ``year`` where money is said to be paid per that period, else empty.
        spelled: Written in words.
    """

    value: str
    kind: str = ""
    unit: str = ""
    period: str = ""
    spelled: bool = False

    @property
    def key(self) -> str:
        """The number with its kind: ``"29.9"``, ``"29.9 EUR"``, ``"20 %"``."""
        return f"{self.value} {self.kind}" if self.kind else self.value


def canonical(value: float | int | str | Decimal) -> str:
    """Digits of a number in the one way they are compared: ``29.9``, ``"29.90"`` and ``"29,9"`` are all ``"29.9"``."""
    text = str(value)
    if isinstance(value, str):
        if len(text) > _LONGEST:
            return text
        head, separator, tail = _last_separator(text)
        if separator:
            grouped = len(tail) == 3 and not head.startswith("0")
            text = f"{_digits(head)}{'' if grouped else '.'}{tail}"
    number = Decimal(text)
    return format(number.normalize(), "f") if number else "0"


def _last_separator(text: str) -> tuple[str, str, str]:
    place = max(text.rfind("."), text.rfind(","))
    return (text[:place], text[place], text[place + 1 :]) if place >= 0 else (text, "", "")


def _digits(text: str) -> str:
    return text.replace(",", "").replace(".", "")


def figures(plain_text: str) -> tuple[Figure, ...]:
    """All numbers of a text in the form of :func:`~fogline.simulators.customers.plain_text.plain`, in order.

    Times of the day ("3 pm", "10:30") and ordinals are not among them.
    """
    tokens = plain_text.split()
    found: list[Figure] = []
    place = 0
    while place < len(tokens):
        value, after, spelled = _number(tokens, place)
        if after == place:
            place += 1
            continue
        if not _is_time(tokens, after):
            found.append(_figure(tokens, place, after, value, spelled))
        place = after
    return tuple(found)


def _number(tokens: list[str], place: int) -> tuple[str, int, bool]:
    """The number that starts at a place, the place after it, and whether it is in words. No number: the same place."""
    token = tokens[place]
    if token[0].isdecimal():
        if not token[-1].isdecimal() or ":" in token:
            return "", place, False
        value, after = canonical(token), place + 1
        while after < len(tokens) and tokens[after] in _SCALES and len(value) <= _LONGEST:
            value = canonical(Decimal(value) * _SCALES[tokens[after]])
            after += 1
        return value, after, False
    if token in _WORDS or (token == "a" and place + 1 < len(tokens) and tokens[place + 1] in _SCALES):
        total, after = _spelled(tokens, place)
        return str(total), after, True
    return "", place, False


def _spelled(tokens: list[str], place: int) -> tuple[int, int]:
    """Read a number in words: "two hundred and fifty"."""
    total = part = 0
    last = 0
    while place < len(tokens):
        token = tokens[place]
        if token in _WORDS:
            value = _WORDS[token]
            # "five ten" are two numbers; "twenty five" and "hundred five" are one.
            if part and not (part % 100 == 0 or (last >= 20 and last % 10 == 0 and 0 < value < 10)):
                break
            part, last = part + value, value
        elif token in _SCALES and token != "k":
            scale = _SCALES[token]
            part = max(part, 1) * scale
            last = scale
            if scale > 100:
                total, part = total + part, 0
        elif token == "a" and not (part or total):
            pass
        elif not (token == "and" and (part % 100 == 0) and place + 1 < len(tokens) and tokens[place + 1] in _WORDS):
            break
        place += 1
    return total + part, place


def _is_time(tokens: list[str], after: int) -> bool:
    return after < len(tokens) and tokens[after] in ("am", "pm", "oclock")


def _figure(tokens: list[str], start: int, after: int, value: str, spelled: bool) -> Figure:
    before = tokens[start - 1] if start else ""
    following = tokens[after] if after < len(tokens) else ""
    if following in _PERCENT:
        return Figure(value, "%", spelled=spelled)
    if following in _CURRENCY_OF:
        return Figure(value, _CURRENCY_OF[following], "", _period(tokens, after + 1), spelled)
    if before in _CURRENCY_OF and not spelled:
        return Figure(value, _CURRENCY_OF[before], "", _period(tokens, after), spelled)
    unit = following.removesuffix("s'").removesuffix("s") if following[:1].isalpha() else ""
    return Figure(value, "", unit, "", spelled)


def _period(tokens: list[str], place: int) -> str:
    """The period that money is paid for: "a month", "/ month", "monthly"."""
    if place < len(tokens) and tokens[place] in _PER:
        place += 1
        if place < len(tokens) and tokens[place] in _PERIODS:
            return _PERIODS[tokens[place]]
        return ""
    if place < len(tokens) and tokens[place].endswith("ly"):
        return _PERIODS.get(tokens[place], "")
    return ""
