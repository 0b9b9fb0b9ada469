"""How good is the simulation? On a window that no part of it was fitted on, beside the floor that sampling sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fogline.simulators.merchants.checks import Check, refute, verdict_of
from fogline.simulators.merchants.fusion import pool
from fogline.simulators.merchants.logs import ordered
from fogline.simulators.merchants.metrics import (
    GroupError,
    distribution_error,
    distribution_floor,
    error_correlation,
    group_error,
)

if TYPE_CHECKING:
    from fogline.simulators.merchants.branches import Branches, Prepared
    from fogline.simulators.merchants.pghs import PGHS

Floats = NDArray[np.float64]

LEAST_ROWS = 5
"""Trajectories of the window from which a merchant is counted."""


@dataclass(frozen=True)
class Evaluation:
    """Results on the recent window, as logged.

    Attributes:
        merchants: Counted: those with at least five trajectories in the window.
        rows: Their trajectories.
        errors: Group simulation error by simulator: ``reasoning``, ``fitting``, ``pool``, ``anchored``.
        strata: ``errors`` of ``anchored`` by ``column=value`` of tier and category.
        correlation: Of both branches' errors: near 1, fusion cannot help.
        stages: GSE_tv of the fitting branch and its floor, in funnel mode.
        checks: Refutations that were tried.
        verdict: One word on them: ``pass`` or ``fail``.
    """

    merchants: int
    rows: int
    errors: Mapping[str, GroupError]
    strata: Mapping[str, GroupError]
    correlation: float | None
    stages: tuple[float, float] | None
    checks: tuple[Check, ...]
    verdict: str

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def evaluate(model: PGHS, *, seed: int = 0) -> Evaluation:
    """Evaluate; see :meth:`~fogline.simulators.merchants.pghs.PGHS.evaluate`."""
    rows = model.branches.prepare(model.rows("recent"))
    answered = model.branches.answer(rows, replicated=False)
    observed = rows.groups.mean(ordered(rows.table).astype(np.float64))
    counted = rows.groups.count >= LEAST_ROWS
    predictions = predictions_of(model, rows, answered, answered)
    count = rows.groups.count[counted]
    checks = refute(model, rows, answered, seed)
    return Evaluation(
        merchants=int(counted.sum()),
        rows=int(count.sum()),
        errors={
            name: group_error(values[counted], observed[counted], count, seed=seed)
            for name, values in predictions.items()
        },
        strata=_strata(rows, predictions["anchored"], observed, counted, seed),
        correlation=error_correlation(answered.fitting[counted], answered.reasoning[counted], observed[counted]),
        stages=_stages(model, rows) if model.config.fitting.target == "funnel" else None,
        checks=checks,
        verdict=verdict_of(checks),
    )


def predictions_of(model: PGHS, rows: Prepared, answered: Branches, logged: Branches) -> dict[str, Floats]:
    """What each simulator says of a strategy: both branches, their pool, and the anchored fusion; float64 [M]."""
    anchored = model.config.model_copy(update={"fusion": "anchored"})
    return {
        "reasoning": answered.reasoning,
        "fitting": answered.fitting,
        "pool": pool(answered.fitting, answered.reasoning, model.levels.pool_alpha),
        "anchored": model.levels.fuse(anchored, answered, logged, rows.groups.ids, answered.reasoning),
    }


def _strata(
    rows: Prepared, predicted: Floats, observed: Floats, counted: NDArray[np.bool_], seed: int
) -> dict[str, GroupError]:
    first = np.unique(rows.groups.codes, return_index=True)[1]
    found = {}
    for column in ("tier", "category"):
        if column in rows.table:
            values = rows.table[column].to_numpy()[first]
            for value in sorted(set(values)):
                inside = counted & (values == value)
                if inside.any():
                    count = rows.groups.count[inside]
                    found[f"{column}={value}"] = group_error(predicted[inside], observed[inside], count, seed=seed)
    return found


def _stages(model: PGHS, rows: Prepared) -> tuple[float, float]:
    from fogline.simulators.merchants.columns import STAGES

    predicted = model.branches.fitting.predict_stages(rows.table, rows.membership, rows.anchor_rate)
    seen = np.stack([(rows.table["outcome"] == stage).to_numpy(dtype=np.float64) for stage in STAGES], axis=1)
    groups = [np.stack([rows.groups.mean(column) for column in part.T], axis=1) for part in (predicted, seen)]
    return distribution_error(*groups), distribution_floor(groups[1], rows.groups.count)
