"""Support: has the log ever seen what a strategy does? And when the honest answer is that one cannot say.

Support is about extrapolation only. It does not clear confounding: in support, a fit may still be wrong about causes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fogline.simulators.merchants.columns import COLUMNS, LEVERS
from fogline.simulators.merchants.logs import merchant_codes
from fogline.simulators.merchants.policies import PolicyLibrary
from fogline.simulators.merchants.strategies import Strategy

EVERYBODY = ""
"""Stands for all categories where the log has none."""
_TAILS = (0.01, 0.99)


@dataclass(frozen=True)
class SupportReference:
    """What a log has seen of each lever, by category.

    Attributes:
        ranges: Lever and category to the 1 % and 99 % quantiles.
        seen: Lever and category to the values seen: badges one by one, flags.
    """

    ranges: Mapping[str, Mapping[str, tuple[float, float]]]
    seen: Mapping[str, Mapping[str, tuple[str, ...]]]

    @classmethod
    def of(cls, table: pd.DataFrame) -> Self:
        """Of a table."""
        category = _categories(table)
        ranges: dict[str, dict[str, tuple[float, float]]] = {}
        seen: dict[str, dict[str, tuple[str, ...]]] = {}
        for name in LEVERS:
            if name not in table:
                continue
            if COLUMNS[name].kind in ("number", "integer"):
                bounds = table[name].astype(np.float64).groupby(category).quantile(list(_TAILS)).unstack()
                ranges[name] = {str(key): (float(row.iloc[0]), float(row.iloc[1])) for key, row in bounds.iterrows()}
            else:
                texts = table[name].astype("str").groupby(category).unique()
                seen[name] = {
                    str(key): tuple(sorted(set("|".join(values).split("|")))) for key, values in texts.items()
                }
        return cls(ranges, seen)

    def holds(self, before: pd.DataFrame, after: pd.DataFrame, name: str) -> NDArray[np.bool_]:
        """Rows whose value of a lever, after a change, the log has seen in their category; bool [n]."""
        category = _categories(before)
        if name in self.ranges:
            low = category.map({key: bounds[0] for key, bounds in self.ranges[name].items()})
            high = category.map({key: bounds[1] for key, bounds in self.ranges[name].items()})
            values = after[name].to_numpy(dtype=np.float64)
            inside: NDArray[np.bool_] = (values >= low.to_numpy(float)) & (values <= high.to_numpy(float))
            return inside
        if name not in self.seen:
            return np.zeros(len(before), dtype=bool)
        pairs = pd.DataFrame({"category": category, "value": after[name].astype("str")})
        known = {key: set(values) for key, values in self.seen[name].items()}
        unique = pairs.drop_duplicates()
        good = [set(value.split("|")) - {""} <= known.get(key, set()) for key, value in unique.itertuples(index=False)]
        found: NDArray[np.bool_] = pairs.merge(unique.assign(good=good), how="left")["good"].to_numpy(dtype=bool)
        return found

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {"ranges": self.ranges, "seen": self.seen}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Inverse of :meth:`to_json`."""
        return cls(
            {
                name: {key: (low, high) for key, (low, high) in part.items()}
                for name, part in document["ranges"].items()
            },
            {name: {key: tuple(values) for key, values in part.items()} for name, part in document["seen"].items()},
        )


def support(
    reference: SupportReference, before: pd.DataFrame, after: pd.DataFrame, strategy: Strategy
) -> NDArray[np.float64]:
    """Share of each merchant's changed rows whose changed values the log has seen.

    Args:
        reference: What the log has seen.
        before: As logged.
        after: What ``strategy`` makes of it.
        strategy: Whose levers are looked at.

    Returns:
        In the order of the merchants, float64 [M]; 1 where nothing is changed.
    """
    codes, ids = merchant_codes(before)
    changed = np.zeros(len(before), dtype=bool)
    good = np.ones(len(before), dtype=bool)
    for name in strategy.fields:
        moved = _changed(before, after, name)
        changed |= moved
        good &= ~moved | reference.holds(before, after, name)
    count = np.bincount(codes, changed, minlength=len(ids))
    inside = np.bincount(codes, changed & good, minlength=len(ids))
    return np.divide(inside, count, out=np.ones(len(ids)), where=count > 0)


def cannot_say(share: float, library: PolicyLibrary, strategy: Strategy, *, funnel: bool) -> str | None:
    """Why there is no answer; None where there is one.

    Refused: a strategy with no support at all whose levers no policy mentions (neither branch has evidence), and
    advertising where the model does not know who only saw or clicked.
    """
    if "ad_level" in strategy.fields and not funnel:
        return "advertising changes who comes, which only a model of the whole funnel tells: fit with target='funnel'"
    unknown = [name for name in strategy.fields if not library.mentions(name)]
    if unknown and share == 0:
        return f"the log has never seen such {unknown[0]}, and no policy mentions it"
    return None


def _changed(before: pd.DataFrame, after: pd.DataFrame, name: str) -> NDArray[np.bool_]:
    if name not in before:
        return np.ones(len(before), dtype=bool)
    found: NDArray[np.bool_] = (before[name] != after[name]).to_numpy(dtype=bool)
    return found


def _categories(table: pd.DataFrame) -> pd.Series:
    return table["category"] if "category" in table else pd.Series(EVERYBODY, index=table.index)
