"""Refutations: ways in which the simulation could be shown to be wrong without an experiment, and one verdict.

After the refuters of DoWhy; people who see several ask which to believe, so there is one word at the end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fogline.simulators.merchants.strategies import Intervention, Strategy

if TYPE_CHECKING:
    from fogline.simulators.merchants.branches import Branches, Prepared
    from fogline.simulators.merchants.pghs import PGHS

MOST_PLACEBO = 0.002
"""Largest mean change, in orders per trajectory, that a change of nothing may show."""
MOST_INSTABILITY = 0.5
"""Largest spread of a change over halves of the merchants, as a share of the change."""
_TESTED = 0.05


@dataclass(frozen=True)
class Check:
    """One refutation.

    Attributes:
        name: Of the check.
        value: What was measured.
        bound: Most that it may be.
        passed: Whether it is no more.
        meaning: In words.
    """

    name: str
    value: float
    bound: float
    passed: bool
    meaning: str


def refute(model: PGHS, rows: Prepared, logged: Branches, seed: int) -> tuple[Check, ...]:
    """Try three refutations on rows of a log, of which the branches have said what they make of it as logged."""
    return (_placebo(model, rows, logged), _subsets(model, rows, logged, seed), _signal(model))


def verdict_of(checks: tuple[Check, ...]) -> str:
    """``pass`` where every check passed, else ``fail``."""
    return "pass" if all(check.passed for check in checks) else "fail"


def _change(model: PGHS, rows: Prepared, logged: Branches, strategy: Strategy) -> np.ndarray:
    answered = model.branches.answer(rows, strategy, replicated=False)
    fuse = model.levels.fuse
    return np.asarray(
        fuse(model.config, answered, logged, rows.groups.ids, answered.reasoning)
        - fuse(model.config, logged, logged, rows.groups.ids, logged.reasoning)
    )


def _placebo(model: PGHS, rows: Prepared, logged: Branches) -> Check:
    """Multiply the price by 1: a strategy by every sign, and no change."""
    name = "price_level" if "price_level" in rows.table else "discount"
    placebo = Strategy("placebo", (Intervention(name, "scale", 1.0),))
    value = float(np.abs(_change(model, rows, logged, placebo)).max())
    return Check(
        "placebo", value, MOST_PLACEBO, value <= MOST_PLACEBO, "largest change by a strategy that changes nothing"
    )


def _deeper(rows: Prepared) -> Strategy:
    if "discount" in rows.table:
        room = float(np.nanmax(rows.table["discount"])) + _TESTED < 1
        if room:
            return Strategy("deeper", (Intervention("discount", "add", _TESTED),))
    return Strategy("cheaper", (Intervention("price_level", "scale", 1 - _TESTED),))


def _subsets(model: PGHS, rows: Prepared, logged: Branches, seed: int) -> Check:
    """The mean change by 5 points more discount should be much the same in random halves of the merchants."""
    if not {"discount", "price_level"} & set(rows.table):
        return Check("subsets", 0.0, MOST_INSTABILITY, True, "no price and no discount to change")
    change = _change(model, rows, logged, _deeper(rows))
    mean = float(change.mean())
    if abs(mean) < 1e-4 or len(change) < 4:
        return Check("subsets", 0.0, MOST_INSTABILITY, True, "no change whose stability could be told")
    rng = np.random.default_rng([seed, 40])
    halves = [float(change[rng.permutation(len(change))[: len(change) // 2]].mean()) for _ in range(50)]
    value = float(np.std(halves)) / abs(mean)
    return Check(
        "subsets", value, MOST_INSTABILITY, value <= MOST_INSTABILITY,
        "spread of the change by 5 points of discount over random halves of the merchants, as a share of it",
    )  # fmt: skip


def _signal(model: PGHS) -> Check:
    """Whether people follow the reasoner at all: if not, no change that it tells is to be believed."""
    report = model.report
    lowest = report.slope - 1.645 * report.slope_error
    return Check(
        "signal", -lowest, 0.0, not (report.silent or report.doubtful),
        "how far below 0 people may follow the reasoner (its slope's lower bound, turned)",
    )  # fmt: skip
