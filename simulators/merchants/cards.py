"""Evidence cards: what marks a cluster of trajectories, and what tells those who ordered from those who left."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from sklearn.tree import DecisionTreeClassifier

from fogline.simulators.merchants.columns import COLUMNS, Role, names_of
from fogline.simulators.merchants.evidence import EvidenceScaler
from fogline.simulators.merchants.logs import ordered
from fogline.simulators.merchants.policies import Predicate

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]

_MARK = 0.5
"""Standard deviations from the average that mark a cluster."""
_DEPTH, _LEAF_SHARE, _LEAST_LEAF = 3, 0.05, 20


@dataclass(frozen=True)
class EvidenceCard:
    """What the data say of one cluster.

    Attributes:
        cluster: Its number.
        rows: In it.
        order_rate: Of them.
        marks: What they do unlike the others.
        contrasts: Field to the difference of its mean between those who ordered and those who left, in standard
            deviations; largest first.
        rules: Conditions of a shallow tree with the order rate and rows of each leaf.
    """

    cluster: int
    rows: int
    order_rate: float
    marks: tuple[Predicate, ...]
    contrasts: tuple[tuple[str, float], ...]
    rules: tuple[tuple[tuple[Predicate, ...], float, int], ...]

    def sentence(self) -> str:
        """The strongest contrast, in words."""
        if not self.contrasts:
            return ""
        name, difference = self.contrasts[0]
        return f"Those who order have {'higher' if difference > 0 else 'lower'} {name} ({difference:+.2f} sd)."


def contrast(
    rows: pd.DataFrame, labels: NDArray[np.int64], label: int, scaler: EvidenceScaler, features: Floats
) -> EvidenceCard:
    """The card of one cluster."""
    inside = labels == label
    orders = ordered(rows)[inside]
    fields, names = numeric_fields(rows, "merchant", "user", "context")
    return EvidenceCard(
        cluster=label,
        rows=int(inside.sum()),
        order_rate=float(orders.mean()),
        marks=_marks(rows, inside, scaler, features),
        contrasts=_differences(fields[inside], names, orders),
        rules=_rules(fields[inside], names, orders),
    )


def numeric_fields(rows: pd.DataFrame, *roles: Role) -> tuple[Floats, list[str]]:
    """Numbers of columns with these roles; gaps at the median; float64 [n, d] and their names."""
    names = [name for name in names_of(*roles) if name in rows and COLUMNS[name].kind in ("number", "integer", "flag")]
    fields = rows[names].to_numpy(dtype=np.float64)
    gaps = np.isnan(fields)
    if gaps.any():
        empty = gaps.all(axis=0)
        middle = np.zeros(len(names))
        middle[~empty] = np.nanmedian(fields[:, ~empty], axis=0)
        fields = np.where(gaps, middle, fields)
    return fields, names


def shallow_tree(fields: Floats, orders: NDArray[np.bool_]) -> DecisionTreeClassifier:
    """A tree of at most three questions."""
    leaf = max(_LEAST_LEAF, int(_LEAF_SHARE * len(orders)))
    return DecisionTreeClassifier(max_depth=_DEPTH, min_samples_leaf=leaf, random_state=0).fit(fields, orders)


def _marks(
    rows: pd.DataFrame, inside: NDArray[np.bool_], scaler: EvidenceScaler, features: Floats
) -> tuple[Predicate, ...]:
    """Evidence that lies half a standard deviation or more from the average, with the middle between both means."""
    found = []
    centre = features[inside].mean(axis=0)
    for index in np.argsort(-np.abs(centre), kind="stable"):
        name = scaler.names[index]
        if abs(centre[index]) >= _MARK and name in rows:
            values = rows[name].to_numpy(dtype=np.float64)
            middle = float(np.nanmean(values[inside]) + np.nanmean(values[~inside])) / 2 if (~inside).any() else 0.0
            found.append(Predicate(name, ">" if centre[index] > 0 else "<=", middle))
    return tuple(found)


def _differences(fields: Floats, names: list[str], orders: NDArray[np.bool_]) -> tuple[tuple[str, float], ...]:
    if orders.all() or not orders.any():
        return ()
    spread = fields.std(axis=0)
    difference = fields[orders].mean(axis=0) - fields[~orders].mean(axis=0)
    scaled = np.divide(difference, spread, out=np.zeros_like(difference), where=spread > 0)
    strongest = np.argsort(-np.abs(scaled), kind="stable")[:6]
    return tuple((names[index], float(scaled[index])) for index in strongest if scaled[index])


def _rules(
    fields: Floats, names: list[str], orders: NDArray[np.bool_]
) -> tuple[tuple[tuple[Predicate, ...], float, int], ...]:
    if orders.all() or not orders.any() or len(orders) < 2 * _LEAST_LEAF:
        return ()
    tree = shallow_tree(fields, orders).tree_
    found: list[tuple[tuple[Predicate, ...], float, int]] = []

    def walk(node: int, path: tuple[Predicate, ...]) -> None:
        left, right = int(tree.children_left[node]), int(tree.children_right[node])
        if left == right:
            found.append((path, float(tree.value[node][0][-1]), int(tree.n_node_samples[node])))
            return
        name, bound = names[int(tree.feature[node])], float(tree.threshold[node])
        walk(left, (*path, Predicate(name, "<=", bound)))
        walk(right, (*path, Predicate(name, ">", bound)))

    walk(0, ())
    return tuple(found)
