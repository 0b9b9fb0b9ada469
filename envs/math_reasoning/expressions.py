"""Mathematical text, read by a bounded grammar: plain notation and the part of LaTeX that answers are written in.

Model text reaches no interpreter. Whatever is handed in, the work is bounded by constants: characters and tokens read,
brackets within brackets, size of an exponent, and bits of a number.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import NamedTuple, NoReturn

from fogline.core.errors import FoglineError

MAX_CHARACTERS = 400
MAX_TOKENS = 200
MAX_DEPTH = 30
MAX_EXPONENT = 64
MAX_BITS = 2048

FUNCTIONS = frozenset({"sqrt", "sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "log", "ln"})
CONSTANTS = frozenset({"pi", "e", "i"})
GREEK = frozenset({"alpha", "beta", "gamma", "delta", "theta", "lambda", "mu", "phi", "omega", "rho", "sigma"})

_COMMANDS = {"cdot": "*", "times": "*", "div": "/"}
_SIGNS = str.maketrans(
    {"−": "-", "–": "-", "×": "*", "·": "*", "⋅": "*", "÷": "/", "∕": "/", "π": " pi ", "√": "\\sqrt "}
)
_IGNORED = re.compile(r"\\(?:left|right|displaystyle|quad|qquad|[,;:! ])|\$|~")
_FRACTION = re.compile(r"\\[dtc]frac(?![a-z])")
_TOKEN = re.compile(
    r"(?P<number>[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])(?:\.[0-9]+)?|[0-9]+(?:\.[0-9]*)?|\.[0-9]+)"
    r"|\\(?P<command>[a-zA-Z]+)|(?P<word>[a-zA-Z]+)|(?P<sign>\*\*|[-+*/^(){}\[\]|_])|(?P<space>\s+)|(?P<other>.)",
    re.DOTALL,
)
_ARITHMETIC = ("+", "-", "*", "/", "^", "root", "negative", "absolute")
_VOWEL = re.compile("[aeiouAEIOU]")
_CLOSING = {"(": ")", "{": "}", "[": "]", "|": "|"}


class ExpressionError(FoglineError, ValueError):
    """The text is no expression of this grammar, or larger than its bounds; the message says which."""


class Expression(NamedTuple):
    """One node of a read expression.

    Attributes:
        operator: ``number``, ``name``, one of ``+ - * / ^``, ``negative``, ``absolute``, ``root`` (radicand, degree)
            or a member of :data:`FUNCTIONS`.
        parts: Operands.
        value: Of a number, exact.
        name: Of a name: a constant, a single letter or a Greek one.
    """

    operator: str
    parts: tuple[Expression, ...] = ()
    value: Fraction = Fraction(0)
    name: str = ""


class _Token(NamedTuple):
    kind: str
    text: str
    spaced: bool


def parse(text: str) -> Expression:
    r"""Read an expression.

    Digits are ASCII; ``1,000`` is a thousand; ``3 1/2`` and ``3\frac{1}{2}`` are mixed numbers; ``2x`` and ``2(3)``
    multiply; ``-2^2`` is -4; powers bind to the right.

    Raises:
        ExpressionError: For anything else, and for text beyond the bounds of this module.
    """
    if len(text) > MAX_CHARACTERS:
        raise ExpressionError(f"an expression of {len(text)} characters: at most {MAX_CHARACTERS} are read.")
    tokens = _tokens(text)
    if len(tokens) > MAX_TOKENS:
        raise ExpressionError(
            f"an expression of {len(tokens)} signs, numbers and names: at most {MAX_TOKENS} are read."
        )
    return _Parser(tokens).read()


def exact_value(expression: Expression) -> Fraction:
    """Value of an expression of numbers, ``+ - * /``, whole powers and roots that come out even.

    Raises:
        ExpressionError: It holds names, functions or other roots, divides by zero, or a number outgrows the bounds.
    """
    operator = expression.operator
    if operator == "number":
        return expression.value
    if operator not in _ARITHMETIC:
        raise ExpressionError(f"{expression.name or operator!r} has no exact rational value.")
    values = [exact_value(part) for part in expression.parts]
    if operator == "negative":
        return -values[0]
    if operator == "absolute":
        return abs(values[0])
    if operator == "root":
        return _even_root(values[0], values[1])
    return _bounded(_combined(operator, values[0], values[1]))


def calculate(text: str) -> Fraction:
    """Read and evaluate in one go: the calculator of the environment.

    Raises:
        ExpressionError: See :func:`parse` and :func:`exact_value`.
    """
    return exact_value(parse(text))


def written(value: Fraction) -> str:
    """A rational number as answers write it: ``7``, ``-3`` or ``7/2``."""
    return str(value)


def _combined(operator: str, left: Fraction, right: Fraction) -> Fraction:
    if operator == "+":
        return left + right
    if operator == "-":
        return left - right
    if operator == "*":
        return left * right
    if operator == "/":
        if right == 0:
            raise ExpressionError("division by zero.")
        return left / right
    if right.denominator != 1 or abs(right) > MAX_EXPONENT:
        raise ExpressionError(f"the exponent {_shown(right)}: a whole number of at most {MAX_EXPONENT} is expected.")
    if left == 0 and right < 0:
        raise ExpressionError("division by zero.")
    return Fraction(left ** int(right))


def _even_root(value: Fraction, degree: Fraction) -> Fraction:
    if degree.denominator != 1 or not 2 <= degree <= MAX_EXPONENT or value < 0:
        raise ExpressionError(f"a root of degree {_shown(degree)} of {_shown(value)} has no exact rational value.")
    roots = [_whole_root(part, int(degree)) for part in (value.numerator, value.denominator)]
    if Fraction(*roots) ** int(degree) != value:
        raise ExpressionError(f"the root of {_shown(value)} has no exact rational value.")
    return Fraction(*roots)


def _whole_root(value: int, degree: int) -> int:
    """The largest whole number whose power is not above ``value``, by bisection."""
    low, high = 0, 1 << (value.bit_length() // degree + 1)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if middle**degree <= value else (low, middle - 1)
    return low


def _bounded(value: Fraction) -> Fraction:
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > MAX_BITS:
        raise ExpressionError(f"a number of more than {MAX_BITS} bits.")
    return value


def _shown(value: Fraction) -> str:
    text = str(value)
    return text if len(text) <= 20 else f"{text[:20]}…"


def _tokens(text: str) -> list[_Token]:
    plain = _FRACTION.sub(r"\\frac", _IGNORED.sub(" ", text.replace("{,}", ",").replace("\\,", "").translate(_SIGNS)))
    tokens: list[_Token] = []
    spaced = False
    for match in _TOKEN.finditer(plain):
        kind, body = match.lastgroup or "", match.group(match.lastgroup or 0)
        if kind == "space":
            spaced = True
            continue
        if kind == "other":
            raise ExpressionError(f"the character {body!r} (U+{ord(body):04X}) is not part of an expression.")
        tokens += _named(kind, body, spaced)
        spaced = False
    return tokens


def _named(kind: str, body: str, spaced: bool) -> list[_Token]:
    """Split words into names and give operators one spelling."""
    if kind == "sign":
        return [_Token("sign", "^" if body == "**" else body, spaced)]
    if kind == "number":
        return [_Token("number", body.replace(",", ""), spaced)]
    if body in FUNCTIONS:
        return [_Token("function", body, spaced)]
    if kind == "command":
        if body in _COMMANDS:
            return [_Token("sign", _COMMANDS[body], spaced)]
        if body == "frac":
            return [_Token("function", body, spaced)]
        if body in GREEK | {"pi"}:
            return [_Token("name", body, spaced)]
        raise ExpressionError(f"the command \\{body} is not part of an expression.")
    if body in CONSTANTS:
        return [_Token("name", body, spaced)]
    if len(body) > (2 if _VOWEL.search(body) else 4):
        raise ExpressionError(f"the word {body!r} is not part of an expression.")
    return [_Token("name", letter, spaced) for letter in body]


class _Parser:
    """Recursive descent over the tokens; its depth is counted."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._place = 0
        self._depth = 0
        self._bars = 0

    def read(self) -> Expression:
        expression = self._sum()
        if self._place < len(self._tokens):
            self._refuse("the end")
        return expression

    def _sum(self) -> Expression:
        self._enter()
        left = self._product()
        while (sign := self._take("+", "-")) is not None:
            left = Expression(sign, (left, self._product()))
        self._depth -= 1
        return left

    def _product(self) -> Expression:
        left = self._signed()
        while True:
            sign = self._take("*", "/")
            if sign is not None:
                left = Expression(sign, (left, self._signed()))
            elif self._begins_factor():
                left = Expression("*", (left, self._power()))
            else:
                return left

    def _signed(self) -> Expression:
        sign = self._take("+", "-")
        if sign is None:
            return self._power()
        self._enter()
        operand = self._signed()
        self._depth -= 1
        return operand if sign == "+" else Expression("negative", (operand,))

    def _power(self) -> Expression:
        base = self._primary()
        if self._take("^") is None:
            return base
        self._enter()
        exponent = self._signed()
        self._depth -= 1
        return Expression("^", (base, exponent))

    def _primary(self) -> Expression:
        token = self._next()
        if token is None:
            self._refuse("a number")
        if token.kind == "number":
            self._place += 1
            return self._mixed(Fraction(token.text), whole="." not in token.text)
        if token.kind == "name":
            self._place += 1
            return Expression("name", name=token.text)
        if token.kind == "function":
            self._place += 1
            return self._function(token.text)
        if token.text in _CLOSING:
            return self._group()
        self._refuse("a number")

    def _mixed(self, value: Fraction, whole: bool) -> Expression:
        """A number, and the proper fraction that may follow a whole one."""
        number = Expression("number", value=_bounded(value))
        tokens, place = self._tokens, self._place
        if not whole or place >= len(tokens):
            return number
        if tokens[place].text == "frac":
            self._place += 1
            return Expression("+", (number, self._function("frac")))
        ahead = tokens[place : place + 3]
        if [token.kind for token in ahead] == ["number", "sign", "number"] and ahead[0].spaced and ahead[1].text == "/":
            self._place += 3
            top, bottom = (Expression("number", value=Fraction(ahead[index].text)) for index in (0, 2))
            return Expression("+", (number, Expression("/", (top, bottom))))
        return number

    def _function(self, name: str) -> Expression:
        self._enter()
        if name == "frac":
            made = Expression("/", (self._argument(), self._argument()))
        elif name == "sqrt":
            token = self._next()
            degree = self._group() if token is not None and token.text == "[" else None
            radicand = self._argument()
            made = Expression("root", (radicand, degree or Expression("number", value=Fraction(2))))
        else:
            power = self._argument() if self._take("^") is not None else None
            made = Expression(name, (self._argument(),))
            made = made if power is None else Expression("^", (made, power))
        self._depth -= 1
        return made

    def _argument(self) -> Expression:
        """What a command applies to: a group, or the next single thing (a single digit, as LaTeX reads it)."""
        token = self._next()
        if token is not None and token.kind == "number" and "." not in token.text and len(token.text) > 1:
            self._tokens[self._place] = _Token("number", token.text[1:], False)
            return Expression("number", value=Fraction(token.text[0]))
        return self._primary()

    def _group(self) -> Expression:
        opening = self._tokens[self._place].text
        self._place += 1
        self._bars += opening == "|"
        inner = self._sum()
        if self._take(_CLOSING[opening]) is None:
            self._refuse(repr(_CLOSING[opening]))
        self._bars -= opening == "|"
        return Expression("absolute", (inner,)) if opening == "|" else inner

    def _begins_factor(self) -> bool:
        token = self._next()
        if token is None or token.kind == "number":
            return False
        return token.kind in ("name", "function") or token.text in ("(", "{") or (token.text == "|" and not self._bars)

    def _next(self) -> _Token | None:
        return self._tokens[self._place] if self._place < len(self._tokens) else None

    def _take(self, *signs: str) -> str | None:
        token = self._next()
        if token is None or token.kind != "sign" or token.text not in signs:
            return None
        self._place += 1
        return token.text

    def _enter(self) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ExpressionError(f"more than {MAX_DEPTH} brackets, signs or powers within one another.")

    def _refuse(self, expected: str) -> NoReturn:
        token = self._next()
        found = "the text ends" if token is None else f"{token.text[:20]!r} stands there"
        raise ExpressionError(f"{expected} is expected where {found}.")
