"""Named rewards by horizon and the one scalar made of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fogline.core.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class RewardScheme:
    """The documented weighted sum of an environment.

    A term that the scheme weighs by 0 is reported and not paid; a trainer may still read it
    (a second track, a diagnostic).

    Attributes:
        turn: Weight of each turn-level term, paid on the turn where it occurs.
        session: Weight of each session-level term, paid on the last step.
    """

    turn: Mapping[str, float] = field(default_factory=dict)
    session: Mapping[str, float] = field(default_factory=dict)

    def of_turn(self, terms: Mapping[str, float]) -> float:
        """Scalar reward of one turn's terms.

        Raises:
            ConfigurationError: If a term has no weight in the scheme.
        """
        return _weighted("turn", terms, self.turn)

    def of_session(self, outcome: Mapping[str, float]) -> float:
        """Scalar reward of the session's outcome."""
        return _weighted("session", outcome, self.session)


def _weighted(horizon: str, terms: Mapping[str, float], weights: Mapping[str, float]) -> float:
    total = 0.0
    for name, value in terms.items():
        if name not in weights:
            raise ConfigurationError(f"{horizon} term {name!r} has no weight: the scheme knows {sorted(weights)}.")
        total += weights[name] * value
    return total
