"""SalesDialogue-v0 for who validates its customers: both sides are written down, and a customer may start otherwise.

No seller is shown any of it: agents see what the environment shows them, and this file is of the report alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np

from fogline.agents.rollout import Assignment
from fogline.core.errors import ConfigurationError
from fogline.envs.sales_dialogue.callers import CustomerSource
from fogline.envs.sales_dialogue.env import SalesDialogueEnv
from fogline.envs.text import Response
from fogline.simulators.customers.mind import mind_of
from fogline.simulators.customers.products import ProductCard
from fogline.simulators.customers.scenarios import make_rule_customer, scenario_of

MOODS = ("trust", "emotion", "cooperation", "suspicion")
"""Parts of the latent state that a call moves."""


@dataclass(slots=True)
class Minutes:
    """What was said in a call.

    Attributes:
        infos: The environment's ``info`` of the reset and of each step.
        asked_again: Replies of a chat model that were no customer's, and were asked for again, by kind.
        moved: Change of the latent state from the start to the end of the call, by name; empty where a model plays the
            customer.
    """

    infos: list[Mapping[str, Any]] = field(default_factory=list)
    asked_again: Mapping[str, int] = field(default_factory=dict)
    moved: Mapping[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class Log:
    """All calls that are played, as they go.

    Attributes:
        played: Told when a call has ended.
        calls: By task and seed; a call that is tried again begins anew.
    """

    played: Callable[[int], None]
    calls: dict[Assignment, Minutes] = field(default_factory=dict)


class ObservedCalls(SalesDialogueEnv):
    """The environment, with everything written down.

    Args:
        log: Where to.
        changes: Attributes of the customer's start that replace the drawn ones; for customers of the rule engine.
        keywords: Of SalesDialogue-v0.
    """

    def __init__(self, log: Log, changes: Mapping[str, Any] | None = None, **keywords: Any) -> None:
        super().__init__(**keywords)
        self._log = log
        self._minutes = Minutes()
        self._began: Mapping[str, float] = {}
        if changes:
            # All that the environment asks of a source.
            self._source = cast(CustomerSource, _ChangedStarts(changes, self._source.cards, keywords))

    def sharing(self, keywords: Mapping[str, Any]) -> dict[str, Any]:
        """Keywords of further environments, which talk to this one's chat model where it has one.

        A chat model is then tested once, and the connections are this environment's, who closes them.

        Args:
            keywords: Of this environment.
        """
        if "model" not in keywords:
            return dict(keywords)
        options = {name: value for name, value in (keywords.get("chat_options") or {}).items() if name == "most_words"}
        others = {name: value for name, value in keywords.items() if name not in ("base_url", "chat_options")}
        return {**others, "model": self._source.voice, "chat_options": options}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start a call, and its minutes."""
        observation, info = super().reset(seed=seed, options=options)
        self._minutes = self._log.calls[Assignment(info["task_id"], seed or 0)] = Minutes([info])
        self._began = self._mood()
        return observation, info

    def settle(self, action: Any, response: Response) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Write a turn down; both ways to step end here."""
        result = super().settle(action, response)
        self._minutes.infos.append(result[4])
        if result[2] or result[3]:
            self._minutes.asked_again = dict(getattr(self._call and self._call.customer, "faults", {}))
            self._minutes.moved = {name: value - self._began[name] for name, value in self._mood().items()}
            self._log.played(1)
        return result

    def _mood(self) -> dict[str, float]:
        """The latent state, where a rule engine decides."""
        if self._call is None:
            return {}
        try:
            mind = mind_of(self._call.customer)
        except ConfigurationError:
            return {}
        return {name: float(getattr(mind, name)) for name in MOODS}


class _ChangedStarts:
    """Customers of the rule engine, who are who they are but for some attributes.

    Args:
        changes: These.
        cards: By domain.
        keywords: Of the environment.
    """

    def __init__(
        self, changes: Mapping[str, Any], cards: Mapping[str, ProductCard], keywords: Mapping[str, Any]
    ) -> None:
        self.cards = cards
        self._changes = changes
        self._variant = keywords.get("variant", "default")

    def card(self, task_id: str) -> ProductCard:
        """What is sold in a task."""
        return scenario_of(task_id, variant=self._variant, cards=self.cards).card

    def customer(self, task_id: str, rng: np.random.Generator) -> Any:
        """The customer of a task, changed."""
        scenario = scenario_of(task_id, variant=self._variant, cards=self.cards)
        changed = replace(scenario, start=replace(scenario.start, **self._changes))
        return make_rule_customer(changed, rng, variant=self._variant)

    def close(self) -> None:
        """Nothing is open."""
