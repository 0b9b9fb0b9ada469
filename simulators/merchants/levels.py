"""The level as logged: how both branches are mixed, how far off that is, and how sure one can be of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from fogline.simulators.merchants.branches import Branches, Floats
from fogline.simulators.merchants.config import PGHSConfig
from fogline.simulators.merchants.fusion import FUSIONS, Sides, bates_granger, fit_pool_alpha, pool, shrink

_EDGE = 1e-4
LEAST_ROWS = 5
"""Trajectories from which a group's observed rate counts."""


@dataclass(frozen=True)
class LevelModel:
    """How the branches are mixed, fitted on the groups of the calibration window.

    Attributes:
        pool_alpha: Weight of the fitting branch that made the pool's error least.
        optimal_alpha: Weight by Bates and Granger; None where the errors say nothing.
        between: Standard deviation between merchants, in logits, of what the reasoning branch does not explain.
        history: Training rows by merchant.
    """

    pool_alpha: float
    optimal_alpha: float | None
    between: float
    history: dict[str, int]

    @classmethod
    def fit(
        cls, branches: Branches, observed: Floats, count: NDArray[np.int64], between: float, history: dict[str, int]
    ) -> Self:
        """Fit on calibration groups.

        Args:
            branches: What the branches said of the groups as logged.
            observed: Order rate of each group; float64 [M].
            count: Rows of each group; int64 [M].
            between: See :func:`between_merchants`.
            history: Training rows by merchant.
        """
        counted = count >= LEAST_ROWS
        fitting, reasoning = branches.fitting[counted], branches.reasoning[counted]
        seen, rows = observed[counted], count[counted]
        return cls(
            pool_alpha=fit_pool_alpha(fitting, reasoning, seen, rows),
            optimal_alpha=bates_granger(fitting, reasoning, seen),
            between=between,
            history=history,
        )

    def mix(self, config: PGHSConfig, fitting: Floats, reasoning: Floats, ids: tuple[str, ...] = ()) -> Floats:
        """The level as logged; float64 [M].

        Args:
            config: What says the level.
            fitting: Of the fitting branch; float64 [M].
            reasoning: Of the reasoning branch; float64 [M].
            ids: Merchants, for the shrinkage of cold ones; none without it.
        """
        alpha = np.full(len(fitting), self.pool_alpha if config.level == "pool" else 1.0)
        if ids:
            alpha = shrink(alpha, self.rows_of(ids), config.kappa)
        return pool(fitting, reasoning, alpha)

    def rows_of(self, ids: tuple[str, ...]) -> NDArray[np.int64]:
        """Training rows of merchants; 0 where one is new."""
        return np.array([self.history.get(merchant, 0) for merchant in ids], dtype=np.int64)

    def error(self, level: Floats, ids: tuple[str, ...]) -> Floats:
        """Standard deviation of the level's error in logits; float64 [M].

        What merchants differ by, less what a merchant's own trajectories tell of it: 1 / (n p (1 - p) + 1 / τ²).
        """
        told = self.rows_of(ids) * level * (1 - level)
        if not self.between:
            return np.zeros(len(level))
        found: Floats = 1 / np.sqrt(told + 1 / self.between**2)
        return found

    def fuse(
        self, config: PGHSConfig, strategy: Branches, logged: Branches, ids: tuple[str, ...], reasoning: Floats
    ) -> Floats:
        """Group rates under a strategy; float64 [M].

        Args:
            config: Which fusion.
            strategy: What the branches say of the strategy.
            logged: What they say of the same rows as logged.
            ids: Merchants.
            reasoning: The reasoning branch under the strategy, or one replicate of it; float64 [M].
        """
        optimal = self.optimal_alpha if config.fusion == "bates-granger" else None
        alpha = np.full(len(ids), self.pool_alpha if optimal is None else optimal)
        sides = Sides(
            strategy.fitting,
            logged.fitting,
            reasoning,
            logged.reasoning,
            level=self.mix(config, logged.fitting, logged.reasoning, ids),
            alpha=shrink(alpha, self.rows_of(ids), config.kappa),
            eta=config.eta,
        )
        return FUSIONS[config.fusion](sides)

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "pool_alpha": self.pool_alpha,
            "optimal_alpha": self.optimal_alpha,
            "between": self.between,
            "history": self.history,
        }


def between_merchants(reasoning: Floats, observed: Floats, count: NDArray[np.int64]) -> float:
    """Spread between merchants, in logits, of what the reasoning branch does not explain, by moments.

    Args:
        reasoning: Of the reasoning branch, which knows no merchant by name; float64 [M].
        observed: Order rate of the rows that were learned on; float64 [M].
        count: Such rows; int64 [M].
    """
    counted = count >= LEAST_ROWS
    if counted.sum() < 3:
        return 0.0
    rate, rows = np.clip(reasoning[counted], _EDGE, 1 - _EDGE), count[counted]
    # Half a success more on either side: a rate of 0 or 1 has a logit then.
    seen = (observed[counted] * rows + 0.5) / (rows + 1)
    beyond = (logit(seen) - logit(rate)) ** 2 - 1 / (rows * rate * (1 - rate))
    return float(np.sqrt(max(0.0, float(beyond.mean()))))


def shifted(level: Floats, shift: Floats) -> Floats:
    """A rate moved by so many logits."""
    moved: Floats = expit(logit(np.clip(level, _EDGE, 1 - _EDGE)) + shift)
    return moved
