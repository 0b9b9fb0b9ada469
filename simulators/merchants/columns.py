"""The columns of a log: one row per trajectory, what was shown, who saw it, what they did.

This table is the schema: loading checks a log against it, strategies change its levers, and features are read by role.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal["number", "integer", "flag", "category", "set", "time", "text"]
Role = Literal["identity", "merchant", "user", "context", "evidence", "outcome"]

STAGES: tuple[str, ...] = ("exposure", "click", "engage", "intent", "order")
"""How deep a trajectory went; the outcome of a row is the deepest stage it reached."""

ACTIONS: Mapping[str, str] = {
    "exposure": "exposure",
    "click": "click",
    "view_menu": "engage",
    "view_price": "engage",
    "read_reviews": "engage",
    "open_map": "engage",
    "compare": "engage",
    "tap_coupon": "intent",
    "favourite": "intent",
    "add_cart": "intent",
    "order": "order",
    "leave": "exposure",
}
"""Events of a trajectory, and the stage that each reaches."""

ENTRIES: tuple[str, ...] = ("search", "feed", "ad", "repeat")
TIERS: tuple[str, ...] = ("head", "mid", "tail")


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes:
        name: In the log.
        kind: ``number`` (float64), ``integer`` (Int64), ``flag`` (boolean), ``category`` (string), ``set`` (names
            joined by ``|``, sorted), ``time`` (UTC) or ``text``.
        role: Whose property it is: ``merchant`` fields are as shown at that time, ``evidence`` is what was done before
            the decision.
        meaning: In words, with the unit.
        required: Whether a log without it is refused.
        low: Smallest legal number.
        high: Largest legal number.
        open_low: Whether ``low`` itself is illegal.
        open_high: Whether ``high`` itself is illegal.
        choices: Legal values of a category; empty where any will do.
        lever: Whether a strategy may change it.
    """

    name: str
    kind: Kind
    role: Role
    meaning: str
    required: bool = False
    low: float | None = None
    high: float | None = None
    open_low: bool = False
    open_high: bool = False
    choices: tuple[str, ...] = ()
    lever: bool = False


_COLUMNS = (
    Column("trajectory_id", "text", "identity", "unique name of the row", required=True),
    Column("merchant_id", "text", "identity", "whose page it was", required=True),
    Column("user_id", "text", "identity", "who came"),
    Column("time", "time", "identity", "when it began; without a time zone the loader's is assumed", required=True),
    Column("regime", "text", "identity", "name of the period with one strategy"),
    Column("propensity", "number", "identity", "probability of what was shown, where it was random", low=0, high=1,
           open_low=True),
    Column("category", "category", "merchant", "kind of merchant"),
    Column("tier", "category", "merchant", "traffic of the merchant", choices=TIERS),
    Column("price_level", "number", "merchant", "price, 1 = median of the category", low=0, open_low=True, lever=True),
    Column("rating", "number", "merchant", "stars", low=1, high=5),
    Column("n_reviews", "integer", "merchant", "reviews so far", low=0),
    Column("photo_score", "number", "merchant", "quality of the photographs", low=0, high=1, lever=True),
    Column("delivery_min", "number", "merchant", "promised delivery time, minutes", low=0, lever=True),
    Column("discount", "number", "merchant", "share of the price taken off", low=0, high=1, open_high=True, lever=True),
    Column("coupon_threshold", "number", "merchant", "price level from which the coupon counts", low=0, lever=True),
    Column("coupon_value", "number", "merchant", "worth of the coupon, in price levels; 0 = none", low=0, lever=True),
    Column("badges", "set", "merchant", "badges on the page, joined by |", lever=True),
    Column("menu_size", "integer", "merchant", "dishes", low=0, lever=True),
    Column("menu_bundle", "flag", "merchant", "whether the page offers a set menu", lever=True),
    Column("ad_level", "number", "merchant", "advertising", low=0, high=1, lever=True),
    Column("open_hours", "number", "merchant", "hours open a day", low=0, high=24),
    Column("reply_rate", "number", "merchant", "share of reviews that are answered", low=0, high=1, lever=True),
    Column("spend_tier", "number", "user", "how much the user usually spends, standardised"),
    Column("city_tier", "category", "user", "size of the user's city"),
    Column("tenure_days", "integer", "user", "days since the user joined", low=0),
    Column("n_orders_90d", "integer", "user", "orders in 90 days, anywhere", low=0),
    Column("repeat_orders", "integer", "user", "earlier orders with this merchant", low=0),
    Column("category_affinity", "number", "user", "share of the user's orders in this category", low=0, high=1),
    Column("coupon_use_rate", "number", "user", "share of the user's orders with a coupon", low=0, high=1),
    Column("hour", "integer", "context", "hour of the day at the user's place; taken from time where absent", low=0,
           high=23),
    Column("weekday", "integer", "context", "0 = Monday; taken from time where absent", low=0, high=6),
    Column("is_holiday", "flag", "context", "public holiday"),
    Column("weather", "category", "context", "weather at the user's place"),
    Column("distance_km", "number", "context", "way to the merchant, kilometres", low=0),
    Column("entry", "category", "context", "how the user came", choices=ENTRIES),
    Column("n_competitors", "integer", "context", "like merchants in reach", low=0),
    Column("competitor_min_price", "number", "context", "lowest price level among them", low=0, open_low=True),
    Column("n_view_menu", "integer", "evidence", "looks at the menu", low=0),
    Column("n_view_price", "integer", "evidence", "looks at prices", low=0),
    Column("n_read_reviews", "integer", "evidence", "reviews read", low=0),
    Column("n_open_map", "integer", "evidence", "looks at the map", low=0),
    Column("n_compare", "integer", "evidence", "comparisons with other merchants", low=0),
    Column("n_tap_coupon", "integer", "evidence", "taps on a coupon", low=0),
    Column("n_favourite", "integer", "evidence", "marks as favourite", low=0),
    Column("n_add_cart", "integer", "evidence", "things put into the cart", low=0),
    Column("dwell_s", "number", "evidence", "time on the page, seconds", low=0),
    Column("outcome", "category", "outcome", "deepest stage reached", required=True, choices=STAGES),
)  # fmt: skip

COLUMNS: Mapping[str, Column] = {column.name: column for column in _COLUMNS}
"""Every column of a log by name, in the order of the schema."""

LEVERS: tuple[str, ...] = tuple(column.name for column in _COLUMNS if column.lever)
"""What a merchant can change."""


def names_of(*roles: Role) -> tuple[str, ...]:
    """Names of the columns with one of these roles, in the order of the schema."""
    return tuple(column.name for column in _COLUMNS if column.role in roles)
