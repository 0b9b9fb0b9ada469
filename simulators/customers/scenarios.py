"""A scenario: a product and a customer before the call, decided by the task's name alone.

Task ids are ``"{domain}/{number:04d}"``; nothing in them tells who the customer is. The draw depends on the variant,
the domain and the number, never on the seed of a call.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from fogline.core.errors import ConfigurationError, DataError, check_choice, suggestion
from fogline.simulators.customers.acts import TOPICS
from fogline.simulators.customers.mind import STYLES, Start
from fogline.simulators.customers.personas import PERSONAS, VARIANTS, Persona, Variant, check_persona
from fogline.simulators.customers.products import ProductCard, bundled_cards
from fogline.simulators.customers.rules import RuleCustomer

SPLITS: Mapping[str, int] = {"train": 0, "validation": 2500, "test": 5000}
"""First number of each split; there are at most 2,500 scenarios per domain in each."""

_LARGEST = 2500
_DRAWS = 24
_NAMES = (
    "persona",
    "cooperation",
    "emotion",
    "trust",
    "suspicion",
    "need",
    "budget_fit",
    "patience",
    "buyer",
    "wearable",
    "style",
    "age",
    "count",
)
"""What the first uniforms of the block decide; the following ones choose the topics."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """A call that can be made.

    Attributes:
        task_id: Name of the task.
        domain: Which product.
        number: Which customer.
        persona: Name of the customer's persona. Latent.
        card: What is sold.
        start: The customer before the call. Latent.
    """

    task_id: str
    domain: str
    number: int
    persona: str = field(repr=False)
    card: ProductCard = field(repr=False)
    start: Start = field(repr=False)

    def __post_init__(self) -> None:
        """Refuse a customer who contradicts the product."""
        if self.start.age < self.card.minimum_age:
            raise DataError(
                f"the customer of {self.task_id!r} is {self.start.age} years old and {self.card.product!r} has "
                f"minimum_age={self.card.minimum_age}: expected a customer who may buy it."
            )

    @property
    def is_buyer(self) -> bool:
        """Whether the customer can be won at all. Latent."""
        return self.start.is_buyer


def task_ids(domains: Sequence[str], split: str = "train", scenarios: int = 100) -> tuple[str, ...]:
    """Names of the tasks of a split, domain after domain.

    Args:
        domains: Which products, in order.
        split: ``"train"``, ``"validation"`` or ``"test"``.
        scenarios: How many customers per product, 1 to 2,500.

    Raises:
        ConfigurationError: For an unknown split, no domains, a domain named twice, or a number out of range.
    """
    check_choice("split", split, SPLITS)
    if not 1 <= scenarios <= _LARGEST:
        raise ConfigurationError(f"scenarios={scenarios} is out of range: expected 1 to {_LARGEST} per domain.")
    if not domains or len(set(domains)) != len(domains):
        raise ConfigurationError(f"domains={tuple(domains)!r}: expected one domain or more, each named once.")
    first = SPLITS[split]
    return tuple(f"{domain}/{number:04d}" for domain in domains for number in range(first, first + scenarios))


def scenario_of(
    task_id: str,
    *,
    variant: str = "default",
    cards: Mapping[str, ProductCard] | None = None,
    difficulty: float = 0.0,
) -> Scenario:
    """The scenario behind a task id. Remembered for the bundled cards.

    Args:
        task_id: ``"{domain}/{number}"``.
        variant: Which simulator, one of ``personas.VARIANTS``.
        cards: Product cards by domain; None for the bundled ones.
        difficulty: Shift of the initial draws, -1 (easier) to 1 (harder); the same people, in another mood. Who can
            be won at all does not depend on it.

    Raises:
        ConfigurationError: For an unknown domain or variant, a number that is none, or a difficulty out of range.
        DataError: For a persona that contradicts the card.
    """
    if cards is None:
        return _bundled(task_id, variant, float(difficulty))
    return _build(task_id, variant, cards, float(difficulty))


def make_rule_customer(
    scenario: Scenario,
    rng: np.random.Generator,
    *,
    variant: str = "default",
    disclosed: bool = True,
    claims_without_doing: float = 0.0,
) -> RuleCustomer:
    """The customer of a scenario, ready to pick up the phone.

    Args:
        scenario: Who is called about what.
        rng: The noise of this call.
        variant: The simulator that the scenario was drawn from.
        disclosed: Whether the call is opened with the words that an AI calls.
        claims_without_doing: Chance that an average customer reports a step that it has not done, 0 to 1; some
            personas are more careless than others.

    Raises:
        ConfigurationError: For an unknown variant or a chance outside 0 to 1.
    """
    check_choice("variant", variant, VARIANTS)
    return RuleCustomer(
        scenario.card,
        scenario.start,
        VARIANTS[variant].coefficients,
        rng,
        disclosed=disclosed,
        claims_without_doing=claims_without_doing,
    )


@lru_cache(maxsize=65536)
def _bundled(task_id: str, variant: str, difficulty: float) -> Scenario:
    return _build(task_id, variant, bundled_cards(), difficulty)


def _build(task_id: str, variant: str, cards: Mapping[str, ProductCard], difficulty: float) -> Scenario:
    check_choice("variant", variant, VARIANTS)
    if not (math.isfinite(difficulty) and -1.0 <= difficulty <= 1.0):
        raise ConfigurationError(f"difficulty={difficulty} is out of range: expected -1 (easier) to 1 (harder).")
    domain, number = _parts(task_id, cards)
    persona, start = _draw(VARIANTS[variant], domain, number, cards[domain], difficulty)
    return Scenario(task_id, domain, number, persona, cards[domain], start)


def _parts(task_id: str, domains: Iterable[str]) -> tuple[str, int]:
    domain, slash, digits = task_id.rpartition("/")
    known = list(domains)
    if not slash or domain not in known:
        expected = ", ".join(repr(name) for name in known)
        raise ConfigurationError(
            f"task_id={task_id!r} names no known domain: expected 'DOMAIN/NUMBER' with DOMAIN one of {expected}."
            f"{suggestion(domain or task_id, known)}"
        )
    if not (digits.isascii() and digits.isdecimal()) or digits != f"{int(digits):04d}":
        raise ConfigurationError(
            f"task_id={task_id!r} names no scenario: expected '{domain}/NUMBER' with a number of four digits or more, "
            f"such as '{domain}/0017'."
        )
    return domain, int(digits)


def _draw(variant: Variant, domain: str, number: int, card: ProductCard, difficulty: float) -> tuple[str, Start]:
    """Draw a customer from a fixed block of uniforms, so that one option never shifts the draw of another."""
    seed = (variant.number, int.from_bytes(domain.encode(), "big"), number)
    block = np.random.default_rng(seed).random(_DRAWS).tolist()
    uniform = dict(zip(_NAMES, block, strict=False))
    names = tuple(variant.mix)
    persona = PERSONAS[names[_choose(tuple(variant.mix.values()), uniform["persona"])]]
    check_persona(persona, card)
    # Harder: less of everything good, and more to say against it. Pathwise: the same uniforms, bent.
    bend = 2.0**difficulty
    worse, better = _tilt(-difficulty), _tilt(difficulty)
    count = 1 + _choose(better(persona.topics_count), uniform["count"])
    start = Start(
        cooperation=1.0 + _choose(worse(persona.cooperation), uniform["cooperation"]),
        emotion=1.0 + _choose(worse(persona.emotion), uniform["emotion"]),
        trust=1.0 + _choose(worse(persona.trust), uniform["trust"]),
        suspicion=_between(persona.suspicion, 1.0 - (1.0 - uniform["suspicion"]) ** bend),
        need=_between(persona.need, uniform["need"] ** bend),
        budget_fit=_between(persona.budget_fit, uniform["budget_fit"] ** bend),
        patience=_whole(persona.patience, uniform["patience"] ** bend),
        is_buyer=uniform["buyer"] < persona.buyer_share,
        wearable=uniform["wearable"] < persona.wearable,
        carelessness=persona.carelessness,
        objections=_topics(persona, card, block[len(_NAMES) :], count),
        style=STYLES[_choose(persona.styles, uniform["style"])],
        age=_whole((max(persona.ages[0], card.minimum_age), persona.ages[1]), uniform["age"]),
    )
    return persona.name, start


def _tilt(amount: float) -> Callable[[tuple[float, ...]], tuple[float, ...]]:
    return lambda weights: tuple(weight * math.exp(amount * index) for index, weight in enumerate(weights))


def _choose(weights: Sequence[float], uniform: float) -> int:
    """Index by inverse of the cumulative weights."""
    left = uniform * sum(weights)
    last = 0
    for index, weight in enumerate(weights):
        if weight > 0:
            last = index
            if left < weight:
                return index
        left -= weight
    return last


def _between(interval: tuple[float, float], uniform: float) -> float:
    return interval[0] + (interval[1] - interval[0]) * uniform


def _whole(interval: tuple[int, int], uniform: float) -> int:
    return min(interval[0] + int(uniform * (interval[1] - interval[0] + 1)), interval[1])


def _topics(persona: Persona, card: ProductCard, uniforms: Sequence[float], count: int) -> tuple[str, ...]:
    """Draw distinct topics in order. Nobody finds a free product too expensive."""
    left = {topic: persona.topics.get(topic, 1.0) for topic in TOPICS if topic != "cost" or card.price > 0}
    chosen: list[str] = []
    for uniform in uniforms[:count]:
        topic = tuple(left)[_choose(tuple(left.values()), uniform)]
        chosen.append(topic)
        del left[topic]
    return tuple(chosen)
