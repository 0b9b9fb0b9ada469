"""What chat calls cost: prices given by the user, and an estimate before anything is paid."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fogline.core.chat.messages import ChatRequest
from fogline.core.errors import DataError

_MESSAGE_TOKENS = 4
_REPLY_TOKENS = 3
_BYTES_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class Price:
    """Price of one model.

    Attributes:
        prompt: Per million prompt tokens.
        completion: Per million completion tokens.
        currency: Its unit, for display only.
    """

    prompt: float
    completion: float
    currency: str = "USD"

    def __post_init__(self) -> None:
        """Refuse prices that are not finite and non-negative.

        Raises:
            DataError: Naming the value.
        """
        for name in ("prompt", "completion"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not (0 <= value < math.inf):
                raise DataError(f"{name}={value!r} is no price: expected a non-negative number per million tokens.")

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Price of one call, in ``currency``."""
        return (self.prompt * prompt_tokens + self.completion * completion_tokens) / 1e6


def load_prices(path: str | Path) -> dict[str, Price]:
    """Read ``{model: {"prompt": …, "completion": …, "currency": "USD"}}`` from JSON or TOML, by suffix.

    Raises:
        DataError: If the file is not such a list.
    """
    path = Path(path)
    text = path.read_text("utf-8")
    try:
        rows = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
        return {str(model): Price(**row) for model, row in rows.items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path.name} is no price list ({error}): expected {{model: {{prompt, completion, currency}}}}, "
            "per million tokens."
        ) from error


def approximate_tokens(text: str) -> int:
    """About how many tokens ``text`` has: its UTF-8 length divided by 4, rounded up.

    Byte-pair vocabularies average near four bytes of English a token; code and rare scripts take more
    tokens than this says, by up to about a half.
    """
    return math.ceil(len(text.encode("utf-8", "surrogatepass")) / _BYTES_PER_TOKEN)


def approximate_prompt_tokens(messages: Iterable[Mapping[str, Any]], tools: Iterable[Mapping[str, Any]] = ()) -> int:
    """About how many tokens a conversation has.

    :func:`approximate_tokens` of every content, tool call and schema, 4 more a message for its role and
    markers, and 3 for the opening of the reply.
    """
    total = _REPLY_TOKENS
    for message in messages:
        content = message.get("content")
        text = content if isinstance(content, str) else "" if content is None else json.dumps(content, default=dict)
        calls = message.get("tool_calls")
        total += _MESSAGE_TOKENS + approximate_tokens(text)
        total += approximate_tokens(json.dumps(calls, default=dict)) if calls else 0
    return total + sum(approximate_tokens(json.dumps(tool, default=dict)) for tool in tools)


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a set of requests would take, known without sending any.

    Attributes:
        requests: How many were asked about.
        cached: How many of them the cache already answers, free of charge.
        prompt_tokens: Approximate prompt tokens of the rest.
        completion_tokens: Upper bound for the rest; None where a request sets no ``max_tokens``.
        cost: Upper bound of the price; None where it cannot be said.
        currency: Unit of ``cost``.
        priced: Whether a price was given for the model.
    """

    requests: int
    cached: int
    prompt_tokens: int
    completion_tokens: int | None
    cost: float | None
    currency: str = ""
    priced: bool = False

    def __str__(self) -> str:
        """One line for a terminal; says "price unknown" rather than nought."""
        at_most = "unbounded (no max_tokens)" if self.completion_tokens is None else f"at most {self.completion_tokens}"
        if self.cost is not None:
            money = f"at most {self.cost:.4f} {self.currency}"
        else:
            money = "cost unbounded: set max_tokens" if self.priced else "price unknown: give a price list"
        return (
            f"{self.requests} requests ({self.cached} cached), about {self.prompt_tokens} prompt tokens, "
            f"{at_most} completion tokens, {money}"
        )


def estimate_requests(requests: Iterable[ChatRequest], price: Price | None, cached: int = 0) -> Estimate:
    """Estimate requests that would really be sent.

    Args:
        requests: Those the cache does not answer.
        price: The model's price, None where nobody gave one.
        cached: How many more the cache answers.
    """
    paid = list(requests)
    prompt = sum(approximate_prompt_tokens(request.messages, request.tools) for request in paid)
    bounds = [request.max_tokens for request in paid]
    completion = sum(bound for bound in bounds if bound is not None) if None not in bounds else None
    cost = price.cost(prompt, completion) if price is not None and completion is not None else None
    currency = price.currency if price is not None else ""
    return Estimate(len(paid) + cached, cached, prompt, completion, cost, currency, price is not None)
