"""A merchant's own order rate as a feature, told so that no row learns its own outcome from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from fogline.core.errors import DataError
from fogline.simulators.merchants.logs import merchant_codes

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]

SMOOTHING = 30.0
"""Trajectories at which a merchant's own rate and the rate of all count alike."""
FOLDS = 5


@dataclass(frozen=True)
class MerchantRates:
    """Smoothed order rate of each merchant, (n_m ȳ_m + 30 ȳ) / (n_m + 30): specification of PGHS, section 7.

    Attributes:
        overall: ȳ, which a merchant unseen at fit is given.
        rates: By merchant.
    """

    overall: float
    rates: Mapping[str, float]

    @classmethod
    def fit(cls, table: pd.DataFrame, ordered: NDArray[np.bool_]) -> Self:
        """Of training rows.

        Args:
            table: With ``merchant_id``.
            ordered: Which rows ended in an order; bool [n].

        Raises:
            DataError: For no rows at all.
        """
        if not len(table):
            raise DataError("there are no rows to learn merchants' rates from: expected at least one.")
        codes, ids = merchant_codes(table)
        overall = float(ordered.mean())
        smoothed = smoothed_rates(codes, ordered, len(ids), overall)
        return cls(overall, dict(zip(ids, smoothed.tolist(), strict=True)))

    def encode(self, table: pd.DataFrame) -> Floats:
        """Rate of each row's merchant, for rows that the rates were not fitted on; float64 [n]."""
        codes, ids = merchant_codes(table)
        return np.array([self.rates.get(name, self.overall) for name in ids], dtype=np.float64)[codes]


def out_of_fold_rates(table: pd.DataFrame, ordered: NDArray[np.bool_], seed: int, folds: int = FOLDS) -> Floats:
    """Rate of each training row's merchant, by the rows of the other folds.

    Leaving out the row alone would leak: within a merchant, who ordered is then exactly who has the lower rate.

    Args:
        table: With ``merchant_id``.
        ordered: Which rows ended in an order; bool [n].
        seed: Decides the folds, which are random and of equal size.
        folds: How many, at least 2.

    Returns:
        float64 [n]; a merchant with no row in the other folds has their rate over all.

    Raises:
        DataError: For fewer rows than folds.
    """
    if len(table) < folds:
        raise DataError(f"{len(table)} rows cannot be cut into {folds} folds: expected at least {folds} rows.")
    codes, ids = merchant_codes(table)
    fold = np.random.default_rng([seed, 20]).permutation(len(table)) % folds
    found = np.empty(len(table))
    for held in range(folds):
        other = fold != held
        smoothed = smoothed_rates(codes[other], ordered[other], len(ids), float(ordered[other].mean()))
        found[~other] = smoothed[codes[~other]]
    return found


def smoothed_rates(codes: NDArray[np.int64], ordered: NDArray[np.bool_], merchants: int, overall: float) -> Floats:
    """(n_m ȳ_m + 30 ȳ) / (n_m + 30) for each merchant; float64 [M].

    Args:
        codes: Merchant of each row; int64 [n].
        ordered: Which rows ended in an order; bool [n].
        merchants: M.
        overall: ȳ.
    """
    count = np.bincount(codes, minlength=merchants)
    orders = np.bincount(codes, ordered, minlength=merchants)
    rates: Floats = (orders + SMOOTHING * overall) / (count + SMOOTHING)
    return rates
