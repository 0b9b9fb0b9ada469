"""Who may be called: personas as ranges and weights, and the variants of the simulator as mixes of them.

Source: DuCA specification, section 5.1 (scales and initial draws), 5.2 (validation at build time).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from fogline.core.errors import ConfigurationError, DataError, check_choice, check_keys
from fogline.simulators.customers.acts import TOPICS
from fogline.simulators.customers.coefficients import Coefficients
from fogline.simulators.customers.mind import STYLES
from fogline.simulators.customers.products import ProductCard

_WEIGHTS: tuple[tuple[str, int, str], ...] = (
    ("cooperation", 3, "starts at 1, 2 and 3"),
    ("emotion", 2, "starts at 1 and 2"),
    ("trust", 4, "starts at 1, 2, 3 and 4"),
    ("topics_count", 3, "1, 2 and 3 topics"),
    ("styles", len(STYLES), "curt, plain and chatty"),
)
_INTERVALS: tuple[tuple[str, float, float], ...] = (
    ("suspicion", 0.0, 1.0),
    ("need", 0.0, 1.0),
    ("budget_fit", 0.0, 1.0),
    ("patience", 1, 40),
    ("ages", 0, 120),
)
_SCALARS = (("buyer_share", 1.0), ("wearable", 1.0), ("carelessness", 3.0))


@dataclass(frozen=True, slots=True)
class Persona:
    """A kind of customer. Weights need not sum to 1.

    Attributes:
        name: Identifier.
        cooperation: Weights of the starts 1, 2 and 3.
        emotion: Weights of the starts 1 and 2.
        trust: Weights of the starts 1, 2, 3 and 4.
        suspicion: Range of the first belief that a machine calls, within 0 to 1.
        need: Range, within 0 to 1.
        budget_fit: Range, within 0 to 1.
        patience: Range in turns of the seller, within 1 to 40, both ends included.
        ages: Range in years, both ends included.
        buyer_share: Share that can be won at all.
        topics_count: Weights of bringing 1, 2 or 3 topics.
        topics: Weight of each topic; 1 where it is not named.
        styles: Weights of ``mind.STYLES``.
        wearable: Share that pushy repeats wear down.
        carelessness: Chance of reporting a step that was not done, where that is switched on, as a multiple of the
            average customer's; 0 to 3.
    """

    name: str
    cooperation: tuple[float, ...] = (1.0, 1.0, 1.0)
    emotion: tuple[float, ...] = (1.0, 1.0)
    trust: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0)
    suspicion: tuple[float, float] = (0.0, 0.2)
    need: tuple[float, float] = (0.2, 1.0)
    budget_fit: tuple[float, float] = (0.3, 1.0)
    patience: tuple[int, int] = (6, 12)
    ages: tuple[int, int] = (18, 80)
    buyer_share: float = 0.55
    topics_count: tuple[float, ...] = (1.0, 1.0, 1.0)
    topics: Mapping[str, float] = field(default_factory=dict)
    styles: tuple[float, ...] = (1.0, 1.0, 1.0)
    wearable: float = 0.6
    carelessness: float = 1.0

    def __post_init__(self) -> None:
        """Refuse weights that are none, ranges upside down and values outside their scale."""
        if not self.name:
            raise ConfigurationError(f"persona name={self.name!r} is empty: name it.")
        for name, count, meaning in _WEIGHTS:
            self._check_weights(name, tuple(getattr(self, name)), count, meaning)
        for name, low, high in _INTERVALS:
            value = getattr(self, name)
            if len(value) != 2 or not low <= value[0] <= value[1] <= high:
                raise ConfigurationError(
                    f"persona {self.name!r} has {name}={value}: expected (low, high) with "
                    f"{low} <= low <= high <= {high}."
                )
        for name, high in _SCALARS:
            value = getattr(self, name)
            if not 0.0 <= value <= high:
                raise ConfigurationError(f"persona {self.name!r} has {name}={value}: expected 0 to {high}.")
        check_keys(f"topics of persona {self.name!r}", self.topics, TOPICS)
        weights = tuple(self.topics.get(topic, 1.0) for topic in TOPICS)
        self._check_weights("topics", weights, len(TOPICS), "the 14 topics")
        if sum(weight > 0 for weight in weights) < 3:
            raise ConfigurationError(
                f"persona {self.name!r} has topics={dict(self.topics)}: expected three topics or more of positive "
                "weight, for a customer brings up to three."
            )

    def _check_weights(self, name: str, weights: tuple[float, ...], count: int, meaning: str) -> None:
        fine = all(math.isfinite(weight) and weight >= 0 for weight in weights)
        if len(weights) != count or not fine or sum(weights) <= 0:
            raise ConfigurationError(
                f"persona {self.name!r} has {name}={weights}: expected {count} weights of at least 0, not all 0, "
                f"for {meaning}."
            )


def check_persona(persona: Persona, card: ProductCard) -> None:
    """Check that a customer of a persona can exist for a product.

    Raises:
        DataError: Where every customer of the persona is too young to buy it.
    """
    if persona.ages[1] < card.minimum_age:
        raise DataError(
            f"persona {persona.name!r} has ages={persona.ages}, and {card.product!r} needs minimum_age="
            f"{card.minimum_age}: raise the persona's ages or leave it out of the mix for this card."
        )


@dataclass(frozen=True, slots=True)
class Variant:
    """One simulator: a mix of personas and the coefficients of its dynamics.

    Attributes:
        name: As in ``customer_variant``.
        number: Enters the seed of every scenario: another variant calls other people.
        mix: Weight of each persona, by name.
        coefficients: Strengths of the dynamics.
    """

    name: str
    number: int
    mix: Mapping[str, float]
    coefficients: Coefficients

    def __post_init__(self) -> None:
        """Refuse unknown personas and weights that are none."""
        for persona, weight in self.mix.items():
            check_choice("persona", persona, PERSONAS)
            if not (math.isfinite(weight) and weight > 0):
                raise ConfigurationError(f"variant {self.name!r} weighs {persona!r} by {weight}: expected more than 0.")
        if not self.mix:
            raise ConfigurationError(f"variant {self.name!r} has no personas: give its mix one or more.")


def _named(*personas: Persona) -> dict[str, Persona]:
    return {persona.name: persona for persona in personas}


PERSONAS: Mapping[str, Persona] = _named(
    Persona(
        "friendly",
        cooperation=(0.6, 1.0, 1.4),
        emotion=(0.6, 1.4),
        suspicion=(0.0, 0.1),
        patience=(8, 14),
        buyer_share=0.6,
        topics_count=(1.4, 1.0, 0.6),
        topics={"history": 1.5, "comprehension": 1.5},
        styles=(0.2, 1.0, 1.4),
        wearable=0.8,
    ),
    Persona("neutral"),
    Persona(
        "hurried",
        patience=(4, 7),
        topics_count=(1.6, 1.0, 0.4),
        topics={"progress": 3.0, "boundary": 1.5, "detail": 0.3},
        styles=(1.6, 1.0, 0.1),
        carelessness=1.8,
    ),
    Persona(
        "price_sensitive",
        budget_fit=(0.1, 0.7),
        topics={"cost": 5.0, "rules": 1.5, "comparison": 2.0, "testing": 1.5},
        buyer_share=0.5,
    ),
    Persona(
        "sceptical",
        trust=(1.6, 1.2, 0.8, 0.4),
        suspicion=(0.1, 0.35),
        topics={"trust": 4.0, "identity": 3.0, "history": 2.0},
        topics_count=(0.6, 1.0, 1.4),
        buyer_share=0.5,
        wearable=0.3,
    ),
    Persona(
        "analytical",
        suspicion=(0.05, 0.25),
        need=(0.3, 1.0),
        patience=(8, 14),
        topics={"information": 3.0, "detail": 3.0, "comparison": 2.0, "rules": 2.0},
        topics_count=(0.6, 1.0, 1.4),
        styles=(0.6, 1.6, 0.4),
        wearable=0.25,
        carelessness=0.3,
        ages=(25, 75),
    ),
    Persona(
        "impulsive",
        cooperation=(0.6, 1.0, 1.4),
        trust=(0.6, 1.0, 1.2, 1.2),
        patience=(5, 8),
        topics_count=(1.8, 0.9, 0.3),
        buyer_share=0.65,
        wearable=0.85,
        carelessness=1.8,
        ages=(18, 60),
    ),
    Persona(
        "grumpy",
        cooperation=(1.6, 1.0, 0.4),
        emotion=(1.6, 0.4),
        suspicion=(0.05, 0.3),
        topics={"boundary": 3.0, "history": 2.5, "cost": 1.5},
        styles=(1.6, 1.0, 0.2),
        buyer_share=0.45,
        wearable=0.45,
        ages=(40, 85),
    ),
    Persona(
        "curious",
        need=(0.3, 1.0),
        emotion=(0.7, 1.3),
        patience=(7, 13),
        topics={"operation": 3.0, "testing": 2.5, "information": 2.0, "suitability": 1.5},
        topics_count=(0.6, 1.0, 1.4),
        styles=(0.4, 1.0, 1.2),
        buyer_share=0.6,
    ),
)
"""By name."""

VARIANTS: Mapping[str, Variant] = {
    variant.name: variant
    for variant in (
        Variant("default", 0, dict.fromkeys(PERSONAS, 1.0), Coefficients()),
        Variant(
            "sceptical",
            1,
            {"sceptical": 4.0, "grumpy": 1.5, "analytical": 1.5, "neutral": 1.0, "price_sensitive": 1.0},
            Coefficients(true_fact=0.25, doubt=0.4, dodge=0.5, breach=1.0, echo=0.35, robotic=0.35, worn=0.9),
        ),
        Variant(
            "impulsive",
            2,
            {"impulsive": 4.0, "hurried": 2.0, "friendly": 1.5, "curious": 1.0, "neutral": 1.0},
            Coefficients(agree_bias=3.5, impatience=0.4, hang_up_overtime=1.0, heard_before=0.6, object_first=0.6),
        ),
        Variant(
            "analytical",
            3,
            {"analytical": 4.0, "price_sensitive": 1.5, "curious": 1.5, "sceptical": 1.0, "neutral": 1.0},
            Coefficients(true_fact=0.45, new_fact=0.3, early_close=0.7, believe_bias=0.6, worn=0.9),
        ),
    )
}
"""``default``; ``sceptical``: trust comes slowly and repeats arouse suspicion; ``impulsive``: quick to agree, with less
patience; ``analytical``: facts count for more, talk for less."""
