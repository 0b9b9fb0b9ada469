"""What anybody can see of each merchant in a log, as plain arrays: numpy is all that is needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from fogline.core.errors import DataError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

MARKS: Mapping[str, Mapping[str, float]] = {
    "price": {"n_view_price": 1.0, "n_tap_coupon": 1.0},
    "quality": {"n_read_reviews": 1.0},
    "convenience": {"n_open_map": 1.2},
    "habit": {"dwell_s": -1.0, "repeat_orders": 1.0},
}
"""What marks the four kinds of customer that everybody knows: weights of standardised evidence."""
RANGED = ("discount", "coupon_value", "price_level", "photo_score")
"""Levers whose logged range is kept."""
DEFAULTS: Mapping[str, float] = {
    "price_level": 1.0, "rating": 4.3, "photo_score": 0.5, "discount": 0.0, "coupon_value": 0.0
}  # fmt: skip
"""What stands for a column that a log does not have, and for a gap in one."""
_TAILS = (0.01, 0.99)
_PRIOR = 10
_SHORT = ("exposure", "click")


@dataclass(frozen=True)
class Profiles:
    """Merchants of a log, in the order of their names.

    Attributes:
        ids: Names; M of them.
        price: Mean price level; float64 [M].
        rating: Mean stars; float64 [M].
        photo: Mean quality of the photographs; float64 [M].
        discount: Mean share of the price taken off; float64 [M].
        visits: Trajectories a day; float64 [M].
        rate: Orders per trajectory, drawn towards the log's mean by ten trajectories; float64 [M].
        mix: How far its visitors look like each kind of :data:`MARKS`; float64 [M, 4], rows sum to 1.
        low: 1 % quantile of each of :data:`RANGED` in the merchant's category; float64 [M, 4].
        high: 99 % quantile; float64 [M, 4].
        badged: Whether the merchant's category ever showed a badge; bool [M].
    """

    ids: tuple[str, ...]
    price: Floats
    rating: Floats
    photo: Floats
    discount: Floats
    visits: Floats
    rate: Floats
    mix: Floats
    low: Floats
    high: Floats
    badged: NDArray[np.bool_]

    @classmethod
    def of(cls, columns: Mapping[str, Any]) -> Self:
        """Read them off a log's columns; trajectories that left before they engaged do not count.

        Args:
            columns: Arrays [n] by name: those of a world, or of a log's table.

        Raises:
            DataError: For a log without trajectories that engaged.
        """
        engaged = ~np.isin(np.asarray(columns["outcome"]).astype(str), _SHORT)
        rows = {name: np.asarray(values)[engaged] for name, values in columns.items()}
        if not engaged.any():
            raise DataError("no trajectory of the log engaged: expected some, of at least one merchant.")
        ids, merchant = np.unique(rows["merchant_id"].astype(str), return_inverse=True)
        count = np.bincount(merchant)
        values = {name: _numbers(rows, name, default) for name, default in DEFAULTS.items()}
        means = {name: np.bincount(merchant, column) / count for name, column in values.items()}
        orders = rows["outcome"].astype(str) == "order"
        kinds, category = _categories(rows, merchant)
        low, high = _ranges(values, kinds, category)
        badges = rows["badges"].astype(str) != "" if "badges" in rows else np.zeros(len(merchant), dtype=bool)
        return cls(
            ids=tuple(map(str, ids)),
            price=means["price_level"],
            rating=means["rating"],
            photo=means["photo_score"],
            discount=means["discount"],
            visits=count / _days(rows["time"]),
            rate=(np.bincount(merchant, orders) + _PRIOR * orders.mean()) / (count + _PRIOR),
            mix=np.stack([np.bincount(merchant, share) / count for share in _kinds(rows).T], axis=1),
            low=low,
            high=high,
            badged=(np.bincount(kinds, badges) > 0)[category],
        )

    def support(self, merchant: Integers, values: Floats, badge: NDArray[np.bool_]) -> Floats:
        """1 where every changed lever lies within what the category has logged, else 0; float64 [B].

        A log's own definition, of :func:`~fogline.simulators.merchants.support.support`, for one page at a time.

        Args:
            merchant: Whose page; int64 [B].
            values: What it shows, by :data:`RANGED`; NaN where it is left as logged; float64 [B, 4].
            badge: Whether it shows a badge; bool [B].
        """
        inside = (values >= self.low[merchant]) & (values <= self.high[merchant]) | np.isnan(values)
        known: Floats = (inside.all(axis=1) & (self.badged[merchant] | ~badge)).astype(np.float64)
        return known


def _numbers(rows: Mapping[str, NDArray[Any]], name: str, default: float) -> Floats:
    if name not in rows:
        return np.full(len(rows["outcome"]), default)
    values: Floats = rows[name].astype(np.float64)
    return np.where(np.isnan(values), default, values)


def _days(times: NDArray[Any]) -> float:
    seconds = times.astype("datetime64[s]").astype(np.int64)
    return max(1.0, float(seconds.max() - seconds.min()) / 86_400)


def _categories(rows: Mapping[str, NDArray[Any]], merchant: Integers) -> tuple[Integers, Integers]:
    """Category of each row, and of each merchant: that of its first row."""
    if "category" not in rows:
        return np.zeros(len(merchant), dtype=np.int64), np.zeros(int(merchant.max()) + 1, dtype=np.int64)
    _, kinds = np.unique(rows["category"].astype(str), return_inverse=True)
    _, first = np.unique(merchant, return_index=True)
    return kinds, kinds[first]


def _ranges(values: Mapping[str, Floats], kinds: Integers, category: Integers) -> tuple[Floats, Floats]:
    """Quantiles of each lever by category, for each merchant; float64 [M, 4] twice."""
    bounds = np.empty((2, int(kinds.max()) + 1, len(RANGED)))
    for kind in range(bounds.shape[1]):
        for place, name in enumerate(RANGED):
            bounds[:, kind, place] = np.quantile(values[name][kinds == kind], _TAILS)
    return bounds[0][category], bounds[1][category]


def _kinds(rows: Mapping[str, NDArray[Any]]) -> Floats:
    """How far each row looks like each kind; float64 [n, 4]."""
    scores = np.zeros((len(rows["outcome"]), len(MARKS)))
    for place, marks in enumerate(MARKS.values()):
        for name, weight in marks.items():
            if name in rows:
                evidence = np.log1p(np.nan_to_num(rows[name].astype(np.float64)))
                spread = evidence.std()
                scores[:, place] += weight * (evidence - evidence.mean()) / (spread if spread > 0 else 1.0)
    shares = np.exp(scores - scores.max(axis=1, keepdims=True))
    found: Floats = shares / shares.sum(axis=1, keepdims=True)
    return found
