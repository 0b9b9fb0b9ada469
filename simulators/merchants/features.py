"""What the fitting branch reads: what was shown, who saw it, the policies, and the merchant's own record.

What people did is no feature but through the policies: it comes after what was shown, and cannot be copied into a page
that was never shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fogline.simulators.merchants.columns import COLUMNS, names_of
from fogline.simulators.merchants.logs import Categories, Note
from fogline.simulators.merchants.strategies import effective_price

if TYPE_CHECKING:
    from collections.abc import Iterator

Floats = NDArray[np.float64]

MERCHANT_RATE, EFFECTIVE_PRICE, ANCHOR_RATE, ANY_BADGE = "merchant_rate", "effective_price", "anchor_rate", "any_badge"
_BADGE, _POLICY = "badge:", "policy:"
_EXAMPLES = 3
_PRICE_LEVERS = {"price_level": 1, "discount": -1, "coupon_value": -1, "coupon_threshold": 1}
"""How the effective price goes with each lever."""


@dataclass(frozen=True)
class FeatureBuilder:
    """Columns of the model matrix, fixed at fit.

    Attributes:
        names: Of the columns, in order: the log's own merchant, user and context columns as the schema orders them,
            badges, the effective price, the policies with their anchor rate, and the merchant's own rate.
        categories: Values of category columns at fit.
        badges: Badges known at fit.
        policies: Names of the policies; empty where the branch is not guided.
    """

    names: tuple[str, ...]
    categories: Categories
    badges: tuple[str, ...]
    policies: tuple[str, ...]

    @classmethod
    def fit(cls, table: pd.DataFrame, policies: tuple[str, ...], signs: Mapping[str, int] | None = None) -> Self:
        """Choose columns by what a log has.

        Args:
            table: Training rows.
            policies: Names of the policies to read; none for a branch that is not guided.
            signs: Monotone signs by lever that are to hold. Where they ask the effective price to act both ways, that
                column is left out, or one of them could not hold.
        """
        names = [
            name
            for name in names_of("merchant", "user", "context")
            if name in table and COLUMNS[name].kind in ("number", "integer", "flag", "category")
        ]
        badges: tuple[str, ...] = ()
        if "badges" in table:
            badges = tuple(sorted(set("|".join(map(str, table["badges"].unique())).split("|")) - {""}))
            names += [ANY_BADGE, *(_BADGE + name for name in badges)]
        if "price_level" in table and _price_sign(signs or {}) is not None:
            names.append(EFFECTIVE_PRICE)
        names += [*(_POLICY + name for name in policies), *([ANCHOR_RATE] if policies else []), MERCHANT_RATE]
        return cls(tuple(names), Categories.of(table), badges, policies)

    def matrix(self, table: pd.DataFrame, membership: Floats, anchor_rate: Floats, merchant_rate: Floats) -> Floats:
        """The model matrix; a category unseen at fit, a column that is gone, and a gap are NaN.

        Args:
            table: Rows, as logged or after a strategy.
            membership: q; float64 [n, K].
            anchor_rate: The policies' order rates, mixed; float64 [n].
            merchant_rate: Rate of each row's merchant; float64 [n].

        Returns:
            float64 [n, d], columns as in ``names``.
        """
        found = np.full((len(table), len(self.names)), np.nan)
        given = dict(self._columns(table))
        given |= {_POLICY + name: membership[:, index] for index, name in enumerate(self.policies)}
        given |= {ANCHOR_RATE: anchor_rate, MERCHANT_RATE: merchant_rate}
        for index, name in enumerate(self.names):
            if name in given:
                found[:, index] = given[name]
        return found

    def _columns(self, table: pd.DataFrame) -> Iterator[tuple[str, Any]]:
        """Those that the table itself tells."""
        for name in self.names:
            if name in COLUMNS and name in table:
                if COLUMNS[name].kind == "category":
                    yield name, self.categories.codes(table, name)
                else:
                    yield name, table[name].to_numpy(dtype=np.float64)
        if ANY_BADGE in self.names and "badges" in table:
            codes, texts = pd.factorize(table["badges"])
            yield ANY_BADGE, np.array([text != "" for text in texts], dtype=np.float64)[codes]
            for badge in self.badges:
                yield _BADGE + badge, np.array([badge in text.split("|") for text in texts], dtype=np.float64)[codes]
        if EFFECTIVE_PRICE in self.names and "price_level" in table:
            known = ~np.isnan(table["price_level"].to_numpy(dtype=np.float64))
            yield EFFECTIVE_PRICE, np.where(known, effective_price(table), np.nan)

    def signs(self, wanted: Mapping[str, int]) -> list[int]:
        """Monotone sign of each column, 1, -1 or 0, of signs by lever; never on a category.

        The effective price follows its levers, or trees could undo through it what they may not do directly.
        """
        known = {name: sign for name, sign in wanted.items() if name in COLUMNS and COLUMNS[name].kind != "category"}
        known[EFFECTIVE_PRICE] = _price_sign(wanted) or 0
        for name in (ANY_BADGE, *(_BADGE + badge for badge in self.badges)):
            known[name] = wanted.get("badges", 0)
        return [known.get(name, 0) for name in self.names]

    @property
    def category_columns(self) -> list[int]:
        """Indices of the columns that hold codes."""
        return [index for index, name in enumerate(self.names) if name in self.categories.values]

    def notes(self, table: pd.DataFrame) -> tuple[Note, ...]:
        """What a table has that was not there at fit, or lacks that was: all of it is treated as missing."""
        found = list(self.categories.unseen(table))
        gone = [name for name in self.names if name in COLUMNS and name not in table]
        if "badges" not in table and ANY_BADGE in self.names:
            gone.append("badges")
        found += [Note("column that was there at fit, treated as missing", name, len(table)) for name in gone]
        if "badges" in table:
            texts = table["badges"].value_counts()
            new = {text: set(text.split("|")) - {"", *self.badges} for text in texts.index}
            count = sum(int(texts[text]) for text, names in new.items() if names)
            if count:
                examples = tuple(sorted(set().union(*new.values()))[:_EXAMPLES])
                found.append(Note("rows of a badge unseen at fit, read as any badge", "badges", count, examples))
        return tuple(found)

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "names": list(self.names),
            "categories": {name: list(values) for name, values in self.categories.values.items()},
            "badges": list(self.badges),
            "policies": list(self.policies),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Inverse of :meth:`to_json`."""
        categories = Categories({name: tuple(values) for name, values in document["categories"].items()})
        return cls(tuple(document["names"]), categories, tuple(document["badges"]), tuple(document["policies"]))


def _price_sign(signs: Mapping[str, int]) -> int | None:
    """Sign of the effective price that the signs of its levers ask for: 0 for none, None where they disagree."""
    asked = {signs[lever] * way for lever, way in _PRICE_LEVERS.items() if signs.get(lever, 0)}
    if len(asked) > 1:
        return None
    return next(iter(asked), 0)
