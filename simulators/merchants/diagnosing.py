"""Diagnosis: where a merchant loses people, by stage of the funnel and by policy, beside others of its category."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fogline.core.errors import ConfigurationError, suggestion
from fogline.simulators.merchants.columns import COLUMNS, LEVERS, STAGES
from fogline.simulators.merchants.logs import merchant_codes
from fogline.simulators.merchants.resampling import bootstrap_ratio

if TYPE_CHECKING:
    from fogline.simulators.merchants.pghs import PGHS

Floats = NDArray[np.float64]
LEAST_PEERS = 3


@dataclass(frozen=True)
class Diagnosis:
    """A merchant beside its peers.

    Attributes:
        merchant: Which.
        peers: Others of its category; of all categories where it has too few.
        category: That they are of; empty for all.
        gaps: One row per policy (``everybody`` first) and stage: ``policy, stage, rate, peers, gap, low, high, rows,
            clear``: the share that goes on to the stage, of those who reached the one before; the gap's 95 % interval
            resamples peers and counts the merchant's own sampling noise.
        levers: One row per lever: ``lever, value, peers_low, peers_median, peers_high``, quartiles of the peers.
    """

    merchant: str
    peers: int
    category: str
    gaps: pd.DataFrame
    levers: pd.DataFrame

    def lines(self) -> list[str]:
        """For a reader: the clear gaps, widest first."""
        of = f"of {self.category}" if self.category else "of all categories"
        found = [f"{self.merchant} beside {self.peers} merchants {of}"]
        clear = self.gaps[self.gaps["clear"]].sort_values("gap", key=lambda gap: -gap.abs())
        for row in clear.itertuples():
            found.append(
                f"  {row.policy}, to {row.stage}: {row.rate:.1%}, peers {row.peers:.1%} ({100 * row.gap:+.1f} points, "
                f"{100 * row.low:+.1f} … {100 * row.high:+.1f}; {row.rows:,.0f} trajectories)"
            )
        return found if len(found) > 1 else [*found, "  no gap that sampling noise does not explain"]


def diagnose(model: PGHS, table: pd.DataFrame, merchant: str) -> Diagnosis:
    """Compare; see :meth:`~fogline.simulators.merchants.pghs.PGHS.diagnose`."""
    codes, ids = merchant_codes(table)
    if merchant not in ids:
        raise ConfigurationError(f"merchant {merchant!r} is not in the log.{suggestion(merchant, ids)}")
    own = ids.index(merchant)
    category, peers = _peers(table, codes, own)
    membership = model.policy_library.membership(table)
    depth = pd.Index(STAGES).get_indexer(table["outcome"])
    first = int(depth.min())
    weights = {"everybody": np.ones(len(table)), **dict(zip(model.policy_library.names, membership.T, strict=True))}
    rows = [
        _gap(policy, stage, weight * (depth >= stage - 1), weight * (depth >= stage), codes, own, peers)
        for policy, weight in weights.items()
        for stage in range(first + 1, len(STAGES))
    ]
    return Diagnosis(merchant, len(peers), category, pd.DataFrame(rows), _levers(table, codes, own, peers))


def _peers(table: pd.DataFrame, codes: NDArray[np.int64], own: int) -> tuple[str, NDArray[np.int64]]:
    merchants = np.arange(codes.max() + 1)
    if "category" in table:
        first = np.unique(codes, return_index=True)[1]
        categories = table["category"].to_numpy()[first]
        alike = merchants[(categories == categories[own]) & (merchants != own)]
        if len(alike) >= LEAST_PEERS:
            return str(categories[own]), alike
    return "", merchants[merchants != own]


def _gap(
    policy: str,
    stage: int,
    reached: Floats,
    went_on: Floats,
    codes: NDArray[np.int64],
    own: int,
    peers: NDArray[np.int64],
) -> dict[str, object]:
    count = np.bincount(codes, reached, minlength=int(codes.max()) + 1)
    done = np.bincount(codes, went_on, minlength=len(count))
    rate = done[own] / count[own] if count[own] > 0 else np.nan
    total = count[peers].sum()
    usual = done[peers].sum() / total if total > 0 else np.nan
    bounds = bootstrap_ratio(done[peers].astype(np.float64), count[peers].astype(np.float64), resamples=400)
    # Half a case more on either side keeps a rate of 0 or 1 from looking certain.
    eased = (done[own] + 0.5) / (count[own] + 1)
    noise = 1.96 * np.sqrt(eased * (1 - eased) / (count[own] + 1))
    low_side, high_side = (0.0, 0.0) if bounds is None else (usual - bounds.low, bounds.high - usual)
    low, high = rate - usual - np.hypot(noise, high_side), rate - usual + np.hypot(noise, low_side)
    return {
        "policy": policy,
        "stage": STAGES[stage],
        "rate": float(rate),
        "peers": float(usual),
        "gap": float(rate - usual),
        "low": float(low),
        "high": float(high),
        "rows": float(count[own]),
        "clear": bool(low > 0 or high < 0),
    }


def _levers(table: pd.DataFrame, codes: NDArray[np.int64], own: int, peers: NDArray[np.int64]) -> pd.DataFrame:
    found = []
    for name in LEVERS:
        if name in table and COLUMNS[name].kind in ("number", "integer", "flag"):
            means = table[name].astype(np.float64).groupby(codes).mean().to_numpy()
            low, median, high = np.nanquantile(means[peers], [0.25, 0.5, 0.75]) if len(peers) else [np.nan] * 3
            found.append(
                {"lever": name, "value": means[own], "peers_low": low, "peers_median": median, "peers_high": high}
            )
    return pd.DataFrame(found)
