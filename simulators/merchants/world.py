"""A synthetic market with exactly known counterfactual truth: the primary test of what-if simulation.

People mix two mechanisms: habit, which ignores what a merchant does, and a judgement, which responds to it. Merchants
have a quality that no column shows, and those of poor quality discount more, so that a log alone misleads. Constants
are this project's own (specification of PGHS, section 12).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from fogline.core.errors import missing_dependency
from fogline.simulators.merchants.truth import MINDS, Market, People, Truth

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]

CATEGORIES = 6
START = np.datetime64("2025-01-06T00:00", "s")
"""Monday on which logs begin."""
DAYS = 90
CUTS = (0.60, 0.75)
"""Where the training and the calibration window of the log end."""

_MIX = (3.0, 2.5, 2.5, 2.0)
_LEAST_TRAFFIC = 25
_RATES = {
    "n_view_price": (3.0, 0.8, 0.8, 0.8),
    "n_read_reviews": (0.7, 3.0, 0.7, 0.7),
    "n_open_map": (0.5, 0.5, 2.2, 0.5),
    "n_tap_coupon": (1.5, 0.4, 0.4, 0.4),
    "repeat_orders": (0.4, 0.4, 0.4, 2.2),
}
"""Means of counts, by mind."""
_WIDEST_LOGGED = 0.15


class WorldConfig(BaseModel):
    """Knobs of the market; the default is the reference world.

    Attributes:
        n_merchants: Merchants.
        n_trajectories: Trajectories, about: each merchant has at least 25.
        habit_share: Share of habit in everybody's decision, 0 to 1; None for each mind's own.
        habit_scale: Multiplies the minds' own shares, 0 to 1.
        confounding: How much poor hidden quality raises a merchant's discount, per standard deviation.
        discounts: What was logged: ``narrow`` (at most 15 %, near each merchant's own) or ``wide`` (anything up to
            40 %, drawn anew for each merchant and period).
        quality_sd: Spread of the merchants' hidden quality, in logits.
        offline_sd: Spread of what users bring along unseen, in logits.
        drift: How far the mix of minds moves after the calibration window, 0 to 1.
        n_regimes: Periods with one strategy each.
        funnel: Whether the log also has those who only saw a merchant, or clicked and left.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    n_merchants: int = Field(default=101, ge=2)
    n_trajectories: int = Field(default=26_000, ge=100)
    habit_share: float | None = Field(default=None, ge=0, le=1)
    habit_scale: float = Field(default=1.0, ge=0, le=1)
    confounding: float = Field(default=0.05, ge=0)
    discounts: Literal["narrow", "wide"] = "narrow"
    quality_sd: float = Field(default=0.7, ge=0)
    offline_sd: float = Field(default=0.8, ge=0)
    drift: float = Field(default=0.0, ge=0, le=1)
    n_regimes: int = Field(default=6, ge=1)
    funnel: bool = False


@dataclass(frozen=True)
class World:
    """A log, and apart from it the truth.

    Attributes:
        config: Knobs.
        seed: Of everything drawn.
        columns: Public columns of the log by name, one row per trajectory; they share no memory with the truth.
        truth: What no simulator may see.
    """

    config: WorldConfig
    seed: int
    columns: Mapping[str, NDArray[Any]]
    truth: Truth

    def table(self) -> pd.DataFrame:
        """The log as a table.

        Raises:
            MissingDependencyError: Without pandas.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise missing_dependency("pandas", "merchant") from error
        frame = pd.DataFrame({name: values.copy() for name, values in self.columns.items()})
        frame["time"] = frame["time"].dt.tz_localize("UTC")
        return frame


def make_world(config: WorldConfig | None = None, seed: int = 0) -> World:
    """Draw a market and its log.

    Merchants, traffic, people and noise have generators of their own: changing how many trajectories there are leaves
    the merchants as they were.

    Args:
        config: Knobs.
        seed: Decides everything.
    """
    config = config or WorldConfig()
    of_merchants, of_traffic, of_people, of_evidence, of_outcome = (
        np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(5)
    )
    market = _market(config, of_merchants)
    merchant, second = _visits(config, market, of_traffic)
    people = _people(config, market, merchant, second, of_people)
    evidence = _evidence(people.mind, of_evidence)
    people.repeat[:] = evidence["repeat_orders"]
    truth = Truth(market, people, of_cut=CUTS[1])
    stage = truth.draw_stages(of_outcome, evidence["n_tap_coupon"])
    return World(config, seed, _public(config, market, people, second, evidence, stage), truth)


def _market(config: WorldConfig, rng: np.random.Generator) -> Market:
    """Merchants, and what each showed in each period."""
    count = config.n_merchants
    quality = rng.normal(0, 1, count) * config.quality_sd
    shown = rng.normal(0, 0.03, count)
    own = np.clip(0.07 - config.confounding * quality / 0.7 + shown, 0, _WIDEST_LOGGED)
    narrow = np.clip(own[:, None] + rng.normal(0, 0.02, (count, config.n_regimes)), 0, _WIDEST_LOGGED)
    wide = rng.uniform(0, 0.4, (count, config.n_regimes))
    return Market(
        category=rng.integers(0, CATEGORIES, count),
        rating=np.clip(rng.normal(4.3, 0.35, count), 3, 5),
        price=np.exp(rng.normal(0, 0.35, count)),
        discount=narrow if config.discounts == "narrow" else wide,
        delivery=np.round(rng.uniform(20, 50, count)),
        photo=np.round(rng.uniform(0.3, 0.8, count), 2),
        traffic=rng.pareto(1.1, count) + 0.15,
        mix=rng.dirichlet(_MIX, CATEGORIES),
        later_mix=rng.dirichlet(_MIX, CATEGORIES),
        quality=quality,
    )


def _visits(
    config: WorldConfig, market: Market, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Who was visited and when, in seconds, in time's order within each merchant."""
    share = market.traffic / market.traffic.sum()
    first = np.maximum(_LEAST_TRAFFIC, np.floor(config.n_trajectories * share))
    counts = np.maximum(_LEAST_TRAFFIC, np.floor(first * config.n_trajectories / first.sum())).astype(np.int64)
    merchant = np.repeat(np.arange(config.n_merchants), counts)
    # To the second, so that the order of the log is the order of the truth.
    second = np.floor(rng.uniform(0, DAYS * 86_400, len(merchant))).astype(np.int64)
    return merchant, second[np.lexsort((second, merchant))]


def _people(
    config: WorldConfig,
    market: Market,
    merchant: NDArray[np.int64],
    second: NDArray[np.int64],
    rng: np.random.Generator,
) -> People:
    """Who came, and what they brought along."""
    count, time = len(merchant), second / (DAYS * 86_400)
    mixes = market.mix[market.category[merchant]]
    later = time >= CUTS[1]
    if config.drift:
        mixes[later] += config.drift * (market.later_mix[market.category[merchant[later]]] - mixes[later])
    mind = (rng.random(count)[:, None] > np.cumsum(mixes, axis=1)[:, :-1]).sum(axis=1)
    own = np.array([share.habit_share for share in MINDS]) * config.habit_scale
    habit_share = own if config.habit_share is None else np.full(len(MINDS), config.habit_share)
    return People(
        merchant=merchant,
        time=time,
        regime=np.minimum((time * config.n_regimes).astype(np.int64), config.n_regimes - 1),
        mind=mind,
        habit_share=habit_share[mind],
        spend=rng.normal(0, 1, count) - 0.5 * (mind == 0),
        distance=np.exp(rng.normal(0, 0.6, count)),
        hour=second // 3_600 % 24,
        repeat=np.zeros(count, dtype=np.int64),
        offline=rng.normal(0, 1, count) * config.offline_sd,
        funnel=config.funnel,
    )


def _evidence(mind: NDArray[np.int64], rng: np.random.Generator) -> dict[str, NDArray[Any]]:
    """What people did before deciding."""
    found: dict[str, NDArray[Any]] = {name: rng.poisson(np.array(means)[mind]) for name, means in _RATES.items()}
    found["dwell_s"] = 60 * np.exp(np.where(mind == 3, -0.6, 0.5) + rng.normal(0, 0.5, len(mind)))
    return found


def _public(
    config: WorldConfig,
    market: Market,
    people: People,
    second: NDArray[np.int64],
    evidence: dict[str, NDArray[Any]],
    stage: NDArray[np.str_],
) -> dict[str, NDArray[Any]]:
    """The log: copies of what anybody can see."""
    merchant, count = people.merchant, len(people.merchant)
    tiers = np.array(["tail", "mid", "head"])
    rank = np.argsort(np.argsort(market.traffic, kind="stable"), kind="stable")
    tier = tiers[np.minimum(3 * rank // config.n_merchants, 2)]
    engaged = ~np.isin(stage, ("exposure", "click"))
    width = len(str(config.n_merchants - 1))
    names = np.array([f"m{index:0{max(3, width)}d}" for index in range(config.n_merchants)])
    return {
        "trajectory_id": np.array([f"t{index:07d}" for index in range(count)]),
        "user_id": np.array([f"u{index:07d}" for index in range(count)]),
        "merchant_id": names[merchant],
        "time": START + second,
        "regime": np.array([f"r{index}" for index in range(config.n_regimes)])[people.regime],
        "category": np.array([f"category-{index}" for index in range(CATEGORIES)])[market.category[merchant]],
        "tier": tier[merchant],
        "price_level": market.price[merchant],
        "rating": market.rating[merchant],
        "photo_score": market.photo[merchant],
        "delivery_min": market.delivery[merchant],
        "discount": market.discount[merchant, people.regime],
        "coupon_threshold": np.zeros(count),
        "coupon_value": np.zeros(count),
        "badges": np.full(count, "", dtype="<U1"),
        "ad_level": np.zeros(count),
        "spend_tier": people.spend.copy(),
        "hour": people.hour.copy(),
        "weekday": second // 86_400 % 7,
        "distance_km": people.distance.copy(),
        "repeat_orders": evidence["repeat_orders"],
        **{
            name: np.where(engaged, values, np.zeros_like(values))
            for name, values in evidence.items()
            if name != "repeat_orders"
        },
        "outcome": stage,
    }
