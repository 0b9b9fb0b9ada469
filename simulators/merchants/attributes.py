"""What a reasoner weighs, in natural units: how a page would look to a person, before and after a strategy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fogline.simulators.merchants.logs import merchant_codes

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]

DEEPEST_DISCOUNT = 0.35
"""Share of the price beyond which a reasoner expects no more from a discount."""
_NEAREST = 0.05


@dataclass(frozen=True)
class Attribute:
    """One thing that a decision may weigh.

    Attributes:
        meaning: What the number is.
        step: What a person would call one step of it, in its unit.
        levers: Levers that move it, and whether up or down.
        needs: Columns without which it cannot be told.
        value: Its number for each row, of the tables before and after; float64 [n].
    """

    meaning: str
    step: float
    levers: Mapping[str, int]
    needs: tuple[str, ...]
    value: Callable[[pd.DataFrame, pd.DataFrame], Floats] = field(repr=False)


def attribute_values(before: pd.DataFrame, after: pd.DataFrame) -> dict[str, Floats]:
    """Every attribute that the log can tell.

    Args:
        before: As logged.
        after: What a strategy makes of it, row by row; ``before`` itself for none.

    Returns:
        float64 [n] by name; a gap in the log counts as its median.
    """
    found = {}
    for name, attribute in ATTRIBUTES.items():
        if all(column in after for column in attribute.needs):
            values = attribute.value(before, after)
            gaps = np.isnan(values)
            if gaps.any():
                values = np.where(gaps, 0.0 if gaps.all() else np.nanmedian(values), values)
            found[name] = values
    return found


def attributes_of(lever: str) -> frozenset[str]:
    """Attributes that a lever moves."""
    return frozenset(name for name, attribute in ATTRIBUTES.items() if lever in attribute.levers)


def _number(table: pd.DataFrame, name: str, otherwise: float = np.nan) -> Floats:
    if name not in table:
        return np.full(len(table), otherwise)
    values: Floats = table[name].to_numpy(dtype=np.float64)
    return values


def _price(_: pd.DataFrame, after: pd.DataFrame) -> Floats:
    return np.log(_number(after, "price_level"))


def _rating(_: pd.DataFrame, after: pd.DataFrame) -> Floats:
    rating: Floats = 1.5 * (_number(after, "rating") - 4.3)
    return rating


def _distance(_: pd.DataFrame, after: pd.DataFrame) -> Floats:
    return np.log(np.maximum(_number(after, "distance_km"), _NEAREST))


def _discount(_: pd.DataFrame, after: pd.DataFrame) -> Floats:
    """Discount and coupon together, as a share of the price."""
    taken = np.nan_to_num(_number(after, "discount", 0.0))
    coupon = np.nan_to_num(_number(after, "coupon_value", 0.0))
    if coupon.any():
        price = np.nan_to_num(_number(after, "price_level", 1.0), nan=1.0)
        counts = price * (1 - taken) >= np.nan_to_num(_number(after, "coupon_threshold", 0.0))
        taken = taken + np.where(counts, coupon, 0.0) / price
    return np.minimum(taken, DEEPEST_DISCOUNT)


def _badge(_: pd.DataFrame, after: pd.DataFrame) -> Floats:
    values: Floats = (after["badges"] != "").to_numpy(dtype=np.float64)
    return values


def _beyond_usual(name: str, scale: float = 1.0, logarithm: bool = False) -> Callable[..., Floats]:
    """How far a field is from the merchant's own median in the log: people know what is usual."""

    def value(before: pd.DataFrame, after: pd.DataFrame) -> Floats:
        now = _number(after, name)
        if name in before:
            codes, _ = merchant_codes(before)
            usual = before[name].astype(np.float64).groupby(codes).median().to_numpy()[codes]
        else:
            usual = np.full(len(after), np.nanmedian(now))
        now, usual = (np.log1p(now), np.log1p(usual)) if logarithm else (now, usual)
        beyond: Floats = np.nan_to_num((now - usual) / scale)
        return beyond

    return value


ATTRIBUTES: Mapping[str, Attribute] = {
    "price": Attribute("logarithm of the price level", 0.5, {"price_level": 1}, ("price_level",), _price),
    "rating": Attribute("1.5 (rating - 4.3)", 0.75, {}, ("rating",), _rating),
    "distance": Attribute("logarithm of the kilometres", 0.7, {}, ("distance_km",), _distance),
    "discount": Attribute(
        f"share of the price taken off, coupons included, at most {DEEPEST_DISCOUNT}",
        0.1,
        {"discount": 1, "coupon_value": 1, "coupon_threshold": -1},
        ("discount",),
        _discount,
    ),
    "badge": Attribute("1 with a badge, 0 without", 1.0, {"badges": 1}, ("badges",), _badge),
    "delivery": Attribute(
        "delivery time beyond the merchant's usual, in 10 minutes",
        1.0,
        {"delivery_min": 1},
        ("delivery_min",),
        _beyond_usual("delivery_min", 10.0),
    ),
    "photo": Attribute(
        "photographs beyond the merchant's usual",
        0.3,
        {"photo_score": 1},
        ("photo_score",),
        _beyond_usual("photo_score"),
    ),
    "menu": Attribute(
        "logarithm of the menu's size beyond the usual",
        0.7,
        {"menu_size": 1},
        ("menu_size",),
        _beyond_usual("menu_size", logarithm=True),
    ),
    "bundle": Attribute(
        "a set menu that is not usual", 1.0, {"menu_bundle": 1}, ("menu_bundle",), _beyond_usual("menu_bundle")
    ),
    "reply_rate": Attribute(
        "replies to reviews beyond the usual", 0.5, {"reply_rate": 1}, ("reply_rate",), _beyond_usual("reply_rate")
    ),
}
"""Attributes by name."""
