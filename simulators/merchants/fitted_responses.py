"""What a fitted model says of a page, fast enough to be played: both branches and their fusion, merchant by merchant.

The reasoning branch of a rule is a mixture, and tabulated as one. The fitting branch is asked once on a grid of pages
and read off in between, straight in logits.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit, logit

from fogline.core.errors import ConfigurationError
from fogline.simulators.merchants.attributes import attribute_values
from fogline.simulators.merchants.branches import BranchModel, Prepared
from fogline.simulators.merchants.fusion import EDGE, FUSIONS, Sides, shrink
from fogline.simulators.merchants.logs import merchant_codes
from fogline.simulators.merchants.profiles import Profiles
from fogline.simulators.merchants.reasoning import RuleReasoner
from fogline.simulators.merchants.responses import (
    Integers,
    Levers,
    MixtureResponse,
    Response,
    Weights,
    weighted_logistic,
)
from fogline.simulators.merchants.strategies import LOGGED

if TYPE_CHECKING:
    from fogline.simulators.merchants.pghs import PGHS

Floats = NDArray[np.float64]

Simulator = Literal["hybrid", "reasoning", "fitting"]

MOST_ROWS = 100
"""Trajectories of a merchant from which answers are read; of more, evenly spaced ones."""
BADGE = "recommended"
KNOTS = Levers(
    discount=np.array([0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.35, 0.5]),
    coupon=np.array([0.0, 0.15, 0.3]),
    price_scale=np.array([0.8, 1.0, 1.2]),
    photo=np.array([0.0, 0.4]),
    badge=np.array([0.0, 1.0]),
)
"""Pages that a grid is asked about: every combination."""


@dataclass(frozen=True)
class FittedResponses:
    """A fitted model's answers to any page.

    Attributes:
        profiles: The merchants.
        reasoning: The reasoning branch.
        fitting: The fitting branch.
        fused: Both, as the model's options say.
        error: Standard deviation of the level's error, in logits; float64 [M].
    """

    profiles: Profiles
    reasoning: Response
    fitting: Response
    fused: FusedResponse
    error: Floats

    def of(self, simulator: Simulator) -> Response:
        """One of them by name."""
        return {"hybrid": self.fused, "reasoning": self.reasoning, "fitting": self.fitting}[simulator]

    @classmethod
    def of_model(cls, model: PGHS) -> FittedResponses:
        """Ask a fitted model everything that play may need: some seconds.

        Args:
            model: With a rule for a reasoner.

        Raises:
            ConfigurationError: For a reasoner that is no rule: it cannot be asked about every page.
        """
        table = model.log.table
        columns = {name: table[name].to_numpy() for name in table}
        profiles = Profiles.of({**columns, "time": table["time"].dt.tz_convert(None).to_numpy()})
        rows = model.branches.prepare(_thinned(table))
        reasoning = _of_rule(model.branches, rows, profiles.price)
        fitting = GridResponse.ask(model.branches, rows)
        logged = model.branches.answer(rows, LOGGED, replicated=False)
        config, levels, ids = model.config, model.levels, rows.groups.ids
        level = levels.mix(config, logged.fitting, logged.reasoning, ids)
        optimal = levels.optimal_alpha if config.fusion == "bates-granger" else None
        alpha = shrink(levels.pool_alpha if optimal is None else optimal, levels.rows_of(ids), config.kappa)
        sides = Sides(
            logged.fitting, logged.fitting, logged.reasoning, logged.reasoning, level=level, alpha=alpha, eta=config.eta
        )
        fused = FusedResponse(fitting, reasoning, sides, config.fusion)
        return cls(profiles, reasoning, fitting, fused, levels.error(level, ids))


@dataclass(frozen=True)
class FusedResponse:
    """Both branches, fused as a what-if fuses them.

    Attributes:
        fitting: The fitting branch.
        reasoning: The reasoning branch.
        logged: Everything else that fusion reads, by merchant; float64 [M] each.
        fusion: How.
    """

    fitting: Response
    reasoning: Response
    logged: Sides
    fusion: str

    def rate(self, merchant: Integers, levers: Levers) -> Floats:
        """See :meth:`~fogline.simulators.merchants.responses.Response.rate`."""
        blind = self.fusion == "anchored" and not self.logged.eta
        fitting = self.logged.fitting_logged[merchant] if blind else self.fitting.rate(merchant, levers)
        return self.fuse(merchant, self.reasoning.rate(merchant, levers), fitting)

    def fuse(self, merchant: Integers, reasoning: Floats, fitting: Floats) -> Floats:
        """Fuse what both branches say of pages; float64 [B] each."""
        logged = self.logged
        sides = Sides(
            fitting,
            logged.fitting_logged[merchant],
            reasoning,
            logged.reasoning_logged[merchant],
            level=logged.level[merchant],
            alpha=logged.alpha[merchant],
            eta=logged.eta,
        )
        return FUSIONS[self.fusion](sides)


class GridResponse:
    """Rates known on a grid of pages, and in between straight in logits.

    Args:
        rates: By merchant and page; float64 [M, *grid].
        knots: Of the grid, by lever; ascending.
    """

    def __init__(self, rates: Floats, knots: Levers = KNOTS) -> None:
        self._knots = knots
        self._shape = tuple(len(values) for values in knots)
        self._logits: Floats = logit(np.clip(rates, EDGE, 1 - EDGE)).reshape(-1)

    @classmethod
    def ask(cls, branches: BranchModel, rows: Prepared) -> GridResponse:
        """Ask the fitting branch about every page of :data:`KNOTS`."""
        rates = []
        for page in itertools.product(*KNOTS):
            fitted = branches.fitting.predict(shown(rows.table, *page), rows.membership, rows.anchor_rate)
            rates.append(rows.groups.mean(fitted))
        shape = tuple(len(values) for values in KNOTS)
        return cls(np.stack(rates, axis=1).reshape(len(rows.groups.ids), *shape))

    def rate(self, merchant: Integers, levers: Levers) -> Floats:
        """See :meth:`~fogline.simulators.merchants.responses.Response.rate`."""
        index, weight = merchant[None], np.ones((1, len(merchant)))
        for values, knots, size in zip(levers, self._knots, self._shape, strict=True):
            place = np.minimum(np.maximum(np.searchsorted(knots, values, side="right") - 1, 0), size - 2)
            share = np.minimum(np.maximum((values - knots[place]) / (knots[place + 1] - knots[place]), 0.0), 1.0)
            # Each lever doubles the corners: those at the knot below, and those at the one above.
            index = index * size + place
            index = np.concatenate([index, index + 1])
            weight = np.concatenate([weight * (1 - share), weight * share])
        rate: Floats = expit((weight * self._logits[index]).sum(axis=0))
        return rate


def shown(
    table: pd.DataFrame, discount: float, coupon: float, price_scale: float, photo: float, badge: float
) -> pd.DataFrame:
    """The rows of a log as if its merchants had shown one page: what :class:`Levers` say, of what the log knows."""
    after = table.assign(
        discount=discount,
        coupon_value=coupon,
        coupon_threshold=0.0,
        badges=pd.Series(BADGE if badge else "", table.index),
    )
    if "price_level" in table:
        after["price_level"] = table["price_level"] * price_scale
    if "photo_score" in table:
        after["photo_score"] = np.minimum(table["photo_score"] + photo, 1.0)
    return after


def _of_rule(branches: BranchModel, rows: Prepared, price: Floats) -> MixtureResponse:
    """The reasoning branch, exactly, where a rule reasons."""
    reasoner, anchors, kinds = branches.reasoner, branches.anchors, len(branches.policy_library)
    if not isinstance(reasoner, RuleReasoner):
        raise ConfigurationError(
            f"the model's reasoner {reasoner.name!r} is no rule: it cannot be asked about every page that a shop may "
            "show. Fit with a RuleReasoner to play."
        )
    bare = shown(rows.table, 0.0, 0.0, 1.0, 0.0, 0.0)
    slope = np.ones(kinds) if branches.plain else anchors.sensitivity
    scores = reasoner.score_values(attribute_values(rows.table, bare), branches.policy_library)
    logits = scores if branches.plain else anchors.intercept + slope * (scores - anchors.mean_score)
    share = rows.membership / rows.groups.count[rows.groups.codes][:, None]
    order = np.argsort(rows.groups.codes, kind="stable")
    parts = [
        [weighted_logistic(logits[mine, kind], share[mine, kind]) for kind in range(kinds)]
        for mine in np.split(order, np.cumsum(rows.groups.count)[:-1])
    ]
    # One unit of each attribute, alone: what a rule adds up.
    names = ("price", "discount", "photo", "badge")
    units = {name: np.eye(len(names) + 1)[place + 1] for place, name in enumerate(names)}
    weighed = reasoner.score_values(units, branches.policy_library)
    known = {"price": "price_level" in rows.table, "photo": "photo_score" in rows.table}
    weights = {
        name: slope * (weighed[place + 1] - weighed[0]) * known.get(name, True) for place, name in enumerate(names)
    }
    return MixtureResponse(parts, np.zeros(len(parts)), Weights(**weights), price)


def _thinned(table: pd.DataFrame) -> pd.DataFrame:
    """At most :data:`MOST_ROWS` of each merchant, evenly spaced in the log's order."""
    codes, ids = merchant_codes(table)
    count = np.bincount(codes, minlength=len(ids))
    order = np.argsort(codes, kind="stable")
    rank = np.empty(len(table), dtype=np.int64)
    rank[order] = np.arange(len(table)) - (np.cumsum(count) - count)[codes[order]]
    wanted = np.minimum(count, MOST_ROWS)[codes]
    # The first row of each of as many equal stretches.
    keep = rank * wanted // count[codes] != (rank - 1) * wanted // count[codes]
    return table[keep].reset_index(drop=True)
