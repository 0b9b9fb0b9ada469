"""The reasoning branch: how likely an order is, argued from what was shown and how the policy decides.

The default reasoner is a rule: no model, no network. A chat model takes the same place
(:class:`~fogline.simulators.merchants.chat_reasoner.ChatReasoner`), and recordings of either.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from fogline.core.errors import ConfigurationError, DataError
from fogline.simulators.merchants.attributes import ATTRIBUTES, attribute_values
from fogline.simulators.merchants.strategies import Strategy

if TYPE_CHECKING:
    import pandas as pd

    from fogline.simulators.merchants.policies import PolicyLibrary

Floats = NDArray[np.float64]


class Reasoner(Protocol):
    """Scores what was shown.

    Attributes:
        name: Of the reasoner, with all that shapes its scores.
    """

    @property
    def name(self) -> str:
        """See the class."""
        ...

    def score(self, table: pd.DataFrame, library: PolicyLibrary, strategy: Strategy) -> Floats:
        """Logits of an order, for each row and policy; float64 [n, K].

        Args:
            table: As logged.
            library: The K policies.
            strategy: What is changed.
        """
        ...

    def perturbed(self, rng: np.random.Generator) -> Reasoner | None:
        """Another reasoner as plausible as this one, for intervals; None where there is no telling."""
        ...


@dataclass(frozen=True)
class RuleReasoner:
    """A weighted sum of what was shown: gain · (intercept + Σ weight · attribute), by the policy's priorities.

    Attributes:
        priorities: Signed weights per natural unit, by archetype and attribute; None takes the library's own, which
            are in logits per step.
        gain: Of the whole; more than 1 is over-confident.
        intercept: Added to the sum.
        doubt: Spread of the logarithm of weights that would be as plausible. On five markets whose truth is known, 90 %
            intervals of the change held 72 to 77 % of merchants with 0.4, 89 to 96 % with 0.8, 88 to 100 % with 1.2.
    """

    priorities: Mapping[str, Mapping[str, float]] | None = None
    gain: float = 1.0
    intercept: float = 0.0
    doubt: float = 0.8
    factors: Mapping[str, Mapping[str, float]] | None = None

    @property
    def name(self) -> str:
        """With everything that shapes its scores."""
        shaped = json.dumps([self.priorities, self.gain, self.intercept, self.factors], sort_keys=True)
        return f"rules-{hashlib.sha256(shaped.encode()).hexdigest()[:12]}"

    def score(self, table: pd.DataFrame, library: PolicyLibrary, strategy: Strategy) -> Floats:
        """See :meth:`Reasoner.score`.

        Raises:
            ConfigurationError: For a policy whose archetype the given priorities lack.
        """
        return self.score_values(self.values(table, strategy), library)

    def values(self, table: pd.DataFrame, strategy: Strategy) -> dict[str, Floats]:
        """What is weighed, which many reasoners of this kind share; float64 [n] by attribute."""
        return attribute_values(table, strategy.apply(table))

    def score_values(self, values: Mapping[str, Floats], library: PolicyLibrary) -> Floats:
        """Logits of an order, of attributes already told; float64 [n, K]."""
        names = list(values)
        weights = np.array([[weighed.get(name, 0.0) for weighed in self._weights(library)] for name in names])
        scores: Floats = self.gain * (self.intercept + np.stack([values[name] for name in names], axis=1) @ weights)
        return scores

    def perturbed(self, rng: np.random.Generator) -> RuleReasoner | None:
        """The same rule with every weight times exp N(0, doubt); None without doubt."""
        if not self.doubt:
            return None
        kinds = sorted(self.priorities) if self.priorities is not None else ["price", "quality", "convenience", "habit"]
        draws = np.exp(rng.normal(0, self.doubt, (len(kinds), len(ATTRIBUTES))))
        drawn = {kind: dict(zip(ATTRIBUTES, row.tolist(), strict=True)) for kind, row in zip(kinds, draws, strict=True)}
        return replace(self, factors=drawn)

    def flipped(self) -> Self:
        """The same rule with every sign wrong, for a test that it is found out."""
        return replace(self, gain=-self.gain)

    def _weights(self, library: PolicyLibrary) -> list[dict[str, float]]:
        """Signed weights per natural unit, policy by policy."""
        found = []
        for policy, kind in zip(library.policies, library.archetypes, strict=True):
            if self.priorities is None or kind == "everybody":
                weights = {
                    item.attribute: item.direction * item.weight / ATTRIBUTES[item.attribute].step
                    for item in policy.priorities
                }
                if self.priorities is not None:
                    weights = self._mean()
            elif kind in self.priorities:
                weights = dict(self.priorities[kind])
            else:
                raise ConfigurationError(
                    f"policy {policy.name!r} has no priorities: expected one of {sorted(self.priorities)}, or None for "
                    "the library's own."
                )
            factors = (self.factors or {}).get(kind, {})
            found.append({name: weight * factors.get(name, 1.0) for name, weight in weights.items()})
        return found

    def _mean(self) -> dict[str, float]:
        """The given priorities averaged, for a pooled policy."""
        kinds = list((self.priorities or {}).values())
        names = {name for kind in kinds for name in kind}
        return {name: float(np.mean([kind.get(name, 0.0) for kind in kinds])) for name in sorted(names)}


def plain_scores(scores: Floats) -> Floats:
    """What a reasoner says that knows no policies: the mean over them, the same for each; float64 [n, K]."""
    return np.broadcast_to(scores.mean(axis=1, keepdims=True), scores.shape)


@dataclass(frozen=True)
class RecordingReasoner:
    """Keeps another reasoner's scores on disk, and never asks it twice.

    Attributes:
        inner: Who is asked.
        folder: Of the recording.
    """

    inner: Reasoner
    folder: str

    @property
    def name(self) -> str:
        """The inner reasoner's."""
        return self.inner.name

    def score(self, table: pd.DataFrame, library: PolicyLibrary, strategy: Strategy) -> Floats:
        """See :meth:`Reasoner.score`."""
        path = _recorded(self.folder, self.name, table, library, strategy)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            half = path.with_name(path.name + ".part")
            with half.open("wb") as file:
                np.save(file, self.inner.score(table, library, strategy))
            half.replace(path)
        return _load(path)

    def perturbed(self, rng: np.random.Generator) -> Reasoner | None:
        """None: only what was asked is recorded."""
        return None


@dataclass(frozen=True)
class ReplayReasoner:
    """Answers from a recording, and from nothing else.

    Attributes:
        folder: Of the recording.
        recorded: Name of the reasoner that was recorded.
    """

    folder: str
    recorded: str

    @property
    def name(self) -> str:
        """The recorded reasoner's."""
        return self.recorded

    def score(self, table: pd.DataFrame, library: PolicyLibrary, strategy: Strategy) -> Floats:
        """See :meth:`Reasoner.score`.

        Raises:
            DataError: For a question that was not recorded.
        """
        path = _recorded(self.folder, self.name, table, library, strategy)
        if not path.exists():
            raise DataError(
                f"{self.folder!r} holds no answer of {self.name!r} to strategy {strategy.name!r} for these "
                f"{len(table):,} rows and policies: record it with RecordingReasoner on the same log and library."
            )
        return _load(path)

    def perturbed(self, rng: np.random.Generator) -> Reasoner | None:
        """None: only what was asked is recorded."""
        return None


def _recorded(folder: str, name: str, table: pd.DataFrame, library: PolicyLibrary, strategy: Strategy) -> Path:
    import pandas as pd

    rows = pd.util.hash_pandas_object(table, index=False).to_numpy()
    question: list[Any] = [name, library.digest, strategy.to_json()["interventions"], list(table.columns)]
    key = hashlib.sha256(json.dumps(question, sort_keys=True).encode() + rows.tobytes()).hexdigest()
    return Path(folder) / f"{key}.npy"


def _load(path: Path) -> Floats:
    scores: Floats = np.load(path, allow_pickle=False)
    return scores
