"""Decision policies: how a kind of customer decides, mined from trajectories and shared by both branches.

A library is JSON that people may read and edit; its digest tells whether they did.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from fogline.core.errors import ConfigurationError, DataError, check_choice, check_keys
from fogline.core.intervals import wilson
from fogline.simulators.merchants.attributes import ATTRIBUTES, attributes_of
from fogline.simulators.merchants.columns import COLUMNS
from fogline.simulators.merchants.evidence import EvidenceScaler
from fogline.simulators.merchants.profiles import MARKS

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]

VERSION = 1
STRONG, MEDIUM, WEAK = 1.0, 0.5, 0.2
"""Everyday weights: logits per step of an attribute. Common sense, chosen once; never fitted."""
_AT_ONCE = 200_000


@dataclass(frozen=True, slots=True)
class Predicate:
    """A condition on what was done or shown.

    Attributes:
        column: Of the log.
        relation: ``<=`` or ``>``.
        value: Bound.
    """

    column: str
    relation: str
    value: float

    def __post_init__(self) -> None:
        check_choice("column of a condition", self.column, COLUMNS)
        check_choice("relation of a condition", self.relation, ("<=", ">"))
        if not np.isfinite(self.value):
            raise ConfigurationError(f"value={self.value!r} of a condition: expected a finite number.")

    def __str__(self) -> str:
        """In words."""
        return f"{self.column} {self.relation} {self.value:.3g}"


@dataclass(frozen=True, slots=True)
class Priority:
    """What a policy cares about.

    Attributes:
        attribute: One of :data:`~fogline.simulators.merchants.attributes.ATTRIBUTES`.
        direction: 1 where more of it makes an order likelier, -1 where less does.
        weight: Logits per step of the attribute, at least 0.
    """

    attribute: str
    direction: int
    weight: float

    def __post_init__(self) -> None:
        if self.attribute not in ATTRIBUTES:
            raise ConfigurationError(f"attribute={self.attribute!r} of a priority: expected one of {list(ATTRIBUTES)}.")
        if self.direction not in (-1, 1) or not (self.weight >= 0 and np.isfinite(self.weight)):
            raise ConfigurationError(
                f"priority {self.attribute!r} has direction={self.direction}, weight={self.weight}: expected -1 or 1, "
                "and a finite weight of at least 0."
            )


@dataclass(frozen=True)
class Policy:
    """One way to decide.

    Attributes:
        id: Stable within a library.
        name: The archetype it is most like.
        when: What marks those who follow it.
        priorities: What they care about.
        deal_breakers: What makes them leave, in words.
        habit_share: Share of them who ordered here before and looked at little: descriptive, no estimate of a cause.
        anchor: Their order rate, in training rows.
        anchor_interval: Wilson's, 95 %.
        sensitivity: λ, how far they follow the reasoner; None until fitted.
        support_n: Training rows, counted by membership.
        merchants_n: Merchants with such rows.
        exemplars: Up to three trajectories.
        text: The policy in a sentence or two.
    """

    id: str
    name: str
    when: tuple[Predicate, ...]
    priorities: tuple[Priority, ...]
    deal_breakers: tuple[str, ...]
    habit_share: float
    anchor: float
    anchor_interval: tuple[float, float]
    sensitivity: float | None
    support_n: float
    merchants_n: int
    exemplars: tuple[str, ...]
    text: str

    def __post_init__(self) -> None:
        low, high = self.anchor_interval if len(self.anchor_interval) == 2 else (np.nan, np.nan)
        weighed = [item.attribute for item in self.priorities]
        for name, good, expected in (
            ("habit_share", 0 <= self.habit_share <= 1, "0 to 1"),
            ("anchor", 0 <= self.anchor <= 1, "0 to 1"),
            ("anchor_interval", 0 <= low <= high <= 1, "a low and a high from 0 to 1"),
            ("sensitivity", self.sensitivity is None or 0 <= self.sensitivity < np.inf, "at least 0"),
            ("support_n", 0 <= self.support_n < np.inf, "at least 0"),
            ("merchants_n", self.merchants_n >= 0, "at least 0"),
            ("priorities", len(set(weighed)) == len(weighed), "each attribute once"),
        ):
            if not good:
                raise ConfigurationError(f"policy {self.id!r} has {name}={getattr(self, name)!r}: expected {expected}.")

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Inverse of ``dataclasses.asdict``."""
        check_keys("a policy", document, cls.__dataclass_fields__)
        given = dict(document)
        given["when"] = tuple(Predicate(**item) for item in given["when"])
        given["priorities"] = tuple(Priority(**item) for item in given["priorities"])
        for name in ("deal_breakers", "anchor_interval", "exemplars"):
            given[name] = tuple(given[name])
        return cls(**given)


@dataclass(frozen=True)
class PolicyLibrary:
    """Policies, and who follows which.

    Attributes:
        policies: K of them.
        scaler: Evidence features and their standardisation.
        centres: Of the policies in feature space; float64 [K, d].
        temperature: T of the memberships softmax(-|φ - c|² / 2T).
        edited: Whether somebody changed the file since fogline wrote it.
        shuffle: Seed of a control that gives each row another row's membership; None for none.
    """

    policies: tuple[Policy, ...]
    scaler: EvidenceScaler
    centres: Floats
    temperature: float = 1.0
    edited: bool = field(default=False, compare=False)
    shuffle: int | None = None

    def __post_init__(self) -> None:
        if not self.policies or self.centres.shape != (len(self.policies), len(self.scaler.names)):
            raise ConfigurationError(
                f"{len(self.policies)} policies with centres of shape {self.centres.shape} over "
                f"{len(self.scaler.names)} features: expected at least one policy, and one centre for each."
            )
        if not np.isfinite(self.centres).all():
            raise ConfigurationError("centres hold a number that is not finite: expected finite ones.")
        if not 0 < self.temperature < np.inf:
            raise ConfigurationError(f"temperature={self.temperature}: expected a finite number above 0.")
        for what in ("id", "name"):
            given = [getattr(policy, what) for policy in self.policies]
            if len(set(given)) != len(given):
                raise ConfigurationError(f"policies have the {what}s {given}: expected each once.")

    def __len__(self) -> int:
        """K."""
        return len(self.policies)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the policies."""
        return tuple(policy.name for policy in self.policies)

    @property
    def archetypes(self) -> tuple[str, ...]:
        """Of the policies, without the number that tells equals apart."""
        return tuple(name.split("-")[0] for name in self.names)

    def membership(self, table: pd.DataFrame) -> Floats:
        """How far each row follows each policy, q; float64 [n, K], rows sum to 1.

        Only what was done before the decision counts, so no strategy changes it.
        """
        found = np.empty((len(table), len(self)))
        for start in range(0, len(table), _AT_ONCE):
            features = self.scaler.features(table.iloc[start : start + _AT_ONCE])
            # |φ - c|² but for |φ|², which all policies share.
            distance = (self.centres**2).sum(axis=1) - 2 * features @ self.centres.T
            found[start : start + _AT_ONCE] = softmax(-distance / (2 * self.temperature), axis=1)
        if self.shuffle is not None:
            found = found[np.random.default_rng(self.shuffle).permutation(len(found))]
        return found

    def mentions(self, lever: str) -> bool:
        """Whether a policy cares about something that a lever moves."""
        moved = attributes_of(lever)
        return any(
            item.attribute in moved and item.weight > 0 for policy in self.policies for item in policy.priorities
        )

    def signs(self) -> dict[str, int]:
        """Levers on whose direction all policies that care agree: lever to 1 or -1."""
        found: dict[str, set[int]] = {}
        for item in (item for policy in self.policies for item in policy.priorities if item.weight > 0):
            for lever, sign in ATTRIBUTES[item.attribute].levers.items():
                found.setdefault(lever, set()).add(sign * item.direction)
        return {lever: next(iter(signs)) for lever, signs in sorted(found.items()) if len(signs) == 1}

    def with_sensitivity(self, values: Floats) -> Self:
        """The same policies with their fitted λ; float64 [K]."""
        policies = tuple(
            replace(item, sensitivity=float(value)) for item, value in zip(self.policies, values, strict=True)
        )
        return replace(self, policies=policies)

    def pooled(self) -> Self:
        """One policy for everybody, with the mean of what all care about: a control."""
        weights = np.array([policy.support_n for policy in self.policies])
        share = weights / weights.sum() if weights.any() else np.full(len(self), 1 / len(self))
        totals: dict[str, float] = {}
        for policy, part in zip(self.policies, share, strict=True):
            for item in policy.priorities:
                totals[item.attribute] = totals.get(item.attribute, 0.0) + part * item.direction * item.weight
        anchor, habit_share = share @ [[policy.anchor, policy.habit_share] for policy in self.policies]
        one = replace(
            self.policies[0],
            id="p0",
            name=EVERYBODY.name,
            when=(),
            priorities=tuple(Priority(name, 1 if total >= 0 else -1, abs(total)) for name, total in totals.items()),
            deal_breakers=(),
            habit_share=float(habit_share),
            anchor=float(anchor),
            anchor_interval=rate_interval(float(anchor), float(weights.sum())),
            sensitivity=None,
            support_n=float(weights.sum()),
            merchants_n=max(policy.merchants_n for policy in self.policies),
            text=f"{EVERYBODY.text} {anchor:.0%} order.",
        )
        return replace(self, policies=(one,), centres=(share @ self.centres)[None])

    def shuffled(self, seed: int) -> Self:
        """The same policies, followed by rows at random: a control that no gain may survive."""
        return replace(self, shuffle=seed)

    # As a file

    def to_json(self) -> dict[str, Any]:
        """As JSON, with its digest."""
        document = self._content()
        return {**document, "digest": _digest(document)}

    @property
    def digest(self) -> str:
        """Hash of the content, sha256."""
        return _digest(self._content())

    def _content(self) -> dict[str, Any]:
        content = {
            "version": VERSION,
            "policies": [asdict(policy) for policy in self.policies],
            "features": self.scaler.to_json(),
            "centres": self.centres.tolist(),
            "temperature": self.temperature,
            "shuffle": self.shuffle,
        }
        plain: dict[str, Any] = json.loads(json.dumps(content))
        return plain

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Read a library, edited or not.

        Raises:
            DataError: For anything that is no library.
        """
        try:
            content = {name: value for name, value in dict(document).items() if name != "digest"}
            if content.get("version") != VERSION:
                raise ConfigurationError(f"version={content.get('version')!r}: expected {VERSION}.")
            check_keys("a library", content, ("version", "policies", "features", "centres", "temperature", "shuffle"))
            return cls(
                policies=tuple(map(Policy.from_json, content["policies"])),
                scaler=EvidenceScaler.from_json(content["features"]),
                centres=np.array(content["centres"], dtype=np.float64),
                temperature=content["temperature"],
                edited=dict(document).get("digest") != _digest(content),
                shuffle=content["shuffle"],
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"this is no library of policies: {error!s}") from error

    def save(self, path: str | Path) -> None:
        """Write the library as JSON."""
        Path(path).write_text(json.dumps(self.to_json(), indent=2, ensure_ascii=False) + "\n", "utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a library from a file.

        Raises:
            DataError: For a file that is not there or is no library.
        """
        try:
            document = json.loads(Path(path).read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise DataError(f"{str(path)!r} cannot be read: {error}") from error
        return cls.from_json(document)


def _digest(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def rate_interval(rate: float, support: float) -> tuple[float, float]:
    """Wilson's 95 % interval of an order rate; 0 to 1 without support."""
    if not support:
        return 0.0, 1.0
    low, high = wilson(min(rate * support, support), support)
    return low, high


@dataclass(frozen=True)
class Archetype:
    """A kind of customer that everybody knows.

    Attributes:
        name: Of the kind.
        evidence: What marks it: weights of standardised evidence.
        priorities: Everyday weights, signed, in logits per step.
        deal_breakers: What makes it leave.
        text: In words.
    """

    name: str
    evidence: Mapping[str, float]
    priorities: Mapping[str, float]
    deal_breakers: tuple[str, ...]
    text: str

    def stated(self) -> tuple[Priority, ...]:
        """The priorities of a policy of this kind."""
        return tuple(Priority(name, 1 if value > 0 else -1, abs(value)) for name, value in self.priorities.items())


ARCHETYPES: Sequence[Archetype] = (
    Archetype(
        "price",
        MARKS["price"],
        {"price": -STRONG, "discount": STRONG, "rating": WEAK, "distance": -WEAK, "badge": WEAK, "delivery": -WEAK,
         "bundle": MEDIUM},
        ("a price above what they are used to",),
        "They look at prices and coupons first.",
    ),
    Archetype(
        "quality",
        MARKS["quality"],
        {"rating": STRONG, "badge": MEDIUM, "photo": MEDIUM, "price": -WEAK, "discount": WEAK, "distance": -WEAK,
         "delivery": -WEAK, "reply_rate": WEAK},
        ("a poor rating",),
        "They read reviews before they decide.",
    ),
    Archetype(
        "convenience",
        MARKS["convenience"],
        {"distance": -STRONG, "delivery": -STRONG, "price": -WEAK, "discount": WEAK, "rating": WEAK, "badge": WEAK},
        ("a long way or a long wait",),
        "They look at the map; near and soon is what counts.",
    ),
    Archetype(
        "habit",
        MARKS["habit"],
        {"price": -WEAK, "discount": WEAK, "rating": WEAK, "distance": -WEAK, "badge": WEAK, "delivery": -WEAK},
        (),
        "They have been here before and hardly look.",
    ),
)  # fmt: skip
"""The four kinds that clusters are named after."""

_ALL = {name: sum(kind.priorities.get(name, 0.0) for kind in ARCHETYPES) / len(ARCHETYPES) for name in ATTRIBUTES}
EVERYBODY = Archetype("everybody", {}, {name: mean for name, mean in _ALL.items() if mean}, (), "Everybody together.")
"""All kinds at once: the name of a single policy."""
