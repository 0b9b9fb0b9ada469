"""Resampling of whole merchants, for ratios and refits; for means there is ``core.intervals.cluster_bootstrap``."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fogline.core.errors import ConfigurationError
from fogline.core.intervals import Interval

Floats = NDArray[np.float64]


def cluster_weights(merchants: int, resamples: int, seed: int) -> Floats:
    """How often each merchant is drawn in each resample; float64 [B, M], rows sum to M.

    Raises:
        ConfigurationError: For no merchants or no resamples.
    """
    if merchants < 1 or resamples < 1:
        raise ConfigurationError(f"merchants={merchants}, resamples={resamples}: expected at least 1 of each.")
    rng = np.random.default_rng([seed, 30])
    drawn: Floats = rng.multinomial(merchants, np.full(merchants, 1 / merchants), size=resamples).astype(np.float64)
    return drawn


def bootstrap_ratio(
    numerator: Floats, denominator: Floats, *, confidence: float = 0.95, resamples: int = 2000, seed: int = 0
) -> Interval | None:
    """Percentile interval of Σ numerator / Σ denominator over merchants, each kept whole.

    Args:
        numerator: One value per merchant; float64 [M].
        denominator: One value per merchant, at least 0; float64 [M].
        confidence: Coverage.
        resamples: Number of resamples.
        seed: Of the resampling.

    Returns:
        The interval; None for fewer than two merchants.
    """
    if len(numerator) < 2:
        return None
    weights = cluster_weights(len(numerator), resamples, seed)
    total = weights @ denominator
    ratios = (weights @ numerator)[total > 0] / total[total > 0]
    if not len(ratios):
        return None
    tail = (1 - confidence) / 2
    low, high = np.quantile(ratios, [tail, 1 - tail])
    return Interval(float(low), float(high))
