"""Where an environment's customers come from: a product card, a scenario, and the kind of simulator that plays it."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np

from fogline.core.errors import ConfigurationError, check_choice, check_keys
from fogline.simulators.customers.personas import VARIANTS
from fogline.simulators.customers.products import ProductCard, cards_of
from fogline.simulators.customers.scenarios import Scenario, make_rule_customer, scenario_of

if TYPE_CHECKING:
    from fogline.core.chat.messages import ChatModel
    from fogline.simulators.customers.chat_side import Voice

CUSTOMERS = ("rules", "worded", "model")
_CUSTOMERS_OWN = ("most_words",)
_JUDGE_ALONE: Mapping[str, Any] = {"temperature": 0.0, "max_tokens": 16, "check": False}
"""Sampling where the judge is the only one who asks the model."""


class CustomerSource:
    """Makes the customer of a task, again and again.

    Args:
        kind: ``"rules"``, ``"worded"`` or ``"model"``.
        domain: Which product cards, as :func:`~fogline.simulators.customers.products.cards_of` takes them.
        variant: Which customers.
        disclosed: Whether the call is opened with the words that an AI calls.
        difficulty: Shift of the customers' moods, -1 to 1.
        claims_without_doing: Chance that a customer reports a step that it has not done.
        common_random_numbers: Let the noise depend on the task alone.
        judged: A chat model judges calls, too.
        model: For chat models: a name, a chat model, or a ``Voice`` that several environments share.
        base_url: The server, where ``model`` is a name.
        chat_options: Keywords of ``OpenAIChatModel``, of ``Voice``, and ``most_words``.

    Attributes:
        cards: Product cards by domain.

    Raises:
        ConfigurationError: For an unknown choice, a number out of range, or a chat model that is missing or not used.
        DataError: For a product card that is damaged or contradicts itself.
    """

    def __init__(
        self,
        kind: str,
        domain: str | Path | ProductCard | Sequence[str | Path | ProductCard],
        *,
        variant: str,
        disclosed: bool,
        difficulty: float,
        claims_without_doing: float,
        common_random_numbers: bool,
        judged: bool,
        model: str | ChatModel | Voice | None,
        base_url: str | None,
        chat_options: Mapping[str, Any] | None,
    ) -> None:
        check_choice("customer", kind, CUSTOMERS)
        check_choice("variant", variant, VARIANTS)
        _check_number("difficulty", difficulty, -1.0, 1.0)
        _check_number("claims_without_doing", claims_without_doing, 0.0, 1.0)
        self.cards = cards_of(domain)
        self._kind = kind
        self._variant = variant
        self._disclosed = disclosed
        self._difficulty = float(difficulty)
        self._claims = float(claims_without_doing)
        self._common = common_random_numbers
        self._scenarios: dict[str, Scenario] = {}
        chats = kind != "rules" or judged
        _check_chat(chats, kind, model, base_url, chat_options)
        self._voice: Voice | None = None
        self._own = False
        self._options: dict[str, Any] = {}
        if chats:
            defaults = _JUDGE_ALONE if kind == "rules" else {}
            self._voice, self._own, self._options = _voice(model, base_url, dict(chat_options or {}), defaults)

    def card(self, task_id: str) -> ProductCard:
        """What is sold in a task."""
        return self._scenario(task_id).card

    def customer(self, task_id: str, rng: np.random.Generator) -> Any:
        """The customer of a task, about to be called.

        Args:
            task_id: Which.
            rng: Decides the noise of the call, unless it depends on the task alone.
        """
        scenario = self._scenario(task_id)
        # The task is in the noise: an evaluation plays all tasks with one seed, and they must not share their luck.
        noise = () if self._common else (int(rng.integers(2**63)),)
        rng = np.random.default_rng((*noise, crc32(task_id.encode())))
        told: dict[str, Any] = {
            "variant": self._variant,
            "disclosed": self._disclosed,
            "claims_without_doing": self._claims,
        }
        if self._kind == "rules":
            return make_rule_customer(scenario, rng, **told)
        if self._kind == "worded":
            from fogline.simulators.customers.worded import worded_customer

            return worded_customer(scenario, rng, model=self.voice, **told, **self._options)
        from fogline.simulators.customers.modelled import model_customer

        return model_customer(scenario, rng, model=self.voice, disclosed=self._disclosed, **self._options)

    @property
    def voice(self) -> Voice:
        """The chat model as customers and a judge use it; there where one takes part."""
        assert self._voice is not None
        return self._voice

    def close(self) -> None:
        """Let go of connections that are this environment's own."""
        if self._voice is not None and self._own:
            self._voice.close()

    def _scenario(self, task_id: str) -> Scenario:
        scenario = self._scenarios.get(task_id)
        if scenario is None:
            scenario = self._scenarios[task_id] = scenario_of(
                task_id, variant=self._variant, cards=self.cards, difficulty=self._difficulty
            )
        return scenario


def _check_number(name: str, value: Any, low: float, high: float) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or not low <= value <= high:
        raise ConfigurationError(f"{name}={value!r}: expected a number from {low:g} to {high:g}.")


def _check_chat(chats: bool, kind: str, model: Any, base_url: Any, options: Any) -> None:
    """Refuse a chat model that is missing, and one that nobody would ask."""
    if chats and model is None:
        raise ConfigurationError(
            f"customer={kind!r} (or session='judge') talks to a chat model: give model=, its name or a chat model."
        )
    for name, value in (("model", model), ("base_url", base_url), ("chat_options", options)):
        if not chats and value is not None:
            raise ConfigurationError(
                f"{name}={value!r} with customer={kind!r}: no chat model takes part; leave it out, or choose "
                "customer='worded', customer='model' or session='judge'."
            )
    if base_url is not None and not isinstance(model, str):
        raise ConfigurationError(f"base_url={base_url!r} beside a chat model, which has its own: leave it out.")


def _voice(
    model: Any, base_url: str | None, options: dict[str, Any], defaults: Mapping[str, Any]
) -> tuple[Any, bool, dict[str, Any]]:
    """The voice of the chat model, whether it is this environment's own, and the options that are the customers'."""
    from fogline.core.chat import OpenAIChatModel
    from fogline.simulators.customers.chat_side import Voice

    client = _keywords(OpenAIChatModel) if isinstance(model, str) else []
    sampling = [] if isinstance(model, Voice) else _keywords(Voice)
    check_keys("chat_options", options, (*_CUSTOMERS_OWN, *sampling, *client))
    of_customers = {name: value for name, value in options.items() if name in _CUSTOMERS_OWN}
    if isinstance(model, Voice):
        return model, False, of_customers
    if isinstance(model, str):
        of_client = {name: value for name, value in options.items() if name in client}
        model = OpenAIChatModel(model, base_url=base_url, **of_client)
    chosen = {name: value for name, value in options.items() if name in sampling}
    return Voice(model, **{**defaults, **chosen}), True, of_customers


def _keywords(constructor: Any) -> list[str]:
    return [name for name in inspect.signature(constructor).parameters if name not in ("model", "base_url")]
