"""Policy mining: from trajectories to a library of decision policies, in five steps.

1. Features of what people did (:mod:`evidence`). 2. Clusters, their number by silhouette among those that are stable.
3. Contrast of those who ordered with those who left (:mod:`cards`). 4. Description, by a template or reworded by a chat
model (:mod:`describing`); its numbers are the card's. 5. Verification on merchants that were left out
(:mod:`verifying`): a policy must predict better than the base rate, hold in most merchants, and not repeat another.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator
from scipy.optimize import linear_sum_assignment
from scipy.special import softmax
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, silhouette_score
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits

from fogline.core.errors import DataError
from fogline.simulators.merchants.cards import EvidenceCard, contrast
from fogline.simulators.merchants.describing import describe
from fogline.simulators.merchants.evidence import EvidenceScaler
from fogline.simulators.merchants.logs import merchant_codes, ordered
from fogline.simulators.merchants.policies import ARCHETYPES, EVERYBODY, Archetype, Policy, PolicyLibrary, rate_interval
from fogline.simulators.merchants.verifying import Verdict, verify

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]

_SILHOUETTE_ROWS = 4_000


class MiningConfig(BaseModel):
    """Options of mining.

    Attributes:
        k: How many clusters; None chooses by silhouette among stable numbers.
        smallest_k: Least number that is tried.
        largest_k: Most.
        method: ``kmeans`` or ``gmm``.
        features: ``channels`` (counts and dwell time) or ``full`` (with depth and entropy).
        temperature: Of the memberships.
        least_share: Smallest share of rows that makes a cluster.
        least_stability: Adjusted Rand index between the clusterings of bootstrap samples.
        stability_samples: Bootstrap samples behind it.
        most_rows: Rows that clusters are learned on; a larger log is sampled.
        verify: Whether to prune and merge.
        strict: Whether pruning makes no allowance for chance.
        least_merchants: Share of left-out merchants in which a policy's rule must hold.
        most_correlation: Correlation of predictions from which two policies are one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    k: int | None = Field(default=None, ge=1)
    smallest_k: int = Field(default=3, ge=2)
    largest_k: int = Field(default=10, ge=2)
    method: Literal["kmeans", "gmm"] = "kmeans"
    features: Literal["channels", "full"] = "channels"
    temperature: float = Field(default=1.0, gt=0)
    least_share: float = Field(default=0.03, ge=0, lt=1)
    least_stability: float = Field(default=0.6, ge=0, le=1)
    stability_samples: int = Field(default=4, ge=2)
    most_rows: int = Field(default=50_000, ge=100)
    verify: bool = True
    strict: bool = False
    least_merchants: float = Field(default=0.7, ge=0, le=1)
    most_correlation: float = Field(default=0.95, gt=0, le=1)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.smallest_k > self.largest_k:
            raise ValueError(f"smallest_k={self.smallest_k} exceeds largest_k={self.largest_k}.")
        return self


@dataclass(frozen=True)
class Tried:
    """One number of clusters that was tried.

    Attributes:
        k: The number.
        silhouette: Mean silhouette; higher is better separated.
        stability: Mean adjusted Rand index between bootstrap clusterings.
        least_share: Of the smallest cluster.
        eligible: Whether it is stable and no cluster too small.
    """

    k: int
    silhouette: float
    stability: float
    least_share: float
    eligible: bool


@dataclass(frozen=True)
class MiningReport:
    """How a library came about.

    Attributes:
        rows: That clusters were learned on.
        tried: Numbers of clusters.
        chosen: The number of clusters before verification; fewer than asked for where the rows have fewer kinds.
        unstable: Whether no number was stable, and the most stable one was taken.
        cards: Evidence of each cluster.
        verdicts: What became of each.
        groups: Clusters behind each policy of the library.
        pooled: Whether no cluster passed, and one policy for everybody is all there is.
        given: Whether the library was given and not mined.
    """

    rows: int = 0
    tried: tuple[Tried, ...] = ()
    chosen: int = 0
    unstable: bool = False
    cards: tuple[EvidenceCard, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    groups: tuple[tuple[int, ...], ...] = ()
    pooled: bool = False
    given: bool = False

    def evidence(self) -> tuple[tuple[EvidenceCard, ...], ...]:
        """Cards of the clusters behind each policy."""
        return tuple(tuple(self.cards[cluster] for cluster in group) for group in self.groups)


def mine(table: pd.DataFrame, *, seed: int, config: MiningConfig | None = None) -> tuple[PolicyLibrary, MiningReport]:
    """Mine policies from training rows.

    Args:
        table: Training rows of a log.
        seed: Decides samples and starts.
        config: Options.

    Raises:
        DataError: For fewer rows than clusters can be made of.
    """
    config = config or MiningConfig()
    usable = min(len(table), config.most_rows)
    if usable < 10 * (config.k or config.smallest_k):
        raise DataError(f"{usable} training rows: expected at least ten for each of the policies to be mined.")
    # One thread, so that sums have one order, here and on a machine with more cores.
    with threadpool_limits(limits=1):
        return _mine(table, seed, config)


def _mine(table: pd.DataFrame, seed: int, config: MiningConfig) -> tuple[PolicyLibrary, MiningReport]:
    sample = _sample(len(table), config.most_rows, np.random.default_rng([seed, 10]))
    rows = table.iloc[sample].reset_index(drop=True)
    scaler = EvidenceScaler.fit(rows, config.features)
    features = scaler.features(rows)
    k, tried, unstable = _choose(features, seed, config)
    labels = _cluster(features, k, config.method, seed)
    k = int(labels.max()) + 1
    centres = np.stack([features[labels == label].mean(axis=0) for label in range(k)])
    cards = tuple(contrast(rows, labels, label, scaler, features) for label in range(k))
    groups: list[list[int]] = [[index] for index in range(k)]
    verdicts: tuple[Verdict, ...] = ()
    pooled = False
    library = _library(rows, scaler, centres, cards, config) if k > 1 else _everybody(rows, scaler, features, config)
    if config.verify and k > 1:
        groups, verdicts = verify(
            rows, library.membership(rows), labels, config.least_merchants, config.most_correlation, config.strict
        )
        pooled = not any(verdict.kept for verdict in verdicts)
        library = (
            _everybody(rows, scaler, features, config)
            if pooled
            else _merged(rows, library, groups, cards, labels, config)
        )
    behind = tuple(tuple(group) for group in groups)
    return library, MiningReport(len(rows), tried, k, unstable, cards, verdicts, behind, pooled)


def _sample(count: int, most: int, rng: np.random.Generator) -> Labels:
    return np.arange(count) if count <= most else np.sort(rng.choice(count, most, replace=False))


def _choose(features: Floats, seed: int, config: MiningConfig) -> tuple[int, tuple[Tried, ...], bool]:
    """Number of clusters: the best silhouette among stable ones, or the most stable where none is."""
    if config.k is not None:
        return config.k, (), False
    largest = min(config.largest_k, len(features) // 10)
    tried = tuple(_try(features, k, seed, config) for k in range(config.smallest_k, largest + 1))
    eligible = [entry for entry in tried if entry.eligible]
    if eligible:
        return max(eligible, key=lambda entry: entry.silhouette).k, tried, False
    return max(tried, key=lambda entry: entry.stability).k, tried, True


def _try(features: Floats, k: int, seed: int, config: MiningConfig) -> Tried:
    rng = np.random.default_rng([seed, 11, k])
    part = features[_sample(len(features), _SILHOUETTE_ROWS, rng)]
    labels = _cluster(part, k, config.method, seed)
    share = float(np.bincount(labels, minlength=k).min() / len(labels))
    silhouette = float(silhouette_score(part, labels)) if share > 0 else -1.0
    again = [
        _predict(part, part[rng.integers(0, len(part), len(part))], k, config.method, seed)
        for _ in range(config.stability_samples)
    ]
    agreement = [adjusted_rand_score(one, other) for index, one in enumerate(again) for other in again[:index]]
    stability = float(np.mean(agreement))
    good = stability >= config.least_stability and share >= config.least_share
    return Tried(k, silhouette, stability, share, good)


def _cluster(features: Floats, k: int, method: str, seed: int) -> Labels:
    """Cluster of each row; a log with fewer kinds of rows than k gives fewer."""
    labels = _predict(features, features, k, method, seed)
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)


def _predict(features: Floats, learned_on: Floats, k: int, method: str, seed: int) -> Labels:
    if method == "gmm":
        mixture = GaussianMixture(k, covariance_type="diag", n_init=2, random_state=seed, reg_covar=1e-3)
        return np.asarray(mixture.fit(learned_on).predict(features), dtype=np.int64)
    means = KMeans(k, n_init=5, random_state=seed, algorithm="lloyd").fit(learned_on)
    return np.asarray(means.predict(features), dtype=np.int64)


def _library(
    rows: pd.DataFrame, scaler: EvidenceScaler, centres: Floats, cards: tuple[EvidenceCard, ...], config: MiningConfig
) -> PolicyLibrary:
    """Policies of clusters, named after the archetypes that they are most like."""
    return _named(rows, scaler, centres, cards, config, _archetypes(scaler.names, centres))


def _everybody(rows: pd.DataFrame, scaler: EvidenceScaler, features: Floats, config: MiningConfig) -> PolicyLibrary:
    """One policy for everybody: no cluster tells people apart in a way that transfers."""
    card = contrast(rows, np.zeros(len(rows), dtype=np.int64), 0, scaler, features)
    return _named(rows, scaler, features.mean(axis=0)[None], (card,), config, [EVERYBODY])


def _named(
    rows: pd.DataFrame,
    scaler: EvidenceScaler,
    centres: Floats,
    cards: tuple[EvidenceCard, ...],
    config: MiningConfig,
    kinds: list[Archetype],
) -> PolicyLibrary:
    distance = ((scaler.features(rows)[:, None, :] - centres) ** 2).sum(axis=2)
    membership = softmax(-distance / (2 * config.temperature), axis=1)
    policies: list[Policy] = []
    for index, kind in enumerate(kinds):
        like = kinds[:index].count(kind)
        archetype = replace(kind, name=f"{kind.name}-{like + 1}") if like else kind
        policies.append(_policy(rows, membership[:, index], index, archetype, cards[index]))
    return PolicyLibrary(tuple(policies), scaler, centres, config.temperature)


def _archetypes(names: tuple[str, ...], centres: Floats) -> list[Archetype]:
    """Archetype of each cluster: one to one as far as they go, the best for the others."""
    scores = np.array(
        [
            [
                sum(weight * centre[names.index(name)] for name, weight in kind.evidence.items() if name in names)
                for kind in ARCHETYPES
            ]
            for centre in centres
        ]
    )
    found = scores.argmax(axis=1)
    clusters, kinds = linear_sum_assignment(-scores)
    found[clusters] = kinds
    return [ARCHETYPES[kind] for kind in found]


def _policy(rows: pd.DataFrame, held: Floats, index: int, archetype: Archetype, card: EvidenceCard) -> Policy:
    orders = ordered(rows)
    anchor = float(held @ orders / held.sum())
    codes, ids = merchant_codes(rows)
    here = np.bincount(codes, held, minlength=len(ids))
    typical = np.argsort(-held, kind="stable")[:3]
    return Policy(
        id=f"p{index}",
        name=archetype.name,
        when=card.marks,
        priorities=archetype.stated(),
        deal_breakers=archetype.deal_breakers,
        habit_share=_habit_share(rows, held),
        anchor=anchor,
        anchor_interval=rate_interval(anchor, float(held.sum())),
        sensitivity=None,
        support_n=float(held.sum()),
        merchants_n=int((here >= 1).sum()),
        exemplars=tuple(map(str, rows["trajectory_id"].iloc[typical])),
        text=describe(archetype, anchor, float(held.sum()), card),
    )


def _habit_share(rows: pd.DataFrame, held: Floats) -> float:
    """Share who ordered here before and looked at less than most do: it describes them, and causes nothing."""
    if "repeat_orders" not in rows or "dwell_s" not in rows:
        return 0.0
    dwell = rows["dwell_s"].to_numpy(dtype=np.float64)
    if np.isnan(dwell).all():
        return 0.0
    habitual = (rows["repeat_orders"].to_numpy(dtype=np.float64) > 0) & (dwell < np.nanmedian(dwell))
    return float(held @ habitual / held.sum())


def _merged(
    rows: pd.DataFrame,
    library: PolicyLibrary,
    groups: list[list[int]],
    cards: tuple[EvidenceCard, ...],
    labels: Labels,
    config: MiningConfig,
) -> PolicyLibrary:
    """A library of the policies that are kept; each of the groups lists clusters that became one."""
    if groups == [[index] for index in range(len(library))]:
        return library
    sizes = np.array([policy.support_n for policy in library.policies])
    centres = np.stack([np.average(library.centres[group], axis=0, weights=sizes[group]) for group in groups])
    features = library.scaler.features(rows)
    found = [
        cards[group[0]]
        if len(group) == 1
        else contrast(rows, np.isin(labels, group).astype(np.int64), 1, library.scaler, features)
        for group in groups
    ]
    return _library(rows, library.scaler, centres, tuple(found), config)
